"""The view: one map between the camera frame and a network's coordinates, for images and joints.

Normalised coordinates n = (x, y, z) span the cube of a crop with [-1, 1]³. With p the distance in
pixels from the projected centre and h = (fx, fy) · cube/2 / centre_z the half-extent of the cube in
pixels (its size at the depth of its centre, as DeepPrior++ crops):

    q = p / h,   q_x ← mirror · q_x,   q ← R(rotation) q
    n = (aspect · q_x, q_y, (d − centre_z) / (cube/2))

The same map with q = (x − centre_x, y − centre_y) / (cube/2) in mm serves methods that work on
points or voxels: `xyz_to_cube`. Images and joints use one and the same map, so that augmentation,
which only changes the view, cannot pull them apart.
"""

import torch

from handpose_lib.camera import uvd_to_xyz, xyz_to_uvd
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops


def to_view(xyz: torch.Tensor, crops: Crops) -> torch.Tensor:
    """Return normalised coordinates of the image view for points in the camera frame.

    (B, N, 3) mm → (B, N, 3). Errors: another shape.
    """
    uvd = xyz_to_uvd(_points(xyz, crops), crops.camera, check=False)
    q = (uvd[..., :2] - centre_pixel(crops)[:, None]) / half_extent(crops)[:, None]
    return _normalise(q, uvd[..., 2], crops)


def from_view(n: torch.Tensor, crops: Crops) -> torch.Tensor:
    """Return the points of normalised coordinates (B, N, 3), mm: the inverse of `to_view`."""
    q, d = _denormalise(_points(n, crops), crops)
    uv = q * half_extent(crops)[:, None] + centre_pixel(crops)[:, None]
    return uvd_to_xyz(torch.cat((uv, d[..., None]), -1), crops.camera, check=False)


def xyz_to_cube(xyz: torch.Tensor, crops: Crops) -> torch.Tensor:
    """Return normalised coordinates of the cube for points in the camera frame.

    They are free from perspective. (B, N, 3) mm → (B, N, 3). Errors: another shape.
    """
    xyz = _points(xyz, crops)
    q = (xyz[..., :2] - crops.centre[:, None, :2]) / (crops.cube / 2)[:, None, None]
    return _normalise(q, xyz[..., 2], crops)


def cube_to_xyz(n: torch.Tensor, crops: Crops) -> torch.Tensor:
    """Return the points of normalised coordinates (B, N, 3), mm: the inverse of `xyz_to_cube`."""
    q, d = _denormalise(_points(n, crops), crops)
    xy = q * (crops.cube / 2)[:, None, None] + crops.centre[:, None, :2]
    return torch.cat((xy, d[..., None]), -1)


def image(crops: Crops, size: int, background: float = 1.0) -> torch.Tensor:
    """Return the normalised depth image of the view: (B, 1, size, size) in [-1, 1].

    Pixel k has the normalised coordinate (k + 0.5) · 2/size − 1 and takes the nearest pixel of the
    window: interpolating would invent surfaces between a finger and its background. Depth in front
    of the cube's front face becomes −1; pixels that lie behind the back face, were not measured, or
    are outside the window become `background`.
    """
    n = (torch.arange(size, dtype=crops.depth.dtype, device=crops.depth.device) + 0.5) * (
        2 / size
    ) - 1
    linear, offset = _view_to_window(crops)
    # One row and one column for each crop: little is left to compute for every pixel.
    along, down = linear[..., :1] * n + offset[..., None], linear[..., 1:] * n
    column, row = (along[:, axis, None] + down[:, axis, :, None] for axis in (0, 1))
    z = _nearest(crops.depth, column, row)
    empty = z <= 0
    z.sub_(crops.centre[:, 2, None, None]).div_((crops.cube / 2)[:, None, None])
    empty |= z > 1
    return z.clamp_(min=-1).masked_fill_(empty, background)[:, None]


def centre_pixel(crops: Crops) -> torch.Tensor:
    """Return the projection of the cube's centre, (B, 2) in pixels of the full image."""
    return xyz_to_uvd(crops.centre, crops.camera, check=False)[:, :2]


def half_extent(crops: Crops) -> torch.Tensor:
    """Return half the side of the cube in pixels at the depth of its centre, (B, 2)."""
    return crops.camera[:, :2] * (crops.cube / 2 / crops.centre[:, 2])[:, None]


def _normalise(q: torch.Tensor, d: torch.Tensor, crops: Crops) -> torch.Tensor:
    """Return normalised coordinates (B, N, 3).

    `q`: (B, N, 2) positions in half extents; `d`: (B, N) depth in mm.
    """
    x, y = q[..., 0] * crops.mirror[:, None], q[..., 1]
    cos, sin = crops.rotation.cos()[:, None], crops.rotation.sin()[:, None]
    z = (d - crops.centre[:, 2:]) / (crops.cube / 2)[:, None]
    return torch.stack((crops.aspect[:, None] * (cos * x - sin * y), sin * x + cos * y, z), -1)


def _denormalise(n: torch.Tensor, crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inverse of `_normalise`: (B, N, 3) → (B, N, 2) and (B, N)."""
    x, y = n[..., 0] / crops.aspect[:, None], n[..., 1]
    cos, sin = crops.rotation.cos()[:, None], crops.rotation.sin()[:, None]
    q = torch.stack((crops.mirror[:, None] * (cos * x + sin * y), cos * y - sin * x), -1)
    return q, n[..., 2] * (crops.cube / 2)[:, None] + crops.centre[:, 2:]


def _view_to_window(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the affine map window pixel = linear · n_xy + offset: (B, 2, 2) and (B, 2)."""
    cos, sin = crops.rotation.cos(), crops.rotation.sin()
    inverse = torch.stack(
        (crops.mirror * cos / crops.aspect, crops.mirror * sin, -sin / crops.aspect, cos), -1
    )
    linear = inverse.reshape(-1, 2, 2) * half_extent(crops)[:, :, None]
    return linear, centre_pixel(crops) - crops.origin


def _nearest(window: torch.Tensor, column: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Return the pixels of `window` (B, S, S) nearest to columns and rows (B, N, N); 0 outside."""
    side = window.shape[-1] + 2
    # Columns and rows outside are clamped to this frame of zeros.
    framed = torch.nn.functional.pad(window, (1, 1, 1, 1))
    column, row = column.clamp_(-1, side - 2).round_(), row.clamp_(-1, side - 2).round_()
    index = row.mul_(side).add_(column).add_(side + 1).long()
    return framed.flatten(1).gather(1, index.flatten(1)).reshape(column.shape)


def _points(points: torch.Tensor, crops: Crops) -> torch.Tensor:
    if points.ndim != 3 or points.shape[-1] != 3 or len(points) != len(crops):
        raise HandPoseError(
            f"points of shape {tuple(points.shape)} for {len(crops)} crops: accepted is "
            f"({len(crops)}, N, 3)"
        )
    return points
