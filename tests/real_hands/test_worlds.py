"""The comparison of worlds: what each training leaves out, and the records that were made."""

from dataclasses import fields

import pytest
import torch

from handpose_lib import synth
from handpose_lib.errors import HandPoseError
from handpose_lib.real_hands import network, worlds
from handpose_lib.results import records

KNOWN = worlds.load()


def changed(world):
    return {
        field.name
        for field in fields(synth.Distribution)
        if getattr(world, field.name) != getattr(synth.FIELD, field.name)
    }


@pytest.mark.parametrize("group", worlds.GROUPS)
def test_a_training_lacks_its_part_and_nothing_else(group):
    assert changed(worlds.Training(group).world) == set(worlds.GROUPS[group])


def test_parts_do_not_overlap_and_all_of_them_are_missing_in_the_narrow_world():
    names = [name for off in worlds.GROUPS.values() for name in off]
    assert len(names) == len(set(names))
    assert changed(worlds.Training(worlds.NARROW).world) == set(names)
    assert changed(worlds.Training().world) == set()


@pytest.mark.parametrize("group", worlds.GROUPS)
def test_a_part_left_out_changes_what_is_rendered(group):
    with_it, without = (
        synth.crops(range(24), seed=3, distribution=world, size=16)
        for world in (synth.FIELD, worlds.Training(group).world)
    )
    assert not torch.equal(with_it.depth, without.depth) or not torch.equal(
        with_it.centre, without.centre
    )


def test_trainings_have_names_of_their_own():
    names = [training.name for training in worlds.TRAININGS]
    assert len(names) == len(set(names))
    assert names[0] == worlds.FIELD and "without tables" in names and "field, seed 1" in names
    folders = {worlds.folder(training).name for training in worlds.TRAININGS}
    assert len(folders) == len(names) and not any(" " in folder for folder in folders)


def test_an_unknown_part_is_named():
    with pytest.raises(HandPoseError, match="sofas.*tables, objects"):
        worlds.Training("sofas").world  # noqa: B018


def test_what_was_made_is_read_in_order(tmp_path):
    assert worlds.load(tmp_path) == {}
    made = (worlds.Training("objects"), worlds.Training())
    for error, training in enumerate(made, start=20):
        fresh = network.create(training.method, **worlds.CONFIG)
        worlds.save(training, fresh, {}, [], {"all": error}, tmp_path)
    found = worlds.load(tmp_path)
    assert list(found) == ["field", "without objects"]
    assert found["field"]["held_out"] == {"all": 21}
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("name", KNOWN)
def test_committed_records_are_comparable(name):
    record, (first, *_) = KNOWN[name], KNOWN.values()
    training = next(one for one in worlds.TRAININGS if one.name == name)
    assert not records.is_stale(record)
    assert record["training"]["frames"] == training.frames
    assert record["training"]["seed"] == training.seed
    assert record["config"]["lacks"] == training.lacks
    assert record["held_out"]["frames"] == first["held_out"]["frames"]
    if training.lacks == worlds.FIELD:
        assert record["held_out"]["own"] == record["held_out"]["all"]
