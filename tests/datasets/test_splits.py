"""What is trained on and what is tested: nothing of the test is seen before, for any set; the
training notebooks take each.
"""

import re
import shutil
from importlib import import_module
from itertools import product
from typing import Any

import matplotlib
import nbformat
import numpy as np
import pytest
import torch

from handpose_lib import dataset_specs, paths, skeleton, synth
from handpose_lib.datasets import centres, dexycb, hands17, itop, msra, splits
from handpose_lib.errors import DataError, HandPoseError
from tests.support.data_folders import made_with

NOTEBOOKS = sorted((paths.project() / "book" / "training").glob("train_*.ipynb"))
SETS = dataset_specs.LABELLED
OWN = [name for name in SETS if dataset_specs.get(name).validation == "own"]
"""Sets with validation frames of their own."""


def open_splits(*arguments, **options) -> Any:
    """The splits with the attributes of their own class, which type checkers do not know."""
    return splits.open_splits(*arguments, **options)


def blob(camera, z):
    """A disc of about a hand's size that faces the camera at z mm."""
    v, u = np.mgrid[: camera.height, : camera.width]
    radius = 60 * camera.fx / z
    return np.where((u - camera.u0) ** 2 + (v - camera.v0) ** 2 < radius**2, z, 0).astype(
        np.float32
    )


def joints(count, number, z):
    spread = torch.rand(count, number, 3, generator=torch.Generator().manual_seed(number)) - 0.5
    return (spread * 100 + torch.tensor([0.0, 0.0, z + 20])).numpy()


def two_views_of_dexycb(patch):
    patch.setattr(dexycb, "SERIALS", dexycb.SERIALS[:2])
    patch.setattr(dexycb, "VIEWS", (1, 2))


