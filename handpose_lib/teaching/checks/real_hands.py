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
