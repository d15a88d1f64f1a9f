"""A checked reader of HDF5 files: shapes, types and sizes are verified before anything is read.

    with hdf5.opened(path, "ITOP's labels") as file:
        joints = hdf5.dataset(file, "real_world_coordinates", (None, 15, 3), "f")
        values = hdf5.read(joints)

A damaged or foreign file raises a `DataError` that names it. Not accepted are links to other files,
external storage, virtual data sets, filters that are not part of every HDF5 library, and chunks
that fill the memory; `read` returns at most `MEMORY` bytes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import h5py
import numpy as np

from handpose_lib.errors import DataError

MEMORY = 1 << 30
"""Largest number of bytes that one `read` returns: 1 GiB."""
CHUNK = 1 << 26
"""Bytes of the largest chunk that is accepted: 64 MiB."""
NAME = 64
"""Bytes of the longest name or number that is accepted."""
FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
}
"""gzip, shuffle, checksum and LZF, which are part of h5py."""
KINDS = {
    "f": "floating-point numbers",
    "iu": "whole numbers",
    "biu": "whole numbers or truth values",
    "S": "byte strings",
}
# What h5py raises for damaged files: it has no error of its own.
FAULTS = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    AttributeError,
    SystemError,
)


def open(path: Path, what: str) -> h5py.File:
    """Return the file, opened for reading; `what` names what is accepted, for messages.

    Errors: `DataError` for a missing file, another format, and a file that is cut off.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: missing; accepted is {what}")
    try:
        # Without locks, which some network file systems refuse; nothing is written.
        return h5py.File(path, "r", locking=False)
    except FAULTS as error:
        raise DataError(
            f"{path}: not a whole HDF5 file ({_short(error)}); accepted is {what}"
        ) from error


@contextmanager
def opened(path: Path, what: str) -> Iterator[h5py.File]:
    """Open the file as `open` does, and close it at the end of the block."""
    file = open(path, what)
    try:
        yield file
    finally:
        file.close()


def dataset(file: h5py.File, name: str, shape: tuple[int | None, ...], kinds: str) -> h5py.Dataset:
    """Return a data set of the file after checking it.

    `shape` has None where any length is accepted; `kinds` is one of `KINDS`. Errors: `DataError` if
    it does not exist, is stored outside the file, or has another shape or type, or filters or
    chunks that are not accepted.
    """
    try:
        link = file.get(name, getlink=True) if name in file else None
        if not isinstance(link, h5py.HardLink):
            raise DataError(
                f"{_path(file)}: no {name!r} in this file; there are"
                f" {', '.join(map(str, file)) or 'none'}"
            )
        found = file[name]
        if not isinstance(found, h5py.Dataset):
            raise DataError(f"{_path(file)}: {name!r} is a group; accepted is a data set")
        _check(file, name, found, shape, kinds)
    except DataError:
        raise
    except FAULTS as error:
        raise _unreadable(file, name, error) from error
    return found


def read(data: h5py.Dataset, rows: int | slice | tuple[()] = ()) -> np.ndarray:
    """Return the values of `rows` (a number, a slice; all by default).

    Errors: `DataError` for too many bytes and damaged storage.
    """
    name = _name(data)
    try:
        if isinstance(rows, int):
            count = 1
        elif isinstance(rows, slice):
            count = len(range(*rows.indices(data.shape[0])))
        else:
            count = data.shape[0]
        needed = count * prod(data.shape[1:]) * data.dtype.itemsize
        if needed > MEMORY:
            raise DataError(
                f"{_path(data.file)}: {name!r} asks for {needed:,} bytes at once; accepted are"
                f" {MEMORY:,}"
            )
        return _fixed(data, data[rows]) if data.dtype.kind == "O" else data[rows]
    except DataError:
        raise
    except FAULTS as error:
        raise _unreadable(data.file, name, error) from error


def _check(
    file: h5py.File, name: str, found: h5py.Dataset, shape: tuple[int | None, ...], kinds: str
) -> None:
    fits = len(found.shape or ()) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, found.shape)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise DataError(f"{_path(file)}: {name!r} has shape {found.shape}; accepted is ({wanted})")
    # Names may also be strings of variable length: h5py has two kinds, and the documentation of the
    # data sets does not say which they use. HDF5 stores variable lengths on a heap of the file; if
    # that is damaged, HDF5 itself may allocate more than `MEMORY`.
    text = kinds == "S" and h5py.check_string_dtype(found.dtype) is not None
    if not text and (found.dtype.kind not in kinds or found.dtype.itemsize > NAME):
        raise DataError(f"{_path(file)}: {name!r} holds {found.dtype}; accepted are {KINDS[kinds]}")
    plist = found.id.get_create_plist()
    if found.is_virtual or plist.get_external_count():
        raise DataError(
            f"{_path(file)}: {name!r} lies in another file; accepted are values in this one"
        )
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if not filters <= FILTERS:
        raise DataError(
            f"{_path(file)}: {name!r} needs the HDF5 filters {sorted(filters - FILTERS)}; accepted"
            " are gzip, LZF, shuffle and checksums"
        )
    if found.chunks and prod(found.chunks) * found.dtype.itemsize > CHUNK:
        raise DataError(
            f"{_path(file)}: {name!r} has chunks of shape {found.chunks}; accepted are up to"
            f" {CHUNK:,} bytes"
        )


def _fixed(data: h5py.Dataset, values: np.ndarray) -> np.ndarray:
    """Return strings of variable length as byte strings of one length."""
    longest = max(map(len, np.atleast_1d(values)), default=0)
    if longest > NAME:
        raise DataError(
            f"{_path(data.file)}: {_name(data)!r} has a name of {longest} bytes; accepted are up to"
            f" {NAME}"
        )
    return np.array(values, f"S{max(1, longest)}")


def _unreadable(file: h5py.File, name: str, error: Exception) -> DataError:
    return DataError(
        f"{_path(file)}: {name!r} cannot be read ({_short(error)}); accepted is a whole HDF5 file"
    )


def _path(file: h5py.File) -> str:
    return file.filename


def _name(data: h5py.Dataset) -> str:
    return (data.name or "").lstrip("/")


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
