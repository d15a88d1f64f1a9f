"""Synthetic sets in the format of real ones, made by `make_synthetic.py`, and PNG files written
without a library.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

from data_scripts import make_synthetic
from handpose_lib import datasets


def made_with(name, frames, out, *arguments):
    """Make a synthetic set in the format of `name` and return its folder."""
    options = {"--format": name, "--frames": frames, "--out": out, "--seed": 5}
    given = [str(word) for option in options.items() for word in option]
    assert make_synthetic.main([*given, *arguments]) == 0
    return out


def opened(name: str, root: Path | None = None, **options) -> Any:
    """A data set with the attributes of its own class, which type checkers do not know."""
    return datasets.open(name, root, **options)


def png(width, height, bits, colour, rows):
    """A PNG written out by hand: signature, header, one zlib stream of unfiltered rows, end."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    raw = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
