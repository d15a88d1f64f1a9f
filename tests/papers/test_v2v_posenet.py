"""V2V-PoseNet against the arithmetic of its layers, its equations as loops, and the laws of its two
conventions.
"""

from dataclasses import replace
from math import exp, log, pi, radians, sqrt
from typing import Any

import pytest
import torch

from handpose_lib import papers, prepare, skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.nets.likelihood import arg_max
from handpose_lib.papers.method import PROFILES
from handpose_lib.papers.v2v_posenet import (
    CUBES,
    Config,
    StackOutput,
    from_output_voxels,
    to_output_voxels,
)
from handpose_lib.papers.v2v_posenet import VARIANTS as OVERRIDES
from handpose_lib.training import loop
from tests.papers.test_jgr_p2o import blobs, parameters
from tests.support.refusals import refused

SKELETONS = ("msra21", "nyu14", "icvl16", "hands17_21", "itop15")
VARIANTS = tuple(papers.variants("v2v_posenet"))
TABLE_1 = ("voxels_likelihood", "voxels_coordinates", "depth_likelihood", "depth_coordinates")
TINY: dict[str, Any] = {"size": 16, "width": 2, "hidden": 8}


def unbuilt(joints="nyu14", variant="paper", **overrides) -> Any:
    """A method on the device without memory: enough to count."""
    with torch.device("meta"):
        return papers.create("v2v_posenet", joints, variant, **overrides)


def tiny(variant="paper", joints="nyu14", **overrides) -> Any:
    torch.manual_seed(0)
    return papers.create("v2v_posenet", joints, variant, **{**TINY, **overrides})


# --- Sizes --------------------------------------------------------------------


def block(i, o, k, d):
    """Convolution with bias, batch norm."""
    return k**d * i * o + o + 2 * o


def residual(i, o, d):
    return block(i, o, 3, d) + block(o, o, 3, d) + (i != o) * block(i, o, 1, d)


def trunk(d, width=16):
    """Blocks 1 to 17 of the paper card (Section 4), line by line."""
    a, b, c = 2 * width, 4 * width, 8 * width
    stem = block(1, width, 7, d) + residual(width, a, d) + 2 * residual(a, a, d)
    encoder = (
        residual(a, a, d)
        + residual(a, b, d)
        + residual(b, b, d)
        + residual(b, c, d)
        + 2 * residual(c, c, d)
    )
    decoder = block(c, b, 2, d) + residual(b, b, d) + block(b, a, 2, d) + residual(a, a, d)
    return stem + encoder + decoder + 2 * block(a, a, 1, d)


def full(inputs, joints, hidden=1024):
    return inputs * hidden + hidden + hidden**2 + hidden + hidden * 3 * joints + 3 * joints


@pytest.mark.parametrize(
    ("variant", "joints", "published", "derived"),
    [
        ("paper", "nyu14", 3_410_222, trunk(3) + 33 * 14),
        ("paper", "itop15", 3_410_255, trunk(3) + 33 * 15),
        ("paper", "icvl16", 3_410_288, trunk(3) + 33 * 16),
        ("paper", "msra21", 3_410_453, trunk(3) + 33 * 21),
        ("paper", "hands17_21", 3_410_453, trunk(3) + 33 * 21),
        ("voxels_likelihood", "nyu14", 3_410_222, trunk(3) + 33 * 14),
        ("voxels_coordinates", "nyu14", 457_488_266, trunk(3) + full(24**3 * 32, 14)),
        ("depth_coordinates", "nyu14", 21_129_514, trunk(2) + full(24**2 * 32, 14)),
        ("depth_likelihood", "nyu14", 4_654_928, trunk(2, 32) + 65 * 14 * 24),
    ],
)
def test_parameter_counts(variant, joints, published, derived):
    assert derived == published
    assert parameters(unbuilt(joints, variant)) == published


