"""Checks of the chapter on JGR-P2O."""

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    normal,
    require,
    uniform,
)

__all__ = ["check", "require"]


@exercise("voting_weights", chapter="jgr_p2o")
def voting_weights(student: Student, generator: torch.Generator) -> None:
    """voting_weights(logits (B, J, H, W)) -> the same shape: soft-max over the pixels of each map
    (Eq. 1).
    """
    logits = 3 * normal(generator, (2, 3, 4, 5))
    expected = logits.flatten(2).softmax(-1).reshape(logits.shape)
    equal(
        student(logits),
        expected,
        "each map must be positive and sum to 1 over all its pixels",
        hint="flatten the two axes of pixels, take the soft-max, and shape it back",
        mistakes={
            "that is a soft-max over the joints: take it over the pixels": logits.softmax(1),
            "that is a soft-max over each row: flatten both axes of pixels first": logits.softmax(
                -1
            ),
            "that is a soft-max over each column: flatten both axes of pixels first": (
                logits.softmax(-2)
            ),
            "that sums to 1 over joints and pixels together: one sum for each joint": (
                logits.flatten(1).softmax(-1).reshape(logits.shape)
            ),
            "divide by the sum over the pixels": logits.exp(),
        },
    )
    equal(student(logits + 7.0), expected, "adding a constant to all logits must change nothing")


@exercise("skeleton_graph", chapter="jgr_p2o")
def skeleton_graph(student: Student, generator: torch.Generator) -> None:
    """skeleton_graph(joints, bones) -> (J, J): D^-½ (A + I) D^-½ of the undirected skeleton."""
    joints = 6
    order = torch.randperm(joints, generator=generator).tolist()
    bones = [
        (order[i], order[int(torch.randint(i, (1,), generator=generator))])
        for i in range(1, joints)
    ]
    adjacency = torch.zeros(joints, joints)
    for child, parent in bones:
        adjacency[child, parent] = adjacency[parent, child] = 1

    def normalised(a):
        scale = a.sum(1).clamp_min(1).rsqrt()
        return scale[:, None] * a * scale

    loops = adjacency + torch.eye(joints)
    one_way = torch.eye(joints)
    for child, parent in bones:
        one_way[child, parent] = 1
    without = adjacency.sum(1).rsqrt()
    degree = loops.sum(1)
    expected = normalised(loops)
    equal(
        student(joints, bones),
        expected,
        "skeleton_graph is not D^-½ (A + I) D^-½",
        hint=(
            "degrees are the row sums of A + I; scale rows and columns by their inverse square"
            " roots"
        ),
        mistakes={
            "every joint is also its own neighbour: add the identity": normalised(adjacency),
            "a bone has both directions: set [child, parent] and [parent, child]": normalised(
                one_way
            ),
            "normalise: divide by the square roots of the degrees of both joints": loops,
            "that divides rows by their sum: the symmetric form takes the square root on both"
            " sides": loops / degree[:, None],
            "that divides columns by their sum: the symmetric form takes the square root on both"
            " sides": loops / degree,
            "that divides by both degrees: take their square roots": loops
            / degree
            / degree[:, None],
            "the square roots divide, they do not multiply": (
                degree[:, None].sqrt() * loops * degree.sqrt()
            ),
            "divide by the square roots of the degrees, where you multiply by the degrees": (
                degree[:, None] * loops * degree
            ),
            "the degrees count the self loops": without[:, None] * loops * without,
        },
    )


@exercise("vote", chapter="jgr_p2o")
def vote(student: Student, generator: torch.Generator) -> None:
    """vote(weights (B, J, H, W), pixels (B, 3, H, W), offsets (B, 3, J, H, W)) -> (B, J, 3)
    (Eq. 6).
    """
    weights = normal(generator, (2, 4, 3, 5)).flatten(2).softmax(-1).reshape(2, 4, 3, 5)
    pixels, offsets = (
        uniform(generator, (2, 3, 3, 5), -1, 1),
        0.3 * normal(generator, (2, 3, 4, 3, 5)),
    )

    def joints(w, p):
        return torch.einsum("bjhw,bcjhw->bjc", w, p)

    places = pixels[:, :, None] + offsets
    expected = joints(weights, places)
    flat = torch.full_like(weights, 1 / 15)
    equal(
        student(weights, pixels, offsets),
        expected,
        "a joint must be the weighted mean of pixel + offset",
        hint="torch.einsum('bjhw,bcjhw->bjc', …) does the sum over the pixels",
        mistakes={
            "an offset leads from the pixel to the joint: add it": joints(
                weights, pixels[:, :, None] - offsets
            ),
            "those are the mean offsets: add them to the pixels": joints(weights, offsets),
            "that is the weighted mean of the pixels alone: the offsets are missing": joints(
                weights, pixels[:, :, None].expand_as(offsets)
            ),
            "that is a plain mean: multiply by the weights": joints(flat, places),
            "the weights already sum to 1: no further division": expected / 15,
        },
    )
    target = normal(generator, (2, 4, 3))
    right = target.transpose(1, 2)[..., None, None] - pixels[:, :, None]
    holds(
        torch.allclose(student(weights, pixels, right).double(), target, atol=1e-5),
        "if every pixel's offset is right, the joint must be exact whatever the weights",
    )


@exercise("huber", chapter="jgr_p2o")
def huber(student: Student, generator: torch.Generator) -> None:
    """huber(x, delta) -> the same shape: x² / 2 near zero, linear beyond delta."""
    delta = float(uniform(generator, (), 0.01, 0.5))
    small, large = (
        uniform(generator, (9,), -0.9, 0.9) * delta,
        uniform(generator, (9,), 1.1, 6) * delta,
    )
    large[::2] *= -1
    equal(
        student(small, delta) / delta**2,
        small**2 / 2 / delta**2,
        "within delta the loss is not x² / 2",
        mistakes={
            "half of the square": small**2 / delta**2,
            "PyTorch's smooth_l1_loss divides by delta: Huber does not": small**2 / 2 / delta**3,
            "within delta it is quadratic": small.abs() / delta,
        },
    )
    expected = delta * (large.abs() - delta / 2)
    equal(
        student(large, delta) / delta**2,
        expected / delta**2,
        "beyond delta the loss is not delta · (|x| − delta / 2)",
        mistakes={
            "beyond delta it is linear: choose by |x| < delta": large**2 / 2 / delta**2,
            "the two pieces must meet at delta: subtract delta / 2": large.abs() / delta,
            "the slope beyond delta is delta": (large.abs() - delta / 2) / delta**2,
            "take the magnitude: an error far below zero is large as well": (
                torch.where(large < 0, large**2 / 2, expected) / delta**2
            ),
        },
    )
