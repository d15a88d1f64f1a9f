"""One run, step by step and all at once."""

from dataclasses import replace

import pytest
import torch

from handpose_lib import papers
from handpose_lib.errors import HandPoseError
from handpose_lib.hand_detection import located
from handpose_lib.hand_detection.located import Located
from handpose_lib.results import records
from handpose_lib.runs import Run
from tests.support.data_folders import made_with


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return made_with("msra", 1, tmp_path_factory.mktemp("data") / "msra")


@pytest.fixture
def brief(monkeypatch):
    """Recipes of eight frames."""
    recipe = papers.recipe

    def shortened(*arguments):
        return replace(recipe(*arguments), batch=4, epochs=1, epoch_frames=8, warmup=0)

    monkeypatch.setattr(papers, "recipe", shortened)


@pytest.mark.parametrize("paper", papers.names())
def test_all_steps_leave_a_record_that_can_be_computed_again(root, tmp_path, brief, paper):
    run = Run(paper, root=root, device="cpu", out=tmp_path, variant="small", seed=2)
    record = run.complete(progress=False)
    again = records.load(tmp_path, "training")
    assert again == record and (record["method"], record["seed"]) == (paper, 2)
    assert record["curve"] and not records.is_stale(again)
    predicted, true = records.joints(again)
    assert (predicted - true).norm(dim=-1).mean().item() == pytest.approx(record.error_mm, abs=0.05)


def test_steps_one_by_one_are_the_whole(root, tmp_path, brief):
    paper = "residual_attention"  # it has to see the training poses before the first update
    run = Run(paper, root=root, device="cpu", out=tmp_path / "one", variant="small")
    data = run.open_data()
    with pytest.raises(HandPoseError, match="was not fitted"):
        run.train(run.create_method(data), data, progress=False)
    method = run.create_method(data)  # a new one: an update that fails changes running statistics
    run.prepare_method(method, data)
    history = run.train(method, data, progress=False)
    predicted = run.predict(method, data)
    record = run.record(method, history, data, predicted, run.baselines(data), own_mm=1.0)
    run.save(record, method, data, predicted)
    whole = replace(run, out=tmp_path / "whole").complete(progress=False)
    assert record["curve"][0]["total"] == whole["curve"][0]["total"]
    assert record["baselines"] == whole["baselines"]
    own = record["metrics"].pop("own_mm")
    assert own == 1.0 and record["metrics"] == whole["metrics"]
    one, other = (records.joints(records.load(tmp_path / name))[0] for name in ("one", "whole"))
    assert torch.equal(one, other)


def test_runs_that_differ_have_folders_of_their_own():
    base = Run("jgr_p2o")
    others = [
        replace(base, **change)
        for change in (
            {"paper": "densereg"},
            {"profile": "laptop"},
            {"dataset": "nyu"},
            {"dataset": "nyu", "view": 2},
            {"dataset": "dexycb"},
            {"dataset": "dexycb", "split_by": "subject"},
            {"subject": 3},
            {"variant": "small"},
            {"epochs": 2},
            {"seed": 1},
            {"centre": "mass"},
        )
    ]
    assert len({run.folder for run in [base, *others]}) == 1 + len(others)
    assert base.folder.as_posix().endswith("runs/jgr_p2o/smoke/paper-synthetic-s0")


def test_what_a_run_may_be_asked_for():
    with pytest.raises(HandPoseError, match="rendered.*stored, on_the_fly"):
        Run("jgr_p2o", frames="rendered")
    with pytest.raises(HandPoseError, match="quarter.*half, full, none"):
        Run("jgr_p2o", weights="quarter")
    with pytest.raises(HandPoseError, match="jgr_p2o"):
        _ = Run("jgr").recipe


@pytest.mark.parametrize("centre", located.NAMES)
def test_found_centres_replace_the_stored_ones(root, centre):
    run = Run("jgr_p2o", root=root, variant="small", centre=centre)
    data = run.open_data()
    assert isinstance(data.train, Located) and isinstance(data.test, Located)
    assert (data.centre, data.test.protocol["centres"]) == ("stored", centre)
    stored = replace(run, centre=None).open_data()
    moved = data.source.crops([0]).centre - stored.source.crops([0]).centre
    assert 0 < moved.norm() < 100
    assert "training on" in data.describe()
