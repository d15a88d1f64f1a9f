"""MATLAB files: the format as its description says, byte by byte, and everything that may be wrong
with one.
"""

import struct
import zlib
from typing import Any, cast

import numpy as np
import pytest

from handpose_lib import paths
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.io import matlab
from tests.support.fuzzing import fuzz

LIMIT = 1 << 20


def element(order, kind, data):
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def short(order, kind, data):
    """Up to four bytes of data share eight bytes with their tag."""
    tag = len(data) << 16 | kind
    return struct.pack(f"{order}I", tag) + data.ljust(4, b"\0")


def array(order, name, shape, kind, numbers, flags=6):
    head = element(order, 6, struct.pack(f"{order}II", flags, 0))
    head += element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape))
    head += (short if len(name) <= 4 else element)(order, 1, name.encode())
    return element(order, 14, head + element(order, kind, numbers))


def file(*elements, order="<"):
    return (
        b"MATLAB 5.0 MAT-file".ljust(124)
        + (b"\x00\x01IM" if order == "<" else b"\x01\x00MI")
        + b"".join(elements)
    )


def read(tmp_path, content, wanted=None):
    path = tmp_path / "labels.mat"
    path.write_bytes(content)
    return matlab.read(path, wanted, LIMIT)


def numbers_of(found, name):
    values = found[name]
    assert isinstance(values, np.ndarray)
    return values


@pytest.mark.parametrize("order", ["<", ">"])
def test_hand_built_file_is_read_as_the_format_says(tmp_path, order):
    """Both orders of bytes, columns first, doubles stored as whole numbers, short names in their
    tag.
    """
    numbers = struct.pack(f"{order}6h", 1, 2, 3, 4, 5, -6)
    found = read(tmp_path, file(array(order, "xyz", (2, 3), 3, numbers), order=order))
    assert numbers_of(found, "xyz").tolist() == [[1, 3, 5], [2, 4, -6]]


def test_hand_built_list_of_texts(tmp_path):
    pieces = {
        "aé": short("<", 4, "aé".encode("utf-16-le")),
        "xy": short("<", 16, b"xy"),
        "m": short("<", 1, b"m"),
        "": element("<", 4, b""),
    }
    letters = [
        element(
            "<",
            14,
            element("<", 6, struct.pack("<II", 4, 0))
            + element("<", 5, struct.pack("<2i", 1, len(text)))
            + element("<", 1, b"")
            + piece,
        )
        for text, piece in pieces.items()
    ]
    head = (
        element("<", 6, struct.pack("<II", 1, 0))
        + element("<", 5, struct.pack("<2i", 1, len(pieces)))
        + element("<", 1, b"names")
    )
    whole = file(element("<", 14, head + b"".join(letters)))
    assert read(tmp_path, whole) == {"names": list(pieces)}
    with pytest.raises(DataError, match=r"list 'names' of shape \(1, 4\) with 3 entries"):
        read(tmp_path, file(element("<", 14, head + b"".join(letters[:3]))))


@pytest.mark.parametrize("length", [2, 2**31 - 1])
def test_a_text_shorter_than_its_dimensions_is_not_decoded(tmp_path, length):
    """A decoder that trusted the dimensions would reserve gigabytes."""
    head = element("<", 5, struct.pack("<2i", 1, length)) + element("<", 1, b"")
    text = element("<", 14, element("<", 6, struct.pack("<II", 4, 0)) + head + element("<", 1, b""))
    names = element("<", 5, struct.pack("<2i", 1, 1)) + element("<", 1, b"names") + text
    assert (
        read(tmp_path, file(element("<", 14, element("<", 6, bytes([1]) + bytes(7)) + names))) == {}
    )


@pytest.mark.parametrize("flags", [2, 3, 5, 17, 6 | 0x0800])
def test_structures_objects_and_complex_arrays_are_skipped(tmp_path, flags):
    """They are never decoded, whatever follows their head."""
    hostile = array("<", "s", (1, 1), 99, bytes(2**10), flags=flags)
    plain = array("<", "x", (1, 1), 9, struct.pack("<d", 0.5))
    assert list(read(tmp_path, file(hostile, plain))) == ["x"]


def test_equal_arrays_are_written_as_equal_files(tmp_path, monkeypatch):
    contents = []
    for seconds in (0, 10**9):
        monkeypatch.setattr("time.asctime", lambda seconds=seconds: f"{seconds} s")
        matlab.write(tmp_path / "a.mat", {"x": np.eye(3), "names": ["one"]})
        contents.append((tmp_path / "a.mat").read_bytes())
    assert contents[0] == contents[1]


