"""The residual module of DenseReg.

Feature maps are (B, C, H, W).
"""

import torch
from torch import nn

from handpose_lib.nets.blocks import conv_bn_relu


class Bottleneck(nn.Module):
    """Bottleneck 1×1, 3×3, 1×1 of half the *input* width; nothing follows the sum.

    Each convolution is followed by batch norm and ReLU.
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        inner = channels_in // 2
        self.body = nn.Sequential(
            conv_bn_relu(channels_in, inner),
            conv_bn_relu(inner, inner, kernel=3),
            conv_bn_relu(inner, channels_out),
        )
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else conv_bn_relu(channels_in, channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)
