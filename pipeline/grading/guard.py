"""Limits for a process that runs a student's code: time, memory, files, programs and network.

The operating system limits computing time and memory on Linux and macOS. A Python audit hook
refuses to open files elsewhere, to start programs and to use the network, and notes each attempt.

This protects against accidents and simple tricks. It is not a sandbox: native code can bypass an
audit hook, and an answer can read the library, including the checks. Grade code from strangers in a
container.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from handpose_lib import paths

FILES = 16 * 2**20
"""Bytes of a file that an answer may write in its own folder."""


@dataclass(frozen=True)
class Limits:
    """What an answer may use for one exercise."""

    seconds: float = 20.0  # of computing
    memory: float = 2.0  # GB, more than the process has at its start
    hidden: Sequence[str] = ()  # folders that it must not read, wherever they lie


def limit_resources(limits: Limits) -> None:
    """Set the operating system's limits for this process.

    They are hard limits, which the process cannot raise again. On Windows there are none, and the
    grader's clock remains.
    """
    try:
        import resource
    except ImportError:  # Windows
        return

    def upto(kind: str, value: float, more: int = 0) -> None:
        try:
            resource.setrlimit(getattr(resource, kind), (int(value), int(value) + more))
        except (ValueError, OSError):  # macOS knows the limit on memory and refuses to set it
            pass

    # At the soft limit comes SIGXCPU, which tells the grader why the process ended, then SIGKILL.
    upto("RLIMIT_CPU", time.process_time() + limits.seconds + 1, more=5)
    upto("RLIMIT_FSIZE", FILES)
    upto("RLIMIT_CORE", 0)
    if os.path.exists("/proc/self/statm"):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        upto("RLIMIT_AS", pages * resource.getpagesize() + limits.memory * 2**30)


_READING = {"os.listdir", "os.scandir"}
_WRITING = {
    "os.remove",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.chown",
    "os.truncate",
    "os.utime",
}
_NEVER = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.kill",
    "signal.pthread_kill",
    "socket.connect",
    "socket.bind",
    "socket.send",
    "socket.getaddrinfo",
    "socket.gethostby",
    "ctypes.dlopen",
    "resource.",
)


def restrict(folder: str, hidden: Sequence[str], attempts: list[str]) -> None:
    """Allow this process to write in `folder` only, and to read only there and what Python needs.

    `hidden`: folders that stay closed even where Python needs them; `attempts`: receives a line for
    each refused action, which also raises a `PermissionError`.
    """
    own = os.path.realpath(folder)
    prefixes = {
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        Path(torch.__file__).parent.parent,
        paths.code() / "handpose_lib",
        paths.code()
        / "data_scripts",  # training notebooks render the embedded set if it is missing
        Path(__file__).parent,
        "/usr/share/zoneinfo",
    }
    readable = [own, os.devnull, "/dev/urandom", *(os.path.realpath(prefix) for prefix in prefixes)]
    closed = [os.path.realpath(path) for path in hidden]

    def below(path: str, folders: Sequence[str]) -> bool:
        return any(path == one or path.startswith(one.rstrip(os.sep) + os.sep) for one in folders)

    # An import searches all of these folders.
    sys.path[:] = [path for path in sys.path if below(os.path.realpath(path), readable)]

    def allowed(event: str, arguments: tuple) -> bool:
        if event.startswith(_NEVER):
            return False
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            )
            files = arguments[:1]
        elif event in _READING or event in _WRITING:
            writes = event in _WRITING
            two_files = event in ("os.rename", "os.link", "os.symlink")
            files = arguments[:2] if two_files else arguments[:1]
        else:
            return True
        for file in files:
            if isinstance(file, int):  # already open
                continue
            path = os.path.realpath(os.fsdecode(file if file is not None else "."))
            if path == os.devnull or below(path, [own]):
                continue
            if writes or below(path, closed) or not below(path, readable):
                return False
        return True

    def hook(event: str, arguments: tuple) -> None:
        if not allowed(event, arguments):
            what = f"{event} {arguments[0] if arguments else ''}".strip()[:200]
            if what not in attempts:
                attempts.append(what)
            raise PermissionError(f"an answer may not do this while it is graded: {what}")

    sys.addaudithook(hook)
