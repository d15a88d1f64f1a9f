"""Answers to the exercises of the chapter on the Structure-Aware 3D Hourglass."""

import torch

from handpose_lib import skeleton
from handpose_lib.evaluation import plausibility
from handpose_lib.nets import likelihood


def bone_map(
    start,
    end,
    size,
    sigma,
    limits=(0.0, 1.0),
    order=(2, 1, 0),
    exponent=lambda d, s: d**2 / (2 * s**2),
):
    steps = torch.arange(size, dtype=start.dtype)
    each = torch.meshgrid(steps, steps, steps, indexing="ij")
    v = torch.stack([each[axis] for axis in order], -1)
    bone = end - start
    t = ((v - start) @ bone / (bone @ bone).clamp_min(1e-9)).clamp(*limits)
    return (-exponent((v - start - t[..., None] * bone).norm(dim=-1), sigma)).exp()


def librarys_map(start, end, size, sigma):
    return likelihood.bone_maps(start[None, None], end[None, None], size, sigma)[0, 0]


def weighted_top_k(volume, k, weigh=lambda w: w.clamp_min(0) / w.clamp_min(0).sum()):
    height, index = volume.flatten().topk(k)
    _, h, w = volume.shape
    return weigh(height) @ torch.stack((index % w, index // w % h, index // (w * h)), -1).to(
        volume.dtype
    )


def librarys_place(volume, k):
    return likelihood.top_k(volume[None, None], k)[0, 0]


def bone_length_off(predicted, joints, bones, reduce=lambda off: off.abs().mean(0)):
    child, parent = (list(side) for side in zip(*bones))
    return reduce(
        (predicted[:, child] - predicted[:, parent]).norm(dim=-1)
        - (joints[:, child] - joints[:, parent]).norm(dim=-1)
    )


def librarys_length(predicted, joints, bones):
    hand = skeleton.Skeleton("five", tuple("abcde"), (-1, 0, 1, 2, 0), ((0, 0, 0),) * 5)
    return plausibility.bone_length_error(predicted, joints, hand)


RIGHT = [
    ("bone_map", bone_map),
    ("bone_map", librarys_map),
    ("weighted_top_k", weighted_top_k),
    ("weighted_top_k", librarys_place),
    ("bone_length_off", bone_length_off),
    ("bone_length_off", librarys_length),
]

WRONG = [
    ("bone_map", lambda a, b, n, s: bone_map(a, b, n, s).sum(0), "one number for each voxel"),
    ("bone_map", lambda a, b, n, s: bone_map(a, b, n, s, (-1e9, 1e9)), "never ends"),
    ("bone_map", lambda a, b, n, s: bone_map((a + b) / 2, (a + b) / 2, n, s), "middle"),
    ("bone_map", lambda a, b, n, s: bone_map(a, b, n, s, order=(0, 1, 2)), "the last axis is x"),
    ("bone_map", lambda a, b, n, s: bone_map(a, b, n, s, exponent=lambda d, s: d**2 / s**2), "2σ²"),
    (
        "bone_map",
        lambda a, b, n, s: bone_map(a, b, n, s, exponent=lambda d, s: d / (2 * s**2)),
        "not a tent",
    ),
    (
        "bone_map",
        lambda a, b, n, s: bone_map(a, b, n, s) * ((b - a) / (b - a)).sum() / 3,
        "division by zero",
    ),
    ("weighted_top_k", lambda v, k: weighted_top_k(v, k).flip(0), "x, y, z"),
    (
        "weighted_top_k",
        lambda v, k: weighted_top_k(v, k, lambda w: torch.ones_like(w) / len(w)),
        "by its height",
    ),
    ("weighted_top_k", lambda v, k: weighted_top_k(v, k, lambda w: w), "add up to 1"),
    ("weighted_top_k", lambda v, k: weighted_top_k(v, 1), "alone"),
    ("weighted_top_k", lambda v, k: weighted_top_k(v, v.numel()), "not all voxels"),
    ("weighted_top_k", lambda v, k: weighted_top_k(v, k, lambda w: w / w.sum()), "clamp_min(0)"),
    ("weighted_top_k", lambda v, k: weighted_top_k(v, k)[:2], "(x, y, z)"),
    (
        "bone_length_off",
        lambda p, j, b: bone_length_off(p, j, b, lambda off: off.abs()),
        "average over the frames",
    ),
    (
        "bone_length_off",
        lambda p, j, b: bone_length_off(p, j, b, lambda off: off.mean(0)),
        "must not cancel",
    ),
    (
        "bone_length_off",
        lambda p, j, b: bone_length_off(p, j, b, lambda off: off.mean(0).abs()),
        "not after it",
    ),
    (
        "bone_length_off",
        lambda p, j, b: bone_length_off(p - j, 0 * j, b),
        "does not make it longer",
    ),
    (
        "bone_length_off",
        lambda p, j, b: bone_length_off(p, j, b, lambda off: off.square().mean(0)),
        "mean of the squares",
    ),
    (
        "bone_length_off",
        lambda p, j, b: bone_length_off(p, j, b, lambda off: off.square().mean(0).sqrt()),
        "root",
    ),
]
