"""What every method keeps, whatever its paper: laws for all papers and their variants."""

from dataclasses import FrozenInstanceError, asdict, fields, replace
from functools import cache
from importlib import import_module
from typing import Any

import pytest
import torch

from handpose_lib import papers, prepare, skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.papers.method import PROFILES, Method, Recipe, Variant
from tests.papers.test_jgr_p2o import blobs
from tests.support.refusals import refused

PAPERS = papers.names()
VARIANTS = [(paper, variant) for paper in PAPERS for variant in papers.variants(paper)]
JOINTS = 14

every_paper = pytest.mark.parametrize("paper", PAPERS)
every_variant = pytest.mark.parametrize(("paper", "variant"), VARIANTS)


def module(paper) -> Any:
    return import_module(f"handpose_lib.papers.{paper}")


@cache
def kept(paper, variant="paper") -> Any:
    """The same method for all tests that do not change it."""
    return small(paper, variant)


@cache
def crops_of(count) -> Any:
    """Crops that no test changes."""
    return blobs(count, joints=JOINTS)


def small(paper, variant="paper", joints="nyu14") -> Any:
    """A method as the shortest profile trains it, ready for its first update."""
    torch.manual_seed(0)
    network = papers.recipe(paper, profile="smoke", variant=variant).network
    method = papers.create(paper, joints, variant, **network)
    method.before_training([poses(200, len(method.skeleton))])
    return method


def poses(count, joints) -> Any:
    """Crops that share one image, each with a pose of its own: enough to fit a prior."""
    crops = blobs(1, joints=joints, turned=False).index(torch.zeros(count, dtype=torch.long))
    shift = 60 * (torch.rand(count, joints, 3, generator=torch.Generator().manual_seed(1)) - 0.5)
    return replace(crops, joints=crops.joints + shift)


def tensors(output):
    """The tensors of one entry of the outputs, by name."""
    found = {}
    for name, value in output._asdict().items():
        parts = value if isinstance(value, tuple) else (value,)
        found |= {(name, i): part for i, part in enumerate(parts) if part is not None}
    return found


# --- Network ------------------------------------------------------------------


@every_variant
def test_outputs_targets_loss_and_joints_fit_together(paper, variant):
    """Entries of the same name have the same shape, and every parameter that may learn does."""
    method, crops = kept(paper, variant), crops_of(2)
    y, target = method(method.encode(crops)), tensors(method.targets(crops))
    assert len(y) == getattr(method.config, "stacks", 1)
    for output in y:
        for name, value in tensors(output).items():
            assert name not in target or value.shape == target[name].shape, name
    loss = method.loss(y, crops)
    assert "total" in loss and len(loss) > 1
    assert all(term.shape == () and term.isfinite() for term in loss.values())
    assert method.decode(y, crops).shape == (2, JOINTS, 3)
    assert method.decode([method.targets(crops)], crops).isfinite().all()
    method.zero_grad()
    loss["total"].backward()
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@every_variant
def test_every_parameter_that_may_learn_is_in_one_group(paper, variant):
    method = kept(paper, variant)
    decayed, free = method.parameter_groups(1e-3)
    assert (decayed["weight_decay"], free["weight_decay"]) == (1e-3, 0)
    grouped = [id(p) for group in (decayed, free) for p in group["params"]]
    learning = {id(p) for p in method.parameters() if p.requires_grad}
    assert len(grouped) == len(set(grouped)) and learning == set(grouped)


@every_variant
def test_rows_of_a_batch_do_not_see_each_other(paper, variant):
    method, crops = kept(paper, variant).eval(), crops_of(3)
    x = method.encode(crops)
    torch.testing.assert_close(x[1:2], method.encode(crops.index([1])), rtol=0, atol=1e-6)
    with torch.no_grad():
        together, alone = method(x)[-1], method(x[1:2])[-1]
    method.train()
    for name, value in tensors(alone).items():
        torch.testing.assert_close(
            tensors(together)[name][1], value[0], rtol=1e-4, atol=1e-5, msg=str(name)
        )


@every_paper
def test_a_training_step_never_waits_for_the_device(paper):
    """On the device without memory reading a value is an error: a step must not read any."""
    method, crops = small(paper).to("meta"), crops_of(4).to("meta")
    y = method(method.encode(crops))
    method.loss(y, crops)["total"].backward()
    assert method.decode(y, crops).shape == (4, JOINTS, 3)


@every_paper
def test_joints_and_loss_keep_float32_under_autocast(paper):
    method, crops = kept(paper), crops_of(2)
    with torch.autocast("cpu", torch.bfloat16):
        y = method(method.encode(crops))
        loss = method.loss(y, crops)
        assert method.decode(y, crops).dtype == torch.float32
    assert loss["total"].dtype == torch.float32


@every_paper
def test_weights_travel_by_name(paper):
    """A plain dictionary of tensors, as safetensors gives it, restores the method."""
    one, other = kept(paper).eval(), small(paper)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(dict(one.state_dict()))
    x = one.encode(crops_of(2))
    for name, value in tensors(one(x)[-1]).items():
        assert torch.equal(value, tensors(other.eval()(x)[-1])[name])
    one.train()


@every_paper
def test_a_seed_decides_the_first_weights(paper):
    one, other = small(paper).state_dict(), small(paper).state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


