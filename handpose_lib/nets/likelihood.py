"""Likelihoods of places in volumes and maps: bells and tubes drawn, single places read out again.

Volumes are (B, J, D, H, W), stored [z][y][x], with places (x, y, z); maps are (B, J, H, W) with
places (x, y). The middle of the first voxel is 0. Everything is drawn and read for all places at
once. No read-out looks at more than its own volume.
"""

import math

import torch

from handpose_lib.errors import HandPoseError

TINY = 1e-12
"""Heights of a bell below are 0: products of three would reach numbers so small that processors
become slow.
"""


def gaussian_maps(places: torch.Tensor, size: int, sigma: float) -> torch.Tensor:
    """exp(−|v − place|² / 2σ²) for every voxel v: places (B, J, 3) → (B, J, size, size, size),
    (B, J, 2) → maps.

    A bell is a product of one bell per axis. `sigma` in voxels. Source: V2V-PoseNet, Eq. 1. Errors:
    other shapes, a size or sigma that is not above 0.
    """
    _check_drawing(size, sigma, places)
    steps = torch.arange(size, dtype=places.dtype, device=places.device)
    each = (-(steps - places[..., None]).square() / (2 * sigma**2)).exp()  # (B, J, 3, size)
    each = each.masked_fill(each < TINY, 0)
    return math.prod(_profiles(each))  # x · y first: one large product, with z


def log_gaussian_maps(places: torch.Tensor, size: int, sigma: float) -> torch.Tensor:
    """−|v − place|² / 2σ², the logarithm of `gaussian_maps`, which never vanishes: softmax of it is a
    distribution anywhere.
    """
    _check_drawing(size, sigma, places)
    steps = torch.arange(size, dtype=places.dtype, device=places.device)
    return _total(-(steps - places[..., None]).square() / (2 * sigma**2))


def bone_maps(start: torch.Tensor, end: torch.Tensor, size: int, sigma: float) -> torch.Tensor:
    """exp(−d² / 2σ²), d the distance from the voxel to a segment: ends (B, M, 3) →
    (B, M, size, size, size), 2D alike.

    Source: the bone maps of the Structure-Aware 3D Hourglass, Section 3.3. Errors: as of `gaussian_maps`,
    ends of two shapes.
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
    """The place of the highest voxel: (B, J, D, H, W) → (B, J, 3) whole numbers, (B, J, H, W) →
    (B, J, 2).
    """
    return _places(_flat(volume).argmax(-1), volume)


def top_k(volume: torch.Tensor, k: int) -> torch.Tensor:
    """The mean of the k highest voxels, each weighted by its height, what is negative by nothing:
    (B, J, 3) or (B, J, 2).

    Without any height it is the highest voxel. Source: Structure-Aware 3D Hourglass, Section 3.5.
    Errors: a k that is not 1 to the number of voxels.
    """
    flat = _flat(volume)
    if not isinstance(k, int) or not 1 <= k <= flat.shape[-1]:
        raise HandPoseError(f"k {k!r}: accepted are 1 to {flat.shape[-1]}, the voxels of a volume")
    height, index = flat.topk(k)
    weight = height.clamp_min(0)
    total = weight.sum(-1, keepdim=True)
    first = torch.arange(k, device=volume.device) == 0
    weight = torch.where(total > 0, weight / total, first.to(weight.dtype))
    return (weight[..., None] * _places(index, volume)).sum(-2)


def soft_arg_max(volume: torch.Tensor, sharpness: float = 1.0) -> torch.Tensor:
    """The mean of all voxels under softmax(sharpness · volume): (B, J, 3) or (B, J, 2), and
    differentiable.

    Source: Sun et al., Integral Human Pose Regression (ECCV 2018). Errors: a sharpness that is not
    above 0.
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


def _profiles(each: torch.Tensor):
    """(B, J, axes, size), a profile along each axis → x, y and z, as volumes (or maps) one voxel
    thick in the others.
    """
    axes = each.shape[2]
    for axis in range(axes):
        shape = [1] * axes
        shape[axes - 1 - axis] = -1  # x is the last axis of the volume
        yield each[:, :, axis].reshape(*each.shape[:2], *shape)


def _total(each: torch.Tensor) -> torch.Tensor:
    """(B, J, axes, size) terms of each axis → their sum at every voxel."""
    return sum(_profiles(each))


def _places(index: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
    """Positions in the flattened volume → (..., 3) or (..., 2) places in the type of the volume."""
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


def _check_drawing(size, sigma, places) -> None:
    if not isinstance(size, int) or size < 1:
        raise HandPoseError(f"size {size!r}: accepted is a number of voxels from 1 on")
    if not 0 < sigma < math.inf:
        raise HandPoseError(f"sigma {sigma!r}: accepted are finite numbers of voxels > 0")
    if places.ndim != 3 or places.shape[-1] not in (2, 3):
        raise HandPoseError(
            f"places of shape {tuple(places.shape)}: accepted are (B, J, 3) and (B, J, 2)"
        )
