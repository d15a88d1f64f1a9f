"""Checks of the chapter on measuring."""

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    normal,
    require,
    shaped,
    uniform,
)

__all__ = ["check", "require"]


@exercise("success_rate", chapter="measuring")
def success_rate(student: Student, generator: torch.Generator) -> None:
    """success_rate(errors, thresholds) -> (T,): share of frames whose worst joint is within t."""
    errors = uniform(generator, (23, 8), 0, 50)
    thresholds = torch.linspace(0, 60, 13, dtype=torch.float64)

    def share(per_frame):
        return (per_frame[:, None] <= thresholds).double().mean(0)

    equal(
        student(errors, thresholds),
        share(errors.amax(1)),
        "success_rate is not the share of frames whose worst joint is within the threshold",
        hint="take the largest error of each frame, then compare it with every threshold",
        mistakes={
            "that judges a frame by the mean of its joints: one lost finger can hide in it": share(
                errors.mean(1)
            ),
            "that is the share of joints, not of frames: take the worst joint of each frame"
            " first": ((errors[..., None] <= thresholds).double().mean((0, 1))),
            "that judges a frame by its best joint": share(errors.amin(1)),
            "that counts the failures: 1 minus it": 1 - share(errors.amax(1)),
            "that is in percent: a share lies between 0 and 1": 100 * share(errors.amax(1)),
        },
    )
    at = torch.tensor([10.0, 20.0], dtype=torch.float64)
    found = student(torch.tensor([[10.0, 3.0], [20.0, 1.0]], dtype=torch.float64), at)
    equal(
        found,
        torch.tensor([0.5, 1.0], dtype=torch.float64),
        "a joint that is just at the threshold must count as within it",
        hint="compare with <=",
    )


@exercise("area_under_curve", chapter="measuring")
def area_under_curve(student: Student, generator: torch.Generator) -> None:
    """area_under_curve(rates, thresholds) -> a number in [0, 1], thresholds not evenly spaced."""
    thresholds = uniform(generator, (12,), 0.5, 8).cumsum(0)
    rates = uniform(generator, (12,), 0, 1).sort().values
    area = torch.trapezoid(rates, thresholds)
    span = thresholds[-1] - thresholds[0]
    result = student(rates, thresholds)
    holds(torch.as_tensor(result).numel() == 1, "the area is one number")
    equal(
        torch.as_tensor(result).reshape(()),
        area / span,
        "area_under_curve is not the normalised trapezoid sum",
        hint=(
            "sum the mean of two neighbouring rates times the step between their thresholds, then"
            " divide by the range"
        ),
        mistakes={
            "divide by the range of the thresholds, last minus first": area,
            "divide by last minus first: these thresholds do not begin at 0": area / thresholds[-1],
            "the thresholds are not evenly spaced: multiply each piece by its width": rates.mean(),
        },
    )
    one = student(torch.ones(12, dtype=torch.float64), thresholds)
    holds(abs(float(one) - 1) < 1e-6, "a curve that is 1 everywhere must have area 1")


@exercise("merge_means", chapter="measuring")
def merge_means(student: Student, generator: torch.Generator) -> None:
    """merge_means(means, counts) -> the mean over all frames, from the means of unequal batches."""
    counts = torch.tensor([32, 32, 32, 5])
    batches = [normal(generator, (int(n),)) * 3 + 10 * i for i, n in enumerate(counts)]
    means = torch.stack([batch.mean() for batch in batches])
    result = student(means, counts)
    shaped(torch.as_tensor(result), (), "the mean")
    equal(
        torch.as_tensor(result),
        torch.cat(batches).mean(),
        "merge_means is not the mean over all frames",
        hint="weight each batch by its number of frames",
        mistakes={
            "the last batch is smaller: it must not weigh as much as a full one": means.mean(),
            "that leaves the last batch out: every frame of a test set counts": means[:3].mean(),
            "divide by the number of frames, not of batches": (means * counts).sum() / len(counts),
        },
    )
