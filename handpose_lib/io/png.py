"""A checked reader of PNG files that have the image size of a camera.

Every chunk of a PNG has a checksum, which decoders often ignore. Here all of them are verified
first, so that a damaged image is never taken for a measurement. Nothing is decompressed before the
header fits the camera.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from handpose_lib.camera import Camera
from handpose_lib.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Pillow's names for one channel of 16 bits; 'I' in versions that widened them."""
COLOURS = ("RGB",)
BYTES = 1 << 24
"""Largest file that is accepted, more than an image of any camera here needs: 16 MiB."""
# What Pillow raises for damaged files: it has no common error.
FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def read(path: Path, modes: tuple[str, ...], camera: Camera, what: str) -> np.ndarray:
    """Return the values of a PNG, (H, W), or (H, W, 3) for red, green, blue.

    `what` names what is accepted, for messages. Errors: `DataError` for a missing file, a damaged
    PNG, another kind of pixels than `modes`, and another size than the camera's.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(BYTES + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; accepted is {what}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); accepted is {what}") from error
    if fault := damage(content):
        raise DataError(f"{path}: not a whole PNG ({fault}); accepted is {what}")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            mode, size = picture.mode, picture.size
            if mode in modes and size == (camera.width, camera.height):
                return np.asarray(picture)
    except FAULTS as error:
        short = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: not a readable PNG ({type(error).__name__}: {short}); accepted is {what}"
        ) from error
    raise DataError(
        f"{path}: a PNG of kind {mode!r} and {size[0]}×{size[1]} pixels; accepted is {what}, "
        f"{camera.width}×{camera.height}"
    )


def damage(content: bytes) -> str | None:
    """Return what is wrong with lengths or checksums of a PNG's chunks; None if it is whole."""
    if len(content) > BYTES:
        return f"more than {BYTES:,} bytes"
    if content[: len(SIGNATURE)] != SIGNATURE:
        return "it does not begin as one" if content else "empty"
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(content):
            return f"cut off after {len(content):,} bytes"
        length, kind = struct.unpack_from(">I4s", content, at)
        if at + 12 + length > len(content):
            return f"cut off after {len(content):,} bytes"
        (checksum,) = struct.unpack_from(">I", content, at + 8 + length)
        if zlib.crc32(memoryview(content)[at + 4 : at + 8 + length]) != checksum:
            return f"its part {kind.decode('latin-1')!r} is damaged"
        at += 12 + length
    return None
