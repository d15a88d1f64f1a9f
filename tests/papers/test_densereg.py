"""DenseReg against the arithmetic of its layers, its equations written as loops, and its laws."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from handpose_lib import papers, prepare, synth
from handpose_lib.nets.batch_renorm import BatchRenorm, renormalise
from handpose_lib.nets.blocks import BatchNorm
from handpose_lib.nets.bottleneck import Bottleneck
from handpose_lib.nets.heatmap import at, cones, peaks
from handpose_lib.nets.hourglass import Hourglass
from handpose_lib.papers.densereg import BACKGROUND, CHOICES, Config, StackOutput
from tests.support.refusals import refused

VARIANTS = tuple(papers.variants("densereg"))
DENSE = ("paper", "stacks_1", "offsets", "small")
TINY: dict[str, Any] = {"size": 32, "channels": 16, "depth": 2, "tau": 1.0}
SETUPS = {"msra21": "msra", "nyu14": "nyu", "icvl16": "icvl", "hands17_21": "hands17"}


@cache
def rendered(count, name, seed):
    return synth.frames(range(count), seed=seed, setup=SETUPS[name], distribution="wide_view")


def create(joints="msra21", variant="paper", **overrides) -> Any:
    return papers.create("densereg", joints, variant, **overrides)


def hands(count=4, name="msra21", turned=True, seed=5) -> Any:
    """Crops of synthetic hands, turned, mirrored and stretched; they have joints."""
    frames = rendered(count, name, seed)
    crops = prepare.crop(
        frames.depth,
        frames.camera,
        prepare.true_centre(frames.joints),
        250.0,
        frames.joints.clone(),
        frames.hands,
    )
    if turned:
        crops = prepare.augment(crops, torch.Generator().manual_seed(seed), aspect=(0.9, 1.1))
        crops.mirror[::2] *= -1
    return crops


def parameters(method):
    return sum(p.numel() for p in method.parameters())


def surface_near(method, crops, stage):
    """(B, J) how many points of the surface lie within θ of each joint, counted one joint after the
    other.
    """
    points = method.points(stage.depth, crops)
    joints = prepare.xyz_to_cube(crops.joints, crops) * (crops.cube / 2)[:, None, None]
    surface = stage.depth[:, 0] >= BACKGROUND
    return torch.stack(
        [
            ((points - joints[:, j, :, None, None]).norm(dim=1) < method.config.theta)
            .logical_and(surface)
            .sum((1, 2))
            for j in range(joints.shape[1])
        ],
        1,
    )


# --- Sizes --------------------------------------------------------------------


def conv(i, o, k=1):
    return k * k * i * o


def conv_bn(i, o, k=1):
    return conv(i, o, k) + 2 * o


def linear(i, o):
    return i * o + o


def res(i, o):
    return (
        conv_bn(i, i // 2)
        + conv_bn(i // 2, i // 2, 3)
        + conv_bn(i // 2, o)
        + (i != o) * conv_bn(i, o)
    )


STEM = conv_bn(1, 32, 7) + res(32, 64) + res(64, 64) + res(64, 128)
HOURGLASS = 12 * res(128, 128)
FEATURES = res(128, 128) + conv_bn(128, 128)


def vectors(maps, joints):
    branch = res(128 + maps, 256) + res(256, 256)
    return (
        2 * branch + res(512, 512) + linear(515, 512) + linear(512, 512) + linear(512, 3 * joints)
    )


def dense(joints, stacks=2):
    """Parameters by the layers of the paper card (Section 4)."""
    near = res(131, 128) + linear(128, joints)
    stack = HOURGLASS + FEATURES + linear(128, joints) + near + vectors(2 * joints, joints)
    link = linear(5 * joints, 128) + linear(128, 128)
    return STEM + stacks * stack + (stacks - 1) * link


def baseline(joints, numbers):
    """Ours: four modules with pools between, three linear layers of 1,024."""

    def regression(channels):
        return (
            res(channels, 128)
            + 3 * res(128, 128)
            + linear(128 * 4 * 4, 1024)
            + linear(1024, 1024)
            + linear(1024, numbers * joints)
        )

    stack = HOURGLASS + FEATURES + linear(128, joints) + regression(129 + joints)
    return regression(128), 2 * stack + linear(joints, 128) + linear(128, 128)


def raw_offsets(joints):
    stack = HOURGLASS + FEATURES + linear(128, joints) + vectors(joints, joints)
    return STEM + 2 * stack + linear(4 * joints, 128) + linear(128, 128)


def test_stages_of_the_card():
    """The table of the card, one line after the other, at 14 joints."""
    assert (STEM, HOURGLASS, FEATURES, linear(128, 14)) == (45_600, 645_120, 70_400, 1_806)
    assert res(131, 128) + linear(128, 14) == 74_206
    assert res(156, 256) + res(256, 256) == 342_180
    assert res(512, 512) == 854_016
    assert linear(515, 512) + linear(512, 512) + linear(512, 42) == 548_394
    assert linear(70, 128) + linear(128, 128) == 25_600


@pytest.mark.parametrize(
    ("variant", "joints", "published", "derived"),
    [
        ("paper", "nyu14", 5_827_804, dense(14)),
        ("paper", "icvl16", 5_856_352, dense(16)),
        ("paper", "msra21", 5_929_262, dense(21)),
        ("stacks_1", "nyu14", 2_923_902, dense(14, stacks=1)),
        ("coordinates", "nyu14", None, STEM + baseline(14, 3)[0]),
        ("detection_coordinates", "nyu14", None, STEM + baseline(14, 3)[1]),
        ("detection_depth", "nyu14", None, STEM + baseline(14, 1)[1]),
        ("offsets", "nyu14", None, raw_offsets(14)),
    ],
)
def test_parameter_counts(variant, joints, published, derived):
    assert published in (None, derived)
    assert parameters(create(joints, variant)) == derived


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_of_every_variant(variant):
    method = create("nyu14", variant, **TINY)
    crops = hands(2, "nyu14")
    y = method(method.encode(crops))
    assert len(y) == method.config.stacks
    true = method.targets(crops)
    for stage in y:
        for name in StackOutput._fields:
            ours, target = getattr(stage, name), getattr(true, name)
            assert (ours is None) == (target is None), name
            assert ours is None or ours.shape == target.shape, name
    loss = method.loss(y, crops)
    assert set(loss) == {"total"} | {
        name for name in StackOutput._fields[1:] if getattr(true, name) is not None
    }
    loss["total"].backward()
    assert [n for n, p in method.named_parameters() if p.grad is None] == []
    assert method.decode(y, crops).shape == (2, 14, 3)


# --- Laws ---------------------------------------------------------------------


@pytest.mark.parametrize("name", SETUPS)
@pytest.mark.parametrize("weights", CHOICES["weights"])
def test_decode_of_targets_is_the_joints(name, weights):
    """Within 0.5 mm, in float32 and any view, of every joint that has K points of the surface
    within θ.
    """
    method = create(name)
    crops = hands(8, name)
    target = method.targets(crops)
    error = (method.decode([target], crops, weights=weights) - crops.joints).norm(dim=-1)
    known = surface_near(method, crops, target) >= method.config.candidates
    assert known.float().mean() > 0.9
    assert error[known].max() < 0.5


@pytest.mark.parametrize("variant", ["coordinates", "detection_coordinates"])
def test_decode_of_true_coordinates_is_exact(variant):
    method, crops = create("nyu14", variant), hands(4, "nyu14")
    assert (method.decode([method.targets(crops)], crops) - crops.joints).norm(dim=-1).max() < 0.01


def test_decode_of_true_detections_is_a_fraction_of_a_pixel():
    """Baseline 3: the depth is exact, a cone is decoded within a tenth of a pixel of 7.8 mm."""
    method, crops = (
        create("nyu14", "detection_depth"),
        hands(8, "nyu14", turned=False),
    )
    inside = (prepare.to_view(crops.joints, crops)[..., :2].abs() < 0.7).all(-1)  # whole cones
    error = method.decode([method.targets(crops)], crops) - crops.joints
    assert inside.float().mean() > 0.8
    assert error[..., 2].abs().max() < 0.01
    pixel = crops.cube[0] / 32
    assert (
        error[inside].norm(dim=-1).max() < 0.1 * pixel * 1.3
    )  # 1.3: a joint nearer to the camera or farther than the centre


def test_baseline_4_needs_candidates_near_the_joint():
    """Raw offsets are exact everywhere, so that their decoding is, wherever a candidate is."""
    method, crops = create("nyu14", "offsets"), hands(4, "nyu14")
    assert (method.decode([method.targets(crops)], crops) - crops.joints).norm(dim=-1).max() < 0.5


def test_a_joint_without_surface_is_left_at_a_point_of_the_surface():
    """All maps are empty there: the votes are pixels that know nothing, and the error is at least
    θ.
    """
    method, crops = create("nyu14"), hands(2, "nyu14")
    crops.joints[:, 0] = crops.centre + torch.tensor([0.0, 0.0, 200.0])  # far behind the hand
    target = method.targets(crops)
    assert surface_near(method, crops, target)[:, 0].tolist() == [0, 0]
    points, surface = (
        method.points(target.depth, crops).flatten(2),
        (target.depth >= BACKGROUND).flatten(1),
    )
    votes, _ = method.votes(target, crops)
    for n in range(2):
        apart = torch.cdist(votes[n, 0], points[n].T[surface[n]]).amin(1)
        assert apart.max() < 0.01  # S = 0 and V = 0: a vote is its own pixel
    error = (method.decode([target], crops) - crops.joints)[:, 0].norm(dim=-1)
    assert error.min() >= method.config.theta


def test_targets_by_hand():
    """Equations 1 and 2 (divided by θ and τ, from point to joint), pixel by pixel."""
    method, crops = (
        create("nyu14", **{**TINY, "tau": 1.5}),
        hands(1, "nyu14", turned=False),
    )
    target, theta = method.targets(crops), 80.0
    centre, joints = crops.centre[0], crops.joints[0]
    sign = torch.tensor([crops.mirror[0].item(), 1.0, 1.0])
    half = 125 / crops.centre[0, 2].item()
    image = method.encode(crops)[0, 0]
    for row, column in ((2, 3), (4, 4), (5, 2), (0, 0), (7, 7)):
        depth = image[4 * row, 4 * column].item()
        z = centre[2].item() + (250 * depth - 125 if depth >= 0 else 125)
        u0, v0 = (centre[:2] / centre[2]).tolist()
        x = (sign[0].item() * ((4 * column + 0.5) / 16 - 1) * half + u0) * z
        y = (((4 * row + 0.5) / 16 - 1) * half + v0) * z
        for j in (0, 5, 13):
            apart = (joints[j] - torch.tensor([x, y, z])) * sign
            distance = apart.norm().item()
            assert target.heat3d[0, j, row, column].item() == pytest.approx(
                max(0.0, (theta - distance) / theta), abs=1e-4
            )
            expected = (apart / distance).tolist() if distance <= theta else [0.0, 0.0, 0.0]
            assert target.vectors[0, j, :, row, column].tolist() == pytest.approx(
                expected, abs=1e-3
            )
            place = (
                sign[:2] * (joints[j, :2] / joints[j, 2] - centre[:2] / centre[2]) / half + 1
            ) * 16
            flat = ((place - 0.5) / 4 - torch.tensor([column, row])).norm().item()
            assert target.heat2d[0, j, row, column].item() == pytest.approx(
                max(0.0, 1 - flat / 1.5), abs=1e-3
            )


def test_points_stand_on_the_surface_that_the_crop_shows():
    method, crops = create("msra21"), hands(2, turned=False)
    target = method.targets(crops)
    points = method.points(target.depth, crops)
    surface = target.depth[:, 0] >= BACKGROUND
    xyz = prepare.cube_to_xyz(points.flatten(2).transpose(1, 2) / 125, crops)
    uv = (
        xyz[..., :2] / xyz[..., 2:] * crops.camera[:, None, :2]
        + crops.camera[:, None, 2:]
        - crops.origin[:, None]
    )
    for n in range(2):
        column, row = uv[n, surface[n].flatten()].round().long().unbind(-1)
        measured = crops.depth[n, row, column]
        assert ((measured - xyz[n, surface[n].flatten(), 2]).abs() < 0.05).float().mean() > 0.98
    assert torch.allclose(
        points[:, 2][~surface], torch.tensor(125.0), atol=1e-3
    )  # background: the far side of the cube


def test_the_error_of_a_read_out_is_the_same_in_every_view():
    """The true joints come back whatever the view, so that only the pixels chosen may differ."""
    method = create("msra21")
    straight = hands(4, turned=False)
    turned = replace(straight, rotation=straight.rotation + 1.0, mirror=-straight.mirror)
    for crops in (straight, turned):
        assert (method.decode([method.targets(crops)], crops) - crops.joints).norm(
            dim=-1
        ).max() < 0.5


def test_algorithm_1_chooses_and_weighs_as_it_says():
    """K best by S, for the code's equal weights by (1 + R) S; background never; weight R where a
    vote falls, or (1 + R) S where it comes from.
    """
    torch.manual_seed(1)
    method, crops = create("nyu14"), hands(2, "nyu14")
    true = method.targets(crops)
    stage: Any = StackOutput(
        true.depth,
        torch.rand(2, 14, 32, 32),
        torch.rand(2, 14, 32, 32),
        0.1 * torch.randn(2, 14, 3, 32, 32),
    )
    points, surface = method.points(true.depth, crops), true.depth[0, 0] >= BACKGROUND
    for kind, selection in (
        ("projected", "paper"),
        ("projected", "reference"),
        ("pixel", "paper"),
        ("equal", "paper"),
    ):
        config = replace(method.config, weights=kind, selection=selection)
        votes, weights = method.votes(stage, crops, config)
        for j in (0, 9):
            importance = (1 + stage.heat2d[0, j]) * stage.heat3d[0, j]
            by_s = selection == "paper" and kind != "equal"
            score = stage.heat3d[0, j] if by_s else importance
            best = sorted(
                ((score[r, c].item(), r, c) for r in range(32) for c in range(32) if surface[r, c]),
                reverse=True,
            )[:5]
            for k, (_, r, c) in enumerate(best):
                vote = (
                    points[0, :, r, c]
                    + 80 * (1 - stage.heat3d[0, j, r, c]) * stage.vectors[0, j, :, r, c]
                )
                assert votes[0, j, k].tolist() == pytest.approx(vote.tolist(), abs=1e-3)
                xyz = prepare.cube_to_xyz(
                    vote[None, None] / (crops.cube[:1] / 2), crops.index(slice(0, 1))
                )
                column, row = (
                    (
                        ((prepare.to_view(xyz, crops.index(slice(0, 1)))[0, 0, :2] + 1) * 64 - 0.5)
                        / 4
                    )
                    .round()
                    .long()
                    .tolist()
                )
                inside = 0 <= column < 32 and 0 <= row < 32
                expected = {
                    "projected": stage.heat2d[0, j, row, column].item() if inside else 0.0,
                    "pixel": importance[r, c].item(),
                    "equal": 1.0,
                }[kind]
                assert weights[0, j, k].item() == pytest.approx(expected)


@pytest.mark.parametrize("variant", ["paper", "offsets"])
def test_equation_3_as_loops(variant):
    """Half the squares, one by one; baseline 4 counts offsets where the joint is near."""
    method, crops = create("nyu14", variant, **TINY), hands(2, "nyu14")
    with torch.no_grad():
        y = method(method.encode(crops))
        loss, true = method.loss(y, crops), method.targets(crops)
    expected = {}
    for name in ("heat2d", "heat3d", "vectors"):
        target = getattr(true, name)
        if target is None:
            continue
        total = 0.0
        for stage in y:
            error = (getattr(stage, name) - target).square()
            for n, j in ((n, j) for n in range(2) for j in range(14)):
                if (variant, name) == ("offsets", "vectors"):
                    near = surface_distance(true, n, j) <= 1
                    total += error[n, j][:, near].sum().item() / 2
                else:
                    total += error[n, j].sum().item() / 2
        expected[name] = total
        assert loss[name].item() == pytest.approx(total, rel=1e-4)
    assert loss["total"].item() == pytest.approx(sum(expected.values()), rel=1e-4)


def surface_distance(true, n, j):
    """(h, w) distance to a joint in units of θ, from the targets of baseline 4."""
    return true.vectors[n, j].square().sum(0).sqrt()


# --- Building blocks ----------------------------------------------------------


def test_bottleneck_counts_and_sum():
    assert parameters(Bottleneck(128, 128)) == 53_760
    assert parameters(Bottleneck(131, 128)) == 72_400  # half of 131 is 65
    block, x = Bottleneck(8, 8), torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x), block.body(x) + x)
    assert (block(x - 10) < 0).any()  # nothing follows the sum
    assert parameters(Hourglass(Bottleneck, 128, 4)) == 12 * 53_760
    assert Hourglass(Bottleneck, 16, 3)(torch.randn(2, 16, 12, 10)).shape == (2, 16, 12, 10)


def test_batch_renorm_with_closed_limits_is_batch_norm():
    """At the first update r = 1 and |d| ≤ 0.001."""
    x = 3 + 2 * torch.randn(8, 5, 6, 7)
    layer = BatchRenorm(5)
    expected = F.batch_norm(x, None, None, training=True, eps=layer.eps)
    assert (layer(x) - expected).abs().max() < 0.0011
    torch.testing.assert_close(layer.running_mean, 0.01 * x.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        layer.running_var, 0.99 + 0.01 * x.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-5
    )


def test_batch_renorm_with_open_limits_trains_as_it_tests():
    x = 0.3 + 1.2 * torch.randn(8, 5, 6, 7)
    layer: Any = BatchRenorm(5)
    layer.num_batches_tracked.fill_(100_000_000)  # r_max 3, d_max 5
    tested = layer.eval()(x)
    torch.testing.assert_close(layer.train()(x), tested, rtol=1e-4, atol=1e-4)


def test_limits_open_slowly():
    layer: Any = BatchRenorm(1, pace=1.0)
    opened = []
    for updates in range(30):
        layer.num_batches_tracked.fill_(updates)
        opened.append([float(limit) for limit in layer.limits()])
    r_max, d_max = zip(*opened)
    assert (r_max[0], d_max[0]) == pytest.approx((1, 0.001))
    assert (r_max[-1], d_max[-1]) == pytest.approx((3, 5))
    assert list(r_max) == sorted(r_max) and list(d_max) == sorted(d_max)


def test_no_gradient_flows_through_the_corrections():
    """The gradient is batch norm's, times r."""
    torch.manual_seed(3)
    x = (2 * torch.randn(4, 3, 5, 5) + 1).requires_grad_()
    layer: Any = BatchRenorm(3)
    layer.num_batches_tracked.fill_(100_000_000)
    layer.running_var.fill_(2.0)
    up = torch.randn(4, 3, 5, 5)
    r = (
        (x.detach().var((0, 2, 3), correction=0) + layer.eps) / (layer.running_var + layer.eps)
    ).sqrt()
    (ours,) = torch.autograd.grad((layer(x) * up).sum(), x)
    (plain,) = torch.autograd.grad(
        (F.batch_norm(x, None, None, training=True, eps=layer.eps) * up).sum(), x
    )
    torch.testing.assert_close(ours, plain * r[:, None, None], rtol=1e-4, atol=1e-5)


