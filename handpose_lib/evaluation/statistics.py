"""What do runs say about a claim? An effect with its interval, and a verdict that follows from it.

    effect = paired(errors_without, errors_with)                  # the same frames, seen twice: a
    gain in mm
    effect = between_seeds(errors_without, errors_with)           # trainings, each known by one
    number
    verdict(effect), verdict(effect, within=(-0.5, 0.5))          # 'better'; 'matters little'
    sentence(errors_without, errors_with)                         # the same of trainings, in words

A claim says where an effect lies: above zero for 'A is better than B'. It holds if the whole
interval lies there, it does not hold if none of it does, and everything else cannot be decided.
What is not known has no interval.
"""

from dataclasses import dataclass
from math import inf, pi

import torch

from handpose_lib.errors import HandPoseError

LEVEL = 0.95
"""Of every interval, unless another one is asked for: the share of cases that it is meant to cover.
"""

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "cannot be decided"


@dataclass(frozen=True)
class Effect:
    """An effect and the ends of its interval, in mm where nothing else is said."""

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
        """'+1.97 mm [+1.10, +2.84]'"""
        return f"{self.mean:+.2f} {unit} [{self.low:+.2f}, {self.high:+.2f}]"


def paired(
    without, with_, groups=None, level: float = LEVEL, samples: int = 4000, seed: int = 0
) -> Effect:
    """The mean of `without` − `with_`, errors (N,) of the same frames, and its interval: a
    bootstrap over frames.

    Frames are drawn anew `samples` times, each with its difference, so that what makes a frame hard
    for both cancels. Of a recording, neighbours are alike and count for less than their number:
    `groups` (N,), the number of each frame's sequence, draws whole sequences instead.
    Errors: other shapes, fewer than two frames or sequences, values that are not finite.
    """
    without, with_ = (torch.as_tensor(values, dtype=torch.float64) for values in (without, with_))
    if without.ndim != 1 or without.shape != with_.shape:
        raise HandPoseError(
            f"errors of shape {tuple(without.shape)} and {tuple(with_.shape)}: accepted is (N,)"
            " twice, of the same frames"
        )
    gain = without - with_
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
            f"{len(count)} of what is drawn: accepted are at least two frames, or sequences"
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


def between_seeds(without, with_, level: float = LEVEL) -> Effect | None:
    """The mean of `without` minus that of `with_`, errors of trainings with different seeds, and
    Student's interval.

    Both sides are taken to spread alike, so that one of them may be a single training. None where
    both are: a spread that was never seen is not known. Errors: a side without any training.
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
    """'holds', 'does not hold' or 'cannot be decided', for a claim that the effect lies in the open
    range `within`.
    """
    low, high = within
    if not low < high:
        raise HandPoseError(f"range {within}: accepted are two numbers that rise")
    if effect is None:
        return UNDECIDED
    if low < effect.low and effect.high < high:
        return HOLDS
    return FAILS if effect.high <= low or effect.low >= high else UNDECIDED


def sentence(without, with_, unit: str = "mm") -> str:
    """What trainings say of a claim that those `with_` err less than those `without`: the verdict
    and the effect between seeds.
    """
    if not (len(without) and len(with_)):
        return "no record here"
    effect = between_seeds(without, with_)
    if effect is None:
        return f"**{UNDECIDED}** from one training each: {sum(without) - sum(with_):+.2f} {unit}"
    return f"**{verdict(effect)}** here: {effect.told(unit)}"


def together(verdicts) -> str:
    """Of a claim in parts: it holds if every part does, does not if any does not, and is open
    otherwise.

    Without any part there is nothing to decide it by.
    """
    verdicts = list(verdicts)
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else UNDECIDED


def student(freedom: int, level: float = LEVEL) -> float:
    """t such that a variable of Student's distribution lies in [−t, t] with probability `level`.

    With t = √freedom · tan φ its density is that of cos(φ)^(freedom − 1).
    """
    if freedom < 1 or not 0 < level < 1:
        raise HandPoseError(
            f"{freedom} degrees of freedom, level {level}: accepted are whole numbers from 1 and 0"
            " < level < 1"
        )
    angle = torch.linspace(0, pi / 2, 200_001, dtype=torch.float64)
    area = torch.cumulative_trapezoid(angle.cos() ** (freedom - 1), angle)
    place = int(torch.searchsorted(area, level * area[-1]))
    return freedom**0.5 * torch.tan(angle[place + 1]).item()
