"""The coordinates of a pose file: pixels and depth or points in space, millimetres or metres.

Files do not state them, but the numbers show them: joints in pixels lie inside the image and are
never negative, points in space lie on all sides of the optical axis; a hand at 0.7 is in metres,
one at 700 in millimetres; a negative depth means an axis that points at the camera, as in MSRA's
labels.
"""

from collections.abc import Sequence

import torch

from handpose_lib.camera import Camera, uvd_to_xyz

UVD, XYZ = "uvd", "xyz"
INSIDE = 0.9
"""A file holds pixels if at least this share of its numbers, taken as pixels, is inside the image.
Of points in space, about a quarter is.
"""
METRES = 20.0
"""A median depth below it is in metres: no camera sees a hand at 20 mm, nor at 20 m."""


def of(points: torch.Tensor, camera: Camera) -> str:
    """Return 'uvd' or 'xyz', for numbers (N, J, 3) of a file of frames of this camera."""
    u, v = points[..., 0], points[..., 1]
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    return UVD if inside.double().mean() >= INSIDE else XYZ


def unit(points: torch.Tensor) -> float:
    """Return the unit of the depth of numbers (N, J, 3) in mm: 1 or 1000."""
    return 1000.0 if points[..., 2].abs().median() < METRES else 1.0


def to_mm(points: torch.Tensor, space: str, intrinsics: Sequence[float]) -> torch.Tensor:
    """Return the numbers (N, J, 3) of a file in mm, x right and z forward.

    y keeps its direction if the file holds x y z. `intrinsics`: fx, fy, u0, v0 in pixels, for files
    in pixels. A depth of 0 becomes the point (0, 0, 0).
    """
    scale = unit(points)
    if space == UVD:
        points = points * points.new_tensor([1.0, 1.0, scale])
        return uvd_to_xyz(points, points.new_tensor(intrinsics), check=False)
    points = points * scale
    return points * points.new_tensor([1.0, -1.0, -1.0]) if points[..., 2].median() < 0 else points
