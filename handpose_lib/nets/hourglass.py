"""The hourglass of residual modules: down in steps and up again, with a skip at every size.

Feature maps are (B, C, H, W), or (B, C, D, H, W) in three dimensions.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib.nets.blocks import max_pool_same


class Hourglass(nn.Module):
    """Halve a feature map `depth` times and double it again, a block on every path.

    block       makes a module from its channels in and out, here `channels` both: a residual
    pool        halves a map before the block of the path down; None: `blocks.max_pool_same`
    bottom      one more block below the lowest level
    up_first    make the block of the path up before the levels below: this order decides which
                first weights a seed draws

    The output has the shape of the input; 3·`depth` blocks, and one more with `bottom`. With
    `max_pool_same` any size works (24 → 12 → 6 → 3): an odd axis loses the last doubled row on the
    way up. Source: stacked hourglass (Newell et al. 2016).
    """

    def __init__(
        self,
        block: Callable[[int, int], nn.Module],
        channels: int,
        depth: int,
        pool: nn.Module | None = None,
        bottom: bool = False,
        up_first: bool = False,
    ):
        super().__init__()
        self.pooled = pool is not None
        self.skip = block(channels, channels)
        down = block(channels, channels)
        self.down = down if pool is None else nn.Sequential(pool, down)
        if up_first:
            self.up = block(channels, channels)
        if depth > 1:
            self.inner = Hourglass(block, channels, depth - 1, pool, bottom, up_first)
        else:
            self.inner = block(channels, channels) if bottom else nn.Identity()
        if not up_first:
            self.up = block(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.down(x if self.pooled else max_pool_same(x))
        low = self.up(self.inner(low))
        return self.skip(x) + F.interpolate(low, size=x.shape[2:], mode="nearest")
