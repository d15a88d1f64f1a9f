"""Answers to the exercises of the chapter on real depth images."""

import math

import torch


def focal_length(pixels, degrees):
    return pixels / 2 / math.tan(math.radians(degrees) / 2)


def below_surface(depth, u, v, z):
    seen = depth[v.round().long(), u.round().long()]
    return torch.where(seen > 0, z - seen, torch.nan)


def disagreement(views):
    return (views - views.mean(0)).norm(dim=-1).mean(0)


RIGHT = [
    ("focal_length", focal_length),
    ("below_surface", below_surface),
    ("disagreement", disagreement),
]

WRONG = [
    ("focal_length", lambda p, d: p / 2 / math.tan(d / 2), "radians"),
    ("focal_length", lambda p, d: p / 2 / math.tan(math.radians(d)), "half of the angle"),
    ("focal_length", lambda p, d: 2 * focal_length(p, d), "halve the image"),
    ("focal_length", lambda p, d: p / 2 * math.tan(math.radians(d) / 2), "divide by it"),
    ("below_surface", lambda d, u, v, z: -below_surface(d, u, v, z), "must be positive"),
    (
        "below_surface",
        lambda d, u, v, z: below_surface(d, v, u.clamp(max=39), z),
        "rows come first",
    ),
    ("below_surface", lambda d, u, v, z: z - d[v.long(), u.long()], "nearest pixel"),
    ("below_surface", lambda d, u, v, z: z - d[v.round().long(), u.round().long()], "nan"),
    ("disagreement", lambda x: (x - x.mean(0)).mean(0).norm(dim=-1), "before the mean"),
    ("disagreement", lambda x: (x - x.mean(0)).square().sum(-1).mean(0), "not squared"),
    ("disagreement", lambda x: (x - x.mean(0)).norm(dim=-1).mean(1), "one number per joint"),
    ("disagreement", lambda x: (x - x.mean(0)).square().sum(-1).mean(0).sqrt(), "root mean square"),
    ("disagreement", lambda x: x.norm(dim=-1).mean(0), "subtract the mean over the views"),
]
