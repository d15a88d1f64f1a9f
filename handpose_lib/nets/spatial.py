"""Averages over the pixels of a map, weighted per node: a node is anything with its own weight map.

Weights are (B, N, H, W) and sum to 1 over the H·W pixels.
"""

import torch


def spatial_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return the soft-max over the pixels of each map, (B, N, H, W), at least in float32."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.flatten(2).softmax(-1, dtype=dtype).unflatten(-1, logits.shape[-2:])


def expectation(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return Σ_i w_i value_i over the pixels i, each node with values of its own.

    (B, N, H, W), (B, C, N, H, W) → (B, N, C). With the pixels' coordinates as values this is
    soft-argmax. Element by element and not as a matrix product, so that coordinates keep full
    precision under autocast and TF32.
    """
    return (weights[:, None] * values).flatten(3).sum(-1).transpose(1, 2)


def gather(weights: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return one feature vector per node, Σ_i w_i x_i over the pixels i.

    (B, N, H, W), (B, C, H, W) → (B, N, C).
    """
    return torch.bmm(weights.flatten(2).to(features.dtype), features.flatten(2).transpose(1, 2))


def scatter_mean(weights: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
    """Return the mean over the nodes of weight times node, at every pixel.

    (B, N, H, W), (B, N, C) → (B, C, H, W).
    """
    pixels = torch.bmm(weights.flatten(2).to(nodes.dtype).transpose(1, 2), nodes / nodes.shape[1])
    return pixels.transpose(1, 2).unflatten(-1, weights.shape[-2:])
