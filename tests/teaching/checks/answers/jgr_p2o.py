"""Answers to the exercises of the chapter on JGR-P2O."""

import torch
import torch.nn.functional as F

from handpose_lib.nets.graph import normalised_adjacency
from handpose_lib.nets.spatial import expectation, spatial_softmax


def vote(weights, pixels, offsets):
    return expectation(weights, pixels[:, :, None] + offsets)


def huber(x, delta):
    return F.huber_loss(x, torch.zeros_like(x), reduction="none", delta=delta)


def adjacency(joints, bones, both=True, loops=True):
    a = torch.eye(joints) * loops
    for child, parent in bones:
        a[child, parent] = 1
        if both:
            a[parent, child] = 1
    return a


def scaled(a, rows, columns):
    """Rows and columns times powers of their sums."""
    return a.sum(1)[:, None] ** rows * a * a.sum(1) ** columns


def balanced(a):
    scale = a.sum(1).rsqrt()
    return scale[:, None] * a * scale


RIGHT = [
    ("voting_weights", spatial_softmax),
    ("skeleton_graph", normalised_adjacency),
    ("vote", vote),
    ("huber", huber),
]

WRONG = [
    ("voting_weights", lambda x: x.softmax(1), "over the joints"),
    ("voting_weights", lambda x: x.softmax(-1), "over each row"),
    ("voting_weights", lambda x: x.softmax(-2), "over each column"),
    (
        "voting_weights",
        lambda x: x.flatten(1).softmax(-1).reshape(x.shape),
        "one sum for each joint",
    ),
    ("voting_weights", lambda x: x.exp(), "divide by the sum"),
    ("voting_weights", lambda x: x.flatten(2).softmax(-1), "shape"),
    ("skeleton_graph", lambda n, b: balanced(adjacency(n, b, loops=False)), "add the identity"),
    ("skeleton_graph", lambda n, b: balanced(adjacency(n, b, both=False)), "both directions"),
    ("skeleton_graph", lambda n, b: adjacency(n, b), "normalise"),
    (
        "skeleton_graph",
        lambda n, b: adjacency(n, b) / adjacency(n, b).sum(1, keepdim=True),
        "divides rows",
    ),
    ("skeleton_graph", lambda n, b: scaled(adjacency(n, b), 0, -1), "divides columns"),
    ("skeleton_graph", lambda n, b: scaled(adjacency(n, b), -1, -1), "by both degrees"),
    ("skeleton_graph", lambda n, b: scaled(adjacency(n, b), 0.5, 0.5), "do not multiply"),
    ("skeleton_graph", lambda n, b: scaled(adjacency(n, b), 1, 1), "you multiply"),
    ("vote", lambda w, p, o: vote(w, p, o).transpose(1, 2), "shape"),
    ("vote", lambda w, p, o: vote(w, p, -o), "add it"),
    ("vote", lambda w, p, o: expectation(w, o), "add them to the pixels"),
    ("vote", lambda w, p, o: vote(w, p, 0 * o), "offsets are missing"),
    (
        "vote",
        lambda w, p, o: vote(torch.full_like(w, 1 / w[0, 0].numel()), p, o),
        "a plain mean",
    ),
    (
        "huber",
        lambda x, d: F.smooth_l1_loss(x, torch.zeros_like(x), reduction="none", beta=d),
        "smooth_l1_loss",
    ),
    ("huber", lambda x, d: x**2, "half of the square"),
    ("huber", lambda x, d: x**2 / 2, "choose by"),
    ("huber", lambda x, d: torch.where(x.abs() < d, x**2 / 2, d * x.abs()), "must meet"),
    ("huber", lambda x, d: torch.where(x.abs() < d, x**2 / 2, x.abs() - d / 2), "slope"),
    ("huber", lambda x, d: torch.where(x < d, x**2 / 2, d * (x - d / 2)), "take the magnitude"),
]
