"""Records: what is saved comes back, what is broken says so, and measures can be computed again."""

import copy
import json
import multiprocessing
import os
import shutil

import pytest
import torch
from torch import nn

from handpose_lib.dataset_specs import preset
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import metrics
from handpose_lib.io import coordinates
from handpose_lib.results import records
from tests.support import trainings
from tests.support.small_disk import small_disk

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
    """Also where the record is so old that it has no digests."""
    saved = save(tmp_path, record())
    del saved["digests"]
    file = saved.folder / "predictions.joints"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=message) as error:
        records.joints(saved)
    assert "predictions.joints" in str(error.value)


def test_predictions_of_other_frames_or_joints_are_an_error(tmp_path):
    saved = save(tmp_path, record())
    del saved["digests"]
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


# --- replacing, digests, several writers -------------------------------------------


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("network", [None, nn.Linear(300, 300)])
def test_a_full_disk_leaves_the_old_record_with_all_its_files(tmp_path, network):
    """The second run has a network that does not fit; its predictions do."""
    with small_disk(tmp_path / "disk", 200_000) as disk:
        saved = save(disk, record(), weights=nn.Linear(10, 10))
        before = content(saved.folder)
        with pytest.raises(DataError, match=r"cannot be written \(.*\); what was there before"):
            save(disk, record(error=2.0), weights=network or nn.Linear(400, 400))
        assert content(saved.folder) == before
        records.verify(records.load(saved.folder))
        again = save(disk, record(error=2.0))  # with room for it, it is replaced
        assert records.load(again.folder).error_mm == again.error_mm != saved.error_mm


@pytest.mark.parametrize("last", ["nothing", "predictions.joints", "weights.safetensors"])
def test_a_replacement_that_was_interrupted_is_completed_by_whoever_comes_next(
    tmp_path, monkeypatch, last
):
    """Killed while the new files are renamed: after `last`."""
    saved = save(tmp_path, record(), weights=nn.Linear(3, 3))
    names = ["predictions.joints", "weights.safetensors", "record.json"]

    def killed(folder):
        if (folder / ".new.record.json").exists():
            for name in names[: names.index(last) + 1] if last in names else []:
                os.replace(folder / f".new.{name}", folder / name)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(records, "_complete", killed)
        save(tmp_path, record(error=2.0), weights=nn.Linear(3, 3))
    loaded = records.load(saved.folder)
    assert loaded.error_mm != saved.error_mm
    records.verify(loaded)
    assert not [path for path in saved.folder.iterdir() if path.name.startswith(".new.")]


def test_new_files_without_a_record_are_no_replacement(tmp_path):
    """Killed while they were written: the old record stays, and the next one can be saved."""
    saved = save(tmp_path, record())
    shutil.copyfile(saved.folder / "record.json", saved.folder / ".new.predictions.joints")
    loaded = records.load(saved.folder)
    records.verify(loaded)
    assert loaded.error_mm == saved.error_mm
    records.verify(records.load(save(tmp_path, record(error=2.0)).folder))


@pytest.mark.parametrize(
    "name, read",
    [
        ("predictions.joints", lambda kept: records.predictions(kept)),
        ("labels.joints", lambda kept: records.labels(kept)),
        ("labels.ids.txt", lambda kept: records.ids(kept)),
        ("weights.safetensors", lambda kept: records.load_weights(kept, nn.Linear(3, 3))),
    ],
)
def test_a_file_that_was_changed_is_named_wherever_it_is_read(tmp_path, name, read):
    """Even where it is a whole file: here, that of another run."""
    kept = records.load(save(tmp_path, record(), weights=nn.Linear(3, 3)).folder)
    other = records.load(
        save(
            tmp_path / "other",
            record(),
            weights=nn.Linear(3, 3),
            predicted=joints(seed=5),
            joints=joints(seed=6),
            ids=[f"other {i}" for i in range(12)],
        ).folder
    )
    read(kept)
    records.verify(kept)
    shutil.copyfile(records._files(other)[name], records._files(kept)[name])
    for action in (read, records.verify):
        with pytest.raises(DataError, match="was changed after .* was recorded"):
            action(kept)


def test_records_without_digests_are_read_and_receive_them_once(tmp_path):
    kept = save(tmp_path, record(), weights=nn.Linear(3, 3))
    old = json.loads((kept.folder / "record.json").read_text())
    digests = old.pop("digests")
    (kept.folder / "record.json").write_text(json.dumps(old))
    assert len(records.predictions(records.load(kept.folder))) == 12
    assert records.add_digests(tmp_path) == 1 and records.add_digests(tmp_path) == 0
    assert records.load(kept.folder)["digests"] == digests
    assert set(digests) == {
        "predictions.joints",
        "weights.safetensors",
        "labels.joints",
        "labels.ids.txt",
    }


def test_a_copy_shares_labels_that_another_computer_has_rounded_otherwise(tmp_path):
    """Labels of the same frames that differ by less than a step are the same labels."""
    root = tmp_path / "records"
    other = save(root, record(), joints=joints() + 0.6 * coordinates.STEP_MM)
    mine = save(tmp_path / "run", records.validated({**record(), "seed": 1}))
    names = [record["digests"]["labels.joints"] for record in (mine, other)]
    assert names[0] != names[1]
    copied = records.copy(records.load(mine.folder), root / mine.key)
    assert copied["digests"]["labels.joints"] == names[1]
    for record_ in records.load_all(root):
        records.verify(record_)


def save_often(root, error):
    torch.set_num_threads(1)
    for seed in range(5):
        network = nn.Linear(3, 3)
        nn.init.constant_(network.weight, error + seed)
        save(root, record(error=error + seed), predicted=joints() + error + seed, weights=network)


@pytest.mark.race
def test_four_writers_of_one_record_leave_one_whole_record(tmp_path):
    """Whoever comes last: predictions, weights and the record are of the same writer."""
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=save_often, args=(tmp_path, error)) for error in (1, 10, 20, 30)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    (kept,) = records.load_all(tmp_path)
    records.verify(kept)
    measured = metrics.mean_joint_error(*records.joints(kept)).item()
    assert measured == pytest.approx(kept.error_mm, abs=3**0.5 * coordinates.STEP_MM)
    weight = records.weights(kept)["weight"]
    assert (weight * 3**0.5 - kept.error_mm).abs().max() < 0.01
    assert len(list(kept.folder.iterdir())) == 3
