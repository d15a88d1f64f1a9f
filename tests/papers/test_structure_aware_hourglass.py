"""The Structure-Aware 3D Hourglass against the arithmetic of its layers, its equations, and the
laws of its cube.
"""

from dataclasses import replace
from math import exp, pi
from typing import Any

import pytest
import torch

from handpose_lib import papers, prepare, skeleton
from handpose_lib.evaluation import metrics
from handpose_lib.nets.hourglass import Hourglass
from handpose_lib.nets.likelihood import arg_max, gaussian_maps
from handpose_lib.papers.method import PROFILES
from handpose_lib.papers.structure_aware_hourglass import VARIANTS as OVERRIDES
from handpose_lib.papers.structure_aware_hourglass import Config, StackOutput, xy_error
from handpose_lib.prepare import voxels
from tests.papers.test_jgr_p2o import blobs, parameters
from tests.support.clouds import points
from tests.support.refusals import refused

SKELETONS = ("msra21", "nyu14", "icvl16", "hands17_21", "itop15")
VARIANTS = tuple(papers.variants("structure_aware_hourglass"))
TINY: dict[str, Any] = {"size": 16, "channels": 8, "depth": 2, "hidden": 8, "pool": 2}


def unbuilt(joints="nyu14", variant="paper", **overrides) -> Any:
    """A method on the device without memory: enough to count."""
    with torch.device("meta"):
        return papers.create("structure_aware_hourglass", joints, variant, **overrides)


def tiny(variant="paper", joints="nyu14", **overrides) -> Any:
    torch.manual_seed(0)
    return papers.create("structure_aware_hourglass", joints, variant, **{**TINY, **overrides})


# --- Sizes --------------------------------------------------------------------


def conv(i, o, k=1, d=3):
    return k**d * i * o + o


