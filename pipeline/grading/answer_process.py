"""Runs a student's function in a worker process, and judges it from the grader's process.

The checks run here. Each call of the student's function crosses a socket and runs in the worker.
Whatever a student prints, patches or redefines there cannot change the verdict: only the values
that the function returns come back, as JSON and safetensors (`wire`).

    with Judge(walls.found(), modules, Limits()) as judge:
        outcome = judge("back_project", cells)
    outcome.status      right, wrong, out of time, out of memory, died

A judge is for the answers of one submission. Its workers run behind walls, each in a process and an
empty folder of its own, within the limits that `guard` sets. Without walls they are processes of
this computer like any other.
"""

import contextlib
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from handpose_lib import errors, paths
from handpose_lib.teaching import checks
from pipeline.grading import walls
from pipeline.grading.guard import Limits
from pipeline.grading.wire import Wire
from pipeline.grading.worker import PRINTED, Cell, work_alone

__all__ = ["Cell", "Judge", "Limits", "Outcome", "clean", "prepare"]

START_S = 600.0
"""Seconds for a process to start, on a busy machine."""
PATIENCE = 10
"""Seconds on the clock that may pass for each second of computing that is allowed."""
END_S = 20.0
"""Seconds for a worker to end after its last answer."""
LINE = 1000
"""Characters of a verdict that are kept."""
SAID = {
    "out of time": "it had not finished when its time was over; look for a loop that does not end",
    "out of memory": "it needs more memory than there is; look for a tensor or a list that grows",
    "died": "its process ended; look for exit() and the like",
}


@dataclass
class Outcome:
    """What became of one answer. The texts can be written anywhere: see `clean`."""

    status: str
    line: str  # the verdict, or what happened instead
    printed: str = ""
    attempts: list[str] = field(default_factory=list)  # refused actions

    def __post_init__(self) -> None:
        self.line = clean(self.line, LINE)
        self.printed = clean(self.printed, PRINTED, lines=True)
        self.attempts = [clean(what, 200) for what in self.attempts][:20]


def clean(text: object, longest: int, lines: bool = False) -> str:
    """Return a text of a student in a form that is safe to write and to show.

    Halves of surrogate pairs become '?', other control characters, among them those that turn the
    direction of writing, spaces; line breaks as well unless `lines`. The rest after `longest`
    characters is left out.
    """
    words = str(text)[:longest].encode("utf-8", errors="replace").decode("utf-8")
    kept = "\n\t" if lines else ""
    return "".join(
        c if c in kept or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else " "
        for c in words
    )


class Judge:
    """Judges the answers of one submission, one after the other.

    `built`: the walls, None for none; `modules`: what answers import, imported once behind the
    walls before any limit holds.
    """

    def __init__(self, built: walls.Walls | None, modules: Sequence[str], limits: Limits):
        self._walls, self._modules, self._limits = built, list(modules), limits
        self._box: _Box | None = None
        self._closed = False

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._box is not None:
            self._box.close()

    def stop(self) -> None:
        """End all that runs for this judge; any thread may call it."""
        self._closed = True
        if self._box is not None:
            self._box.kill()  # a thread that waits for it goes on

    def __call__(self, name: str, cells: Sequence[Cell]) -> Outcome:
        """Return the outcome of the check `name` on the function `name` that the cells define.

        Errors: `HandPoseError` for an unknown exercise, or if no worker can be started.
        """
        errors.one_of("exercise", name, checks.names())
        with contextlib.ExitStack() as stack:
            if self._walls is None:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
                )
                link: _Link = _Forked(folder, self._limits)
            else:
                link = self._behind_walls()
            return _judged(name, cells, stack.enter_context(_Worker(link, self._limits)))

    def _behind_walls(self) -> "_Box":
        """Return a box in which nothing of an earlier answer is left."""
        assert self._walls is not None
        if self._box is not None and not self._box.clean:
            self._box.close()
            self._box = None
        if self._closed:
            raise errors.HandPoseError("the grading was stopped")
        if self._box is None:
            self._box = _Box(self._walls, self._modules)
        self._box.begin(self._limits)
        return self._box


