"""The building blocks against arithmetic by hand."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib.nets.blocks import (
    BatchNorm,
    Conv,
    Residual,
    initialise,
    max_pool_same,
    same_padding,
)
from handpose_lib.nets.graph import GraphConvolution, Similarity, normalised_adjacency
from handpose_lib.nets.hourglass import Hourglass
from handpose_lib.nets.spatial import expectation, gather, scatter_mean, spatial_softmax


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (96, 7, 2, (2, 3)),  # the stem: the odd zero goes behind
        (24, 3, 2, (0, 1)),  # the hourglass' pooling
        (3, 3, 2, (1, 1)),
        (24, 3, 1, (1, 1)),
        (24, 1, 1, (0, 0)),
    ],
)
def test_same_padding_is_tensorflows(size, kernel, stride, padding):
    assert same_padding(size, kernel, stride) == padding


def test_conv_same_by_hand():
    """Kernel 3, stride 2 on 0 1 2 3 (along u): windows 0 1 2 and 2 3 |0, nothing padded before."""
    conv = Conv(1, 1, kernel=3, stride=2)
    nn.init.zeros_(conv.weight)
    conv.weight.data[0, 0, 0] = torch.tensor([1.0, 10.0, 100.0])
    x = torch.arange(4.0).expand(4, 4)[None, None]
    assert conv(x)[0, 0, 0].tolist() == [210.0, 32.0]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 24])
def test_max_pool_same_is_pooling_of_the_padded_map(size):
    x = torch.randn(2, 3, size, size + 1)
    rows, columns = same_padding(size, 3, 2), same_padding(size + 1, 3, 2)
    oracle = F.max_pool2d(F.pad(x, (*columns, *rows), value=-torch.inf), 3, 2)
    assert torch.equal(max_pool_same(x), oracle)
    assert max_pool_same(x).shape[-2:] == (-(-size // 2), -(-(size + 1) // 2))


def test_residual_counts_and_shapes():
    assert count(Residual(128, 128)) == 53_760  # the paper card's module
    assert count(Residual(32, 64)) == 1_024 + 9_216 + 2_048 + 2_048 + 2 * (32 + 32 + 64 + 64)
    x = torch.randn(2, 32, 5, 6)
    y = Residual(32, 64)(x)
    assert y.shape == (2, 64, 5, 6)
    assert (y >= 0).all()  # ReLU follows the sum


def test_residual_with_a_silent_body_is_the_relu_of_its_input():
    block: Any = Residual(8, 8)
    nn.init.zeros_(block.body[-1][-1].weight)  # the last batch norm's scale
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x), x.relu())


@pytest.mark.parametrize("size", [24, 16, 21])
def test_hourglass_keeps_its_size_odd_or_even(size):
    seen = []
    hourglass: Any = Hourglass(Residual, 8, depth=3)
    hourglass.inner.inner.down.register_forward_hook(lambda _, __, y: seen.append(y.shape[-1]))
    assert hourglass(torch.randn(2, 8, size, size)).shape == (2, 8, size, size)
    assert seen == [{24: 3, 16: 2, 21: 3}[size]]
    assert sum(isinstance(m, Residual) for m in hourglass.modules()) == 9


def test_up_first_decides_only_which_draws_become_which_weights():
    late, early = (Hourglass(Residual, 8, 3, up_first=first) for first in (False, True))
    assert set(late.state_dict()) == set(early.state_dict())
    early.load_state_dict(late.state_dict())
    x = torch.randn(2, 8, 8, 8)
    assert torch.equal(late(x), early(x))


def test_batch_norm_is_pytorchs_but_for_the_count():
    ours: Any = BatchNorm(4)
    oracle: Any = nn.BatchNorm2d(4, eps=1e-5, momentum=0.05)
    x = torch.randn(3, 4, 5, 5)
    assert torch.equal(ours(x), oracle(x))
    assert torch.equal(ours.running_var, oracle.running_var)
    assert torch.equal(ours.eval()(x), oracle.eval()(x))
    assert ours.num_batches_tracked == 0


def test_initial_spread():
    torch.manual_seed(0)
    net: Any = nn.Sequential(Conv(512, 512, bias=True), BatchNorm(512))
    initialise(net, 0.01)
    # A normal cut at 2 std keeps 0.880 of its spread; 2.6e5 draws have a standard error of 0.14 %.
    assert net[0].weight.std().item() == pytest.approx(0.0088, rel=0.01)
    assert net[0].weight.abs().max() <= 0.02
    assert not net[0].bias.any()
    assert 0.98 <= net[1].weight.min() < 1 < net[1].weight.max() <= 1.02


def test_spatial_softmax_sums_to_one_and_stays_in_float32():
    weights = spatial_softmax(torch.randn(2, 3, 4, 5).bfloat16())
    assert weights.dtype == torch.float32
    assert weights.shape == (2, 3, 4, 5)
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(2, 3))


def test_soft_argmax_of_a_delta_is_its_place():
    logits = torch.full((1, 1, 6, 6), -1e4)
    logits[0, 0, 2, 5] = 1e4
    u, v = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="xy")
    place = expectation(spatial_softmax(logits), torch.stack((u, v))[None, :, None])
    assert place.tolist() == [[[5.0, 2.0]]]


def test_gather_and_scatter_by_hand():
    weights = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    features, nodes = (
        torch.rand(2, 7, 4, 5, dtype=torch.float64),
        torch.rand(2, 3, 7, dtype=torch.float64),
    )
    gathered, scattered = gather(weights, features), scatter_mean(weights, nodes)
    assert gathered.shape == (2, 3, 7)
    assert scattered.shape == (2, 7, 4, 5)
    oracle = sum(weights[1, 2, v, u] * features[1, :, v, u] for v in range(4) for u in range(5))
    torch.testing.assert_close(gathered[1, 2], oracle)
    oracle = sum(weights[1, k, 3, 1] * nodes[1, k] for k in range(3)) / 3
    torch.testing.assert_close(scattered[1, :, 3, 1], oracle)


def test_voting_gradients():
    """Softmax, gather, scatter and expectation against finite differences in float64."""
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    values = torch.randn(1, 3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    features = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)

    def vote(logits, values, features):
        weights = spatial_softmax(logits)
        return expectation(weights, values), scatter_mean(weights, gather(weights, features))

    assert torch.autograd.gradcheck(vote, (logits, values, features))


def test_normalised_adjacency_of_a_path():
    """0 - 1 - 2: degrees with self loops 2, 3, 2."""
    a = normalised_adjacency(3, [(0, 1), (2, 1)])
    off = 6**-0.5
    torch.testing.assert_close(
        a, torch.tensor([[1 / 2, off, 0], [off, 1 / 3, off], [0, off, 1 / 2]])
    )


def test_graph_convolution_follows_a_relabelling_of_its_nodes():
    torch.manual_seed(0)
    layer, features, edges = GraphConvolution(8), torch.randn(2, 5, 8), torch.randn(5, 5)
    order = torch.randperm(5)
    relabelled = layer(features[:, order], edges[order][:, order])
    torch.testing.assert_close(relabelled, layer(features, edges)[:, order])
    torch.testing.assert_close(
        layer(features, torch.eye(5)), features.matmul(layer.transform.weight.T).relu()
    )


def test_similarity_rows_sum_to_one_and_differ_between_samples():
    torch.manual_seed(0)
    edges = Similarity(8)(torch.randn(2, 5, 8))
    torch.testing.assert_close(edges.sum(-1), torch.ones(2, 5))
    assert not torch.allclose(edges[0], edges[1])
