"""Checks of the chapter on real depth images."""

import math

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    require,
    shaped,
    uniform,
)

__all__ = ["check", "require"]


@exercise("focal_length", chapter="real_depth_image")
def focal_length(student: Student, generator: torch.Generator) -> None:
    """focal_length(pixels, degrees) -> pixels: what covers `degrees` with so many pixels."""
    for _ in range(3):
        pixels = float(uniform(generator, (), 200, 2000))
        degrees = float(uniform(generator, (), 30, 100))
        expected = pixels / 2 / math.tan(math.radians(degrees) / 2)
        equal(
            _number(student(pixels, degrees)),
            _number(expected),
            "focal_length is not half the image over the tangent of half the field of view",
            hint=(
                "draw the triangle: half the image is opposite to half the angle, the focal length"
                " beside it"
            ),
            mistakes={
                "tan and its like take radians": _number(pixels / 2 / math.tan(degrees / 2)),
                "half of the image belongs to half of the angle": _number(
                    pixels / 2 / math.tan(math.radians(degrees))
                ),
                "halve the image as well as the angle": _number(
                    pixels / math.tan(math.radians(degrees) / 2)
                ),
                "opposite over adjacent is the tangent: divide by it": _number(
                    pixels / 2 * math.tan(math.radians(degrees) / 2)
                ),
            },
        )
    holds(
        abs(float(student(640.0, 90.0)) - 320) < 0.01,
        "at 90° the focal length must be half the image",
    )


@exercise("below_surface", chapter="real_depth_image")
def below_surface(student: Student, generator: torch.Generator) -> None:
    """below_surface(depth, u, v, z) -> (J,) mm: how far each joint lies behind what is seen at its
    pixel.
    """
    depth = uniform(generator, (40, 50), 400, 600)
    u, v = (
        torch.randint(0, 50, (12,), generator=generator),
        torch.randint(0, 40, (12,), generator=generator),
    )
    z = uniform(generator, (12,), 400, 650)
    expected = z - depth[v, u]
    wrong_axes = z - depth[u.clamp(max=39), v]
    equal(
        student(depth, u.double() + 0.3, v.double() - 0.4, z),
        expected,
        "below_surface is not the joint's depth minus the depth measured at its pixel",
        hint="round u and v to the nearest pixel, then index depth[row, column]",
        mistakes={
            "behind the surface must be positive": -expected,
            "rows come first: depth[v, u]": wrong_axes,
            "round to the nearest pixel instead of cutting off": (
                z - depth[(v.double() - 0.4).long(), (u.double() + 0.3).long()]
            ),
        },
    )
    holes = depth.clone()
    holes[v[0], u[0]] = 0
    result = student(holes, u.double(), v.double(), z)
    holds(
        torch.isnan(result[0]),
        "where nothing was measured (0) the answer must be nan",
        "torch.where(seen > 0, …, torch.nan)",
    )


@exercise("disagreement", chapter="real_depth_image")
def disagreement(student: Student, generator: torch.Generator) -> None:
    """disagreement(views) -> (J,) mm: (K, J, 3) answers to the same question, mean distance to
    their mean.
    """
    views = uniform(generator, (6, 9, 3), -50, 50)
    offsets = views - views.mean(0)
    expected = offsets.norm(dim=-1).mean(0)
    shaped(
        student(views),
        (9,),
        hint="one number per joint: take the mean over the views, not over the joints",
    )
    equal(
        student(views),
        expected,
        "disagreement is not the mean distance of the views from their mean",
        hint=(
            "subtract the mean over the views, take the length of each difference, then the mean"
            " over the views"
        ),
        mistakes={
            "take the length (norm) before the mean over the views": offsets.mean(0).norm(dim=-1),
            "distances, not squared distances": offsets.square().sum(-1).mean(0),
            "one number per joint: the mean over the views, not over the joints": (
                offsets.norm(dim=-1).mean(1)
            ),
            "the mean of the distances, not their root mean square": (
                offsets.square().sum(-1).mean(0).sqrt()
            ),
        },
    )
    moved = views + uniform(generator, (1, 9, 3), -100, 100)
    equal(
        student(moved),
        expected,
        "moving all views together must not change how much they disagree",
        atol=1e-3,
    )


def _number(value: float | torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(float(value), dtype=torch.float64)
