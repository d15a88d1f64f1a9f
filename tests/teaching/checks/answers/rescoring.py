"""Answers to the exercises of the chapter on re-scoring."""

import torch

from handpose_lib.camera import uvd_to_xyz


def mm(uvd, k):
    return uvd_to_xyz(uvd, k)


def distances(p, q, k):
    return (mm(p, k) - mm(q, k)).norm(dim=-1)


def numbers(widths, jump):
    return torch.cat(
        (torch.zeros(1, dtype=torch.long), (widths.diff().abs() > jump).long().cumsum(0))
    )


def shift(p, q, reach, sign=1, score=torch.mean):
    def error(s):
        n, s = len(q), sign * s
        return score((p[max(-s, 0) : n - max(s, 0)] - q[max(s, 0) : n + min(s, 0)]).norm(dim=-1))

    return min(range(-reach, reach + 1), key=error)


RIGHT = [
    ("rescore", lambda p, q, k: distances(p, q, k).mean()),
    ("subject_numbers", numbers),
    ("best_shift", shift),
]

WRONG = [
    ("rescore", lambda p, q, k: (p - q).norm(dim=-1).mean(), "pixels are no millimetres"),
    (
        "rescore",
        lambda p, q, k: distances(p, q, k[[0, 0, 2, 3]]).mean(),
        "has its own focal length",
    ),
    ("rescore", lambda p, q, k: distances(p, q, k[[1, 0, 2, 3]]).mean(), "fx belongs to u"),
    ("rescore", lambda p, q, k: distances(p, q, k[[0, 1, 3, 2]]).mean(), "u0 belongs to u"),
    (
        "rescore",
        lambda p, q, k: distances(torch.cat((p[..., :2], q[..., 2:]), -1), q, k).mean(),
        "its own depth",
    ),
    (
        "rescore",
        lambda p, q, k: distances(p, q, k).square().mean().sqrt(),
        "not the root of the mean square",
    ),
    ("rescore", lambda p, q, k: distances(p, q, k).mean(1), "over frames and joints"),
    ("subject_numbers", lambda w, j: numbers(w, j).double(), ".long()"),
    ("subject_numbers", lambda w, j: numbers(w, j)[1:], "first frame"),
    (
        "subject_numbers",
        lambda w, j: torch.cat((torch.zeros(1).long(), (w.diff().abs() > j).long())),
        "sum up",
    ),
    (
        "subject_numbers",
        lambda w, j: torch.cat((torch.zeros(1).long(), (w.diff() < -j).long().cumsum(0))),
        "absolute difference",
    ),
    ("subject_numbers", lambda w, j: numbers(w, j) + 1, "count from 0"),
    ("best_shift", lambda p, q, r: shift(p, q, r, sign=-1), "the sign"),
    ("best_shift", lambda p, q, r: 0, "try every shift"),
    ("best_shift", lambda p, q, r: 4, "compare only frames that both have"),
]
