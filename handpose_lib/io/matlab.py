"""MATLAB files of version 5: plain arrays of numbers and lists of texts, read with suspicion, and
written.

    matlab.read(path, {"joint_xyz", "joint_names"})     # {'joint_xyz': (3, N, 36, 3),
                                                        'joint_names': ['F1_KNU3_A', …]}

As the published format description lays it out, a file is a header of 128 bytes and elements: a tag
(type, size) and so many bytes. An array is an element that holds others: flags, dimensions, name,
numbers. It may be packed with zlib. No size is believed before it is held against the bytes that
are there, and nothing but what was asked for is unpacked. Structures, objects, complex and sparse
arrays are passed over.
"""

import struct
import zlib
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np

from handpose_lib.errors import DataError, HandPoseError

HEADER = 128
TITLE = b"MATLAB 5.0 MAT-file, written by the hand pose book"
UNPACKED = 1 << 30
"""Bytes that a file may hold, and unpack to, unless a reader says otherwise."""

INT8, UINT16, INT32, UINT32, DOUBLE, MATRIX, PACKED, UTF8 = 1, 4, 5, 6, 9, 14, 15, 16
NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
"""Type of an element → how its numbers are stored; an array of doubles may be stored as whole
numbers.
"""
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
"""Type of an element → how its letters are stored; `_array` adds the order of the bytes to utf-16.
"""
CELLS, LETTERS, DOUBLES, NUMERIC = 1, 4, 6, range(6, 16)
"""Classes of arrays: lists, text, doubles, and all plain numbers from doubles to whole numbers of
64 bits.
"""
COMPLEX = 0x0800
NAME_BYTES = 512
"""So much of a packed array is unpacked to learn its name."""


