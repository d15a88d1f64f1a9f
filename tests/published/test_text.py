"""Text files of poses: columns, headers and separators are read right, or refused by their line.

The same joints are written in every way that is met in files. Each must be read as the same
numbers, whatever else stands in the lines.
"""

import re

import numpy as np
import pytest
import torch

from handpose_lib import published
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.errors import DataError
from handpose_lib.published import files
from tests.support import pose_files as made

FRAMES = 40
JOINTS = made.moving(FRAMES, 14, centre=(5.0, -20.0, 700.0))
UVD = xyz_to_uvd(JOINTS, torch.tensor(published.BENCHMARKS["nyu"].intrinsics, dtype=torch.float64))
METRES = torch.tensor([1.0, 1.0, 0.001], dtype=torch.float64)
VIEWER = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
NUMBERS = {
    "pixels and mm": UVD,
    "pixels and metres": UVD * METRES,
    "points in mm": JOINTS,
    "points in metres": JOINTS / 1000,
    "points before the viewer": JOINTS * VIEWER,
}
DRAW = np.random.default_rng(0)
COLUMNS = {
    "counted from 0": np.arange(FRAMES),
    "counted from 1": np.arange(1, FRAMES + 1),
    "steps of 10": np.arange(10, 10 * FRAMES + 1, 10),
    "gaps": np.sort(DRAW.choice(9000, FRAMES, replace=False)),
    "shuffled": DRAW.permutation(FRAMES),
    "falling": np.arange(FRAMES)[::-1],
    "time stamps": 1609459200.25 + np.arange(FRAMES) / 30.0,
    "milliseconds": 33.366 * np.arange(FRAMES),
    "constant": np.full(FRAMES, 3),
    "scores": DRAW.random(FRAMES),
    "flags": DRAW.integers(0, 2, FRAMES),
}


def lines(points, separator=" "):
    return made.lines(points, separator=separator).splitlines()


def read(tmp_path, text, joints=(14, 36)):
    return files.read(made.put(tmp_path / "p.txt", text), joints)


def must_hold(poses, points):
    assert poses.points.shape == points.shape
    assert (poses.points - points).abs().max() < 1e-5


# --- columns ----------------------------------------------------------------------


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("joints", [(14, 36), None])
def test_a_column_before_or_behind_is_no_coordinate(tmp_path, numbers, column, joints):
    points, values = NUMBERS[numbers], COLUMNS[column]
    rows = lines(points)
    before = [f"{value:.15g} {row}" for value, row in zip(values, rows)]
    behind = [f"{row} {value:.15g}" for value, row in zip(values, rows)]
    both = [f"{value:.15g} {row}" for value, row in zip(COLUMNS["steps of 10"], behind)]
    named = [f"seq/{i}.png {row}" for i, row in enumerate(before)]
    for text, numbered in ((before, True), (behind, False), (both, True), (named, False)):
        found = read(tmp_path, "\n".join(text), joints)
        must_hold(found, points)
        assert found.numbered == numbered
    names = read(tmp_path, "\n".join(named), joints).names
    assert names is not None and names[0] == "seq/0.png"


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("value", [0, 1, 7, 12345, 1609459200.25])
def test_a_single_frame_with_its_number(tmp_path, numbers, value):
    points = NUMBERS[numbers][:1]
    for text in (f"{value} {lines(points)[0]}\n", f"{value},{lines(points, ',')[0]}\n"):
        found = read(tmp_path, text)
        must_hold(found, points)
        assert found.names == [f"{value:.15g}"]


def test_a_subject_and_a_frame_before_the_joints(tmp_path):
    rows = [f"{i // 20} {i % 20} {row}" for i, row in enumerate(lines(UVD))]
    found = read(tmp_path, "\n".join(rows))
    must_hold(found, UVD)
    assert found.names is not None and found.names[21] == "1/1"


