"""A size-checked reader and a writer of MATLAB files of version 5: numbers and lists of texts.

    matlab.read(path, {"joint_xyz", "joint_names"})
    # {'joint_xyz': (3, N, 36, 3), 'joint_names': ['F1_KNU3_A', …]}

SciPy decodes the arrays. It trusts the sizes and types that a file states, so this module first
walks the elements of the file: a tag (type, size) and as many bytes. An array is an element that
holds others: flags, dimensions, name, numbers. It may be compressed. SciPy receives an array only
if every size fits the bytes that are there. Only requested arrays are decompressed. Structures,
objects, complex and sparse arrays are skipped.
"""

import io
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
from scipy.io import loadmat, savemat

from handpose_lib.errors import DataError, HandPoseError

HEADER = 128
TITLE = b"MATLAB 5.0 MAT-file, written by the hand pose book"
UNPACKED = 1 << 30
"""Bytes that a file may have, and decompress to, unless the caller sets another limit: 1 GiB."""

MATRIX, COMPRESSED = 14, 15
HEAD = (6, 5, 1)
"""Types of the three elements with which an array begins."""
NUMBERS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Type of an element → bytes of each of its numbers. An array of doubles may be stored as whole
numbers.
"""
TEXTS = (1, 2, 4, 16, 17)
"""Types of elements that hold letters, of at least one byte each."""
CELLS, LETTERS, NUMERIC = 1, 4, range(6, 16)
"""Classes of arrays: lists, text, and all plain numbers from doubles to whole numbers of 64 bits.
"""
COMPLEX = 0x0800
DIMENSIONS = 32
"""The most dimensions of an array."""
NAME_BYTES = 512
"""Bytes of a compressed array that are decompressed to learn its name."""
# What SciPy raises if the content of an array contradicts its dimensions or coding.
FAULTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OSError)

Arrays = dict[str, np.ndarray | list[str]]


def is_one(content: bytes) -> bool:
    """Return whether the bytes begin like a MATLAB file of version 5."""
    return len(content) >= HEADER and content[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def read(path: Path, wanted: Collection[str] | None = None, limit: int = UNPACKED) -> Arrays:
    """Return the arrays of a file by name: numbers as they are stored, lists of texts as lists.

    `wanted`: names of the arrays to read, all by default. Errors: `DataError` for a missing file,
    one of another kind or version, one that has or decompresses to more than `limit` bytes, and
    sizes that contradict each other.
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


def arrays(content: bytes, where: str, limit: int, wanted: Collection[str] | None = None) -> Arrays:
    """Return the arrays of a file's content, as `read` does.

    Errors: `DataError` that names `where`; also for arrays that decompress to more than `limit`
    bytes together.
    """
    order = "<" if content[126:128] == b"IM" else ">"
    found: Arrays = {}
    left = limit
    for kind, data in _elements(memoryview(content)[HEADER:], order, where):
        if kind == COMPRESSED:
            if wanted is not None and _compressed_name(data, order, where) not in wanted:
                continue
            data = _decompressed(data, left, where)
            left -= len(data)
            kind, data = next(_elements(data, order, where), (0, memoryview(b"")))
        if kind != MATRIX:
            continue
        name, readable = _checked(data, order, where)
        # SciPy keeps names that do not begin with a letter for itself, as MATLAB does.
        if readable and name[:1].isalpha() and (wanted is None or name in wanted):
            found[name] = _decoded(name, data, order, where)
    return found


def write(
    path: Path, values: Mapping[str, np.ndarray | Sequence[str]], compressed: bool = True
) -> None:
    """Write arrays as float64 and lists of texts, each compressed on its own as MATLAB does."""
    content = io.BytesIO()
    plain = {name: _plain(name, value) for name, value in values.items()}
    savemat(content, plain, do_compression=compressed, oned_as="row")
    content.seek(0)
    content.write(TITLE.ljust(116))  # SciPy writes the time here: equal arrays, equal files
    Path(path).write_bytes(content.getvalue())


# --- checking -------------------------------------------------------------------


def _elements(data: bytes | memoryview, order: str, where: str) -> Iterator[tuple[int, memoryview]]:
    """Yield (type, bytes) of the elements, one after the other."""
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
            at += size if kind == COMPRESSED else size + -size % 8
        if start + size > len(data):
            raise DataError(
                f"{where}: damaged or cut off, an element of {size:,} bytes where"
                f" {len(data) - start:,} are left"
            )
        yield kind, data[start : start + size]
    if at < len(data):
        raise DataError(f"{where}: damaged, {len(data) - at} bytes after the last element")


