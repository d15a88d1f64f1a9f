"""Residual attention: a trunk of features and a soft mask over them (Wang et al., CVPR 2017).

All units are pre-activation bottlenecks. A module of the original's Attention-56 has p = 1, t = 2,
r = 1. Choices that the paper leaves open follow its released definition: one unit after the fusion,
a unit on each skip within the mask, bilinear up-sampling, two 1×1 convolutions before the sigmoid.

Feature maps are (B, C, H, W).
"""

import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib.nets.blocks import BatchNorm, Conv, max_pool_same


class Unit(nn.Module):
    """Pre-activation bottleneck 1×1, 3×3, 1×1 of a quarter of the output width.

    (B, C, H, W) → (B, C', ⌈H/stride⌉, ⌈W/stride⌉). Batch norm and ReLU come before each
    convolution, and nothing after the sum. The shortcut is the input itself, or a 1×1 convolution
    of the normalised input where width or size change.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        inner = channels_out // 4
        self.before = norm_relu(channels_in)
        self.body = nn.Sequential(
            Conv(channels_in, inner),
            norm_relu(inner),
            Conv(inner, inner, kernel=3, stride=stride),
            norm_relu(inner),
            Conv(inner, channels_out),
        )
        same = channels_in == channels_out and stride == 1
        self.shortcut = None if same else Conv(channels_in, channels_out, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.before(x)
        return self.body(y) + (x if self.shortcut is None else self.shortcut(y))


class Mask(nn.Module):
    """The mask branch, an hourglass that ends in a sigmoid: (B, C, H, W) → the same, in [0, 1].

    The map is halved and doubled `poolings` times, at least once, with `units` units (the paper's
    r) between neighbouring poolings.
    """

    def __init__(self, channels: int, poolings: int, units: int = 1):
        super().__init__()
        self.hourglass = _Level(channels, poolings, units)
        self.logits = nn.Sequential(
            norm_relu(channels),
            Conv(channels, channels),
            norm_relu(channels),
            Conv(channels, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(self.hourglass(x)).sigmoid()


class AttentionModule(nn.Module):
    """Weigh every value of the trunk's features T with a mask M: H = (1 + M) · T.

    `form` 'residual' as above, 'product' for H = M · T, 'none' for H = T without a mask branch.
    `before` units (p) precede the split, `trunk` units (t) make T, `mask_units` (r) lie between the
    mask's `poolings`.
    Returns H, after one more unit, and M (None for 'none').
    """

    def __init__(
        self,
        channels: int,
        poolings: int,
        form: str = "residual",
        before: int = 1,
        trunk: int = 2,
        mask_units: int = 1,
    ):
        super().__init__()
        self.form = form
        self.before = units_of(channels, before)
        self.trunk = units_of(channels, trunk)
        self.mask = None if form == "none" else Mask(channels, poolings, mask_units)
        self.after = Unit(channels, channels)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = self.before(x)
        features = self.trunk(x)
        if self.mask is None:
            return self.after(features), None
        mask = self.mask(x)
        return self.after((1 + mask if self.form == "residual" else mask) * features), mask


def norm_relu(channels: int) -> nn.Sequential:
    """Return batch norm and ReLU."""
    return nn.Sequential(BatchNorm(channels), nn.ReLU(inplace=True))


def units_of(channels: int, count: int) -> nn.Sequential:
    """Return `count` units, one after the other."""
    return nn.Sequential(*(Unit(channels, channels) for _ in range(count)))


class _Level(nn.Module):
    """Halve the map, apply the levels below, and enlarge it to the size of the input."""

    def __init__(self, channels: int, poolings: int, units: int):
        super().__init__()
        self.down = units_of(channels, units)
        self.skip = Unit(channels, channels) if poolings > 1 else None
        self.inner = _Level(channels, poolings - 1, units) if poolings > 1 else None
        self.up = units_of(channels, units)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.down(max_pool_same(x))
        if self.skip is not None and self.inner is not None:
            y = self.skip(y) + self.inner(y)
        return F.interpolate(self.up(y), size=x.shape[-2:], mode="bilinear", align_corners=False)
