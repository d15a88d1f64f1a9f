"""Voxels: which cells of the cube a depth image fills, and coordinates counted in voxels.

A cube of size³ voxels spans the normalised coordinates [-1, 1]³ of `view.xyz_to_cube`, in which
nothing is distorted by perspective: voxel i covers [-1 + 2i/size, -1 + 2(i + 1)/size). The measured
pixels of the window become points, the points go through the view, and only then are they put into
voxels: a turned or enlarged view costs no resolution, and volumes and joints share one map. Volumes
are stored [z][y][x]; coordinates are (x, y, z), and the middle of voxel k is k.
"""

from dataclasses import replace

import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.prepare.view import cube_to_xyz, xyz_to_cube

ROOM = 1 + 1 / 1024
"""Side of a fitted cube over the extent of its points: the outermost points lie in the last voxels,
not beside them.
"""


def occupancy(crops: Crops, size: int) -> torch.Tensor:
    """Return which voxels hold a measured point: (B, 1, size, size, size), 1 or 0.

    Pixels without depth and points outside the cube fill nothing. The type is that of the depth.
    Errors: a size that is not a whole number above 0. Source: V2V-PoseNet, Section 5.
    """
    if not isinstance(size, int) or size < 1:
        raise HandPoseError(f"size {size!r}: accepted is a number of voxels from 1 on")
    batch, side = crops.depth.shape[:2]
    row, column = _candidates(crops)  # (n,) and (n,)
    frame, z = row // side, crops.depth.take(row * side + column)
    # A point is z · (a, b, 1), a from its column and b from its row. Its voxel is then of the form
    # z · (a' + b') plus an offset that depends on the frame alone.
    across, down = _rays(crops)
    linear, offset = _to_voxel(crops, size)
    index, inside = frame, z > 0
    for axis in (2, 1, 0):  # ((frame, z), y), x
        of_column = across * linear[:, 0, axis, None]  # (B, S)
        of_row = down * linear[:, 1, axis, None] + linear[:, 2, axis, None]
        voxel = (
            (of_column.take(frame * side + column) + of_row.take(row))
            .mul_(z)
            .add_(offset[:, axis].take(frame))
            .floor_()
        )
        inside &= (voxel >= 0) & (voxel < size)
        index = index * size + voxel.long()
    # Points outside fill a voxel behind the last one, which is then left out.
    volume = crops.depth.new_zeros(batch * size**3 + 1)
    volume.index_fill_(0, torch.where(inside, index, batch * size**3), 1.0)
    return volume[:-1].reshape(batch, 1, size, size, size)


def fit_cloud(crops: Crops) -> Crops:
    """Return the crops in the smallest cubes that hold their points.

    The centre is the middle of the points' bounding box, and the side its largest extent. The box
    is parallel to the axes of the view: points and cube are what rotation and aspect made of them,
    and no point of the old cube is outside the new one. The points are those inside the old cube,
    which is parallel to the axes of the camera. A frame whose points have no extent keeps its cube.
    Source: Structure-Aware 3D Hourglass, Section 3.1.
    """
    points, measured = _points(crops)
    half = (crops.cube / 2)[:, None, None]
    inside = (((points - crops.centre[:, None]).abs() <= half).all(-1) & measured)[..., None]
    seen = xyz_to_cube(points, crops)
    low = seen.masked_fill(~inside, torch.inf).amin(1)
    high = seen.masked_fill(~inside, -torch.inf).amax(1)
    side = (high - low).amax(-1) * (crops.cube / 2) * ROOM
    found = side > 0  # without points it is −∞
    middle = torch.where(found[:, None], (low + high) / 2, torch.zeros_like(low))
    return replace(
        crops,
        centre=cube_to_xyz(middle[:, None], crops)[:, 0],
        cube=torch.where(found, side, crops.cube),
    )


def to_voxels(n: torch.Tensor, size: int) -> torch.Tensor:
    """Return normalised coordinates (..., 3) in voxels: −1 becomes −1/2, 1 becomes size − 1/2."""
    return (n + 1) * (size / 2) - 0.5


def from_voxels(position: torch.Tensor, size: int) -> torch.Tensor:
    """Return the normalised coordinates of positions in voxels: the inverse of `to_voxels`."""
    return (position + 0.5) * (2 / size) - 1


def _candidates(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pixels that may lie in the cubes: rows (n,) and columns (n,).

    Rows are counted over all windows. On a CPU these are the pixels in the cube's range of depth,
    usually a tenth of all. On other devices all pixels are kept: selecting some would wait for the
    device to count them.
    """
    if crops.depth.device.type != "cpu":
        side = crops.depth.shape[-1]
        pixel = torch.arange(crops.depth.numel(), device=crops.depth.device)
        return pixel // side, pixel % side
    middle = crops.centre[:, 2, None, None]
    reach = (crops.cube / 2)[:, None, None] + 1  # 1 mm more than rounding may need
    near = (crops.depth > (middle - reach).clamp_min(0)) & (crops.depth < middle + reach)
    row, column = near.flatten(0, 1).nonzero().unbind(1)
    return row, column


def _to_voxel(crops: Crops, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the affine map voxel = xyz @ linear + offset, (B, 3, 3) and (B, 3).

    It follows from where the view maps four points.
    """
    far = 1024.0  # mm, as large as the points, so that differences keep their precision
    corners = torch.cat((crops.centre.new_zeros(1, 3), far * torch.eye(3).to(crops.centre)))
    n = (xyz_to_cube(corners.expand(len(crops), 4, 3), crops) + 1) * (size / 2)
    return (n[:, 1:] - n[:, :1]) / far, n[:, 0]


def _points(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the windows' pixels as points (B, S², 3) mm, and which were measured, (B, S²)."""
    across, down = _rays(crops)
    z = crops.depth
    points = torch.stack((z * across[:, None], z * down[:, :, None], z), -1)
    return points.flatten(1, 2), (z > 0).flatten(1)


def _rays(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x/z of the columns and y/z of the rows of the windows, each (B, S)."""
    fx, fy, u0, v0 = crops.camera[:, :, None].unbind(1)
    pixel = torch.arange(crops.depth.shape[-1], dtype=crops.depth.dtype, device=crops.depth.device)
    return (pixel + crops.origin[:, :1] - u0) / fx, (pixel + crops.origin[:, 1:] - v0) / fy