def test_counts_of_the_card_by_block():
    assert [
        block(1, 16, 7, 3),
        residual(16, 32, 3),
        residual(32, 32, 3),
        residual(32, 64, 3),
        residual(64, 64, 3),
        residual(64, 128, 3),
        residual(128, 128, 3),
        block(128, 64, 2, 3),
        block(64, 32, 2, 3),
        block(32, 32, 1, 3),
    ] == [5_536, 42_272, 55_488, 168_512, 221_568, 672_896, 885_504, 65_728, 16_480, 1_120]


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_and_one_step_of_every_variant(variant):
    method, crops = tiny(variant), blobs(2, joints=14)
    (out,) = y = method(method.encode(crops))
    if "coordinates" in variant:
        assert out.joints.shape == (2, 14, 3) and out.likelihood is None
    else:
        assert out.likelihood.shape == (2, 14, 8, 8, 8) and out.joints is None
    loss = method.loss(y, crops)
    assert set(loss) == {"joints" if "coordinates" in variant else "likelihood", "total"}
    loss["total"].backward()
    assert [name for name, p in method.named_parameters() if p.grad is None] == []
    assert method.decode(y, crops).shape == (2, 14, 3)


def test_resolutions_of_the_papers_network():
    """88 → 44 before the first residual, 22 and 11 in the encoder, 44 at the end (Figs. 5, 6)."""
    method, seen = unbuilt(), []
    for module in (
        method.stem[1],
        method.encoder_decoder.down,
        method.encoder_decoder.inner.down,
        method.head,
    ):
        module.register_forward_hook(lambda _, __, y: seen.append(tuple(y.shape[1:3])))
    method(torch.zeros(1, 1, 88, 88, 88, device="meta"))
    assert seen == [(16, 44), (64, 22), (128, 11), (14, 44)]


def test_kernels_start_as_the_paper_says():
    method = tiny(width=16)
    for module in method.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            # the spread of n normal draws is known to 1/√2n of itself; four times that
            assert module.weight.std().item() == pytest.approx(
                1e-3, rel=4 / sqrt(2 * module.weight.numel())
            )
            assert module.bias is not None and module.bias.abs().max() == 0
        if isinstance(module, torch.nn.BatchNorm3d):
            assert (module.weight == 1).all() and (module.bias == 0).all()


# --- Places: the two conventions ----------------------------------------------


def test_the_authors_pair_as_they_write_it():
    """Joints are floored on the input's lattice and halved; voxel m of the output is the middle of
    input voxel 2m.
    """
    size, half, centre = 88, 125.0, 400.0
    for mm in (275.1, 333.3, 400.0, 401.4, 402.9, 517.25, 524.9):
        index = int((mm - centre + half) / (2 * half) * size)
        n = torch.tensor([(mm - centre) / half], dtype=torch.float64)
        assert to_output_voxels(n, size, "authors").item() == index / 2
    for m in (0, 7, 43):
        decoded = centre + half * (2 * m * 2 / size - 1 + 1 / size)
        assert centre + half * from_output_voxels(
            torch.tensor(float(m)), size, "authors"
        ).item() == pytest.approx(decoded, rel=1e-6)


def test_the_ports_pair_as_it_writes_it():
    """A bell around the joint's continuous place, evaluated at the middles m + ½ of the output
    voxels.
    """
    size = 88
    for n in (-0.99, -0.3, 0.0, 0.71):
        place = to_output_voxels(torch.tensor(n, dtype=torch.float64), size, "port").item()
        assert place + 0.5 == pytest.approx((n + 1) * size / 4)
    for m in (0, 7, 43):
        assert from_output_voxels(torch.tensor(float(m)), size, "port").item() == pytest.approx(
            (m + 0.5) * 4 / size - 1
        )


