"""Mean shift over small sets of weighted points: from several votes to the point they agree on.

All sets are computed at once, without a loop: each index of the leading axes is a set of its own.
"""

import torch


def mean_shift(
    points: torch.Tensor,
    weights: torch.Tensor,
    sigma: float = 40.0,
    iterations: int = 10,
    start: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mode of each set of K weighted points: (..., K, D), (..., K) → (..., D).

    `iterations` times p ← Σ k(p_i − p) w_i p_i / Σ k(p_i − p) w_i with k(x) = exp(−|x|² / 2σ²)
    (DenseReg, Algorithm 1). `sigma` in the unit of the points; `start` (..., D), or None for
    `densest`. Weights below 0 count as 0; a set without positive weights has equal ones.
    """
    log = log_weights(weights.to(points.dtype))
    start = densest(points, log, sigma) if start is None else start
    # Sets last: sums over points and coordinates then run along all sets at once, several times as
    # fast.
    x = (points - start[..., None, :]).movedim((-1, -2), (0, 1)).contiguous()  # (D, K, ...)
    # |x − p|² = |x|² − 2 x·p + |p|²: the first is known, the last is the same for all points and
    # cancels.
    known = log.movedim(-1, 0) - x.square().sum(0) / (2 * sigma**2)  # (K, ...)
    p = torch.zeros_like(x[:, 0])
    for _ in range(iterations):
        # A soft-max over log weight and log kernel: far points underflow to 0, never to 0/0.
        share = (known + (x * (p / sigma**2)[:, None]).sum(0)).softmax(0)
        p = (x * share).sum(1)
    return start + p.movedim(0, -1)


def log_weights(weights: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of weights (..., K): −∞ for those up to 0.

    In a set without positive weights all are 0.
    """
    none = (weights <= 0).all(-1, keepdim=True)
    return weights.clamp_min(0).masked_fill(none, 1).log()


def densest(points: torch.Tensor, log: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return of each set the point with the most weight around it, under the kernel.

    (..., K, D), logarithms of weights (..., K) → (..., D). Unlike a grid's, the choice does not
    depend on how the points are shifted or turned.
    """
    x = (points - points[..., :1, :]).movedim((-1, -2), (0, 1)).contiguous()  # (D, K, ...)
    apart = (x[:, :, None] - x[:, None]).square().sum(0)  # (K, K, ...)
    density = (log.movedim(-1, 0) - apart / (2 * sigma**2)).logsumexp(1).movedim(0, -1)
    return _pick(points, density.masked_fill(log.isinf(), -torch.inf).argmax(-1))


def heaviest_cell(
    points: torch.Tensor, weights: torch.Tensor, cell: float = 50.0, cells: int = 4
) -> torch.Tensor:
    """Return the middle of the cell with the most weight, of `cells`³ cells around 0.

    (..., K, 3), (..., K) → (..., 3). The code of DenseReg starts there. Points outside count for
    the cell at the border.
    """
    index = (points / cell + cells / 2).floor().clamp(0, cells - 1)
    same = (index[..., :, None, :] == index[..., None, :, :]).all(-1)  # (..., K, K)
    weight = (same * weights[..., None, :]).sum(-1)
    return (_pick(index, weight.argmax(-1)) + 0.5 - cells / 2) * cell


def _pick(points: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return the chosen point of each set: (..., K, D) and an index (...) into K → (..., D)."""
    return points.gather(
        -2, chosen[..., None, None].expand(*chosen.shape, 1, points.shape[-1])
    ).squeeze(-2)
