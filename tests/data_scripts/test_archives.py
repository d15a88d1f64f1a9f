"""Archives that others made: what is whole is unpacked, and nothing else leaves a trace."""

import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from importlib import import_module

import pytest

from handpose_lib.errors import DataError
from tests.support.fuzzing import fuzz

archives = import_module("data_scripts.support.archives")

CONTENT = {"set/P0/1/000000_depth.bin": b"depth " * 400, "set/joint.txt": b"1\n", "set/empty": b""}
LIMIT = 1 << 20


def make_zip(path, members=CONTENT, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def make_tar(path, members=CONTENT, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def left(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def refused(tmp_path, archive, message, **options):
    """The archive is refused with its name and this message, and nothing else is there afterwards."""
    before = left(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        archives.unpack(archive, tmp_path / "target", **{"limit": LIMIT, **options})
    assert archive.name in str(error.value)
    assert left(tmp_path) == before


@pytest.mark.parametrize(
    "make, name",
    [
        (make_zip, "a.zip"),
        (make_tar, "a.tar.gz"),
        (lambda p: make_tar(p, mode="w"), "a.tar"),
        (lambda p: make_tar(p, mode="w:xz"), "a.tar.xz"),
        (lambda p: make_tar(p, mode="w:bz2"), "a.tar.bz2"),
        (make_zip, "unnamed"),
    ],
)
def test_whole_archives_are_unpacked(tmp_path, make, name):
    found = archives.unpack(make(tmp_path / name), tmp_path / "target", LIMIT)
    assert {
        path.relative_to(tmp_path / "target").as_posix(): path.read_bytes() for path in found
    } == CONTENT
    assert not list(tmp_path.glob(".*"))


OUTSIDE = [
    "../evil",
    "set/../../evil",
    "/evil",
    "//evil",
    "C:/evil",
    "C:evil",
    "\\evil",
    "..\\evil",
    "\\\\host\\share\\evil",
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_no_member_leaves_the_folder(tmp_path, make, name):
    refused(
        tmp_path, make(tmp_path / "archive", {"set/a": b"1", name: b"2"}), "leads out of the folder"
    )


@pytest.mark.parametrize(
    "name",
    [
        "set/nul",
        "set/NUL.txt",
        "set/a:b",
        "set/a|b",
        "set/trailing.",
        "set/trailing ",
        "set/line\nbreak",
        "set/" + "x" * 300,
    ],
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_systems_read_differently_are_refused(tmp_path, make, name):
    refused(tmp_path, make(tmp_path / "archive", {name: b"2"}), "no name that every system accepts")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_tar_links_and_devices_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "archive.tar", "w") as file:
        info = tarfile.TarInfo("set/link")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    refused(tmp_path, tmp_path / "archive.tar", "link or a device")


def test_zip_links_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as file:
        info = zipfile.ZipInfo("set/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    refused(tmp_path, tmp_path / "archive.zip", "link or a device")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_bombs_are_refused_by_what_they_state(tmp_path, make):
    refused(
        tmp_path,
        make(tmp_path / "archive", {"a": bytes(600_000), "b": bytes(600_000)}),
        "unpacks to more than 1,048,576 bytes",
    )


def test_bombs_are_refused_by_what_they_bring(tmp_path):
    """A zip that states a small size for a large content: nothing beyond the stated is taken for
    whole.
    """
    path = make_zip(tmp_path / "archive.zip", {"a": bytes(5_000_000)})
    size = (5_000_000).to_bytes(4, "little")
    content = path.read_bytes()
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    refused(tmp_path, path, "accepted is a whole archive")
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(bytes(5_000_000)))
    with pytest.raises(DataError, match="a.gz.*more than was stated"):
        archives.gunzip(packed, tmp_path / "a", LIMIT)
    assert left(tmp_path) == ["a.gz", "archive.zip"]


def test_too_many_files_and_names_twice_are_refused(tmp_path):
    refused(
        tmp_path,
        make_zip(tmp_path / "a.zip", {f"f{i}": b"" for i in range(20)}),
        "more than 10 members",
        files=10,
    )
    refused(tmp_path, make_tar(tmp_path / "b.tar", {"set/A": b"1", "set/a": b"2"}), "occurs twice")
    refused(
        tmp_path, make_tar(tmp_path / "c.tar", {"set": b"1", "set/a": b"2"}), "a file and a folder"
    )


def test_encrypted_missing_and_foreign_files_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"secret": b"1"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(tmp_path, path, "encrypted")
    (tmp_path / "b.zip").write_bytes(b"no archive")
    refused(tmp_path, tmp_path / "b.zip", "accepted is a whole archive")
    refused(tmp_path, tmp_path / "missing.zip", "missing")


def test_what_is_there_is_never_replaced(tmp_path):
    (tmp_path / "target").mkdir()
    archives.unpack(
        make_zip(tmp_path / "a.zip"), tmp_path / "target", LIMIT
    )  # an empty folder may be filled
    with pytest.raises(DataError, match="not an empty folder.*a.zip"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "target", LIMIT)
    assert (tmp_path / "target" / "set" / "joint.txt").read_bytes() == b"1\n"


@pytest.mark.parametrize(
    "make, name",
    [(make_zip, "a.zip"), (make_tar, "a.tar.gz"), (lambda p, few: make_tar(p, few, "w"), "a.tar")],
)
def test_damaged_archives_leave_nothing(tmp_path, make, name):
    content = make(
        tmp_path / name, {"set/000000_depth.bin": b"depth " * 20, "set/joint.txt": b"1\n"}
    ).read_bytes()

    def unpack(path):
        target = tmp_path / "target"
        try:
            for file in archives.unpack(path, target, LIMIT):
                assert target in file.parents
                file.unlink()
        finally:
            assert not (tmp_path / ".target.partial").exists()
        shutil.rmtree(target)

    fuzz(unpack, tmp_path / name, content)
    assert left(tmp_path) == [name]


def test_damaged_gz_leaves_nothing(tmp_path):
    def gunzip(path):
        archives.gunzip(path, tmp_path / "file", LIMIT).unlink()

    fuzz(gunzip, tmp_path / "file.gz", gzip.compress(b"depth " * 100))
    assert left(tmp_path) == ["file.gz"]
