"""Checks of the chapter on DenseReg."""

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


@exercise("directions", chapter="densereg")
def directions(student: Student, generator: torch.Generator) -> None:
    """directions(points (N, 3), joint (3,), theta) -> (N, 3): unit vectors from point to joint
    within theta, else 0.
    """
    joint, theta = uniform(generator, (3,), -50, 50), float(uniform(generator, (), 60, 100))
    away = normal(generator, (12, 3))
    away = away / away.norm(dim=1, keepdim=True)
    distance = (
        torch.cat((uniform(generator, (6, 1), 0.1, 0.9), uniform(generator, (6, 1), 1.2, 3.0)))
        * theta
    )
    points = joint + distance * away
    near = (distance <= theta).double()
    expected = -away * near
    equal(
        student(points, joint, theta),
        expected,
        "within theta a unit vector must lead from the point to the joint, beyond it 0",
        hint="divide joint − point by its length, and multiply by (length <= theta)",
        mistakes={
            "that points from the joint to the point: Eq. 2 as printed, but a vote must move"
            " towards the joint": (away * near),
            "the vector of a point farther than theta is 0": -away,
            "the distance belongs to the other map, S: divide by it": -away * distance * near,
            "divide by the distance, not by theta": -away * distance / theta * near,
            "a point within theta keeps its vector, one beyond has 0: yours is the"
            " other way round": (-away * (1 - near)),
        },
    )


@exercise("ball_votes", chapter="densereg")
def ball_votes(student: Student, generator: torch.Generator) -> None:
    """ball_votes(points (N, 3), S (N,), V (N, 3), theta) -> (N, 3): the position of the joint that
    each point proposes.
    """
    points, theta = uniform(generator, (9, 3), -100, 100), float(uniform(generator, (), 60, 100))
    S, V = uniform(generator, (9,), 0.05, 0.95), normal(generator, (9, 3))
    V = V / V.norm(dim=1, keepdim=True)
    step = theta * (1 - S)[:, None]
    equal(
        student(points, S, V, theta),
        points + step * V,
        "a vote is the point, moved by theta (1 − S) along V",
        hint="S is 1 at the joint and 0 at the distance theta: theta · (1 − S) is the distance",
        mistakes={
            "V leads from the point to the joint: add": points - step * V,
            "S is large where the joint is near: the distance is theta · (1 − S)": (
                points + theta * S[:, None] * V
            ),
            "1 − S is a share of theta: multiply by theta": points + (1 - S)[:, None] * V,
            "that is the way to the joint: add it to the point": step * V,
            "the distance is missing: V has length 1": points + V,
        },
    )
    joint = uniform(generator, (3,), -20, 20)
    apart = joint - points
    distance = apart.norm(dim=1)
    found = student(points, 1 - distance / 400, apart / distance[:, None], 400.0)
    holds(
        torch.allclose(torch.as_tensor(found).double(), joint.expand(9, 3), atol=1e-4),
        "if S and V are true, all votes must meet at the joint",
    )


@exercise("mean_shift_step", chapter="densereg")
def mean_shift_step(student: Student, generator: torch.Generator) -> None:
    """mean_shift_step(p (3,), votes (K, 3), weights (K,), sigma) -> (3,): a step of Algorithm 1."""
    votes, weights = 40 * normal(generator, (7, 3)), uniform(generator, (7,), 0.1, 1)
    p, sigma = 20 * normal(generator, (3,)), float(uniform(generator, (), 25, 60))
    apart = (votes - p).square().sum(1)

    def mean(share):
        return (share[:, None] * votes).sum(0) / share.sum()

    kernel = torch.exp(-apart / (2 * sigma**2))
    share = kernel * weights
    equal(
        student(p, votes, weights, sigma),
        mean(share),
        "a step must end at the mean of the votes, each with kernel times weight",
        hint="k = exp(−|vote − p|² / (2 σ²)); sum k · w · vote, divided by the sum of k · w",
        mistakes={
            "the weights of the votes are missing": mean(kernel),
            "the kernel is missing: near votes count more": mean(weights),
            "the kernel's exponent has a 2 in the denominator: exp(−d² / (2 σ²))": mean(
                torch.exp(-apart / sigma**2) * weights
            ),
            "square sigma": mean(torch.exp(-apart / (2 * sigma)) * weights),
            "the kernel takes the squared distance": mean(
                torch.exp(-apart.sqrt() / (2 * sigma**2)) * weights
            ),
            "divide by the sum of kernel times weight": (share[:, None] * votes).sum(0),
            "divide by the sum of kernel times weight, not by the number of votes": (
                (share[:, None] * votes).mean(0)
            ),
            "that is the shift: add p": mean(share) - p,
        },
    )
    holds(
        torch.allclose(
            torch.as_tensor(student(p, votes[:1], weights[:1], sigma)).double(), votes[0], atol=1e-6
        ),
        "a single vote must be where the step ends",
    )
