"""Answers to the exercises of the chapter on Residual Attention."""

import torch

from handpose_lib.evaluation import metrics
from handpose_lib.papers.residual_attention import Prior


def attend(features, logits):
    return (1 + logits.sigmoid()) * features


def principal_poses(poses, d):
    mean = poses.mean(0)
    return mean, torch.linalg.svd(poses - mean, full_matrices=False)[2][:d]


def librarys(poses, d):
    prior = Prior(d, poses.shape[1]).double()
    prior.fit(poses)
    return prior.mean.detach(), prior.components.detach()


def success_rates(errors, threshold):
    return (errors.amax(1) <= threshold).double().mean(), (
        errors.mean(1) <= threshold
    ).double().mean()


def librarys_rates(errors, threshold):
    predicted = torch.stack((errors, 0 * errors, 0 * errors), -1)
    return tuple(
        rate(predicted, 0 * predicted, (threshold,))[0]
        for rate in (metrics.success_rate_worst, metrics.success_rate_mean)
    )


def eigen(poses, d, rows=lambda v, d: v[:, -d:].flip(1).T):
    centred = poses - poses.mean(0)
    return poses.mean(0), rows(torch.linalg.eigh(centred.T @ centred)[1], d)


RIGHT = [
    ("attend", attend),
    ("principal_poses", principal_poses),
    ("principal_poses", librarys),
    ("principal_poses", eigen),
    ("success_rates", success_rates),
    ("success_rates", librarys_rates),
]

WRONG = [
    ("attend", lambda t, m: m.sigmoid() * t, "M · T"),
    ("attend", lambda t, m: t + m.sigmoid(), "factor"),
    ("attend", lambda t, m: 1 + m.sigmoid(), "multiply by the features"),
    ("attend", lambda t, m: (1 + m) * t, "sigmoid first"),
    (
        "attend",
        lambda t, m: (1 + m.flatten(2).softmax(-1).reshape(m.shape)) * t,
        "are independent",
    ),
    ("principal_poses", lambda p, d: p.mean(0), "two tensors"),
    ("principal_poses", lambda p, d: (p.mean(1), eigen(p, d)[1]), "one number per coordinate"),
    (
        "principal_poses",
        lambda p, d: eigen(p, d, lambda v, d: v[:, -d:].flip(1)),
        "one direction per row",
    ),
    ("principal_poses", lambda p, d: eigen(p, d, lambda v, d: v[:, :d].T), "sorts upwards"),
    (
        "principal_poses",
        lambda p, d: eigen(p, d, lambda v, d: v[:, -d:].T),
        "widest direction comes first",
    ),
    (
        "principal_poses",
        lambda p, d: eigen(p, d, lambda v, d: 2 * v[:, -d:].flip(1).T),
        "rows of length 1",
    ),
    (
        "principal_poses",
        lambda p, d: (p.mean(0), torch.linalg.svd(p, full_matrices=False)[2][:d]),
        "subtract the mean",
    ),
    ("success_rates", lambda e, t: success_rates(e, t)[::-1], "order"),
    ("success_rates", lambda e, t: tuple(100 * r for r in success_rates(e, t)), "in [0, 1]"),
    ("success_rates", lambda e, t: tuple(len(e) * r for r in success_rates(e, t)), "divide"),
    (
        "success_rates",
        lambda e, t: ((e.amin(1) <= t).double().mean(), success_rates(e, t)[1]),
        "best joint",
    ),
    (
        "success_rates",
        lambda e, t: ((e <= t).double().mean(), success_rates(e, t)[1]),
        "share of joints",
    ),
    (
        "success_rates",
        lambda e, t: ((e.amax(1) < t).double().mean(), (e.mean(1) < t).double().mean()),
        "<=",
    ),
]
