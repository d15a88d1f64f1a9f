"""Checks of the chapter on re-scoring the literature."""

import torch

from handpose_lib.camera import uvd_to_xyz
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


@exercise("rescore", chapter="rescoring")
def rescore(student: Student, generator: torch.Generator) -> None:
    """rescore(predicted, labels, intrinsics) -> mean joint error in mm of pixels and depth."""
    low, high = torch.tensor([100.0, 100.0, 400.0]), torch.tensor([300.0, 300.0, 900.0])
    labels = uniform(generator, (7, 5, 3), 0, 1) * (high - low) + low
    predicted = labels + 3 * normal(generator, (7, 5, 3))
    camera = torch.tensor([520.0, 640.0, 190.0, 210.0], dtype=torch.float64)

    def error(fx, fy, u0, v0, depth=None):
        """With an intrinsic replaced, or the depth of the labels for both."""
        there = predicted if depth is None else torch.cat((predicted[..., :2], labels[..., 2:]), -1)
        used = torch.stack((fx, fy, u0, v0))
        return (uvd_to_xyz(there, used) - uvd_to_xyz(labels, used)).norm(dim=-1)

    fx, fy, u0, v0 = camera
    result = torch.as_tensor(student(predicted, labels, camera))
    holds(
        result.numel() == 1,
        "the mean joint error is one number",
        "take the mean over frames and joints",
    )
    equal(
        result.reshape(()),
        error(fx, fy, u0, v0).mean(),
        "rescore is not the mean distance in millimetres",
        hint="take both through the pinhole camera, then the mean of the distances",
        mistakes={
            "pixels are no millimetres: go through the camera first": (
                (predicted - labels).norm(dim=-1).mean()
            ),
            "u has its own focal length and v too": error(fx, fx, u0, v0).mean(),
            "fx belongs to u, and fy to v": error(fy, fx, u0, v0).mean(),
            "u0 belongs to u, and v0 to v": error(fx, fy, v0, u0).mean(),
            "each of the two has its own depth": error(fx, fy, u0, v0, depth="labels").mean(),
            "the mean of the distances, not the root of the mean square": (
                error(fx, fy, u0, v0).square().mean().sqrt()
            ),
        },
        atol=1e-6,
    )


@exercise("subject_numbers", chapter="rescoring")
def subject_numbers(student: Student, generator: torch.Generator) -> None:
    """subject_numbers(widths, jump) -> (N,): whole numbers from 0 that rise where widths jump."""
    counts = torch.randint(3, 9, (4,), generator=generator)
    levels = torch.tensor([35.0, 31.0, 33.0, 29.0], dtype=torch.float64)
    truth = torch.repeat_interleave(torch.arange(4), counts)
    widths = levels[truth] + uniform(generator, (len(truth),), -0.05, 0.05)
    result = student(widths, 0.5)
    holds(
        isinstance(result, torch.Tensor) and not result.dtype.is_floating_point,
        "subject numbers are a tensor of whole numbers",
        "end with .long()",
    )
    jumps = torch.cat((torch.zeros(1, dtype=torch.long), (widths.diff().abs() > 0.5).long()))
    falls = torch.cat((torch.zeros(1, dtype=torch.long), (widths.diff() < -0.5).long().cumsum(0)))
    holds(
        len(result) == len(widths),
        "there must be one number for each frame",
        "the first frame has no frame before it: it is of subject 0",
    )
    equal(
        result,
        truth,
        "subject_numbers does not rise by one at every jump",
        hint="compare each width with the one before, and sum up",
        mistakes={
            "sum up: every frame after a jump belongs to the new subject": jumps,
            "a hand may also be wider than the one before: take the absolute difference": falls,
            "count from 0": truth + 1,
        },
    )


@exercise("best_shift", chapter="rescoring")
def best_shift(student: Student, generator: torch.Generator) -> None:
    """best_shift(predicted, labels, reach) -> s for which line i fits the label of frame i + s."""
    labels = 20 * normal(generator, (60, 4, 3)).cumsum(0)
    for shift in (-3, 0, 2):
        predicted = labels.roll(-shift, 0) + normal(generator, (60, 4, 3))
        predicted[:3], predicted[-3:] = (
            predicted[:3] + 500 * (shift < 0),
            predicted[-3:] + 500 * (shift > 0),
        )
        found = student(predicted, labels, 4)
        holds(
            isinstance(found, int) or torch.as_tensor(found).numel() == 1,
            "the shift is one whole number",
        )
        hint = {
            -shift: (
                "the sign: line i fits the label of frame i + s, so labels are taken s frames later"
            ),
            0: "try every shift from −reach to reach",
        }.get(int(found), "compare only frames that both have, and take their mean")
        holds(
            int(found) == shift,
            f"predictions of frame i {shift:+d} in line i give {int(found):+d}",
            hint,
        )
