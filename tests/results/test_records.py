"""Records: what is saved comes back, what is broken says so, and measures can be computed again."""

import copy
import json

import pytest
import torch
from torch import nn

from handpose_lib.dataset_specs import preset
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.io import coordinates
from handpose_lib.results import records
from tests.support import trainings

CAMERA = preset("msra")


def joints(count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 21, 3, generator=generator) * 100 + torch.tensor([-50.0, -50.0, 350.0])


def record(error=1.0, **changes):
    """A whole record of a run on 12 synthetic frames."""
    facts = {
        **trainings.facts(joints() + error, joints()),
        "code": {"modules": ["handpose_lib.evaluation.metrics"], "digest": "0"},
        "recipe": {},
        "training": {},
    }
    return records.validated({**facts, **changes})


def save(root, facts, **options):
    options = {
        "predicted": joints() + 1,
        "joints": joints(),
        "ids": [f"frame {i}" for i in range(12)],
        **options,
    }
    return records.save(facts, root / facts.key, **options)


def test_what_is_saved_comes_back(tmp_path):
    saved = save(tmp_path, record())
    loaded = records.load(saved.folder)
    assert dict(loaded) == dict(saved)
    assert saved.folder == tmp_path / "jgr_p2o" / "laptop" / "paper-synthetic-s0"
    assert sorted(p.name for p in saved.folder.iterdir()) == ["predictions.joints", "record.json"]


def test_measures_are_computed_again_from_the_files(tmp_path):
    """To the rounding of the files: half a step in each of three coordinates, twice."""
    saved = save(tmp_path, record())
    predicted, true = records.joints(records.load(saved.folder))
    bound = 3**0.5 * coordinates.STEP_MM
    assert (predicted - (joints() + 1)).abs().max() <= coordinates.STEP_MM / 2 + 1e-9
    assert metrics.mean_joint_error(predicted, true).item() == pytest.approx(
        saved.error_mm, abs=bound
    )
    assert records.ids(saved) == [f"frame {i}" for i in range(12)]


def test_other_ways_to_decode_a_run_are_kept_by_name(tmp_path):
    others = {"argmax": joints() + 3, "soft_argmax": joints() + 1}
    saved = records.load(save(tmp_path, record(), read_outs=others).folder)
    assert saved["files"]["read_outs"] == ["argmax", "soft_argmax"]
    assert torch.equal(records.predictions(saved), records.joints(saved)[0])
    assert torch.equal(records.predictions(saved, "soft_argmax"), records.predictions(saved))
    for name, array in others.items():
        read, true = records.joints(saved, name)
        assert (read - array).abs().max() <= coordinates.STEP_MM / 2 + 1e-9
        assert torch.equal(true, records.labels(saved))
    with pytest.raises(HandPoseError, match="accepted are argmax, soft_argmax"):
        records.predictions(saved, "mean_shift")
    with pytest.raises(HandPoseError, match="the shape of the predictions"):
        save(tmp_path, record(), read_outs={"argmax": joints(11)})


def test_the_same_frames_have_the_same_labels(tmp_path):
    """Rounding of another machine is accepted, other joints are not."""
    save(tmp_path, record())
    save(tmp_path, record(seed=1), joints=joints() + 1e-4)
    with pytest.raises(HandPoseError, match="other labels of the same frames"):
        save(tmp_path, record(), joints=joints() + 1)
    assert len(list((tmp_path / "labels").iterdir())) == 2
    assert len(records.load_all(tmp_path)) == 2, "what is refused replaces nothing"


def test_labels_are_stored_once_for_all_runs_on_the_same_frames(tmp_path):
    for seed in range(3):
        save(tmp_path, record(seed=seed))
    assert len(list((tmp_path / "labels").iterdir())) == 2
    save(tmp_path, record(seed=4), ids=[f"other {i}" for i in range(12)])
    assert len(list((tmp_path / "labels").iterdir())) == 4


def test_a_folder_of_any_name_keeps_its_labels_inside(tmp_path):
    saved = records.save(
        record(), tmp_path / "mine", predicted=joints(), joints=joints(), ids=["x"] * 12
    )
    assert (tmp_path / "mine" / "labels").is_dir()
    predicted, true = records.joints(records.load(saved.folder))
    assert torch.equal(predicted, true)  # both are rounded alike


@pytest.mark.parametrize("half", [False, True])
def test_weights_come_back_in_the_stated_precision(tmp_path, half):
    torch.manual_seed(0)
    net, other = (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)) for _ in range(2))
    net.get_buffer("1.running_var").fill_(1e6)  # more than 16 bits hold
    saved = save(tmp_path, record(), weights=net, half=half)
    assert saved["files"]["weights"] == ("float16" if half else "float32")
    records.load_weights(records.load(saved.folder), other)
    for name, value in net.state_dict().items():
        tolerance = 2**-11 * value.abs().max().item() if half and "running" not in name else 0
        torch.testing.assert_close(other.state_dict()[name], value, atol=tolerance, rtol=0)


def test_weights_of_another_network_are_an_error(tmp_path):
    class Net(nn.Linear):
        name, variant = "toy", "paper"

    saved = save(tmp_path, record(), weights=nn.Linear(2, 3))
    with pytest.raises(HandPoseError, match="paper-synthetic-s0 do not fit this toy"):
        records.load_weights(saved, Net(2, 4))
    with pytest.raises(DataError, match="keeps no weights"):
        records.load_weights(save(tmp_path, record(seed=1)), Net(2, 4))


