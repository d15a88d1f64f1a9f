"""Checks of the chapter on the way from synthetic to real frames."""

import torch

from handpose_lib.teaching.checks import Student, check, equal, exercise, holds, require, uniform

__all__ = ["check", "require"]


@exercise("covered", chapter="transfer")
def covered(student: Student, generator: torch.Generator) -> None:
    """covered(points, start, end, within) -> share of the points (P, 3) that are within so many mm
    of a bone from start to end (M, 3).
    """
    start, end, points = (uniform(generator, (count, 3), -60, 60) for count in (6, 6, 400))
    within = 20.0
    along = end - start
    share = ((points[:, None] - start) * along).sum(-1) / along.square().sum(-1)

    def apart(share):
        return (points[:, None] - start - share[..., None] * along).norm(dim=-1)

    near = apart(share.clamp(0, 1))
    ends = torch.cat((start, end))
    equal(
        _number(student(points, start, end, within)),
        _number((near.amin(1) <= within).double().mean()),
        "covered is not the share of points near a bone",
        hint=(
            "for each point the nearest place on each bone, for each point the nearest bone, then"
            " count the points"
        ),
        mistakes={
            "a bone ends at its joints: keep the place along it between 0 and 1": _number(
                (apart(share).amin(1) <= within).double().mean()
            ),
            "a bone is more than its two joints": _number(
                (torch.cdist(points, ends).amin(1) <= within).double().mean()
            ),
            "a bone is more than the joint where it starts": _number(
                (torch.cdist(points, start).amin(1) <= within).double().mean()
            ),
            "count points, not bones: the smallest distance of each point": _number(
                (near.amin(0) <= within).double().mean()
            ),
            "one bone is enough for a point": _number((near <= within).double().mean()),
            "a share, not a number of points": _number((near.amin(1) <= within).double().sum()),
            "count the points that are near, not the others": _number(
                (near.amin(1) > within).double().mean()
            ),
        },
    )
    line = (
        torch.tensor([[0.0, 0, 0]], dtype=torch.float64),
        torch.tensor([[100.0, 0, 0]], dtype=torch.float64),
    )
    beside = torch.tensor(
        [[50.0, 10, 0], [50, 30, 0], [-30, 0, 0], [110, 0, 0]], dtype=torch.float64
    )
    equal(
        _number(student(beside, *line, within)),
        _number(0.5),
        "of four points about one bone the wrong ones are covered",
        hint="10 mm beside its middle and 10 mm beyond its end are near, 30 mm are not",
    )


@exercise("helps", chapter="transfer")
def helps(student: Student, generator: torch.Generator) -> None:
    """helps(base, switched) -> bool, from the base's seeds (S, M) and one training (M,) by M
    measures of which more is better.
    """
    cases = [
        (
            base := uniform(generator, (3, 3), 0, 1),
            base.mean(0) + (base.amax(0) - base.amin(0)) * uniform(generator, (3,), -1.6, 1.6),
        )
        for _ in range(60)
    ]
    for gains in (
        (2.0, 0.0, 0.0),
        (0.0, 0.5, -0.5),
        (2.0, 2.0, -2.0),
        (1.2, 1.3, 1.4),
        (-2.0, 0.2, 0.0),
        (0.8, 0.9, 0.7),
    ):
        base = uniform(generator, (3, 3), 0, 1)
        cases.append((base, base.mean(0) + (base.amax(0) - base.amin(0)) * base.new_tensor(gains)))
    given = [bool(_number(student(*case))) for case in cases]
    steps = [
        ((switched - base.mean(0)), base.amax(0) - base.amin(0), base, switched)
        for base, switched in cases
    ]
    right = [
        bool((gain > apart).any() and not (gain < -apart).any()) for gain, apart, _, _ in steps
    ]
    if given == right:
        return
    mistakes = {
        "a switch that makes one measure worse by more than the seeds are apart does not help": [
            bool((gain > apart).any()) for gain, apart, _, _ in steps
        ],
        "one measure is enough: none of the others must be worse by so much": [
            bool((gain > apart).all()) for gain, apart, _, _ in steps
        ],
        "the seeds differ as well: a gain counts if it is larger than they are apart": [
            bool((gain > 0).any() and not (gain < 0).any()) for gain, apart, _, _ in steps
        ],
        "the seeds are apart by the largest minus the smallest, not by a standard deviation": [
            bool((gain > base.std(0)).any() and not (gain < -base.std(0)).any())
            for gain, _, base, _ in steps
        ],
        "gain against the mean of the seeds, not against the best of them": [
            bool((switched > base.amax(0)).any() and not (switched < base.amin(0)).any())
            for _, _, base, switched in steps
        ],
        "more is better: switched − base": [
            bool((-gain > apart).any() and not (-gain < -apart).any())
            for gain, apart, _, _ in steps
        ],
    }
    hint = next(
        (hint for hint, answers in mistakes.items() if answers == given),
        "better by more than the seeds are apart in at least one measure, worse by so much in none",
    )
    holds(
        False,
        f"{sum(a != b for a, b in zip(given, right))} of {len(cases)} switches are judged wrongly",
        hint,
    )


def _number(value: float | torch.Tensor) -> torch.Tensor:
    """One number, as a tensor."""
    holds(
        isinstance(value, (bool, int, float))
        or (isinstance(value, torch.Tensor) and value.ndim == 0),
        "the answer is not one number",
        "for all points, or all measures, together",
    )
    return torch.as_tensor(float(value), dtype=torch.float64)
