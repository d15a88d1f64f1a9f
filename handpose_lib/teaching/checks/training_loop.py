"""Checks of the chapter on the training loop."""

import torch

from handpose_lib.teaching.checks import Student, check, equal, exercise, normal, require

__all__ = ["check", "require"]


@exercise("descend", chapter="training_loop")
def descend(student: Student, generator: torch.Generator) -> None:
    """descend(weight, x, target, rate) -> the weights (D, C) after one step of gradient descent on
    the mean squared error between x @ weight.T and target.
    """
    weight = normal(generator, (2, 3))
    x, target = normal(generator, (7, 3)), normal(generator, (7, 2))
    rate = 0.05
    error = x @ weight.T - target
    gradient = 2 * error.T @ x / error.numel()
    equal(
        student(weight, x, target, rate),
        weight - rate * gradient,
        "descend must subtract the rate times the gradient of the mean squared error",
        hint="the derivative of the mean of e² by e is 2 e over the number of entries",
        mistakes={
            "this increases the loss: subtract the gradient": weight + rate * gradient,
            "that is the gradient of the sum of the squares: take their mean": (
                weight - rate * gradient * error.numel()
            ),
            "the mean runs over all entries, not over the rows alone": (
                weight - rate * gradient * target.shape[1]
            ),
            "the derivative of a square has the factor 2": weight - rate * gradient / 2,
            "return the weights after the step, not the gradient": gradient,
            "the rate scales the step": weight - gradient,
            "the weights have not changed: subtract the step": weight,
        },
    )


@exercise("batch_norm", chapter="training_loop")
def batch_norm(student: Student, generator: torch.Generator) -> None:
    """batch_norm(x, mean, variance, training) -> (N, C): x (N, C) normalised per channel, by the
    statistics of the batch in training, otherwise by the running ones (C,); 1e-5 is added to the
    variance.
    """
    x = 2 * normal(generator, (8, 3)) + 1
    mean, variance = normal(generator, (3,)), normal(generator, (3,)).square() + 0.5
    small = 1e-5
    of_batch = x.mean(0), x.var(0, correction=0)

    def normalised(mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        return (x - mean) / (variance + small).sqrt()

    equal(
        student(x, mean, variance, False),
        normalised(mean, variance),
        "in evaluation mode, normalise with the running statistics",
        mistakes={
            "training is False: use the running statistics, not those of the batch": normalised(
                *of_batch
            ),
            "divide by the standard deviation, the root of the variance": (x - mean)
            / (variance + small),
        },
    )
    equal(
        student(x, mean, variance, True),
        normalised(*of_batch),
        "in training, normalise with the statistics of the batch",
        hint="mean and variance over the frames, for each channel",
        mistakes={
            "training is True: use the statistics of the batch": normalised(mean, variance),
            "batch norm divides by N, not by N - 1: correction=0": normalised(x.mean(0), x.var(0)),
            "each channel has its own statistics: compute them over the frames": normalised(
                x.mean(), x.var(correction=0)
            ),
        },
    )
