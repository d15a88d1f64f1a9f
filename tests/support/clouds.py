"""The points of crops, from the definition of a camera."""

import torch

from handpose_lib.camera import uvd_to_xyz
from handpose_lib.frames import Crops


def points(crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pixels of the windows as points (B, S², 3) mm, and which are measured, (B, S²)."""
    v, u = torch.meshgrid(*(torch.arange(n) for n in crops.depth.shape[1:]), indexing="ij")
    uv = torch.stack((u, v), -1).flatten(0, 1) + crops.origin[:, None]
    depth = crops.depth.flatten(1)
    return uvd_to_xyz(torch.cat((uv, depth[..., None]), -1), crops.camera, check=False), depth > 0