def is_one(content: bytes) -> bool:
    """Whether the bytes begin as a MATLAB file of version 5 does."""
    return len(content) >= HEADER and content[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def read(
    path: Path, wanted: Collection[str] | None = None, limit: int = UNPACKED
) -> dict[str, np.ndarray | list[str]]:
    """The arrays of a file by name: numbers as they are stored, lists of texts as lists; all of
    them without `wanted`.

    Errors: a missing file, one of another kind or version, one that is larger than `limit` bytes or
    unpacks to more, sizes that contradict each other.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; accepted is a MATLAB file") from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); accepted is a MATLAB file"
        ) from error
    if size > limit:
        raise DataError(f"{path}: {size:,} bytes; accepted are at most {limit:,}")
    if not is_one(content):
        raise DataError(
            f"{path}: no MATLAB file of version 5; accepted is what MATLAB saves by default,"
            " without -v7.3"
        )
    return arrays(content, str(path), limit, wanted)


def arrays(
    content: bytes, where: str, unpacked: int, wanted: Collection[str] | None = None
) -> dict:
    """As `read`, from bytes. Errors: `DataError` naming `where`; more than `unpacked` packed bytes."""
    order = "<" if content[126:128] == b"IM" else ">"
    found, left = {}, unpacked
    for kind, data in _elements(memoryview(content)[HEADER:], order, where):
        if kind == PACKED:
            if wanted is not None and _packed_name(data, order, where) not in wanted:
                continue
            data = _unpack(data, left, where)
            left -= len(data)
            kind, data = next(_elements(data, order, where), (None, b""))
        if kind == MATRIX:
            name, values = _array(data, order, where)
            if values is not None and (wanted is None or name in wanted):
                found[name] = values
    return found


def write(
    path: Path, values: Mapping[str, np.ndarray | Sequence[str]], packed: bool = True
) -> None:
    """Write float64 arrays and lists of texts, each packed on its own as MATLAB does."""
    content = TITLE.ljust(116, b" ") + bytes(8) + b"\x00\x01IM"
    for name, value in values.items():
        array = _doubles(name, value) if isinstance(value, np.ndarray) else _cells(name, value)
        content += _tagged(PACKED, zlib.compress(array, 6), pad=False) if packed else array
    Path(path).write_bytes(content)


# --- reading -----------------------------------------------------------------------------------


def _elements(data, order: str, where: str):
    """(type, bytes) of the elements one after the other."""
    data, at = memoryview(data), 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        at += 8
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size, start = kind & 0xFFFF, kind >> 16, at - 4
            if size > 4:
                raise DataError(f"{where}: damaged, an element of {size} bytes in a place of 4")
        else:
            start = at
            at += size if kind == PACKED else size + -size % 8
        if start + size > len(data):
            raise DataError(
                f"{where}: damaged or cut off, an element of {size:,} bytes where"
                f" {len(data) - start:,} are left"
            )
        yield kind, data[start : start + size]
    if at < len(data):
        raise DataError(f"{where}: damaged, {len(data) - at} bytes after the last element")


def _array(data, order: str, where: str):
    """(name, numbers or texts) of one array; (name, None) if it is of another kind."""
    elements = _elements(data, order, where)
    flags, shape, name = _head(elements, order, where)
    if flags & 0xFF == CELLS:
        texts = [_text(part, order, where) for kind, part in elements if kind == MATRIX]
        return name, None if None in texts else texts
    if flags & 0xFF not in NUMERIC or flags & COMPLEX:
        return name, None
    kind, numbers = next(elements, (None, b""))
    if kind not in NUMBERS or next(elements, None) is not None:
        raise DataError(
            f"{where}: damaged, array {name!r} holds elements of the unknown type {kind}, or too"
            " many"
        )
    stored = np.dtype(order + NUMBERS[kind])
    if min(shape, default=-1) < 0 or prod(shape) * stored.itemsize != len(numbers):
        raise DataError(
            f"{where}: damaged, array {name!r} of shape {shape} with {len(numbers):,} bytes of"
            " numbers"
        )
    return name, np.frombuffer(numbers, stored).reshape(shape, order="F")


def _text(data, order: str, where: str) -> str | None:
    """The letters of a row of text; None for anything else."""
    elements = _elements(data, order, where)
    flags, _, _ = _head(elements, order, where)
    kind, letters = next(elements, (None, b""))
    if flags & 0xFF != LETTERS or kind not in TEXTS:
        return None
    coding = TEXTS[kind] + ({"<": "-le", ">": "-be"}[order] if TEXTS[kind] == "utf-16" else "")
    return bytes(letters).decode(coding, errors="replace")


def _head(elements, order: str, where: str) -> tuple[int, tuple[int, ...], str]:
    """Flags, dimensions and name, with which every array begins."""
    parts = [part for _, part in islice(elements, 3)]
    if len(parts) < 3 or len(parts[0]) != 8 or len(parts[1]) % 4 or len(parts[1]) > 128:
        raise DataError(f"{where}: damaged, an array without flags, dimensions and name")
    (flags,) = struct.unpack_from(f"{order}I", parts[0])
    return (
        flags,
        struct.unpack(f"{order}{len(parts[1]) // 4}i", parts[1]),
        bytes(parts[2]).decode("latin-1"),
    )


def _packed_name(data, order: str, where: str) -> str | None:
    """The name of a packed array from its first bytes; None where they hold no array."""
    try:
        start = zlib.decompressobj().decompress(data, NAME_BYTES)
    except zlib.error as error:
        raise DataError(f"{where}: damaged, a packed part cannot be unpacked ({error})") from error
    if len(start) < 8 or struct.unpack_from(f"{order}I", start)[0] != MATRIX:
        return None
    return _head(_elements(start[8:], order, where), order, where)[2]


def _unpack(data, limit: int, where: str) -> bytes:
    packed = zlib.decompressobj()
    try:
        unpacked = packed.decompress(data, limit + 1)
    except zlib.error as error:
        raise DataError(f"{where}: damaged, a packed part cannot be unpacked ({error})") from error
    if len(unpacked) > limit:
        raise DataError(f"{where}: unpacks to more bytes than the {limit:,} that are accepted")
    if not packed.eof:
        raise DataError(f"{where}: cut off in a packed part")
    return unpacked


# --- writing -----------------------------------------------------------------------------------


def _doubles(name: str, values: np.ndarray) -> bytes:
    numbers = np.asarray(values, "<f8").tobytes(order="F")
    return _matrix(DOUBLES, values.shape, name, _tagged(DOUBLE, numbers))


def _cells(name: str, texts: Sequence[str]) -> bytes:
    if not all(isinstance(text, str) for text in texts):
        raise HandPoseError(f"{name}: accepted are an array of numbers or a list of texts")
    letters = [
        _matrix(LETTERS, (1, len(text)), "", _tagged(UINT16, text.encode("utf-16-le")))
        for text in texts
    ]
    return _matrix(CELLS, (1, len(texts)), name, b"".join(letters))


def _matrix(kind: int, shape: tuple[int, ...], name: str, content: bytes) -> bytes:
    head = [
        _tagged(UINT32, struct.pack("<II", kind, 0)),
        _tagged(INT32, struct.pack(f"<{len(shape)}i", *shape)),
        _tagged(INT8, name.encode("latin-1")),
    ]
    return _tagged(MATRIX, b"".join(head) + content)


def _tagged(kind: int, data: bytes, pad: bool = True) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8 if pad else 0)