@pytest.mark.parametrize(("convention", "most"), [("authors", 0.25), ("port", 0.0)])
def test_places_and_back(convention, most):
    """To half an input voxel, a quarter of an output voxel, by the authors' floor; exactly by the
    port.
    """
    n = 2 * torch.rand(500, 3, dtype=torch.float64) - 1
    off = from_output_voxels(to_output_voxels(n, 88, convention), 88, convention) - n
    assert (off / (4 / 88)).abs().max() <= most + 1e-9
    assert (off / (4 / 88)).mean(0).abs().max() < 4 * most / sqrt(
        3 * 500
    ) + 1e-9  # and without a bias


@pytest.mark.parametrize(
    ("drawn", "read", "shift"), [("authors", "port", 0.25), ("port", "authors", -0.25)]
)
@pytest.mark.parametrize("cube", [200.0, 250.0])
def test_mixing_conventions_costs_half_an_input_voxel(drawn, read, shift, cube):
    """Along each axis: 1.14 mm in a cube of 200 mm, 1.42 mm in one of 250 mm."""
    n = 2 * torch.rand(20_000, 3, dtype=torch.float64) - 1
    off = from_output_voxels(to_output_voxels(n, 88, drawn), 88, read) - n
    # the mean of 20,000 errors that are uniform within half an input voxel
    assert off.mean(0).mul(22).tolist() == pytest.approx(
        [shift] * 3, abs=4 * 0.25 / sqrt(3 * 20_000)
    )
    assert abs(shift) * cube / 44 == pytest.approx({200.0: 1.14, 250.0: 1.42}[cube], abs=0.005)


def test_a_read_out_cannot_change_the_convention():
    method, crops = tiny(), blobs(1, joints=14)
    y = method(method.encode(crops))
    with pytest.raises(HandPoseError, match="convention.*read_out, k, sharpness"):
        method.decode(y, crops, convention="port")
    with pytest.raises(
        HandPoseError, match="unknown convention 'mine': accepted are authors, port"
    ):
        to_output_voxels(torch.zeros(3), 88, "mine")


# --- Targets and decode -------------------------------------------------------

# Along each axis, in output voxels: half of one; by the authors' convention half of the floored
# places lie between two voxels, of which arg-max takes either, and the floor hides half an input
# voxel: ½ + ¼.
FLOOR = {"port": 0.5, "authors": 0.75}


@pytest.mark.parametrize("convention", FLOOR)
@pytest.mark.parametrize("name", SKELETONS)
def test_arg_max_of_targets_is_within_half_a_voxel(name, convention):
    """In any view, also of left hands."""
    method, crops = (
        tiny(joints=name, convention=convention, size=32),
        blobs(6, joints=len(skeleton.get(name)), reach=70.0),
    )
    found = method.decode([method.targets(crops)], crops)
    off = (prepare.xyz_to_cube(found, crops) - prepare.xyz_to_cube(crops.joints, crops)) * (32 / 4)
    assert off.abs().max() <= FLOOR[convention] + 1e-3
    if convention == "port":
        assert off.norm(dim=-1).mean().item() == pytest.approx(0.48, abs=0.05)  # the card's 0.4802


@pytest.mark.parametrize("variant", ["paper", "depth_likelihood"])
def test_soft_arg_max_of_targets_is_the_joint(variant):
    """Within a hundredth of a voxel of 16 mm, for σ ≥ 1 and joints three σ inside the cube.

    The targets are logarithms of Gaussian maps.
    """
    method = tiny(
        variant,
        convention="port",
        size=32,
        loss="cross_entropy",
        read_out="soft_arg_max",
        sigma=1.0,
    )
    crops = blobs(6, joints=14, reach=50.0)
    assert (method.decode([method.targets(crops)], crops) - crops.joints).norm(dim=-1).max() < 0.4


def test_top_k_of_targets_beats_arg_max():
    """0.084 against 0.474 voxels at 27 voxels and σ = 1.7 (card of the 3D hourglass, Section 6)."""
    method, crops = tiny(convention="port", size=64), blobs(12, joints=14, reach=50.0)
    target = [method.targets(crops)]
    error = {
        k: (
            (method.decode(target, crops, read_out="top_k", k=k) - crops.joints).norm(dim=-1).mean()
            / (250 / 32)
        )
        for k in (1, 27)
    }
    assert error[1].item() == pytest.approx(0.474, abs=0.06)
    assert error[27].item() == pytest.approx(0.084, abs=0.03)