def test_renormalise_replaces_every_batch_norm():
    network = renormalise(nn.Sequential(Bottleneck(8, 16), BatchNorm(16)))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 5 and all(isinstance(m, BatchRenorm) for m in norms)
    used = {type(m) for m in create("nyu14", **TINY, normalisation="batch").modules()}
    assert BatchRenorm not in used and BatchNorm in used


def test_cones_and_peaks():
    places = torch.tensor([[[4.0, 6.0], [3.3, 5.8], [0.0, 0.0], [11.4, 3.5]]])
    heat = cones(places, 10, 12, radius=4.0)
    assert heat.shape == (1, 4, 10, 12)
    assert (
        heat[0, 0, 6, 4] == 1
        and heat[0, 0, 6, 7].item() == pytest.approx(0.25)
        and heat[0, 0, 6, 8] == 0
    )
    assert at(heat, places[:, :, None])[0, 0, 0] == 1
    assert at(heat, places[:, :, None] + 50).sum() == 0  # outside: no weight
    found = peaks(heat, radius=4.0)
    assert (found - places)[0, :2].abs().max() < 0.1
    assert (found - places)[0, 2].abs().max() < 1  # half a cone at the border leans inwards
    assert peaks(torch.zeros(1, 1, 5, 5), 4.0).tolist() == [[[0.0, 0.0]]]


