"""Exchanges that explain a bad score: order of joints, directions of axes, unit, mirrored hands.

    found = exchanges.find(points, labels, "uvd", predicted, camera, intrinsics)
    found.text, found.error_mm        # what was probably exchanged, and the score without it

Every candidate is a way to read the numbers of a file: its coordinates, their order and directions,
a usual unit, hands mirrored about their own centre. For each the best order of the joints is the
assignment of labels with the smallest sum of squared distances. An honest predictor, however bad,
gains nothing: if it predicts means, no other order and no mirrored axis has a smaller squared
error. Nothing is ever changed; an exchange is only reported if it explains most of the error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations, product

import torch
from scipy.optimize import linear_sum_assignment

from handpose_lib.camera import Camera, uvd_to_xyz
from handpose_lib.evaluation import metrics
from handpose_lib.published import spaces

SAMPLE = 60
"""Frames in which the candidates are compared; the best one is scored in all."""
FEWEST = 5
"""Frames that an order of joints needs: in fewer, chance orders fit."""
EXPLAINS = 0.7
"""An exchange is reported if it leaves at most this share of the error, or of the error of the
joints that it moves.
"""
SURE = 5.0
"""The gain of an order of joints, in standard errors over the frames."""
AS_GOOD = 1.1
"""Candidates within this factor of the best are as good; the simplest of them is reported."""
UNITS = {
    "0.1 mm": 0.1,
    "0.125 mm": 0.125,
    "0.25 mm": 0.25,
    "mm": 1.0,
    "cm": 10.0,
    "inches": 25.4,
    "dm": 100.0,
    "m": 1000.0,
}
"""Unit → its length in mm."""
WITHIN = 1.12
"""Factor by which the median depths of predictions and labels may differ."""
DIRECTIONS = {
    spaces.UVD: ("u from right to left", "v from bottom to top", "d towards the viewer"),
    spaces.XYZ: ("x from right to left", "y from bottom to top", "z towards the viewer"),
}
MIRRORED = ("left and right", "top and bottom", "front and back")


@dataclass(frozen=True)
class Exchange:
    """What was probably exchanged.

    parts      each part of it in words
    error_mm   mean joint error without it, `given_mm` as the file was read
    order      the joint of the file for each joint of the labels, None if they are in order
    predicted  (N, J, 3) mm in the camera frame, without the exchange
    """

    parts: tuple[str, ...]
    error_mm: float
    given_mm: float
    order: tuple[int, ...] | None
    predicted: torch.Tensor = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """One sentence for readers."""
        return (
            f"the file fits the labels much better if {' and '.join(self.parts)}:"
            f" {self.error_mm:.2f} mm instead of {self.given_mm:.2f} mm. The score is that of the"
            " file as it is"
        )


@dataclass(frozen=True)
class _Reading:
    """A way to read the numbers of a file; `simple` counts what differs from the given way."""

    space: str
    axes: tuple[int, ...] = (0, 1, 2)
    signs: tuple[int, ...] = (1, 1, 1)
    ends: tuple[float, float] = (0.0, 0.0)
    unit: float = 1.0
    mirrored: tuple[int, ...] = (1, 1, 1)


def find(
    points: torch.Tensor,
    labels: torch.Tensor,
    space: str,
    predicted: torch.Tensor,
    camera: Camera,
    intrinsics: Sequence[float],
) -> Exchange | None:
    """Return the exchange that explains the error of a file, or None.

    `points` (N, J, 3): its numbers, read in `space` as `predicted` (N, J, 3) mm in the camera
    frame; `labels` (N, J, 3) mm. `intrinsics`: fx, fy, u0, v0 in pixels.
    """
    rows = torch.linspace(0, len(labels) - 1, min(SAMPLE, len(labels))).round().long()
    some, wanted = points[rows], labels[rows]
    given = _given(points, space, predicted)
    best: list[tuple[float, int, _Reading, tuple[int, ...]]] = []
    same = tuple(range(labels.shape[1]))
    for reading in _readings(some, wanted, space, camera, intrinsics):
        moved = predicted[rows] if reading is None else _apply(some, reading, intrinsics)
        for order in dict.fromkeys((same, _order(moved, wanted) or same)):
            error = (moved[:, list(order)] - wanted).norm(dim=-1).mean().item()
            cost = 0 if reading is None else len(_words(reading, given, space))
            best.append((error, cost + 2 * (order != same), reading or given, order))
    lowest = min(error for error, *_ in best)
    as_good = [one for one in best if one[0] <= AS_GOOD * lowest + 0.1]
    _, cost, reading, order = min(as_good, key=lambda one: (one[1], one[0]))
    if cost == 0:
        return None
    parts = _words(reading, given, space)
    moved = _apply(points, reading, intrinsics) if parts else predicted
    moved = moved[:, list(order)]
    before, after = (metrics.joint_errors(one, labels) for one in (predicted, moved))
    changed = [i for i, j in enumerate(order) if i != j] if not parts else list(same)
    gain = before[:, changed].mean(1) - after[:, changed].mean(1)
    sure = len(gain) < 2 or gain.mean() > SURE * gain.std() / len(gain) ** 0.5
    if after[:, changed].mean() > EXPLAINS * before[:, changed].mean() or not sure:
        return None
    if order != same:
        parts = [*parts, f"its joints are taken in the order {', '.join(map(str, order))}"]
    return Exchange(
        tuple(parts),
        after.mean().item(),
        before.mean().item(),
        None if order == same else order,
        moved,
    )


# --- candidates -------------------------------------------------------------------------


def _readings(
    points: torch.Tensor,
    labels: torch.Tensor,
    space: str,
    camera: Camera,
    intrinsics: Sequence[float],
) -> Iterator[_Reading | None]:
    """Yield the ways to read the numbers; None stands for the given one."""
    yield None
    ends = {
        spaces.XYZ: [(0.0, 0.0)],
        spaces.UVD: [
            (0.0, 0.0),
            (camera.width - 1.0, camera.height - 1.0),
            (2 * intrinsics[2], 2 * intrinsics[3]),
        ],
    }
    far = labels[..., 2].median()
    for other in (space, spaces.UVD if space == spaces.XYZ else spaces.XYZ):
        for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
            depth = points[..., axes[2]].median() * signs[2]
            if not depth > 0:
                continue
            unit = _unit((far / depth).item())
            for end in ends[other] if -1 in signs[:2] else [(0.0, 0.0)]:
                reading = _Reading(other, axes, signs, end, unit)
                yield reading
                if axes == (0, 1, 2) and other == space:
                    for mirrored in product((1, -1), repeat=3):
                        if -1 in mirrored and -1 not in signs[:2]:
                            yield replace(reading, mirrored=mirrored)


def _unit(length: float) -> float:
    """Return the usual unit of about this length in mm, 1 without one."""
    fitting = [one for one in UNITS.values() if 1 / WITHIN < length / one < WITHIN]
    return min(fitting, key=lambda one: abs(one - length), default=1.0)


def _given(points: torch.Tensor, space: str, predicted: torch.Tensor) -> _Reading:
    """Return the way in which a file was read."""
    scale = spaces.unit(points)
    if space == spaces.UVD:
        return _Reading(space, unit=scale)
    ratio = (predicted * points).sum((0, 1))
    signs = tuple(1 if one >= 0 else -1 for one in ratio.tolist())
    return _Reading(space, signs=signs, unit=scale)


def _apply(points: torch.Tensor, reading: _Reading, intrinsics: Sequence[float]) -> torch.Tensor:
    """Return the joints (N, J, 3) mm in the camera frame, read in this way."""
    ends = points.new_tensor([*reading.ends, 0.0])
    signs = points.new_tensor(reading.signs)
    numbers = points[..., list(reading.axes)] * signs + ends * (signs < 0)
    if reading.space == spaces.UVD:
        numbers = numbers * points.new_tensor([1.0, 1.0, reading.unit])
        joints = uvd_to_xyz(numbers, points.new_tensor(intrinsics), check=False)
    else:
        joints = numbers * reading.unit
    middle = joints.mean(1, keepdim=True)
    return middle + (joints - middle) * points.new_tensor(reading.mirrored)


def _order(predicted: torch.Tensor, labels: torch.Tensor) -> tuple[int, ...] | None:
    """Return the predicted joint for each label with the smallest sum of squared distances, both
    (N, J, 3) mm. None in too few frames.
    """
    if len(labels) < FEWEST:
        return None
    one, other = (joints.transpose(0, 1).flatten(1) for joints in (labels, predicted))
    _, columns = linear_sum_assignment(torch.cdist(one, other).square().numpy())
    return tuple(columns.tolist())


# --- words ------------------------------------------------------------------------------


def _words(reading: _Reading, given: _Reading, space: str) -> list[str]:
    """Return in words how a way to read the numbers differs from the given one."""
    parts = []
    letters = " ".join(reading.space)
    if reading.space != space:
        parts.append(f"its numbers are {letters}")
    if reading.axes != given.axes:
        found = " ".join(reading.space[reading.axes.index(i)] for i in range(3))
        parts.append(f"its coordinates stand in the order {found}")
    for i, words in enumerate(DIRECTIONS[reading.space]):
        usual = given.signs[i] if reading.space == space else 1
        if reading.signs[i] != usual:
            runs = "the other way" if usual == -1 else words[2:]
            parts.append(f"its {words[0]} runs {runs}")
    if reading.unit != given.unit:
        name = next(name for name, length in UNITS.items() if length == reading.unit)
        what = "depths are" if reading.space == spaces.UVD else "numbers are"
        parts.append(f"its {what} in {name}")
    for sign, sides in zip(reading.mirrored, MIRRORED):
        if sign < 0:
            parts.append(f"{sides} of each hand are exchanged")
    return parts
