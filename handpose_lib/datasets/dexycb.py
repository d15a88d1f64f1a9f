"""DexYCB: ten persons grasp objects before eight RealSense cameras, 640×480, 21 joints
(Chao et al., CVPR 2021).

    calibration/intrinsics/836212060125_640x480.yml …
    20200709-subject-01/ 20200709_141754/ meta.yml
                                          836212060125/ aligned_depth_to_color_000000.png …
                                                        labels_000000.npz …
    color_NNNNNN.jpg, pose.npz and the other folders of `calibration` are not read

Ten persons with 100 sequences each; a sequence has as many frames as its `meta.yml` says
(`num_frames`), in each of eight cameras, which are called by their serial numbers. `mano_sides` in
`meta.yml` names the hand: left or right. An image is a PNG of one 16-bit channel, depth in mm,
0 = not measured, in the pixels of the colour camera, whose focal lengths and principal point are
under `color` in the camera's file. `joint_3d` (1, 21, 3) in a label file are joints in **metres**,
x right, y down, z forward, in the frame of the label's own camera; −1 in all of them means that no
hand is seen or that there is no annotation. Joints come finger by finger from the wrist, the thumb
first.

A label file is a ZIP archive of arrays. Of it `joint_3d` alone is read, after its size; objects,
which Python would have to unpickle, are refused.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from PIL import Image

from handpose_lib import skeleton
from handpose_lib.camera import Camera
from handpose_lib.dataset_specs import SPECS
from handpose_lib.datasets import centres as centre_files
from handpose_lib.datasets.base import SPLITS, Dataset, all_or_none, find, need_size, stated
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.frames import HANDS, DepthFrame
from handpose_lib.io import png

SPEC = SPECS["dexycb"]
CAMERA = SPEC.camera
"""The camera of view 6. Every image has this size; each view has intrinsics of its own."""
JOINTS = 21
COUNTS = SPEC.counts
"""Frames of the release, with and without a hand."""
PERSONS = (
    "20200709-subject-01",
    "20200813-subject-02",
    "20200820-subject-03",
    "20200903-subject-04",
    "20200908-subject-05",
    "20200918-subject-06",
    "20200928-subject-07",
    "20201002-subject-08",
    "20201015-subject-09",
    "20201022-subject-10",
)
SERIALS = (
    "836212060125",
    "839512060362",
    "840412060917",
    "841412060263",
    "932122060857",
    "932122060861",
    "932122061900",
    "932122062010",
)
"""The cameras, in the order of the views 1 to 8."""
VIEWS = tuple(range(1, 1 + len(SERIALS)))
SEQUENCES = 100
"""Sequences of each person in the release; splits count them in the order of their names."""
SPLITS_BY = ("sequence", "subject")
UNSEEN = {"train": (1, 2, 3, 4, 5, 6, 10), "validation": (7,), "test": (8, 9)}
"""Persons of each split by subject."""
META = "meta.yml"
CENTRES = centre_files.OWN
TO_MM = np.ones(3)
NO_HAND = -1.0
TEXT_BYTES, LABEL_BYTES, ARRAY_BYTES = 1 << 16, 1 << 24, 1 << 12
"""More than a YAML file, a label file and its joints take."""
ZIP_END = 22
"""Bytes of the last part of a ZIP archive without a comment."""
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What zipfile and numpy raise where a file is not what it says.
FAULTS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    SyntaxError,
    TypeError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class Sequence(NamedTuple):
    """One sequence: its folder, its person 1 to 10, its number among the person's sequences, its
    frames and its hand.
    """

    place: Path
    person: int
    number: int
    frames: int
    hand: str


class DexYcb(Dataset):
    """DexYCB, real or synthetic. `split` 'train', 'validation' and 'test' are the set's own.

    `split_by` 'sequence' (S0 of its paper) tests every fifth sequence of all persons but the first
    two, on whose fifth sequences it validates; 'subject' (S1) tests two persons and validates on
    another one. `view` 1 to 8 keeps one camera, None all of them. `hand` 'right' or 'left' keeps
    the sequences of that hand, None both: left hands stay as they are, and `frame.hand` names them,
    so that crops are mirrored. Frames in which no hand is seen are left out and counted in
    `protocol`. A hand may still lie outside of the image of a camera, since labels come from all
    cameras together. `subjects` (N,) tells each frame's person, 1 to 10, `views` (N,) its camera.

    To open the set reads a label file for every frame, which takes minutes for all 582,000.
    Errors: see `datasets.open`.
    """

    name = "dexycb"
    skeleton = skeleton.get("dexycb21")

    def __init__(
        self,
        root: Path | str | None = None,
        split: str = "train",
        split_by: str = "sequence",
        view: int | None = None,
        hand: str | None = None,
    ):
        one_of("split", split, SPLITS)
        one_of("way to split DexYCB", split_by, SPLITS_BY)
        one_of("view of DexYCB", view, (None, *VIEWS))
        one_of("hand", hand, (None, *HANDS))
        self.root, views = find("dexycb", root), VIEWS if view is None else (view,)
        self._cameras = {view: read_camera(camera_file(self.root, view)) for view in views}
        self.camera = CAMERA if view is None else self._cameras[view]
        chosen = [
            sequence
            for sequence in read_sequences(self.root, self.synthetic)
            if belongs(sequence, split, split_by) and hand in (None, sequence.hand)
        ]
        self._frames, labels, points, without_a_hand = [], [], [], 0
        for sequence in chosen:
            for number in views:
                place = sequence.place / SERIALS[number - 1]
                joints = torch.stack(
                    [read_joints(place / label_name(i)) for i in range(sequence.frames)]
                )
                rows = joints.isfinite().all(2).all(1).nonzero()[:, 0]
                centre = None
                if self.synthetic and (place / CENTRES).is_file():
                    centre = centre_files.read(place / CENTRES, sequence.frames, TO_MM)[rows]
                self._frames += [(sequence, number, i) for i in rows.tolist()]
                labels.append(joints[rows])
                points.append(centre)
                without_a_hand += sequence.frames - len(rows)
        if not self._frames:
            raise DataError(
                f"{self.root}: no labelled hand in the {split} split by {split_by}; accepted are"
                f" the sequences of the release, {SEQUENCES} for each person"
            )
        self._joints, self._centres = torch.cat(labels), all_or_none(points)
        self.subjects = torch.tensor([sequence.person for sequence, _, _ in self._frames])
        self.views = torch.tensor([number for _, number, _ in self._frames])
        self.protocol = stated(
            split=split,
            split_by=split_by,
            view="all" if view is None else view,
            hands=hand or "both",
            without_a_hand=without_a_hand or None,
        )

    def __len__(self) -> int:
        return len(self._frames)

    def joints(self) -> torch.Tensor:
        return self._joints

    def _frame(self, i: int) -> DepthFrame:
        sequence, view, number = self._frames[i]
        place = sequence.place / SERIALS[view - 1]
        return DepthFrame(
            torch.from_numpy(read_frame(place / frame_name(number))),
            self._cameras[view],
            self._joints[i],
            id="/".join((*place.parts[-3:], f"{number:06d}")),
            hand=sequence.hand,
            centre=None if self._centres is None else self._centres[i],
        )

    def _label_digest(self) -> str:
        """A hash over lengths and hands of all sequences and over the cameras.

        The labels themselves are too many files to read for this.
        """
        content = hashlib.sha256()
        for sequence in read_sequences(self.root, self.synthetic):
            name = f"{PERSONS[sequence.person - 1]}/{sequence.place.name}"
            content.update(f"{name} {sequence.frames} {sequence.hand}\n".encode())
        for view in VIEWS:
            content.update(f"{read_camera(camera_file(self.root, view))}\n".encode())
        return content.hexdigest()


def belongs(sequence: Sequence, split: str, split_by: str) -> bool:
    """Tell whether a sequence belongs to a split. Source: the paper's setups S0 and S1."""
    if split == "all":
        return True
    if split_by == "subject":
        return sequence.person in UNSEEN[split]
    if split == "train":
        return sequence.number % 5 != 4
    return sequence.number % 5 == 4 and (sequence.person <= 2) == (split == "validation")


