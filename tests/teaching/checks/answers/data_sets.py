"""Answers to the exercises of the chapter on the data sets."""

import torch

SIGNS = torch.tensor([1.0, -1.0, 1.0])


def mix(high, low, factor=256):
    return lambda p: factor * p[..., high].double() + p[..., low].double()


def marked(rule):
    return lambda names: torch.tensor([rule(name) for name in names])


RIGHT = [
    ("nyu_depth", mix(1, 2)),
    ("originals", marked(lambda name: name.startswith("2014"))),
    ("itop_to_camera", lambda p: 1000 * p * SIGNS),
    ("reorder", lambda j, s, t: j[:, [s.index(name) for name in t]]),
]

WRONG = [
    ("nyu_depth", lambda p: 256 * p[..., 1] + p[..., 2], "8 bits overflow"),
    ("nyu_depth", mix(1, 0), "blue is the last"),
    ("nyu_depth", mix(2, 1), "green is the high byte"),
    ("nyu_depth", mix(0, 1), "red is not used"),
    ("nyu_depth", mix(1, 2, 255), "256 values"),
    ("nyu_depth", mix(1, 2, 1), "counts 256 times"),
    ("originals", lambda names: [True] * len(names), "torch.tensor([…"),
    ("originals", marked(lambda name: not name.startswith("2014")), "wrong way round"),
    ("originals", marked(lambda name: "2014" in name), "not anywhere in the path"),
    ("originals", marked(lambda name: "-" not in name), "without a dash"),
    ("itop_to_camera", lambda p: 1000 * p, "y points up in the file"),
    ("itop_to_camera", lambda p: p * SIGNS, "metres are not millimetres"),
    ("itop_to_camera", lambda p: 1000 * p * torch.tensor([1.0, -1.0, -1.0]), "positive in front"),
    ("reorder", lambda j, s, t: j[:, [t.index(name) for name in s if name in t]], "the inverse"),
    ("reorder", lambda j, s, t: j, "nothing was moved"),
    (
        "reorder",
        lambda j, s, t: j[:, [s.index(name) for name in t]] if len(t) == len(s) else j,
        "shape",
    ),
]
