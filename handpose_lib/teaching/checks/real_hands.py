"""Checks of the chapter on the network for real depth images."""

import torch

from handpose_lib.teaching.checks import Student, check, equal, exercise, require, uniform

__all__ = ["check", "require"]


@exercise("cone_distance", chapter="real_hands")
def cone_distance(student: Student, generator: torch.Generator) -> None:
    """cone_distance(points, a, radius_a, b, radius_b) -> distances (N,) of points (N, 3) from the
    surface of a round cone with the spheres at a and b (3,), negative inside.
    """
    a, b = uniform(generator, (3,), -20, 0), uniform(generator, (3,), 20, 50)
    radius_a, radius_b = 6.0, 17.0
    points = uniform(generator, (400, 3), -70, 90)
    axis = b - a
    length = axis.norm()
    slope = (radius_b - radius_a) / length
    foot = (points - a) @ axis / length
    height = ((points - a).square().sum(-1) - foot.square()).clamp_min(0).sqrt()
    shift = height * slope / (1 - slope**2) ** 0.5

    def apart(along: torch.Tensor, ends: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        share = along / length
        share = share.clamp(0, 1) if ends else share
        away = (points - a - share[:, None] * axis).norm(dim=-1)
        return away, radius_a + share * (radius_b - radius_a)

    def gap(along: torch.Tensor, ends: bool = True) -> torch.Tensor:
        away, radius = apart(along, ends)
        return away - radius

    away, radius = apart(foot + shift)
    equal(
        student(points, a, radius_a, b, radius_b),
        away - radius,
        "cone_distance is not the distance from the surface",
        hint=(
            "find the sphere whose surface is nearest: the foot of the perpendicular, shifted"
            " towards the larger end, but not beyond an end; then subtract its radius"
        ),
        mistakes={
            "the nearest sphere is not at the foot of the perpendicular: shift it": gap(foot),
            "the shift goes towards the larger end": gap(foot - shift),
            "the cone ends at its spheres: keep the share between 0 and 1": gap(
                foot + shift, ends=False
            ),
            "this is the distance from the axis: subtract the radius there": away,
            "negative inside, positive outside": radius - away,
            "a point inside has a negative distance, not its absolute value": (away - radius).abs(),
            "the radius changes along the axis": away - radius_a,
        },
    )


@exercise("rank_correlation", chapter="real_hands")
def rank_correlation(student: Student, generator: torch.Generator) -> None:
    """rank_correlation(a, b) -> number: the correlation of the ranks of a and b, both (N,)."""
    a = uniform(generator, (60,), 0, 1).exp()
    b = a**3 + uniform(generator, (60,), 0, 8)

    def correlation(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x, y = x - x.mean(), y - y.mean()
        return (x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()

    def ranks(x: torch.Tensor) -> torch.Tensor:
        return x.argsort().argsort().double()

    rho = correlation(ranks(a), ranks(b))
    equal(
        torch.as_tensor(student(a, b), dtype=torch.float64),
        rho,
        "rank_correlation is not the correlation of the ranks",
        hint="the rank of a value is the number of smaller ones; correlate these numbers",
        mistakes={
            "this correlates the values: replace them by their ranks first": correlation(a, b),
            "one argsort gives the order, not the ranks: sort the order once more": correlation(
                a.argsort().double(), b.argsort().double()
            ),
            "the square of a correlation has lost its sign": rho**2,
            "it falls where the other one rises: the sign is wrong": -rho,
        },
    )
    equal(
        torch.as_tensor(student(a, (1 + a).log()), dtype=torch.float64),
        torch.ones((), dtype=torch.float64),
        "if one rises with the other, the rank correlation is 1, however curved the relation",
    )
