"""The pinhole camera: between millimetres in the camera frame and pixels of a depth image.

Camera frame: x right, y down, z forward, in mm. Pixels: u right, v down, zero-based; the centre of
the first pixel is (0, 0). A depth of 0 means "not measured".
"""

from dataclasses import dataclass

import torch

from handpose_lib.errors import HandPoseError


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal lengths and principal point in pixels, image size in pixels."""

    fx: float
    fy: float
    u0: float
    v0: float
    width: int
    height: int

    def __post_init__(self):
        if not (0 < self.fx < float("inf") and 0 < self.fy < float("inf")):
            raise HandPoseError(
                f"focal lengths ({self.fx}, {self.fy}): accepted are finite pixels above 0"
            )
        if not (abs(self.u0) < float("inf") and abs(self.v0) < float("inf")):
            raise HandPoseError(
                f"principal point ({self.u0}, {self.v0}): accepted are finite pixels"
            )
        if not (self.width >= 1 and self.height >= 1):
            raise HandPoseError(
                f"image size {self.width}×{self.height}: accepted is at least 1×1 pixel"
            )

    def intrinsics(self, like: torch.Tensor | None = None) -> torch.Tensor:
        """Return (4,) [fx, fy, u0, v0], in the dtype and on the device of `like`."""
        values = [self.fx, self.fy, self.u0, self.v0]
        return torch.tensor(values) if like is None else like.new_tensor(values)


def xyz_to_uvd(
    xyz: torch.Tensor, camera: Camera | torch.Tensor, check: bool = True
) -> torch.Tensor:
    """Project points: u = u0 + fx x / z, v = v0 + fy y / z, d = z.

    `xyz` (..., 3) in mm; `camera` a `Camera`, a (4,) tensor, or (B, 4) for `xyz` (B, N, 3).
    Returns (..., 3): pixels, pixels, mm. Errors: a last axis that is not 3, a depth that is not a
    finite number above 0 (`check=False` leaves this out: it makes a GPU wait).
    """
    fx, fy, u0, v0 = _intrinsics(xyz, camera, check)
    x, y, z = xyz.unbind(-1)
    return torch.stack((u0 + fx * x / z, v0 + fy * y / z, z), -1)


def uvd_to_xyz(
    uvd: torch.Tensor, camera: Camera | torch.Tensor, check: bool = True
) -> torch.Tensor:
    """Back-project pixels with depth: the inverse of `xyz_to_uvd`, with its shapes and errors."""
    fx, fy, u0, v0 = _intrinsics(uvd, camera, check)
    u, v, d = uvd.unbind(-1)
    return torch.stack(((u - u0) * d / fx, (v - v0) * d / fy, d), -1)


def depth_to_points(depth: torch.Tensor, camera: Camera | torch.Tensor) -> torch.Tensor:
    """Back-project a depth image (..., H, W) in mm to points (..., H, W, 3) in mm.

    A pixel that was not measured (0) becomes the point (0, 0, 0). With a (B, 4) `camera` the images
    are (B, H, W). Errors: fewer than two axes, negative or non-finite depth.
    """
    if depth.ndim < 2:
        raise HandPoseError(f"depth of shape {tuple(depth.shape)}: accepted is (..., H, W)")
    if not bool(((depth >= 0) & torch.isfinite(depth)).all()):
        raise HandPoseError(
            "depth with negative or non-finite values: accepted are millimetres ≥ 0, 0 = not"
            " measured"
        )
    height, width = depth.shape[-2:]
    grid = pixel_grid(height, width, depth).expand(*depth.shape, 2)
    uvd = torch.cat((grid, depth[..., None]), -1).flatten(-3, -2)
    return uvd_to_xyz(uvd, camera, check=False).reshape(*depth.shape, 3)


def pixel_grid(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Return (H, W, 2), the coordinates (u, v) of the pixel centres, in the dtype of `like`."""
    v = torch.arange(height, dtype=like.dtype, device=like.device)
    u = torch.arange(width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), -1)


def _intrinsics(points: torch.Tensor, camera: Camera | torch.Tensor, check: bool):
    """Return fx, fy, u0, v0, each ready to broadcast against a coordinate of `points`."""
    if points.ndim < 1 or points.shape[-1] != 3:
        raise HandPoseError(f"points of shape {tuple(points.shape)}: accepted is (..., 3)")
    if check and not bool(((points[..., 2] > 0) & torch.isfinite(points[..., 2])).all()):
        raise HandPoseError(
            "points with a depth that is not a finite number above 0 mm cannot be projected"
        )
    if isinstance(camera, Camera):
        return camera.fx, camera.fy, camera.u0, camera.v0
    if camera.shape == (4,):
        return camera.to(points).unbind(-1)
    if (
        camera.ndim == 2
        and camera.shape[1] == 4
        and points.ndim >= 2
        and len(camera) == len(points)
    ):
        shape = (len(camera),) + (1,) * (points.ndim - 2)
        return [value.reshape(shape) for value in camera.to(points).unbind(-1)]
    raise HandPoseError(
        f"camera of shape {tuple(camera.shape)} for points {tuple(points.shape)}: "
        "accepted are a Camera, (4,), or (B, 4) for points (B, ..., 3)"
    )
