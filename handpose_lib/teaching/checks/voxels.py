"""Checks of the chapter on voxels."""

from collections.abc import Callable

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    require,
    shaped,
    uniform,
)

__all__ = ["check", "require"]

MIRRORED = "store it as [z][y][x]: the depth comes first, the row second, the column last"


@exercise("occupy", chapter="voxels")
def occupy(student: Student, generator: torch.Generator) -> None:
    """occupy(points (N, 3), centre (3,), cube, size) -> (size, size, size): 0 or 1, [z][y][x]."""
    size, cube = (
        int(torch.randint(5, 9, (1,), generator=generator)),
        float(uniform(generator, (), 150, 300)),
    )
    centre = uniform(generator, (3,), -60, 60) + torch.tensor(
        [0.0, 0.0, 500.0], dtype=torch.float64
    )
    # Not near the walls of voxels, where rounding would decide; with points that share a voxel, and
    # some outside.
    voxel = torch.randint(0, size, (30, 3), generator=generator)
    inside = voxel + uniform(generator, voxel.shape, 0.1, 0.9)
    inside = torch.cat((inside, inside[:5]))
    outside = uniform(generator, (12, 3), 0.1, size - 0.1)
    beyond = torch.cat(
        (uniform(generator, (6,), -size, -0.1), uniform(generator, (6,), size + 0.1, 2 * size))
    )
    outside[torch.arange(12), torch.randint(0, 3, (12,), generator=generator)] = beyond

    def to_mm(place):
        return centre + (place / size - 0.5) * cube

    expected, rounded = _filled(voxel, size), inside.round().long()

    result = student(to_mm(inside), centre, cube, size)
    shaped(result, (size,) * 3)
    equal(
        result.double(),
        expected,
        "a voxel must be 1 if a point lies in it, and 0 if none does",
        hint="voxel = floor((p − centre + cube / 2) / (cube / size)) on each axis",
        mistakes={
            MIRRORED: expected.permute(2, 1, 0),
            "a voxel with several points is 1 as well: nothing is counted": _filled(
                torch.cat((voxel, voxel[:5])), size, accumulate=True
            ),
            "take the floor: voxel i reaches from i to i + 1, and rounding moves half of the"
            " points on": _filled(rounded[(rounded < size).all(1)], size),
        },
    )
    mixed = student(torch.cat((to_mm(outside), to_mm(inside))), centre, cube, size)
    equal(
        mixed.double(),
        expected,
        "a point outside the cube must not fill a voxel",
        hint=(
            "keep only the points whose three indices are all in 0 … size − 1: a negative index"
            " counts from the end, and clamping the indices fills wrong voxels at the border"
        ),
    )
    holds(
        float(student(to_mm(outside), centre, cube, size).double().sum()) == 0,
        "without a point inside, the cube must be empty",
    )


def _filled(voxel, size, accumulate=False):
    """(size, size, size) with a 1 in each of these voxels (N, 3) of x, y, z; or with how often each
    is named.
    """
    volume = torch.zeros((size,) * 3, dtype=torch.float64)
    return volume.index_put_(
        tuple(voxel.flip(-1).T), torch.ones(len(voxel), dtype=torch.float64), accumulate
    )


@exercise("voxel_places", chapter="voxels")
def voxel_places(student: Student, generator: torch.Generator) -> None:
    """voxel_places(points (N, 3), centre (3,), cube, size) -> (N, 3) in voxels; the middle of voxel
    k is k.
    """
    size, cube = (
        int(torch.randint(8, 90, (1,), generator=generator)),
        float(uniform(generator, (), 150, 300)),
    )
    centre = uniform(generator, (3,), -60, 60) + torch.tensor(
        [0.0, 0.0, 500.0], dtype=torch.float64
    )
    points = centre + uniform(generator, (9, 3), -0.7, 0.7) * cube
    expected = ((points - centre) / cube + 0.5) * size - 0.5
    equal(
        student(points, centre, cube, size),
        expected,
        "the places are not those of the points in voxels",
        hint="count from the near corner, centre − cube / 2, in voxels of cube / size",
        mistakes={
            "the corner of voxel 0 must be −1/2, not 0: its middle is 0": expected + 0.5,
            "the middle of voxel k lies half a voxel after its corner: subtract 1/2, do not"
            " add it": (expected + 1),
            "that is the number of the voxel: leave the place real-valued": (
                (expected + 0.5).floor()
            ),
            "count from the corner of the cube, not from its centre": (
                (points - centre) / cube * size
            ),
            "subtract the centre of the cube first": (points / cube + 0.5) * size - 0.5,
        },
    )


