"""Checks of the chapter on building blocks."""

import torch

from handpose_lib.teaching.checks import Student, check, equal, exercise, holds, normal, require

__all__ = ["check", "require"]


@exercise("conv_parameters", chapter="building_blocks")
def conv_parameters(student: Student, generator: torch.Generator) -> None:
    """conv_parameters(kernel, dimensions, channels_in, channels_out, bias) -> number of weights."""
    kernel, i, o = (_draw(generator, *limits) for limits in ((4, 7), (3, 40), (41, 80)))
    for dimensions in (2, 3):
        for bias in (False, True):
            expected = kernel**dimensions * i * o + bias * o
            equal(
                _number(student(kernel, dimensions, i, o, bias)),
                _number(expected),
                f"a {dimensions}D convolution {'with' if bias else 'without'} bias has another"
                " number of weights",
                hint="each output channel has a kernel for each input channel",
                mistakes={
                    "each output channel sees all input channels: multiply the two": _number(
                        kernel**dimensions * (i + o) + bias * o
                    ),
                    "the kernel is as wide in every dimension: kernel ** dimensions": _number(
                        kernel * dimensions * i * o + bias * o
                    ),
                    "a kernel in 3D has three sides": _number(kernel**2 * i * o + bias * o),
                    "a bias is one number per output channel": _number(
                        kernel**dimensions * i * o + bias * i
                    ),
                    "with bias=True there is one more number per output channel": _number(
                        kernel**dimensions * i * o
                    ),
                    "a bias only with bias=True": _number(kernel**dimensions * i * o + o),
                },
            )


@exercise("hourglass_sides", chapter="building_blocks")
def hourglass_sides(student: Student, generator: torch.Generator) -> None:
    """hourglass_sides(size, depth) -> [size, …, lowest, …, size]: 2·depth + 1 sides, halved
    rounding up.
    """
    for size, depth in (
        (24, 3),
        (_draw(generator, 33, 64), 4),
        (2 * _draw(generator, 10, 20) + 1, 2),
    ):
        down = [size]
        for _ in range(depth):
            down.append(-(-down[-1] // 2))
        expected = down + down[-2::-1]
        found = student(size, depth)
        holds(isinstance(found, (list, tuple)), "the result is not a list of sides")
        found = [int(side) for side in found]
        hint = (
            "an odd side is padded before pooling: half of it is rounded up"
            if found == _floored(size, depth)
            else (
                "those are only the sides before the enlargement"
                if found == down
                else (
                    "the smallest side appears once"
                    if found == down + down[::-1]
                    else (
                        "enlargement restores the side that each level had before pooling"
                        if found[: depth + 1] == down
                        else ""
                    )
                )
            )
        )
        holds(
            found == expected,
            f"a side of {size} through an hourglass of depth {depth} must be {expected}",
            hint,
        )


@exercise("attention_pool", chapter="building_blocks")
def attention_pool(student: Student, generator: torch.Generator) -> None:
    """attention_pool(scores (B, H, W), features (B, C, H, W)) -> (B, C): mean weighted by the
    soft-max over the pixels.
    """
    scores, features = 2 * normal(generator, (2, 4, 5)), normal(generator, (2, 3, 4, 5))

    def pooled(weights):
        return (weights[:, None] * features).sum((2, 3))

    weights = scores.flatten(1).softmax(-1).reshape(scores.shape)
    equal(
        student(scores, features),
        pooled(weights),
        "the result must be the weighted mean of the pixels' features",
        hint="soft-max over all pixels of a map, then a sum of weight times feature",
        mistakes={
            "that is a soft-max over each row: flatten both axes of pixels first": pooled(
                scores.softmax(-1)
            ),
            "that is a sum: soft-max weights already make it a mean, exp alone does not": pooled(
                scores.exp()
            ),
            "that is the plain mean: weight the pixels": features.mean((2, 3)),
            "those are sigmoid masks: use a soft-max over all pixels": pooled(scores.sigmoid()),
            "the weights sum to 1: no further division": pooled(weights) / 20,
        },
    )
    same = features[:, :, :1, :1].expand_as(features)
    holds(
        torch.allclose(student(scores, same.clone()).double(), same[:, :, 0, 0], atol=1e-5),
        "where all pixels have the same feature, the mean must be that feature, whatever the"
        " scores",
    )


@exercise("graph_convolution", chapter="building_blocks")
def graph_convolution(student: Student, generator: torch.Generator) -> None:
    """graph_convolution(features (B, N, C), edges (N, N), weight (C, D)) -> (B, N, D): ReLU(AFW)"""
    features, edges, weight = (
        normal(generator, (2, 5, 3)),
        normal(generator, (5, 5)),
        normal(generator, (3, 4)),
    )
    plain = edges @ features @ weight
    equal(
        student(features, edges, weight),
        plain.relu(),
        "the result is not ReLU(A F W)",
        hint="edges @ features @ weight, and no negative number",
        mistakes={
            "the ReLU is missing": plain,
            "row n of the edges has the weights of the neighbours of node n: no transpose": (
                (edges.T @ features @ weight).relu()
            ),
            "the edges are missing: a node uses only its own features": (features @ weight).relu(),
            "that is a ReLU before the nodes are mixed: it comes last": (
                edges @ (features @ weight).relu()
            ),
        },
    )
    order = torch.randperm(5, generator=generator)
    holds(
        torch.allclose(
            student(features[:, order], edges[order][:, order], weight).double(),
            plain.relu()[:, order],
            atol=1e-5,
        ),
        "giving the nodes other numbers must change nothing else",
    )


def _floored(size, depth):
    down = [size // 2**level for level in range(depth + 1)]
    return down + down[-2::-1]


def _number(value: float | torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(float(value), dtype=torch.float64)


def _draw(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=generator))
