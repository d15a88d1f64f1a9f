"""JGR-P2O against the arithmetic of its layers, its equations written as loops, and its laws."""

from dataclasses import replace
from math import pi
from typing import Any

import pytest
import torch

from handpose_lib import papers, prepare, skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.nets.spatial import expectation
from handpose_lib.papers.jgr_p2o import Config, StackOutput
from tests.support.refusals import refused

SKELETONS = ("msra21", "nyu14", "icvl16", "hands17_21", "itop15")
VARIANTS = tuple(papers.variants("jgr_p2o"))
TINY: dict[str, Any] = {"size": 32, "channels": 16, "depth": 2}


def create(joints="msra21", variant="paper", **overrides) -> Any:
    return papers.create("jgr_p2o", joints, variant, **overrides)


def blobs(batch, joints=21, seed=0, reach=90.0, turned=True) -> Any:
    """Crops of a disc per joint on an empty background, with joints up to `reach` mm off centre."""
    g = torch.Generator().manual_seed(seed)
    window, focal = 160, 241.42
    camera = torch.tensor([focal, focal, 160.0, 120.0]).repeat(batch, 1)
    centre = torch.tensor([20.0, -30.0, 400.0]) + 40 * torch.rand(batch, 3, generator=g)
    xyz = centre[:, None] + reach * (2 * torch.rand(batch, joints, 3, generator=g) - 1)
    middle = (centre[:, :2] / centre[:, 2:] * focal + camera[:, 2:]).round()
    origin = middle - window // 2
    v, u = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    pixel = torch.stack((u, v), -1) + origin[:, None, None]  # (B, S, S, 2)
    place = xyz[..., :2] / xyz[..., 2:] * focal + camera[:, None, 2:]  # (B, J, 2)
    near = (pixel[:, :, :, None] - place[:, None, None]).norm(dim=-1) < 6  # (B, S, S, J)
    depth = torch.where(near, xyz[:, None, None, :, 2], torch.inf).amin(-1)
    one = torch.ones(batch)
    crops = Crops(
        depth.masked_fill(depth.isinf(), 0),
        origin,
        camera,
        centre,
        250 * one,
        0 * one,
        one,
        one.clone(),
        xyz,
        [str(i) for i in range(batch)],
    )
    if turned:
        crops.mirror[::2] = -1
        crops.rotation = 2 * pi * torch.rand(batch, generator=g) - pi
        crops.aspect = 0.8 + 0.4 * torch.rand(batch, generator=g)
    return crops


def parameters(method):
    return sum(p.numel() for p in method.parameters())


# --- Sizes --------------------------------------------------------------------


def conv(i, o, k=1, bias=False):
    return k * k * i * o + bias * o


def conv_bn(i, o, k=1):
    return conv(i, o, k) + 2 * o