def bottleneck(c, d=3):
    """BN, 1×1×1, BN, 3×3×3, BN, 1×1×1, all with biases."""
    return 2 * c + conv(c, c // 2) + c + conv(c // 2, c // 2, 3, d) + c + conv(c // 2, c)


def arithmetic(joints, bones, depth=4, c=128, d=3, stacks=2):
    """Parameters by the layers of the paper card (Sections 4.2 and 4.3)."""
    stem = conv(1, c, 3, d) + 2 * c
    features = (3 * depth + 1 + 1) * bottleneck(c, d) + conv(c, c) + 2 * c
    links = (stacks - 1) * (conv(c, c) + conv(joints + bones, c))
    return (
        stem + stacks * features + (stacks - 1) * conv(c, joints + bones) + conv(c, joints) + links
    )


@pytest.mark.parametrize(
    ("name", "depth", "card"),
    [
        ("msra21", 4, 3_644_094),
        ("nyu14", 4, 3_639_593),
        ("msra21", 3, 2_877_630),
        ("nyu14", 3, 2_873_129),
        ("msra21", 2, 2_111_166),
        ("nyu14", 2, 2_106_665),
    ],
)
def test_parameter_counts(name, depth, card):
    joints = len(skeleton.get(name))
    assert arithmetic(joints, joints - 1, depth) == card
    assert parameters(unbuilt(name, depth=depth)) == card


def test_a_residual_module_by_hand():
    """Card, Section 4.3: 127,744 for 128-64-64-128; with 885,504 for two full convolutions it would
    be more than 24 M in all.
    """
    assert bottleneck(128) == 127_744
    assert 2 * (conv(128, 128, 3) + 2 * 128) == 885_504
    full = unbuilt("msra21", residual="full")
    assert parameters(full) - parameters(unbuilt("msra21")) == 2 * 14 * (885_504 - 127_744)
    assert parameters(full) > 24e6


def test_variants_differ_by_what_they_name():
    counts = {name: parameters(unbuilt("msra21", name)) for name in VARIANTS}
    assert counts["own_cube"] == counts["paper"]
    assert counts["no_bones"] == arithmetic(21, 0)
    assert counts["heatmap_2d"] == arithmetic(21, 0, d=2)
    assert counts["heatmap_2d_bones"] == arithmetic(21, 20, d=2)
    for name, d in (("direct_3d", 3), ("direct_2d", 2)):
        layers = (
            128 * 4**d + 1
        ) * 1024 + 1025 * 63  # instead of the 1×1×1 of two stacks and a link
        maps = (
            arithmetic(21, 0, d=d) - 2 * (conv(128, 128) + 2 * 128 + conv(128, 21)) - conv(21, 128)
        )
        assert counts[name] == maps + 2 * layers


def test_options_add_what_they_name():
    count = parameters(unbuilt())
    assert parameters(unbuilt(residuals=2)) - count == 2 * bottleneck(128)
    assert count - parameters(unbuilt(merge="plain")) == conv(128, 128)
    assert parameters(unbuilt(stacks=3)) == arithmetic(14, 13, stacks=3)
    assert parameters(unbuilt(stacks=1)) == arithmetic(14, 0, stacks=1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_of_every_variant(variant):
    method, crops = tiny(variant), blobs(2, joints=14)
    axes = method.config.dimensions
    x = method.encode(crops)
    assert x.shape == (2, 1, *[16] * axes)
    y = method(x)
    assert len(y) == 2
    for output, bones in zip(y, (method.config.bones, False)):
        assert output.joints.shape == ((2, 14, 3) if "direct" in variant else (2, 14, *[8] * axes))
        assert output.bones.shape == (2, 13, *[8] * axes) if bones else output.bones is None
    method.loss(y, crops)["total"].backward()
    assert {n for n, p in method.named_parameters() if p.grad is None} == set()
    assert method.decode(y, crops).shape == (2, 14, 3)


def test_maps_of_the_papers_size():
    """64³ voxels in, 41 maps of 32³ from the first stack and 21 from the second; the hourglass goes
    down to 2³.
    """
    method, seen = unbuilt("msra21"), []
    level = method.stacks[0].hourglass[0]
    while isinstance(level, Hourglass):
        level.down.register_forward_hook(lambda _, __, out: seen.append(out.shape[-1]))
        level = level.inner
    first, second = method(torch.zeros(1, 1, 64, 64, 64, device="meta"))
    assert first.joints.shape[1] + first.bones.shape[1] == 41
    assert second.joints.shape == (1, 21, 32, 32, 32)
    assert second.bones is None
    assert seen == [16, 8, 4, 2]


@pytest.mark.parametrize(
    "options",
    [
        {"residual": "full"},
        {"merge": "plain"},
        {"bone_map": "middle"},
        {"residuals": 2},
        {"stacks": 3},
        {"stacks": 1},
        {"peak": 30.0},
    ],
)
def test_options_train(options):
    method, crops = tiny(**options), blobs(2, joints=14)
    y = method(method.encode(crops))
    method.loss(y, crops)["total"].backward()
    assert all(torch.isfinite(p.grad).all() for p in method.parameters())


# --- Bones --------------------------------------------------------------------


def test_the_second_stack_sees_the_bone_maps():
    method, crops = tiny().eval(), blobs(1, joints=14)
    y = method(method.encode(crops))
    (grad,) = torch.autograd.grad(y[1].joints.square().sum(), method.stacks[0].head.weight)
    assert (grad[14:].flatten(1).norm(dim=1) > 0).all()  # the channels of the bones


@pytest.mark.parametrize("axes", [3, 2])
def test_bone_maps_are_bells_of_the_distance_to_the_bone(axes):
    """Against a loop over voxels and bones."""
    method, crops = (
        tiny("paper" if axes == 3 else "heatmap_2d_bones", cube="fixed"),
        blobs(1, joints=14),
    )
    to_cube = prepare.xyz_to_cube if axes == 3 else prepare.to_view
    place = voxels.to_voxels(to_cube(crops.joints, crops), 8)[0, :, :axes].double()
    maps = method.targets(crops).bones[0]
    for number, (child, parent) in enumerate(skeleton.get("nyu14").bones):
        a, b = place[child], place[parent]
        for index in ((0,) * axes, (3,) * axes, (1, 6, 4)[:axes], (7, 2, 5)[:axes]):
            v = torch.tensor(index[::-1], dtype=torch.float64)  # [z][y][x] is the place (x, y, z)
            t = min(max(float((v - a) @ (b - a) / ((b - a) @ (b - a))), 0), 1)
            distance = (v - a - t * (b - a)).norm().item()
            assert maps[(number, *index)].item() == pytest.approx(
                exp(-(distance**2) / (2 * 0.5**2)), rel=1e-3, abs=1e-6
            )


def test_a_bone_can_be_its_middle():
    method, crops = tiny(bone_map="middle", cube="fixed"), blobs(2, joints=14)
    child, parent = (list(side) for side in zip(*method.skeleton.bones))
    middle = (crops.joints[:, child] + crops.joints[:, parent]) / 2
    places = voxels.to_voxels(prepare.xyz_to_cube(middle, crops), 8)
    torch.testing.assert_close(
        method.targets(crops).bones, gaussian_maps(places, 8, 0.5), rtol=1e-3, atol=1e-5
    )


def test_bones_are_supervised_at_all_stacks_but_the_last():
    method, crops = tiny(stacks=3), blobs(2, joints=14)
    true = method.targets(crops)
    y = [true, true, true._replace(bones=None)]
    assert method.loss(y, crops)["total"] == 0
    off = method.loss([true, true._replace(bones=true.bones + 1), y[2]], crops)
    assert off["bones"].item() == pytest.approx(
        13 * 8**3
    )  # Eq. 2: sums, no mean but over the batch
    assert off["joints"] == 0
    assert set(method.loss([true._replace(bones=None)], crops)) == {"joints", "total"}


def test_loss_as_loops():
    method, crops = tiny(), blobs(2, joints=14)
    y, true = method(method.encode(crops)), method.targets(crops)

    def squares(a, b):
        return sum((p - q) ** 2 for p, q in zip(a.flatten().tolist(), b.flatten().tolist()))

    terms = method.loss(y, crops)
    assert terms["joints"].item() == pytest.approx(
        sum(squares(out.joints, true.joints) for out in y) / 2, rel=1e-4
    )
    assert terms["bones"].item() == pytest.approx(squares(y[0].bones, true.bones) / 2, rel=1e-4)
    assert terms["total"].item() == pytest.approx(
        terms["joints"].item() + terms["bones"].item(), rel=1e-6
    )


# --- Read-out -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "card"),
    [(1, 0.480), (4, 0.197), (8, 0.154), (16, 0.083), (27, 0.053), (64, 0.015), (125, 0.004)],
)
def test_top_k_of_targets_is_as_far_off_as_the_card_says(k, card):
    """Mean over joints at random places between voxels, in voxels; within five standard errors and
    the card's rounding.
    """
    method: Any = papers.create(
        "structure_aware_hourglass", "msra21", "small", size=64, cube="fixed"
    )
    crops = blobs(12, reach=70.0, turned=False)
    decoded = method.decode([method.targets(crops)], crops, k=k)
    off = (decoded - crops.joints).norm(dim=-1).flatten() / (250 / 32)
    assert abs(off.mean().item() - card) < 5 * off.std().item() / len(off) ** 0.5 + 0.0005
    assert off.max() <= 0.75**0.5 + 1e-4  # half the diagonal of a voxel


@pytest.mark.parametrize("name", SKELETONS)
def test_decode_of_targets_is_the_joints(name):
    """In any view, within half the diagonal of a voxel, which an aspect of 0.8 makes longer."""
    method, crops = (
        tiny("paper", name, size=32, cube="fixed", k=1),
        blobs(4, joints=len(skeleton.get(name))),
    )
    off = (method.decode([method.targets(crops)], crops) - crops.joints).norm(dim=-1)
    assert off.max() <= 0.75**0.5 * 250 / 16 / 0.8
    off = (method.decode([method.targets(crops)], crops, k=64) - crops.joints).norm(dim=-1)
    assert off.mean() < 0.05 * 250 / 16 / 0.8


@pytest.mark.parametrize("variant", ["direct_3d", "direct_2d"])
def test_decode_of_coordinates_is_exact(variant):
    method, crops = tiny(variant), blobs(4, joints=14)
    assert (method.decode([method.targets(crops)], crops) - crops.joints).norm(dim=-1).max() < 0.01


def test_read_out_does_not_mind_the_height_of_the_targets():
    crops = blobs(2, joints=14)
    low, high = tiny(k=27), tiny(k=27, peak=30.0)
    torch.testing.assert_close(
        low.decode([low.targets(crops)], crops),
        high.decode([high.targets(crops)], crops),
        rtol=1e-4,
        atol=1e-3,
    )


def test_one_voxel_is_the_highest():
    method, crops = tiny(cube="fixed"), blobs(3, joints=14)
    y = method(method.encode(crops))
    expected = prepare.cube_to_xyz(voxels.from_voxels(arg_max(y[-1].joints), 8), crops)
    torch.testing.assert_close(method.decode(y, crops, k=1), expected, rtol=1e-5, atol=1e-3)


# --- Two dimensions -----------------------------------------------------------


def test_2d_maps_find_pixels_and_the_depth_of_the_surface_there():
    """Discs at the joints' own depths: where a joint's disc is in front, the decoded joint is the
    true one.
    """
    method, crops = (
        tiny("heatmap_2d", size=64, cube="fixed", k=64),
        blobs(6, joints=14, reach=80.0, turned=False),
    )
    decoded = method.decode([method.targets(crops)], crops)
    pixel = prepare.to_view(crops.joints, crops)[..., :2] - prepare.to_view(decoded, crops)[..., :2]
    assert pixel.norm(dim=-1).max() < 0.1 * 2 / 32  # a tenth of a pixel of the maps
    z = crops.joints[..., 2]
    in_front = (decoded[..., 2] - z).abs() < 0.01
    assert in_front.float().mean() > 0.8
    assert (decoded - crops.joints)[in_front].norm(dim=-1).max() < 0.1 * 250 / 32
    covered = decoded[~in_front][:, None, 2] - z[~in_front][:, None]
    assert (covered < 0).all()  # otherwise what covers it


def test_2d_maps_without_a_surface_have_the_centres_depth():
    method, crops = tiny("heatmap_2d", cube="fixed"), blobs(3, joints=14)
    empty = replace(crops, depth=torch.zeros_like(crops.depth))
    decoded = method.decode([method.targets(empty)], empty)
    torch.testing.assert_close(decoded[..., 2], crops.centre[:, 2:].expand(-1, 14))


def test_xy_error_leaves_depth_out():
    g = torch.Generator().manual_seed(0)
    true = torch.randn(7, 14, 3, generator=g)
    flat = true + torch.randn(7, 14, 3, generator=g) * torch.tensor([1.0, 1.0, 0])
    assert xy_error(flat, true) == pytest.approx(metrics.mean_joint_error(flat, true).item())
    deep = flat + 50 * torch.randn(7, 14, 3, generator=g) * torch.tensor([0, 0, 1.0])
    assert xy_error(deep, true) == pytest.approx(xy_error(flat, true))
    assert xy_error(deep, true) < metrics.mean_joint_error(deep, true).item()


# --- The cube -----------------------------------------------------------------


@pytest.mark.parametrize("variant", ["paper", "heatmap_2d_bones"])
def test_a_cube_of_its_own_does_not_mind_the_crops(variant):
    """Another centre and side, all points inside both: the same input, the same targets, the same
    joints.
    """
    method, crops = tiny(variant), blobs(3, joints=14, reach=60.0)
    moved = replace(
        crops, centre=crops.centre + torch.tensor([9.0, -7.0, 5.0]), cube=crops.cube + 30
    )
    # But for pixels and voxels at whose border rounding decides.
    assert (method.encode(crops) - method.encode(moved)).abs().gt(1e-3).float().mean() < 2e-3
    for one, other in zip(method.targets(crops), method.targets(moved)):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    y = [method.targets(crops)]
    torch.testing.assert_close(
        method.decode(y, crops), method.decode(y, moved), rtol=1e-4, atol=1e-2
    )
    fixed = tiny(variant, cube="fixed")
    assert not torch.equal(fixed.encode(crops), fixed.encode(moved))


def test_augmentation_pushes_no_point_out_of_a_cube_of_its_own():
    """Every measured point is inside, however the view is turned and stretched."""
    method, crops = tiny(cube="cloud"), blobs(6, joints=14, reach=60.0)
    recipe = papers.recipe("structure_aware_hourglass", "msra", "paper")
    for seed in range(5):
        seen = prepare.augment(crops, torch.Generator().manual_seed(seed), **recipe.augmentation)
        assert (seen.aspect != 1).all() and (seen.rotation != crops.rotation).all()
        found, measured = points(seen)
        n = prepare.xyz_to_cube(found, method.seen(seen))
        assert n.abs().amax(-1)[measured].max() < 1
        assert n.abs().amax(-1).masked_fill(~measured, 0).amax(1).min() > 0.99


def test_a_cube_of_its_own_fits():
    """Its points reach two opposite faces of it, and none is lost."""
    method, crops = tiny(cube="cloud"), blobs(4, joints=14, turned=False, reach=60.0)
    x = method.encode(crops)
    faces = [
        x.select(axis, 0).flatten(1).any(1) & x.select(axis, 15).flatten(1).any(1)
        for axis in (2, 3, 4)
    ]
    assert torch.stack(faces).any(0).all()
    assert (method.seen(crops).cube < crops.cube).all()
    assert torch.equal(method.seen(crops).rotation, crops.rotation)


def test_frames_without_points_train():
    method, crops = tiny(), blobs(2, joints=14)
    empty = replace(crops, depth=torch.zeros_like(crops.depth))
    assert torch.isfinite(method.loss(method(method.encode(empty)), empty)["total"])


# --- Numerics and training ----------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_step_never_waits_for_the_device(variant):
    """Reading a value is an error on the device without memory."""
    method, crops = tiny(variant).to("meta"), blobs(4, joints=14).to("meta")
    y = method(method.encode(crops))
    method.loss(y, crops)["total"].backward()
    assert method.decode(y, crops).shape == (4, 14, 3)


def test_one_step_of_the_papers_own_network():
    """3.6 M parameters, 64³ voxels, one crop, the paper's optimiser: every tensor moves, and stays
    finite.
    """
    torch.manual_seed(0)
    recipe = papers.recipe("structure_aware_hourglass", "nyu", "paper")
    method, crops = (
        papers.create("structure_aware_hourglass", "nyu14", **recipe.network),
        blobs(1, joints=14),
    )
    momentum, smoothing = recipe.betas
    optimiser = torch.optim.RMSprop(
        method.parameters(), lr=recipe.lr, alpha=smoothing, momentum=momentum
    )
    before = [p.detach().clone() for p in method.parameters()]
    method.loss(method(method.encode(crops)), crops)["total"].backward()
    optimiser.step()
    after = [p.detach() for p in method.parameters()]
    assert all(torch.isfinite(p).all() for p in after)
    assert all((a != b).any() for a, b in zip(after, before))


def test_it_learns_one_batch():
    """Maps begin near zero, which is as far off as the targets are high; from there both terms fall
    to less than half.
    """
    torch.manual_seed(0)
    method = tiny(channels=16, cube="fixed")
    crops = blobs(8, joints=14, reach=60.0, turned=False)
    optimiser = torch.optim.AdamW(method.parameter_groups(1e-3), lr=5e-3)
    x, target, curve = method.encode(crops), method.targets(crops), []
    for _ in range(60):
        losses = method.loss(method(x), crops)
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
        curve.append({name: value.item() for name, value in losses.items()})
    for name, stacks in (("joints", 2), ("bones", 1)):
        nothing = stacks * getattr(target, name).square().sum().item() / len(crops)
        assert curve[0][name] == pytest.approx(nothing, rel=0.1)
        assert curve[-1][name] < nothing / 2


# --- Names, recipes and errors ------------------------------------------------


def test_names_and_variants():
    for row in ("B1", "B2", "B3", "B4", "B5"):
        assert (
            sum(
                line.startswith(row)
                for line in papers.variants("structure_aware_hourglass").values()
            )
            == 1
        )
    assert (Config().size, Config().side, Config().channels, Config().stacks, Config().depth) == (
        64,
        32,
        128,
        2,
        4,
    )
    assert (Config().sigma_joints, Config().sigma_bones, Config().cube) == (1.0, 0.5, "cloud")


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (
            lambda: papers.create("structure_aware_hourglass", head="maps"),
            ["maps", "heatmaps", "coordinates"],
        ),
        (
            lambda: papers.create("structure_aware_hourglass", cube="tight"),
            ["tight", "cloud", "fixed"],
        ),
        (
            lambda: papers.create("structure_aware_hourglass", residual="fast"),
            ["fast", "bottleneck", "full"],
        ),
        (lambda: papers.create("structure_aware_hourglass", dimensions=4), ["4", "3", "2"]),
        (
            lambda: papers.create("structure_aware_hourglass", size=48),
            ["size 48", "multiples of 32"],
        ),
        (
            lambda: papers.create("structure_aware_hourglass", channels=7),
            ["channels 7", "multiples of 2"],
        ),
        (lambda: papers.create("structure_aware_hourglass", depth=0), ["depth 0", "positive"]),
        (lambda: papers.create("structure_aware_hourglass", k=0), ["k 0", "positive"]),
        (lambda: tiny(k=513), ["k 513", "1 to 512"]),
        (lambda: tiny(pool=3), ["pool 3", "8"]),
        (lambda: tiny(sigma_bones=0.0), ["sigma_bones 0.0", "> 0"]),
        (lambda: tiny(initial_std=-1.0), ["initial_std -1.0", "> 0"]),
        (lambda: tiny()(torch.zeros(2, 1, 8, 8, 8)), ["(2, 1, 8, 8, 8)", "(B, 1, 16, 16, 16)"]),
        (
            lambda: tiny("heatmap_2d")(torch.zeros(2, 1, 16, 16, 16)),
            ["(2, 1, 16, 16, 16)", "(B, 1, 16, 16)"],
        ),
        (
            lambda: tiny().decode(
                [tiny().targets(blobs(1, joints=14))], blobs(1, joints=14), k=600
            ),
            ["600", "512"],
        ),
        (
            lambda: xy_error(torch.zeros(2, 14, 3), torch.zeros(2, 15, 3)),
            ["(2, 14, 3)", "(2, 15, 3)"],
        ),
    ],
)
def test_errors_name_what_is_accepted(call, names):
    refused(call, names)


