"""How wrong is a predicted hand? The measures that the field reports, batched and streaming.

Everything rests on one array, the distance of each joint to where it should be, `(N, J)` in mm.
The measures differ only in what they do with it:

====================  ==========================================================================
mean joint error      its mean over joints and frames (all papers of this book)
per joint             its mean over frames, one figure per joint
success rate, worst   share of frames whose *worst* joint is within a threshold
success rate, mean    share of frames whose *mean* over the joints is within a threshold
AUC                   area under a success curve, divided by the range of its thresholds
mAP                   share of joints within 10 cm, per joint, then averaged (ITOP)
====================  ==========================================================================

The two success rates are different curves under one name in the literature, so that here each
function says which one it is. A joint *at* the threshold counts as within it (`<=`).

All sums are in float64: the figures of a set do not depend on how it was cut into batches.
"""

import torch

from handpose_lib.errors import HandPoseError, one_of

#: Thresholds of the success curves in mm: 0, 1, ... 80.
THRESHOLDS = tuple(float(t) for t in range(81))

#: The threshold of the mean average precision in mm: 10 cm.
PRECISION_AT = 100.0

_OVER_JOINTS = {"worst": lambda errors: errors.amax(-1), "mean": lambda errors: errors.mean(-1)}


def joint_errors(predicted, joints):
    """Distance of every joint to its true place, `(N, J)` mm, float64.

    `predicted`, `joints`: `(N, J, 3)` mm in the camera frame. Raises `HandPoseError` for other
    shapes, for no frame at all, and for a value that is not finite: a NaN must never hide in a
    mean.
    """
    predicted, joints = _checked(predicted, "predicted"), _checked(joints, "joints")
    if predicted.shape != joints.shape:
        raise HandPoseError(
            f"predicted has shape {tuple(predicted.shape)} and joints {tuple(joints.shape)}: "
            "both must be the same (N, J, 3)"
        )
    return (predicted - joints.to(predicted.device)).norm(dim=-1)


def mean_joint_error(predicted, joints):
    """Mean distance over all joints and frames, mm, a float64 scalar."""
    return joint_errors(predicted, joints).mean()


def per_joint_error(predicted, joints):
    """Mean distance of each joint over the frames, `(J,)` mm."""
    return joint_errors(predicted, joints).mean(0)


def frame_errors(predicted, joints, by):
    """One error per frame, `(N,)` mm: that of its `'worst'` joint, or the `'mean'` of its joints."""
    one_of("way to judge a frame", by, _OVER_JOINTS)
    return _OVER_JOINTS[by](joint_errors(predicted, joints))


def success_rate_worst(predicted, joints, thresholds=THRESHOLDS):
    """Share of frames whose worst joint is within each threshold (mm), `(T,)` in [0, 1]."""
    return _share_within(frame_errors(predicted, joints, "worst"), thresholds)


def success_rate_mean(predicted, joints, thresholds=THRESHOLDS):
    """Share of frames whose mean joint error is within each threshold (mm), `(T,)` in [0, 1]."""
    return _share_within(frame_errors(predicted, joints, "mean"), thresholds)


def area_under_curve(rates, thresholds=THRESHOLDS):
    """Area under a success curve by the trapezoid rule, over the range of the thresholds: in [0,
    1].
    """
    rates = torch.as_tensor(rates, dtype=torch.float64)
    thresholds = _thresholds(thresholds, like=rates)
    if rates.shape != thresholds.shape or len(rates) < 2:
        raise HandPoseError(
            "a curve needs one rate for each of at least two thresholds, "
            f"not {tuple(rates.shape)} rates for {tuple(thresholds.shape)} thresholds"
        )
    return torch.trapezoid(rates, thresholds) / (thresholds[-1] - thresholds[0])


def mean_average_precision(predicted, joints, threshold=PRECISION_AT):
    """Share of predictions within `threshold` mm of each joint, averaged over the joints."""
    return (joint_errors(predicted, joints) <= threshold).double().mean()


def summary(predicted, joints, thresholds=THRESHOLDS):
    """Every measure at once, as plain numbers that go into a record (see `Streaming.compute`)."""
    return Streaming(thresholds).update(predicted, joints).compute()


class Streaming:
    """The same measures over a set that never is in memory at once.

    >>> seen = Streaming()
    >>> for crops in batches: seen.update(method.decode(method(x), crops), crops.joints)
    >>> seen.compute()["mean_joint_error_mm"]

    Only sums and counts are kept, in float64 and on the CPU; `merge` joins two halves of a set.
    """

    def __init__(self, thresholds=THRESHOLDS):
        self.thresholds = _thresholds(thresholds)
        self.frames = 0
        self._sum = None  # (J,) mm
        self._precise = None  # (J,) frames whose joint is within PRECISION_AT
        self._within = {
            by: torch.zeros(len(self.thresholds), dtype=torch.float64) for by in _OVER_JOINTS
        }

    def update(self, predicted, joints):
        """Takes in a batch `(B, J, 3)` mm of predictions and true joints; returns itself."""
        errors = joint_errors(predicted, joints).cpu()
        if self._sum is None:
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

    def merge(self, other):
        """Takes in what another `Streaming` has seen; returns itself."""
        if not torch.equal(self.thresholds, other.thresholds):
            raise HandPoseError("only streams with the same thresholds can be merged")
        if other.frames == 0:
            return self
        if self.frames and len(self._sum) != len(other._sum):
            raise HandPoseError(
                f"streams of {len(self._sum)} and {len(other._sum)} joints cannot be merged: "
                "one set has one skeleton"
            )
        self._sum = other._sum.clone() if self._sum is None else self._sum + other._sum
        self._precise = (
            other._precise.clone() if self._precise is None else self._precise + other._precise
        )
        self._within = {by: count + other._within[by] for by, count in self._within.items()}
        self.frames += other.frames
        return self

    def compute(self):
        """The measures of all frames seen, as plain Python numbers and lists.

        Keys: `frames`; `mean_joint_error_mm`; `per_joint_mm` (J); `thresholds_mm` (T);
        `success_rate_worst`, `success_rate_mean` (T, shares of frames); `auc_worst`, `auc_mean`;
        `map_10cm`.
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


def _share_within(errors, thresholds):
    """Share of `errors` (N,) that are at most each of the thresholds, `(T,)`."""
    return (errors[:, None] <= _thresholds(thresholds, like=errors)).double().mean(0)


def _thresholds(thresholds, like=None):
    thresholds = torch.as_tensor(
        thresholds, dtype=torch.float64, device=None if like is None else like.device
    )
    if thresholds.ndim != 1 or len(thresholds) == 0 or not (thresholds.diff() > 0).all():
        raise HandPoseError("thresholds must be one rising list of numbers in mm")
    return thresholds


def _checked(points, name):
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
