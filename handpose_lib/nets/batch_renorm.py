"""Batch renormalisation (Ioffe 2017): batch norm that uses running statistics during training too.

With the batch's mean μ_B and deviation σ_B and the running ones μ and σ,

    y = γ ((x − μ_B) / σ_B · r + d) + β
    r = σ_B / σ          clipped to [1/r_max, r_max]
    d = (μ_B − μ) / σ    clipped to [−d_max, d_max],

and no gradient flows through r and d. With r_max = 1 and d_max = 0 it is batch norm; without limits
a training step normalises as a test does.
"""

import torch
import torch.nn.functional as F
from torch import nn


class BatchRenorm(nn.BatchNorm2d):
    """Normalise (B, C, H, W), within limits that open from batch norm to r_max = 3 and d_max = 5.

    `pace` decides how fast. Each update keeps 99 % of the running statistics, as the code of
    DenseReg does. In that code a missing bracket holds d_max near 0.001; here it follows the
    schedule that the code intends.
    """

    def __init__(
        self, channels: int, eps: float = 1e-3, momentum: float = 0.01, pace: float = 1e-5
    ):
        super().__init__(channels, eps=eps, momentum=momentum, track_running_stats=True)
        self.pace = pace

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        running_mean, running_var = self.running_mean, self.running_var
        weight, bias = self.weight, self.bias
        assert running_mean is not None and running_var is not None
        if not self.training:
            return F.batch_norm(
                input, running_mean, running_var, weight, bias, False, 0.0, self.eps
            )
        assert self.momentum is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            mean, variance = self._statistics(input)
            deviation = (running_var + self.eps).sqrt()
            r_max, d_max = self.limits()
            r = ((variance + self.eps).sqrt() / deviation).clamp(1 / r_max, r_max)
            d = ((mean - running_mean) / deviation).clamp(-d_max, d_max)
            running_mean.lerp_(mean, self.momentum)
            running_var.lerp_(variance, self.momentum)
            self.num_batches_tracked.add_(1)
        # r and d are folded into scale and shift: one pass over the input, as batch norm.
        return F.batch_norm(input, None, None, weight * r, bias + weight * d, True, 0.0, self.eps)

    def _statistics(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance (C,) of the batch (B, C, H, W).

        Batch norm's own kernel leaves them in the running statistics: far faster than var_mean.
        """
        assert self.running_mean is not None
        mean, variance = torch.zeros_like(self.running_mean), torch.ones_like(self.running_mean)
        F.batch_norm(x, mean, variance, None, None, True, 1.0, self.eps)
        count = x.numel() // x.shape[1]
        return mean, variance * ((count - 1) / count)

    def limits(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (r_max, d_max) after the updates so far.

        They rise from (1, 0.001) to (3, 5) along logistic curves.
        """
        assert self.num_batches_tracked is not None
        t = self.pace * self.num_batches_tracked
        return 3 / (1 + 2 * torch.exp(-t)), 5 / (1 + (5 / 1e-3 - 1) * torch.exp(-2 * t))


def renormalise(module: nn.Module) -> nn.Module:
    """Replace every batch norm below `module` by a `BatchRenorm`, and return the module."""
    for name, part in module.named_children():
        if isinstance(part, nn.BatchNorm2d):
            setattr(module, name, BatchRenorm(part.num_features))
        else:
            renormalise(part)
    return module
