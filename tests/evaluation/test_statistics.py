"""Intervals against known results, and verdicts against their definition."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import statistics
from handpose_lib.evaluation.statistics import (
    FAILS,
    HOLDS,
    LEVEL,
    UNDECIDED,
    Effect,
    Trial,
    between_seeds,
    decide,
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


def test_matched_trainings_are_students_test_of_the_differences():
    """By hand: differences 1, 2, 3 have mean 2 and s = 1, t(2) = 4.303; what the seeds share
    cancels.
    """
    effect = between_seeds([11.0, 22.0, 33.0], [10.0, 20.0, 30.0], matched=True)
    assert effect is not None and effect.mean == pytest.approx(2)
    assert effect.high - effect.mean == pytest.approx(4.3027 / 3**0.5, abs=1e-3)
    assert between_seeds([3.0], [1.0], matched=True) is None
    with pytest.raises(HandPoseError, match="2 and 1 matched"):
        between_seeds([1.0, 2.0], [1.0], matched=True)


# --- One rule -----------------------------------------------------------------


def side(gain, seeds, name="a", frames=200, spread=0.5, own=1.0, draw=0, share=None, **facts):
    """Trials of one side: hard frames for all, a training's own level, and noise of each."""
    hard = 5 + 30 * torch.rand(frames, generator=torch.Generator().manual_seed(99))
    g = torch.Generator().manual_seed(draw)
    effect_of_frames = own * torch.randn(frames, generator=g)
    return [
        Trial(
            name,
            hard + gain + effect_of_frames + spread * torch.randn((), generator=g),
            f"{frames} frames",
            f"{share or name}-{seed}",
            {"network.bones": True, "recipe.schedule": "cosine", **facts},
        )
        for seed in range(seeds)
    ]


BONES = {"network.bones": False}


def ask(without, with_, differs=("network.bones",), **options):
    return decide(without, with_, differs=differs, **options)


def test_the_interval_covers_other_frames_and_other_trainings():
    """120 experiments with 3 and 2 seeds and 60 frames, in which frames and seeds are drawn anew:
    the true gain of 1 mm lies inside at least as often as 95 % and five standard deviations allow.
    Over frames alone it does not.
    """
    inside = alone = 0
    for draw in range(120):
        without = side(1.0, 3, "b", 60, draw=2 * draw, **BONES)
        with_ = side(0.0, 2, "a", 60, draw=2 * draw + 1)
        effect = ask(without, with_).effect
        inside += effect.low <= 1.0 <= effect.high
        effect = ask(without, with_, about="networks").effect
        alone += effect.low <= 1.0 <= effect.high
    assert inside >= 114 - 12 > alone


def test_the_interval_is_at_least_as_wide_as_each_of_its_parts():
    without, with_ = side(2.0, 3, "b", **BONES), side(0.0, 3, draw=1)
    both = ask(without, with_).effect
    frames = ask(without, with_, about="networks").effect
    seeds = between_seeds([t.mean for t in without], [t.mean for t in with_])
    assert seeds is not None and both.mean == pytest.approx(frames.mean)
    for part in (frames, seeds):
        assert both.low <= part.low and part.high <= both.high
    squares = (both.mean - frames.low) ** 2 + (both.mean - seeds.low) ** 2
    assert (both.mean - both.low) ** 2 == pytest.approx(squares)


def test_one_training_each_decides_nothing_about_a_method():
    without, with_ = side(50.0, 1, "b", **BONES), side(0.0, 1)
    answer = ask(without, with_)
    assert answer.verdict == UNDECIDED and answer.covers == "over frames only"
    assert answer.effect.low > 40 and "over frames only" in str(answer)
    answer = ask(without, with_, about="networks")
    assert answer.verdict == HOLDS and answer.covers == "over frames only"
    assert ask([*without, *side(51.0, 1, "c", **BONES)], with_).covers == "over frames and seeds"


def test_the_other_way_round_the_verdict_is_the_opposite():
    without, with_ = side(9.0, 3, "b", **BONES), side(0.0, 3, draw=1)
    there, back = ask(without, with_), ask(with_, without)
    assert (there.verdict, back.verdict) == (HOLDS, FAILS)
    assert there.effect.mean == pytest.approx(-back.effect.mean)


def test_the_same_trainings_are_paired_whatever_their_order():
    """Trainings that differ by far more than two ways to decode each of them."""
    without = [t for k in range(3) for t in side(10 * k + 1.0, 1, "b", share=f"run {k}", **BONES)]
    with_ = [t for k in range(3) for t in side(10.0 * k, 1, share=f"run {k}")]
    within = ask(without, list(reversed(with_)))
    apart = ask(without, [t for k in range(3) for t in side(10.0 * k, 1, share=f"other {k}")])
    assert within.verdict == HOLDS and "within 3 trainings" in within.compared
    assert apart.verdict == UNDECIDED and "3 against 3 trainings" in apart.compared


def test_a_range_and_a_unit():
    without, with_ = side(0.1, 4, "b", spread=0.1, own=0.1, **BONES), side(0.0, 4, spread=0.1)
    answer = ask(without, with_, within=(-2.0, 2.0), unit="°")
    assert answer.verdict == HOLDS and " ° [" in answer.told


