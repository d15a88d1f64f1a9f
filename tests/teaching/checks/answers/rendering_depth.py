"""Answers to the exercises of the chapter on rendering depth."""

import math

import torch


def sphere_depth_vectorised(rays, centre, radius):
    a, b, c = (rays * rays).sum(1), rays @ centre, centre @ centre - radius**2
    inside = b * b - a * c
    t = (b - inside.clamp_min(0).sqrt()) / a
    return torch.where((inside > 0) & (t > 0), t, torch.zeros_like(t))


def sphere_depth_looped(rays, centre, radius):
    """From the foot of the perpendicular, half a chord back."""
    depth = []
    for ray in rays:
        unit = ray / ray.norm()
        foot = unit @ centre
        gap = float((centre - foot * unit).norm())
        reach = float(foot) - math.sqrt(max(radius**2 - gap**2, 0))
        depth.append(reach * float(unit[2]) if gap < radius and reach > 0 else 0.0)
    return torch.tensor(depth)


def nearest_vectorised(a, b):
    far = torch.full_like(a, math.inf)
    result = torch.minimum(torch.where(a > 0, a, far), torch.where(b > 0, b, far))
    return torch.where(result.isinf(), torch.zeros_like(a), result)


def nearest_looped(a, b):
    result = torch.zeros_like(a)
    for v in range(a.shape[0]):
        for u in range(a.shape[1]):
            seen = [float(depth[v, u]) for depth in (a, b) if depth[v, u] > 0]
            result[v, u] = min(seen) if seen else 0
    return result


def quantise_vectorised(depth, focal, baseline, step):
    disparity = torch.round(focal * baseline / depth.clamp_min(1) / step) * step
    return torch.where(
        depth > 0, focal * baseline / disparity.clamp_min(step), torch.zeros_like(depth)
    )


def quantise_looped(depth, focal, baseline, step):
    result = depth.clone()
    for place in (depth > 0).nonzero().tolist():
        steps = round(focal * baseline / float(depth[tuple(place)]) / step)
        result[tuple(place)] = focal * baseline / (steps * step)
    return result


def sphere_with(root=-1, normalise=True, miss=True, clamp=True, ahead=True, length=False):
    def function(rays, centre, radius):
        a = rays.square().sum(1) if normalise else torch.ones(len(rays), dtype=rays.dtype)
        b, c = rays @ centre, centre.square().sum() - radius**2
        inside = b.square() - a * c
        t = (b + root * (inside.clamp_min(0) if clamp else inside).sqrt()) / a
        seen = (inside > 0) if miss else torch.ones_like(inside, dtype=torch.bool)
        seen = seen & (t > 0) if ahead else seen
        t = t * a.sqrt() if length else t
        return torch.where(seen, t, torch.zeros_like(t)) if clamp else t

    return function


def quantise_with(rounding, multiply=True):
    def function(depth, focal, baseline, step):
        disparity = rounding(focal * baseline / depth.clamp_min(1) / step) * (
            step if multiply else 1
        )
        return torch.where(
            depth > 0, focal * baseline / disparity.clamp_min(step), torch.zeros_like(depth)
        )

    return function


RIGHT = [
    ("sphere_depth", sphere_depth_vectorised),
    ("sphere_depth", sphere_depth_looped),
    ("nearest", nearest_vectorised),
    ("nearest", nearest_looped),
    ("quantise_disparity", quantise_vectorised),
    ("quantise_disparity", quantise_looped),
]


WRONG = [
    ("sphere_depth", sphere_with(root=1), "back of the sphere"),
    ("sphere_depth", sphere_with(normalise=False), "length 1"),
    ("sphere_depth", sphere_with(length=True), "its z"),
    ("sphere_depth", sphere_with(miss=False), "must give 0"),
    ("sphere_depth", sphere_with(clamp=False), "clamp it"),
    ("sphere_depth", sphere_with(ahead=False), "behind the camera"),
    ("nearest", torch.minimum, "not measured, not very near"),
    ("nearest", torch.maximum, "minimum, not maximum"),
    ("nearest", lambda a, b: torch.where(b > 0, b, a), "only where it is nearer"),
    ("nearest", lambda a, b: torch.where(a > 0, a, b), "only where it is nearer"),
    (
        "nearest",
        lambda a, b: torch.minimum(
            a.where(a > 0, a * 0 + math.inf), b.where(b > 0, b * 0 + math.inf)
        ),
        "back into 0",
    ),
    ("quantise_disparity", quantise_with(torch.floor), "not down"),
    ("quantise_disparity", quantise_with(torch.ceil), "not up"),
    ("quantise_disparity", quantise_with(torch.round, multiply=False), "multiply by step"),
    (
        "quantise_disparity",
        lambda depth, focal, baseline, step: (depth / step).round() * step,
        "not the depth",
    ),
    ("quantise_disparity", lambda depth, *given: depth.clone(), "nothing was rounded"),
    (
        "quantise_disparity",
        lambda depth, focal, baseline, step: (
            focal * baseline / ((focal * baseline / depth.clamp_min(1) / step).round() * step)
        ),
        "apart",
    ),
]