@every_paper
@pytest.mark.parametrize("joints", skeleton.SKELETONS)
def test_every_skeleton(paper, joints):
    count = len(skeleton.get(joints))
    method, crops = small(paper, joints=joints).eval(), blobs(1, joints=count)
    assert method.decode(method(method.encode(crops)), crops).shape == (1, count, 3)


# --- Variants and recipes -----------------------------------------------------


@every_paper
def test_a_module_offers_what_papers_asks_for(paper):
    made = module(paper)
    assert issubclass(made.METHOD, Method)
    assert made.TITLE and papers.title(paper) is made.TITLE
    assert all(isinstance(variant, Variant) for variant in made.VARIANTS.values())
    assert {"paper", "small"} <= set(made.VARIANTS)
    assert papers.variants(paper) == {key: v.summary for key, v in made.VARIANTS.items()}
    assert all(papers.variants(paper).values())


@every_variant
def test_a_variant_is_its_configuration(paper, variant):
    """Another name with the same configuration makes the same network."""
    method, made = kept(paper, variant), module(paper)
    assert (method.name, method.variant, method.skeleton.name) == (paper, variant, "nyu14")
    network = papers.recipe(paper, profile="smoke", variant=variant).network
    assert method.config == made.Config(**{**made.VARIANTS[variant].config, **network})
    same = papers.create(paper, "nyu14", **asdict(method.config))
    shapes = [{n: t.shape for n, t in m.state_dict().items()} for m in (method, same)]
    assert shapes[0] == shapes[1]
    with pytest.raises(FrozenInstanceError):
        method.config.size = 5


@every_paper
def test_the_paper_is_the_default(paper):
    assert not module(paper).VARIANTS["paper"].config
    assert not module(paper).VARIANTS["paper"].training


@every_paper
def test_variants_differ_in_configuration_or_training(paper):
    """But for those that set a default, which a recipe then keeps."""
    seen = [
        (sorted(v.config.items(), key=str), sorted(v.training.items(), key=str))
        for v in module(paper).VARIANTS.values()
    ]
    assert all(seen.count(one) == 1 for one in seen)


@every_variant
@pytest.mark.parametrize("profile", PROFILES)
def test_recipes(paper, variant, profile):
    made = module(paper)
    for dataset in made.DATASETS:
        recipe = papers.recipe(paper, dataset, profile, variant)
        assert isinstance(recipe, Recipe) and recipe.profile == profile
        assert recipe.batch % recipe.parts == 0
        assert recipe.epoch_frames or (profile, dataset != "synthetic") == ("paper", True)
        made.Config(**{**made.VARIANTS[variant].config, **recipe.network})
        for name, value in made.VARIANTS[variant].training.items():
            assert getattr(recipe, name) == value
        crops = crops_of(2)
        view = prepare.augment(crops, torch.Generator().manual_seed(0), **recipe.augmentation)
        assert torch.equal(view.depth, crops.depth)


@every_paper
def test_smaller_profiles_do_not_train_larger_networks(paper):
    with torch.device("meta"):
        sizes = {
            profile: sum(
                p.numel()
                for p in papers.create(
                    paper, "nyu14", **papers.recipe(paper, profile=profile).network
                ).parameters()
            )
            for profile in PROFILES
        }
    assert sizes["smoke"] <= sizes["ablation"] <= sizes["laptop"] <= sizes["paper"]


def test_names_are_modules_of_methods():
    assert sorted(PAPERS) == PAPERS and "method" not in PAPERS
    assert all(name.isidentifier() for name in PAPERS)


# --- Errors -------------------------------------------------------------------


@every_paper
@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda paper: papers.create(paper, "nyu15"), ["nyu15", "nyu14"]),
        (lambda paper: papers.create(paper, "nyu14", "papr"), ["papr", "paper", "small"]),
        (lambda paper: papers.create(paper, "nyu14", sizze=3), ["sizze", "size"]),
        (lambda paper: papers.create(paper, "nyu14", size=3), ["size 3", "multiples of"]),
        (lambda paper: papers.recipe(paper, profile="gpu"), ["gpu", *PROFILES]),
        (lambda paper: papers.recipe(paper, dataset="coco"), ["coco", "synthetic", "nyu"]),
        (lambda paper: papers.recipe(paper, variant="tiny"), ["tiny", "small"]),
        (lambda paper: kept(paper)(torch.zeros(2, 1, 8, 8)), ["(2, 1, 8, 8)", "(B, 1, "]),
        (lambda paper: kept(paper).targets(blobs(1, joints=21)), ["21 joints", "nyu14"]),
        (
            lambda paper: kept(paper).targets(replace(blobs(1, joints=JOINTS), joints=None)),
            ["needs joints"],
        ),
    ],
)
def test_errors_name_what_is_accepted(paper, call, names):
    refused(lambda: call(paper), names)


@pytest.mark.parametrize("call", [papers.create, papers.variants, papers.recipe, papers.title])
def test_unknown_papers_are_an_error(call):
    with pytest.raises(HandPoseError) as error:
        call("jgr_p3o")
    assert all(name in str(error.value) for name in ["jgr_p3o", *PAPERS])


@every_paper
def test_configurations_are_plain_values(paper):
    """A record keeps them as JSON."""
    config = module(paper).Config()
    assert set(asdict(config)) == {field.name for field in fields(config)}
    assert all(isinstance(value, bool | int | float | str) for value in asdict(config).values())