def test_sides_differ_in_what_is_named_and_in_nothing_else():
    without, with_ = side(2.0, 2, "b", **BONES), side(0.0, 2)
    slow = [replace(t, facts={**t.facts, "recipe.schedule": "steps"}) for t in without]
    with pytest.raises(HandPoseError, match=r"recipe.schedule \(steps and cosine\)"):
        ask(slow, with_)
    assert "recipe.schedule" in ask(slow, with_, ("network.*", "recipe.schedule")).compared
    with pytest.raises(HandPoseError, match="accepted are sides that differ in nothing"):
        ask(without, with_, ())
    with pytest.raises(HandPoseError, match="trials of b differ in recipe.schedule"):
        ask([without[0], slow[1]], with_, ("network.*", "recipe.*"))
    with pytest.raises(HandPoseError, match="other frames"):
        ask(without, side(0.0, 2, frames=100))
    with pytest.raises(HandPoseError, match="with itself"):
        ask(with_, with_)
    with pytest.raises(HandPoseError, match="0 and 2 trials"):
        ask([], with_)
    with pytest.raises(HandPoseError, match="method, networks"):
        ask(without, with_, about="everything")


def test_a_trial_needs_an_error_for_every_frame():
    for errors in (torch.ones(2, 2), torch.tensor([1.0, math.nan])):
        with pytest.raises(HandPoseError, match="accepted are finite numbers"):
            Trial("a", errors, "frames", "a-0")


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
    assert LEVEL == 0.95


# --- How many trainings would decide it -----------------------------------------


@pytest.mark.parametrize("matched", [False, True], ids=["independent", "matched"])
@pytest.mark.parametrize(
    ("gain", "spread", "seeds", "frames"),
    [(1.0, 0.5, 3, 0.0), (0.6, 0.3, 5, 0.3), (0.4, 0.5, 8, 0.1), (0.2, 0.5, 3, 0.2)],
)
def test_power_is_how_often_simulated_trainings_decide(gain, spread, seeds, frames, matched):
    draw = torch.Generator().manual_seed(0)
    trials = 4000
    without = torch.randn(trials, seeds, generator=draw, dtype=torch.float64) * spread + gain
    with_ = torch.randn(trials, seeds, generator=draw, dtype=torch.float64) * spread
    if matched:
        with_ = torch.zeros_like(with_)
    decided = 0
    for one, other in zip(without, with_):
        part = statistics.between_seeds(one, other, matched=matched)
        assert part is not None  # several seeds
        decided += part.mean - math.hypot(part.mean - part.low, frames) > 0
    expected = statistics.power(gain, spread, seeds, frames=frames, matched=matched)
    assert abs(decided / trials - expected) < 4 * (0.25 / trials) ** 0.5


def test_more_seeds_a_larger_gain_and_a_smaller_spread_have_more_power():
    base = statistics.power(0.5, 0.4, 4, frames=0.1)
    assert statistics.power(0.5, 0.4, 8, frames=0.1) > base
    assert statistics.power(0.8, 0.4, 4, frames=0.1) > base
    assert statistics.power(0.5, 0.2, 4, frames=0.1) > base
    assert statistics.power(0.5, 0.4, 4, frames=0.3) < base


def test_needed_seeds_are_the_fewest_that_suffice():
    needed = statistics.seeds_needed(0.5, 0.4, frames=0.1)
    assert needed is not None
    assert statistics.power(0.5, 0.4, needed, frames=0.1) >= 0.8
    assert statistics.power(0.5, 0.4, needed - 1, frames=0.1) < 0.8
    # Wider over frames than the gain: no number of seeds decides it.
    assert statistics.seeds_needed(0.5, 0.4, frames=0.6) is None


def test_an_undecided_claim_says_how_many_trainings_it_needs():
    draw = torch.Generator().manual_seed(0)

    def side(name, means):
        return [
            statistics.Trial(
                name,
                mean + torch.randn(2000, generator=draw),
                "frames",
                f"{name} {number}",
                {"what": name},
            )
            for number, mean in enumerate(means)
        ]

    unsure = statistics.decide(
        side("plain", [10.0, 11.0, 10.4]), side("new", [9.8, 10.6, 9.9]), differs=["what"]
    )
    assert unsure.verdict == statistics.UNDECIDED
    assert unsure.needed is not None and unsure.needed > 3
    sure = statistics.decide(
        side("plain", [10.0, 10.1, 10.2]), side("new", [7.8, 7.6, 7.9]), differs=["what"]
    )
    assert sure.verdict == statistics.HOLDS and sure.needed is None
    alone = statistics.decide(side("plain", [10.0]), side("new", [9.9]), differs=["what"])
    assert alone.needed is None


@pytest.mark.parametrize("wrong", [(0.0, 1.0, 3), (1.0, 0.0, 3), (1.0, 1.0, 1)])
def test_power_refuses(wrong):
    with pytest.raises(HandPoseError, match="accepted"):
        statistics.power(*wrong)