def test_recipes():
    paper = papers.recipe("structure_aware_hourglass", "msra", "paper")
    assert (paper.optimiser, paper.lr, paper.gamma, paper.every, paper.schedule) == (
        "rmsprop",
        1e-5,
        0.3,
        5,
        "exponential",
    )
    assert (paper.batch, paper.epochs, paper.epoch_frames, paper.network) == (16, 20, None, {})
    assert paper.augmentation == {
        "rotation": (-pi / 6, pi / 6),
        "scale": (1.0, 1.0),
        "translation": 0.0,
        "aspect": (0.8, 1.2),
    }
    for profile in PROFILES:
        for variant in VARIANTS:
            recipe = papers.recipe("structure_aware_hourglass", "synthetic", profile, variant)
            config = replace(Config(), **{**OVERRIDES[variant].config, **recipe.network})
            assert config.cube == ("cloud" if variant == "own_cube" else "fixed")


@pytest.mark.parametrize(
    ("dataset", "cube"), [("msra", "cloud"), ("nyu", "fixed"), ("icvl", "fixed"), ("itop", "fixed")]
)
def test_only_cut_out_hands_decide_their_cube(dataset, cube):
    for profile in PROFILES:
        recipe = papers.recipe("structure_aware_hourglass", dataset, profile)
        assert (
            papers.create(
                "structure_aware_hourglass", "nyu14", **{**recipe.network, **TINY}
            ).config.cube
            == cube
        )


def test_output_of_targets_has_maps_of_joints_and_bones():
    assert StackOutput._fields == ("joints", "bones")
    target = tiny().targets(blobs(2, joints=14))
    assert (target.joints.shape, target.bones.shape) == ((2, 14, 8, 8, 8), (2, 13, 8, 8, 8))
    assert tiny("direct_3d").targets(blobs(2, joints=14)).bones is None
