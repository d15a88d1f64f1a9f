"""The scripts of MSRA, NYU, ICVL and DexYCB: what a folder lacks and what is damaged in it is
named; where to get a set is told.
"""

import shutil
from importlib import import_module

import numpy as np
import pytest

from data_scripts.support import checking
from handpose_lib import dataset_specs, datasets
from handpose_lib.datasets import dexycb, icvl, msra, nyu
from tests.support.data_folders import made_with

SETS = ("msra", "nyu", "icvl", "dexycb")


def smaller(patch):
    patch.setattr(msra, "GESTURES", ("1", "Y"))
    patch.setattr(msra, "SUBJECTS", (0, 3, 8))
    patch.setattr(dexycb, "PERSONS", dexycb.PERSONS[:2] + dexycb.PERSONS[7:8])
    patch.setattr(dexycb, "SERIALS", dexycb.SERIALS[:2])
    patch.setattr(dexycb, "VIEWS", (1, 2))
    patch.setattr(dexycb, "UNSEEN", {"train": (1,), "validation": (2,), "test": (3,)})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small synthetic set of each format: MSRA with two of its gestures and three of its
    subjects, DexYCB with three of its persons and cameras.
    """
    place = tmp_path_factory.mktemp("sets")
    with pytest.MonkeyPatch.context() as patch:
        smaller(patch)
        return {
            name: made_with(name, frames, place / name) for name, frames in zip(SETS, (2, 4, 8, 1))
        }


@pytest.fixture
def check(whole, tmp_path, capsys, monkeypatch):
    """`check(name, *arguments, real=False)` on a copy that may be damaged: exit code, summary,
    faults.
    """
    smaller(monkeypatch)

    class Check:
        def copy(self, name, real=False):
            self.root = tmp_path / name
            shutil.copytree(whole[name], self.root)
            if real:
                (self.root / "synthetic.json").unlink()
            return self.root

        def __call__(self, name, *arguments):
            script = import_module(f"data_scripts.{name}")
            code = checking.run(
                script.__doc__, name, script.inspect, ["--root", str(self.root), *arguments]
            )
            told = capsys.readouterr()
            lines = [
                line.rpartition("\r")[2] for line in told.err.split("\n")
            ]  # a progress bar goes back to its beginning
            return code, told.out, [line for line in lines if line.strip()]

    return Check()


@pytest.mark.parametrize("name", SETS)
def test_a_whole_set_is_found_whole(check, name):
    check.copy(name)
    code, summary, _ = check(name, "--check", "--all")
    fingerprint = datasets.open(
        name, check.root, **({"gestures": ["1"]} if name == "msra" else {})
    ).fingerprint
    assert code == 0 and "no fault in the files that were checked" in summary
    assert f"a synthetic set in the format of {name}, fingerprint {fingerprint}" in summary
    assert "joints on the surface" in summary


DAMAGE = {
    "msra": ("P3/Y/000001_depth.bin", "P0/1/joint.txt", "lines of P3"),
    "nyu": ("train/depth_2_0000003.png", "test/joint_data.mat", "frames in train, view 2"),
    "icvl": (
        "Testing/Depth/test_seq_2/image_0000.png",
        "Training/labels.txt",
        "frames of test_seq_2.txt",
    ),
    "dexycb": (
        "20200813-subject-02/20200813_100001/839512060362/aligned_depth_to_color_000001.png",
        "20201002-subject-08/20201002_100004/836212060125/labels_000001.npz",
        "view 2: frames with a hand",
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_missing_and_damaged_files_are_named(check, name):
    frame, labels, counted = DAMAGE[name]
    root = check.copy(name)
    content = (root / frame).read_bytes()
    (root / frame).unlink()
    code, summary, faults = check(name, "--check", "--sample", "1")
    assert (
        code == 1
        and f"missing: {root / frame}" in faults
        and counted in summary
        and "faults" in summary
    )
    (root / frame).write_bytes(content[:-3])
    _, _, faults = check(name, "--check", "--sample", "1")
    assert f"damaged: {root / frame} is cut off ({len(content) - 3:,} bytes)" in faults
    damaged = bytearray(content)
    damaged[-40:-20] = b"\xff" * 20  # NaN for MSRA, a wrong checksum for the others
    (root / frame).write_bytes(damaged)
    _, _, faults = check(name, "--check", "--all")
    assert any(fault.startswith(f"{root / frame}: ") for fault in faults)
    (root / frame).write_bytes(content)
    (root / labels).write_bytes((root / labels).read_bytes()[:300])
    code, _, faults = check(name, "--check", "--sample", "1")
    assert code == 1 and any(str(root / labels) in fault for fault in faults)


@pytest.mark.parametrize(
    "name, message",
    [
        ("msra", "frames; the releases have older, 76,375 frames or newer, 76,391 frames"),
        ("nyu", "4 frames in train, view 1; the release has 72,757"),
        ("icvl", "16 lines of labels.txt; the release has 331,006"),
        ("dexycb", "5 sequences; accepted are 100 for each of ten persons"),
    ],
)
def test_a_real_set_is_held_against_its_release(check, name, message):
    check.copy(name, real=True)
    code, summary, faults = check(name, "--check", "--sample", "2")
    assert code == 1 and any(message in fault for fault in faults) and "synthetic" not in summary


@pytest.mark.parametrize("name", SETS)
def test_labels_of_another_convention_are_found(check, name):
    """A set whose y has the wrong sign is a fault, although every file is sound."""
    root, up = check.copy(name), np.array([1, -1, 1], np.float32)
    if name == "msra":
        for path in root.glob("*/*/joint.txt"):
            msra.write_joints(path, msra.read_joints(path).numpy() * up)
    elif name == "nyu":
        for path in root.glob("*/joint_data.mat"):
            nyu.write_joints(
                path, np.stack([nyu.read_joints(path, view).numpy() for view in nyu.VIEWS]) * up
            )
    elif name == "dexycb":
        for path in root.glob("*/*/*/labels_000001.npz"):
            dexycb.write_joints(path, dexycb.read_joints(path).numpy() * up)
    else:
        for path in [root / "Training" / "labels.txt", *root.glob("Testing/test_seq_?.txt")]:
            labels = icvl.read_labels(path)
            icvl.write_labels(path, labels.names, labels.joints.numpy() * up)
    code, _, faults = check(name, "--check")
    assert code == 1 and any("of the joints lie on a surface" in fault for fault in faults)


def test_empty_images_and_lost_views(check):
    root = check.copy("nyu")
    nyu.write_frame(root / "test" / "depth_1_0000002.png", np.zeros((480, 640), np.float32))
    for path in root.glob("*/depth_3_*.png"):
        path.unlink()
    code, summary, faults = check("nyu", "--all")
    assert code == 1 and faults == [
        f"{root / 'test' / 'depth_1_0000002.png'}: nothing is measured in this image"
    ]
    assert "train, view 3" in summary and "not there" in summary  # papers use view 1


def test_many_missing_files_are_counted(check, monkeypatch):
    monkeypatch.setattr(checking, "NAMED", 2)
    root = check.copy("nyu")
    for path in root.glob("train/depth_1_*.png"):
        path.unlink()
    code, _, faults = check("nyu", "--sample", "1")
    assert code == 1 and f"missing: 2 more files in {root / 'train'}" in faults


@pytest.mark.parametrize("name", dataset_specs.LABELLED)
def test_what_is_no_such_set_is_told_in_a_few_lines(name, tmp_path, capsys):
    """An empty folder, one full of something else, a file, nothing: each fault names what is
    missing.
    """
    script = import_module(f"data_scripts.{name}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "P0").mkdir(parents=True)
    (tmp_path / "other" / "notes.txt").write_text("no set")
    for root, message in (
        ("empty", "missing"),
        ("other", "missing"),
        ("other/notes.txt", "no folder: "),
        ("nowhere", "missing: "),
    ):
        assert (
            checking.run(
                script.__doc__, name, script.inspect, ["--check", "--root", str(tmp_path / root)]
            )
            == 1
        )
        told = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        assert all(str(tmp_path / root) in line for line in told) and any(
            message in line or "No such file" in line for line in told
        )
        assert len(told) <= 11 + (len(msra.GESTURES) if (name, root) == ("msra", "other") else 0)


@pytest.mark.parametrize("name", SETS)
def test_where_to_get_a_set_is_told(name, tmp_path, capsys):
    script = import_module(f"data_scripts.{name}")
    assert (
        checking.run(script.__doc__, name, script.inspect, ["--root", str(tmp_path / "none")]) == 1
    )
    told = capsys.readouterr().err
    assert (
        told.startswith(f"missing: {tmp_path / 'none'}")
        and "https://" in told
        and f"{name}/ of the data folder" in told
    )
    assert (
        checking.run(
            script.__doc__, name, script.inspect, ["--root", str(tmp_path / "none"), "--check"]
        )
        == 1
    )
    assert "https://" not in capsys.readouterr().err