def _judged(name: str, cells: Sequence[Cell], worker: "_Worker") -> Outcome:
    try:
        worker.ask("load", [[cell.source, cell.runs] for cell in cells] + [name])
        verdict = checks.check(name, worker.call)
        worker.ask("end", None)
    except _WorkerGone:
        verdict = None
    except Exception as error:  # the check itself fails on what was returned
        verdict = checks.Verdict(
            name, f"the check cannot use what it returns ({type(error).__name__}: {error})"
        )
    if status := worker.fate():
        return Outcome(status, f"✘ {name}: {SAID[status]}.", worker.printed, worker.attempts)
    return Outcome("right" if verdict else "wrong", str(verdict), worker.printed, worker.attempts)


def prepare(modules: Sequence[str]) -> None:
    """Import these modules in every worker before its limits hold.

    On systems that can fork, they are imported once, in the process that all workers are copies of.
    """
    _MODULES[:] = modules
    if _CONTEXT.get_start_method() == "forkserver":
        _CONTEXT.set_forkserver_preload(["torch", "handpose_lib.teaching.checks", *modules])


def _context():
    if "forkserver" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


_CONTEXT = _context()
_MODULES: list[str] = []
_STARTING = threading.Lock()


def _start(process: BaseProcess) -> None:
    """Start a process without the script that runs here, which it would import but never need."""
    with _STARTING:
        script, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = script


class _WorkerGone(Exception):
    """The worker died or timed out. A check sees it as an exception of the function."""


class _Link(Protocol):
    """A process for one answer, and the connection to it."""

    wire: Wire

    def kill(self) -> None:
        """End the process and what it may have started."""
        ...

    def finish(self, gone: bool) -> None:
        """Let the process end after its last message; `gone`: it does not answer any more."""
        ...

    def signal(self) -> int:
        """Return the signal that ended the process, 0 for none."""
        ...


class _Forked:
    """A process of this computer, without walls."""

    def __init__(self, folder: str, limits: Limits):
        ours, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=work_alone, args=(theirs, folder, limits, list(_MODULES)), daemon=True
        )
        _start(self._process)
        theirs.close()
        self.wire = Wire(ours)

    def kill(self) -> None:
        if hasattr(os, "killpg") and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def finish(self, gone: bool) -> None:
        self.kill()
        self._process.join()
        self.wire.close()

    def signal(self) -> int:
        self._process.join()
        return max(0, -(self._process.exitcode or 0))


class _Box:
    """A place behind walls, in which a process is made for one answer after the other."""

    START = "import sys; sys.path[:0] = {path!r}; from pipeline.grading.worker import serve; "
    RUN = "serve({descriptor}, {scratch!r})"

    def __init__(self, built: walls.Walls, modules: Sequence[str]):
        ours, theirs = socket.socketpair()
        code = self.START.format(path=[str(paths.code())])
        code += self.RUN.format(descriptor=theirs.fileno(), scratch=walls.SCRATCH)
        command = built.command([sys.executable, "-I", "-c", code])
        self._said = b""
        self._killing, self._killed = threading.Lock(), False
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                **built.options,
            )
        self.wire = Wire(Connection(ours.detach()))
        self.clean = False
        self._ended: dict[str, Any] = {}
        timer = threading.Timer(START_S, self.kill)
        timer.start()
        try:
            self.wire.send("prepare", list(modules))
            ready = self.wire.receive()[0] == "ready"
        except Exception:
            ready = False
        finally:
            timer.cancel()
        if not ready:
            self.close()
            said = self._said[-10_000:].decode("utf-8", errors="replace").strip().splitlines()
            raise errors.HandPoseError(
                "no process could be started behind walls to judge an answer in"
                + (f": {said[-1][:300]}" if said else "")
            )

    def begin(self, limits: Limits) -> None:
        """Make the process of an answer."""
        self.clean, self._ended = False, {}
        with contextlib.suppress(OSError, ValueError):  # then it does not answer either
            self.wire.send("answer", [limits.seconds, limits.memory])

    def kill(self) -> None:
        # The first process behind the walls ends with bubblewrap, and all others with it.
        self.clean = False
        with self._killing:
            if not self._killed:
                self._process.kill()
                _, self._said = self._process.communicate()
                self._killed = True

    def close(self) -> None:
        """End everything in the box, and close the connection."""
        self.kill()
        self.wire.close()

    def ended(self, told: Any) -> None:
        """Keep what the box says about the process of an answer that has ended."""
        self._ended = told if isinstance(told, dict) else {}
        self.clean = self._ended.get("clean") is True

    def finish(self, gone: bool) -> None:
        if self.clean:
            return
        if gone:
            self.kill()
            return
        timer = threading.Timer(END_S, self.kill)
        timer.start()
        try:
            kind, told = self.wire.receive()
            if kind == "ended":
                self.ended(told)
        except Exception:  # it may send anything, or nothing
            pass
        finally:
            timer.cancel()
        if not self.clean:
            self.kill()

    def signal(self) -> int:
        number = self._ended.get("signal")
        return number if isinstance(number, int) else 0


