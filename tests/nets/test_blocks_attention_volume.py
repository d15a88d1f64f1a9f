"""Attention and volume blocks against arithmetic by hand, and against the networks that are made of
them.
"""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from handpose_lib.errors import HandPoseError
from handpose_lib.nets import volume
from handpose_lib.nets.attention import AttentionModule, Mask, Unit
from handpose_lib.nets.hourglass import Hourglass


def count(module):
    return sum(p.numel() for p in module.parameters())


def hourglass(channels, depth, dimensions=3) -> Any:
    """The hourglass of the Structure-Aware 3D Hourglass."""
    block = partial(volume.Bottleneck, dimensions=dimensions)
    return Hourglass(block, channels, depth, pool=volume.max_pool(dimensions), bottom=True)


# --- Attention ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ((256, 256), 69_632 + 2 * (256 + 64 + 64)),  # 256·64 + 9·64² + 64·256, three batch norms
        ((64, 256), 57_344 + 16_384 + 2 * (64 + 64 + 64)),  # and a shortcut of 64·256
        ((256, 512, 2), 245_760 + 131_072 + 2 * (256 + 128 + 128)),
    ],
)
def test_units_by_hand(unit, expected):
    assert count(Unit(*unit)) == expected


def test_unit_with_a_silent_body_is_the_identity():
    """Nothing follows the sum: not even a ReLU."""
    unit: Any = Unit(8, 8)
    nn.init.zeros_(unit.body[-1].weight)
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(unit(x), x)


@pytest.mark.parametrize("size", [8, 9])
def test_a_stride_halves_rounding_up(size):
    assert Unit(8, 16, stride=2)(torch.randn(2, 8, size, size)).shape == (
        2,
        16,
        -(-size // 2),
        -(-size // 2),
    )


@pytest.mark.parametrize(("poolings", "lowest"), [(1, 6), (2, 3), (3, 2)])
def test_a_mask_has_the_size_of_its_input_odd_or_even(poolings, lowest):
    mask, seen = Mask(8, poolings), []
    level = mask.hourglass
    while level.inner is not None:
        level = level.inner
    level.down.register_forward_hook(lambda _, __, y: seen.append(y.shape[-1]))
    m = mask(torch.randn(2, 8, 12, 11))
    assert m.shape == (2, 8, 12, 11)
    assert seen == [lowest]
    assert ((m > 0) & (m < 1)).all()


def test_an_attention_module_passes_gradients_to_all_its_parts():
    module = AttentionModule(8, 2)
    h, mask = module(torch.randn(2, 8, 8, 8))
    (h.square().sum() + mask.sum()).backward()
    assert [name for name, p in module.named_parameters() if p.grad is None] == []


# --- Volumes: the counts of the paper cards -----------------------------------


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (lambda: volume.conv_bn_relu(1, 16, 7), 5_536),
        (lambda: volume.Residual(16, 32), 42_272),
        (lambda: volume.Residual(32, 32), 55_488),
        (lambda: volume.Residual(32, 64), 168_512),
        (lambda: volume.Residual(64, 128), 672_896),
        (lambda: volume.Residual(128, 128), 885_504),
        (lambda: volume.up_bn_relu(128, 64), 65_728),
        (lambda: volume.up_bn_relu(64, 32), 16_480),
        (lambda: volume.conv_bn_relu(32, 32), 1_120),
        (lambda: volume.Bottleneck(128, 128), 127_744),
    ],
)
def test_blocks_of_the_cards(block, expected):
    assert count(block()) == expected


def v2v_trunk(width=16, dimensions=3):
    """The layers of V2V-PoseNet up to its last two 1×1×1 blocks."""
    w, d = width, dimensions
    return nn.Sequential(
        volume.conv_bn_relu(1, w, 7, dimensions=d),
        volume.max_pool(d),
        volume.Residual(w, 2 * w, d),
        volume.Residual(2 * w, 2 * w, d),
        volume.Residual(2 * w, 2 * w, d),
        volume.EncoderDecoder((2 * w, 4 * w, 8 * w), dimensions=d),
        *(volume.conv_bn_relu(2 * w, 2 * w, dimensions=d) for _ in range(2)),
    )