@pytest.mark.parametrize("variant", ["voxels_coordinates", "depth_coordinates"])
def test_decode_of_coordinates_is_the_joints(variant):
    """Within 0.01 mm in float32, in any view."""
    method, crops = tiny(variant), blobs(6, joints=14)
    assert (method.decode([method.targets(crops)], crops) - crops.joints).norm(dim=-1).max() < 0.01


def test_equation_1_as_loops():
    method, crops = tiny(convention="port"), blobs(1, joints=14, reach=60.0)
    drawn = method.targets(crops).likelihood
    places = ((prepare.xyz_to_cube(crops.joints, crops) + 1) * 4 - 0.5)[0].tolist()
    for j in (0, 13):
        for i in range(8):
            for k in range(8):
                d2 = sum((a - b) ** 2 for a, b in zip((i, 3, k), places[j]))
                assert drawn[0, j, k, 3, i].item() == pytest.approx(
                    exp(-d2 / (2 * 1.7**2)), abs=1e-5
                )


def test_a_joint_is_likely_where_its_points_are():
    """One pixel, and a joint on it: the input's voxel, halved, is the target's highest, in any
    view.
    """
    method, crops = tiny(size=32), blobs(6, joints=14, reach=60.0)
    fx, fy, u0, v0 = crops.camera[:, None].unbind(-1)
    uv = (
        crops.joints[..., :2] / crops.joints[..., 2:] * crops.camera[:, None, :2]
        + crops.camera[:, None, 2:]
    ).round()
    z = crops.joints[..., 2]
    crops.joints = torch.stack(((uv[..., 0] - u0) * z / fx, (uv[..., 1] - v0) * z / fy, z), -1)
    crops.depth.zero_()
    column, row = (uv - crops.origin[:, None]).long().unbind(-1)
    crops.depth[torch.arange(6)[:, None], row, column] = z
    occupied = {
        (b, *place) for b, _, *place in method.encode(crops).nonzero().tolist()
    }  # (b, z, y, x)
    places = 2 * to_output_voxels(
        prepare.xyz_to_cube(crops.joints, crops), 32, "authors"
    )  # whole input voxels
    for b in range(6):
        # two joints on one pixel leave the nearer or farther one without a point
        met = sum((b, *map(int, reversed(place))) in occupied for place in places[b].tolist())
        assert met >= 12


# --- Loss ---------------------------------------------------------------------


def test_equation_2_as_loops():
    crops = blobs(2, joints=14)
    for kind in ("mean", "sum"):
        method = tiny(loss=kind, size=8)
        with torch.no_grad():
            y = method(method.encode(crops))
            true, loss = method.targets(crops).likelihood, method.loss(y, crops)["total"].item()
        squares = [
            (a - b) ** 2
            for a, b in zip(y[-1].likelihood.flatten().tolist(), true.flatten().tolist())
        ]
        expected = sum(squares) / len(squares) if kind == "mean" else sum(squares) / 2
        assert loss == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_as_loops():
    method, crops = tiny(loss="cross_entropy", size=8), blobs(1, joints=14, reach=50.0)
    with torch.no_grad():
        y: Any = [StackOutput(torch.randn(1, 14, 4, 4, 4))]
        loss = method.loss(y, crops)["total"].item()
        places = to_output_voxels(prepare.xyz_to_cube(crops.joints, crops), 8, "authors")[
            0
        ].tolist()
    total = 0.0
    for j in range(14):
        bell = {
            (z, y_, x): exp(
                -sum((a - b) ** 2 for a, b in zip((x, y_, z), places[j])) / (2 * 1.7**2)
            )
            for z in range(4)
            for y_ in range(4)
            for x in range(4)
        }
        shares = {v: exp(y[0].likelihood[0, j][v].item()) for v in bell}
        total -= sum(
            bell[v] / sum(bell.values()) * log(shares[v] / sum(shares.values())) for v in bell
        )
    assert loss == pytest.approx(total / 14, rel=1e-4)


