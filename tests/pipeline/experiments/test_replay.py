"""Replaying a record: what trains as it did loses its mark, what does not keeps it."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from handpose_lib import papers, paths
from handpose_lib.datasets.base import SYNTHETIC
from handpose_lib.errors import HandPoseError
from handpose_lib.hand_detection import trained
from handpose_lib.io.storage import read_json, write_json
from handpose_lib.papers.method import Recipe
from handpose_lib.results import records
from handpose_lib.runs import Run
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(papers, "recipe", lambda *_: RECIPE)
        run = Run(
            "residual_attention",
            root=root,
            seed=3,
            device="cpu",
            out=tmp_path_factory.mktemp("record"),
            weights="none",
        )
        record = run.complete(progress=False)
    record["code"] = {**record["code"], "digest": CHANGED}
    return records.write(record, run.folder).folder


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


@pytest.fixture
def before(record, root, tmp_path):
    """The folder in which the first epoch is remembered."""
    assert replay.main([str(record.folder), "--root", str(root), "--remember", str(tmp_path)]) == 0
    return tmp_path


def test_what_trains_as_remembered_takes_the_digest(record, root, before):
    record["curve"][0]["total"] *= 1 + 1e-7  # of a machine that rounds differently
    replay.replay(record, root, before)
    replayed = records.load(record.folder)["code"]["replayed"]
    assert replayed["instead_of"] == CHANGED and "other machine" in replayed["against"]
    assert not records.is_stale(records.load(record.folder))


@pytest.mark.parametrize("part", ["curve", "weights", "data"])
def test_what_differs_from_what_is_remembered_keeps_its_mark(record, root, before, part):
    path = replay.remembered(record, before)
    known = read_json(path)
    if part == "curve":
        known["curve"]["total"] *= 1 + 1e-7
    elif part == "weights":
        known["weights"] = "0" * 64
    else:
        known["data"]["content"] = "0" * 64
    write_json(path, known)
    message = {"curve": "start", "weights": "weights", "data": "content of the data set"}
    with pytest.raises(HandPoseError, match=message[part]):
        replay.replay(record, root, before)
    assert records.is_stale(records.load(record.folder))


def test_the_same_frames_made_by_other_code_keep_the_record(record, root, before, tmp_path):
    """The set has another fingerprint, and not a byte of its frames differs."""
    other = shutil.copytree(root, tmp_path / "other")
    settings = read_json(other / SYNTHETIC)
    write_json(other / SYNTHETIC, {**settings, "code": "0" * 64})
    old = record["dataset"]["fingerprint"]
    joints = records.joints(record)
    replay.replay(record, other, before)
    again = records.load(record.folder)
    new = again["dataset"]["fingerprint"]
    assert new != old and again["training"]["source"]["fingerprint"] == new
    assert again["code"]["replayed"]["data_instead_of"] == old
    assert all(map(torch.equal, records.joints(again), joints))
    assert records.ids(again)


def test_records_of_the_same_files_take_their_new_fingerprint(record, root, tmp_path, monkeypatch):
    """Not if a file differs."""
    kept = tmp_path / "records"
    records.copy(record, kept / record.key)
    monkeypatch.setattr(paths, "records", lambda: kept)
    other = shutil.copytree(root, tmp_path / "other")
    write_json(other / SYNTHETIC, {**read_json(other / SYNTHETIC), "code": "0" * 64})
    joints = records.joints(record)
    assert replay.main(["--same-data", str(root), str(other)]) == 0
    again = records.load(kept / record.key)
    assert again["dataset"]["fingerprint"] != record["dataset"]["fingerprint"]
    assert all(map(torch.equal, records.joints(again), joints))
    assert len(list((kept / "labels").iterdir())) == 2, "the old labels are gone"
    changed = shutil.copytree(other, tmp_path / "changed")
    labels = next(changed.rglob("joint.txt"))
    labels.write_text(labels.read_text().replace("1", "2"))
    with pytest.raises(HandPoseError, match="content of the data set"):
        replay.rename_all(other, changed)


@pytest.mark.parametrize("kind", trained.NETWORKS)
def test_a_network_that_finds_hands_is_compared_with_what_is_remembered(
    tmp_path, kind, monkeypatch
):
    monkeypatch.setattr(replay, "UPDATES", 2)
    folder = shutil.copytree(paths.records() / kind, tmp_path / kind)
    record = records.load(folder)
    record["code"] = {**record["code"], "digest": CHANGED}
    records.write(record, folder)
    with pytest.raises(HandPoseError, match="--against"):
        replay.replay(record)
    write_json(replay.remembered(record, tmp_path), replay.start(record, updates=replay.FIRST))
    replay.replay(record, against=tmp_path)
    assert not records.is_stale(records.load(folder))
    records.write(record, folder)
    known = read_json(replay.remembered(record, tmp_path))
    write_json(replay.remembered(record, tmp_path), {**known, "weights": "0"})
    with pytest.raises(HandPoseError, match="weights"):
        replay.replay(records.load(folder), against=tmp_path)


def test_another_recipe_is_said(record, root, monkeypatch):
    monkeypatch.setattr(papers, "recipe", lambda *_: replace(RECIPE, batch=2))
    with pytest.raises(HandPoseError, match="recipe is no longer the same"):
        replay.replay(record, root)