# --- Numerics and training ----------------------------------------------------


def test_maps_are_judged_and_merged_in_float32_under_autocast():
    method, crops = create("nyu14", **TINY), hands(2, "nyu14")
    with torch.autocast("cpu", torch.bfloat16):
        y = method(method.encode(crops))
        loss = method.loss(y, crops)
    assert y[-1].depth.dtype == torch.float32
    assert {value.dtype for value in loss.values()} == {torch.float32}
    assert method.decode(y, crops).dtype == torch.float32


@pytest.mark.parametrize("variant", ["paper", "detection_depth", "offsets"])
def test_a_training_step_never_waits_for_the_device(variant):
    """Reading a value is an error on the device without memory; other heads and starts."""
    method, crops = (
        create("nyu14", variant, **TINY).to("meta"),
        hands(2, "nyu14").to("meta"),
    )
    y = method(method.encode(crops))
    method.loss(y, crops)["total"].backward()
    assert method.decode(y, crops).shape == (2, 14, 3)
    assert method.decode(y, crops, start="reference").shape == (2, 14, 3)


def test_a_step_of_the_paper():
    """The paper's own network and recipe, one frame: every parameter moves, nothing overflows."""
    recipe = papers.recipe("densereg", "nyu", "paper")
    method, crops = create("nyu14", **recipe.network), hands(1, "nyu14")
    crops = prepare.augment(crops, torch.Generator().manual_seed(0), **recipe.augmentation)
    optimiser = torch.optim.Adam(
        method.parameter_groups(recipe.weight_decay), lr=recipe.lr, betas=recipe.betas
    )
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    loss = method.loss(method(method.encode(crops)), crops)["total"]
    loss.backward()
    optimiser.step()
    assert loss.isfinite()
    still = [name for name, p in method.named_parameters() if torch.equal(p, before[name])]
    assert still == []


