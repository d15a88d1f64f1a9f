"""Comparing pixels with their four neighbours and with limits, in depth (B, H, W) mm, 0 nothing."""

from collections.abc import Callable

import torch

NOTHING_MM = 1e6
"""Depth that stands for nothing where the smallest or largest of several is taken."""


def nearness(depth: torch.Tensor) -> torch.Tensor:
    """Return 1 / z, and 1 / `NOTHING_MM` for missing pixels."""
    return depth.reciprocal().nan_to_num_(posinf=1 / NOTHING_MM)


def nearest_around(depth: torch.Tensor) -> torch.Tensor:
    """Return the smallest depth of a pixel and its four neighbours; missing is `NOTHING_MM`."""
    return over_neighbours(nearness(depth), torch.maximum).reciprocal_()


def over_neighbours(values: torch.Tensor, which: Callable[..., torch.Tensor]) -> torch.Tensor:
    """Return `which` (torch.minimum or torch.maximum) of a pixel and its four neighbours."""
    found = values.clone()
    for axis in (1, 2):
        size = values.shape[axis] - 1
        for mine, its in ((0, 1), (1, 0)):
            part = found.narrow(axis, mine, size)
            which(part, values.narrow(axis, its, size), out=part)
    return found


def above(values: torch.Tensor, limit: float | torch.Tensor) -> torch.Tensor:
    """Return 1.0 where values > limit, else 0.0: faster than `torch.where` on a CPU."""
    return torch.gt(values, limit, out=torch.empty_like(values))
