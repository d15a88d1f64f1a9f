"""Comparisons of records: the same frames, one difference, another decoding, another measure."""

import pytest
import torch

from handpose_lib import skeleton
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import plausibility
from handpose_lib.evaluation.statistics import HOLDS, UNDECIDED
from handpose_lib.papers import jgr_p2o
from handpose_lib.results import comparison, records
from tests.support.trainings import training

LEARNED = {"reasoning": "parameterised"}


def group(folder, variant="paper", error=5.0, seeds=3, **settings):
    return [
        training(folder, variant, error + 0.1 * seed, seed, **settings) for seed in range(seeds)
    ]


def test_the_effect_is_the_difference_of_the_records_errors(tmp_path):
    without = group(tmp_path, "parameterised", 7.0, config=LEARNED)
    with_ = group(tmp_path)
    answer = comparison.decide(without, with_, differs=["network.reasoning"])
    mean = [sum(run.error_mm for run in side) / 3 for side in (without, with_)]
    assert answer.verdict == HOLDS
    assert answer.effect.mean == pytest.approx(mean[0] - mean[1], abs=0.02)  # stored digits
    assert "JGR-P2O (paper) against JGR-P2O (parameterised)" in answer.compared
    assert "; network.reasoning skeleton instead of parameterised" in answer.compared


def test_a_difference_that_is_not_named_is_refused(tmp_path):
    without = group(tmp_path, "parameterised", 7.0, config=LEARNED, recipe={"schedule": "steps"})
    with pytest.raises(HandPoseError, match="recipe.schedule"):
        comparison.decide(without, group(tmp_path), differs=["network.reasoning"])


@pytest.mark.parametrize(
    "change, name",
    [
        ({"protocol": {"centre": "true"}}, "test.centre"),
        ({"protocol": {"cube": 200.0}}, "test.cube"),
        ({"protocol": {"checkpoint": "best"}}, "test.checkpoint"),
        ({"training": {"frames": 900}}, "training.frames seen"),
        ({"training": {"source": {"kind": "on the fly"}}}, "training.kind"),
        ({"recipe": {"lr": 0.5}}, "recipe.lr"),
        ({"method": "densereg"}, "method"),
    ],
)
def test_facts_say_what_led_to_a_result(tmp_path, change, name):
    first = training(tmp_path)
    second = records.Record(first)
    for field, values in change.items():
        second[field] = {**first[field], **values} if isinstance(values, dict) else values
    one, other = comparison.facts(first), comparison.facts(second)
    assert name in {key for key in one | other if one.get(key) != other.get(key)}


def test_a_setting_that_is_newer_than_the_run_has_its_default(tmp_path):
    default = jgr_p2o.Config()
    old = training(tmp_path, recipe={}, config={})
    new = training(tmp_path, seed=1, recipe={"parts": 1}, config={"beta": default.beta})
    assert comparison.facts(old) == comparison.facts(new)
    assert comparison.facts(old)["network.beta"] == default.beta


def test_two_decodings_of_the_same_runs_are_paired(tmp_path):
    """Runs that differ by millimetres, two decodings that differ by a tenth."""
    runs = [
        training(tmp_path, error=5.0 + seed, seed=seed, read_outs={"finer": 4.9 + seed})
        for seed in range(3)
    ]
    answer = comparison.decide(runs, runs, read_out="finer", differs=["decoding"])
    assert answer.verdict == HOLDS and "within 3 trainings" in answer.compared
    assert answer.effect.mean == pytest.approx(0.1, abs=0.02)
    one = comparison.decide(runs[:1], runs[:1], read_out="finer", differs=["decoding"])
    assert one.verdict == UNDECIDED and one.covers == "over frames only"
    network = comparison.decide(
        runs[:1], runs[:1], read_out="finer", differs=["decoding"], about="networks"
    )
    assert network.verdict == HOLDS


def test_a_decoding_that_was_not_stored_is_no_answer(tmp_path):
    runs = group(tmp_path, seeds=2, read_outs={"finer": 4.0})
    options: dict = {"differs": ["decoding"]}
    assert comparison.ask(runs, runs, read_out="coarser", **options) == (
        None,
        "no predictions decoded by coarser here",
    )
    answer, reason = comparison.ask(runs, runs, read_out_without="finer", **options)
    assert answer is not None and answer.effect.mean < 0 and reason == ""


def test_the_name_of_the_own_decoding_is_the_own_decoding(tmp_path):
    run = training(tmp_path)
    assert comparison.trial(run, comparison.OWN).facts == comparison.trial(run).facts


def test_names_of_decodings(tmp_path):
    run = training(tmp_path)
    assert comparison.decoding(run) == comparison.papers_decoding("jgr_p2o") == comparison.OWN
    assert comparison.papers_decoding("v2v_posenet") == "arg_max"
    soft = {**run, "method": "v2v_posenet", "training": {"config": {"read_out": "soft_arg_max"}}}
    assert comparison.decoding(soft) == "soft_arg_max"


def test_an_ensemble_and_the_last_epoch_of_the_same_training_are_paired(tmp_path):
    last = group(tmp_path, "last", seeds=3)
    mean = group(
        tmp_path,
        "mean",
        4.9,
        recipe={"schedule": "cosine", "ensemble": True, "keep_epochs": True},
        protocol={**last[0]["protocol"], "checkpoint": "mean of 10 epochs"},
    )
    answer = comparison.decide(last, mean, differs=["test.checkpoint"])
    assert "within 3 trainings" in answer.compared and answer.verdict == HOLDS


def test_another_measure(tmp_path):
    runs = group(tmp_path, seeds=2, read_outs={"finer": 4.0})

    def in_depth(predicted, joints, skeleton):
        assert skeleton == "msra21"
        return (predicted - joints)[..., 2].abs().mean(1)

    answer = comparison.decide(
        runs, runs, read_out="finer", differs=["decoding"], measure=in_depth, unit="mm in depth"
    )
    expected = [
        in_depth(*records.joints(run, read_out), "msra21").mean()
        for run in runs
        for read_out in (None, "finer")
    ]
    assert answer.effect.mean == pytest.approx(
        (torch.stack(expected[::2]) - torch.stack(expected[1::2])).mean().item()
    )
    assert "mm in depth" in str(answer)


def test_measures_of_each_frame_are_those_of_the_summary(tmp_path):
    predicted, joints = records.joints(training(tmp_path))
    whole = plausibility.summary(predicted, joints, skeleton.get("msra21"))
    for measure, name in (
        (comparison.bone_length_error, "bone_length_error_mm"),
        (comparison.bend_error, "bend_error_deg"),
    ):
        values = measure(predicted, joints, "msra21")
        assert values.shape == (len(joints),)
        assert values.mean().item() == pytest.approx(whole[name])
    flat = comparison.error_in_xy(predicted, joints, "msra21")
    expected = (predicted - joints)[..., :2].norm(dim=-1).mean(1)
    assert torch.allclose(flat, expected)


def test_a_record_that_its_predictions_contradict(tmp_path):
    run = training(tmp_path)
    run["metrics"] = {**run["metrics"], "mean_joint_error_mm": 4.0}
    with pytest.raises(DataError, match="the record says 4.000 mm"):
        comparison.trial(run)