def test_small_learns_a_handful_of_crops():
    """8 hands by heart, 60 updates: a third is left of the loss of maps that say nothing."""
    network = papers.recipe("densereg", profile="laptop", variant="small").network
    method, crops = (
        create("nyu14", "small", **network),
        hands(8, "nyu14", turned=False),
    )
    optimiser = torch.optim.AdamW(method.parameter_groups(1e-3), lr=3e-3)
    x, true = method.encode(crops), method.targets(crops)
    silent = method.loss(
        [
            true._replace(
                **{n: torch.zeros_like(getattr(true, n)) for n in ("heat2d", "heat3d", "vectors")}
            )
        ],
        crops,
    )
    loss = silent["total"]
    for _ in range(60):
        loss = method.loss(method(x), crops)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < silent["total"] / 3


def test_decay_spares_norms_biases_and_what_feeds_the_next_stack():
    method = create("nyu14", **TINY)
    decayed, free = method.parameter_groups(5e-4)
    assert (decayed["weight_decay"], free["weight_decay"]) == (5e-4, 0)
    kernels = {
        id(m.weight)
        for part in (method.stem, method.stacks)
        for m in part.modules()
        if isinstance(m, nn.Conv2d)
    }
    assert {id(p) for p in decayed["params"]} == kernels
    assert sum(p.numel() for g in (decayed, free) for p in g["params"]) == parameters(method)


