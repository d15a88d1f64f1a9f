"""Synthetic sets in the format of real ones, made by the script that everyone uses; the scripts as
modules; PNG files that no library wrote.
"""

import struct
import zlib

from data_scripts import make_synthetic


def made_with(name, frames, out, *arguments):
    """The folder of a new synthetic set."""
    assert (
        make_synthetic.main(
            [
                "--format",
                name,
                "--frames",
                str(frames),
                "--out",
                str(out),
                "--seed",
                "5",
                *arguments,
            ]
        )
        == 0
    )
    return out


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