@pytest.mark.parametrize(
    ("joints", "card"), [(14, 3_410_222), (15, 3_410_255), (16, 3_410_288), (21, 3_410_453)]
)
def test_v2v_posenet_can_be_made_of_them(joints, card):
    with torch.device("meta"):
        assert count(nn.Sequential(v2v_trunk(), volume.conv(32, joints))) == card


def test_so_can_its_ablations_in_two_dimensions():
    """Table 1: likelihoods of 24 slices with doubled widths, and coordinates after three dense
    layers.
    """
    with torch.device("meta"):
        likelihood = nn.Sequential(v2v_trunk(32, 2), volume.conv(64, 14 * 24, dimensions=2))
        dense = nn.Sequential(
            nn.Linear(24 * 24 * 32, 1024), nn.Linear(1024, 1024), nn.Linear(1024, 42)
        )
        trunk = v2v_trunk(dimensions=2)
    assert count(likelihood) == 4_654_928
    # The card's trunk for coordinates: without the two 1×1 blocks or with them, one of the two is
    # 21,129,514.
    ends = [count(trunk) + count(dense), count(trunk[:-2]) + count(dense)]
    assert 21_129_514 in ends


@pytest.mark.parametrize(
    ("depth", "joints", "bones", "card"),
    [(4, 21, 20, 3_644_094), (3, 21, 20, 2_877_630), (2, 14, 13, 2_106_665)],
)
def test_the_structure_aware_hourglass_can_be_made_of_them(depth, joints, bones, card):
    """Stem, two stacks of hourglass, bottleneck, 1×1×1 with batch norm and maps; two merging
    convolutions between them.
    """
    c, both = 128, joints + bones
    with torch.device("meta"):
        parts = [volume.conv_bn_relu(1, c, 3, stride=2), volume.conv(c, c), volume.conv(both, c)]
        for maps in (both, joints):
            parts += [
                hourglass(c, depth),
                volume.Bottleneck(c, c),
                volume.conv_bn_relu(c, c),
                volume.conv(c, maps),
            ]
    assert sum(map(count, parts)) == card


@pytest.mark.parametrize("dimensions", [2, 3])
def test_shapes(dimensions):
    x = torch.randn((2, 4) + (8,) * dimensions)
    assert volume.EncoderDecoder((4, 8, 8), dimensions=dimensions)(x).shape == x.shape
    assert hourglass(4, 3, dimensions)(x).shape == x.shape
    assert volume.Residual(4, 6, dimensions)(x).shape == (2, 6) + (8,) * dimensions
    assert volume.Bottleneck(4, 6, dimensions)(x).shape == (2, 6) + (8,) * dimensions
    assert (
        volume.conv(4, 5, 3, stride=2, dimensions=dimensions)(x).shape == (2, 5) + (4,) * dimensions
    )


def test_silent_bodies():
    """The residual of the one ends in a ReLU, the bottleneck of the other in the sum."""
    x = torch.randn(1, 4, 2, 2, 2)
    post: Any = volume.Residual(4, 4)
    pre: Any = volume.Bottleneck(4, 4)
    nn.init.zeros_(post.body[-1].weight)
    nn.init.zeros_(pre.body[-1].weight)
    nn.init.zeros_(pre.body[-1].bias)
    assert torch.equal(post(x), x.relu())
    assert torch.equal(pre(x), x)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_an_hourglass_has_three_bottlenecks_per_level_and_one_more(depth):
    with torch.device("meta"):
        blocks = [m for m in hourglass(8, depth).modules() if isinstance(m, volume.Bottleneck)]
    assert len(blocks) == 3 * depth + 1


def test_up_sampling_makes_eight_voxels_of_one_and_nothing_else():
    """One voxel set: only its eight children differ from what an empty volume gives."""
    up: Any = volume.up_bn_relu(2, 3).eval()
    nn.init.uniform_(up[0].weight, 0.1, 1)
    empty, one = torch.zeros(1, 2, 3, 3, 3), torch.zeros(1, 2, 3, 3, 3)
    one[0, :, 1, 0, 2] = 1
    changed = (up(one) != up(empty)).any(1)[0]
    assert changed.nonzero().tolist() == [[z, y, x] for z in (2, 3) for y in (0, 1) for x in (4, 5)]


def test_other_dimensions_are_an_error():
    with pytest.raises(HandPoseError, match="dimensions 4.*2, 3"):
        volume.conv(1, 1, dimensions=4)