def read_sequences(root: Path, synthetic: bool = False) -> list[Sequence]:
    """Return all sequences, person by person in the order of their names.

    Errors: a missing person, another number of sequences than the release has for each (a synthetic
    set may have fewer), a missing or damaged `meta.yml`.
    """
    found = []
    for person, name in enumerate(PERSONS, start=1):
        place = Path(root) / name
        folders = sorted(
            path for path in place.glob("*") if path.is_dir() and not path.name.startswith(".")
        )
        if not folders or (len(folders) != SEQUENCES and not synthetic):
            raise DataError(
                f"{place}: {len(folders)} sequences; accepted are {SEQUENCES} for each of ten"
                " persons, since the splits count them"
            )
        for number, folder in enumerate(folders):
            frames, hand = read_meta(folder / META)
            found.append(Sequence(folder, person, number, frames, hand))
    return found


def read_meta(path: Path) -> tuple[int, str]:
    """Return the number of frames and the hand of a sequence from its `meta.yml`.

    Errors: a missing file, no YAML, no number of frames, not exactly one hand.
    """
    meta = _yaml(path)
    frames, sides = meta.get("num_frames"), meta.get("mano_sides")
    if type(frames) is not int or not 0 < frames < 10**6:
        raise DataError(f"{path}: num_frames {_short(frames)}; accepted is a whole number above 0")
    if not (isinstance(sides, list) and len(sides) == 1 and sides[0] in HANDS):
        raise DataError(f"{path}: mano_sides {_short(sides)}; accepted is [right] or [left]")
    return frames, sides[0]


