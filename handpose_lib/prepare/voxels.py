"""Voxels: which cells of the cube a depth image fills, and places counted in them.

A cube of size³ voxels spans the normalised coordinates [-1, 1]³ of `view.xyz_to_cube`, in which nothing is distorted
by perspective: voxel i covers [-1 + 2i/size, -1 + 2(i + 1)/size). The measured pixels of the window become points, the
points go through the view, and only then are they put into voxels: a turned or enlarged view costs no resolution, and
volumes and joints share one map. Volumes are stored [z][y][x]; places are (x, y, z), and the middle of voxel k is k.
"""

from dataclasses import replace

import torch

from ..errors import HandPoseError
from ..frames import Crops
from .view import xyz_to_cube

ROOM = 1 + 1 / 1024
"""A fitted cube over the extent of its points, so that the outermost ones lie in the last voxels and not beside them."""


def occupancy(crops: Crops, size: int) -> torch.Tensor:
    """Which voxels hold a measured point: (B, 1, size, size, size), 1 or 0 in the type of the depth.

    Pixels without depth and points outside the cube fill nothing. Source: V2V-PoseNet, Section 5. Errors: a size that
    is not a whole number above 0.
    """
    _check_size(size)
    points, measured = _points(crops)
    voxel = (xyz_to_cube(points, crops) + 1).mul_(size / 2).floor_().long()
    inside = ((voxel >= 0) & (voxel < size)).all(-1) & measured
    x, y, z = voxel.unbind(-1)
    # What fills nothing fills a voxel behind the last one, which is then cut off: no frame waits for a count of points.
    index = torch.where(inside, (z * size + y) * size + x, size**3)
    volume = crops.depth.new_zeros(len(crops), size**3 + 1)
    return volume.scatter_(1, index, 1.0)[:, :-1].unflatten(1, (1, size, size, size))


def fit_cloud(crops: Crops) -> Crops:
    """`crops` in the cubes that just hold their points: centre in the middle of their box, side its largest extent.

    The points are those inside the old cube, and the box is along the axes of the camera; both disregard rotation,
    aspect and mirror of the view, which stay as they are, so that turning a view does not change what it is fitted to.
    A frame whose points have no extent keeps its cube. Source: Structure-Aware 3D Hourglass, Section 3.1.
    """
    points, measured = _points(crops)
    half = (crops.cube / 2)[:, None, None]
    inside = (((points - crops.centre[:, None]).abs() <= half).all(-1) & measured)[..., None]
    low = points.masked_fill(~inside, torch.inf).amin(1)
    high = points.masked_fill(~inside, -torch.inf).amax(1)
    side = (high - low).amax(-1) * ROOM
    found = side > 0                                        # without points it is −∞
    return replace(crops, centre=torch.where(found[:, None], (low + high) / 2, crops.centre),
                   cube=torch.where(found, side, crops.cube))


def to_voxels(n: torch.Tensor, size: int) -> torch.Tensor:
    """Normalised coordinates (..., 3) → places in voxels: -1 is -1/2, and 1 is size - 1/2."""
    return (n + 1) * (size / 2) - 0.5


def from_voxels(places: torch.Tensor, size: int) -> torch.Tensor:
    """The inverse of `to_voxels`."""
    return (places + 0.5) * (2 / size) - 1


def _points(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    """The pixels of the windows as points (B, S², 3) mm in the camera frame, and which of them were measured (B, S²)."""
    fx, fy, u0, v0 = crops.camera[:, :, None].unbind(1)
    pixel = torch.arange(crops.depth.shape[-1], dtype=crops.depth.dtype, device=crops.depth.device)
    # A table for the columns and one for the rows: what is done for every pixel should be little.
    across = (pixel + crops.origin[:, :1] - u0) / fx                                       # (B, S)
    down = (pixel + crops.origin[:, 1:] - v0) / fy
    z = crops.depth
    points = torch.stack((z * across[:, None], z * down[:, :, None], z), -1)
    return points.flatten(1, 2), (z > 0).flatten(1)


def _check_size(size) -> None:
    if not isinstance(size, int) or size < 1:
        raise HandPoseError(f"size {size!r}: accepted is a number of voxels from 1 on")
