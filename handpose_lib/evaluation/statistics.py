"""Statistics of claims: an effect with its confidence interval, and the verdict that follows.

    answer = decide(trials_without, trials_with, differs=["network.bones"])   # the book's one rule
    answer.verdict, answer.effect, str(answer)

A claim states a range of the effect: above zero for 'A is better than B'. It holds if the whole
interval lies in the range, it does not hold if none of it does, and otherwise it cannot be decided.

A `Trial` is one trained network with its error on every test frame and with the facts behind it.
The two sides of a comparison may differ in the named facts only. The interval of a claim about a
method covers other frames and other trainings: it needs a second seed. The interval of a claim
about given networks covers other frames only.

`paired` and `between_seeds` are the two parts of that interval, `verdict` is the rule itself.
`power` and `seeds_needed` say how many trainings would decide what is undecided.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from math import hypot, inf
from typing import Any

import torch
from scipy.special import chdtri, ndtr, stdtrit  # scipy.stats has them too, but imports in seconds

from handpose_lib.errors import HandPoseError, one_of

Errors = Sequence[float] | torch.Tensor

LEVEL = 0.95
"""Default confidence level of intervals."""

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "cannot be decided"

ABOUT = ("method", "networks")
"""What a claim may be about: a method, whose next training has another seed, or given networks."""


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


@dataclass(frozen=True, eq=False)
class Trial:
    """One trained network with its error on every test frame.

    name       what sentences call it
    errors     (N,), of frames in a fixed order; mm unless stated otherwise
    frames     identifies the N frames and their labels
    training   identifies the training, seed included: two ways to decode one network share it
    facts      what led to the errors: name → value, such as 'recipe.schedule' → 'cosine'
    """

    name: str
    errors: torch.Tensor
    frames: str
    training: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.errors.ndim != 1 or not self.errors.isfinite().all():
            raise HandPoseError(
                f"errors of {self.name} of shape {tuple(self.errors.shape)}: accepted are finite"
                " numbers (N,), one per frame"
            )

    @property
    def mean(self) -> float:
        """The mean over the frames."""
        return self.errors.double().mean().item()


@dataclass(frozen=True)
class Decision:
    """A verdict with what it rests on.

    verdict     `HOLDS`, `FAILS` or `UNDECIDED`
    effect      mean gain with its interval
    covers      what the interval covers: 'over frames and seeds' or 'over frames only'
    compared    what was compared, in words
    needed      number of trainings on each side that would probably decide it, see `seeds_needed`;
                None if it is decided, if the spread is unknown, or if no number would do
    """

    verdict: str
    effect: Effect
    covers: str
    compared: str
    unit: str = "mm"
    needed: int | None = None

    @property
    def told(self) -> str:
        """The effect with its interval and what that covers: '+2 mm [+1, +3] over frames only'."""
        return f"{self.effect.told(self.unit)} {self.covers}"

    def __str__(self):
        return f"**{self.verdict}** here: {self.told}; {self.compared}"


def decide(
    without: Sequence[Trial],
    with_: Sequence[Trial],
    *,
    differs: Iterable[str],
    within: tuple[float, float] = (0.0, inf),
    about: str = "method",
    unit: str = "mm",
    groups: Sequence[int] | torch.Tensor | None = None,
    level: float = LEVEL,
) -> Decision:
    """Decide whether the gain, the mean error `without` − `with_`, lies in the open range `within`.

    differs    the facts that the claim is about, by name or pattern ('network.*'). No other fact
               may differ between the sides, and none between the trials of one side
    about      'method': the interval covers other frames and other trainings. With one training on
               each side the second part is unknown: the claim cannot be decided, and the interval
               covers frames only. 'networks': the claim is about these networks, and the interval
               covers frames only
    groups     (N,) the number of each frame's sequence, for `paired`

    Two sides that consist of the same trainings (another decoding, or the mean over the epochs of
    the same run) are paired within each training. Otherwise the seeds of both sides are
    independent. Frames are always paired.
    The parts of the interval over frames and over seeds are independent of each other. Their
    distances from the mean add in quadrature, which gives at least the stated level (method of
    variance estimates recovery, Zou and Donner 2008).
    Errors: `HandPoseError` for a side without a trial, other frames, a fact that differs without
    being named, and two sides that do not differ.
    """
    one_of("subject of a claim", about, ABOUT)
    if not (without and with_):
        raise HandPoseError(
            f"{len(without)} and {len(with_)} trials: accepted is at least one on each side"
        )
    named = _differences(without, with_, tuple(differs))
    same = sorted(trial.training for trial in without) == sorted(trial.training for trial in with_)
    if same:
        without = sorted(without, key=lambda trial: trial.training)
        with_ = sorted(with_, key=lambda trial: trial.training)
    frames = paired(_over_trials(without), _over_trials(with_), groups, level)
    seeds = None
    if about == "method":
        means = [[trial.mean for trial in side] for side in (without, with_)]
        seeds = between_seeds(means[0], means[1], level, matched=same)
    both = _combined(frames, seeds) if seeds else frames
    known = seeds is not None or about == "networks"
    answer = verdict(both if known else None, within)
    return Decision(
        answer,
        both,
        "over frames and seeds" if seeds else "over frames only",
        _compared(without, with_, named, same, about),
        unit,
        _needed(frames, seeds, within, (len(without), len(with_)), same, level)
        if seeds and answer == UNDECIDED
        else None,
    )


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
    drawn = _drawn(len(count), samples, seed)
    means = (drawn @ total) / (drawn @ count)
    low, high = means.quantile(
        torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    ).tolist()
    mean = gain.mean().item()
    return Effect(mean, min(low, mean), max(high, mean))


def between_seeds(
    without: Errors, with_: Errors, level: float = LEVEL, matched: bool = False
) -> Effect | None:
    """Return the mean of `without` minus that of `with_` with Student's confidence interval.

    Both are errors of training runs with different seeds. Equal variance of both sides is assumed,
    so that one side may have a single run. With `matched`, entry i of both sides is the same
    training, and the interval follows from the spread of the differences. None if both sides have
    one run: then the variance is unknown.
    Errors: `HandPoseError` for a side without a run, and matched sides of different length.
    """
    sides = [torch.as_tensor(values, dtype=torch.float64).flatten() for values in (without, with_)]
    counts = [len(side) for side in sides]
    if not all(counts):
        raise HandPoseError(
            f"{counts[0]} and {counts[1]} trainings: accepted is at least one on each side"
        )
    if matched:
        if counts[0] != counts[1]:
            raise HandPoseError(
                f"{counts[0]} and {counts[1]} matched trainings: accepted is the same number"
            )
        sides = [sides[0] - sides[1]]
    freedom = sum(len(side) - 1 for side in sides)
    if not freedom:
        return None
    variance = sum((side - side.mean()).square().sum().item() for side in sides) / freedom
    reach = student(freedom, level) * (variance * sum(1 / len(side) for side in sides)) ** 0.5
    mean = (sides[0].mean() - (0 if matched else sides[1].mean())).item()
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


def together(verdicts: Iterable[str]) -> str:
    """Return the verdict of a claim that has several parts.

    It holds if every part does, and does not hold if any part does not. Otherwise, or without any
    part, it cannot be decided.
    """
    parts = set(verdicts)
    if FAILS in parts:
        return FAILS
    return HOLDS if parts == {HOLDS} else UNDECIDED


def power(
    gain: float,
    spread: float,
    seeds: int,
    *,
    frames: float = 0.0,
    matched: bool = False,
    level: float = LEVEL,
) -> float:
    """Return the probability that `seeds` trainings on each side show a true gain to be positive.

    gain      the true gain in mm, positive
    spread    standard deviation in mm of the error over seeds; with `matched`, of the difference
    frames    half the width in mm of the interval over frames, which more seeds do not change

    The mean gain of the trainings is normally distributed and their variance as a chi-squared
    variable; the interval is that of `decide`.
    Errors: `HandPoseError` for a gain or a spread that is not positive, and fewer than two seeds.
    """
    if not (gain > 0 and spread > 0 and frames >= 0 and seeds >= 2):
        raise HandPoseError(
            f"gain {gain}, spread {spread}, frames {frames}, {seeds} seeds: accepted are mm > 0,"
            " mm > 0, mm ≥ 0, and at least 2"
        )
    freedom = (seeds - 1) * (1 if matched else 2)
    deviation = spread * ((1 if matched else 2) / seeds) ** 0.5
    # The middle of each of so many equally probable values of the variance that is seen.
    shares = (torch.arange(_VARIANCES, dtype=torch.float64) + 0.5) / _VARIANCES
    seen = torch.from_numpy(chdtri(freedom, shares.numpy())) / freedom
    reach = (frames**2 + (student(freedom, level) * deviation) ** 2 * seen).sqrt()
    return float(ndtr(((gain - reach) / deviation).numpy()).mean())


_VARIANCES = 400


def seeds_needed(
    gain: float,
    spread: float,
    *,
    frames: float = 0.0,
    matched: bool = False,
    level: float = LEVEL,
    sure: float = 0.8,
    most: int = 100,
) -> int | None:
    """Return the smallest number of trainings on each side with a `power` of at least `sure`.

    None if it is more than `most`: then more seeds alone do not help. Errors: as of `power`.
    """
    for seeds in range(2, most + 1):
        if power(gain, spread, seeds, frames=frames, matched=matched, level=level) >= sure:
            return seeds
    return None


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


@lru_cache(maxsize=2)  # one set of frames serves all claims of a page
def _drawn(count: int, samples: int, seed: int) -> torch.Tensor:
    """Return how often each of `count` things is in each drawing, (samples, count)."""
    drawn = torch.randint(count, (samples, count), generator=torch.Generator().manual_seed(seed))
    times = torch.zeros(samples, count, dtype=torch.float64)
    return times.scatter_add_(1, drawn, torch.ones_like(times))


def _needed(
    frames: Effect,
    seeds: Effect,
    within: tuple[float, float],
    counts: tuple[int, int],
    matched: bool,
    level: float,
) -> int | None:
    """Return the trainings that would decide a claim, if its true gain is the one that was seen."""
    shares, freedom = (1, counts[0] - 1) if matched else (len(counts), sum(counts) - len(counts))
    spread = (seeds.high - seeds.mean) / student(freedom, level)
    spread /= sum(1 / count for count in counts[:shares]) ** 0.5
    gain = min(abs(frames.mean - end) for end in within)
    reach = max(frames.high - frames.mean, frames.mean - frames.low)
    if not (gain > 0 and spread > 0):
        return None
    return seeds_needed(gain, spread, frames=reach, matched=matched, level=level)


def _over_trials(side: Sequence[Trial]) -> torch.Tensor:
    return torch.stack([trial.errors.double() for trial in side]).mean(0)


def _combined(frames: Effect, seeds: Effect) -> Effect:
    mean = frames.mean
    return Effect(
        mean,
        mean - hypot(frames.mean - frames.low, seeds.mean - seeds.low),
        mean + hypot(frames.high - frames.mean, seeds.high - seeds.mean),
    )


def _differences(
    without: Sequence[Trial], with_: Sequence[Trial], differs: tuple[str, ...]
) -> dict[str, tuple[Any, Any]]:
    """Return the facts that differ, each with both values. Errors: as of `decide`."""
    first, second = without[0], with_[0]
    for trial in (*without, *with_):
        if (trial.frames, len(trial.errors)) != (first.frames, len(first.errors)):
            raise HandPoseError(
                f"{first.name} and {trial.name} were tested on other frames or labels"
                f" ({first.frames}, {trial.frames}): accepted are the same ones"
            )
    for side in (without, with_):
        for trial in side:
            if unequal := _unequal(side[0].facts, trial.facts):
                raise HandPoseError(
                    f"trials of {side[0].name} differ in {_listed(unequal)}: accepted are trials"
                    " of one side that differ in their seed"
                )
    found = _unequal(first.facts, second.facts)
    unnamed = {
        name: values
        for name, values in found.items()
        if not any(fnmatchcase(name, pattern) for pattern in differs)
    }
    if unnamed:
        raise HandPoseError(
            f"{first.name} and {second.name} differ in {_listed(unnamed)}: accepted are sides that"
            f" differ in {', '.join(differs) or 'nothing'}; name in `differs` what the claim is"
            " about, or compare other runs"
        )
    if not found and first.name == second.name:
        raise HandPoseError(f"{first.name} is compared with itself: accepted are two sides")
    return found


def _unequal(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (a.get(name), b.get(name))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    }


def _listed(different: Mapping[str, tuple[Any, Any]]) -> str:
    return "; ".join(f"{name} ({one} and {other})" for name, (one, other) in different.items())


def _compared(
    without: Sequence[Trial],
    with_: Sequence[Trial],
    named: Mapping[str, tuple[Any, Any]],
    same: bool,
    about: str,
) -> str:
    """Return what was compared, in words."""
    one, other = without[0], with_[0]
    words = [other.name if one.name == other.name else f"{other.name} against {one.name}"]
    if about == "method":
        words += [
            f"within {_number(len(without))}"
            if same
            else f"{len(with_)} against {_number(len(without))}"
        ]
    words += [f"{len(one.errors):,} frames"]
    what = ", ".join(f"{name} {now} instead of {before}" for name, (before, now) in named.items())
    return ", ".join(words) + (f"; {what}" if what else "")


def _number(count: int) -> str:
    return f"{count} training{'s' * (count > 1)}"
