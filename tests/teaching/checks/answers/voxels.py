"""Answers to the exercises of the chapter on voxels."""

import torch

from handpose_lib.nets import likelihood
from handpose_lib.prepare import voxels as library


def occupy(points, centre, cube, size, toward=torch.floor):
    voxel = toward(((points - centre) / cube + 0.5) * size).long()
    x, y, z = voxel[((voxel >= 0) & (voxel < size)).all(1)].T
    volume = torch.zeros(size, size, size)
    volume[z, y, x] = 1
    return volume


def occupied_by_a_loop(points, centre, cube, size):
    volume = torch.zeros(size, size, size, dtype=torch.int64)
    for point in points.tolist():
        i, j, k = (int((p - c + cube / 2) // (cube / size)) for p, c in zip(point, centre.tolist()))
        if min(i, j, k) >= 0 and max(i, j, k) < size:
            volume[k, j, i] = 1
    return volume


def occupied_and_clamped(points, centre, cube, size):
    x, y, z = (((points - centre) / cube + 0.5) * size).floor().long().clamp(0, size - 1).T
    volume = torch.zeros(size, size, size)
    volume[z, y, x] = 1
    return volume


def occupied_and_counted(points, centre, cube, size):
    voxel = (((points - centre) / cube + 0.5) * size).floor().long()
    volume = torch.zeros(size, size, size)
    for x, y, z in voxel[((voxel >= 0) & (voxel < size)).all(1)].tolist():
        volume[z, y, x] += 1
    return volume


def voxel_places(points, centre, cube, size):
    return (points - centre + cube / 2) / (cube / size) - 0.5


def librarys_places(points, centre, cube, size):
    return library.to_voxels((points - centre) / (cube / 2), size)


def gaussian_map(place, size, sigma):
    x, y, z = (-(torch.arange(size) - place[:, None]).square() / (2 * sigma**2)).exp()
    return z[:, None, None] * y[:, None] * x


def librarys_gaussian_map(place, size, sigma):
    return likelihood.gaussian_maps(place[None, None], size, sigma)[0, 0]


def gaussian_map_on_a_grid(
    place,
    size,
    sigma,
    square=lambda d, s: d.square().sum(-1) / (2 * s**2),
    order=lambda z, y, x: (x, y, z),
):
    grid = torch.meshgrid(*3 * [torch.arange(size)], indexing="ij")
    return torch.exp(-square(torch.stack(order(*grid), -1) - place, sigma))


def top_k(volume, k, clip=lambda h: h.clamp_min(0), order=lambda z, y, x: (x, y, z)):
    height, at = volume.flatten().topk(k)
    places = torch.stack(order(*torch.unravel_index(at, volume.shape)), -1).double()
    weight = clip(height)
    return (weight[:, None] * places).sum(0) / weight.sum()


def librarys_top_k(volume, k):
    return likelihood.top_k(volume[None, None], k)[0, 0]


def fitted_cube(points):
    low, high = points.amin(0), points.amax(0)
    return (low + high) / 2, (high - low).max()


def fitted_by_range(points):
    low, high = torch.aminmax(points, dim=0)
    return low + (high - low) / 2, float(max(high - low))


RIGHT = [
    ("occupy", occupy),
    ("occupy", occupied_by_a_loop),
    ("voxel_places", voxel_places),
    ("voxel_places", librarys_places),
    ("gaussian_map", gaussian_map),
    ("gaussian_map", librarys_gaussian_map),
    ("gaussian_map", gaussian_map_on_a_grid),
    ("top_k", top_k),
    ("top_k", librarys_top_k),
    ("fitted_cube", fitted_cube),
    ("fitted_cube", fitted_by_range),
]

WRONG = [
    ("occupy", lambda *a: occupy(*a).permute(2, 1, 0), "[z][y][x]"),
    ("occupy", occupied_and_counted, "nothing is counted"),
    ("occupy", occupied_and_clamped, "fills wrong voxels at the border"),
    ("occupy", lambda p, c, cube, size: occupy(p - c, 0 * c, cube, size)[None], "shape"),
    ("occupy", lambda p, c, cube, size: occupy(p, c, cube, size, torch.round), "take the floor"),
    ("voxel_places", lambda *a: voxel_places(*a) + 0.5, "its middle is 0"),
    ("voxel_places", lambda *a: voxel_places(*a) + 1, "do not add it"),
    ("voxel_places", lambda *a: (voxel_places(*a) + 0.5).floor(), "number of the voxel"),
    ("voxel_places", lambda *a: voxel_places(*a).round(), "number of the voxel"),
    ("voxel_places", lambda p, c, cube, size: (p - c) / cube * size, "corner of the cube"),
    ("voxel_places", lambda p, c, cube, size: (p / cube + 0.5) * size - 0.5, "subtract the centre"),
    ("gaussian_map", lambda *a: gaussian_map(*a).permute(2, 1, 0), "[z][y][x]"),
    (
        "gaussian_map",
        lambda *a: gaussian_map_on_a_grid(*a, square=lambda d, s: d.square().sum(-1) / (2 * s)),
        "squared in the exponent",
    ),
    (
        "gaussian_map",
        lambda *a: gaussian_map_on_a_grid(*a, square=lambda d, s: d.square().sum(-1) / s**2),
        "2 below",
    ),
    (
        "gaussian_map",
        lambda *a: gaussian_map_on_a_grid(
            *a, square=lambda d, s: d.square().sum(-1).sqrt() / (2 * s**2)
        ),
        "with its square",
    ),
    ("gaussian_map", lambda *a: gaussian_map(*a) / gaussian_map(*a).sum(), "height 1"),
    ("gaussian_map", lambda p, n, s: gaussian_map(p - 0.5, n, s), "whole numbers"),
    ("gaussian_map", lambda p, n, s: gaussian_map(p.round(), n, s), "do not round"),
    (
        "gaussian_map",
        lambda p, n, s: sum(
            e.reshape(shape)
            for e, shape in zip(
                (-(torch.arange(n) - p[:, None]).square() / (2 * s**2)).exp(),
                ((1, 1, -1), (1, -1, 1), (-1, 1, 1)),
            )
        ),
        "multiply",
    ),
    ("top_k", lambda *a: top_k(*a, order=lambda z, y, x: (z, y, x)), "order is x, y, z"),
    ("top_k", lambda *a: top_k(*a, clip=lambda h: torch.ones_like(h)), "weight each voxel"),
    ("top_k", lambda v, k: top_k(v, 1), "highest voxel alone"),
    (
        "top_k",
        lambda v, k: top_k(v, k) * v.flatten().topk(k).values.clamp_min(0).sum(),
        "sum of the heights",
    ),
    ("top_k", lambda *a: top_k(*a, clip=lambda h: h.softmax(0)), "soft-max"),
    ("top_k", lambda *a: top_k(*a, clip=lambda h: h), "clip the heights"),
    ("fitted_cube", lambda p: p.mean(0), "two things"),
    ("fitted_cube", lambda p: (p.mean(0), fitted_cube(p)[1]), "the mean lies"),
    ("fitted_cube", lambda p: (p.median(0).values, fitted_cube(p)[1]), "the median lies"),
    ("fitted_cube", lambda p: (p.amin(0), fitted_cube(p)[1]), "lowest corner"),
    ("fitted_cube", lambda p: (2 * fitted_cube(p)[0], fitted_cube(p)[1]), "half of the sum"),
    ("fitted_cube", lambda p: (fitted_cube(p)[0], p.amax(0) - p.amin(0)), "one side"),
    (
        "fitted_cube",
        lambda p: (fitted_cube(p)[0], (p.amax(0) - p.amin(0)).min()),
        "take the largest",
    ),
    ("fitted_cube", lambda p: (fitted_cube(p)[0], fitted_cube(p)[1] / 2), "half the side"),
    ("fitted_cube", lambda p: (fitted_cube(p)[0], (p.amax(0) - p.amin(0)).norm()), "diagonal"),
    ("fitted_cube", lambda p: (fitted_cube(p)[0], p.max() - p.min()), "per axis"),
]
