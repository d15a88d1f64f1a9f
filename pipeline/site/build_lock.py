"""One build at a time in a folder, and a killed build that simply continues.

    build_lock.hold(Path("_build"))     at the start of a build: until its process ends

The lock is one of the operating system, which releases it when the process ends, however it ends:
by an error, `kill -9`, a closed terminal or a power cut. It replaces the locks of Snakemake, which
outlive their process. A file beside it says which process holds the lock.

Other computers that share the folder may not see the lock. A running build therefore touches this
file regularly: a file of another computer that has not been touched for `SILENT_S` seconds belongs
to a build that has ended.
"""

import atexit
import json
import os
import platform
import sys
import threading
import time
import uuid
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

TOKEN = "HANDPOSE_BUILD_TOKEN"
"""The variable by which the processes of a build are recognised."""
BEAT_S, SILENT_S = 10.0, 60.0
"""A running build gives a sign of life every `BEAT_S` seconds; it has ended after `SILENT_S`."""


def hold(folder: Path) -> None:
    """Hold the lock of the build folder `folder` until this process ends.

    If the build before was killed, its processes that are still running are stopped, and a line on
    stderr says so. Errors: `SystemExit` with one line if another build is running.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts, lock = folder / "build.lock.json", FileLock(folder / "build.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise SystemExit(
            f"another build is running here: {described(read(facts))}. Wait for its end, or stop it"
        ) from None
    before = read(facts)
    if before and before["host"] != platform.node() and age(facts) < SILENT_S:
        lock.release()
        raise SystemExit(
            f"another build may be running on another computer: {described(before)}. If it was"
            f" killed, try again in {SILENT_S:.0f} seconds, or delete {facts}"
        )
    if before:
        stopped = stop(before["token"])
        print(
            f"the build before was interrupted: {described(before)}. This one continues it"
            + (f"; processes that it left and that are stopped: {stopped}" if stopped else ""),
            file=sys.stderr,
        )
    os.environ[TOKEN] = uuid.uuid4().hex
    mine = {
        "process": os.getpid(),
        "host": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "token": os.environ[TOKEN],
    }
    facts.write_text(json.dumps(mine) + "\n", encoding="utf-8")
    ended = threading.Event()
    threading.Thread(target=_beat, args=(facts, ended), daemon=True).start()

    def end() -> None:
        ended.set()
        facts.unlink(missing_ok=True)
        lock.release()

    atexit.register(end)


def read(facts: Path) -> dict:
    """Return what the file says about the build that wrote it; {} if it says nothing."""
    try:
        return json.loads(facts.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # just being written, or lost in a power cut
        return {}


def described(build: dict) -> str:
    """Return a build in words."""
    if not build:
        return "it has only just started"
    return f"process {build['process']} on {build['host']}, since {build['since']}"


def age(file: Path) -> float:
    """Return the seconds since a file was touched, by the clock of the file system it lies on."""
    probe = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    probe.touch()
    try:
        return probe.stat().st_mtime - file.stat().st_mtime
    finally:
        probe.unlink()


def processes(token: str) -> list[psutil.Process]:
    """Return the processes of this computer that a build with this token started."""
    return [process for process in psutil.process_iter() if _token(process) == token]


def stop(token: str) -> int:
    """Stop the processes of this computer that a build started; return their number."""
    found = processes(token)
    for process in found:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            pass
    _, alive = psutil.wait_procs(found, timeout=5)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(alive, timeout=5)
    return len(found)


def _token(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(TOKEN)
    except (psutil.Error, OSError):  # ended meanwhile, or of another user
        return None


def _beat(facts: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        try:
            os.utime(facts)
        except OSError:  # the folder was removed, or cannot be reached for a moment
            pass
