"""Replaying a record: what trains as it did loses its mark, what does not keeps it."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from handpose_lib import datasets, evaluation, papers, prepare, training
from handpose_lib.errors import HandPoseError
from handpose_lib.papers.method import Recipe
from handpose_lib.results import records
from pipeline.experiments import replay
from tests.support.data_folders import made_with

RECIPE = Recipe(
    "smoke",
    "adamw",
    schedule="cosine",
    batch=4,
    epochs=2,
    epoch_frames=8,
    network={"width": 8, "size": 64, "prior": 5},
    augmentation={"translation": 5.0},
)
CHANGED = "0" * 64


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return made_with("msra", 1, tmp_path_factory.mktemp("data") / "msra")


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    """The folder of a record of a training of seconds, with the digest of code that is no longer
    there.
    """
    train, test = (
        datasets.open("msra", root, split=split, subject=8) for split in ("train", "test")
    )
    source = training.Stored(train, RECIPE.cube_train, "stored")
    torch.manual_seed(3)
    method = papers.create("residual_attention", "msra21", **RECIPE.network)
    sweep = evaluation.sweep(source, cube=RECIPE.cube_test)
    method.fit_prior(
        prepare.augment(crops, training.generator(3, "prior", number), **RECIPE.augmentation)
        for number, crops in enumerate(sweep)
    )
    history = training.fit(
        method, source, RECIPE, tmp_path_factory.mktemp("run"), seed=3, device="cpu", progress=False
    )
    predicted, true = evaluation.predict(method, test, cube=250, centre="stored"), test.joints()
    record = records.new(
        method=method,
        history=history,
        recipe=RECIPE,
        test=test,
        centre="stored",
        metrics=evaluation.score(predicted, true),
        baselines={"knn5_mm": 1.0},
        inference={},
    )
    record["code"] = {**record["code"], "digest": CHANGED}
    return records.save(
        record,
        tmp_path_factory.mktemp("record"),
        predicted=predicted,
        joints=true,
        ids=[test[i].id for i in range(len(test))],
    ).folder


@pytest.fixture
def record(made, tmp_path, monkeypatch):
    """A copy of that record, and its recipe as the present one."""
    monkeypatch.setattr(papers, "recipe", lambda *_: RECIPE)
    found = records.load(shutil.copytree(made, tmp_path / "record"))
    assert records.is_stale(found)
    return found


def test_what_trains_as_recorded_takes_the_digest_of_the_present_code(record, root):
    replay.replay(record, root)
    again = records.load(record.folder)
    assert not records.is_stale(again)
    assert again["code"]["replayed"] == {"epochs": 1, "instead_of": CHANGED}
    assert {name: value for name, value in again.items() if name != "code"} == {
        n: v for n, v in record.items() if n != "code"
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["curve"][0].update(total=r["curve"][0]["total"] * (1 + 1e-7)), "first epoch"),
        (lambda r: r["recipe"].update(lr=2e-3), "recipe"),
        (lambda r: r["metrics"].update(mean_joint_error_mm=1.0), "predictions score"),
        (lambda r: r["training"]["source"].update(fingerprint="f" * 16), "data set"),
        (lambda r: r["training"]["source"].update(kind="on the fly"), "run it again"),
    ],
)
def test_what_does_not_keeps_its_mark(record, root, change, message):
    change(record)
    before = json.loads((record.folder / "record.json").read_text(encoding="utf-8"))
    with pytest.raises(HandPoseError, match=message):
        replay.replay(record, root)
    assert json.loads((record.folder / "record.json").read_text(encoding="utf-8")) == before


def test_another_recipe_is_said(record, root, monkeypatch):
    monkeypatch.setattr(papers, "recipe", lambda *_: replace(RECIPE, batch=2))
    with pytest.raises(HandPoseError, match="recipe is no longer the same"):
        replay.replay(record, root)
