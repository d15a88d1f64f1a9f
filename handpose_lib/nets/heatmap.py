"""Heat maps of single places, cones instead of bells: drawn, and read out again.

Places are (column, row) in pixels of the map; the middle of the first pixel is (0, 0).
"""

import torch


def cones(places: torch.Tensor, height: int, width: int, radius: float) -> torch.Tensor:
    """max(1 − distance / radius, 0): places (B, J, 2) → (B, J, height, width)."""
    column = torch.arange(width, dtype=places.dtype, device=places.device)
    row = torch.arange(height, dtype=places.dtype, device=places.device)
    across = (column - places[..., :1]).square()[..., None, :]  # (B, J, 1, width)
    down = (row - places[..., 1:]).square()[..., :, None]  # (B, J, height, 1)
    return (1 - (across + down).sqrt() / radius).clamp_min(0)


def peaks(heat: torch.Tensor, radius: float) -> torch.Tensor:
    """Where each map is highest, between the pixels: (B, J, H, W) → (B, J, 2).

    The mean of the pixels around the highest one, within half the `radius` of its cone and a pixel
    more, each with what it rises above half the height.
    """
    height, width = heat.shape[-2:]
    flat = heat.flatten(2)
    top, place = flat.max(-1)
    column, row = _pixels(
        torch.arange(height * width, device=heat.device), width, heat.dtype
    )  # (H·W,)
    middle = torch.stack(_pixels(place, width, heat.dtype), -1)  # (B, J, 2)
    near = (column - middle[..., :1]).square() + (row - middle[..., 1:]).square() <= (
        radius / 2 + 1
    ) ** 2
    weight = (flat - top[..., None] / 2).clamp_min(0) * near
    total = weight.sum(-1)
    mean = (
        torch.stack(((weight * column).sum(-1), (weight * row).sum(-1)), -1)
        / total.clamp_min(1e-12)[..., None]
    )
    return torch.where(
        total[..., None] > 0, mean, middle
    )  # a map without a height has no slope to weigh


def at(heat: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Each map at the pixels nearest to K places of its own, 0 outside: (B, J, H, W), (B, J, K, 2)
    → (B, J, K).
    """
    height, width = heat.shape[-2:]
    column, row = places.round().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
    return heat.flatten(2).gather(2, index) * inside


def _pixels(index, width, dtype):
    return (index % width).to(dtype), (index // width).to(dtype)
