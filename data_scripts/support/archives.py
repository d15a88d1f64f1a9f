"""Unpacking archives that others made: nothing outside of the target, no links, no more than was
agreed.

    archives.unpack(path, target, limit=40 << 30)       # .zip, .tar, .tar.gz, .tgz, .tar.bz2,
                                                        .tar.xz
    archives.gunzip(path, target, limit=20 << 30)       # one file

Everything is looked at before anything is written, and counted while it is written: an archive may
lie about its sizes. It is unpacked beside the target and moved there when it is whole; what is
refused or broken leaves nothing behind.
"""

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from handpose_lib.errors import DataError

FILES = 3_000_000
"""More files than any of the sets has."""
PIECE = 1 << 20
DEPTH = 32
RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{name}{i}" for name in ("com", "lpt") for i in range(10)),
}
"""Names that Windows gives to devices."""
FAULTS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
)
"""What the standard library raises where an archive is not what it says."""


@dataclass(frozen=True)
class Member:
    """One entry: its place below the target, whether it is a folder, its stated size."""

    place: PurePosixPath
    folder: bool
    size: int
    handle: object


def unpack(path: Path, target: Path, limit: int, files: int = FILES) -> list[Path]:
    """Unpack an archive into the folder `target`, which must be new or empty; returns the files'
    paths, sorted.

    At most `limit` bytes in at most `files` files. Errors: `DataError` naming the archive and the
    member, for a missing or damaged archive, an unknown kind, an encrypted one, a member outside of
    the target, a link or device, two members of one name, too many bytes or files, no right or room
    to write.
    """
    path, target = Path(path), Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            f"{target}: is there and not an empty folder; accepted is a new place for {path.name}"
        )
    partial = target.with_name(f".{target.name}.partial")
    with _cleared(partial), _opened(path) as archive:
        members = _checked(path, archive, limit, files)
        partial.mkdir(parents=True)
        written = 0
        for member in members:
            place = partial.joinpath(*member.place.parts)
            if member.folder:
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source:
                written += _copy(path, source, place, limit - written, str(member.place))
        if target.exists():
            target.rmdir()
        os.replace(partial, target)
    return sorted(target.joinpath(*member.place.parts) for member in members if not member.folder)


def gunzip(path: Path, target: Path, limit: int) -> Path:
    """Unpack a `.gz` file to `target`, all of it or nothing. Errors: missing, damaged, more than
    `limit` bytes.
    """
    path, target = Path(path), Path(target)
    partial = target.with_name(f".{target.name}.partial")
    with _cleared(partial), _faults_named(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "rb") as source:
            _copy(path, source, partial, limit, target.name)
        os.replace(partial, target)
    return target


# Reading ----------------------------------------------------------------------------------------


class _Zip:
    def __init__(self, path: Path):
        self.file = zipfile.ZipFile(path)

    def members(self) -> Iterator[Member]:
        for info in self.file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & 1:
                raise ValueError(f"{info.filename!r} is encrypted")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"{info.filename!r} is a link or a device")
            yield Member(_place(info.orig_filename), info.is_dir(), info.file_size, info)

    def open(self, member: Member) -> BinaryIO:
        return self.file.open(member.handle)

    def close(self) -> None:
        self.file.close()


class _Tar:
    def __init__(self, path: Path):
        self.file = tarfile.open(path, "r:*")  # noqa: SIM115  closed by `close`

    def members(self) -> Iterator[Member]:
        for info in self.file:
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise ValueError(f"{info.name!r} is a link or a device")
            yield Member(_place(info.name), info.isdir(), info.size, info)

    def open(self, member: Member) -> BinaryIO:
        return self.file.extractfile(member.handle)

    def close(self) -> None:
        self.file.close()


@contextmanager
def _opened(path: Path):
    """The archive, whatever its kind, by its content."""
    with _faults_named(path):
        if not path.is_file():
            raise DataError(f"{path}: missing; accepted is a .zip or .tar archive")
        archive = _Zip(path) if zipfile.is_zipfile(path) else _Tar(path)
        try:
            yield archive
        finally:
            archive.close()


@contextmanager
def _faults_named(path: Path):
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        # Only the system's own errors have a number; gzip and tarfile raise OSError for damage as
        # well.
        if error.errno and not isinstance(error, gzip.BadGzipFile):
            raise DataError(
                f"{error.filename or path}: {error.strerror}; accepted is a readable archive and a"
                " place with room for its content"
            ) from error
        raise _damaged(path, error) from error
    except FAULTS as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: {' '.join(str(error).split())[:200] or type(error).__name__}; accepted is a whole"
        " archive of plain files and folders"
    )


@contextmanager
def _cleared(partial: Path):
    """Removes what a run before left, and what this one leaves when it fails."""
    _remove(partial)
    try:
        yield
    finally:
        _remove(partial)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


# Looking before unpacking -----------------------------------------------------------------------


def _checked(path: Path, archive, limit: int, files: int) -> list[Member]:
    members, seen, total = [], {}, 0
    for member in archive.members():
        if not member.place.parts:  # the archive's own top, './'
            continue
        total += member.size
        if total > limit:
            raise DataError(
                f"{path}: unpacks to more than {limit:,} bytes; accepted is what the set is known"
                " to need"
            )
        if len(members) >= files:
            raise DataError(
                f"{path}: holds more than {files:,} members; accepted is what the set is known to"
                " need"
            )
        key = str(member.place).casefold()  # one file on some systems
        if key in seen and not (member.folder and seen[key].folder):
            raise DataError(
                f"{path}: {str(member.place)!r} occurs twice; accepted is one file per name"
            )
        if key not in seen:
            seen[key] = member
            members.append(member)
    for member in members:
        for parent in member.place.parents:
            if (
                parent.parts
                and (found := seen.get(str(parent).casefold())) is not None
                and not found.folder
            ):
                raise DataError(
                    f"{path}: {str(parent)!r} is a file and a folder; accepted is one of them"
                )
    return members


def _place(name: str) -> PurePosixPath:
    """Where a member goes, below the target. Errors: anywhere else, or a name that some system
    reads differently.
    """
    plain = name.replace("\\", "/")
    windows = PureWindowsPath(plain)
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    outside = plain.startswith("/") or windows.drive or windows.root or ".." in parts
    if outside or len(parts) > DEPTH:
        raise ValueError(f"{name[:100]!r} leads out of the folder")
    for part in parts:
        odd = (
            any(ord(sign) < 32 or sign in '<>:"|?*' for sign in part)
            or part[-1] in ". "
            or len(part.encode()) > 255
        )
        if odd or part.split(".")[0].casefold() in RESERVED:
            raise ValueError(f"{name[:100]!r} is no name that every system accepts")
    return PurePosixPath(*parts)


def _copy(path: Path, source: BinaryIO, place: Path, limit: int, name: str) -> int:
    """Copy at most `limit` bytes into a new file; returns how many."""
    written = 0
    with place.open("xb") as file:
        while piece := source.read(PIECE):
            written += len(piece)
            if written > limit:
                raise DataError(
                    f"{path}: {name!r} unpacks to more than was stated or agreed; accepted is a"
                    " whole archive of the set"
                )
            file.write(piece)
    return written
