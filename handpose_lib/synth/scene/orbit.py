"""What a second camera sees: the camera goes round a pivot, so the scene turns about it the other
way.

The pivot lies `pivot` mm before each camera, on its optical axis, and all cameras look at it from
the same height. Products are spelled out, so that a row has the same bits alone and in any batch.
"""

import math

import torch

from handpose_lib.synth.hands.hand import Hand


def seen_from(hand: Hand, degrees: float, pivot: float) -> Hand:
    """Return the same hands in the frame of a camera `degrees` to the right."""
    return hand.mapped(lambda points: turned(points, degrees, pivot))


def turned(points: torch.Tensor, degrees: float, pivot: float) -> torch.Tensor:
    """Return points (..., 3) mm of the first camera's frame in that of the other."""
    x, y, z = directed(points - points.new_tensor([0.0, 0.0, pivot]), degrees).unbind(-1)
    return torch.stack([x, y, z + pivot], -1)


def directed(vectors: torch.Tensor, degrees: float) -> torch.Tensor:
    """Return directions (..., 3) of the first camera's frame in that of the other."""
    x, y, z = vectors.unbind(-1)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.stack([c * x + s * z, y, c * z - s * x], -1)


def turned_cones(cones: torch.Tensor, degrees: float, pivot: float) -> torch.Tensor:
    """Return round cones (B, N, 8) in the other frame."""
    a, b = turned(cones[..., :3], degrees, pivot), turned(cones[..., 4:7], degrees, pivot)
    return torch.cat([a, cones[..., 3:4], b, cones[..., 7:]], -1)


def turned_planes(planes: torch.Tensor, degrees: float, pivot: float) -> torch.Tensor:
    """Return planes (B, 4), n.p = d, in the other frame: n'.p' = d + n'.c - n.c, pivot c."""
    normal = directed(planes[:, :3], degrees)
    return torch.cat([normal, planes[:, 3:] + pivot * (normal[:, 2:] - planes[:, 2:3])], -1)
