"""Unpacking: a complete file is unpacked, and any other leaves nothing."""

import gzip

import pytest

from data_scripts.support import archives
from handpose_lib.errors import DataError
from tests.support.fuzzing import fuzz

LIMIT = 1 << 20


def left(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("size", [0, 1, LIMIT])
def test_a_complete_file_is_unpacked(tmp_path, size):
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    packed = tmp_path / "file.gz"
    packed.write_bytes(gzip.compress(content))
    target = tmp_path / "set" / "file"
    assert archives.gunzip(packed, target, LIMIT) == target
    assert target.read_bytes() == content
    assert left(tmp_path) == ["file.gz", "set", "set/file"]


def test_a_file_of_several_members_is_unpacked_whole(tmp_path):
    (tmp_path / "file.gz").write_bytes(gzip.compress(b"first ") + gzip.compress(b"second"))
    assert archives.gunzip(tmp_path / "file.gz", tmp_path / "file", LIMIT).read_bytes() == (
        b"first second"
    )


@pytest.mark.parametrize("size, stated", [(LIMIT + 1, LIMIT + 1), (50 * LIMIT, 1000)])
def test_a_bomb_is_refused(tmp_path, size, stated):
    """The bytes are counted: the size that a `.gz` file states may be wrong."""
    content = gzip.compress(bytes(size))
    (tmp_path / "file.gz").write_bytes(content[:-4] + stated.to_bytes(4, "little"))
    with pytest.raises(DataError, match=r"file\.gz: unpacks to more than 1,048,576 bytes"):
        archives.gunzip(tmp_path / "file.gz", tmp_path / "file", LIMIT)
    assert left(tmp_path) == ["file.gz"]


@pytest.mark.parametrize("content", [None, b"no archive", gzip.compress(b"depth ")[:-9]])
def test_a_missing_foreign_or_cut_off_file_is_refused(tmp_path, content):
    packed = tmp_path / "file.gz"
    if content is not None:
        packed.write_bytes(content)
    before = left(tmp_path)
    with pytest.raises(DataError, match=r"file\.gz: .*accepted"):
        archives.gunzip(packed, tmp_path / "file", LIMIT)
    assert left(tmp_path) == before


def test_a_refused_file_leaves_what_was_there(tmp_path):
    (tmp_path / "file").write_bytes(b"whole")
    (tmp_path / "file.gz").write_bytes(gzip.compress(b"other")[:-3])
    with pytest.raises(DataError):
        archives.gunzip(tmp_path / "file.gz", tmp_path / "file", LIMIT)
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert left(tmp_path) == ["file", "file.gz"]


def test_damaged_files_leave_nothing(tmp_path):
    def gunzip(path):
        archives.gunzip(path, tmp_path / "file", LIMIT).unlink()

    fuzz(gunzip, tmp_path / "file.gz", gzip.compress(b"depth " * 100))
    assert left(tmp_path) == ["file.gz"]
