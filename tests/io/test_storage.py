"""Files are written completely or not at all, and an error names the damaged file."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from handpose_lib.errors import DataError
from handpose_lib.io import storage
from tests.support.small_disk import small_disk


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


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a":' + "[" * 50_000])
def test_json_that_is_nested_without_end_is_one_clear_error(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json is a JSON file nested too deeply"):
        storage.read_json(tmp_path / "x.json")


def test_what_json_and_utf8_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for value in ({"name": "\ud800"}, {"\udfff": 1}, endless):
        with pytest.raises(DataError, match=r"x\.json cannot be written"):
            storage.write_json(tmp_path / "x.json", value)
    with pytest.raises(DataError, match="half of a surrogate pair at character 2"):
        storage.write_text(tmp_path / "x.txt", "ab\ud800")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["F4", "F6_E2M3", "NONE"])
def test_tensors_of_types_that_torch_does_not_have(tmp_path, kind):
    head = json.dumps({"a": {"dtype": kind, "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "t.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(DataError, match=r"t\.safetensors is not a whole"):
        storage.read_tensors(tmp_path / "t.safetensors")


def test_damaged_and_missing_tensors(tmp_path):
    path = storage.write_tensors(tmp_path / "t.safetensors", tensors(1))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match="t.safetensors is not a whole"):
        storage.read_tensors(path)
    with pytest.raises(DataError, match="does not exist"):
        storage.read_tensors(tmp_path / "other.safetensors")


# --- The disk ends ------------------------------------------------------------

WRITERS = {
    "text": lambda path, size: storage.write_text(path, "x" * size),
    "json": lambda path, size: storage.write_json(path, {"text": "x" * size}),
    "tensors": lambda path, size: storage.write_tensors(path, {"a": torch.zeros(size // 4)}),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path, kind):
    with small_disk(tmp_path / "disk", 256 * 1024) as disk:
        path = WRITERS[kind](disk / "file", 10_000)
        before = path.read_bytes()
        with pytest.raises(DataError, match=r"file cannot be written \(.+\); what was") as caught:
            WRITERS[kind](path, 2**20)
        assert isinstance(caught.value, OSError) and caught.value.errno and caught.value.strerror
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == before and list(disk.iterdir()) == [path]
        WRITERS[kind](path, 20_000)
        assert len(path.read_bytes()) > len(before)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path):
    with small_disk(tmp_path / "disk", 256 * 1024) as disk:
        checkpoints = saved(disk / "checkpoint", 1)
        with pytest.raises(DataError, match="cannot be written"):
            checkpoints.save(2, {"a": torch.zeros(2**18)}, {})
        assert latest(checkpoints)[0] == 1 and checkpoints.steps() == [1]
        checkpoints.save(2, tensors(2), {})
        assert latest(checkpoints)[0] == 2


def test_a_folder_that_vanishes_while_a_file_is_written(tmp_path):
    folder = tmp_path / "folder"
    with (
        pytest.raises(DataError, match=r"file\.txt cannot be written \(No such file"),
        storage.temporary_file(folder / "file.txt") as temporary,
    ):
        temporary.write_text("half")
        shutil.rmtree(folder)
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=r"x\.json cannot be written"):
        storage.write_json(tmp_path / "file" / "deeper" / "x.json", {})
    if sys.platform == "linux":  # a folder in which nobody can write, not even an administrator
        with pytest.raises(DataError, match=r"/proc/x\.json cannot be written"):
            storage.write_json(Path("/proc/x.json"), {})


def test_an_error_of_what_is_read_meanwhile_is_not_called_one_of_writing(tmp_path):
    (tmp_path / "read").mkdir()
    with (
        pytest.raises(FileNotFoundError),
        storage.temporary_file(tmp_path / "written" / "file"),
    ):
        (tmp_path / "read" / "missing").read_bytes()


def test_a_name_of_full_length_can_be_written(tmp_path):
    for name in ("x" * 250 + ".txt", "é" * 120 + ".txt", "手" * 80 + ".txt"):
        assert storage.write_text(tmp_path / name, name).read_text(encoding="utf-8") == name
    assert len(list(tmp_path.iterdir())) == 3


def killed_while_writing(path):
    with storage.temporary_file(path) as temporary:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_what_a_killed_writer_left_is_removed_by_the_next_one_and_nothing_else(tmp_path):
    path, other = tmp_path / "file.txt", tmp_path / "file.txt.more"
    for target in (path, other):
        process = multiprocessing.get_context("spawn").Process(
            target=killed_while_writing, args=(target,)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    left = {file.name for file in tmp_path.iterdir()}
    assert len(left) == 2
    mine = next(name for name in left if ".more." not in name)
    _, computer, process = mine.rsplit(".", 2)
    elsewhere = mine.replace(computer, "0" * 8)  # it may be writing on another computer
    running = mine.replace(process, f"{os.getppid()}-1")
    for name in (elsewhere, running):
        (tmp_path / name).write_text("being written")
    storage.write_text(path, "whole")
    assert {file.name for file in tmp_path.iterdir()} == (left - {mine}) | {
        path.name,
        elsewhere,
        running,
    }


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


DAMAGE = {
    "torn tensors": lambda file, note: file.write_bytes(file.read_bytes()[:-1]),
    "no tensors": lambda file, note: file.unlink(),
    "torn json": lambda file, note: note.write_text(note.read_text()[:20]),
    "nested json": lambda file, note: note.write_text("[" * 100_000),
    "other tensors": lambda file, note: file.write_bytes(
        file.with_name("00000001.safetensors").read_bytes()
    ),
    "another step": lambda file, note: note.write_text(
        json.dumps({**json.loads(note.read_text()), "step": 3})
    ),
    "no facts": lambda file, note: note.write_text(
        json.dumps({**json.loads(note.read_text()), "facts": None})
    ),
    "a fact is missing": lambda file, note: note.write_text(
        json.dumps({**json.loads(note.read_text()), "facts": {}})
    ),
    "another fact": lambda file, note: note.write_text(
        json.dumps({**json.loads(note.read_text()), "facts": {"curve": [7]}})
    ),
    "only the step": lambda file, note: note.write_text(json.dumps({"step": 2})),
    "a folder": lambda file, note: (note.unlink(), note.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_pair_does_not_count_and_a_warning_names_it(tmp_path, damage):
    checkpoints = saved(tmp_path, 1, 2)
    DAMAGE[damage](tmp_path / "00000002.safetensors", tmp_path / "00000002.json")
    with pytest.warns(UserWarning, match=r"the checkpoint of step 2 is not used .*00000002"):
        assert latest(checkpoints)[0] == 1


def test_a_whole_checkpoint_is_read_without_a_word_however_its_json_is_laid_out(tmp_path):
    checkpoints = saved(tmp_path, 1)
    note = tmp_path / "00000001.json"
    note.write_text(json.dumps(json.loads(note.read_text()), indent=7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert latest(checkpoints)[0] == 1


def test_if_every_checkpoint_is_damaged_each_is_named(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(b"")
    with pytest.warns(UserWarning) as said:
        assert checkpoints.latest() is None
    named = [str(warning.message).partition(" is not used")[0] for warning in said]
    assert named == ["the checkpoint of step 2", "the checkpoint of step 1"]


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
