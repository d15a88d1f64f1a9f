"""Several processes train one network: the same bits as one process, and one of them writes."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace

import pytest
import torch

from handpose_lib import prepare, training
from handpose_lib.errors import HandPoseError
from handpose_lib.io.storage import Checkpoints
from handpose_lib.nets.batch_renorm import renormalise
from handpose_lib.training import group
from tests.training.test_training import RECIPE, Patches, Toy, same_weights

FOUR = replace(RECIPE, parts=4, epochs=3)


class Breaking(training.Stored):
    """A source that fails at update 7, or waits there for ever, in the process of these rows."""

    def __init__(self, *arguments, rows=4, wait=False):
        super().__init__(*arguments)
        self.rows, self.wait = rows, wait

    def batch(self, step, size, seed=0, device="cpu", rows=None):
        if step == 7 and rows is not None and rows.start == self.rows:
            while self.wait:
                time.sleep(1)
            raise HandPoseError("the frames are used up")
        return super().batch(step, size, seed, device, rows)


def train(out, devices, recipe=FOUR, source=None, **options):
    """Return (method, history) of a small training by so many processes."""
    torch.manual_seed(0)
    # It uses its running statistics in the training: they must survive an interruption.
    method = renormalise(Toy(dropout=0.0))
    source = source or training.Stored(Patches(), recipe.cube_train)
    history = training.fit(
        method,
        source,
        recipe,
        out,
        seed=1,
        device="cpu",
        devices=devices,
        progress=False,
        **options,
    )
    return method, history


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same training by one process."""
    return train(tmp_path_factory.mktemp("alone"), 1)


def test_the_number_of_processes_decides_no_bit(tmp_path, alone):
    """Two processes, with validation, and with the weights of each epoch, that only one writes."""
    recipe = replace(FOUR, keep_epochs=True)
    validation = Patches(16, first=100)
    one, first = train(tmp_path / "1", 1, recipe, validation=validation)
    two, second = train(tmp_path / "2", 2, recipe, validation=validation)
    assert same_weights(one, two) and same_weights(two, alone[0])
    assert first.curve == second.curve
    assert second.device == {**first.device, "processes": 2}
    names = [sorted(path.name for path in (tmp_path / n / "epochs").iterdir()) for n in "12"]
    assert names[0] == names[1] and len(names[0]) == recipe.epochs


def test_a_training_resumed_by_other_numbers_of_processes_ends_in_the_same_bits(tmp_path, alone):
    for epoch, devices in enumerate((4, 1), 1):
        train(tmp_path, devices, until=epoch)
    method, history = train(tmp_path, 2)
    assert same_weights(method, alone[0])
    assert history.curve == alone[1].curve


def test_an_error_in_one_process_ends_all_and_is_told_in_one_line(tmp_path):
    with pytest.raises(HandPoseError, match="^the frames are used up$"):
        train(tmp_path, 2, source=Breaking(Patches(), FOUR.cube_train), checkpoint_seconds=0)
    _, history = train(tmp_path, 1)  # the folder is free, and its checkpoint whole
    assert history.steps == 15


def start_waiting(out):
    train(out, 2, source=Breaking(Patches(), FOUR.cube_train, wait=True), checkpoint_seconds=0)


def test_processes_end_with_the_one_that_has_started_them(tmp_path, alone):
    started = multiprocessing.get_context("spawn").Process(target=start_waiting, args=(tmp_path,))
    started.start()
    checkpoints = Checkpoints(tmp_path / "checkpoint")
    while started.is_alive() and 7 not in checkpoints.steps():
        time.sleep(0.05)
    with pytest.raises(HandPoseError, match="another training is running in"):
        train(tmp_path, 1)
    members = group_members(started.pid)
    assert len(members) == 2
    os.kill(started.pid or 0, signal.SIGKILL)
    started.join()
    deadline = time.monotonic() + 30
    while any(map(alive, members)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, members))
    assert same_weights(train(tmp_path, 1)[0], alone[0])


def group_members(pid):
    """The processes that a training has started: those that have joined a group."""
    import psutil

    return [
        child.pid
        for child in psutil.Process(pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]


def alive(pid):
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 3}, "4 parts of a batch in 3 processes: accepted is a recipe whose parts"),
        ({"devices": 1, "nodes": 2}, "MASTER_ADDR, MASTER_PORT, NODE_RANK must be set"),
    ],
)
def test_what_processes_cannot_share_is_said_before_any_starts(
    tmp_path, monkeypatch, options, message
):
    for name in group.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(HandPoseError, match=message):
        train(tmp_path, **options)
    assert not (tmp_path / "checkpoint").exists()


def node_of_two(number, out, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), NODE_RANK=str(number))
    _, history = train(out, 1, nodes=2)
    assert history.device["processes"] == 2


def test_two_computers_train_together(tmp_path, alone):
    """Two programs that know each other by the environment alone, as on two computers."""
    port = int(group._address(1)["MASTER_PORT"])
    spawning = multiprocessing.get_context("spawn")
    programs = [
        spawning.Process(target=node_of_two, args=(number, tmp_path, port)) for number in range(2)
    ]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
    assert [program.exitcode for program in programs] == [0, 0]
    method, history = train(tmp_path, 1)
    assert same_weights(method, alone[0]) and history.curve == alone[1].curve


@pytest.mark.parametrize("kind", [training.Stored, training.OnTheFly])
def test_the_rows_of_a_batch_are_those_of_the_whole_batch(kind):
    source = (
        training.Stored(Patches(), (90.0, 100.0))
        if kind is training.Stored
        else training.OnTheFly("wide", frames=16, cube=(200.0, 250.0))
    )
    whole = source.batch(1, 8, 3)
    for rows in (range(3), range(3, 8)):
        part = source.batch(1, 8, 3, "cpu", rows)
        assert part.ids == whole.ids[rows.start : rows.stop]
        expected = whole.index(slice(rows.start, rows.stop))
        assert torch.equal(prepare.image(part, 32), prepare.image(expected, 32))
        for name in ("joints", "centre", "cube", "camera"):
            assert torch.equal(getattr(part, name), getattr(expected, name)), name
        first, second = (training.generator(3, "augment", 1) for _ in range(2))
        turned = prepare.augment(part, first, first=rows.start)
        assert torch.equal(
            prepare.image(turned, 32),
            prepare.image(prepare.augment(whole, second).index(slice(rows.start, rows.stop)), 32),
        )
