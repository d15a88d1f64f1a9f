"""Batch renormalisation (Ioffe 2017): batch norm that leans on its running statistics while it
trains.

With the batch's mean μ_B and deviation σ_B and the running ones μ and σ,

    y = γ ((x − μ_B) / σ_B · r + d) + β,   r = σ_B / σ in [1/r_max, r_max],   d = (μ_B − μ) / σ in
                                           [−d_max, d_max],

and no gradient flows through r and d. With r_max = 1 and d_max = 0 it is batch norm; without limits
a training step normalises as a test does.
"""

import torch
import torch.nn.functional as F
from torch import nn


class BatchRenorm(nn.BatchNorm2d):
    """(B, C, H, W) → the same. Limits open from batch norm towards r_max = 3 and d_max = 5, the
    slower the smaller `pace`.

    Keeps 99 % of its statistics per update, as the code of DenseReg. Its d_max, though, stays near
    0.001 for want of a bracket; this is the schedule that it means.
    """

    def __init__(
        self, channels: int, eps: float = 1e-3, momentum: float = 0.01, pace: float = 1e-5
    ):
        super().__init__(channels, eps=eps, momentum=momentum, track_running_stats=True)
        self.pace = pace

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        with torch.no_grad():
            mean, variance = self._statistics(x)
            deviation = (self.running_var + self.eps).sqrt()
            r_max, d_max = self.limits()
            r = ((variance + self.eps).sqrt() / deviation).clamp(1 / r_max, r_max)
            d = ((mean - self.running_mean) / deviation).clamp(-d_max, d_max)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
            self.num_batches_tracked.add_(1)
        # r and d are folded into scale and shift: one pass over x, as batch norm.
        return F.batch_norm(
            x, None, None, self.weight * r, self.bias + self.weight * d, True, 0.0, self.eps
        )

    def _statistics(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(C,) mean and variance of the batch, as batch norm's own kernel leaves them: far faster
        than var_mean.
        """
        mean, variance = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        F.batch_norm(x, mean, variance, None, None, True, 1.0, self.eps)
        count = x.numel() // x.shape[1]
        return mean, variance * ((count - 1) / count)

    def limits(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(r_max, d_max) after the updates so far: from (1, 0.001) to (3, 5) along logistic curves."""
        t = self.pace * self.num_batches_tracked
        return 3 / (1 + 2 * torch.exp(-t)), 5 / (1 + (5 / 1e-3 - 1) * torch.exp(-2 * t))


def renormalise(module: nn.Module) -> nn.Module:
    """Put a `BatchRenorm` in the place of every batch norm below `module`, and return it."""
    for name, part in module.named_children():
        if isinstance(part, nn.BatchNorm2d):
            setattr(module, name, BatchRenorm(part.num_features))
        else:
            renormalise(part)
    return module
