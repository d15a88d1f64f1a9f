"""Reading and writing pose files. The content of a file decides its format, never its name.

text      One frame per line, three numbers per joint. Separators, header, names of images (a
          backslash becomes a slash), numbers of frames and what follows the joints are recognised:
          see `text`.
MATLAB    Version 5: the only array of `(N, J, 3)` or `(N, 3 J)` numbers.
zip       Exactly one file of these formats, beside any others.

Reading needs at most `MEMORY` times the size of the file, or of its decompressed content, which may
be `RATIO` times as large and no larger than `UNPACKED`. Nothing is unpacked to disk, and nothing
that is read is executed.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.io import matlab, storage
from handpose_lib.published import text

LARGEST = 512 * 2**20
"""Size of the largest file that is accepted. The predictions of HANDS 2017's 295,510 test frames
need a third of it.
"""
UNPACKED = 256 * 2**20
"""Largest total size of the decompressed content of one file."""
RATIO = 64
"""Largest ratio of decompressed to compressed size. Predictions compress to a half or a quarter of
their size, decompression bombs to a thousandth.
"""
MEMORY = 24
"""Largest ratio of the memory needed for reading to the size of the file: a digit and a blank
become the eight bytes of a number, twice.
"""
BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
)
"""What Python's reader raises for damaged archives, unknown versions (a RuntimeError) and
passwords.
"""


@dataclass(frozen=True)
class Poses:
    """The content of a file: its numbers `points` (N, J, 3), float64, and an image name per frame,
    or None. `numbered`: the names are numbers, such as those of the frames.
    """

    points: torch.Tensor
    names: list[str] | None = None
    numbered: bool = False

    def __len__(self) -> int:
        return len(self.points)


def read(path: Path | str, joints: int | Iterable[int] | None = None) -> Poses:
    """Return the content of a pose file of any of the formats above.

    `joints`: the number of joints of each frame, or several accepted numbers, the usual one first;
    by default the file decides. Numbers that are no coordinates are ignored, unless every line has
    as many as further joints would need: a file of 16 joints is never read as one of 14.
    Errors: `DataError` naming the file, and the line or array.
    """
    counts = () if joints is None else (joints,) if isinstance(joints, int) else tuple(joints)
    if any(number < 1 for number in counts):
        raise HandPoseError(f"a frame of {min(counts)} joints: at least 1 is needed")
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(
                f"{path}: {path.stat().st_size:,} bytes; accepted are at most {LARGEST:,}"
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist: a file of predictions or labels is needed"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    return _parse(content, str(path), counts, zips=True)


def write(
    path: Path | str, points: torch.Tensor | np.ndarray, names: Sequence[str] | None = None
) -> Path:
    """Write `points` (N, J, 3) as text with three decimals, with `names` before them if given.

    Errors: `HandPoseError` for another shape, values that are not finite, and another number of
    names than frames.
    """
    points = torch.as_tensor(points)
    if points.ndim != 3 or points.shape[-1] != 3 or not bool(points.isfinite().all()):
        raise HandPoseError(
            f"points of shape {tuple(points.shape)}: accepted are finite numbers (N, J, 3)"
        )
    if names is not None and len(names) != len(points):
        raise HandPoseError(f"{len(names)} names for {len(points)} frames: accepted is one each")
    rows = [" ".join(f"{number:.3f}" for number in row) for row in points.flatten(1).tolist()]
    if names is not None:
        rows = [f"{name} {row}" for name, row in zip(names, rows)]
    return storage.write_text(Path(path), "".join(f"{row}\n" for row in rows))


# --- formats --------------------------------------------------------------------


def _parse(content: bytes, where: str, joints: tuple[int, ...], zips: bool) -> Poses:
    if content.startswith(b"PK\x03\x04"):
        if not zips:
            raise DataError(
                f"{where}: a zip inside a zip; accepted are text and MATLAB files in it"
            )
        return _from_zip(content, where, joints)
    if matlab.is_one(content):
        return Poses(_from_arrays(matlab.arrays(content, where, _room(content)), where, joints))
    if content.startswith(b"\x93NUMPY"):
        raise DataError(
            f"{where}: a NumPy array; accepted is text: np.savetxt(path, array.reshape(len(array),"
            " -1)) writes it"
        )
    if b"\0" in content[: text.LINE] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{where}: neither text nor a MATLAB file of version 5 nor a zip of one of them"
        )
    points, names, numbered = text.parse(content, where, joints)
    return Poses(torch.from_numpy(points), names, numbered)


def _room(content: bytes) -> int:
    """Return how many bytes may be decompressed from the content."""
    return min(UNPACKED, RATIO * len(content) + 2**20)


def _from_zip(content: bytes, where: str, joints: tuple[int, ...]) -> Poses:
    """Return the only pose file among the members."""
    found: dict[str, Poses] = {}
    left, reason = _room(content), None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if member.is_dir() or member.compress_type not in (
                    zipfile.ZIP_STORED,
                    zipfile.ZIP_DEFLATED,
                ):
                    continue
                with archive.open(member) as file:
                    inside = file.read(left + 1)
                left -= len(inside)
                if left < 0:
                    raise DataError(
                        f"{where}: unpacks to more than the {_room(content):,} bytes that are"
                        " accepted"
                    )
                try:
                    found[member.filename] = _parse(
                        inside, f"{where}, {member.filename[:80]!r} in it", joints, zips=False
                    )
                except DataError as error:
                    reason = error  # reported if this is the only member
    except DataError:
        raise
    except BROKEN_ZIP as error:
        raise DataError(
            f"{where}: not a whole zip file without a password ({str(error)[:100]!r})"
        ) from error
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise DataError(f"{where}: holds several files of poses ({_some(found)}); accepted is one")
    if len(archive.infolist()) == 1 and reason is not None:
        raise reason
    raise DataError(
        f"{where}: none of its {len(archive.infolist())} files holds poses as text or MATLAB arrays"
    )


def _from_arrays(found: matlab.Arrays, where: str, joints: tuple[int, ...]) -> torch.Tensor:
    """Return the only array that can be poses."""
    fitting: dict[str, np.ndarray] = {}
    arrays = {name: values for name, values in found.items() if isinstance(values, np.ndarray)}
    for name, values in arrays.items():
        if values.ndim == 2 and values.shape[1] % 3 == 0:
            values = values.reshape(len(values), -1, 3)
        if (
            values.ndim == 3
            and values.shape[2] == 3
            and 0 not in values.shape
            and values.shape[1] in (joints or values.shape)
        ):
            fitting[name] = values
    if len(fitting) != 1:
        shapes = {f"{name} {'×'.join(map(str, values.shape))}" for name, values in arrays.items()}
        raise DataError(
            f"{where}: {_some(fitting) if fitting else 'no array'} can be poses (arrays:"
            f" {_some(shapes)}); accepted is one of (N, {_either(joints)}, 3) numbers"
        )
    values = np.ascontiguousarray(next(iter(fitting.values())), np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"{where}: {_some(fitting)} holds a value that is not finite; accepted are numbers"
        )
    return torch.from_numpy(values)


def _either(joints: tuple[int, ...]) -> str:
    return " or ".join(map(str, joints)) or "J"


def _some(names: Iterable[str]) -> str:
    """Return a few names of a file, each shortened: files may contain any names."""
    names = sorted(
        name if name.isprintable() and len(name) < 80 else f"{name[:40]!r}…" for name in names
    )
    return (
        ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        if names
        else "none"
    )