def test_whole_pixels_are_coordinates(tmp_path):
    """Files that round to pixels and mm: being whole says nothing about a column then."""
    for values in (COLUMNS["gaps"], COLUMNS["time stamps"]):
        points = UVD.round()
        rows = made.lines(points).replace(".000000", "").splitlines()
        for text in (
            [f"{value} {row}" for value, row in zip(values, rows)],
            [f"{row} {value}" for value, row in zip(values, rows)],
        ):
            must_hold(read(tmp_path, "\n".join(text)), points)


def test_what_cannot_be_decided_is_refused(tmp_path):
    """One joint and a number: nothing says which is which."""
    with pytest.raises(
        DataError, match="line 1: 4 numbers, where 1 joints need 3: it is not clear"
    ):
        read(tmp_path, "1.5 2.5 3.5 4.5\n2.5 1.5 7.5 3.5\n", 1)


# --- lines ------------------------------------------------------------------------

ROWS, CSV = lines(UVD), lines(UVD, ",")
LOCAL = [row.replace(".", ",") for row in ROWS]
HEADER = ",".join(f"joint{i}_{axis}" for i in range(14) for axis in "uvd")
TEXTS = {
    "a comment first": ["# net A", *ROWS],
    "comments of other kinds": ["% net A", *ROWS[:9], "// half", *ROWS[9:], "# end"],
    "a comment at the end of each line": [f"{row} # {i}" for i, row in enumerate(ROWS)],
    "a header in words": ["predictions in pixels", *ROWS],
    "a CSV header": [HEADER, *CSV],
    "a quoted CSV header": [",".join(f'"{name}"' for name in HEADER.split(",")), *CSV],
    "numbers of columns": [",".join(map(str, range(42))), *CSV],
    "a pandas frame": [
        "," + ",".join(map(str, range(42))),
        *(f"{i},{row}" for i, row in enumerate(CSV)),
    ],
    "a pandas frame with a named index": [
        "frame," + ",".join(map(str, range(42))),
        *(f"{10 * i},{row}" for i, row in enumerate(CSV)),
    ],
    "a header with names": [f"image,{HEADER}", *(f"{i}.png,{row}" for i, row in enumerate(CSV))],
    "a comma and a blank": [row.replace(" ", ", ") for row in ROWS],
    "semicolons": [row.replace(" ", ";") for row in ROWS],
    "semicolons at the end": [row.replace(" ", ";") + ";;;" for row in ROWS],
    "several blanks": ["   " + row.replace(" ", "    ") for row in ROWS],
    "decimal commas and blanks": LOCAL,
    "decimal commas and tabs": [row.replace(" ", "\t") for row in LOCAL],
    "decimal commas and semicolons": [row.replace(" ", ";") for row in LOCAL],
    "decimal commas, commas and blanks": [row.replace(" ", ", ") for row in LOCAL],
    "quoted numbers": [",".join(f'"{number}"' for number in row.split()) for row in ROWS],
    "lists of Python": ["[" + row.replace(" ", ", ") + "]" for row in ROWS],
    "names with blanks": [f"Subject 1/image {i}.png {row}" for i, row in enumerate(ROWS)],
    "a count": [str(FRAMES), *ROWS],
    "a count after a comment": ["# frames", str(FRAMES), *ROWS],
}
ENCODINGS = {
    "UTF-8 with a mark": "\n".join(ROWS).encode("utf-8-sig"),
    "UTF-8 with a mark and a header": "\n".join([HEADER, *CSV]).encode("utf-8-sig"),
    "UTF-16": "\r\n".join(ROWS).encode("utf-16"),
    "UTF-16, the other byte order": b"\xfe\xff" + "\n".join(ROWS).encode("utf-16-be"),
    "line ends of old": "\r".join(ROWS).encode(),
}


@pytest.mark.parametrize("joints", [(14, 36), None])
@pytest.mark.parametrize("kind", [*TEXTS, *ENCODINGS])
def test_headers_separators_and_encodings(tmp_path, kind, joints):
    text = "\n".join(TEXTS[kind]) + "\n" if kind in TEXTS else ENCODINGS[kind]
    must_hold(read(tmp_path, text, joints), UVD)


