"""Residual Attention Regression against the arithmetic of its layers, its equations, and the laws
of its prior.
"""

import itertools
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from handpose_lib import papers, prepare, skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.papers.residual_attention import (
    CENTRE_JOINTS,
    Config,
    Prior,
    StackOutput,
    measures,
)
from handpose_lib.training.schedule import learning_rate
from tests.papers.test_jgr_p2o import blobs, parameters
from tests.support.refusals import refused

SKELETONS = ("msra21", "nyu14", "icvl16", "hands17_21", "itop15")
VARIANTS = tuple(papers.variants("residual_attention"))
TINY: dict[str, Any] = {"size": 32, "width": 4}


def unbuilt(joints="nyu14", variant="paper", **overrides) -> Any:
    """A method on the device without memory: enough to count."""
    with torch.device("meta"):
        return papers.create("residual_attention", joints, variant, **overrides)


def create(variant="paper", **overrides) -> Any:
    return papers.create("residual_attention", "nyu14", variant, **overrides)


def tiny(variant="paper", joints="nyu14", **overrides) -> Any:
    """A fitted method that takes milliseconds."""
    torch.manual_seed(0)
    method: Any = papers.create("residual_attention", joints, variant, **{**TINY, **overrides})
    method.fit_prior([crowd(100, len(method.skeleton))])
    return method


def crowd(n, joints, reach=90.0, seed=0) -> Any:
    """n crops that share one picture, with poses of their own: enough to fit a prior."""
    crops = blobs(1, joints=joints, turned=False).index(torch.zeros(n, dtype=torch.long))
    g = torch.Generator().manual_seed(seed)
    crops.joints = crops.centre[:, None] + reach * (2 * torch.rand(n, joints, 3, generator=g) - 1)
    return crops


# --- Sizes --------------------------------------------------------------------