def test_records_are_found_by_their_fields(tmp_path):
    for variant, seed in (("paper", 0), ("paper", 1), ("p2o", 0)):
        save(tmp_path, record(variant=variant, seed=seed))
    save(tmp_path, record(dataset={**record()["dataset"], "synthetic": False}))
    assert len(records.load_all(tmp_path)) == 4
    assert [r["seed"] for r in records.find(tmp_path, variant="paper", synthetic=True)] == [0, 1]
    assert [r.key for r in records.find(tmp_path, synthetic=False)] == [
        "jgr_p2o/laptop/paper-msra-s0"
    ]
    assert records.find(tmp_path, method="v2v_posenet") == []
    with pytest.raises(HandPoseError, match="accepted are method, variant"):
        records.find(tmp_path, colour="red")


def test_a_place_without_records_has_none(tmp_path):
    assert records.load_all(tmp_path / "nowhere") == []


def test_a_record_is_stale_when_the_code_of_its_modules_changed(monkeypatch):
    from handpose_lib.io import provenance

    now = provenance.digest(provenance.closure("handpose_lib.evaluation.metrics"))
    assert not records.is_stale(
        record(code={"modules": ["handpose_lib.evaluation.metrics"], "digest": now})
    )
    assert records.is_stale(
        record(code={"modules": ["handpose_lib.evaluation.metrics"], "digest": "0" * 64})
    )
    assert records.is_stale(record(code={"modules": ["handpose_lib.gone"], "digest": now}))


def test_saving_again_replaces_the_run(tmp_path):
    save(tmp_path, record(), weights=nn.Linear(2, 3))
    saved = save(tmp_path, record(error=2.0), predicted=joints() + 2)
    predicted, true = records.joints(records.load(saved.folder))
    assert metrics.mean_joint_error(predicted, true).item() == pytest.approx(2 * 3**0.5, abs=0.05)


def test_a_save_that_fails_leaves_no_record(tmp_path):
    facts = record()
    facts["curve"] = [{"error_mm": float("nan")}]
    with pytest.raises(DataError, match="JSON"):
        save(tmp_path, facts)
    assert not (tmp_path / facts.key / "record.json").exists()
    assert records.load_all(tmp_path) == []


# --- Broken ones --------------------------------------------------------------


def broken(tmp_path, change):
    folder = tmp_path / "run"
    folder.mkdir()
    facts = copy.deepcopy(dict(record()))
    change(facts)
    (folder / "record.json").write_text(json.dumps(facts))
    return folder


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda facts: facts.pop("seed"), "'seed' is missing"),
        (lambda facts: facts.update(seed="0"), "'seed' is a str; accepted is int"),
        (lambda facts: facts.update(seed=True), "'seed' is a bool"),
        (lambda facts: facts.update(colour="red"), "unknown field"),
        (lambda facts: facts.update(schema=99), "schema 99; accepted is 3"),
        (lambda facts: facts["dataset"].pop("synthetic"), r"dataset\.synthetic is missing"),
    ],
)
def test_a_broken_record_names_its_file_and_field(tmp_path, change, message):
    folder = broken(tmp_path, change)
    with pytest.raises(HandPoseError, match=message) as error:
        records.load(folder)
    assert "record.json" in str(error.value)


@pytest.mark.parametrize("text, message", [("{", "not a JSON file"), ("[]", "an object is needed")])
def test_a_file_that_is_no_record(tmp_path, text, message):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(DataError, match=message):
        records.load(tmp_path)


def test_a_missing_record(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        records.load(tmp_path)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda old: old[: len(old) // 2], "not a whole file"),
        (lambda old: old.replace(b'"format": 1', b'"format": 9'), "format 9; accepted is 1"),
        (lambda old: old[:-40] + bytes(8) + old[-32:], "not a whole file"),
    ],
)
def test_damaged_predictions_are_an_error(tmp_path, damage, message):
    saved = save(tmp_path, record())
    file = saved.folder / "predictions.joints"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=message) as error:
        records.joints(saved)
    assert "predictions.joints" in str(error.value)


def test_predictions_of_other_frames_or_joints_are_an_error(tmp_path):
    saved = save(tmp_path, record())
    file = saved.folder / "predictions.joints"
    for array, message in (
        (joints(11), "11 predictions for 12 labels"),
        (joints()[:, :14], "14 joints; accepted are 21"),
    ):
        coordinates.write_coordinates(file, {"": array})
        with pytest.raises(DataError, match=message):
            records.joints(saved)
    coordinates.write_coordinates(file, {"argmax": joints()})
    with pytest.raises(DataError, match="'' are missing; it has argmax"):
        records.joints(saved)


def test_as_many_predictions_as_labels(tmp_path):
    with pytest.raises(HandPoseError, match="11 predictions, 12 labels, 12 names"):
        save(tmp_path, record(), predicted=joints(11))


def test_runs_on_other_persons_and_views_have_folders_of_their_own():
    protocol = record()["protocol"]
    others = [{"subject": 3}, {"subject": None, "view": "top"}, {"subject": None, "view": 2}]
    keys = [record().key, *(record(protocol={**protocol, **other}).key for other in others)]
    assert len(set(keys)) == len(keys)
    usual = [record(protocol={**protocol, "view": view}).key for view in (None, 1, "front")]
    assert set(usual) == {record().key}
