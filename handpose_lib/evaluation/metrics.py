"""Error measures of predicted joints that the field reports, batched and streaming.

All measures derive from one array, the distance of each joint from its true position, `(N, J)` in
mm:

====================  ==========================================================================
mean joint error      its mean over joints and frames (all papers of this book)
per joint             its mean over frames, one number per joint
success rate, worst   share of frames whose *worst* joint is within a threshold
success rate, mean    share of frames whose *mean* over the joints is within a threshold
AUC                   area under a success curve, divided by the range of its thresholds
mAP                   share of joints within 10 cm, per joint, then averaged (ITOP)
====================  ==========================================================================

The literature calls two different curves "success rate", so the names of the functions say which
one they compute. A joint *at* the threshold counts as within it (`<=`).

All sums are in float64: the measures of a set do not depend on how it was divided into batches.
"""

from collections.abc import Sequence
from typing import Any

import torch

from handpose_lib import skeleton
from handpose_lib.errors import HandPoseError, one_of

THRESHOLDS = tuple(float(t) for t in range(81))
"""Thresholds of the success curves in mm: 0, 1, ... 80."""

PRECISION_AT = 100.0
"""The threshold of the mean average precision in mm: 10 cm."""

_PARTS = ("head", "neck", "shoulders", "elbows", "hands", "torso", "hips", "knees", "feet")
_ONE = {part: part.removesuffix("s") for part in _PARTS} | {"feet": "foot"}

BODY_JOINTS = skeleton.get("itop15").joints
"""The 15 joints of ITOP, in its order."""
BODY_PARTS = {
    part: tuple(
        number for number, joint in enumerate(BODY_JOINTS) if joint.split()[-1] == _ONE[part]
    )
    for part in _PARTS
}
"""Row of ITOP's tables → indices of its joints. Tables have nine rows, right and left together."""

_OVER_JOINTS = {"worst": lambda errors: errors.amax(-1), "mean": lambda errors: errors.mean(-1)}


