"""Answers to the exercises of the chapter on measuring."""

import torch

TRAPEZOID = torch.trapezoid


def worst(errors, thresholds):
    return (errors.amax(1)[:, None] <= thresholds).double().mean(0)


RIGHT = [
    ("success_rate", worst),
    ("area_under_curve", lambda rates, at: TRAPEZOID(rates, at) / (at[-1] - at[0])),
    ("merge_means", lambda means, counts: (means * counts).sum() / counts.sum()),
]

WRONG = [
    (
        "success_rate",
        lambda e, t: (e.mean(1)[:, None] <= t).double().mean(0),
        "judges a frame by the mean",
    ),
    (
        "success_rate",
        lambda e, t: (e[..., None] <= t).double().mean((0, 1)),
        "share of joints, not of frames",
    ),
    ("success_rate", lambda e, t: (e.amin(1)[:, None] <= t).double().mean(0), "best joint"),
    ("success_rate", lambda e, t: 1 - worst(e, t), "counts the failures"),
    ("success_rate", lambda e, t: 100 * worst(e, t), "in percent"),
    ("success_rate", lambda e, t: (e.amax(1)[:, None] < t).double().mean(0), "compare with <="),
    ("success_rate", lambda e, t: worst(e, t)[:3], "shape"),
    ("area_under_curve", lambda r, t: TRAPEZOID(r, t), "divide by the range"),
    ("area_under_curve", lambda r, t: TRAPEZOID(r, t) / t[-1], "do not begin at 0"),
    ("area_under_curve", lambda r, t: r.mean(), "not evenly spaced"),
    ("area_under_curve", lambda r, t: r, "one number"),
    ("merge_means", lambda m, n: m.mean(), "must not weigh as much"),
    ("merge_means", lambda m, n: m[:-1].mean(), "leaves the last batch out"),
    ("merge_means", lambda m, n: (m * n).sum() / len(n), "divide by the number of frames"),
]
