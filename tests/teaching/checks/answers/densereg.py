"""Answers to the exercises of the chapter on DenseReg."""

import torch


def directions(points, joint, theta, sign=1, limited=True):
    offset = sign * (joint - points)
    length = offset.norm(dim=1, keepdim=True)
    return offset / length * ((length <= theta) if limited else 1)


def ball_votes(points, S, V, theta):
    return points + theta * (1 - S)[:, None] * V


def mean_shift_step(p, votes, weights, sigma, scale=2, power=2):
    share = weights * torch.exp(-((votes - p).norm(dim=1) ** power) / (scale * sigma**2))
    return (share[:, None] * votes).sum(0) / share.sum()


def kernel(p, votes, sigma):
    return torch.exp(-(votes - p).square().sum(1) / (2 * sigma**2))


RIGHT = [
    ("directions", directions),
    ("ball_votes", ball_votes),
    ("mean_shift_step", mean_shift_step),
]

WRONG = [
    ("directions", lambda p, j, t: directions(p, j, t, sign=-1), "from the joint to the point"),
    ("directions", lambda p, j, t: directions(p, j, t, limited=False), "farther than theta is 0"),
    (
        "directions",
        lambda p, j, t: (j - p) * ((j - p).norm(dim=1, keepdim=True) <= t),
        "belongs to the other map",
    ),
    (
        "directions",
        lambda p, j, t: (j - p) / t * ((j - p).norm(dim=1, keepdim=True) <= t),
        "not by theta",
    ),
    (
        "directions",
        lambda p, j, t: directions(p, j, t, limited=False) - directions(p, j, t),
        "other way round",
    ),
    ("directions", lambda p, j, t: (j - p).norm(dim=1), "shape"),
    ("ball_votes", lambda p, s, v, t: p - t * (1 - s)[:, None] * v, "add"),
    ("ball_votes", lambda p, s, v, t: p + t * s[:, None] * v, "large where the joint is near"),
    ("ball_votes", lambda p, s, v, t: p + (1 - s)[:, None] * v, "multiply by theta"),
    ("ball_votes", lambda p, s, v, t: t * (1 - s)[:, None] * v, "add it to the point"),
    ("ball_votes", lambda p, s, v, t: p + v, "distance is missing"),
    (
        "mean_shift_step",
        lambda p, x, w, s: mean_shift_step(p, x, torch.ones_like(w), s),
        "weights of the votes",
    ),
    ("mean_shift_step", lambda p, x, w, s: (w[:, None] * x).sum(0) / w.sum(), "kernel is missing"),
    (
        "mean_shift_step",
        lambda p, x, w, s: mean_shift_step(p, x, w, s, scale=1),
        "2 in the denominator",
    ),
    ("mean_shift_step", lambda p, x, w, s: mean_shift_step(p, x, w, s**0.5), "square sigma"),
    (
        "mean_shift_step",
        lambda p, x, w, s: mean_shift_step(p, x, w, s, power=1),
        "squared distance",
    ),
    (
        "mean_shift_step",
        lambda p, x, w, s: ((w * kernel(p, x, s))[:, None] * x).sum(0),
        "divide by the sum",
    ),
    (
        "mean_shift_step",
        lambda p, x, w, s: ((w * kernel(p, x, s))[:, None] * x).mean(0),
        "number of votes",
    ),
    ("mean_shift_step", lambda p, x, w, s: mean_shift_step(p, x, w, s) - p, "that is the shift"),
]
