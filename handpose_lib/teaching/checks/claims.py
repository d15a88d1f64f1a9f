"""Checks of the chapter that puts claims to the test."""

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    normal,
    require,
    shaped,
    uniform,
)

__all__ = ["check", "require"]


@exercise("paired_interval", chapter="claims")
def paired_interval(student: Student, generator: torch.Generator) -> None:
    """paired_interval(without, with_, drawn) -> (2,): the middle 95 % of the mean gain over
    drawings of frames.
    """
    hard = uniform(generator, (60,), 5, 40)
    without, with_ = hard + 2 + normal(generator, (60,)), hard + normal(generator, (60,))
    drawn = torch.randint(60, (400, 60), generator=generator)
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    gain = without - with_
    result = student(without, with_, drawn)
    shaped(result, (2,), "the interval")
    other = drawn.roll(1, 0)
    equal(
        result,
        gain[drawn].mean(1).quantile(ends),
        "paired_interval is not the middle 95 % of the mean gain",
        hint=(
            "one gain per frame; then for each drawing the mean of the gains it has drawn; then two"
            " quantiles"
        ),
        mistakes={
            "the gain is positive where `with_` is better: without − with_": (
                (-gain)[drawn].mean(1).quantile(ends)
            ),
            "that is where the gains of single frames lie: take the mean of each drawing first": (
                gain.quantile(ends)
            ),
            "that is the middle 90 %: cut 2.5 % off at either end": (
                gain[drawn].mean(1).quantile(ends.new_tensor([0.05, 0.95]))
            ),
            "both errors of a frame have to be drawn together": (
                (without[drawn].mean(1) - with_[other].mean(1)).quantile(ends)
            ),
            "the quantile of a difference is not the difference of quantiles": (
                without[drawn].mean(1).quantile(ends) - with_[drawn].mean(1).quantile(ends)
            ),
            "the mean over the frames of a drawing, not over the drawings": (
                gain[drawn].mean(0).quantile(ends)
            ),
            "a mean, not a median": gain[drawn].median(1).values.quantile(ends),
        },
        atol=1e-6,
    )


@exercise("answer", chapter="claims")
def answer(student: Student, generator: torch.Generator) -> None:
    """answer(effect_low, effect_high, low, high) -> 1, -1 or 0."""
    inf = float("inf")
    cases = [
        ((0.5, 2.0), (0.0, inf), 1),
        ((-2.0, -0.5), (0.0, inf), -1),
        ((-0.5, 2.0), (0.0, inf), 0),
        ((-3.0, 0.1), (0.0, inf), 0),
        ((-0.2, 0.3), (-0.5, 0.5), 1),
        ((0.8, 1.4), (-0.5, 0.5), -1),
        ((-2.0, -0.9), (-0.5, 0.5), -1),
        ((0.3, 0.9), (-0.5, 0.5), 0),
        ((-0.9, 0.9), (-0.5, 0.5), 0),
        ((-1.0, 0.0), (0.0, inf), -1),
        ((0.0, 1.0), (0.0, inf), 0),
    ]
    given = [student(*effect, *within) for effect, within, _ in cases]
    holds(
        all(value in (-1, 0, 1) for value in given),
        "the answer is not always 1, -1 or 0",
        "return one of the three numbers",
    )
    for value, (effect, within, right) in zip(given, cases):
        if value == right:
            continue
        what = (
            f"an effect in [{effect[0]:g}, {effect[1]:g}] and a claim of ({within[0]:g},"
            f" {within[1]:g})"
        )
        if right == 0:
            hint = (
                "the range is open: an interval that touches its end from within still contains a"
                " value outside"
                if effect[0] == within[0]
                else "an interval that lies on both sides of a border of the claim decides nothing"
            )
        elif within[1] < inf and right == -1:
            hint = "a claim with two borders fails on either side"
        elif effect[1] == within[0]:
            hint = (
                "the range is open: an interval that only touches it from outside has no value in"
                " common with it"
            )
        else:
            hint = "the whole interval inside the claim's range: 1; none of it inside: -1"
        holds(False, f"{what} got {value} instead of {right}", hint)


@exercise("without_floor", chapter="claims")
def without_floor(student: Student, generator: torch.Generator) -> None:
    """without_floor(total, floor) -> the rest, where total² = floor² + rest²; 0 where the floor is
    larger.
    """
    total = uniform(generator, (20,), 6, 20)
    floor = uniform(generator, (20,), 1, 5)
    rest = (total.square() - floor.square()).sqrt()
    equal(
        student(total, floor),
        rest,
        "without_floor does not take the floor out in quadrature",
        hint="total² = floor² + rest²",
        mistakes={
            "parts that are independent do not add as they are: their squares do": total - floor,
            "that puts the floor in once more": (total.square() + floor.square()).sqrt(),
            "take the root: the rest is in mm": total.square() - floor.square(),
            "that is its share: multiply by the total": rest / total,
        },
    )
    result = student(
        torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([2.0, 2.0], dtype=torch.float64)
    )
    holds(
        isinstance(result, torch.Tensor) and torch.isfinite(result).all(),
        "a floor above the total gives no number",
        "clamp the difference of the squares at 0",
    )
    equal(
        result,
        torch.zeros(2, dtype=torch.float64),
        "where the floor is not below the total nothing is left",
    )
