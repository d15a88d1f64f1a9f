"""A folder on a disk that is nearly full, for tests of what happens when the room ends.

Where the test may mount, it is a small file system in memory. Elsewhere the operating system limits
the size of each file that this process writes, and a larger one fails with another error number.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, room: int) -> Iterator[Path]:
    """Make the new folder `folder`, in which about `room` bytes can be written, and yield it."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if mounted:
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    resource = pytest.importorskip("resource", reason="Windows limits no file size")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
