"""One writer at a time for each target: a lock beside it that the operating system holds.

    with locks.held(folder, "training"):      # waits until no other process writes there
        ...
    with locks.held(folder, "training", wait=0.0):      # or says at once who does

The lock is the file `.<name>.lock` in the folder of the target. The system releases it when its
process ends, however it ends, so that a crash blocks nobody. The file says who holds the lock, and
its holder removes it in the end: `filelock` never takes a file that was removed meanwhile.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from handpose_lib.errors import DataError

FOR_EVER = -1.0
PATIENCE_S = 1.0
"""Seconds of waiting that are not worth a message."""


@contextmanager
def held(target: Path | str, what: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of a file or folder inside the block.

    `what`: the work in one word, for the message of others; `wait`: seconds to wait for another
    process, `FOR_EVER` without limit. A line on stderr says for whom it waits.
    Errors: `DataError` that names the process which holds the lock, or if no lock can be made.
    """
    path = lock_of(target)
    lock = FileLock(path, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0.0 if wait == 0 else min(PATIENCE_S, abs(wait)))
        except Timeout:
            if wait == 0:
                raise
            logging.getLogger("handpose_lib").warning(
                "%s is being written by another process: %s; waiting for its end",
                target,
                _holder(path),
            )
            lock.acquire(timeout=wait)
    except Timeout:
        raise DataError(
            f"{target} is being written by another process: {_holder(path)}. Wait for its end, or"
            " choose another place"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f"{target} cannot be written ({getattr(error, 'strerror', None) or error}); accepted is"
            " a folder that can be written to"
        ) from error
    try:
        _say(path, what)
        yield
    finally:
        with suppress(OSError):  # Windows does not remove what is open
            path.unlink()
        lock.release()


def lock_of(target: Path | str) -> Path:
    """Return the file that is locked while a target is written."""
    target = Path(os.path.abspath(target))
    return target.with_name(f".{target.name}.lock")


def _say(path: Path, what: str) -> None:
    """Write into the lock who holds it. Without room for it, the lock holds all the same."""
    told = {
        "what": what,
        "process": os.getpid(),
        "computer": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    with suppress(OSError):
        path.write_text(json.dumps(told) + "\n", encoding="utf-8")


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return (
            f"{told['what']}, process {told['process']} on {told['computer']}, since"
            f" {told['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):  # it has only just begun
        return "it has only just begun"
