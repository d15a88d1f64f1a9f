"""Checks of the chapter on finding the hand."""

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    normal,
    require,
    uniform,
)

__all__ = ["check", "require"]


@exercise("joint_cone", chapter="hand_detector")
def joint_cone(student: Student, generator: torch.Generator) -> None:
    """joint_cone(place (2,), height, width, radius) -> (height, width): 1 at (column, row) = place,
    0 from radius on.
    """
    height, width = 9, 13
    place, radius = uniform(generator, (2,), 2.5, 6.5), float(uniform(generator, (), 2, 4))
    column, row = (
        torch.arange(width, dtype=place.dtype),
        torch.arange(height, dtype=place.dtype)[:, None],
    )
    distance = ((column - place[0]) ** 2 + (row - place[1]) ** 2).sqrt()
    swapped = ((column - place[1]) ** 2 + (row - place[0]) ** 2).sqrt()
    expected = (1 - distance / radius).clamp_min(0)
    equal(
        student(place, height, width, radius),
        expected,
        "a cone must fall from 1 at its place to 0 at the radius",
        hint="1 − distance / radius, and never below 0",
        mistakes={
            "place is (column, row): the first axis of a map is the row": (
                (1 - swapped / radius).clamp_min(0)
            ),
            "beyond the radius it stays 0": 1 - distance / radius,
            "that is a Gaussian: a cone falls along a straight line": torch.exp(
                -(distance**2) / (2 * radius**2)
            ),
            "the distance is not squared": (1 - distance**2 / radius**2).clamp_min(0),
            "divide by the radius": (1 - distance).clamp_min(0),
            "divide by the radius: the top is 1": (radius - distance).clamp_min(0),
        },
    )


@exercise("sure_median", chapter="hand_detector")
def sure_median(student: Student, generator: torch.Generator) -> None:
    """sure_median(places (J, 2), heights (J,)) -> (2,): median of the places whose height is at
    least half of the largest.
    """
    places = 20 * normal(generator, (9, 2))
    heights = torch.cat(
        (
            uniform(generator, (5,), 0.55, 0.95),
            torch.ones(1, dtype=places.dtype) * 0.97,
            uniform(generator, (3,), 0.05, 0.4),
        )
    )
    order = torch.randperm(9, generator=generator)
    sure = torch.zeros(9, dtype=torch.bool)
    sure[:6] = True
    places[~sure] += 300  # what is not sure is far off
    places, heights, sure = places[order], heights[order], sure[order]
    chosen = places[sure]
    equal(
        student(places, heights),
        chosen.median(0).values,
        "each coordinate must be the median over the joints with a high peak",
        hint="places[heights >= heights.max() / 2].median(0).values",
        mistakes={
            "joints whose peak is below half of the highest do not count": places.median(0).values,
            "that is the mean: one joint gone astray would pull at it": chosen.mean(0),
            "that is the mean of all: leave the uncertain joints out, and take the median": (
                places.mean(0)
            ),
            "that is the surest joint alone": places[heights.argmax()],
        },
    )
    moved = student(places + 7, heights)
    holds(
        torch.allclose(torch.as_tensor(moved).double(), chosen.median(0).values + 7, atol=1e-6),
        "moving all places must move the answer with them",
    )
