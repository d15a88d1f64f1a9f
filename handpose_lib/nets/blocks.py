"""Convolutions as in the papers' TensorFlow codes: 'SAME' padding, batch norm, bottlenecks.

Feature maps are (B, C, H, W).
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn


class Conv(nn.Conv2d):
    """A convolution with TensorFlow's 'SAME' padding.

    (B, C, H, W) → (B, C', ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        stride: int = 1,
        bias: bool = False,
    ):
        super().__init__(channels_in, channels_out, kernel, stride, bias=bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        rows, columns = (
            same_padding(n, self.kernel_size[0], self.stride[0]) for n in input.shape[-2:]
        )
        if rows[0] != rows[1] or columns[0] != columns[1]:
            return super().forward(F.pad(input, (*columns, *rows)))
        return F.conv2d(input, self.weight, self.bias, self.stride, (rows[0], columns[0]))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after an axis in 'SAME' padding; an odd one goes behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def max_pool_same(x: torch.Tensor) -> torch.Tensor:
    """Return the maxima of 3×3 pixels with stride 2 and 'SAME' padding.

    (B, C, H, W) → (B, C, ⌈H/2⌉, ⌈W/2⌉). An even axis is padded behind only, an odd one on both
    sides: `ceil_mode` is the padding behind.
    """
    return F.max_pool2d(x, 3, stride=2, padding=(x.shape[-2] % 2, x.shape[-1] % 2), ceil_mode=True)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm whose running statistics keep 95 % per update (TensorFlow's momentum 0.95).

    It does not count its batches: with a momentum the number is not needed, and counting costs one
    kernel launch per layer and step.
    """

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-5, momentum=0.05)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        assert self.momentum is not None
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )


def conv_bn(channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Return a convolution without bias and batch norm."""
    return nn.Sequential(Conv(channels_in, channels_out, kernel, stride), BatchNorm(channels_out))


def conv_bn_relu(
    channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1
) -> nn.Sequential:
    """Return a convolution without bias, batch norm and ReLU."""
    return nn.Sequential(*conv_bn(channels_in, channels_out, kernel, stride), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Bottleneck 1×1, 3×3, 1×1 of half the *output* width; ReLU follows the sum."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        inner = channels_out // 2
        self.body = nn.Sequential(
            conv_bn_relu(channels_in, inner),
            conv_bn_relu(inner, inner, kernel=3),
            conv_bn(inner, channels_out),
        )
        self.shortcut = (
            nn.Identity() if channels_in == channels_out else conv_bn(channels_in, channels_out)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # In place, since batch norm's gradient does not need its output.
        return self.body(x).add_(self.shortcut(x)).relu_()


def initialise(module: nn.Module, std: float) -> None:
    """Draw first weights as many TensorFlow codes do.

    Kernels N(0, std²) and batch-norm scales N(1, std²), both cut at two standard deviations; biases
    are 0.
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(part.weight, 0.0, std, -2 * std, 2 * std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.trunc_normal_(part.weight, 1.0, std, 1 - 2 * std, 1 + 2 * std)


def channels_last(module: nn.Module, dimensions: int = 2) -> None:
    """Store kernels in the layout in which convolutions of 2 or 3 dimensions are fastest."""
    layout = torch.channels_last if dimensions == 2 else torch.channels_last_3d
    cast(Any, module).to(memory_format=layout)  # the declarations of PyTorch lack this argument
