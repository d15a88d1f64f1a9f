"""Answers to the exercises of the chapter on what an error in mm depends on."""

import torch


def means(e, s):
    return torch.stack([e[s == number].mean() for number in s.unique()])


def runs(e, s):
    """The mean of every run of equal numbers: right only where a sequence stands in one piece."""
    lengths = s.unique_consecutive(return_counts=True)[1].tolist()
    return torch.stack([part.mean() for part in e.split(lengths)])


RIGHT = [
    ("mixing_error", lambda x, c, o: (x[..., :2] * (c[:2] / o[:2] - 1)).norm(dim=-1)),
    ("without_joint", lambda m, p, j: (len(p) * m - p[j]) / (len(p) - 1)),
    ("sequence_mean", lambda e, s: means(e, s).mean()),
]

WRONG = [
    (
        "mixing_error",
        lambda x, c, o: (x[..., :2] * (o[:2] / c[:2] - 1)).norm(dim=-1),
        "the other way round",
    ),
    (
        "mixing_error",
        lambda x, c, o: (x[..., :2] * (c[0] / o[0] - 1)).norm(dim=-1),
        "their own focal lengths",
    ),
    (
        "mixing_error",
        lambda x, c, o: (x * (c[[0, 1, 0]] / o[[0, 1, 0]] - 1)).norm(dim=-1),
        "it does not change",
    ),
    (
        "mixing_error",
        lambda x, c, o: (x[..., :2] * c[:2] / o[:2]).norm(dim=-1),
        "the new position",
    ),
    (
        "mixing_error",
        lambda x, c, o: (x[..., :2] * (c[:2] / o[:2] - 1)).sum(-1).abs(),
        "the length of both changes",
    ),
    (
        "mixing_error",
        lambda x, c, o: (x[..., :2] * (c[:2] / o[:2] - 1)).norm(dim=-1).mean(),
        "shape",
    ),
    ("without_joint", lambda m, p, j: (len(p) * m - p[j]) / len(p), "joints that are left"),
    ("without_joint", lambda m, p, j: (m - p[j]) / (len(p) - 1), "multiply it before"),
    ("without_joint", lambda m, p, j: p[j], "do not keep it alone"),
    ("without_joint", lambda m, p, j: p, "shape"),
    ("sequence_mean", lambda e, s: e.mean(), "a long sequence has more weight"),
    ("sequence_mean", lambda e, s: means(e, s).sum() / s.max(), "not by the largest number"),
    ("sequence_mean", lambda e, s: means(e, s).sum() / (s.max() + 1), "no sequences"),
    ("sequence_mean", lambda e, s: means(e, s).median(), "median"),
    ("sequence_mean", lambda e, s: runs(e, s).mean(), "wherever they stand"),
    ("sequence_mean", lambda e, s: e.mean(0), "over the joints as well"),
]