def test_only_what_is_wanted_is_unpacked(tmp_path):
    wanted = zlib.compress(array("<", "wanted", (1, 2), 9, struct.pack("<2d", 0.5, 7)))
    other = zlib.compress(array("<", "other", (1, LIMIT), 2, bytes(LIMIT)))
    content = file(*(struct.pack("<II", 15, len(part)) + part for part in (other, wanted)))
    assert numbers_of(read(tmp_path, content, {"wanted"}), "wanted").tolist() == [[0.5, 7]]
    with pytest.raises(DataError, match="labels.mat: unpacks to more bytes than the 1,048,576"):
        read(tmp_path, content)


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_written_is_read(tmp_path, packed):
    values = {
        "joint_xyz": np.random.default_rng(0).normal(size=(3, 4, 5, 3)),
        "none": np.zeros((0, 3)),
        "names": ["F1", "", "ü"],
    }
    matlab.write(tmp_path / "a.mat", values, packed)
    found = matlab.read(tmp_path / "a.mat")
    assert (found["joint_xyz"] == values["joint_xyz"]).all()
    assert numbers_of(found, "none").shape == (0, 3)
    assert found["names"] == values["names"]
    assert list(matlab.read(tmp_path / "a.mat", {"names"})) == ["names"]
    with pytest.raises(
        HandPoseError, match="names: accepted are an array of numbers or a list of texts"
    ):
        matlab.write(tmp_path / "b.mat", {"names": cast(Any, [1])})
    assert not (tmp_path / "b.mat").exists()


def test_a_file_that_matlab_wrote():
    """The ITOP labels that A2J published, where the data folder has them: metres, y up, 4,863
    frames of 15 joints.
    """
    path = paths.data() / "published" / "itop" / "itop_side_keypoints3D_test.mat"
    if path.is_file():
        found = numbers_of(matlab.read(path), "keypoints3D")
        assert found.shape == (4863, 15, 3) and 1 < np.median(found[..., 2]) < 5
    else:  # its first bytes: little endian, single precision, the name in an element of its own
        content = file(
            array("<", "keypoints3D", (1, 1, 3), 7, struct.pack("<3f", 0.5, -0.25, 3), flags=7)
        )
        found = numbers_of(matlab.arrays(content, "here", LIMIT), "keypoints3D")
        assert found.tolist() == [[[0.5, -0.25, 3]]]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no MATLAB file of version 5"),
        (
            b"\x89HDF\r\n\x1a\n" + bytes(200),
            "no MATLAB file of version 5; accepted .* without -v7.3",
        ),
        (
            file(struct.pack("<II", 14, 2**32 - 1)),
            "an element of 4,294,967,295 bytes where 0 are left",
        ),
        (file(struct.pack("<II", 15, 8) + b"no zlib!"), "cannot be unpacked"),
        (
            file(array("<", "x", (2**31 - 1, 2**31 - 1), 9, bytes(8))),
            r"shape \(2147483647, 2147483647\) with 8 bytes",
        ),
        (file(array("<", "x", (-1, -1), 9, bytes(8))), "shape"),
        (file(array("<", "x", (1, 1), 99, bytes(8))), "unknown type 99"),
        (file(element("<", 14, bytes(8))), "without flags, dimensions and name"),
        (file(b"\1\2\3"), "3 bytes after the last element"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    with pytest.raises(DataError, match=f"labels.mat: .*{message}"):
        read(tmp_path, content)


def test_files_that_are_too_large_are_not_read(tmp_path):
    with (tmp_path / "labels.mat").open("wb") as sparse:
        sparse.write(file())
        sparse.truncate(2**34)
    with pytest.raises(DataError, match="17,179,869,184 bytes; accepted are at most 1,048,576"):
        matlab.read(tmp_path / "labels.mat", None, LIMIT)
    with pytest.raises(DataError, match="missing"):
        matlab.read(tmp_path / "none.mat")


@pytest.mark.parametrize("packed", [True, False])
def test_mutated_files_are_read_or_refused(tmp_path, packed):
    matlab.write(
        tmp_path / "whole.mat",
        {"names": ["F1_KNU3_A", "PALM_1"], "xyz": np.arange(24.0).reshape(2, 4, 3)},
        packed,
    )
    fuzz(
        lambda path: matlab.read(path, None, LIMIT),
        tmp_path / "labels.mat",
        (tmp_path / "whole.mat").read_bytes(),
    )