@pytest.mark.parametrize("overrides", [{}, {"loss": "sum"}, {"loss": "cross_entropy"}])
def test_targets_are_the_best_answer(overrides):
    """The gradient of the loss vanishes there, and every answer near it costs more."""
    method, crops = tiny(**overrides), blobs(2, joints=14)
    best = method.targets(crops).likelihood.clone().requires_grad_()
    loss = method.loss([StackOutput(best)], crops)["total"]
    (slope,) = torch.autograd.grad(loss, best)
    assert slope.abs().max() < 1e-6
    assert method.loss([StackOutput(best + 0.1 * torch.randn_like(best))], crops)["total"] > loss


def test_a_joint_far_outside_is_likely_at_the_nearest_face():
    method, crops = tiny(loss="cross_entropy"), blobs(2, joints=14, turned=False)
    crops.joints[:, 0] = crops.centre + torch.tensor([900.0, 0, 0])
    target = method.targets(crops).likelihood
    assert (arg_max(target)[:, 0, 0] == 7).all()
    assert torch.isfinite(method.loss([StackOutput(torch.zeros_like(target))], crops)["total"])


# --- Numerics and training ----------------------------------------------------


def test_read_outs_keep_float32_under_autocast():
    method, crops = tiny(), blobs(2, joints=14)
    with torch.autocast("cpu", torch.bfloat16):
        y = method(method.encode(crops))
        for name in ("arg_max", "top_k", "soft_arg_max"):
            assert method.decode(y, crops, read_out=name).dtype == torch.float32
        assert method.loss(y, crops)["total"].dtype == torch.float32


def test_a_training_step_never_waits_for_the_device():
    """Reading a value is an error on the device without memory; every loss and read-out."""
    for loss in ("mean", "sum", "cross_entropy"):
        method, crops = tiny(loss=loss).to("meta"), blobs(4, joints=14).to("meta")
        y = method(method.encode(crops))
        method.loss(y, crops)["total"].backward()
        for name in ("arg_max", "top_k", "soft_arg_max"):
            assert method.decode(y, crops, read_out=name).shape == (4, 14, 3)


def test_one_step_of_the_papers_own_network():
    """88³ voxels, one crop, the paper's optimiser: every tensor moves, and stays finite."""
    torch.manual_seed(0)
    method, recipe = (
        papers.create("v2v_posenet", "nyu14"),
        papers.recipe("v2v_posenet", "nyu", "paper"),
    )
    optimiser = loop._optimiser(method, recipe)
    group = optimiser.param_groups[0]
    assert (type(optimiser).__name__, group["alpha"], group["eps"], group["momentum"]) == (
        "RMSprop",
        0.99,
        1e-8,
        0.0,
    )
    one = blobs(1, joints=14)
    method.loss(method(method.encode(one)), one)["total"].backward()
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    optimiser.step()
    assert all(torch.isfinite(p).all() for p in method.parameters())
    # A bias in front of a batch norm does nothing: its gradient is rounding.
    still = [name for name, p in method.named_parameters() if torch.equal(p, before[name])]
    assert all(name.endswith("bias") for name in still)


def test_small_learns_two_crops():
    """By heart: what the cross entropy exceeds its least by falls to half within 80 updates."""
    recipe = papers.recipe("v2v_posenet", profile="smoke", variant="small")
    torch.manual_seed(0)
    method = papers.create("v2v_posenet", "nyu14", "small", **{**recipe.network, "size": 16})
    crops = blobs(2, joints=14, reach=60.0, turned=False)
    least = method.loss([method.targets(crops)], crops)["total"].item()
    optimiser = torch.optim.AdamW(method.parameter_groups(1e-3), lr=5e-3)
    x, curve = method.encode(crops), []
    for _ in range(80):
        loss = method.loss(method(x), crops)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item() - least)
    assert min(curve[-5:]) < curve[0] / 2


