"""The pixels on which a scene is drawn: a whole image, a window of one, a frame around either.

A camera sees beyond the border of its image, and errors of a sensor depend on neighbouring pixels.
So scenes are rendered with a margin, and what a window shows does not depend on where it ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from handpose_lib.camera import Camera


@dataclass(frozen=True)
class Raster:
    """B images of `size` (H, W).

    `lens`: (B, 4) [fx, fy, u0, v0] in pixels, the first pixel of each image being (0, 0). `anchor`:
    (B, 2) int64, the pixel (u, v) of the camera's whole image that this first pixel is. Noise
    belongs to the pixels of the whole image.
    """

    lens: torch.Tensor
    anchor: torch.Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.lens)

    def index(self, rows: torch.Tensor) -> Raster:
        """Return the images of `rows`, a tensor of indices."""
        return Raster(self.lens[rows], self.anchor[rows], self.size)

    def rays(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x (B, 1, W) and y (B, H, 1) of the rays (x, y, 1) through the pixel centres."""
        u, v = (
            torch.arange(n, dtype=self.lens.dtype, device=self.lens.device)
            for n in reversed(self.size)
        )
        fx, fy, u0, v0 = self.lens[:, :, None].unbind(1)
        return ((u - u0) / fx)[:, None], ((v - v0) / fy)[:, :, None]


def whole(camera: Camera, count: int, like: torch.Tensor, margin: tuple[int, int]) -> Raster:
    """Return `count` whole images with a `margin` of so many (rows, columns) on each side."""
    corner = torch.tensor([-margin[1], -margin[0]], device=like.device).expand(count, 2)
    size = (camera.height + 2 * margin[0], camera.width + 2 * margin[1])
    return placed(camera.intrinsics(like).expand(count, 4), corner, size)


def placed(camera: torch.Tensor, origin: torch.Tensor, size: tuple[int, int]) -> Raster:
    """Return windows whose first pixels are `origin` (B, 2) of the cameras (B, 4)."""
    lens = torch.cat([camera[:, :2], camera[:, 2:] - origin], 1)
    return Raster(lens, origin.long(), size)
