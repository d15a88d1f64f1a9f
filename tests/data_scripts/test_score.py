"""`data_scripts/score.py`: one command, its figures and its warnings."""

import numpy as np
import pytest
import torch

from data_scripts import score
from handpose_lib import published
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.datasets import msra
from tests.support import pose_files as made
from tests.support.data_folders import png


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder whose published files are built by hand."""
    monkeypatch.setenv("HANDPOSE_DATA", str(tmp_path))
    return made.build_published(tmp_path / "published")


def test_a_file_of_the_literature(data, capsys):
    assert score.main([str(data / "nyu/CVPR18_NYU_V2V_PoseNet.txt"), "--dataset", "nyu"]) == 0
    out, err = capsys.readouterr()
    assert "40 frames of nyu, read as u v d in pixels and mm" in out and err == ""
    assert out.splitlines()[1].split() == ["mean", "joint", "error", "8.419", "mm"]
    assert sum(line.endswith(" mm") for line in out.splitlines()[1:]) == 1 + 14


def test_metres_in_a_zip(data, capsys):
    assert score.main([str(data / "itop/ITOP_side_results.zip"), "--dataset", "itop"]) == 0
    out, err = capsys.readouterr()
    assert "pixels and metres" in out and "88.018%" in out and err == ""


def test_warnings_go_to_the_error_output(data, tmp_path, capsys):
    whole = (data / "icvl/CVPR18_ICVL_denseReg_ori.txt").read_text().splitlines(keepends=True)
    path = made.put(tmp_path / "short.txt", "".join(whole[:32]))
    assert score.main([str(path), "--dataset", "icvl"]) == 0
    out, err = capsys.readouterr()
    assert "32 frames of icvl, read as x y z, y down, in mm" in out
    assert [line.split(":")[0] for line in err.splitlines()] == ["warning"] * 3
    for warning in (
        "the values look like x y z",
        "32 frames, but the labels have 40",
        "are those of DenseReg",
    ):
        assert warning in err


def test_labels_from_a_file(data, tmp_path, capsys):
    joints = made.moving(20, 21)
    camera = torch.tensor(published.BENCHMARKS["hands17"].intrinsics, dtype=torch.float64)
    labels = made.put(
        tmp_path / "labels.txt",
        made.lines(joints, [f"image_D{i:08d}.png" for i in range(1, 21)], "\t"),
    )
    path = made.put(tmp_path / "mine.txt", made.lines(xyz_to_uvd(made.missed(joints, 7.0), camera)))
    assert score.main([str(path), "--dataset", "hands17", "--labels", str(labels)]) == 0
    assert "7.000 mm" in capsys.readouterr().out.splitlines()[1]


def test_labels_from_the_folder_of_a_set(tmp_path, monkeypatch, capsys):
    """MSRA: all nine subjects, in the order of subject, gesture and frame."""
    monkeypatch.setattr(msra, "GESTURES", ("1", "T"))
    joints = made.moving(9 * 2 * 3, 21)
    for number, place in enumerate(
        tmp_path / "set" / f"P{s}" / g for s in range(9) for g in ("1", "T")
    ):
        place.mkdir(parents=True)
        msra.write_joints(place / "joint.txt", joints[3 * number : 3 * number + 3].numpy())
        for i in range(3):
            msra.write_frame(place / msra.frame_name(i), np.zeros((240, 320), np.float32))
    camera = torch.tensor(published.BENCHMARKS["msra"].intrinsics, dtype=torch.float64)
    path = made.put(tmp_path / "mine.txt", made.lines(xyz_to_uvd(made.missed(joints, 6.0), camera)))
    assert score.main([str(path), "--dataset", "msra", "--labels", str(tmp_path / "set")]) == 0
    out, err = capsys.readouterr()
    assert "54 frames of msra" in out and "6.000 mm" in out.splitlines()[1] and err == ""


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["absent.txt", "--dataset", "nyu"], "absent.txt does not exist"),
        (["absent.txt", "--dataset", "msra"], "msra has no published labels"),
        (["absent.txt", "--dataset", "nyu", "--labels", "nothing.txt"], "does not exist"),
        (["folder", "--dataset", "nyu"], "folder cannot be read: Is a directory"),
        (["picture.png", "--dataset", "nyu"], "picture.png: neither text nor a MATLAB file"),
        (["empty.txt", "--dataset", "nyu"], "empty.txt holds no frame"),
        (["binary.txt", "--dataset", "icvl"], "binary.txt: neither text nor a MATLAB file"),
        (["words.txt", "--dataset", "icvl"], "words.txt, line 1: 'words' is not a finite number"),
        (
            ["three.txt", "--dataset", "icvl"],
            "three.txt, line 1: 3 numbers, where 16 joints need 48",
        ),
        (["broken.zip", "--dataset", "itop"], "broken.zip: not a whole zip file"),
        (
            ["three.txt", "--dataset", "msra", "--labels", "folder"],
            "P0/1: no such folder; MSRA needs 17 gesture folders",
        ),
    ],
)
def test_what_cannot_be_scored_is_one_line_and_exit_code_1(
    data, tmp_path, monkeypatch, capsys, arguments, message
):
    silly = {
        "picture.png": png(2, 2, 8, 0, [b"\0\1", b"\2\3"]),
        "empty.txt": b"",
        "binary.txt": bytes(range(256)) * 9,
        "words.txt": b"some words\n",
        "three.txt": b"1 2 3\n",
        "broken.zip": b"PK\x03\x04 and no more",
    }
    for name, content in silly.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert score.main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
