"""Limits for a process that runs a student's code: time, memory, files, programs and network.

    limit_resources      computing time, memory, size of files, number of processes
    restrict             a Python audit hook: a clear message for honest mistakes, and a note of
                         each refused action
    forbid_system_calls  behind walls on Linux: no new process, no other program, no signal

The operating system limits computing time and memory on Linux and macOS. The audit hook refuses to
open files elsewhere, to start programs and to use the network. Native code can bypass it, so it
protects against accidents only. What protects against everything else are the walls of `walls.py`,
and the filter of system calls behind them.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from handpose_lib import paths

FILES = 16 * 2**20
"""Bytes of a file that an answer may write in its own folder."""
THREADS = 32
"""Processes and threads of an answer; an administrator's are not counted by the system."""
OPEN_FILES = 256
"""Files that an answer may have open at a time."""


@dataclass(frozen=True)
class Limits:
    """What an answer may use for one exercise."""

    seconds: float = 20.0  # of computing
    memory: float = 2.0  # GB, more than the process has at its start
    hidden: Sequence[str] = ()  # folders that it must not read, wherever they lie


def limit_resources(limits: Limits, walled: bool = False) -> None:
    """Set the operating system's limits for this process; `walled`: it runs behind walls.

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
    upto("RLIMIT_NOFILE", OPEN_FILES)
    upto("RLIMIT_MSGQUEUE", 0)
    if walled:  # elsewhere the other programs of the same user count as well
        upto("RLIMIT_NPROC", THREADS)
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


# --- system calls -------------------------------------------------------------

_CALLS = {
    "x86_64": {
        "audit": 0xC000003E,
        "clone": 56,
        "clone3": 435,
        "fork": 57,
        "vfork": 58,
        "execve": 59,
        "execveat": 322,
        "kill": 62,
        "ptrace": 101,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "pidfd_open": 434,
        "pidfd_getfd": 438,
        "pidfd_send_signal": 424,
        "rt_sigqueueinfo": 129,
        "rt_tgsigqueueinfo": 297,
        "socket": 41,
        "socketpair": 53,
        "memfd_create": 319,
        "memfd_secret": 447,
        "shmget": 29,
        "semget": 64,
        "msgget": 68,
        "mq_open": 240,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "chroot": 161,
        "unshare": 272,
        "setns": 308,
        "open_tree": 428,
        "fsopen": 430,
        "bpf": 321,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "io_uring_setup": 425,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
    },
    "aarch64": {
        "audit": 0xC00000B7,
        "clone": 220,
        "clone3": 435,
        "execve": 221,
        "execveat": 281,
        "kill": 129,
        "ptrace": 117,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "pidfd_open": 434,
        "pidfd_getfd": 438,
        "pidfd_send_signal": 424,
        "rt_sigqueueinfo": 138,
        "rt_tgsigqueueinfo": 240,
        "socket": 198,
        "socketpair": 199,
        "memfd_create": 279,
        "memfd_secret": 447,
        "shmget": 194,
        "semget": 190,
        "msgget": 186,
        "mq_open": 180,
        "mount": 40,
        "umount2": 39,
        "pivot_root": 41,
        "chroot": 51,
        "unshare": 97,
        "setns": 268,
        "open_tree": 428,
        "fsopen": 430,
        "bpf": 280,
        "perf_event_open": 241,
        "userfaultfd": 282,
        "io_uring_setup": 425,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
    },
}
"""Processor → the number of its interface for filters, and the numbers of refused system calls."""

_LOAD, _EQUAL, _LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _REFUSE, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER, _PROCESSOR, _FIRST_ARGUMENT = 0, 4, 16  # places in what a filter reads
_CLONE_THREAD = 0x00010000
_OTHER_NUMBERS = 0x40000000  # the second set of calls of x86-64
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2


def forbid_system_calls() -> bool:
    """Refuse, for the rest of this process, to start processes and programs and to reach others.

    Threads are allowed. Returns whether the filter holds: processors other than x86-64 and ARM64
    have none here. Errors: `OSError` if the kernel refuses the filter.
    """
    calls = _CALLS.get(platform.machine())
    if calls is None or sys.platform != "linux":
        return False
    refused = _REFUSE | errno.EPERM
    program = [
        (_LOAD, 0, 0, _PROCESSOR),
        (_EQUAL, 1, 0, calls["audit"]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_LEAST, 0, 1, _OTHER_NUMBERS),
        (_RETURN, 0, 0, refused),
    ]
    for name, number in calls.items():
        if name not in ("audit", "clone", "clone3"):
            program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, refused)]
    # A thread is made by `clone`, which the C library uses where `clone3` does not exist.
    program += [(_EQUAL, 0, 1, calls["clone3"]), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]
    program += [
        (_EQUAL, 0, 3, calls["clone"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, refused),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *each) for each in program))
    whole = struct.pack("@HP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (_SET_SECCOMP, _FILTER, ctypes.c_char_p(whole), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "the kernel refuses a filter of system calls")
    return True
