"""Checks of the chapter that compares the papers side by side."""

import torch

from handpose_lib.teaching.checks import Student, check, equal, exercise, holds, require, shaped

__all__ = ["check", "require"]


@exercise("convolution_cost", chapter="side_by_side")
def convolution_cost(student: Student, generator: torch.Generator) -> None:
    """convolution_cost(size, kernel, stride, channels_in, channels_out, dimensions) ->
    (parameters, multiply-adds).
    """
    for size, kernel, stride, c, d, dimensions in (
        (24, 3, 1, 5, 7, 3),
        (48, 7, 2, 3, 4, 2),
        (20, 5, 2, 2, 9, 3),
    ):
        weights, side = kernel**dimensions * c * d, size // stride
        result = student(size, kernel, stride, c, d, dimensions)
        holds(
            isinstance(result, (tuple, list)) and len(result) == 2,
            "it does not return a pair",
            "return the parameters, then the multiply-adds",
        )
        equal(
            torch.tensor([float(value) for value in result], dtype=torch.float64),
            torch.tensor([weights + d, weights * side**dimensions], dtype=torch.float64),
            f"the counts of a {dimensions}-dimensional convolution are wrong",
            hint=(
                "weights once for each pair of channels; multiply-adds once for each place of the"
                " output"
            ),
            mistakes={
                name: torch.tensor(values, dtype=torch.float64)
                for name, values in {
                    "the bias belongs to the parameters, one number for each output channel": (
                        weights,
                        weights * side**dimensions,
                    ),
                    "the bias is no multiplication: leave it out of the multiply-adds": (
                        weights + d,
                        (weights + d) * side**dimensions,
                    ),
                    "each stride skips places: the output has size / stride of them along a side": (
                        weights + d,
                        weights * size**dimensions,
                    ),
                    "the kernel has as many dimensions as the image": (
                        kernel**2 * c * d + d,
                        kernel**2 * c * d * side**dimensions,
                    ),
                    "the output has as many dimensions as the image": (
                        weights + d,
                        weights * side**2,
                    ),
                    "the other way round: the parameters first": (
                        weights * side**dimensions,
                        weights + d,
                    ),
                    "multiplications and additions in pairs: count each pair once": (
                        weights + d,
                        2 * weights * side**dimensions,
                    ),
                }.items()
            },
            atol=0.1,
        )


@exercise("on_front", chapter="side_by_side")
def on_front(student: Student, generator: torch.Generator) -> None:
    """on_front(cost, error) -> (N,) bool: which no other one beats."""
    cost = torch.randint(1, 9, (40,), generator=generator).double()
    error = torch.randint(1, 9, (40,), generator=generator).double() + (9 - cost) * 0.5
    cost, error = (
        torch.cat((cost, torch.tensor([0.5, 0.5], dtype=torch.float64))),
        torch.cat((error, torch.tensor([20.0, 20.0], dtype=torch.float64))),
    )
    no_worse = (cost[:, None] <= cost) & (error[:, None] <= error)
    better = (cost[:, None] < cost) | (error[:, None] < error)
    expected = ~(no_worse & better).any(0)
    result = student(cost, error)
    shaped(result, expected.shape, "the front")
    holds(
        result.dtype == torch.bool,
        "the result is not boolean",
        "a comparison gives a boolean tensor",
    )
    others = ~torch.eye(len(cost), dtype=torch.bool)
    equal(
        result,
        expected,
        "on_front does not find the networks that no other one beats",
        hint="compare every network with every other one, in both numbers",
        mistakes={
            "those are the networks that are beaten: take the others": ~expected,
            "two that are equal in both do not beat each other: one of the two must be better": (
                ~(no_worse & others).any(0)
            ),
            "a network that is as cheap and better, or as good and cheaper, beats as well": (
                ~((cost[:, None] < cost) & (error[:, None] < error)).any(0)
            ),
            "that is the best error alone: a cheaper network is on the front as well": (
                error == error.min()
            ),
            "that is the cheapest alone: a better network is on the front as well": cost
            == cost.min(),
            "no worse in one of the two is not enough: it has to be no worse in both": ~better.any(
                0
            ),
        },
    )


@exercise("differences", chapter="side_by_side")
def differences(student: Student, generator: torch.Generator) -> None:
    """differences(a, b) -> sorted names of the facts that both know and in which they differ."""
    a = {
        "joints": 21,
        "frames": 100,
        "centre": "true",
        "cube": 250.0,
        "choice": None,
        "view": "front",
        "subject": 0,
    }
    b = {
        "frames": 99,
        "joints": 21,
        "centre": "mass",
        "cube": None,
        "choice": "last",
        "split": "test",
        "subject": 3,
    }
    for one, other, expected in (
        (a, b, ["centre", "frames", "subject"]),
        (b, a, ["centre", "frames", "subject"]),
        (a, a, []),
    ):
        result = student(dict(one), dict(other))
        holds(isinstance(result, (list, tuple)), "it does not return a list", "sorted(…) makes one")
        result = list(result)
        holds(
            "view" not in result and "split" not in result,
            "a fact that only one side has is not known to both",
            "compare the names that are in both",
        )
        holds(
            "cube" not in result and "choice" not in result,
            "None stands for what is not known",
            "leave out what is None on either side",
        )
        holds(
            not set(result) & {"joints"},
            "a fact in which both agree is no difference",
            "compare the values, not the names",
        )
        holds(
            "subject" in result or not expected,
            "a fact of value 0 is known",
            "ask whether it is None, not whether it is true",
        )
        holds(
            sorted(result) == expected,
            "differences does not name the facts in which both differ",
            "every name in both, with two values that are not equal",
        )
        holds(result == expected, "the names are not sorted", "sorted(…)")