def _checked(data: memoryview, order: str, where: str) -> tuple[str, bool]:
    """Return the name of an array, and whether it holds plain numbers or a list of texts.

    Errors: `DataError` if its sizes contradict each other.
    """
    elements = _elements(data, order, where)
    flags, shape, name = _head(elements, order, where)
    if flags & 0xFF == CELLS:
        parts = list(elements)
        if prod(shape) != len(parts):
            raise DataError(
                f"{where}: damaged, list {name!r} of shape {shape} with {len(parts)} entries"
            )
        return name, all(kind == MATRIX and _is_text(part, order, where) for kind, part in parts)
    if flags & 0xFF not in NUMERIC or flags & COMPLEX:
        return name, False
    kind, numbers = next(elements, (0, b""))
    if kind not in NUMBERS or next(elements, None) is not None:
        raise DataError(
            f"{where}: damaged, array {name!r} holds elements of the unknown type {kind}, or too"
            " many"
        )
    if prod(shape) * NUMBERS[kind] != len(numbers):
        raise DataError(
            f"{where}: damaged, array {name!r} of shape {shape} with {len(numbers):,} bytes of"
            " numbers"
        )
    return name, True


def _is_text(data: memoryview, order: str, where: str) -> bool:
    """Return whether an array is one row of text with as many letters as its dimensions state."""
    elements = _elements(data, order, where)
    flags, shape, _ = _head(elements, order, where)
    kind, letters = next(elements, (0, b""))
    fits = len(shape) == 2 and shape[0] <= 1 and prod(shape) <= len(letters)
    return flags & 0xFF == LETTERS and kind in TEXTS and fits and next(elements, None) is None


def _head(
    elements: Iterator[tuple[int, memoryview]], order: str, where: str
) -> tuple[int, tuple[int, ...], str]:
    """Return the flags, dimensions and name with which every array begins."""
    parts = list(islice(elements, 3))
    kinds, data = tuple(kind for kind, _ in parts), [part for _, part in parts]
    if kinds != HEAD or len(data[0]) != 8 or len(data[1]) % 4:
        raise DataError(f"{where}: damaged, an array without flags, dimensions and name")
    shape = struct.unpack(f"{order}{len(data[1]) // 4}i", data[1])
    if not 1 <= len(shape) <= DIMENSIONS or min(shape) < 0:
        raise DataError(f"{where}: damaged, an array of shape {shape[:4]}")
    (flags,) = struct.unpack_from(f"{order}I", data[0])
    return flags, shape, bytes(data[2]).decode("latin-1")


def _compressed_name(data: memoryview, order: str, where: str) -> str | None:
    """Return the name of a compressed array from its first bytes; None if they hold no array."""
    try:
        start = zlib.decompressobj().decompress(data, NAME_BYTES)
    except zlib.error as error:
        raise DataError(f"{where}: damaged, a packed part cannot be unpacked ({error})") from error
    if len(start) < 8 or struct.unpack_from(f"{order}I", start)[0] != MATRIX:
        return None
    return _head(_elements(start[8:], order, where), order, where)[2]


def _decompressed(data: memoryview, limit: int, where: str) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        result = decompressor.decompress(data, limit + 1)
    except zlib.error as error:
        raise DataError(f"{where}: damaged, a packed part cannot be unpacked ({error})") from error
    if len(result) > limit:
        raise DataError(f"{where}: unpacks to more bytes than the {limit:,} that are accepted")
    if not decompressor.eof:
        raise DataError(f"{where}: cut off in a packed part")
    return result


# --- decoding -------------------------------------------------------------------


def _decoded(name: str, data: memoryview, order: str, where: str) -> np.ndarray | list[str]:
    """Return the values of one checked array, which SciPy receives as a file of its own."""
    version, coding = (b"\x00\x01IM", "utf-16-le") if order == "<" else (b"\x01\x00MI", "utf-16-be")
    tag = struct.pack(f"{order}II", MATRIX, len(data))
    file = io.BytesIO(b"".join((TITLE.ljust(124), version, tag, data)))
    try:
        values = loadmat(file, uint16_codec=coding)[name]
        if values.dtype != object:
            return values
        return [str(text[0]) if len(text) else "" for text in values.ravel(order="F")]
    except FAULTS as error:
        raise DataError(f"{where}: damaged, array {name!r} cannot be decoded") from error


def _plain(name: str, value: np.ndarray | Sequence[str]) -> np.ndarray:
    """Return what SciPy writes as an array of doubles or as a list of texts."""
    if isinstance(value, np.ndarray):
        return np.asarray(value, "<f8")
    if not all(isinstance(text, str) for text in value):
        raise HandPoseError(f"{name}: accepted are an array of numbers or a list of texts")
    texts = np.empty(len(value), dtype=object)
    texts[:] = value
    return texts
