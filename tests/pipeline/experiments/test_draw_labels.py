"""Pictures of labels: one set per labelled frame, bare ones without labels, and differences."""

import numpy as np
import pytest
from PIL import Image

from handpose_lib.datasets.sr305 import UNIT_MM
from handpose_lib.evaluation import labels
from handpose_lib.evaluation.labels import Label, Labels
from pipeline.experiments import draw_labels


@pytest.fixture
def given(tmp_path):
    """A folder of one SR305 image with a square 500 mm away, and two labellings of it."""
    depth = np.zeros((480, 640), np.uint16)
    depth[180:300, 260:400] = round(500 / UNIT_MM)
    (tmp_path / "set" / "one").mkdir(parents=True)
    Image.fromarray(depth).save(tmp_path / "set" / "one" / "1.png")
    files = []
    for name, shift in (("first", 0.0), ("second", 4.0)):
        marks = {
            "index mcp": Label(300, 250 + shift),
            "index pip": Label(300, 215 + shift),
            "ring mcp": Label(340, 250 + shift),
        }
        path = tmp_path / f"{name}.json"
        labels.write(path, Labels("sr305", name, {"one/1": marks}, {"one/1": (280, 200, 360, 270)}))
        files.append(path)
    return tmp_path, files


def run(given, *more):
    folder, files = given
    root = ["--root", str(folder / "set")]
    return draw_labels.main(["--labels", str(files[0]), *root, *map(str, more)])


def test_each_frame_has_its_pictures_in_the_size_that_was_asked_for(given):
    out = given[0] / "pictures"
    assert run(given, "--out", out, "--zoom", 3) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "one-1-depth.png",
        "one-1-labels.png",
        "one-1-relief.png",
    ]
    wide, high = Image.open(out / "one-1-relief.png").size
    assert wide - high == pytest.approx(3 * (80 - 70), abs=2)


def test_bare_pictures_do_not_show_the_labels(given):
    out = given[0] / "bare"
    assert run(given, "--out", out, "--bare", "--zoom", 3) == 0
    assert sorted(path.name for path in out.iterdir()) == ["one-1-depth.png", "one-1-relief.png"]


def test_differences_and_lengths_are_printed_in_mm(given, capsys):
    assert run(given, "--second", given[1][1], "--lengths") == 0
    text = capsys.readouterr().out
    shift = 4 * 500 / 476
    said = float(text.split("joints in both: mean ")[1].split(" mm")[0])
    assert said == pytest.approx(shift, rel=0.1)
    assert "index pip" in text and "size of the hand" in text


def test_a_missing_file_is_an_error_of_one_line(given, capsys):
    assert draw_labels.main(["--labels", str(given[0] / "none.json")]) == 1
    assert "does not exist" in capsys.readouterr().err
