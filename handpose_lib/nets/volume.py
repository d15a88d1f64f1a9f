"""Blocks of the networks that see voxels, and the same blocks for images: `dimensions` is 3 or 2.

Feature maps are (B, C, D, H, W), or (B, C, H, W) in two dimensions. Every convolution has a bias,
and batch norms are PyTorch's, as in the Torch codes of V2V-PoseNet (Moon et al., CVPR 2018) and of
the stacked hourglass (Newell et al., ECCV 2016), whose blocks these are.
"""

from collections.abc import Sequence

import torch
from torch import nn

from handpose_lib.errors import one_of

_Kinds = tuple[
    type[nn.Conv2d | nn.Conv3d],
    type[nn.BatchNorm2d | nn.BatchNorm3d],
    type[nn.MaxPool2d | nn.MaxPool3d],
    type[nn.ConvTranspose2d | nn.ConvTranspose3d],
]
_KINDS: dict[int, _Kinds] = {
    2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.ConvTranspose3d),
}


def conv(
    channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, dimensions: int = 3
) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution with bias, of an odd kernel, that divides the size by `stride`."""
    return _kinds(dimensions)[0](channels_in, channels_out, kernel, stride, padding=kernel // 2)


def conv_bn(
    channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, dimensions: int = 3
) -> nn.Sequential:
    """Return a convolution and batch norm."""
    return nn.Sequential(
        conv(channels_in, channels_out, kernel, stride, dimensions),
        _kinds(dimensions)[1](channels_out),
    )


def conv_bn_relu(
    channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, dimensions: int = 3
) -> nn.Sequential:
    """Return a convolution, batch norm and ReLU: the basic block of V2V-PoseNet."""
    return nn.Sequential(
        *conv_bn(channels_in, channels_out, kernel, stride, dimensions), nn.ReLU(inplace=True)
    )


def max_pool(dimensions: int = 3) -> nn.Module:
    """Return max pooling of 2×2×2 voxels with stride 2."""
    return _kinds(dimensions)[2](2)


def up_bn_relu(channels_in: int, channels_out: int, dimensions: int = 3) -> nn.Sequential:
    """Return a transposed convolution 2×2×2 with stride 2, batch norm and ReLU.

    Every voxel becomes eight.
    """
    _, norm, _, transposed = _kinds(dimensions)
    return nn.Sequential(
        transposed(channels_in, channels_out, 2, 2), norm(channels_out), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two convolutions 3×3×3 of the full width; ReLU follows the sum.

    The shortcut is a 1×1×1 where the width changes. Source: V2V-PoseNet.
    """

    def __init__(self, channels_in: int, channels_out: int, dimensions: int = 3):
        super().__init__()
        self.body = nn.Sequential(
            *conv_bn_relu(channels_in, channels_out, 3, dimensions=dimensions),
            *conv_bn(channels_out, channels_out, 3, dimensions=dimensions),
        )
        self.shortcut = (
            nn.Identity()
            if channels_in == channels_out
            else conv_bn(channels_in, channels_out, dimensions=dimensions)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.body(x) + self.shortcut(x)).relu_()


class Bottleneck(nn.Module):
    """Pre-activation bottleneck 1, 3, 1 of half the output width; nothing follows the sum.

    Source: stacked hourglass.
    """

    def __init__(self, channels_in: int, channels_out: int, dimensions: int = 3):
        super().__init__()
        inner, norm = channels_out // 2, _kinds(dimensions)[1]
        self.body = nn.Sequential(
            norm(channels_in),
            nn.ReLU(),
            conv(channels_in, inner, dimensions=dimensions),
            norm(inner),
            nn.ReLU(inplace=True),
            conv(inner, inner, 3, dimensions=dimensions),
            norm(inner),
            nn.ReLU(inplace=True),
            conv(inner, channels_out, dimensions=dimensions),
        )
        self.shortcut = (
            nn.Identity()
            if channels_in == channels_out
            else conv(channels_in, channels_out, dimensions=dimensions)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)


class EncoderDecoder(nn.Module):
    """Halve and double a volume, wider at each level: (B, channels[0], D, H, W) → the same shape.

    `channels`: one width per level, at least two; (32, 64, 128) are the paper's. Each level has a
    residual on the skip, one that widens after the pooling, and one after the sum; `bottom`
    residuals lie at the lowest. Sides are multiples of 2^(levels − 1). Source: V2V-PoseNet.
    """

    def __init__(self, channels: Sequence[int], bottom: int = 2, dimensions: int = 3):
        super().__init__()
        here, below = channels[:2]
        self.skip = Residual(here, here, dimensions)
        self.down = nn.Sequential(max_pool(dimensions), Residual(here, below, dimensions))
        self.inner = (
            EncoderDecoder(channels[1:], bottom, dimensions)
            if len(channels) > 2
            else nn.Sequential(*(Residual(below, below, dimensions) for _ in range(bottom)))
        )
        self.up = up_bn_relu(below, here, dimensions)
        self.after = Residual(here, here, dimensions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.up(self.inner(self.down(x))) + self.skip(x))


def _kinds(dimensions: int) -> _Kinds:
    """Return convolution, batch norm, pooling and transposed convolution of images or volumes."""
    return _KINDS[one_of("number of dimensions", dimensions, _KINDS)]