def residual(i, o):
    return (
        conv_bn(i, o // 2)
        + conv_bn(o // 2, o // 2, 3)
        + conv_bn(o // 2, o)
        + (i != o) * conv_bn(i, o)
    )


def arithmetic(joints, stacks=2, maps=3, reasoning=None, shared=0):
    """Parameters by the layers of the paper card (Section 4), at 128 channels."""
    stem = conv_bn(1, 32, 7) + residual(32, 64) + residual(64, 64) + residual(64, 128)
    if reasoning is None:  # φ, ϕ, graph, ρ, τ
        reasoning = (
            conv(128, joints, bias=True)
            + conv_bn(128, 128)
            + 128 * 128
            + conv_bn(128, 128)
            + conv_bn(256, 128)
        )
    stack = 9 * residual(128, 128) + residual(128, 128) + reasoning + conv(128, maps * joints)
    link = conv_bn(maps * joints, 128) + conv_bn(128, 128)
    return stem + stacks * stack + (stacks - 1) * link + shared


@pytest.mark.parametrize(
    ("variant", "joints", "published", "derived"),
    [
        ("paper", "nyu14", 1_365_244, arithmetic(14)),
        ("stacks_1", "nyu14", 715_502, arithmetic(14, stacks=1)),
        ("stacks_3", "nyu14", 2_014_986, arithmetic(14, stacks=3)),
        ("feature_similarity", "nyu14", 1_430_780, arithmetic(14) + 2 * 2 * 128 * 128),
        ("parameterised", "nyu14", 1_365_440, arithmetic(14, shared=14 * 14)),
        ("p2o", "nyu14", 1_196_256, arithmetic(14, reasoning=0)),
        ("p2o_offset", "nyu14", 1_196_256, arithmetic(14, reasoning=0)),
        (
            "attention",
            "nyu14",
            1_414_908,
            arithmetic(14, reasoning=2 * residual(128, 128) + conv(128, 14, bias=True)),
        ),
        ("dhm", "nyu14", 1_359_868, arithmetic(14, maps=2)),
        ("paper", "icvl16", 1_368_064, arithmetic(16)),
        ("paper", "msra21", 1_375_114, arithmetic(21)),
        ("paper", "hands17_21", 1_375_114, arithmetic(21)),
    ],
)
def test_parameter_counts(variant, joints, published, derived):
    assert derived == published
    assert parameters(create(joints, variant)) == published


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_of_every_variant(variant):
    method = create("nyu14", variant, **TINY)
    crops = blobs(2, joints=14)
    y = method(method.encode(crops))
    assert len(y) == method.config.stacks
    for stage in y:
        assert stage.joints.shape == (2, 14, 3)
        assert stage.pixels.shape == (2, 3, 8, 8)
        assert stage.weights.shape == (2, 14, 8, 8)
        torch.testing.assert_close(stage.weights.sum((2, 3)), torch.ones(2, 14))
        if variant == "dhm":
            assert stage.offsets is None
        else:
            assert stage.offsets.shape == (2, 3, 14, 8, 8)
    loss = method.loss(y, crops)
    assert set(loss) == (
        {"total", "coord"} if variant in ("p2o", "dhm") else {"total", "coord", "offset"}
    )
    loss["total"].backward()
    # The last features reach the output through the last head only: everything must have a
    # gradient.
    assert [n for n, p in method.named_parameters() if p.grad is None] == []
    assert method.decode(y, crops).shape == (2, 14, 3)


# --- Laws ---------------------------------------------------------------------


@pytest.mark.parametrize("name", SKELETONS)
def test_decode_of_targets_is_the_joints(name):
    """Whatever the votes' weights: exact offsets bring every joint back within 0.01 mm, in float32,
    in any view.
    """
    method = create(name, clip_targets=False)
    crops = blobs(6, joints=len(skeleton.get(name)))
    target = method.targets(crops)
    weights = (
        torch.rand(6, len(method.skeleton), 24, 24).flatten(2).softmax(-1).unflatten(-1, (24, 24))
    )
    voted = expectation(weights, target.pixels[:, :, None] + target.offsets)
    decoded = method.decode([StackOutput(voted, target.pixels, target.offsets, weights)], crops)
    assert (decoded - crops.joints).norm(dim=-1).max() < 0.01


def test_clipping_changes_only_joints_outside():
    crops = blobs(8, reach=150.0, turned=False)
    crops.cube[:] = 200.0
    n = prepare.to_view(crops.joints, crops)
    cut = replace(crops, joints=None)
    exact, clipped = (create(clip_targets=clip) for clip in (False, True))
    free, kept = exact.targets(crops).joints, clipped.targets(crops).joints
    inside = (free.abs() <= 1).all(-1)
    assert 0 < inside.sum() < inside.numel()
    assert torch.equal(free[inside], kept[inside])
    assert kept.abs().max() == 1
    assert (
        (free[..., :2] * 2 - 1) - n[..., :2]
    ).abs().max() < 1e-6  # u, v in [0, 1] across the crop
    with pytest.raises(HandPoseError, match="needs joints"):
        exact.targets(cut)


def test_reference_uv_scale_stretches_about_the_corner():
    """Card 10.3: pixel/95 in training, ·96 in decoding: half a pixel off at the crop's centre."""
    method = create("nyu14", uv_scale="reference", clip_targets=False)
    crops = blobs(4, joints=14, turned=False)
    crops.joints[:, 0] = crops.centre
    decoded = method.decode([method.targets(crops)], crops)
    true, found = (
        (prepare.to_view(j, crops)[..., :2] + 1) * 48 - 0.5 for j in (crops.joints, decoded)
    )
    torch.testing.assert_close(found, true * 96 / 95, rtol=0, atol=1e-3)
    assert (found[:, 0] - true[:, 0]).flatten().tolist() == pytest.approx([0.5] * 8, abs=1e-3)
    assert method.targets(crops).pixels[0, 0, 0, -1] == 1  # X/23


def test_pixels_of_the_maps_stand_where_their_depth_was_measured():
    """A pixel's (u, v, z), back-projected, is on the surface the crop shows: exact geometry."""
    method = create("nyu14")
    crops = blobs(1, joints=14, turned=False)
    image = method.encode(crops)
    pixels = method.targets(crops).pixels
    expected = [(4 * 5 + 0.5) / 96, (4 * 2 + 0.5) / 96, image[0, 0, 8, 20].item()]
    assert pixels[0, :, 2, 5].tolist() == pytest.approx(expected)
    points = method.decode(
        [StackOutput(pixels.flatten(2).transpose(1, 2), pixels, None, None)], crops
    )
    hit = (pixels[0, 2] < 1).flatten()
    assert hit.sum() > 10
    # The pixel of the window on which a point falls holds that point's depth, but for rounding to a
    # neighbour.
    uv = (
        points[0, hit, :2] / points[0, hit, 2:] * crops.camera[0, :2]
        + crops.camera[0, 2:]
        - crops.origin[0]
    )
    column, row = uv.round().long().unbind(-1)
    assert ((crops.depth[0, row, column] - points[0, hit, 2]).abs() < 0.01).float().mean() > 0.98


def test_graph_of_the_skeleton_by_hand():
    """NYU: the palm (13) has seven neighbours and itself, little tip (0) one and itself, little mid
    (1) two.
    """
    edges = create("nyu14", **TINY).edges
    assert edges[13, 13].item() == pytest.approx(1 / 8)
    assert edges[0, 1].item() == pytest.approx(1 / 6**0.5)
    assert edges[1, 13].item() == pytest.approx(1 / 24**0.5)
    assert edges[0, 13] == 0
    linked = {(i, j) for i, j in edges.triu(1).nonzero().tolist()}
    fingers = {(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (9, 10)}
    assert linked == fingers | {(j, 13) for j in (1, 3, 5, 7, 10, 11, 12)}
    torch.testing.assert_close(edges, edges.T)


@pytest.mark.parametrize("name", ["msra21", "icvl16"])
def test_graphs_of_chains(name):
    """MSRA: wrist with 1, 5, 9, 13, 17, fingers of four. ICVL: palm with 1, 4, …, of three."""
    length = {"msra21": 4, "icvl16": 3}[name]
    linked = {(i, j) for i, j in create(name, **TINY).edges.triu(1).nonzero().tolist()}
    roots = range(1, 5 * length, length)
    assert linked == {(0, r) for r in roots} | {
        (r + k, r + k + 1) for r in roots for k in range(length - 1)
    }


def test_relabelling_the_joints_of_a_free_graph():
    """Joints are nothing but labels: permuting votes, offsets and the graph permutes the output."""
    torch.manual_seed(0)
    method = create("nyu14", "parameterised", **TINY).eval()
    torch.nn.init.uniform_(method.edges)
    x, order = torch.randn(2, 1, 32, 32), torch.randperm(14)
    before = method(x)[-1].joints
    method.edges.data = method.edges[order][:, order]
    maps = torch.arange(3 * 14).view(3, 14)[:, order].flatten()
    for stack in method.stacks:
        stack.reasoning.vote.weight.data = stack.reasoning.vote.weight[order]
        stack.reasoning.vote.bias.data = stack.reasoning.vote.bias[order]
        stack.head.weight.data = stack.head.weight[maps]
    for link in method.links:
        link.maps[0].weight.data = link.maps[0].weight[:, maps]
    torch.testing.assert_close(method(x)[-1].joints, before[:, order], rtol=1e-5, atol=1e-5)


# --- Equations ----------------------------------------------------------------


def test_equation_6_as_loops():
    torch.manual_seed(0)
    stage = create("nyu14", **TINY)(torch.randn(1, 1, 32, 32))[-1]
    for k in (0, 13):
        for c in range(3):
            joint: Any = sum(
                stage.weights[0, k, v, u]
                * (stage.pixels[0, c, v, u] + stage.offsets[0, c, k, v, u])
                for v in range(8)
                for u in range(8)
            )
            assert stage.joints[0, k, c].item() == pytest.approx(joint.item(), abs=1e-5)


def test_equation_9_as_loops():
    """Huber terms one by one, over stacks, samples, joints, pixels and axes."""
    method = create("nyu14", size=16, channels=16, depth=1)
    crops = blobs(2, joints=14)
    with torch.no_grad():
        y = method(method.encode(crops))
        loss, target = method.loss(y, crops), method.targets(crops)

    def huber(x, delta=0.01):
        return 0.5 * x * x if abs(x) < delta else delta * (abs(x) - 0.5 * delta)

    coord = sum(huber(d) for s in y for d in (s.joints - target.joints).flatten().tolist())
    offset = sum(huber(d) for s in y for d in (s.offsets - target.offsets).flatten().tolist())
    assert loss["coord"].item() == pytest.approx(coord, rel=1e-5)
    assert loss["offset"].item() == pytest.approx(offset, rel=1e-5)
    assert loss["total"].item() == pytest.approx(coord + 1e-4 * offset, rel=1e-5)


def test_uniform_votes_are_the_plain_mean():
    stage = create("nyu14", "p2o", **TINY)(torch.randn(2, 1, 32, 32))[-1]
    mean = (stage.pixels[:, :, None] + stage.offsets).mean((-2, -1)).transpose(1, 2)
    torch.testing.assert_close(stage.joints, mean, rtol=1e-5, atol=1e-6)


def test_heat_maps_vote_where_and_how_deep():
    """The DHM baseline: u and v never leave the image."""
    stage = create("nyu14", "dhm", **TINY)(torch.randn(2, 1, 32, 32))[-1]
    uv = expectation(stage.weights, stage.pixels[:, :2, None])
    torch.testing.assert_close(stage.joints[..., :2], uv)
    assert ((uv > 0) & (uv < 1)).all()


# --- Numerics and training ----------------------------------------------------


def test_voting_keeps_float32_under_autocast():
    method = create("nyu14", **TINY)
    with torch.autocast("cpu", torch.bfloat16):
        stage = method(torch.randn(2, 1, 32, 32))[-1]
    assert {stage.joints.dtype, stage.weights.dtype, stage.pixels.dtype} == {torch.float32}


def test_small_learns_a_handful_of_crops():
    """16 crops of discs by heart: the loss falls to a fifth within 40 updates."""
    torch.manual_seed(0)
    method = create("nyu14", "small")
    crops = blobs(16, joints=14, reach=60.0, turned=False)
    optimiser = torch.optim.AdamW(method.parameter_groups(1e-3), lr=3e-3)
    x, curve = method.encode(crops), []
    for _ in range(40):
        loss = method.loss(method(x), crops)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    assert min(curve[-5:]) < curve[0] / 5


def test_decay_spares_biases_and_shifts():
    method = create("nyu14", "parameterised", **TINY)
    decayed, free = method.parameter_groups(5e-5)
    assert decayed["weight_decay"] == 5e-5
    assert free["weight_decay"] == 0
    assert sum(p.numel() for g in (decayed, free) for p in g["params"]) == parameters(method)
    shifts = sum(m.bias.numel() for m in method.modules() if getattr(m, "bias", None) is not None)
    assert sum(p.numel() for p in free["params"]) == shifts


# --- Names and errors ---------------------------------------------------------


def test_the_default_is_the_paper():
    assert create("nyu14").config == Config()
    assert (Config().beta, Config().delta, Config().clip_targets, Config().uv_scale) == (
        1e-4,
        0.01,
        True,
        "exact",
    )


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: create("nyu14", uv_scale="95"), ["95", "exact", "reference"]),
        (lambda: create("nyu14", size=97), ["97", "multiples of 4"]),
        (lambda: create("nyu14", delta=0.0), ["delta 0.0", "> 0"]),
        (
            lambda: create("nyu14")(torch.zeros(2, 1, 64, 64)),
            ["(2, 1, 64, 64)", "(B, 1, 96, 96)"],
        ),
    ],
)
def test_errors_name_what_is_accepted(call, names):
    refused(call, names)


def test_recipes():
    paper = papers.recipe("jgr_p2o", "nyu", "paper")
    assert (paper.optimiser, paper.lr, paper.betas, paper.weight_decay) == (
        "adam",
        1e-4,
        (0.5, 0.999),
        5e-5,
    )
    assert (paper.batch, paper.epochs, paper.gamma, paper.epoch_frames) == (32, 58, 0.96, None)
    assert (paper.warmup, paper.warmup_from, paper.weight_decay_mode) == (100, 0.34, "coupled")
    assert papers.recipe("jgr_p2o", "icvl", "paper").epochs == 8
    assert papers.recipe("jgr_p2o", "msra", "paper").cube_test == 175
    assert paper.network == {}
