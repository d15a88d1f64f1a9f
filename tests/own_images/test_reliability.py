"""Limits and rates of answers, from lists whose values are known, and those of the record."""

import pytest
import torch

from handpose_lib.own_images import finding, reliability
from handpose_lib.own_images.reliability import Limits
from handpose_lib.real_hands import fitting


def measures(**changed):
    usual = dict.fromkeys(reliability.WORSE, 0.5)
    return usual | {"scale": 1.0, "remaining_mm": 1.0, "at_border": 0.0} | changed


def lists(rows, **more):
    return {name: [row[name] for row in rows] for name in rows[0]} | more


def test_all_but_the_tail_of_the_good_answers_are_within_the_limits():
    values = torch.linspace(0, 1, 101).tolist()
    good = [measures(**dict.fromkeys(reliability.WORSE, value)) for value in values]
    bad = [measures(**dict.fromkeys(reliability.WORSE, 7.0))] * 50
    errors = [reliability.GOOD_MM] * len(good) + [reliability.GOOD_MM + 0.1] * len(bad)
    found = reliability.limits_of(lists(good + bad, error_mm=errors))
    for name, worse in reliability.WORSE.items():
        low, high = found[name]
        kept = [value for value in values if low <= value <= high]
        assert len(kept) == pytest.approx((1 - reliability.TAIL) * len(values), abs=1)
        assert (low == float("-inf")) == (worse == "above")
        assert (high == float("inf")) == (worse == "below")


USUAL = {
    name: Limits(0.1, float("inf")) if worse == "below" else Limits(float("-inf"), 0.9)
    for name, worse in reliability.WORSE.items()
}


@pytest.mark.parametrize(
    "name, value",
    [
        ("probability", 0.05),
        ("covered", 0.0),
        ("disagreement_mm", 0.95),
        ("scale", finding.MISFIT),
        ("scale", 1 / finding.MISFIT),
        ("remaining_mm", fitting.ACCEPTED_MM + 0.01),
        ("at_border", 1.0),
    ],
)
def test_a_measure_beyond_its_limit_is_named_alone(name, value):
    assert reliability.unusual(measures(), USUAL) == ()
    assert reliability.unusual(measures(**{name: value}), USUAL) == (name,)


def test_rates_are_shares_of_what_they_say():
    quiet, told = measures(), measures(covered=0.0)
    hands = lists([quiet, quiet, quiet, quiet, told, told], refused=2)
    hands["error_mm"] = [5.0, 5.0, reliability.OFF_MM + 1, 5.0, reliability.OFF_MM + 1, 5.0]
    none = lists([quiet, told, told], refused=7)
    found = reliability.rates_of({"with_hand": hands, "without_hand": none}, USUAL)
    assert (found.images, found.missed, found.quiet) == (6, 0.25, pytest.approx(4 / 6))
    assert (found.quiet_off, found.others_off) == (0.25, 0.5)
    assert (found.empty, found.refused, found.false) == (10, 0.7, 1)
    # among ten draws, a share as large as this gives at most one with a probability of 5 %
    share = found.false_most
    assert (1 - share) ** 10 + 10 * share * (1 - share) ** 9 == pytest.approx(0.05)


def test_remarks_tell_answers_that_are_off_from_others():
    """In the record of the book: limits from one half of the persons, rates from the other."""
    found = reliability.rates()
    assert found.quiet_off < found.others_off
    assert found.false < (1 - found.refused) * found.empty
    assert found.false / found.empty < found.false_most < 1


def test_the_share_of_each_measure_agrees_with_the_rates():
    shares, found = reliability.flagged(), reliability.rates()
    assert {*reliability.WORSE} < set(shares)
    # good answers to other persons break a limit hardly more often than those that it comes from
    assert all(shares[name][0] <= 3 * reliability.TAIL for name in reliability.WORSE)
    # one measure alone leaves more of the answers without a hand than all of them together
    answered = (1 - found.refused) * found.empty
    assert all((1 - none) * answered > found.false for _, none in shares.values())
