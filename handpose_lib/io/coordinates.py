"""Coordinates of joints in small files: rounded to `STEP_MM`, then compressed without further loss.

    write_coordinates(path, {"": predicted, "soft_argmax": other})     each (N, J, 3), mm
    read_coordinates(path)["soft_argmax"]                              at most STEP_MM / 2 off

A file starts with one line of JSON: format, step and the names with their shapes. The rest is one
LZMA stream. The joints of a hand depend on each other, so that each coordinate is first predicted
linearly from those before it in the same frame, and only the difference is stored. A second array
of the same shape is stored as its difference from the first. Prediction is done in integers and is
therefore the same on every machine.
"""

import json
import lzma
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.io.storage import temporary_file

STEP_MM = 0.05
LIMIT_MM = 2.0**30 * STEP_MM
"""The largest coordinate that can be stored: a bad network may predict far more than a room."""

_FORMAT = 1
_UNIT = 2**12  # of the coefficients, which are integers of 16 bits
_FILTERS = [  # neighbouring bytes tell nothing; a larger dictionary would only take time
    {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 2**20, "lc": 0, "lp": 0, "pb": 0}
]


def write_coordinates(path: Path, arrays: Mapping[str, torch.Tensor]) -> Path:
    """Write named coordinates, each (N, J, 3) mm, completely or not at all; return the path.

    Errors: `HandPoseError` if a shape is another one, or a coordinate is not finite or larger than
    `LIMIT_MM`.
    """
    first: np.ndarray | None = None
    stream = b""
    for name, array in arrays.items():
        steps = quantised(array, name)
        same = first is not None and first.shape == steps.shape
        stream += _encoded(_wrapped(steps - first) if same else steps)
        first = steps if first is None else first
    header = {
        "format": _FORMAT,
        "step_mm": STEP_MM,
        "shapes": {name: list(array.shape) for name, array in arrays.items()},
    }
    with temporary_file(path) as temporary:
        line = json.dumps(header, ensure_ascii=False) + "\n"
        temporary.write_bytes(line.encode() + lzma.compress(stream, filters=_FILTERS))
    return Path(path)


def read_coordinates(path: Path) -> dict[str, torch.Tensor]:
    """Return the named coordinates of a file, each (N, J, 3) mm, float64.

    Errors: `DataError` if the file is missing, damaged or of another format.
    """
    try:
        line, _, packed = Path(path).read_bytes().partition(b"\n")
        header = json.loads(line)
        if header["format"] != _FORMAT:
            raise DataError(f"{path}: format {header['format']}; accepted is {_FORMAT}")
        stream = lzma.decompress(packed)
        found: dict[str, torch.Tensor] = {}
        first: np.ndarray | None = None
        for name, shape in header["shapes"].items():
            steps, stream = _decoded(stream, tuple(shape))
            if first is not None and first.shape == steps.shape:
                steps = _wrapped(steps + first)
            first = steps if first is None else first
            found[name] = torch.from_numpy(steps.astype(np.float64) * header["step_mm"])
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, lzma.LZMAError) as error:
        raise DataError(f"{path} is not a whole file of coordinates: {error}") from error
    return found


def quantised(array: torch.Tensor, name: str = "") -> np.ndarray:
    """Return coordinates (N, J, 3) mm in whole steps of `STEP_MM`, int64.

    Errors: see `write_coordinates`; the message calls the array `name`.
    """
    values = array.detach().cpu().double().numpy()
    called = f"coordinates {name!r}" if name else "coordinates"
    if values.ndim != 3 or values.shape[2] != 3:
        raise HandPoseError(f"{called} of shape {values.shape}: accepted is (frames, joints, 3)")
    if not np.isfinite(values).all():
        raise HandPoseError(f"{called} that are not finite: accepted are finite ones in mm")
    if values.size and (largest := np.abs(values).max()) >= LIMIT_MM:
        raise HandPoseError(f"{called} up to {largest:.3g} mm: accepted are up to {LIMIT_MM:.3g}")
    return np.rint(values / STEP_MM).astype(np.int64)


# --- compression --------------------------------------------------------------


def _encoded(steps: np.ndarray) -> bytes:
    """Return means, coefficients and differences of (N, J, 3) integers, for the compressor."""
    columns = steps.reshape(len(steps), 3 * steps.shape[1])
    means = np.rint(columns.mean(0) if len(columns) else columns.sum(0)).astype(np.int64)
    weights = _fitted(columns - means)
    predicted = np.stack([_predicted(columns, means, weights, k) for k in range(len(means))], 1)
    rest = _wrapped(columns - predicted).T
    folded = np.where(rest < 0, -2 * rest - 1, 2 * rest).astype("<u4")  # small numbers stay small
    # The bytes of one rank follow each other: the upper ones are nearly all zero.
    planes = np.ascontiguousarray(folded).view(np.uint8).reshape(-1, 4).T
    return means.astype("<i4").tobytes() + weights.astype("<i2").tobytes() + planes.tobytes()


def _decoded(stream: bytes, shape: tuple[int, int, int]) -> tuple[np.ndarray, bytes]:
    """Return the (N, J, 3) integers at the start of a stream, and what follows them."""
    frames, joints, _ = shape
    count = 3 * joints
    triangle = count * (count - 1) // 2
    ends = np.cumsum([4 * count, 2 * triangle, 4 * frames * count])
    if len(stream) < ends[-1]:
        raise ValueError("its end is missing")
    means = np.frombuffer(stream[: ends[0]], "<i4").astype(np.int64)
    weights = np.frombuffer(stream[ends[0] : ends[1]], "<i2").astype(np.int64)
    planes = np.frombuffer(stream[ends[1] : ends[2]], np.uint8).reshape(4, -1)
    folded = np.ascontiguousarray(planes.T).view("<u4").reshape(count, frames).astype(np.int64)
    rest = np.where(folded % 2, -(folded + 1) // 2, folded // 2)
    columns = np.zeros((frames, count), np.int64)
    for k in range(count):
        columns[:, k] = _wrapped(rest[k] + _predicted(columns, means, weights, k))
    return columns.reshape(shape), stream[ends[2] :]


def _fitted(centred: np.ndarray) -> np.ndarray:
    """Return the coefficients that predict each column from those before it, one after the other.

    Least squares, in integers of 1 / `_UNIT`. Any coefficients decode correctly; these make the
    differences small.
    """
    values = centred.astype(np.float64)
    count = values.shape[1]
    gram = values.T @ values
    gram += np.eye(count) * (1e-6 * np.trace(gram) / count + 1)
    rows = [np.linalg.solve(gram[:k, :k], gram[:k, k]) for k in range(count)]
    return np.rint(np.concatenate(rows).clip(-7.9, 7.9) * _UNIT).astype(np.int64)


def _predicted(columns: np.ndarray, means: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Return the prediction (N,) of column `k` from the columns before it, in integers."""
    row = weights[k * (k - 1) // 2 : k * (k + 1) // 2]
    return means[k] + ((columns[:, :k] - means[:k]) @ row + _UNIT // 2) // _UNIT


def _wrapped(values: np.ndarray) -> np.ndarray:
    """Return integers modulo 2³², from -2³¹: differences then always fit in 32 bits."""
    return (values + 2**31) % 2**32 - 2**31
