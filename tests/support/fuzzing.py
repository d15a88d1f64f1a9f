"""Thousands of damaged files: each must be read, or refused by a `DataError` that names the file.

    # 2,000 mutations with a fixed seed
    tally = fuzz(msra.read_frame, tmp_path / "000000_depth.bin", content)

A failure names the mutation: `mutate(content, seed, number)` makes the very same bytes again.
"""

import contextlib
import random
import re
import signal
import struct
import time
import tracemalloc
from collections import Counter
from pathlib import Path

from handpose_lib.errors import DataError

COUNT = 2000
SECONDS = 20
"""No reader may take longer for one small file; a busy machine may take many times as long as an
idle one.
"""
MEBIBYTES = 64
"""By so much the memory of the process may grow while all of the small files are read."""

INTEGERS = (0, 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
NUMBERS = (
    b"nan",
    b"inf",
    b"-inf",
    b"1e999",
    b"-1",
    b"0",
    b"1e-320",
    b"99999999999999999999",
    b"0x10",
    b"1_0",
    b"",
    b"x",
    b"1,5",
    b"\xff",
    b"\x00",
    "٣".encode(),
    b"1e",
    b"--1",
)
FOREIGN = (
    b"",
    b"\n",
    b"\x89PNG\r\n\x1a\n",
    b"\x1f\x8b\x08\x00",
    b"PK\x03\x04",
    b"\x89HDF\r\n\x1a\n",
    b"MATLAB 5.0",
    b"GIF89a\xff\xff\xff\xff",
    b"{}",
    b"\xef\xbb\xbf1\n",
    b"II*\x00\x08\x00\x00\x00",
)


def fuzz(
    read, path, content: bytes, count: int = COUNT, seed: int = 0, mebibytes: float = MEBIBYTES
) -> Counter:
    """Call `read(path)` on `count` damaged versions of the file; how many of each kind were 'read'
    and 'refused'.

    Fails for any exception but a `DataError` whose message names the file, for reading that takes
    longer than `SECONDS`, and for memory that grows by more than `mebibytes`. The whole file has to
    be readable.
    """
    path, tally = Path(path), Counter()
    path.write_bytes(content)
    read(path)
    memory = _Memory()
    for number in range(count):
        kind, damaged = mutate(content, seed, number)
        path.write_bytes(damaged)
        what = f"mutation {number} of seed {seed} ({kind}, {len(damaged)} bytes)"
        try:
            with _bounded(what):
                read(path)
            tally["read", kind] += 1
        except DataError as error:
            assert path.name in str(error), (
                f"{what}: the message does not name {path.name}: {error}"
            )
            assert "\n" not in str(error) and len(str(error)) < 2000, (
                f"{what}: not one clear line: {str(error)[:300]!r}"
            )
            tally["refused", kind] += 1
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
        grown = memory.grown() / 2**20
        assert grown < mebibytes, (
            f"{what}: memory grew by {grown:.0f} MiB; the bound is {mebibytes} MiB"
        )
    memory.close()
    path.write_bytes(content)
    assert sum(tally.values()) == count and any(outcome == "refused" for outcome, _ in tally)
    return tally


def mutate(content: bytes, seed: int, number: int) -> tuple[str, bytes]:
    """One kind of damage and the bytes that it leaves: a function of its arguments alone."""
    draw = random.Random(f"{seed} {number}")
    kind = list(KINDS)[number % len(KINDS)]
    damaged = KINDS[kind](bytearray(content), draw)
    if draw.random() < 0.2:  # misfortunes come together
        damaged = KINDS[draw.choice(list(KINDS))](bytearray(damaged), draw)
    return kind, bytes(damaged)


def _cut(content, draw):
    return content[: draw.randrange(len(content) + 1)]


def _extended(content, draw):
    return content + draw.choice(
        (draw.randbytes(draw.randint(1, 64)), content[-draw.randint(1, 64) :], b"\0" * 4096)
    )


def _bits(content, draw):
    for _ in range(draw.choice((1, 1, 1, 3, 30))):
        if content:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return content


def _bytes(content, draw):
    start = draw.randrange(len(content) + 1)
    content[start : start + draw.randint(1, 16)] = draw.randbytes(draw.randint(0, 16))
    return content


def _header(content, draw):
    """An absurd whole number of 4 bytes in either order, mostly near the beginning."""
    start = draw.randrange(max(1, min(len(content), draw.choice((16, 64, 256, len(content) or 1)))))
    start -= draw.choice((0, start % 4))
    content[start : start + 4] = struct.pack(draw.choice("<>") + "I", draw.choice(INTEGERS))
    return content


def _number(content, draw):
    """A number of a text becomes an absurd one; in a binary file, whatever looks like one."""
    found = list(re.finditer(rb"-?\d[\d.]*", content))
    for match in sorted(
        draw.sample(found, min(len(found), draw.choice((1, 1, 5)))), key=lambda m: -m.start()
    ):
        content[match.start() : match.end()] = draw.choice(NUMBERS)
    return content


def _lines(content, draw):
    """Lines of a text are lost, doubled or exchanged; blank ones and other line ends come in."""
    lines = content.split(b"\n")
    place = draw.randrange(len(lines))
    lines[place : place + 1] = draw.choice(
        ([], [lines[place]] * 2, [lines[place], b"", b" \r"], [draw.choice(lines)])
    )
    return draw.choice((b"\n", b"\n", b"\r\n", b"\r", b"\n\n")).join(lines)


def _moved(content, draw):
    """A part is lost, doubled or turned to zeros."""
    start, size = draw.randrange(len(content) + 1), draw.choice((1, 2, 4, 8, 100))
    part = content[start : start + size]
    content[start : start + size] = draw.choice((b"", part * 2, b"\0" * len(part), part[::-1]))
    return content


def _foreign(content, draw):
    """Another type of file, or its beginning before what was there."""
    return draw.choice(FOREIGN) + draw.choice(
        (b"", bytes(content), bytes(content[8:]), draw.randbytes(100))
    )


KINDS = {
    "cut": _cut,
    "extended": _extended,
    "bits": _bits,
    "bytes": _bytes,
    "header": _header,
    "number": _number,
    "lines": _lines,
    "moved": _moved,
    "foreign": _foreign,
}


@contextlib.contextmanager
def _bounded(what):
    """Fails when the block takes too long; one that hangs is ended where signals can."""

    def ended(*_):
        raise AssertionError(f"{what}: not done after {SECONDS} s")

    start = time.monotonic()
    if hasattr(signal, "setitimer"):
        before = signal.signal(signal.SIGALRM, ended)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    else:
        yield
    assert time.monotonic() - start < SECONDS, f"{what}: took {time.monotonic() - start:.0f} s"


class _Memory:
    """By how many bytes the process grew: all of it where Linux tells, elsewhere what Python and
    numpy took.
    """

    STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def __init__(self):
        self.linux = self.STATUS.exists()
        if self.linux:
            with contextlib.suppress(OSError):
                self.PEAK.write_text("5")  # the peak begins anew
            self.before = self._kibibytes(b"VmHWM")
        else:
            tracemalloc.start()

    def grown(self) -> int:
        if self.linux:
            return 1024 * (self._kibibytes(b"VmHWM") - self.before)
        return tracemalloc.get_traced_memory()[1]

    def close(self):
        if not self.linux:
            tracemalloc.stop()

    def _kibibytes(self, key):
        line = next(
            line for line in self.STATUS.read_bytes().splitlines() if line.startswith(key + b":")
        )
        return int(line.split()[1])
