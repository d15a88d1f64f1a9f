"""What the numbers of a pose file mean: pixels and depth or points in space, millimetres or metres.

The files do not say. The numbers do: joints in pixels lie inside the image and are never negative,
points in space lie to all sides of the optical axis; a hand at 0.7 is in metres, one at 700 in
millimetres; and a depth below zero looks along an axis that points at the viewer, as MSRA's labels
do.
"""

import torch

from handpose_lib.camera import Camera, uvd_to_xyz

UVD, XYZ = "uvd", "xyz"
INSIDE = 0.9
"""Share of joints inside the image from which on a file holds pixels. Points in space lie there for
a quarter of it.
"""
METRES = 20.0
"""Depths below it, in the median, are metres: no camera sees a hand at 20 mm, nor at 20 m."""


def of(points: torch.Tensor, camera: Camera) -> str:
    """'uvd' or 'xyz', for numbers (N, J, 3) as they stand in a file of frames of this camera."""
    u, v = points[..., 0], points[..., 1]
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    return UVD if inside.double().mean() >= INSIDE else XYZ


def unit(points: torch.Tensor) -> float:
    """Millimetres in the unit of the depth of numbers (N, J, 3): 1 or 1000."""
    return 1000.0 if points[..., 2].abs().median() < METRES else 1.0


def to_mm(points: torch.Tensor, space: str, intrinsics) -> torch.Tensor:
    """Numbers (N, J, 3) of a file → mm, x right and z forward; y as in the file if it holds x y z.

    `intrinsics`: fx, fy, u0, v0 in pixels, for pixels. A depth of 0 becomes the point (0, 0, 0).
    """
    scale = unit(points)
    if space == UVD:
        points = points * points.new_tensor([1.0, 1.0, scale])
        return uvd_to_xyz(points, points.new_tensor(intrinsics), check=False)
    points = points * scale
    return points * points.new_tensor([1.0, -1.0, -1.0]) if points[..., 2].median() < 0 else points
