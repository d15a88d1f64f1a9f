"""Answers to the exercises of the chapter that tests the claims of the papers."""

import torch

ENDS = torch.tensor([0.025, 0.975], dtype=torch.float64)


def interval(a, b, drawn):
    return (a - b)[drawn].mean(1).quantile(ENDS)


def interval_by_sorting(a, b, drawn):
    means = sorted((a[rows] - b[rows]).mean().item() for rows in drawn)
    found = []
    for share in ENDS.tolist():
        at = share * (len(means) - 1)
        before = int(at)
        found.append(means[before] + (at - before) * (means[before + 1] - means[before]))
    return torch.tensor(found, dtype=torch.float64)


def three(a, b, low, high):
    return 1 if low < a and b < high else -1 if b <= low or a >= high else 0


def three_by_overlap(a, b, low, high):
    if max(a, low) >= min(b, high) and not low < a <= b < high:
        return -1
    return int(low < a and b < high)


def rest(total, floor):
    return (total**2 - floor**2).clamp_min(0).sqrt()


RIGHT = [
    ("paired_interval", interval),
    ("paired_interval", interval_by_sorting),
    ("answer", three),
    ("answer", three_by_overlap),
    ("without_floor", rest),
    ("without_floor", lambda t, f: torch.where(f < t, ((t - f) * (t + f)).abs().sqrt(), 0.0)),
]

WRONG = [
    ("paired_interval", lambda a, b, d: interval(b, a, d), "positive where `with_` is better"),
    ("paired_interval", lambda a, b, d: (a - b).quantile(ENDS), "single frames"),
    (
        "paired_interval",
        lambda a, b, d: (a - b)[d].mean(1).quantile(ENDS.new_tensor([0.05, 0.95])),
        "middle 90 %",
    ),
    (
        "paired_interval",
        lambda a, b, d: (a[d].mean(1) - b[d.roll(1, 0)].mean(1)).quantile(ENDS),
        "drawn together",
    ),
    (
        "paired_interval",
        lambda a, b, d: a[d].mean(1).quantile(ENDS) - b[d].mean(1).quantile(ENDS),
        "difference of quantiles",
    ),
    ("paired_interval", lambda a, b, d: (a - b)[d].mean(0).quantile(ENDS), "not over the drawings"),
    ("paired_interval", lambda a, b, d: (a - b)[d].median(1).values.quantile(ENDS), "not a median"),
    ("paired_interval", lambda a, b, d: (a - b)[d].mean(1), "shape"),
    ("answer", lambda a, b, low, high: 1 if a + b > 2 * low else -1, "decides nothing"),
    ("answer", lambda a, b, low, high: 1 if low < a and b < high else 0, "none of it inside"),
    (
        "answer",
        lambda a, b, low, high: 1 if low < a and b < high else -1 if b <= low else 0,
        "either side",
    ),
    (
        "answer",
        lambda a, b, low, high: 1 if low <= a and b <= high else -1 if b <= low or a >= high else 0,
        "touches its end from within",
    ),
    (
        "answer",
        lambda a, b, low, high: 1 if low < a and b < high else -1 if b < low or a > high else 0,
        "only touches it",
    ),
    ("answer", lambda a, b, low, high: "holds", "one of the three numbers"),
    ("without_floor", lambda t, f: t - f, "their squares do"),
    ("without_floor", lambda t, f: (t**2 + f**2).sqrt(), "once more"),
    ("without_floor", lambda t, f: t**2 - f**2, "take the root"),
    ("without_floor", lambda t, f: (1 - (f / t) ** 2).sqrt(), "multiply by the total"),
    ("without_floor", lambda t, f: (t**2 - f**2).sqrt(), "clamp"),
    ("without_floor", lambda t, f: (t**2 - f**2).abs().sqrt(), "nothing is left"),
]
