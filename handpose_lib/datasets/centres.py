"""Published reference points: the centre files of V2V-PoseNet, one point per frame.

Text, one line per frame of the set in the set's own order: x y z in the unit and with the signs of
the set's labels, or the word `invalid` for a frame that its authors left out.
"""

from pathlib import Path

import numpy as np
import torch

from handpose_lib.errors import DataError

INVALID = b"invalid"
OWN = "centre.txt"
"""Ours: a synthetic set's reference points, in the same format, beside its labels."""


def of_part(
    part: str, own: Path | None, published: Path | str | None, count: int, to_camera: np.ndarray
) -> torch.Tensor | None:
    """The points (N, 3) of a set's 'train' or 'test' frames, as `read` gives them; None where there
    are none.

    `published` is the folder of `center_train_refined.txt` and `center_test_refined.txt`, or None;
    then the file `own` counts, if it is there.
    """
    if published is not None:
        return read(Path(published) / f"center_{part}_refined.txt", count, to_camera)
    return read(own, count, to_camera) if own is not None and own.is_file() else None


def read(path: Path, count: int, to_camera: np.ndarray) -> torch.Tensor:
    """(N, 3) mm in the camera frame, NaN for frames that are `invalid`; `to_camera` (3,) are the
    factors of x, y, z.

    Errors: a missing file, another number of lines than the `count` frames of the release, a line
    that is neither three finite numbers nor `invalid`, a point that is not in front of the camera.
    """
    try:
        lines = [line.split() for line in Path(path).read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); accepted is a text file with a point per"
            " frame"
        ) from error
    if len(lines) != count:
        raise DataError(
            f"{path}: {len(lines)} reference points for {count} frames; accepted is one each:"
            " centre files fit one release of a set, and one split"
        )
    try:
        values = np.array(
            [[np.nan] * 3 if line[0] == INVALID else [float(x) for x in line[:3]] for line in lines]
        )
        values = values.reshape(count, 3)
    except ValueError as error:
        raise DataError(
            f"{path}: {str(error)[:100]}; accepted are lines of x y z, or `invalid`"
        ) from error
    points = values * to_camera
    named = np.array([line[0] == INVALID for line in lines], bool)
    bad = ~named & ~(np.isfinite(points).all(1) & (points[:, 2] > 0))
    if bad.any():
        raise DataError(
            f"{path}, line {int(bad.argmax()) + 1}: not a point in front of the camera; accepted"
            " are x y z with the signs and the unit of the set's labels, or `invalid`"
        )
    return torch.from_numpy(points.astype(np.float32))


def write(path: Path, points: np.ndarray, to_camera: np.ndarray) -> None:
    """Write points (N, 3) mm in the camera frame, to a tenth of a micrometre; NaN becomes
    `invalid`.
    """
    lines = [
        "invalid\n" if np.isnan(point).any() else " ".join(f"{value:.4f}" for value in point) + "\n"
        for point in np.asarray(points, np.float64) / to_camera
    ]
    Path(path).write_text("".join(lines), encoding="ascii", newline="\n")
