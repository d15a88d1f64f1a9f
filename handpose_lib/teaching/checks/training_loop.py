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
            "this climbs: subtract the gradient": weight + rate * gradient,
            "that is the gradient of the sum of the squares: take their mean": (
                weight - rate * gradient * error.numel()
            ),
            "the mean runs over all entries, not over the rows alone": (
                weight - rate * gradient * target.shape[1]
            ),
            "the derivative of a square has the factor 2": weight - rate * gradient / 2,
            "return the weights after the step, not the gradient": gradient,
            "the rate scales the step": weight - gradient,
            "the weights stay as they were: subtract the step": weight,
        },
    )
