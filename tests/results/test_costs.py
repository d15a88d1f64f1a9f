"""Operations against counts by hand, the law of the schedule, and recorded trainings."""

import pytest
import torch

from handpose_lib import dataset_specs, papers
from handpose_lib.errors import HandPoseError
from handpose_lib.results import costs, records


def convolutions(paper, **config):
    """The operations of a forward pass, from the shapes that each layer really sees."""
    from handpose_lib import synth

    method = papers.create(paper, costs.SKELETON, **config)
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        if isinstance(layer, torch.nn.Linear):
            total += 2 * inputs[0].numel() * layer.out_features
        else:
            kernel = layer.weight[0].numel()
            total += 2 * output.numel() * kernel

    kinds = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)
    for module in method.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(count)
    with torch.no_grad():
        method(method.encode(synth.crops(range(2), cube=250.0)))
    return total / 2


def test_operations_are_those_of_the_layers():
    """Residual Attention Regression has nothing but convolutions and fully connected layers."""
    config = dict(papers.recipe("residual_attention", "synthetic", "smoke").network)
    work = costs.work("residual_attention", **config)
    assert work.flops == pytest.approx(convolutions("residual_attention", **config), rel=1e-3)


@pytest.mark.parametrize("paper", papers.names())
def test_a_training_step_costs_three_predictions(paper):
    """The first layer needs no gradient of its input: a little less than three."""
    work = costs.work(paper, **papers.recipe(paper, "synthetic", "smoke").network)
    assert 2.4 < work.training_flops / work.flops <= 3
    assert work.kept_bytes > 0 and work.memory(2) - work.memory(1) == work.kept_bytes
    assert work.state_bytes == 16 * work.parameters


def test_operations_grow_with_the_square_of_the_side_and_with_the_stacks():
    small, large = (costs.work("jgr_p2o", size=size).flops for size in (48, 96))
    assert large / small == pytest.approx(4, rel=0.03)
    one, two, three = (costs.work("jgr_p2o", stacks=n).flops for n in (1, 2, 3))
    assert three - two == pytest.approx(two - one, rel=1e-6)


@pytest.mark.parametrize("paper", papers.names())
def test_frames_are_the_epochs_of_the_training_frames(paper):
    for name in sorted({*papers.datasets(paper)} & {*dataset_specs.LABELLED}):
        recipe = papers.recipe(paper, name, "paper")
        count = costs.frames(paper, name) / recipe.epochs
        most = max(dataset_specs.get(name).counts.values(), default=count)
        assert count == int(count) and 0 < count <= most
    with pytest.raises(HandPoseError, match="data set of"):
        costs.frames(paper, "sr305")


def test_hours_follow_the_formula():
    work = costs.work("jgr_p2o")
    assert costs.hours(work, 1000, work.training_flops) == pytest.approx(1000 / 3600)
    with pytest.raises(HandPoseError, match="above 0"):
        costs.hours(work, 1, 0.0)


def test_every_recorded_training_has_a_rate_that_a_processor_can_have():
    for record in records.load_all():
        if record["profile"] == "laptop" and record["seed"] == 0:
            assert 1e9 < costs.measured(record) < 1e15, record.key