def joint_errors(predicted: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
    """Return the distance of every joint from its true position, `(N, J)` mm, float64.

    `predicted`, `joints`: `(N, J, 3)` mm in the camera frame. Errors: `HandPoseError` for other
    shapes, for no frame at all, and for values that are not finite, which a mean would hide.
    """
    predicted, joints = _checked(predicted, "predicted"), _checked(joints, "joints")
    if predicted.shape != joints.shape:
        raise HandPoseError(
            f"predicted has shape {tuple(predicted.shape)} and joints {tuple(joints.shape)}: "
            "both must be the same (N, J, 3)"
        )
    return (predicted - joints.to(predicted.device)).norm(dim=-1)


def mean_joint_error(predicted: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
    """Return the mean distance over all joints and frames, mm, a float64 scalar."""
    return joint_errors(predicted, joints).mean()


def per_joint_error(predicted: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
    """Return the mean distance of each joint over the frames, `(J,)` mm."""
    return joint_errors(predicted, joints).mean(0)


def frame_errors(predicted: torch.Tensor, joints: torch.Tensor, by: str) -> torch.Tensor:
    """Return one error per frame, `(N,)` mm: of its `'worst'` joint, or the `'mean'` of its joints.

    Errors: `HandPoseError` for another `by`, and as `joint_errors`.
    """
    one_of("way to judge a frame", by, _OVER_JOINTS)
    return _OVER_JOINTS[by](joint_errors(predicted, joints))


def success_rate_worst(
    predicted: torch.Tensor,
    joints: torch.Tensor,
    thresholds: Sequence[float] | torch.Tensor = THRESHOLDS,
) -> torch.Tensor:
    """Return the share of frames whose worst joint is within each threshold in mm, `(T,)`."""
    return _share_within(frame_errors(predicted, joints, "worst"), thresholds)


def success_rate_mean(
    predicted: torch.Tensor,
    joints: torch.Tensor,
    thresholds: Sequence[float] | torch.Tensor = THRESHOLDS,
) -> torch.Tensor:
    """Return the share of frames whose mean joint error is within each threshold in mm, `(T,)`."""
    return _share_within(frame_errors(predicted, joints, "mean"), thresholds)


def area_under_curve(
    rates: Sequence[float] | torch.Tensor,
    thresholds: Sequence[float] | torch.Tensor = THRESHOLDS,
) -> torch.Tensor:
    """Return the area under a success curve, divided by the range of the thresholds: in [0, 1].

    It is computed by the trapezoid rule. Errors: `HandPoseError` if not every threshold has a rate.
    """
    rates = torch.as_tensor(rates, dtype=torch.float64)
    thresholds = _thresholds(thresholds, like=rates)
    if rates.shape != thresholds.shape or len(rates) < 2:
        raise HandPoseError(
            "a curve needs one rate for each of at least two thresholds, "
            f"not {tuple(rates.shape)} rates for {tuple(thresholds.shape)} thresholds"
        )
    return torch.trapezoid(rates, thresholds) / (thresholds[-1] - thresholds[0])


def mean_average_precision(
    predicted: torch.Tensor, joints: torch.Tensor, threshold: float = PRECISION_AT
) -> torch.Tensor:
    """Return the share of predictions within `threshold` mm of each joint, averaged over joints."""
    return (joint_errors(predicted, joints) <= threshold).double().mean()


def precision_by_part(
    predicted: torch.Tensor, joints: torch.Tensor, threshold: float = PRECISION_AT
) -> dict[str, float]:
    """Return the share of joints within `threshold` mm, for each of `BODY_PARTS` and as 'mean'.

    'mean' is the mean over the 15 joints, not over the nine parts. `predicted`, `joints`:
    (N, 15, 3) mm in ITOP's order. Errors: `HandPoseError` for other shapes, values that are not
    finite, and a threshold below 0.
    Source: V2V-PoseNet, Table 5, whose mean of the front view is 88.74 (over the nine parts it
    would be 90.40).
    """
    if not threshold >= 0:
        raise HandPoseError(f"threshold {threshold}: accepted are mm from 0")
    errors = joint_errors(predicted, joints)
    if errors.shape[1] != len(BODY_JOINTS):
        raise HandPoseError(
            f"{errors.shape[1]} joints per frame: parts of the body are known of ITOP's"
            f" {len(BODY_JOINTS)}"
        )
    within = (errors <= threshold).double().mean(0)
    shares = {part: within[list(numbers)].mean().item() for part, numbers in BODY_PARTS.items()}
    return {**shares, "mean": within.mean().item()}


def summary(
    predicted: torch.Tensor,
    joints: torch.Tensor,
    thresholds: Sequence[float] | torch.Tensor = THRESHOLDS,
) -> dict[str, Any]:
    """Return every measure, as plain numbers that go into a record (see `Streaming.compute`)."""
    return Streaming(thresholds).update(predicted, joints).compute()


class Streaming:
    """The same measures of a set that is too large for the memory.

    >>> seen = Streaming()
    >>> for crops in batches: seen.update(method.decode(method(x), crops), crops.joints)
    >>> seen.compute()["mean_joint_error_mm"]

    Only sums and counts are kept, in float64 and on the CPU; `merge` joins two halves of a set.
    """

    def __init__(self, thresholds: Sequence[float] | torch.Tensor = THRESHOLDS):
        self.thresholds = _thresholds(thresholds)
        self.frames = 0
        self._sum = torch.zeros(0, dtype=torch.float64)  # (J,) mm
        self._precise = torch.zeros_like(
            self._sum
        )  # (J,) frames whose joint is within PRECISION_AT
        self._within = {
            by: torch.zeros(len(self.thresholds), dtype=torch.float64) for by in _OVER_JOINTS
        }

    def update(self, predicted: torch.Tensor, joints: torch.Tensor) -> "Streaming":
        """Add a batch `(B, J, 3)` mm of predictions and true joints; return this object.

        Errors: `HandPoseError` for another number of joints than before, and as `joint_errors`.
        """
        errors = joint_errors(predicted, joints).cpu()
        if self.frames == 0:
            self._sum = torch.zeros(errors.shape[1], dtype=torch.float64)
            self._precise = torch.zeros_like(self._sum)
        if errors.shape[1] != len(self._sum):
            raise HandPoseError(
                f"a batch of {errors.shape[1]} joints after batches of {len(self._sum)}: "
                "one set has one skeleton"
            )
        self.frames += len(errors)
        self._sum += errors.sum(0)
        self._precise += (errors <= PRECISION_AT).sum(0)
        for by, over_joints in _OVER_JOINTS.items():
            self._within[by] += (over_joints(errors)[:, None] <= self.thresholds).sum(0)
        return self

    def merge(self, other: "Streaming") -> "Streaming":
        """Add the frames of another `Streaming`; return this object.

        Errors: `HandPoseError` for other thresholds or another number of joints.
        """
        if not torch.equal(self.thresholds, other.thresholds):
            raise HandPoseError("only streams with the same thresholds can be merged")
        if other.frames == 0:
            return self
        if self.frames and len(self._sum) != len(other._sum):
            raise HandPoseError(
                f"streams of {len(self._sum)} and {len(other._sum)} joints cannot be merged: "
                "one set has one skeleton"
            )
        if self.frames == 0:
            self._sum, self._precise = other._sum.clone(), other._precise.clone()
        else:
            self._sum = self._sum + other._sum
            self._precise = self._precise + other._precise
        self._within = {by: count + other._within[by] for by, count in self._within.items()}
        self.frames += other.frames
        return self

    def compute(self) -> dict[str, Any]:
        """Return the measures of all frames so far, as plain Python numbers and lists.

        Keys: `frames`; `mean_joint_error_mm`; `per_joint_mm` (J); `thresholds_mm` (T);
        `success_rate_worst`, `success_rate_mean` (T, shares of frames); `auc_worst`, `auc_mean`;
        `map_10cm`. Errors: `HandPoseError` if there was no frame.
        """
        if self.frames == 0:
            raise HandPoseError("there is nothing to measure: no frame was seen")
        per_joint = self._sum / self.frames
        rates = {by: count / self.frames for by, count in self._within.items()}
        return {
            "frames": self.frames,
            "mean_joint_error_mm": per_joint.mean().item(),
            "per_joint_mm": per_joint.tolist(),
            "thresholds_mm": self.thresholds.tolist(),
            **{f"success_rate_{by}": rate.tolist() for by, rate in rates.items()},
            **{
                f"auc_{by}": area_under_curve(rate, self.thresholds).item()
                for by, rate in rates.items()
            },
            "map_10cm": (self._precise / self.frames).mean().item(),
        }


def _share_within(errors: torch.Tensor, thresholds: Sequence[float] | torch.Tensor) -> torch.Tensor:
    """Return the share of `errors` (N,) that are at most each of the thresholds, `(T,)`."""
    return (errors[:, None] <= _thresholds(thresholds, like=errors)).double().mean(0)


def _thresholds(
    thresholds: Sequence[float] | torch.Tensor, like: torch.Tensor | None = None
) -> torch.Tensor:
    checked = torch.as_tensor(
        thresholds, dtype=torch.float64, device=None if like is None else like.device
    )
    if checked.ndim != 1 or len(checked) == 0 or not (checked.diff() > 0).all():
        raise HandPoseError("thresholds must be one rising list of numbers in mm")
    return checked


def _checked(points: torch.Tensor, name: str) -> torch.Tensor:
    points = torch.as_tensor(points)
    if points.ndim != 3 or points.shape[-1] != 3 or 0 in points.shape:
        raise HandPoseError(
            f"{name} has shape {tuple(points.shape)}: it must be (N, J, 3), N and J at least 1"
        )
    points = points.double()
    finite = points.isfinite().flatten(1).all(1)
    if not finite.all():
        frame = int((~finite).nonzero()[0])
        raise HandPoseError(
            f"{name} holds a value that is not finite (first in frame {frame}): all must be numbers"
        )
    return points
