"""Likelihoods of points in volumes and maps: drawing Gaussian and bone maps, decoding points again.

Volumes are (B, J, D, H, W), stored [z][y][x], with points (x, y, z); maps are (B, J, H, W) with
points (x, y). Points are counted in voxels: the middle of the first voxel is 0. All points are
drawn and decoded at once, each from its own volume only.
"""

import math
from collections.abc import Iterator

import torch

from handpose_lib.errors import HandPoseError

TINY = 1e-12
"""Values of a Gaussian below are set to 0: products of three would be subnormal numbers, which are
slow on many processors.
"""


def gaussian_maps(points: torch.Tensor, size: int, sigma: float) -> torch.Tensor:
    """Return exp(−|v − point|² / 2σ²) for every voxel v.

    `points`: (B, J, 3) or (B, J, 2), in voxels, as `sigma`. Returns (B, J, size, size, size) or
    (B, J, size, size), computed as a product of one Gaussian per axis.
    Errors: other shapes, a size or sigma that is not above 0. Source: V2V-PoseNet, Eq. 1.
    """
    _check_drawing(size, sigma, points)
    steps = torch.arange(size, dtype=points.dtype, device=points.device)
    each = (-(steps - points[..., None]).square() / (2 * sigma**2)).exp()  # (B, J, 3, size)
    each = each.masked_fill(each < TINY, 0)
    product = math.prod(_profiles(each))  # x · y first: one large product, with z
    assert isinstance(product, torch.Tensor)  # of at least one axis
    return product


def log_gaussian_maps(points: torch.Tensor, size: int, sigma: float) -> torch.Tensor:
    """Return −|v − point|² / 2σ² for every voxel v: the logarithm of `gaussian_maps`.

    It never vanishes, so that its soft-max is a distribution wherever the point is. Shapes and
    errors as of `gaussian_maps`.
    """
    _check_drawing(size, sigma, points)
    steps = torch.arange(size, dtype=points.dtype, device=points.device)
    return _total(-(steps - points[..., None]).square() / (2 * sigma**2))


def bone_maps(start: torch.Tensor, end: torch.Tensor, size: int, sigma: float) -> torch.Tensor:
    """Return exp(−d² / 2σ²) for every voxel at distance d from the segment from `start` to `end`.

    `start`, `end`: (B, M, 3) or (B, M, 2), in voxels. Returns (B, M, size, size, size) or
    (B, M, size, size).
    Errors: as of `gaussian_maps`, ends of another shape. Source: Structure-Aware 3D Hourglass,
    Section 3.4.
    """
    _check_drawing(size, sigma, start)
    if end.shape != start.shape:
        raise HandPoseError(
            f"ends of shape {tuple(end.shape)}: accepted is the starts' {tuple(start.shape)}"
        )
    axes = start.shape[-1]
    steps = torch.arange(size, dtype=start.dtype, device=start.device)
    bone, away = end - start, steps - start[..., None]  # (B, M, 3), (B, M, 3, size)
    length2 = bone.square().sum(-1).reshape(*bone.shape[:2], *[1] * axes)
    along = _total(away * bone[..., None])  # ⟨v − start, bone⟩
    share = (along / length2.clamp_min(1e-12)).clamp_(0, 1)  # where on the segment
    distance2 = _total(away.square()) - share * (2 * along - share * length2)
    return distance2.clamp_min_(0).mul_(-1 / (2 * sigma**2)).exp_()


def arg_max(volume: torch.Tensor) -> torch.Tensor:
    """Return the highest voxel of each volume: (B, J, D, H, W) → (B, J, 3), whole numbers.

    Of a map: (B, J, H, W) → (B, J, 2).
    """
    return _points(_flat(volume).argmax(-1), volume)


def top_k(volume: torch.Tensor, k: int) -> torch.Tensor:
    """Return the mean of the k highest voxels, weighted by their heights: (B, J, 3) or (B, J, 2).

    Heights below 0 count as 0; without a positive height the highest voxel alone counts.
    Errors: a k that is not 1 to the number of voxels. Source: Structure-Aware 3D Hourglass,
    Section 3.5.
    """
    flat = _flat(volume)
    if not isinstance(k, int) or not 1 <= k <= flat.shape[-1]:
        raise HandPoseError(f"k {k!r}: accepted are 1 to {flat.shape[-1]}, the voxels of a volume")
    height, index = flat.topk(k)
    weight = height.clamp_min(0)
    total = weight.sum(-1, keepdim=True)
    first = torch.arange(k, device=volume.device) == 0
    weight = torch.where(total > 0, weight / total, first.to(weight.dtype))
    return (weight[..., None] * _points(index, volume)).sum(-2)


def soft_arg_max(volume: torch.Tensor, sharpness: float = 1.0) -> torch.Tensor:
    """Return the mean of all voxels under softmax(sharpness · volume): (B, J, 3) or (B, J, 2).

    It is differentiable. Errors: a sharpness that is not above 0.
    Source: Sun et al., Integral Human Pose Regression (ECCV 2018).
    """
    if not 0 < sharpness < math.inf:
        raise HandPoseError(f"sharpness {sharpness!r}: accepted are finite numbers > 0")
    share = (sharpness * _flat(volume)).softmax(-1).reshape(volume.shape)
    each = []
    for axis in range(volume.ndim - 1, 1, -1):  # x is the last axis of the volume
        profile = share.sum([other for other in range(2, volume.ndim) if other != axis])
        steps = torch.arange(volume.shape[axis], dtype=volume.dtype, device=volume.device)
        each.append((profile * steps).sum(-1))
    return torch.stack(each, -1)


def _profiles(each: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield x, y and z as volumes (or maps) that are one voxel thick along the other axes.

    `each`: (B, J, axes, size), a profile along each axis.
    """
    axes = each.shape[2]
    for axis in range(axes):
        shape = [1] * axes
        shape[axes - 1 - axis] = -1  # x is the last axis of the volume
        yield each[:, :, axis].reshape(*each.shape[:2], *shape)


def _total(each: torch.Tensor) -> torch.Tensor:
    """Return the sum of the terms of all axes at every voxel; `each`: (B, J, axes, size)."""
    total = sum(_profiles(each))
    assert isinstance(total, torch.Tensor)  # of at least one axis
    return total


def _points(index: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
    """Return the points (..., 3) or (..., 2) at positions in the flattened volume, in its type."""
    each = []
    for side in reversed(volume.shape[2:]):
        each.append(index % side)
        index = index // side
    return torch.stack(each, -1).to(volume.dtype)


def _flat(volume: torch.Tensor) -> torch.Tensor:
    if volume.ndim not in (4, 5):
        raise HandPoseError(
            f"likelihoods of shape {tuple(volume.shape)}: accepted are (B, J, D, H, W) and (B, J,"
            " H, W)"
        )
    return volume.flatten(2)


def _check_drawing(size: int, sigma: float, points: torch.Tensor) -> None:
    if not isinstance(size, int) or size < 1:
        raise HandPoseError(f"size {size!r}: accepted is a number of voxels from 1 on")
    if not 0 < sigma < math.inf:
        raise HandPoseError(f"sigma {sigma!r}: accepted are finite numbers of voxels > 0")
    if points.ndim != 3 or points.shape[-1] not in (2, 3):
        raise HandPoseError(
            f"points of shape {tuple(points.shape)}: accepted are (B, J, 3) and (B, J, 2)"
        )
