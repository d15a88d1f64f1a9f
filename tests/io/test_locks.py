"""One writer at a time; a lock whose holder is gone holds nobody up."""

import logging
import multiprocessing
import os
import threading
import time

import pytest

from handpose_lib.errors import DataError
from handpose_lib.io import locks

CONTEXT = multiprocessing.get_context("spawn")


def count(path, times):
    """Add one to a number in a file, in a way that loses counts if two do it at once."""
    for _ in range(times):
        with locks.held(path, "counting", locks.FOR_EVER):
            number = int(path.read_text())
            time.sleep(0.001)
            path.write_text(str(number + 1))


def hold_and_die(path, begun):
    with locks.held(path, "dying"):
        begun.set()
        time.sleep(60)


@pytest.mark.race
def test_four_processes_and_their_threads_never_write_at_once(tmp_path):
    """The lock file is removed each time, and no two ever hold two of them."""
    path = tmp_path / "number"
    path.write_text("0")
    writers = [CONTEXT.Process(target=count, args=(path, 50)) for _ in range(4)]
    writers += [threading.Thread(target=count, args=(path, 50)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() == "300"
    assert [file.name for file in tmp_path.iterdir()] == ["number"]


def test_who_holds_a_lock_is_named_in_one_line(tmp_path):
    with (
        locks.held(tmp_path / "set", "rendering"),
        pytest.raises(DataError, match=rf"rendering, process {os.getpid()} on .*, since") as said,
        locks.held(tmp_path / "set", "other"),
    ):
        pass
    assert "\n" not in str(said.value)


def test_whoever_waits_says_for_whom(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_S", 0.05)
    begun, done = threading.Event(), threading.Event()

    def first():
        with locks.held(tmp_path / "set", "rendering"):
            begun.set()
            done.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait(30)
    threading.Timer(0.5, done.set).start()
    with caplog.at_level(logging.WARNING), locks.held(tmp_path / "set", "b", locks.FOR_EVER):
        assert done.is_set()
    thread.join()
    assert f"rendering, process {os.getpid()}" in caplog.text and "waiting" in caplog.text


def test_a_lock_whose_holder_was_killed_is_free(tmp_path):
    begun = CONTEXT.Event()
    process = CONTEXT.Process(target=hold_and_die, args=(tmp_path / "set", begun))
    process.start()
    assert begun.wait(60)
    with pytest.raises(DataError, match="dying"), locks.held(tmp_path / "set", "b"):
        pass
    process.kill()
    process.join()
    with locks.held(tmp_path / "set", "b"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_no_lock_can_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DataError, match="cannot be written"),
        locks.held(tmp_path / "file" / "deeper" / "set", "b"),
    ):
        pass
