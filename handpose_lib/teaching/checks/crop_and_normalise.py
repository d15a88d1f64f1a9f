"""Checks of the chapter on cropping and normalising."""

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


@exercise("half_extent", chapter="crop_and_normalise")
def half_extent(student: Student, generator: torch.Generator) -> None:
    """half_extent(fx, fy, cube, z) -> (2,) pixels: half the cube's side, seen at depth z."""
    fx, fy, z = uniform(generator, (3,), 200, 700).tolist()
    cube = float(uniform(generator, (), 150, 300))
    expected = torch.tensor([fx, fy], dtype=torch.float64) * cube / 2 / z
    equal(
        student(fx, fy, cube, z),
        expected,
        "half_extent is not focal length times half the side over depth",
        hint="the result is one tensor of two numbers, (fx, fy) · cube / 2 / z",
        mistakes={
            "that is the whole side: the window reaches half of it to each side": 2 * expected,
            "distant objects appear smaller: divide by the depth": expected * z * z,
            "fx belongs to u and fy to v": expected.flip(0),
        },
    )
    holds(
        torch.allclose(student(fx, fy, cube, 2 * z).double(), expected / 2, rtol=1e-4),
        "at twice the depth the cube must cover half the pixels",
    )


@exercise("normalise_depth", chapter="crop_and_normalise")
def normalise_depth(student: Student, generator: torch.Generator) -> None:
    """normalise_depth(depth, centre_z, cube) -> the same shape in [-1, 1], background +1."""
    centre, cube = float(uniform(generator, (), 300, 800)), float(uniform(generator, (), 150, 300))
    inside = uniform(generator, (6, 7), centre - 0.49 * cube, centre + 0.49 * cube)
    plain = (inside - centre) / (cube / 2)
    equal(
        student(inside, centre, cube),
        plain,
        "depth inside the cube is not (depth − centre) / (cube / 2)",
        mistakes={
            "the cube reaches half its side to the front: divide by cube / 2": plain / 2,
            "near must be negative and far positive": -plain,
            "subtract the depth of the centre first": inside / (cube / 2),
        },
    )
    depth = inside.clone()
    depth[0], depth[1], depth[2] = 0.0, centre - 3 * cube, centre + 3 * cube
    result = student(depth, centre, cube)
    shaped(result, depth.shape)
    holds(
        (result[0] == 1).all(),
        "a pixel that was not measured (0) must become the background, +1",
        (
            "a depth of 0 is nearer than the front face: deal with it before clamping"
            if (result[0] == -1).all()
            else "use torch.where on depth == 0"
        ),
    )
    holds(
        (result[1] == -1).all(),
        "what is nearer than the front face must become −1",
        "clamp the result to [−1, 1]",
    )
    holds(
        (result[2] == 1).all(),
        "what is beyond the back face must become +1",
        "clamp the result to [−1, 1]",
    )


@exercise("view_point", chapter="crop_and_normalise")
def view_point(student: Student, generator: torch.Generator) -> None:
    """view_point(uv, centre, half, rotation) -> (N, 2): pixels to the rotated, normalised view."""
    uv, centre = uniform(generator, (9, 2), 40, 200), uniform(generator, (2,), 80, 160)
    half = uniform(generator, (2,), 30, 60)
    angle = float(uniform(generator, (), 0.3, 1.2))

    def turned(q, by):
        c, s = math.cos(by), math.sin(by)
        return torch.stack((c * q[:, 0] - s * q[:, 1], s * q[:, 0] + c * q[:, 1]), -1)

    q = (uv - centre) / half
    equal(
        student(uv, centre, half, 0.0),
        q,
        "without rotation the view is not (uv − centre) / half",
        mistakes={"subtract the centre before dividing": uv / half - centre},
    )
    equal(
        student(uv, centre, half, angle),
        turned(q, angle),
        "the rotated view is wrong",
        hint="x' = cos·x − sin·y and y' = sin·x + cos·y, with the old x in both",
        mistakes={
            "that turns the other way round": turned(q, -angle),
            "divide by half first: a rotation in pixels shears the hand where fx and fy differ": (
                turned(uv - centre, angle) / half
            ),
            "turn about the centre of the cube, not about the corner of the image": (
                (turned(uv, angle) - centre) / half
            ),
        },
    )
    equal(
        student(centre[None], centre, half, angle),
        torch.zeros(1, 2, dtype=torch.float64),
        "the centre of the cube must stay at (0, 0)",
    )