def unit(i, o, resized=False):
    """BN, 1×1, BN, 3×3, BN, 1×1, none with a bias; a 1×1 shortcut where width or size change."""
    return (
        2 * i
        + i * o // 4
        + 2 * (2 * o // 4)
        + 9 * (o // 4) ** 2
        + o * o // 4
        + (i != o or resized) * i * o
    )


def attention_module(c, poolings, p=1, t=2, r=1):
    """Each pooling adds r units below it and r above, each but the last a skip; two 1×1
    convolutions end the mask.
    """
    mask = (2 * r * poolings + poolings - 1) * unit(c, c) + 2 * (2 * c + c * c)
    return (p + t + 1) * unit(c, c) + mask


def arithmetic(joints, dimensions=30, width=64):
    """Parameters by the layers of the paper card (Section 4.2)."""
    c = [width * n for n in (1, 4, 8, 16, 32)]
    stem = 49 * c[0] + 2 * c[0]
    units = sum(unit(i, o) for i, o in itertools.pairwise(c)) + 2 * unit(c[4], c[4])
    modules = sum(attention_module(n, poolings) for n, poolings in zip(c[1:4], (3, 2, 1)))
    head = 2 * c[4] + (c[4] + 1) * dimensions
    return stem + units + modules + head + (dimensions + 1) * 3 * joints


@pytest.mark.parametrize(
    ("joints", "card"), [("nyu14", 29_818_228), ("icvl16", 29_818_414), ("msra21", 29_818_879)]
)
def test_parameter_counts(joints, card):
    assert arithmetic(len(skeleton.get(joints))) == card
    assert parameters(unbuilt(joints)) == card


def test_each_module_by_layer_arithmetic():
    """By hand at the paper's width: 12, 9 and 6 units of 70,400, 280,064 and 1,117,184, and the
    mask's two convolutions.
    """
    derived = [attention_module(256, 3), attention_module(512, 2), attention_module(1024, 1)]
    assert derived == [12 * 70_400 + 132_096, 9 * 280_064 + 526_336, 6 * 1_117_184 + 2_101_248]
    assert [parameters(module) for module in unbuilt().attention] == derived


@pytest.mark.parametrize(("p", "t", "r"), [(2, 1, 1), (1, 2, 2), (1, 3, 3)])
def test_p_t_and_r_add_units_where_they_should(p, t, r):
    method = unbuilt(width=4, p=p, t=t, r=r)
    assert [parameters(module) for module in method.attention] == [
        attention_module(c, poolings, p, t, r) for c, poolings in ((16, 3), (32, 2), (64, 1))
    ]


def test_variants_differ_by_what_they_name():
    counts = {name: parameters(unbuilt(variant=name, **TINY)) for name in VARIANTS}
    assert counts["product"] == counts["trained_prior"] == counts["full_width"] == counts["paper"]
    assert counts["prior_full"] - counts["no_prior"] == 43 * 42
    assert counts["prior_40"] - counts["prior_20"] == 20 * (129 + 42)
    masks = sum(attention_module(c, n) - 4 * unit(c, c) for c, n in ((16, 3), (32, 2), (64, 1)))
    assert counts["paper"] - counts["trunk"] == masks


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_of_every_variant(variant):
    method, crops = tiny(variant), blobs(2, joints=14)
    (out,) = method(method.encode(crops))
    assert out.joints.shape == (2, 14, 3)
    d = {"no_prior": None, "prior_full": 42}.get(variant, method.config.prior)
    assert out.coefficients is None if d is None else out.coefficients.shape == (2, d)
    sides = () if variant == "trunk" else ((2, 16, 8, 8), (2, 32, 4, 4), (2, 64, 2, 2))
    assert tuple(tuple(mask.shape) for mask in out.masks) == sides
    method.loss([out], crops)["total"].backward()
    frozen = (
        {"prior.components", "prior.mean"}
        if variant not in ("no_prior", "trained_prior")
        else set()
    )
    assert {n for n, p in method.named_parameters() if p.grad is None} == frozen
    assert method.decode([out], crops).shape == (2, 14, 3)


def test_maps_of_the_papers_size():
    """128 → 32, 16, 8 pixels at the modules, whose masks all come down to 4, as the last units."""
    method, seen = create(width=4), []
    for module in method.attention:
        level = module.mask.hourglass
        while level.inner is not None:
            level = level.inner
        level.down.register_forward_hook(lambda _, __, y: seen.append(y.shape[-1]))
    method.last.register_forward_hook(lambda _, __, y: seen.append(y.shape[-1]))
    (out,) = method(torch.randn(2, 1, 128, 128))
    assert [mask.shape[-1] for mask in out.masks] == [32, 16, 8]
    assert seen == [4, 4, 4, 4]


# --- The attention modules ----------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_masks_lie_between_0_and_1_and_are_used(scale):
    (out,) = tiny()(scale * torch.randn(2, 1, 32, 32))
    for mask in out.masks:
        assert (mask >= 0).all() and (mask <= 1).all()
        assert mask.std() > 0


@pytest.mark.parametrize(("form", "factor"), [("residual", 1.5), ("product", 0.5), ("none", 1.0)])
def test_a_mask_that_does_not_know_is_one_half(form, factor):
    """Equation 1 with zero logits: H = 1.5 T in the residual form, 0.5 T in the other."""
    module = tiny(attention=form).attention[1].eval()
    if module.mask is not None:
        torch.nn.init.zeros_(module.mask.logits[-1].weight)
    x = torch.randn(2, 32, 4, 4)
    h, mask = module(x)
    torch.testing.assert_close(h, module.after(factor * module.trunk(module.before(x))))
    assert mask is None if form == "none" else (mask == 0.5).all()


def test_residual_attention_never_erases():
    """However the mask is, H has the sign of T and between its size and twice that; M·T may lose it
    all.
    """
    module = tiny().attention[0].eval()
    module.after = torch.nn.Identity()
    torch.nn.init.normal_(module.mask.logits[-1].weight, std=10.0)
    x = torch.randn(2, 16, 8, 8)
    (h, mask), features = module(x), module.trunk(module.before(x))
    assert mask.min() < 0.01 and mask.max() > 0.99
    assert (h * features >= 0).all()
    assert (h.abs() >= features.abs()).all() and (h.abs() <= 2 * features.abs() * (1 + 1e-6)).all()


# --- The prior ----------------------------------------------------------------


def poses(n=200, coordinates=42, rank=42, seed=0):
    g = torch.Generator().manual_seed(seed)
    spread = torch.linspace(1, 0.1, rank)[:, None] * torch.randn(rank, coordinates, generator=g)
    return 0.2 + torch.randn(n, rank, generator=g) @ spread


@pytest.mark.parametrize("d", [1, 10, 30])
def test_prior_reproduces_any_pose_in_its_span(d):
    """Poses of rank d follow from their coefficients, as does any other pose in their span."""
    prior = Prior(d, 42)
    prior.fit(poses(rank=d))
    others = poses(rank=d, seed=0) * 0 + prior(3 * torch.randn(200, d))
    for pose in (poses(rank=d), others):
        torch.testing.assert_close(
            prior(prior.project(pose)), pose, rtol=0, atol=1e-5 * pose.abs().max().item()
        )
    assert prior.explained()[d - 1].item() == pytest.approx(1, abs=1e-6)


def test_a_full_prior_loses_nothing():
    prior = Prior(42, 42)
    prior.fit(poses())
    any_pose = 5 * torch.randn(50, 42)
    torch.testing.assert_close(prior(prior.project(any_pose)), any_pose, rtol=0, atol=1e-4)


def test_prior_is_the_best_of_its_dimension():
    """Against NumPy's singular values: what is lost is the variance that was left out."""
    data, prior = poses().double(), Prior(12, 42).double()
    prior.fit(data)
    centred = data - data.mean(0)
    singular = torch.linalg.svdvals(centred)
    lost = (prior(prior.project(data)) - data).square().sum()
    assert lost.item() == pytest.approx(singular[12:].square().sum().item(), rel=1e-5)
    torch.testing.assert_close(
        prior.variance, singular.square() / (len(data) - 1), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        prior.components @ prior.components.T, torch.eye(12).double(), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(prior.mean, data.mean(0), rtol=1e-5, atol=1e-6)


def test_prior_does_not_depend_on_the_order_of_poses_or_on_the_batches():
    data = crowd(120, 14)
    one, other = (create(**TINY) for _ in range(2))
    one.fit_prior([data])
    other.fit_prior(data.index(slice(i, i + 40)) for i in (80, 0, 40))
    torch.testing.assert_close(one.prior.components, other.prior.components, rtol=0, atol=1e-4)
    torch.testing.assert_close(one.prior.variance, other.prior.variance)


def test_errors_outside_the_span_do_not_move_the_coefficients():
    """With a frozen prior, the gradient of the squared error is that of the squared error on the
    coefficients.
    """
    prior = Prior(10, 42)
    prior.fit(poses())
    true, a = poses(seed=1)[:5], torch.randn(5, 10, requires_grad=True)
    (on_joints,) = torch.autograd.grad((prior(a) - true).square().sum(), a)
    (on_coefficients,) = torch.autograd.grad((a - prior.project(true)).square().sum(), a)
    torch.testing.assert_close(on_joints, on_coefficients, rtol=1e-4, atol=1e-4)


def test_an_unfitted_prior_is_an_error_when_training_and_weights_bring_it_along():
    crops = blobs(4, joints=14)
    fresh = create(**TINY)
    y = fresh(fresh.encode(crops))
    with pytest.raises(HandPoseError, match="fit_prior"):
        fresh.loss(y, crops)
    fitted = tiny()
    fresh.load_state_dict(dict(fitted.state_dict()))
    assert torch.isfinite(fresh.loss(y, crops)["total"])
    torch.testing.assert_close(fresh.prior.explained(), fitted.prior.explained())
    assert deepcopy(fitted).prior.fitted  # as training in parts does
    free = create("no_prior", **TINY)
    free.fit_prior([crops])
    assert torch.isfinite(free.loss(free(free.encode(crops)), crops)["total"])


@pytest.mark.parametrize("variant", ["paper", "trained_prior"])
def test_a_frozen_prior_stays_and_a_trained_one_moves_without_decay(variant):
    method, crops = tiny(variant), blobs(4, joints=14)
    before = method.prior.components.detach().clone()
    decayed, free = method.parameter_groups(0.1)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert not any(p is q for p in decayed["params"] for q in method.prior.parameters())
    listed = sum(p.numel() for group in (decayed, free) for p in group["params"])
    assert listed == sum(p.numel() for p in method.parameters() if p.requires_grad)
    optimiser = torch.optim.AdamW([decayed, free], lr=1e-3)
    method.loss(method(method.encode(crops)), crops)["total"].backward()
    optimiser.step()
    assert torch.equal(method.prior.components, before) == (variant == "paper")


# --- Targets, loss, decode ----------------------------------------------------


@pytest.mark.parametrize("name", SKELETONS)
def test_decode_of_targets_is_the_joints(name):
    """Within 0.01 mm in float32, in any view, and through a full prior as well."""
    method, crops = tiny("prior_full", name), blobs(6, joints=len(skeleton.get(name)))
    target = method.targets(crops)
    assert (method.decode([target], crops) - crops.joints).norm(dim=-1).max() < 0.01
    through = target._replace(joints=method.prior(target.coefficients).unflatten(1, (-1, 3)))
    assert (method.decode([through], crops) - crops.joints).norm(dim=-1).max() < 0.05


def test_coordinates_are_mm_over_half_the_cube():
    method, crops = tiny(), blobs(3, joints=14, turned=False)
    expected = (crops.joints - crops.centre[:, None]) / 125
    torch.testing.assert_close(method.targets(crops).joints, expected, rtol=1e-5, atol=1e-6)


def test_loss_as_loops():
    method, crops = tiny(), blobs(2, joints=14)
    y = method(method.encode(crops))
    true = method.targets(crops).joints
    squares = [
        (a - b) ** 2 for a, b in zip(y[-1].joints.flatten().tolist(), true.flatten().tolist())
    ]
    assert method.loss(y, crops)["total"].item() == pytest.approx(
        sum(squares) / len(squares), rel=1e-5
    )


def test_the_distance_loss_is_the_mean_distance_in_the_cube():
    method, crops = tiny(loss="distance"), blobs(2, joints=14)
    y = method(method.encode(crops))
    apart = y[-1].joints - prepare.xyz_to_cube(crops.joints, crops)
    each = [sum(float(v) ** 2 for v in row) ** 0.5 for row in apart.reshape(-1, 3)]
    assert method.loss(y, crops)["total"].item() == pytest.approx(sum(each) / len(each), rel=1e-5)


def test_a_fresh_network_says_the_mean_pose():
    """Coefficients begin near zero: within a tenth of the spread of the poses."""
    method, crops = tiny(), blobs(8, joints=14)
    out = method(method.encode(crops))[-1].joints.flatten(1)
    assert (out - method.prior.mean).norm(dim=1).max() < 0.1 * method.prior.variance.sum().sqrt()


# --- Numerics and training ----------------------------------------------------


def test_the_pose_model_keeps_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert tiny()(torch.randn(2, 1, 32, 32))[-1].joints.dtype == torch.float32


def test_one_step_of_the_papers_own_network():
    """29.8 M parameters, one crop, the paper's optimiser: every trained tensor moves, and stays
    finite.
    """
    torch.manual_seed(0)
    method, recipe = create(), papers.recipe("residual_attention", "nyu", "paper")
    method.fit_prior([crowd(40, 14)])
    optimiser = torch.optim.Adam(
        method.parameter_groups(recipe.weight_decay), lr=recipe.lr, betas=recipe.betas
    )
    one = blobs(1, joints=14)
    method.loss(method(method.encode(one)), one)["total"].backward()
    before = [p.detach().clone() for p in method.parameters() if p.requires_grad]
    optimiser.step()
    after = [p.detach() for p in method.parameters() if p.requires_grad]
    assert all(torch.isfinite(p).all() for p in after)
    assert sum(not torch.equal(p, q) for p, q in zip(before, after)) == len(after)


def test_small_learns_a_handful_of_crops():
    """16 crops of discs by heart: the loss falls to a fifth within 40 updates."""
    torch.manual_seed(0)
    method = create("small")
    crops = blobs(16, joints=14, reach=60.0, turned=False)
    method.fit_prior([crowd(200, 14, reach=60.0), crops])
    optimiser = torch.optim.AdamW(method.parameter_groups(1e-3), lr=3e-3)
    x, curve = method.encode(crops), []
    for _ in range(40):
        loss = method.loss(method(x), crops)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    assert min(curve[-5:]) < curve[0] / 5


# --- Metrics ------------------------------------------------------------------


def test_measures_in_both_readings():
    """One joint 60 mm off, the centre joint exact, the other twelve 1 mm off."""
    hand = skeleton.get("nyu14")
    true = torch.zeros(3, 14, 3)
    predicted = true + torch.tensor([1.0, 0, 0])
    predicted[:, hand.index("palm")] = 0
    predicted[:, hand.index("little tip"), 0] = 60
    found = measures(predicted, true, hand, thresholds=(5.0, 50.0, 60.0))
    assert found["mean_joint_error_mm"] == pytest.approx(72 / 14)
    assert found["mean_without_centre_joint_mm"] == pytest.approx(72 / 13)
    assert found["success_rate_worst"] == [0, 0, 1]  # the text: the worst joint of a frame
    assert found["success_rate_mean"] == [0, 1, 1]  # Eq. 4: the mean over its joints


def test_measures_agree_with_the_librarys():
    g = torch.Generator().manual_seed(0)
    true = torch.randn(20, 21, 3, generator=g)
    predicted = true + 20 * torch.randn(20, 21, 3, generator=g)
    found, hand = measures(predicted, true, skeleton.get("msra21")), skeleton.get("msra21")
    summary = metrics.summary(predicted, true)
    for name in ("mean_joint_error_mm", "success_rate_worst", "success_rate_mean"):
        assert found[name] == pytest.approx(summary[name])
    left = [j for j in range(21) if j != hand.index("middle mcp")]
    assert found["mean_without_centre_joint_mm"] == pytest.approx(
        metrics.mean_joint_error(predicted[:, left], true[:, left]).item()
    )
    assert all(joint in skeleton.get(name).joints for name, joint in CENTRE_JOINTS.items())


# --- Names, recipes and errors ------------------------------------------------


def test_the_default_is_the_paper():
    assert papers.create("residual_attention", "nyu14", **TINY).config == replace(Config(), **TINY)
    assert (Config().size, Config().width, Config().attention, Config().prior) == (
        128,
        64,
        "residual",
        30,
    )


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (
            lambda: papers.create("residual_attention", "nyu14", attention="soft"),
            ["soft", "residual", "product"],
        ),
        (
            lambda: papers.create("residual_attention", "nyu14", size=100),
            ["100", "multiples of 16"],
        ),
        (
            lambda: papers.create("residual_attention", "nyu14", prior=0),
            ["prior 0", "'full'", "'none'"],
        ),
        (lambda: papers.create("residual_attention", "nyu14", prior=43), ["43", "nyu14", "42"]),
        (lambda: tiny()(torch.zeros(2, 1, 64, 64)), ["(2, 1, 64, 64)", "(B, 1, 32, 32)"]),
        (lambda: tiny().fit_prior([crowd(30, 14)]), ["(30, 42)", "more than 30"]),
        (lambda: tiny().fit_prior([replace(crowd(40, 14), joints=None)]), ["needs joints"]),
        (
            lambda: measures(torch.zeros(1, 15, 3), torch.zeros(1, 15, 3), skeleton.get("itop15")),
            ["itop15", "nyu14"],
        ),
    ],
)
def test_errors_name_what_is_accepted(call, names):
    refused(call, names)


def test_recipes():
    paper = papers.recipe("residual_attention", "nyu", "paper")
    assert (paper.optimiser, paper.lr, paper.weight_decay, paper.weight_decay_mode) == (
        "adam",
        1e-4,
        3e-4,
        "coupled",
    )
    assert (paper.batch, paper.epochs, paper.epoch_frames, paper.network) == (128, 70, None, {})
    rates = [learning_rate(paper, epoch, 70, 1) for epoch in range(70)]
    assert rates[:30] == [1e-4] * 30 and rates[30:] == pytest.approx([1e-5] * 40)
    assert paper.centre == "mass"
    assert papers.recipe("residual_attention", "msra", "paper").cube_test == 200
    narrow, wide = (
        papers.recipe("residual_attention", profile="laptop", variant=v)
        for v in ("paper", "full_width")
    )
    assert narrow.network["width"] < 64 and "width" not in wide.network


def test_the_paper_does_not_augment():
    crops = blobs(3)
    recipe = papers.recipe("residual_attention", profile="paper")
    same = prepare.augment(crops, torch.Generator().manual_seed(0), **recipe.augmentation)
    for name in ("rotation", "cube", "centre", "aspect", "mirror"):
        assert torch.equal(getattr(same, name), getattr(crops, name))


def test_output_of_targets_leaves_the_masks_free():
    assert tiny().targets(blobs(1, joints=14)).masks == ()
    assert StackOutput._fields == ("joints", "coefficients", "masks")