class _Worker:
    """The conversation with the process of one answer."""

    def __init__(self, link: _Link, limits: Limits):
        self.printed = ""
        self.attempts: list[str] = []
        self._late = self._full = self._gone = False
        self._link = link
        self._timer = threading.Timer(START_S, self._out_of_time)
        self._timer.start()
        try:
            self.ask("start", None)
        except _WorkerGone as error:
            link.finish(gone=True)
            raise errors.HandPoseError(
                "no process could be started to judge an answer in"
            ) from error
        finally:
            self._timer.cancel()
        self._timer = threading.Timer(PATIENCE * limits.seconds, self._out_of_time)
        self._timer.start()

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._link.finish(self._gone)

    def call(self, *inputs: Any, **named: Any) -> Any:
        """Call the student's function; inputs that it changes there are changed here as well."""
        tensors = [value for value in [*inputs, *named.values()] if isinstance(value, torch.Tensor)]
        if any(tensor.requires_grad for tensor in tensors):
            raise errors.HandPoseError(
                "a check that differentiates through an answer cannot judge it from another"
                " process: compare differences instead"
            )
        kind, content = self.ask("call", [list(inputs), named])
        for number, changed in content["changed"]:
            if isinstance(changed, torch.Tensor) and changed.shape == tensors[number].shape:
                tensors[number].copy_(changed)
        if kind == "raised":
            self._full = self._full or content["type"] == "MemoryError"
            name = re.sub(r"\W", "_", clean(content["type"], 60))
            raise type(name, (Exception,), {})(clean(content["text"], 500))
        return content["value"]

    def ask(self, kind: str, content: Any) -> tuple[str, dict[str, Any]]:
        """Send a message and return the answer. Errors: `_WorkerGone`."""
        if self._gone:
            raise _WorkerGone("its process does not answer")
        try:
            kind, content = self._link.wire.ask(kind, content)
            if kind == "ended" and isinstance(self._link, _Box):
                self._link.ended(content)
            self.printed = str(content["printed"])[:PRINTED]
            self.attempts = [str(what)[:200] for what in content["attempts"]][:20]
            self._full = self._full or content.get("full") is True
            return kind, content
        except Exception as error:  # the worker may send anything, or nothing
            self._gone = True
            if not (isinstance(self._link, _Box) and self._link.clean):
                self._link.kill()
            raise _WorkerGone("its process does not answer") from error

    def fate(self) -> str:
        """Return how the worker failed, a key of `SAID`, or '' if it did not."""
        if self._full:
            return "out of memory"
        if not self._gone:
            return ""
        computed_too_long = self._link.signal() == getattr(signal, "SIGXCPU", None)
        return "out of time" if self._late or computed_too_long else "died"

    def _out_of_time(self) -> None:
        self._late = True
        self._link.kill()
