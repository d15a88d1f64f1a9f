"""Checks of the chapter on what a millimetre depends on."""

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    normal,
    require,
    shaped,
    uniform,
)

__all__ = ["check", "require"]


@exercise("mixing_error", chapter="millimetre")
def mixing_error(student: Student, generator: torch.Generator) -> None:
    """mixing_error(joints, camera, other) -> (N, J) mm between joints and what another focal length
    makes of them.
    """
    joints = 80 * normal(generator, (6, 4, 3)) + torch.tensor([0.0, 0.0, 700.0])
    camera = torch.tensor([500.0, 620.0, 160.0, 120.0], dtype=torch.float64)
    other = torch.tensor([480.0, 640.0, 160.0, 120.0], dtype=torch.float64)
    xy, ratio = joints[..., :2], camera[:2] / other[:2]
    equal(
        student(joints, camera, other),
        (xy * (ratio - 1)).norm(dim=-1),
        "mixing_error is not the distance between a joint and its image",
        hint="x is proportional to 1/f, and the depth stays",
        mistakes={
            "the other way round: the pixels were written with `camera` and are read with"
            " `other`": ((xy * (1 / ratio - 1)).norm(dim=-1)),
            "u and v have their own focal lengths": (xy * (ratio[0] - 1)).norm(dim=-1),
            "the depth is in the file as it is: it does not change": (
                (joints * torch.cat((ratio - 1, ratio[:1] - 1))).norm(dim=-1)
            ),
            "that is the new position: take its distance to the old one": (
                (xy * ratio).norm(dim=-1)
            ),
            "x and y together: take the length of both changes": (xy * (ratio - 1)).sum(-1).abs(),
        },
        atol=1e-7,
    )


@exercise("without_joint", chapter="millimetre")
def without_joint(student: Student, generator: torch.Generator) -> None:
    """without_joint(mean, per_joint, j) -> the mean over the other joints."""
    per_joint = uniform(generator, (9,), 5, 25)
    j = int(torch.randint(9, (), generator=generator))
    mean, kept = per_joint.mean(), torch.arange(9) != j
    result = torch.as_tensor(student(mean, per_joint, j))
    shaped(result, (), "the mean without the joint")
    equal(
        result,
        per_joint[kept].mean(),
        "without_joint is not the mean over the other joints",
        hint=(
            "the sum over all joints is J times the mean; take the joint away and divide by what is"
            " left"
        ),
        mistakes={
            "divide by the number of joints that are left": (9 * mean - per_joint[j]) / 9,
            "the mean stands for J joints: multiply it before taking one away": (
                (mean - per_joint[j]) / 8
            ),
            "leave joint j out, do not keep it alone": per_joint[j],
        },
    )


@exercise("sequence_mean", chapter="millimetre")
def sequence_mean(student: Student, generator: torch.Generator) -> None:
    """sequence_mean(errors, sequence) -> the mean over sequences of their means."""
    counts, marks = torch.tensor([3, 11, 6, 25]), torch.tensor([7, 2, 4, 9])
    sequence = torch.repeat_interleave(marks, counts)
    errors = (
        uniform(generator, (len(sequence), 5), 0, 10)
        + 5 * torch.repeat_interleave(torch.arange(4), counts)[:, None]
    )
    means = torch.stack([errors[sequence == mark].mean() for mark in marks])
    result = torch.as_tensor(student(errors, sequence))
    shaped(result, (), "the mean over sequences", "take the mean over the joints as well")
    equal(
        result,
        means.mean(),
        "sequence_mean does not give every sequence the same weight",
        hint="take the mean of each sequence first, then the mean of these",
        mistakes={
            "that is the mean over all frames: a long sequence has more weight": errors.mean(),
            "divide by the number of sequences that there are, not by the largest number": (
                means.sum() / 9
            ),
            "number 0 and the gaps are no sequences": means.sum() / 10,
            "that is the median of the sequences": means.median(),
        },
    )
    shuffled = torch.randperm(len(sequence), generator=generator)
    equal(
        torch.as_tensor(student(errors[shuffled], sequence[shuffled])),
        means.mean(),
        "the order of the frames must not matter",
        hint="find the frames of a sequence by its number, wherever they stand",
    )
