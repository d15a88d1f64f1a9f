"""Checks of the chapter on Residual Attention Regression."""

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


@exercise("attend", chapter="residual_attention")
def attend(student: Student, generator: torch.Generator) -> None:
    """attend(features (B, C, H, W), logits (B, C, H, W)) -> (1 + sigmoid(logits)) · features
    (Eq. 1).
    """
    features, logits = normal(generator, (2, 3, 4, 5)), 2 * normal(generator, (2, 3, 4, 5))
    mask = logits.sigmoid()
    equal(
        student(features, logits),
        (1 + mask) * features,
        "attend is not (1 + M) · T with M the sigmoid of the logits",
        hint="the mask is logits.sigmoid(), one number for each feature",
        mistakes={
            "that is M · T: a mask of 0 would erase the feature, 1 + M never does": mask * features,
            "that is T + M: the mask is a factor": features + mask,
            "that is 1 + M: multiply by the features": 1 + mask,
            "send the logits through a sigmoid first": (1 + logits) * features,
            "the numbers of a mask are independent: a sigmoid, no soft-max": (
                (1 + logits.flatten(2).softmax(-1).reshape(logits.shape)) * features
            ),
        },
    )
    off, on = torch.full_like(logits, -60), torch.full_like(logits, 60)
    equal(student(features, off), features, "where the mask is 0 the features must pass unchanged")
    equal(student(features, on), 2 * features, "where the mask is 1 the features must be doubled")


@exercise("principal_poses", chapter="residual_attention")
def principal_poses(student: Student, generator: torch.Generator) -> None:
    """principal_poses(poses (N, D), d) -> (mean (D,), components (d, D)): PCA, the widest direction
    first.
    """
    n, size, d = 60, 9, int(torch.randint(2, 5, (1,), generator=generator))
    spread = torch.linspace(3, 0.2, size, dtype=torch.float64)
    turn = torch.linalg.qr(normal(generator, (size, size))).Q
    poses = uniform(generator, (size,), 1, 3) + normal(generator, (n, size)) * spread @ turn
    result = student(poses, d)
    holds(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "the result must be two tensors, mean and components",
    )
    mean, components = result
    shaped(
        mean, (size,), "the mean", "one number per coordinate: average over the poses, dimension 0"
    )
    equal(mean, poses.mean(0), "the mean is not that of each coordinate over the poses")
    shaped(
        components,
        (d, size),
        "components",
        "one direction per row: the columns of torch.linalg.eigh are the directions",
    )
    components = components.double()
    holds(
        torch.allclose(components @ components.T, torch.eye(d, dtype=torch.float64), atol=1e-4),
        "the components are not orthonormal",
        "rows of length 1, at right angles: directions, not directions times spread",
    )
    centred = poses - poses.mean(0)
    lost = (centred - centred @ components.T @ components).square().sum()
    singular = torch.linalg.svdvals(centred)
    if lost > 1.001 * singular[d:].square().sum():
        narrowest = torch.linalg.eigh(centred.T @ centred)[1][:, :d]
        about_zero = torch.linalg.svd(poses, full_matrices=False)[2][:d].T
        hint = (
            "eigh sorts upwards: the last columns have the largest variance"
            if _same_span(components, narrowest)
            else (
                "subtract the mean before looking for directions"
                if _same_span(components, about_zero)
                else "take the directions of the largest variance"
            )
        )
        holds(False, "another set of directions keeps more of the poses", hint)
    variance = (centred @ components.T).var(0)
    holds(
        (variance.diff() <= 1e-6 * variance[0]).all(),
        "the components are not in order of their variance",
        "the widest direction comes first",
    )


def _same_span(rows, columns):
    """Do d orthonormal rows and d orthonormal columns span the same space?"""
    return abs((rows @ columns).square().sum() - len(rows)) < 1e-3


@exercise("success_rates", chapter="residual_attention")
def success_rates(student: Student, generator: torch.Generator) -> None:
    """success_rates(errors (N, J), threshold) -> (share by the worst joint, share by the mean), in
    [0, 1].
    """
    errors = uniform(generator, (40, 7), 0, 20)
    errors[::3, 0] += 40
    threshold = 15.0
    result = student(errors, threshold)
    holds(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "the result must be two numbers: worst, then mean",
    )
    found = torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in result])
    worst, mean = (
        (errors.amax(1) <= threshold).double().mean(),
        (errors.mean(1) <= threshold).double().mean(),
    )
    joints = (errors <= threshold).double().mean()
    equal(
        found,
        torch.stack((worst, mean)),
        "the shares of frames are not right",
        hint=(
            "one number per frame, its worst or its mean joint error; then the share of frames"
            " within"
        ),
        mistakes={
            "the order is worst, mean": torch.stack((mean, worst)),
            "shares lie in [0, 1]": 100 * torch.stack((worst, mean)),
            "that counts frames: divide by their number": 40 * torch.stack((worst, mean)),
            "that judges by the best joint: take the largest error of a frame": torch.stack(
                ((errors.amin(1) <= threshold).double().mean(), mean)
            ),
            "that is the share of joints: a frame counts only if its worst joint is within": (
                torch.stack((joints, mean))
            ),
        },
    )
    exact = torch.full((4, 3), threshold, dtype=torch.float64)
    holds(
        all(float(value) == 1 for value in student(exact, threshold)),
        "an error at the threshold counts as within it",
        "compare with <=",
    )
