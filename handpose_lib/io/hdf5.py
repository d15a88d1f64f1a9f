"""HDF5 files, read with suspicion: what a file says of itself is checked before anything is read.

    with hdf5.opened(path, "ITOP's labels") as file:
        joints = hdf5.dataset(file, "real_world_coordinates", (None, 15, 3), "f")
        values = hdf5.read(joints)

A damaged or foreign file is a `DataError` that names it. A file may not lead elsewhere
(links to other files, storage outside, virtual data), nor ask for filters that are not part of
every HDF5, nor for a chunk that fills the memory; `read` takes no more than `MEMORY` bytes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import h5py
import numpy as np

from handpose_lib.errors import DataError

MEMORY = 1 << 30
"""Bytes that one `read` may ask for: 1 GiB."""
CHUNK = 1 << 26
"""Bytes of the largest chunk that is accepted: 64 MiB."""
NAME = 64
"""Bytes of the longest name or number."""
FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
}
"""gzip, shuffle, checksum and LZF, which h5py brings along."""
KINDS = {
    "f": "floating-point numbers",
    "iu": "whole numbers",
    "biu": "whole numbers or truth values",
    "S": "byte strings",
}
# What h5py raises where a file is not what it says: it has no error of its own.
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
    """The file for reading. Errors: missing, no HDF5 file, cut off; `what` says what is accepted."""
    if not Path(path).is_file():
        raise DataError(f"{path}: missing; accepted is {what}")
    try:
        # Without locks, which some network file systems refuse: nobody writes here.
        return h5py.File(path, "r", locking=False)
    except FAULTS as error:
        raise DataError(
            f"{path}: not a whole HDF5 file ({_short(error)}); accepted is {what}"
        ) from error


@contextmanager
def opened(path: Path, what: str) -> Iterator[h5py.File]:
    """`open`, and closed at the end."""
    file = open(path, what)
    try:
        yield file
    finally:
        file.close()


def dataset(file: h5py.File, name: str, shape: tuple[int | None, ...], kinds: str) -> h5py.Dataset:
    """A data set of the file once it is known to be harmless.

    `shape` has None where any length is accepted; `kinds` is one of `KINDS`. Errors: it is not
    there, it leads out of the file, another shape or type, filters or chunks that are not accepted.
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


def read(data: h5py.Dataset, rows=()) -> np.ndarray:
    """The values of `rows` (a number, a slice; all by default). Errors: too many bytes, damaged
    storage.
    """
    name = data.name.lstrip("/")
    try:
        count = (
            1
            if isinstance(rows, int)
            else data.shape[0]
            if rows == ()
            else len(range(*rows.indices(data.shape[0])))
        )
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


def _check(file, name, found, shape, kinds) -> None:
    fits = len(found.shape or ()) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, found.shape)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise DataError(f"{_path(file)}: {name!r} has shape {found.shape}; accepted is ({wanted})")
    # Names may also be strings of any length: h5py has two kinds, and which of them a set has is
    # not documented. Those of any length lie on a heap of the file's; if that is damaged, HDF5
    # itself may take more memory than is stated here.
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


def _fixed(data: h5py.Dataset, values) -> np.ndarray:
    """Strings of any length as byte strings of one length."""
    longest = max(map(len, np.atleast_1d(values)), default=0)
    if longest > NAME:
        raise DataError(
            f"{_path(data.file)}: {data.name.lstrip('/')!r} has a name of {longest} bytes; accepted"
            f" are up to {NAME}"
        )
    return np.array(values, f"S{max(1, longest)}")


def _unreadable(file: h5py.File, name: str, error: Exception) -> DataError:
    return DataError(
        f"{_path(file)}: {name!r} cannot be read ({_short(error)}); accepted is a whole HDF5 file"
    )


def _path(file: h5py.File) -> str:
    return file.filename


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
