"""Answers to the exercises of the chapter on the hand detector."""

import torch


def distance(place, height, width):
    column, row = (
        torch.arange(width, dtype=place.dtype),
        torch.arange(height, dtype=place.dtype)[:, None],
    )
    return ((column - place[0]) ** 2 + (row - place[1]) ** 2).sqrt()


def joint_cone(place, height, width, radius):
    return (1 - distance(place, height, width) / radius).clamp_min(0)


def sure_median(places, heights):
    return places[heights >= heights.max() / 2].median(0).values


RIGHT = [
    ("joint_cone", joint_cone),
    ("sure_median", sure_median),
]

WRONG = [
    ("joint_cone", lambda p, h, w, r: joint_cone(p.flip(0), h, w, r), "(column, row)"),
    ("joint_cone", lambda p, h, w, r: 1 - distance(p, h, w) / r, "stays 0"),
    (
        "joint_cone",
        lambda p, h, w, r: torch.exp(-(distance(p, h, w) ** 2) / (2 * r**2)),
        "Gaussian",
    ),
    (
        "joint_cone",
        lambda p, h, w, r: (1 - distance(p, h, w) ** 2 / r**2).clamp_min(0),
        "not squared",
    ),
    ("joint_cone", lambda p, h, w, r: (1 - distance(p, h, w)).clamp_min(0), "divide by the radius"),
    ("joint_cone", lambda p, h, w, r: (r - distance(p, h, w)).clamp_min(0), "the top is 1"),
    ("joint_cone", lambda p, h, w, r: joint_cone(p, h, w, r).T, "shape"),
    ("sure_median", lambda p, s: p.median(0).values, "do not count"),
    ("sure_median", lambda p, s: p[s >= s.max() / 2].mean(0), "gone astray"),
    ("sure_median", lambda p, s: p.mean(0), "leave the uncertain"),
    ("sure_median", lambda p, s: p[s.argmax()], "surest joint alone"),
    ("sure_median", lambda p, s: p.median(0), "not a tensor"),
]