@exercise("gaussian_map", chapter="voxels")
def gaussian_map(student: Student, generator: torch.Generator) -> None:
    """gaussian_map(place (3,), size, sigma) -> (size, size, size): exp(−|v − place|² / 2σ²),
    stored [z][y][x].
    """
    size, sigma = (
        int(torch.randint(7, 12, (1,), generator=generator)),
        float(uniform(generator, (), 0.8, 2.0)),
    )
    place = uniform(generator, (3,), 0.5, size - 1.5)
    square = _square(place, size)
    expected = (-square / (2 * sigma**2)).exp()
    equal(
        student(place, size, sigma),
        expected,
        "the volume is not exp(−|v − place|² / 2σ²)",
        hint="one Gaussian along each axis, over arange(size), and their product",
        mistakes={
            MIRRORED: expected.permute(2, 1, 0),
            "σ is squared in the exponent": (-square / (2 * sigma)).exp(),
            "the exponent has a 2 below, 2σ²": (-square / sigma**2).exp(),
            "the map has height 1: do not divide by its sum": expected / expected.sum(),
            "the distance enters with its square": (-square.sqrt() / (2 * sigma**2)).exp(),
            "the middle of voxel k is at k: use whole numbers": (
                (-_square(place - 0.5, size) / (2 * sigma**2)).exp()
            ),
            "do not round the place: the map shows where in its voxel a joint lies": (
                (-_square(place.round(), size) / (2 * sigma**2)).exp()
            ),
            "that is the sum of three Gaussians: multiply them": _over_axes(
                lambda v: (-v.square() / (2 * sigma**2)).exp(), place, size
            ),
        },
        atol=1e-6,
    )


def _square(place: torch.Tensor, size: int) -> torch.Tensor:
    """Return (size, size, size), the squared distance of each voxel from the place."""
    return _over_axes(torch.square, place, size)


def _over_axes(
    profile: Callable[[torch.Tensor], torch.Tensor], place: torch.Tensor, size: int
) -> torch.Tensor:
    """Return the sum over the three axes of a function of the distance from the place."""
    x, y, z = (_along(profile(torch.arange(size) - p), axis) for axis, p in enumerate(place))
    return x + y + z


def _along(profile: torch.Tensor, axis: int) -> torch.Tensor:
    """Return a profile of x (0), y (1) or z (2) in a volume [z][y][x]."""
    shape = [1, 1, 1]
    shape[2 - axis] = len(profile)
    return profile.reshape(shape)


@exercise("top_k", chapter="voxels")
def top_k(student: Student, generator: torch.Generator) -> None:
    """top_k(volume (D, H, W), k) -> (3,) x, y, z: the mean of the k highest voxels, weighted by
    their height.
    """
    sides, k = (6, 7, 8), int(torch.randint(4, 20, (1,), generator=generator))
    volume = uniform(generator, sides, 0, 1).square()
    order = volume.flatten().argsort(descending=True)[:k]
    places = torch.stack((order % 8, order // 8 % 7, order // 56), -1).double()
    height = volume.flatten()[order][:, None]
    expected = (height * places).sum(0) / height.sum()
    equal(
        student(volume, k),
        expected,
        "the place is not the mean of the k highest voxels, weighted by their height",
        hint="torch.topk of the flattened volume gives heights and positions; x = position % W",
        mistakes={
            "the order is x, y, z, and the volume's axes are z, y, x": expected.flip(0),
            "weight each voxel by its height": places.mean(0),
            "that is the highest voxel alone": places[0],
            "divide by the sum of the heights": (height * places).sum(0),
            "that is the soft-max of the heights: the weights are the heights over their sum": (
                (height.softmax(0) * places).sum(0)
            ),
        },
    )
    equal(student(volume, 1), places[0], "with k = 1 it must be the highest voxel")
    partly = volume - height[k // 2]  # about half of the heights are left above zero
    chosen = (height - height[k // 2]).clamp_min(0)
    equal(
        student(partly, k),
        (chosen * places).sum(0) / chosen.sum(),
        "a negative height must have no weight",
        hint="clip the heights at 0 before weighting: a network's output may be negative",
    )


@exercise("fitted_cube", chapter="voxels")
def fitted_cube(student: Student, generator: torch.Generator) -> None:
    """fitted_cube(points (N, 3)) -> (centre (3,), side): the middle of the points' box, and its
    largest extent.
    """
    points = uniform(generator, (50, 3), -1, 1).pow(3) * uniform(
        generator, (3,), 40, 120
    ) + uniform(generator, (3,), 100, 500)
    points[:20] -= 30.0  # so that the mean is not the middle
    result = student(points)
    holds(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "the result must be two things: centre, then side",
    )
    centre, side = (torch.as_tensor(value, dtype=torch.float64) for value in result)
    low, high = points.amin(0), points.amax(0)
    extent = high - low
    equal(
        centre,
        (low + high) / 2,
        "the centre is not the middle of the points' box",
        mistakes={
            "the mean lies where most points are, and would leave some outside: take the"
            " middle of lowest and highest": points.mean(0),
            "the median lies where most points are, and would leave some outside: take the"
            " middle of lowest and highest": (points.median(0).values),
            "add half of the extent to the lowest corner": low,
            "take half of the sum": low + high,
        },
    )
    holds(
        side.ndim == 0,
        "the side is not one number",
        "a cube has one side: the largest of the three extents",
    )
    equal(
        side,
        extent.max(),
        "the side is not the largest extent of the points",
        mistakes={
            "the smallest extent leaves points outside: take the largest": extent.min(),
            "that is half the side": extent.max() / 2,
            "that is the diagonal of the box": extent.norm(),
            "extents are differences of highest and lowest, per axis": points.max() - points.min(),
        },
    )
