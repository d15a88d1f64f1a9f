"""Answers to the exercises of the notebook that trains JGR-P2O."""

import math

from handpose_lib import training
from handpose_lib.papers.method import Recipe


def half(x):
    return (1 + math.cos(math.pi * x)) / 2


def one_cycle(step, steps, climb, start):
    return (
        start + (1 - start) * half(1 - step / climb)
        if step < climb
        else half((step - climb) / (steps - climb))
    )


def batch_frames(step, size, frames, order):
    return [order(p // frames)[p % frames] for p in range(step * size, (step + 1) * size)]


def library(step, steps, climb, start):
    recipe = Recipe("smoke", lr=1.0, schedule="onecycle", warmup=climb, warmup_from=start)
    return training.learning_rate(recipe, step, steps, steps)


RIGHT = [("one_cycle", one_cycle), ("one_cycle", library), ("batch_frames", batch_frames)]

WRONG = [
    (
        "one_cycle",
        lambda s, n, c, a: a + (1 - a) * s / c if s < c else half((s - c) / (n - c)),
        "climb is a straight",
    ),
    (
        "one_cycle",
        lambda s, n, c, a: a + (1 - a) * half(1 - s / c) if s < c else 1 - (s - c) / (n - c),
        "fall is a straight",
    ),
    (
        "one_cycle",
        lambda s, n, c, a: half(1 - s / c) if s < c else half((s - c) / (n - c)),
        "first factor",
    ),
    ("one_cycle", lambda s, n, c, a: None, "with a return"),
    ("batch_frames", lambda s, z, f, o: [o(0)[(s * z + k) % f] for k in range(z)], "epoch 0"),
    (
        "batch_frames",
        lambda s, z, f, o: [o(s * z // f)[(s * z + k) % f] for k in range(z)],
        "span two epochs",
    ),
    ("batch_frames", lambda s, z, f, o: o(s // (f // z))[s % (f // z) * z :][:z], "left over"),
    (
        "batch_frames",
        lambda s, z, f, o: o(s * z // f)[s * z % f :][:z],
        "go on with the first frames",
    ),
]
