"""The facts of every data set, one `DatasetSpec` each.

    spec = dataset_specs.get("nyu")
    spec.camera, spec.skeleton, spec.cube            # Camera(588.04, …), 'nyu14', 250.0
    dataset_specs.preset("msra")                     # the camera alone

Readers, splits, recipes, the renderer, scripts and chapters read a set's facts here, and only here.
What belongs to a file format (names, headers, units) is in the set's reader,
`handpose_lib.datasets.<name>`; what a paper states about a set is in the paper's module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from handpose_lib.camera import Camera
from handpose_lib.errors import one_of


@dataclass(frozen=True)
class DatasetSpec:
    """What is known about a data set, apart from its file format.

    name        as `datasets.open` takes it, and the name of its folder in the data folder
    title       as its authors write it
    camera      its camera; where views have cameras of their own, one of them
    skeleton    the name of its labels' skeleton; None without labels
    body        whether it shows bodies instead of hands
    cube        side of the cube in mm that a method uses unless its paper states another
    centre      where cubes sit if frames have no stored point: 'mass', or 'true' where a whole room
                is in view and nobody has looked for the hand or the body
    distance    mm, lowest and highest distance of rendered hands; None where no hand is rendered
    views       the number of cameras that see every moment
    validation  which frames are set aside to choose among epochs: another 'subject', another
                training 'person', a 'share' of the training frames, or the set's 'own' frames
    counts      frames of the release, by part
    labels      glob of the files below its folder that tell which release it is
    files       what its folder holds, for messages
    stated      what papers have to state about an evaluation on it
    reference   key in the book's bibliography, or an address
    licence     what is known about its licence
    access      how it is obtained
    """

    name: str
    title: str
    camera: Camera
    skeleton: str | None
    labels: str
    files: str
    reference: str
    licence: str
    access: str
    body: bool = False
    cube: float = 250.0
    centre: Literal["mass", "true"] = "mass"
    distance: tuple[float, float] | None = None
    views: int = 1
    validation: Literal["subject", "person", "share", "own"] = "share"
    counts: Mapping[str, int] = field(default_factory=dict)
    stated: str = ""


_UNKNOWN = "none known; do not pass it on"

SPECS = {
    spec.name: spec
    for spec in (
        DatasetSpec(
            name="msra",
            title="MSRA15",
            camera=Camera(241.42, 241.42, 160.0, 120.0, 320, 240),
            skeleton="msra21",
            labels="P*/*/joint.txt",
            files="the folders `P0` to `P8`",
            reference="sun2015cascaded",
            licence=_UNKNOWN,
            access="open page of the first author",
            cube=200.0,
            distance=(300.0, 500.0),
            validation="subject",
            counts={"older release": 76_375, "newer release": 76_391},
            stated="leave one subject out, nine trainings; which release, with or without the"
            " faulty frames",
        ),
        DatasetSpec(
            name="nyu",
            title="NYU",
            camera=Camera(588.036865, 587.075073, 320.0, 240.0, 640, 480),
            skeleton="nyu14",
            labels="*/joint_data.mat",
            files="the folders `train` and `test`",
            reference="tompson2014realtime",
            licence=_UNKNOWN,
            access="open page of the author; very large",
            distance=(500.0, 1050.0),
            views=3,
            counts={"train": 72_757, "test": 8_252},
            stated="view 1, 14 of 36 joints; training and new subject apart",
        ),
        DatasetSpec(
            name="icvl",
            title="ICVL",
            camera=Camera(241.42, 241.42, 160.0, 120.0, 320, 240),
            skeleton="icvl16",
            labels="T*/*.txt",
            files="the folders `Training` and `Testing`",
            reference="tang2014latent",
            licence=_UNKNOWN,
            access="open page of the group",
            distance=(280.0, 480.0),
            counts={"labels.txt": 331_006, "test_seq_1.txt": 702, "test_seq_2.txt": 894},
            stated="trained on originals only, or with the rotated copies; both test sequences",
        ),
        DatasetSpec(
            name="hands17",
            title="HANDS2017",
            camera=Camera(475.065948, 475.065857, 315.944855, 245.287079, 640, 480),
            skeleton="hands17_21",
            labels="*/*.txt",
            files="the folders `training` and `frame`",
            reference="yuan2017bighand",
            licence="terms of the organisers; do not pass it on",
            access="on request to the organisers",
            distance=(350.0, 800.0),
            counts={"train": 957_032, "test": 295_510},
            stated="the server's test frames, seen and unseen persons apart",
        ),
        DatasetSpec(
            name="itop",
            title="ITOP",
            camera=Camera(1 / 0.0035, 1 / 0.0035, 160.0, 120.0, 320, 240),
            skeleton="itop15",
            labels="*.h5",
            files="the files `ITOP_side_*.h5` or `ITOP_top_*.h5`",
            reference="haque2016towards",
            licence="as its page on Zenodo states",
            access="free download, obtained by the script with `--obtain`",
            body=True,
            cube=2000.0,
            centre="true",
            views=2,
            validation="person",
            counts={"train": 39_795, "test": 10_501},
            stated="valid frames of one view; joints within 10 cm",
        ),
        DatasetSpec(
            name="dexycb",
            title="DexYCB",
            # The colour camera with the serial number 932122060861, whose pixels the depth images
            # share. Each frame carries the camera of its own view.
            camera=Camera(613.076233, 611.998962, 313.027985, 245.008652, 640, 480),
            skeleton="dexycb21",
            labels="*/*/meta.yml",
            files="ten folders such as `20200709-subject-01`, and `calibration`",
            reference="chao2021dexycb",
            licence="CC BY-NC 4.0",
            access="free download from its page",
            centre="true",
            distance=(600.0, 1000.0),
            views=8,
            validation="own",
            counts={"train, split by sequence": 465_504},
            stated="which of the four splits (by sequence is S0, by subject S1), all eight views;"
            " left and right hands",
        ),
        DatasetSpec(
            name="sr305",
            title="SR305 frames",
            camera=Camera(476.007, 476.007, 313.683, 242.755, 640, 480),
            skeleton=None,
            labels="*/*.png",
            files="the frames that `python -m data_scripts.fetch_sr305` obtains",
            reference="https://github.com/LadaOndris/hand-recognition",
            licence="MIT",
            access="free download, obtained by `python -m data_scripts.fetch_sr305`",
            distance=(350.0, 700.0),
        ),
    )
}
"""Every data set by name. Cameras and skeletons are those of the sets' published loaders."""

LABELLED = tuple(name for name, spec in SPECS.items() if spec.skeleton)
"""The sets with joints, on which methods are trained and tested."""
CUBES = {name: SPECS[name].cube for name in LABELLED}
"""Side of the cube in mm on each set, for methods whose paper states no other."""
CAMERAS = {name: spec.camera for name, spec in SPECS.items()}
"""The cameras of the data sets."""


def get(name: str) -> DatasetSpec:
    """Return the spec of a data set. Errors: an unknown name; the message lists the known ones."""
    return SPECS[one_of("data set", name, SPECS)]


def preset(name: str) -> Camera:
    """Return the camera of a data set. Errors: an unknown name; the message lists the known."""
    return CAMERAS[one_of("camera", name, CAMERAS)]