@pytest.fixture(autouse=True)
def fewer_files(monkeypatch):
    two_views_of_dexycb(monkeypatch)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A tiny set of each kind: those of MSRA, ITOP and DexYCB without reference points, the others
    made by the script.
    """
    place = tmp_path_factory.mktemp("sets")
    for subject in msra.SUBJECTS:
        for gesture in msra.GESTURES:
            here = place / "msra" / f"P{subject}" / gesture
            here.mkdir(parents=True)
            msra.write_frame(here / msra.frame_name(0), blob(msra.CAMERA, 400))
            msra.write_joints(here / "joint.txt", joints(1, 21, 400))
    for name, frames in (("nyu", 4), ("icvl", 16), ("hands17", 12)):
        made_with(name, frames, place / name)
    (place / "itop").mkdir()
    for view in itop.VIEWS:
        for part, persons in (("train", range(4, 8)), ("test", range(2))):
            names = [f"{person:02d}_{frame:05d}" for person in persons for frame in range(3)]
            shape = (len(names), itop.CAMERA.height, itop.CAMERA.width)
            with itop.Writer(place / "itop", view, part, len(names)) as writer:
                writer.add(
                    0,
                    names,
                    np.tile(blob(itop.CAMERA, 2500), (len(names), 1, 1)),
                    joints(len(names), 15, 2500),
                    np.ones((len(names), 15)),
                    np.full(shape, -1),
                    valid=[0] + [1] * (len(names) - 1),
                )
    with pytest.MonkeyPatch.context() as patch:
        two_views_of_dexycb(patch)
        write_dexycb(place / "dexycb")
    return place


def write_dexycb(root):
    """Five sequences of each person with one frame in each view, marked as synthetic: a real set
    must have a hundred.
    """
    for view in dexycb.VIEWS:
        dexycb.write_camera(dexycb.camera_file(root, view), dexycb.CAMERA)
    dexycb.write_frame(root / "frame.png", blob(dexycb.CAMERA, 700))
    for person in dexycb.PERSONS:
        for number in range(5):
            place = root / person / f"sequence-{number}"
            dexycb.write_sequence(place, 1, ("right", "left")[number % 2])
            for serial in dexycb.SERIALS:
                (place / serial).mkdir()
                shutil.copy(root / "frame.png", place / serial / dexycb.frame_name(0))
                xyz = joints(1, 21, 700)[0]
                dexycb.write_joints(place / serial / dexycb.label_name(0), xyz)
    (root / "synthetic.json").write_text("{}")


def ids(frames):
    return {frames[i].id for i in range(len(frames))}


@pytest.mark.parametrize("name", SETS)
def test_test_validation_and_training_share_no_frame(folders, name):
    plain, chosen = (
        open_splits(name, folders / name, validation=validation) for validation in (False, True)
    )
    assert plain.validation is None and ids(plain.test) == ids(chosen.test)
    train, validation, test = ids(chosen.train), ids(chosen.validation), ids(chosen.test)
    assert train and validation and test
    assert not train & validation and not train & test and not validation & test
    if name in OWN:
        assert train == ids(plain.train) and not validation & ids(plain.train)
    else:
        assert train | validation == ids(plain.train)
        assert "validation" in chosen.train.protocol
    assert "validation" not in plain.test.protocol


def test_persons_are_kept_apart(folders):
    """MSRA's and ITOP's validation shows another person than training and test do."""
    found = open_splits("msra", folders / "msra", subject=0, validation=True)
    assert [sorted(set(s.subjects.tolist())) for s in found[:3]] == [
        [1, 2, 3, 4, 5, 6, 7],
        [8],
        [0],
    ]
    assert found.persons == (1, 2, 3, 4, 5, 6, 7)
    assert open_splits("msra", folders / "msra").persons == tuple(range(8))
    found = open_splits("itop", folders / "itop", validation=True)
    assert [sorted(set(s.persons.tolist())) for s in found[:3]] == [[4, 5, 6], [7], [0, 1]]
    assert len(found.train) == 3 * 3 - 1, "the invalid frame is left out"
    found = open_splits("dexycb", folders / "dexycb", split_by="subject", validation=True)
    persons = [sorted(set(s.subjects.tolist())) for s in found[:3]]
    assert persons == [[1, 2, 3, 4, 5, 6, 10], [7], [8, 9]]
    assert found.persons == (0, 1, 2, 3, 4, 5, 9)


def test_rendered_frames_show_nobody_of_the_test(folders):
    persons = {
        name: open_splits(name, folders / name).persons for name in ("nyu", "icvl", "hands17")
    }
    assert persons == {"nyu": (0,), "icvl": tuple(range(8)), "hands17": tuple(range(5))}


def test_where_cubes_sit(folders, tmp_path):
    """Stored points where all frames have them, given or published; a person is not looked for, but
    known.
    """
    centre = {name: open_splits(name, folders / name).centre for name in SETS}
    assert centre == {
        "msra": "mass",
        "nyu": "stored",
        "icvl": "stored",
        "hands17": "stored",
        "itop": "true",
        "dexycb": "true",
    }
    assert open_splits("nyu", folders / "nyu", centre="true").centre == "true"
    for part, count in (("train", 12), ("test", 6)):
        centres.write(
            tmp_path / f"center_{part}.txt", np.tile([10.0, 20.0, 2500.0], (count, 1)), itop.TO_MM
        )
    found = open_splits("itop", folders / "itop", centres=tmp_path)
    assert found.centre == "stored" and found.train[0].centre.tolist() == [10, 20, 2500]
    with pytest.raises(DataError, match="center_test_refined.txt"):
        open_splits("icvl", folders / "icvl", centres=tmp_path)


def test_views(folders):
    assert open_splits("itop", folders / "itop", view="top").test.protocol["view"] == "top"
    assert open_splits("nyu", folders / "nyu", view=2).test.protocol["view"] == 2
    with pytest.raises(HandPoseError, match="view of ITOP 'left'"):
        open_splits("itop", folders / "itop", view="left")
    with pytest.raises(
        HandPoseError, match="view 'top' of icvl: accepted is None; nyu, itop, dexycb have several"
    ):
        open_splits("icvl", folders / "icvl", view="top")
    assert open_splits("dexycb", folders / "dexycb", view=2).test.views.unique().tolist() == [2]
    with pytest.raises(HandPoseError, match="split_by 'subject' of nyu: accepted is None"):
        open_splits("nyu", folders / "nyu", split_by="subject")


def test_hands17_without_test_labels_holds_training_frames_out(folders, tmp_path):
    """As the challenge gave it: the test's labels are nobody's. What is tested is then said."""
    shutil.copytree(folders / "hands17", tmp_path / "set")
    (tmp_path / "set" / "frame" / hands17.LABELS["test"]).unlink()
    found = open_splits("hands17", tmp_path / "set", validation=True)
    assert [sorted(ids(s)) for s in found[1:3]] == [
        ["training/image_D00000011"],
        ["training/image_D00000012"],
    ]
    assert len(found.train) == 10 and found.test.joints().shape == (1, 21, 3)
    assert (
        found.test.protocol == {"split": "test", "held out": 0.1}
        and "held out 0.1" in found.test.describe()
    )


def test_what_cannot_be_trained_on_is_named(tmp_path):
    with pytest.raises(HandPoseError, match="data set to train on 'sr305'"):
        open_splits("sr305", tmp_path)
    with pytest.raises(HandPoseError, match="size 'tiny'"):
        open_splits("synthetic", size="tiny")
    with pytest.raises(DataError, match="make_synthetic --format nyu"):
        open_splits("nyu", tmp_path / "nowhere")


def test_the_missing_embedded_set_is_named_with_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDPOSE_DATA", str(tmp_path))
    place = re.escape(str(tmp_path / "synthetic" / "msra-laptop"))
    with pytest.raises(DataError, match=f"{place}: no such folder.*make_synthetic --size laptop"):
        open_splits("synthetic", size="laptop")


def code(path, last, parameters):
    """The code of a training notebook up to the cell `last`, with these parameters."""
    found = {
        cell.id: cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    }
    found["parameters"] += "\n" + "\n".join(
        f"{name} = {value!r}" for name, value in parameters.items()
    )
    wanted = ["imports", "parameters", "recipe", "data", "method"]
    return "\n".join(found[name] for name in wanted[: wanted.index(last) + 1])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_training_notebooks_take_every_set_of_their_paper(folders, tmp_path, path):
    """Up to a batch that went through the network; with the paper's own network and schedule, up to
    the frames.
    """
    known = set(
        import_module(f"handpose_lib.papers.{path.stem.removeprefix('train_')}").DATASETS
    ) - {splits.EMBEDDED}
    assert known and known <= set(SETS)
    for name, (profile, last) in product(sorted(known), (("smoke", "method"), ("paper", "data"))):
        parameters = {
            "profile": profile,
            "dataset": name,
            "root": str(folders / name),
            "out": str(tmp_path),
            "epochs": 1,
        }
        space = {}
        with matplotlib.rc_context():
            exec(code(path, last, parameters), space)
        assert space["data"].validation is None  # no paper chooses an epoch
        crops = space["source"].batch(0, 2, 0)
        assert len(space["test"].skeleton) == crops.joints.shape[1]
        if last == "method":
            with torch.no_grad():
                method = space["method"].eval()
                decoded = method.decode(method(method.encode(crops)), crops)
            assert decoded.shape == crops.joints.shape and decoded.isfinite().all()


def test_frames_rendered_while_training_are_those_of_the_set(folders, tmp_path):
    """Its camera and its joints, for hands; of bodies none are rendered on the fly."""
    for name in ("nyu", "icvl", "hands17", "dexycb"):
        count, space = len(skeleton.get(synth.SETUPS[name].skeleton)), {}
        with matplotlib.rc_context():
            exec(
                code(
                    NOTEBOOKS[0],
                    "data",
                    {"dataset": name, "root": str(folders / name), "frames": "on_the_fly"},
                ),
                space,
            )
        crops = space["source"].batch(0, 1, 0)
        assert crops.joints.shape == (1, count, 3) and torch.equal(
            crops.camera[0], space["test"].camera.intrinsics(crops.camera)
        )
    itop = {"dataset": "itop", "root": str(folders / "itop"), "frames": "on_the_fly"}
    with pytest.raises(HandPoseError, match="parameter frames"), matplotlib.rc_context():
        exec(code(NOTEBOOKS[0], "recipe", itop), {})