def read_camera(path: Path) -> Camera:
    """Return a view's colour camera, whose pixels the depth images share.

    Errors: a missing file, no YAML, no focal lengths and principal point under `color`.
    """
    colour = _yaml(path).get("color")
    found = colour if isinstance(colour, Mapping) else {}
    values = [found.get(key) for key in ("fx", "fy", "ppx", "ppy")]
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) < len(values):
        raise DataError(
            f"{path}: color {_short(colour)}; accepted are fx, fy, ppx and ppy in pixels"
        )
    try:
        fx, fy, u0, v0 = map(float, numbers)
        return Camera(fx, fy, u0, v0, CAMERA.width, CAMERA.height)
    except (HandPoseError, OverflowError) as error:
        raise DataError(f"{path}: {_short(error)}") from error


def read_joints(path: Path) -> torch.Tensor:
    """Return the joints (21, 3) of a label file, mm in the frame of its camera; NaN without a hand.

    Errors: a missing or damaged file, no `joint_3d` of numbers, another shape, a joint that is not
    finite or not in front of the camera.
    """
    try:
        values = _read_array(path, "joint_3d.npy", (1, JOINTS, 3))
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; accepted is a label file of DexYCB") from error
    except FAULTS as error:
        raise DataError(
            f"{path}: no whole label file ({type(error).__name__}: {_short(error)}); accepted is an"
            f" archive with the array joint_3d of floats (1, {JOINTS}, 3)"
        ) from error
    if (values == NO_HAND).all():
        return torch.full((JOINTS, 3), torch.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit float32 is found below
        joints = (values[0].astype(np.float64) * 1000).astype(np.float32)
    if not (np.isfinite(joints).all() and (joints[:, 2] > 0).all()):
        raise DataError(
            f"{path}: a joint that is not finite or not in front of the camera; accepted are metres"
            " with z forward, or −1 in all of them"
        )
    return torch.from_numpy(joints)


def read_frame(path: Path) -> np.ndarray:
    """Return an image (480, 640) as float32 mm, 0 where nothing was measured. Errors: missing,
    damaged, another size or kind.
    """
    what = "a depth image of DexYCB, one channel of 16 bits"
    return png.read(path, png.SIXTEEN_BITS, CAMERA, what).astype(np.float32)


def write_sequence(place: Path, frames: int, hand: str) -> None:
    """Make the folder of a sequence with its `meta.yml`, as far as it is read."""
    place.mkdir(parents=True)
    _write_yaml(
        place / META, {"serials": list(SERIALS), "num_frames": frames, "mano_sides": [hand]}
    )


def write_camera(path: Path, camera: Camera) -> None:
    """Write the file of a view's camera, as far as it is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"fx": camera.fx, "fy": camera.fy, "ppx": camera.u0, "ppy": camera.v0}
    _write_yaml(path, {"color": values})


def write_joints(path: Path, joints: np.ndarray | None) -> None:
    """Write a label file: joints (21, 3) mm in the frame of its camera, None without a hand."""
    if joints is not None and joints.shape != (JOINTS, 3):
        raise HandPoseError(f"joints of shape {joints.shape}: accepted is ({JOINTS}, 3)")
    metres = np.full((JOINTS, 3), NO_HAND) if joints is None else np.asarray(joints) / 1000
    array = io.BytesIO()
    np.lib.format.write_array(array, metres[None].astype(np.float32), allow_pickle=False)
    # A fixed date: equal labels have equal bytes.
    member = zipfile.ZipInfo("joint_3d.npy", date_time=(1980, 1, 1, 0, 0, 0))
    member.external_attr = 0o644 << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, array.getvalue(), zipfile.ZIP_DEFLATED)


def write_frame(path: Path, depth: np.ndarray) -> None:
    """Write an image (480, 640) in mm, in whole millimetres."""
    need_size(depth, CAMERA)
    whole = np.clip(np.round(depth), 0, 65535).astype(np.uint16)
    Image.fromarray(whole).save(path, format="PNG", compress_level=1)


def frame_name(i: int) -> str:
    """Return the name of the image of frame `i`, counted from 0."""
    return f"aligned_depth_to_color_{i:06d}.png"


def ends_as_zip(path: Path, size: int) -> bool:
    """Tell whether a file of `size` bytes ends as a whole label file does."""
    with open(path, "rb") as file:
        file.seek(max(0, size - ZIP_END))
        return file.read(4) == b"PK\5\6"


def label_name(i: int) -> str:
    """Return the name of the label file of frame `i`, counted from 0."""
    return f"labels_{i:06d}.npz"


def camera_file(root: Path, view: int) -> Path:
    """Return the file of the camera of a view, 1 to 8."""
    size = f"{CAMERA.width}x{CAMERA.height}"
    return Path(root) / "calibration" / "intrinsics" / f"{SERIALS[view - 1]}_{size}.yml"


def _read_array(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One array of floats of an .npz file, which is never unpickled. Errors: `FAULTS`."""
    with open(path, "rb") as file:
        content = file.read(LABEL_BYTES + 1)
    if len(content) > LABEL_BYTES:
        raise ValueError(f"more than {LABEL_BYTES:,} bytes")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if archive.getinfo(name).file_size > ARRAY_BYTES:
            raise ValueError(f"{name} has more than {ARRAY_BYTES:,} bytes")
        array = io.BytesIO(archive.read(name))
    # numpy allocates what the header says before it reads: the header is judged first.
    found, _, kind = HEADERS[np.lib.format.read_magic(array)](array)
    if found != shape or kind.kind != "f":
        raise ValueError(f"{name} holds {kind} of shape {found}")
    array.seek(0)
    return np.lib.format.read_array(array, allow_pickle=False)


def _yaml(path: Path) -> Mapping:
    """The mapping in a YAML file. Errors: missing, too long, damaged, something else."""
    try:
        with open(path, "rb") as file:
            content = file.read(TEXT_BYTES + 1)
        if len(content) > TEXT_BYTES:
            raise ValueError(f"more than {TEXT_BYTES:,} bytes")
        found = yaml.safe_load(content)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); accepted is a YAML file of DexYCB"
        ) from error
    except (yaml.YAMLError, *FAULTS, AttributeError, IndexError) as error:
        raise DataError(
            f"{path}: no YAML ({_short(error)}); accepted is a file of DexYCB"
        ) from error
    if not isinstance(found, Mapping):
        raise DataError(f"{path}: {_short(found)}; accepted are names with values")
    return found


def _short(value: object) -> str:
    """One line for a message."""
    return " ".join(f"{value}".split())[:100]


def _write_yaml(path: Path, values: Mapping) -> None:
    text = yaml.safe_dump(dict(values), sort_keys=False)
    path.write_text(text, encoding="utf-8", newline="\n")