def changed(row, old, new):
    return "\n".join([*ROWS[:row], ROWS[row].replace(old, new, 1), *ROWS[row + 1 :]])


FIFTH = ROWS[4].split()[5]
REFUSED = {
    "not a number": (changed(4, FIFTH, "nan"), "line 5: 'nan' is not a finite number"),
    "infinite": (changed(4, FIFTH, "-inf"), "line 5: '-inf' is not a finite number"),
    "a word": (changed(4, FIFTH, "NA"), "line 5: 'NA' is not a finite number"),
    "an exponent of Fortran": (changed(4, FIFTH, "2.5D+02"), "line 5: '2.5D+02'"),
    "an underscore": (changed(4, FIFTH, "1_0"), "line 5: '1_0' is not a finite number"),
    "an empty field": (
        "\n".join([*CSV[:4], CSV[4].replace(FIFTH, "", 1), *CSV[5:]]),
        "line 5: an empty field between two separators",
    ),
    "an empty first field": ("\n".join([*CSV[:4], "," + CSV[4]]), "line 5: an empty field"),
    "a longer row": (changed(5, FIFTH, FIFTH) + " 9", "line 40: 43 numbers, where line 1 has 42"),
    "a shorter row": (
        "\n".join([*ROWS[:9], ROWS[9].rpartition(" ")[0], *ROWS[10:]]),
        "line 10: 41 numbers, where 14 joints need 42",
    ),
    "a shorter first row": (
        "\n".join([ROWS[0].rpartition(" ")[0], *ROWS[1:]]),
        "line 1: 41 numbers, where 14 joints need 42",
    ),
    "a file that is cut off": (
        "\n".join([*ROWS[:-1], ROWS[-1][:50]]),
        "line 40: . numbers, where 14 joints need 42: the last line seems to be cut off",
    ),
    "a last line in words": (
        "\n".join([*ROWS, "mean error 8.4"]),
        "line 41: 'mean error' is not a finite number, and the other 40 lines",
    ),
    "a header in the middle": ("\n".join([HEADER, *CSV, HEADER, *CSV]), "line 42: 'joint0_u"),
    "a frame that failed": (
        "\n".join(["image_0.png failed", *(f"image_{i}.png {ROWS[i]}" for i in range(1, 9))]),
        "line 1: 'failed' is not a finite number",
    ),
    "a name is missing": (
        "\n".join([*(f"{i}.png {ROWS[i]}" for i in range(9)), ROWS[9]]),
        "line 10: begins with no image name, unlike the other 9 lines",
    ),
    "a wrong count": ("\n".join(["42", *ROWS]), "line 1: states 42 lines, but 40 follow"),
    "four numbers per joint": (
        made.lines(torch.cat((UVD, UVD[..., :1]), -1)),
        "every line has 56 numbers, 4 for each of 14 joints",
    ),
    "two numbers per joint": (
        made.lines(UVD[..., :2]),
        "line 1: 28 numbers, where 14 joints need 42: it seems to have 2 numbers per joint",
    ),
    "a joint per line": (
        made.lines(UVD.reshape(-1, 1, 3)),
        "line 1: 3 numbers, where 14 joints need 42: it seems to be one joint",
    ),
    "commas for everything": (
        "\n".join(row.replace(" ", ",") for row in LOCAL),
        "commas are both separators and decimal signs",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_names_its_line_and_the_cause(tmp_path, kind):
    text, message = REFUSED[kind]
    with pytest.raises(
        DataError, match=re.escape(message).replace(r"line\ 40:\ \.", "line 40: .+")
    ):
        read(tmp_path, text)


def test_an_array_of_numpy_is_told_how_to_be_written(tmp_path):
    np.save(tmp_path / "p.npy", UVD.numpy())
    with pytest.raises(DataError, match=r"p\.npy: a NumPy array; accepted is text: np\.savetxt"):
        files.read(tmp_path / "p.npy")
