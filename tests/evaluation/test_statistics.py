"""Intervals against known results, and verdicts against their definition."""

import itertools
import math

import pytest
import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import statistics
from handpose_lib.evaluation.statistics import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Effect,
    between_seeds,
    paired,
    student,
    together,
    verdict,
)


def errors(count, gain, seed=0, own=1.0):
    """Errors in mm of two methods that find the same frames hard; the means differ by `gain`."""
    g = torch.Generator().manual_seed(seed)
    hard = 5 + 30 * torch.rand(count, generator=g, dtype=torch.float64)
    return hard + gain + own * torch.randn(count, generator=g, dtype=torch.float64), hard


# --- Paired -------------------------------------------------------------------


def test_the_effect_is_the_mean_difference_and_lies_inside():
    without, with_ = errors(80, 2.0)
    effect = paired(without, with_)
    assert effect.mean == pytest.approx((without - with_).mean().item())
    assert effect.low < effect.mean < effect.high


def test_the_other_way_round_the_interval_is_mirrored():
    without, with_ = errors(80, 2.0)
    there, back = paired(without, with_), paired(with_, without)
    assert (there.low, there.mean, there.high) == pytest.approx(
        (-back.high, -back.mean, -back.low), abs=1e-9
    )


def test_the_width_is_that_of_the_central_limit():
    """2 · 1.96 σ / √N, within the 5 % that 4,000 drawings and 400 frames leave."""
    without, with_ = errors(400, 1.0)
    effect, gain = paired(without, with_), without - with_
    assert effect.high - effect.low == pytest.approx(2 * 1.96 * gain.std().item() / 20, rel=0.05)


def test_what_is_hard_for_both_does_not_widen_the_interval():
    without, with_ = errors(100, 1.0)
    far = 100 * torch.arange(100, dtype=torch.float64)
    one, other = paired(without, with_), paired(without + far, with_ + far)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)


def test_the_interval_covers_as_often_as_it_says():
    """Of 120 experiments with 60 frames each 95 % are 114; five standard deviations of that count
    are 12.
    """
    covered = sum(
        effect.low <= 1.0 <= effect.high
        for effect in (paired(*errors(60, 1.0, seed), samples=500) for seed in range(120))
    )
    assert covered >= 114 - 12


def test_frames_of_a_sequence_that_are_alike_count_once():
    """Ten copies of each frame: as wide as without the copies if they are drawn together, √10
    narrower if not.
    """
    without, with_ = errors(60, 1.0)
    many = [values.repeat_interleave(10) for values in (without, with_)]
    alone, grouped, torn = (
        paired(without, with_),
        paired(*many, groups=torch.arange(60).repeat_interleave(10)),
        paired(*many),
    )
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
    assert (alone.high - alone.low) / (torn.high - torn.low) == pytest.approx(10**0.5, rel=0.1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((torch.ones(3), torch.ones(4)), "of the same frames"),
        ((torch.ones(3, 2), torch.ones(3, 2)), "of the same frames"),
        ((torch.tensor([1.0, math.nan]), torch.ones(2)), "not finite"),
        ((torch.ones(1), torch.ones(1)), "at least two"),
        ((torch.ones(4), torch.ones(4), torch.zeros(4)), "at least two"),
        ((torch.ones(4), torch.ones(4), torch.zeros(3)), "one for each of 4 frames"),
    ],
)
def test_pairs_that_are_none(arguments, message):
    with pytest.raises(HandPoseError, match=message):
        paired(*arguments)


# --- Seeds --------------------------------------------------------------------


def test_two_samples_of_a_textbook():
    """Welch's first example with equal variances pooled: by hand, difference 2, s² = 1, n = m = 3,
    t(4) = 2.776.
    """
    effect = between_seeds([13.0, 14.0, 15.0], [11.0, 12.0, 13.0])
    assert effect is not None and effect.mean == pytest.approx(2)
    assert effect.high - effect.mean == pytest.approx(2.7764 * (2 / 3) ** 0.5, abs=1e-3)


def test_one_training_leans_on_the_spread_of_the_other_side():
    effect = between_seeds([20.0], [17.0, 18.0, 19.0])
    assert effect is not None and effect.mean == pytest.approx(2)
    assert effect.high - effect.mean == pytest.approx(4.3027 * (4 / 3) ** 0.5, abs=1e-3)


def test_one_training_on_each_side_has_no_interval():
    assert between_seeds([30.0], [10.0]) is None
    with pytest.raises(HandPoseError, match="0 and 1 trainings"):
        between_seeds([], [10.0])


@pytest.mark.parametrize(
    "freedom, expected",
    [
        (1, math.tan(math.pi * 0.475)),
        (2, 0.95 * (2 / (1 - 0.95**2)) ** 0.5),
        (100_000, 1.9599640 + (1.9599640**3 + 1.9599640) / 400_000),
    ],
)
def test_students_quantile(freedom, expected):
    """Closed forms for one and two degrees of freedom, the first terms of the series for many."""
    assert student(freedom) == pytest.approx(expected, rel=1e-7)


def test_students_quantile_needs_freedom():
    with pytest.raises(HandPoseError, match="0 degrees of freedom"):
        student(0)


# --- Verdicts -----------------------------------------------------------------


@pytest.mark.parametrize(
    "low, high", [*itertools.combinations((-2.0, -0.5, -0.2, 0.0, 0.2, 0.5, 2.0), 2)]
)
@pytest.mark.parametrize("within", [(0.0, math.inf), (-0.5, 0.5), (-math.inf, 0.5)])
def test_a_verdict_is_about_the_whole_interval(low, high, within):
    """Against many points of the interval: all of them in the range, none, or some."""
    points = torch.linspace(low, high, 1001)
    inside = ((points > within[0]) & (points < within[1])).double().mean()
    expected = HOLDS if inside == 1 else FAILS if inside == 0 else UNDECIDED
    assert verdict(Effect((low + high) / 2, low, high), within) == expected


def test_what_is_not_known_is_not_decided():
    assert verdict(None) == UNDECIDED
    with pytest.raises(HandPoseError, match="two numbers that rise"):
        verdict(None, (1.0, 0.0))
    with pytest.raises(HandPoseError, match="low ≤ mean ≤ high"):
        Effect(3.0, 1.0, 2.0)


def test_a_claim_in_parts():
    assert together([HOLDS, HOLDS]) == HOLDS
    assert together([HOLDS, UNDECIDED]) == UNDECIDED == together([])
    for parts in itertools.permutations([HOLDS, UNDECIDED, FAILS]):
        assert together(parts) == FAILS


def test_an_effect_says_its_interval():
    assert str(Effect(1.0, 0.5, 1.5)) == "+1.00 mm [+0.50, +1.50]"
    assert statistics.LEVEL == 0.95


def test_a_sentence_says_verdict_effect_and_unit():
    assert statistics.sentence([7.0, 7.2, 6.9], [3.0], "°").startswith("**holds** here: +4.03 ° [+")
    assert statistics.sentence([3.0], [7.0, 7.2, 6.9]).startswith(
        "**does not hold** here: -4.03 mm [-"
    )
    assert (
        statistics.sentence([3.0], [2.0])
        == "**cannot be decided** from one training each: +1.00 mm"
    )
    assert statistics.sentence([], [2.0]) == "no record here"