# --- Names, recipes and errors ------------------------------------------------


def test_the_default_is_the_paper():
    default = Config()
    assert (default.size, default.width, default.sigma, default.initial_std) == (88, 16, 1.7, 0.001)
    assert (default.convention, default.loss, default.read_out) == ("authors", "mean", "arg_max")


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: tiny(size=44), ["44", "multiples of 8"]),
        (lambda: tiny(input="points"), ["points", "voxels", "depth"]),
        (lambda: tiny(convention="both"), ["both", "authors", "port"]),
        (lambda: tiny(read_out="mean"), ["mean", "arg_max", "top_k", "soft_arg_max"]),
        (lambda: tiny(sigma=0.0), ["sigma", "> 0"]),
        (
            lambda: tiny("voxels_coordinates", loss="cross_entropy"),
            ["cross_entropy", "coordinates", "'mean'"],
        ),
        (lambda: tiny()(torch.zeros(2, 1, 16, 16)), ["(2, 1, 16, 16)", "(B, 1, 16, 16, 16)"]),
        (
            lambda: tiny("depth_likelihood")(torch.zeros(2, 1, 8, 8)),
            ["(2, 1, 8, 8)", "(B, 1, 16, 16)"],
        ),
        (
            lambda: tiny().decode(
                [StackOutput(torch.zeros(1, 14, 8, 8, 8))],
                blobs(1, joints=14),
                read_out="top_k",
                k=999,
            ),
            ["999", "1 to 512"],
        ),
    ],
)
def test_errors_name_what_is_accepted(call, names):
    refused(call, names)


def test_recipes():
    paper = papers.recipe("v2v_posenet", "nyu", "paper")
    assert (paper.optimiser, paper.lr, paper.betas, paper.weight_decay) == (
        "rmsprop",
        2.5e-4,
        (0.0, 0.99),
        0.0,
    )
    assert (paper.batch, paper.epochs, paper.epoch_frames, paper.keep_epochs, paper.network) == (
        8,
        10,
        None,
        True,
        {},
    )
    assert (paper.schedule, paper.gamma, paper.warmup) == ("exponential", 1.0, 0)
    assert paper.augmentation["rotation"] == (-radians(40), radians(40)) and radians(
        40
    ) == pytest.approx(2 * pi / 9)
    assert (paper.augmentation["scale"], paper.augmentation["zoom"]) == ((1, 1), (0.8, 1.2))
    assert [
        papers.recipe("v2v_posenet", name, "paper").rotated_copies for name in ("icvl", "nyu")
    ] == [True, False]
    assert (paper.centre, papers.recipe("v2v_posenet", "itop", "paper").centre) == ("refined", None)
    assert paper.augmentation["translation"] == pytest.approx(4 * 250 / 88)
    assert papers.recipe("v2v_posenet", "nyu", "paper", "depth_likelihood").augmentation[
        "translation"
    ] == pytest.approx(4 * 250 / 48)
    assert [CUBES[name] for name in ("msra", "icvl", "nyu", "hands17", "itop")] == [
        200,
        200,
        250,
        250,
        2000,
    ]
    for profile in PROFILES:
        for variant in VARIANTS:
            recipe = papers.recipe("v2v_posenet", "synthetic", profile, variant)
            config = replace(Config(), **{**OVERRIDES[variant].config, **recipe.network})
            assert profile == "paper" or config.convention == "port"
            assert recipe.keep_epochs == (profile == "paper" or variant == "epoch_ensemble")
            assert recipe.ensemble == (variant == "epoch_ensemble")
            centres = {"crude_centre": "mass", "refined_centre": "refined"}
            assert recipe.centre == centres.get(variant)
    small = [papers.recipe("v2v_posenet", profile="ablation", variant=v).network for v in TABLE_1]
    assert len({network["size"] for network in small}) == 1
