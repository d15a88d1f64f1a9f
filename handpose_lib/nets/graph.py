"""Convolution over the nodes of a graph; node features are (B, N, C)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn


def normalised_adjacency(nodes: int, edges: Iterable[tuple[int, int]]) -> torch.Tensor:
    """Return D^-½ (A + I) D^-½, (N, N), of an undirected graph.

    The degrees D count the self loops. Source: Kipf & Welling 2017.
    """
    adjacency = torch.eye(nodes)
    for i, j in edges:
        adjacency[i, j] = adjacency[j, i] = 1
    scale = adjacency.sum(1).rsqrt()
    return scale[:, None] * adjacency * scale


class GraphConvolution(nn.Module):
    """ReLU(A F W): features (B, N, C) and edge weights (N, N) or (B, N, N) → (B, N, C)."""

    def __init__(self, channels: int):
        super().__init__()
        self.transform = nn.Linear(channels, channels, bias=False)

    def forward(self, features: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        return F.relu(edges @ self.transform(features))


class Similarity(nn.Module):
    """Edge weights from the features themselves: softmax_j(υ(f_i)ᵀ ψ(f_j)).

    (B, N, C) → (B, N, N).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (self.query(features) @ self.key(features).transpose(1, 2)).softmax(-1)
