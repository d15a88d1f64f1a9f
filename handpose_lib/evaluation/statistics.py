"""Statistics of claims: an effect with its confidence interval, and the verdict that follows.

    effect = paired(errors_without, errors_with)           # errors of the same frames: a gain in mm
    effect = between_seeds(errors_without, errors_with)    # one error per training run
    verdict(effect), verdict(effect, within=(-0.5, 0.5))   # 'is better'; 'makes little difference'
    sentence(errors_without, errors_with)                  # effect and verdict of runs, in words

A claim states a range of the effect: above zero for 'A is better than B'. It holds if the whole
interval lies in the range, it does not hold if none of it does, and otherwise it cannot be decided.
An unknown effect has no interval.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

import torch
from scipy.special import stdtrit  # scipy.stats has it as t.ppf, but takes seconds to import

from handpose_lib.errors import HandPoseError

Errors = Sequence[float] | torch.Tensor

LEVEL = 0.95
"""Default confidence level of intervals."""

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "cannot be decided"


@dataclass(frozen=True)
class Effect:
    """An effect and the ends of its interval, in mm unless stated otherwise."""

    mean: float
    low: float
    high: float

    def __post_init__(self):
        if not self.low <= self.mean <= self.high:
            raise HandPoseError(
                f"effect {self.mean} in an interval from {self.low} to {self.high}: accepted is low"
                " ≤ mean ≤ high"
            )

    def __str__(self):
        return self.told("mm")

    def told(self, unit: str) -> str:
        """Return the effect and its interval with a unit: '+1.97 mm [+1.10, +2.84]'."""
        return f"{self.mean:+.2f} {unit} [{self.low:+.2f}, {self.high:+.2f}]"


def paired(
    without: Errors,
    with_: Errors,
    groups: Sequence[int] | torch.Tensor | None = None,
    level: float = LEVEL,
    samples: int = 4000,
    seed: int = 0,
) -> Effect:
    """Return the mean of `without` − `with_`, errors (N,) of the same frames, with its interval.

    The interval is a bootstrap over frames: the differences are resampled `samples` times, so that
    difficulties of a frame that affect both cancel. Neighbouring frames of a recording are similar
    and count for less than their number: with `groups` (N,), the number of each frame's sequence,
    whole sequences are resampled.
    Errors: `HandPoseError` for other shapes, fewer than two frames or sequences, and values that
    are not finite.
    """
    first, second = (torch.as_tensor(values, dtype=torch.float64) for values in (without, with_))
    if first.ndim != 1 or first.shape != second.shape:
        raise HandPoseError(
            f"errors of shape {tuple(first.shape)} and {tuple(second.shape)}: accepted is (N,)"
            " twice, of the same frames"
        )
    gain = first - second
    if not gain.isfinite().all():
        raise HandPoseError("errors that are not finite: accepted are mm")
    groups = torch.arange(len(gain)) if groups is None else torch.as_tensor(groups)
    if groups.shape != gain.shape:
        raise HandPoseError(
            f"groups of shape {tuple(groups.shape)}: accepted is one for each of {len(gain)} frames"
        )
    number = groups.unique(return_inverse=True)[1]
    count = torch.bincount(number).double()
    if len(count) < 2:
        raise HandPoseError(
            f"{len(count)} frames or sequences to draw from: accepted are at least two"
        )
    total = torch.zeros_like(count).index_add_(0, number, gain)
    drawn = torch.randint(
        len(count), (samples, len(count)), generator=torch.Generator().manual_seed(seed)
    )
    means = total[drawn].sum(1) / count[drawn].sum(1)
    low, high = means.quantile(
        torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    ).tolist()
    mean = gain.mean().item()
    return Effect(mean, min(low, mean), max(high, mean))


def between_seeds(without: Errors, with_: Errors, level: float = LEVEL) -> Effect | None:
    """Return the mean of `without` minus that of `with_` with Student's confidence interval.

    Both are errors of training runs with different seeds. Equal variance of both sides is assumed,
    so that one side may have a single run. None if both have: then the variance is unknown.
    Errors: `HandPoseError` for a side without a run.
    """
    sides = [torch.as_tensor(values, dtype=torch.float64).flatten() for values in (without, with_)]
    if not all(len(side) for side in sides):
        raise HandPoseError(
            f"{len(sides[0])} and {len(sides[1])} trainings: accepted is at least one on each side"
        )
    freedom = sum(len(side) - 1 for side in sides)
    if not freedom:
        return None
    variance = sum((side - side.mean()).square().sum().item() for side in sides) / freedom
    reach = student(freedom, level) * (variance * sum(1 / len(side) for side in sides)) ** 0.5
    mean = (sides[0].mean() - sides[1].mean()).item()
    return Effect(mean, mean - reach, mean + reach)


def verdict(effect: Effect | None, within: tuple[float, float] = (0.0, inf)) -> str:
    """Return whether an effect lies in the open range `within`: 'holds', 'does not hold' or
    'cannot be decided'. Errors: `HandPoseError` for a range whose ends do not rise.
    """
    low, high = within
    if not low < high:
        raise HandPoseError(f"range {within}: accepted are two numbers that rise")
    if effect is None:
        return UNDECIDED
    if low < effect.low and effect.high < high:
        return HOLDS
    return FAILS if effect.high <= low or effect.low >= high else UNDECIDED


def sentence(without: Errors, with_: Errors, unit: str = "mm") -> str:
    """Return verdict and effect of the claim that runs `with_` err less than runs `without`."""
    if not (len(without) and len(with_)):
        return "no record here"
    effect = between_seeds(without, with_)
    if effect is None:
        difference = float(without[0]) - float(with_[0])
        return f"**{UNDECIDED}** from one training each: {difference:+.2f} {unit}"
    return f"**{verdict(effect)}** here: {effect.told(unit)}"


def together(verdicts: Iterable[str]) -> str:
    """Return the verdict of a claim that has several parts.

    It holds if every part does, and does not hold if any part does not. Otherwise, or without any
    part, it cannot be decided.
    """
    parts = set(verdicts)
    if FAILS in parts:
        return FAILS
    return HOLDS if parts == {HOLDS} else UNDECIDED


def student(freedom: int, level: float = LEVEL) -> float:
    """Return t such that a Student-distributed variable lies in [−t, t] with probability `level`.

    Errors: `HandPoseError` for fewer than one degree of freedom, and a level outside (0, 1).
    """
    if freedom < 1 or not 0 < level < 1:
        raise HandPoseError(
            f"{freedom} degrees of freedom, level {level}: accepted are whole numbers from 1 and 0"
            " < level < 1"
        )
    return float(stdtrit(freedom, (1 + level) / 2))