# --- Names and errors ---------------------------------------------------------


def test_the_default_is_the_paper():
    assert create("nyu14").config == Config()
    assert (
        Config().theta,
        Config().tau,
        Config().candidates,
        Config().sigma,
        Config().iterations,
    ) == (80, 4, 5, 40, 10)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (
            lambda: create("nyu14", head="heatmaps"),
            ["heatmaps", "dense", "offsets"],
        ),
        (lambda: create("nyu14", size=30), ["30", "multiples of 4 from 32"]),
        (lambda: create("nyu14", tau=0.0), ["tau 0.0", "> 0"]),
        (lambda: create("nyu14", dropout=1.0), ["dropout 1.0", "below 1"]),
        (lambda: create("nyu14", candidates=2000), ["candidates 2000", "1024"]),
        (
            lambda: create("nyu14", "coordinates", stacks=2),
            ["coordinates", "accepted is 1"],
        ),
        (
            lambda: create("nyu14")(torch.zeros(2, 1, 96, 96)),
            ["(2, 1, 96, 96)", "(B, 1, 128, 128)"],
        ),
        (
            lambda: create("nyu14", **TINY).decode(
                [create("nyu14", **TINY).targets(hands(1, "nyu14"))],
                hands(1, "nyu14"),
                sigma=-1.0,
            ),
            ["sigma -1.0", "> 0"],
        ),
    ],
)
def test_errors_name_what_is_accepted(call, names):
    refused(call, names)


def test_recipes():
    paper = papers.recipe("densereg", "nyu", "paper")
    assert (paper.optimiser, paper.lr, paper.betas, paper.batch, paper.epochs) == (
        "adam",
        1e-3,
        (0.5, 0.999),
        40,
        80,
    )
    assert (paper.gamma, paper.every) == (0.1, 10)
    msra = papers.recipe("densereg", "msra", "paper")
    assert (msra.gamma, msra.every) == (0.1, 20)
    assert (paper.weight_decay, paper.weight_decay_mode, paper.network) == (5e-4, "coupled", {})
