"""Files are written completely or not at all, and an error names the damaged file."""

import json
from typing import Any

import pytest
import torch

from handpose_lib.errors import DataError
from handpose_lib.io import storage


def tensors(value):
    return {"weights/a": torch.full((3, 4), float(value)), "step": torch.tensor(value)}


def test_tensors_come_back_in_any_layout_and_shared(tmp_path):
    picture = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    given = {
        "a": picture,
        "tied": picture,
        "b": torch.arange(6).reshape(2, 3).T,
        "c": torch.tensor(3),
    }
    read = storage.read_tensors(storage.write_tensors(tmp_path / "t.safetensors", given))
    assert given.keys() == read.keys() and all(
        torch.equal(given[name], read[name]) for name in given
    )


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = storage.write_json(tmp_path / "x.json", {"a": 1})
    for broken in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises(DataError, match="x.json cannot be written"):
            storage.write_json(path, broken)
    no_tensor: Any = "no tensor"
    with pytest.raises(AttributeError):
        storage.write_tensors(tmp_path / "x.json", {"a": no_tensor})
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    assert storage.read_json(path) == {"a": 1}


def test_json_keeps_every_bit_of_a_float(tmp_path):
    values = torch.rand(100, dtype=torch.float64).tolist()
    assert (
        storage.read_json(storage.write_json(tmp_path / "x.json", {"curve": values}))["curve"]
        == values
    )


@pytest.mark.parametrize("text, message", [("{", "not a JSON file"), ("3", "JSON int: an object")])
def test_damaged_json(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=message):
        storage.read_json(tmp_path / "x.json")


def test_damaged_and_missing_tensors(tmp_path):
    path = storage.write_tensors(tmp_path / "t.safetensors", tensors(1))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match="t.safetensors is not a whole"):
        storage.read_tensors(path)
    with pytest.raises(DataError, match="does not exist"):
        storage.read_tensors(tmp_path / "other.safetensors")


# --- Checkpoints --------------------------------------------------------------


def saved(folder, *steps):
    checkpoints = storage.Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, tensors(step), {"curve": [step]})
    return checkpoints


def latest(checkpoints):
    found = checkpoints.latest()
    assert found is not None
    return found


def test_the_newest_of_two_is_read(tmp_path):
    checkpoints = saved(tmp_path / "c", 1, 2, 3)
    step, read, facts = latest(checkpoints)
    assert step == 3 and facts == {"curve": [3]}
    assert torch.equal(read["weights/a"], tensors(3)["weights/a"])
    assert checkpoints.steps() == [2, 3]
    assert len(list((tmp_path / "c").iterdir())) == 4


def test_an_empty_place_has_none(tmp_path):
    assert storage.Checkpoints(tmp_path / "nowhere").latest() is None


@pytest.mark.parametrize(
    "damage", ["torn tensors", "no tensors", "torn json", "other tensors", "no digest"]
)
def test_a_damaged_pair_does_not_count(tmp_path, damage):
    checkpoints = saved(tmp_path, 1, 2)
    file, note = tmp_path / "00000002.safetensors", tmp_path / "00000002.json"
    if damage == "torn tensors":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "no tensors":
        file.unlink()
    elif damage == "torn json":
        note.write_text(note.read_text()[:20])
    elif damage == "other tensors":
        file.write_bytes((tmp_path / "00000001.safetensors").read_bytes())
    else:
        note.write_text(json.dumps({"step": 2}))
    assert latest(checkpoints)[0] == 1


def test_a_damaged_pair_is_dropped_once_training_is_past_the_one_before(tmp_path):
    checkpoints = saved(tmp_path, 10, 20)
    (tmp_path / "00000020.safetensors").unlink()
    checkpoints.save(15, tensors(15), {})
    assert checkpoints.steps() == [10, 15] and latest(checkpoints)[0] == 15


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    checkpoints = saved(tmp_path, 1)
    (tmp_path / ".00000002.safetensors.123-456").write_bytes(b"half")
    (tmp_path / "00000002.safetensors").write_bytes(b"tensors without a note")
    checkpoints.save(3, tensors(3), {})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"0000000{step}.{kind}" for step in (1, 3) for kind in ("json", "safetensors")
    ]
