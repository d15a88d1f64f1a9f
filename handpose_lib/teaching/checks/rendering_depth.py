"""Checks for the chapter on rendering depth."""

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


@exercise("sphere_depth", chapter="rendering_depth")
def sphere_depth(student: Student, generator: torch.Generator) -> None:
    """sphere_depth(rays (N, 3) with z = 1, centre (3,) mm, radius mm) -> depth (N,) mm, 0 where a
    ray misses.
    """
    centre = torch.cat((uniform(generator, (2,), -60, 60), uniform(generator, (1,), 350, 600)))
    radius = float(uniform(generator, (), 25, 60))
    slopes = uniform(generator, (400, 2), -0.35, 0.35)
    aimed = centre + 0.5 * radius * torch.nn.functional.normalize(
        normal(generator, (100, 3)), dim=1
    )
    rays = torch.cat((torch.cat((slopes, torch.ones_like(slopes[:, :1])), 1), aimed / aimed[:, 2:]))
    a, b, c = rays.square().sum(1), rays @ centre, centre.square().sum() - radius**2
    inside = b.square() - a * c
    clear = (
        inside.abs() > 1e-6 * b.square()
    )  # rays that graze are decided by rounding: leave them out
    hit, root = inside > 0, inside.clamp_min(0).sqrt()

    def where(value):
        return torch.where(hit, value, torch.zeros_like(value))[clear]

    depth = student(rays, centre, radius)
    holds(isinstance(depth, torch.Tensor), f"the result is a {type(depth).__name__}, not a tensor")
    holds(
        tuple(depth.shape) == (500,),
        f"the depth has shape {tuple(depth.shape)} instead of (500,)",
        "one depth per ray",
    )
    holds(
        not depth[clear & ~hit].isnan().any(),
        "rays that miss the sphere give NaN",
        "the square root of a negative number: clamp it, and set the misses to 0 with torch.where",
    )
    shaped(depth, (500,), "the depth")
    nearest = (b - root) / a
    unnormalised = b.square() - c
    equal(
        depth[clear],
        where(nearest),
        "the depth is wrong",
        "solve |t ray − centre|² = radius² for the smaller t; since z of a ray is 1, t is the"
        " depth",
        mistakes={
            "that is the back of the sphere: the smaller of the two solutions is the visible one": (
                where((b + root) / a)
            ),
            "the rays have z = 1 and not length 1: keep a = ray · ray in the formula": torch.where(
                unnormalised > 0, b - unnormalised.clamp_min(0).sqrt(), torch.zeros_like(b)
            )[clear],
            "that is the distance along the ray: depth is its z": where(nearest * a.sqrt()),
            "a ray that misses must give 0": ((b - root) / a)[clear],
        },
        atol=1e-3,
    )
    behind = student(rays, -centre, radius)
    shaped(behind, (500,), "the depth")
    holds(
        (behind == 0).all(),
        "a sphere behind the camera is visible",
        "a solution with t ≤ 0 lies behind the camera: 0",
    )


@exercise("nearest", chapter="rendering_depth")
def nearest(student: Student, generator: torch.Generator) -> None:
    """nearest(a (H, W), b (H, W)) -> (H, W): the depth of two objects together, 0 for neither."""
    a, b = uniform(generator, (2, 12, 15), 300, 800)
    a[uniform(generator, (12, 15), 0, 1) < 0.4] = 0
    b[uniform(generator, (12, 15), 0, 1) < 0.4] = 0
    far = torch.tensor(float("inf"), dtype=torch.float64)
    both = torch.minimum(torch.where(a > 0, a, far), torch.where(b > 0, b, far))
    both = torch.where(both.isinf(), torch.zeros_like(both), both)
    seen = student(a, b)
    holds(isinstance(seen, torch.Tensor), f"the result is a {type(seen).__name__}, not a tensor")
    holds(
        not (seen.isinf().any() or seen.isnan().any()),
        "where neither is seen, the depth is not 0",
        "turn the infinities that helped with the minimum back into 0",
    )
    equal(
        seen,
        both,
        "the result does not show the nearer of the two surfaces",
        mistakes={
            "0 means not measured, not very near: replace it before taking the minimum": (
                torch.minimum(a, b)
            ),
            "the nearer one hides the other: minimum, not maximum": torch.maximum(a, b),
            "the second hides the first only where it is nearer": torch.where(b > 0, b, a),
            "the first hides the second only where it is nearer": torch.where(a > 0, a, b),
            "the depths of two things do not add up": a + b,
        },
    )
    equal(student(b, a), both, "exchanging the two changes what is seen")


@exercise("quantise_disparity", chapter="rendering_depth")
def quantise_disparity(student: Student, generator: torch.Generator) -> None:
    """quantise_disparity(depth (H, W) mm, focal px, baseline mm, step px) -> depth (H, W) mm of a
    rounded disparity.
    """
    depth = uniform(generator, (20, 30), 300, 1200)
    depth[:2] = 0
    focal, baseline = float(uniform(generator, (), 400, 600)), float(uniform(generator, (), 40, 80))
    step = 0.125
    measured = depth > 0
    disparity = focal * baseline / torch.where(measured, depth, torch.ones_like(depth))

    def back(rounded):
        return torch.where(
            measured, focal * baseline / rounded.clamp_min(step), torch.zeros_like(depth)
        )

    expected = back((disparity / step).round() * step)
    result = student(depth, focal, baseline, step)
    holds(
        isinstance(result, torch.Tensor), f"the result is a {type(result).__name__}, not a tensor"
    )
    holds(
        result.shape == depth.shape,
        f"the result has shape {tuple(result.shape)} instead of {tuple(depth.shape)}",
    )
    holds(
        (result[~measured] == 0).all(),
        "a pixel without a measurement does not stay 0",
        "0 has no disparity: keep these pixels apart with torch.where",
    )
    equal(
        result,
        expected,
        "the depth is not that of the rounded disparity",
        "depth → disparity = focal · baseline / depth → nearest multiple of step → depth",
        mistakes={
            "round the disparity, not the depth": torch.where(
                measured, (depth / step).round() * step, depth
            ),
            "round to the nearest multiple, not down": back((disparity / step).floor() * step),
            "round to the nearest multiple, not up": back((disparity / step).ceil() * step),
            "round to multiples of step, not to whole pixels": back(disparity.round()),
            "multiply by step again after rounding": back((disparity / step).round()),
            "nothing was rounded": depth,
        },
        atol=1e-3,
    )
    equal(
        student(result, focal, baseline, step),
        result,
        "quantising twice differs from quantising once",
        atol=1e-3,
    )
