"""Cone-shaped heat maps of single points: drawing them, and decoding the points again.

Points are (column, row) in pixels of the map; the middle of the first pixel is (0, 0).
"""

import torch


def cones(points: torch.Tensor, height: int, width: int, radius: float) -> torch.Tensor:
    """Return max(1 − distance to the point / radius, 0) for every pixel.

    `points`: (B, J, 2); returns (B, J, height, width).
    """
    column = torch.arange(width, dtype=points.dtype, device=points.device)
    row = torch.arange(height, dtype=points.dtype, device=points.device)
    across = (column - points[..., :1]).square()[..., None, :]  # (B, J, 1, width)
    down = (row - points[..., 1:]).square()[..., :, None]  # (B, J, height, 1)
    return (1 - (across + down).sqrt() / radius).clamp_min(0)


def peaks(heat: torch.Tensor, radius: float) -> torch.Tensor:
    """Return the peak of each map, to a fraction of a pixel: (B, J, H, W) → (B, J, 2).

    It is the mean of the pixels around the highest one, within half the `radius` of its cone plus
    one pixel, each weighted by its value minus half the highest value.
    """
    height, width = heat.shape[-2:]
    flat = heat.flatten(2)
    top, index = flat.max(-1)
    column, row = _pixels(
        torch.arange(height * width, device=heat.device), width, heat.dtype
    )  # (H·W,)
    middle = torch.stack(_pixels(index, width, heat.dtype), -1)  # (B, J, 2)
    near = (column - middle[..., :1]).square() + (row - middle[..., 1:]).square() <= (
        radius / 2 + 1
    ) ** 2
    weight = (flat - top[..., None] / 2).clamp_min(0) * near
    total = weight.sum(-1)
    mean = (
        torch.stack(((weight * column).sum(-1), (weight * row).sum(-1)), -1)
        / total.clamp_min(1e-12)[..., None]
    )
    # In a map without positive values nothing has weight: its highest pixel is the peak.
    return torch.where(total[..., None] > 0, mean, middle)


def at(heat: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the value of each map at the pixels nearest to K points of its own, 0 outside.

    (B, J, H, W), (B, J, K, 2) → (B, J, K).
    """
    height, width = heat.shape[-2:]
    column, row = points.round().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
    return heat.flatten(2).gather(2, index) * inside


def _pixels(
    index: torch.Tensor, width: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return column and row of positions in the flattened map."""
    return (index % width).to(dtype), (index // width).to(dtype)
