"""Runs a student's function in a worker process, and judges it from the grader's process.

The checks run here. Each call of the student's function crosses a pipe and runs in the worker.
Whatever a student prints, patches or redefines there cannot change the verdict: only the values
that the function returns come back, as JSON and safetensors (`wire`).

    outcome = judge("back_project", cells)
    outcome.status      right, wrong, out of time, out of memory, died

The worker works in an empty folder of its own, within the limits that `guard` sets.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from handpose_lib import errors
from handpose_lib.teaching import checks
from pipeline.grading.guard import Limits
from pipeline.grading.wire import Wire
from pipeline.grading.worker import PRINTED, Cell, work

__all__ = ["Cell", "Limits", "Outcome", "judge", "prepare"]

START_S = 600.0
"""Seconds for a process to start, on a busy machine."""
PATIENCE = 10
"""Seconds on the clock that may pass for each second of computing that is allowed."""
SAID = {
    "out of time": "it had not finished when its time was over; look for a loop that does not end",
    "out of memory": "it needs more memory than there is; look for a tensor or a list that grows",
    "died": "its process ended; look for exit() and the like",
}


@dataclass
class Outcome:
    """What became of one answer."""

    status: str
    line: str  # the verdict, or what happened instead
    printed: str = ""
    attempts: list[str] = field(default_factory=list)  # refused actions


def judge(name: str, cells: Sequence[Cell], limits: Limits) -> Outcome:
    """Return the outcome of the check `name` on the function `name` that the cells define.

    Errors: `HandPoseError` for an unknown exercise, or if no worker can be started.
    """
    errors.one_of("exercise", name, checks.names())
    with tempfile.TemporaryDirectory() as folder, _Worker(folder, limits) as worker:
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
        return Outcome(
            "right" if verdict else "wrong", str(verdict), worker.printed, worker.attempts
        )


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


class _Worker:
    """A worker process, and the conversation with it."""

    def __init__(self, folder: str, limits: Limits):
        self.printed = ""
        self.attempts: list[str] = []
        self._late = self._full = self._gone = False
        ours, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=work, args=(theirs, folder, limits, list(_MODULES)), daemon=True
        )
        _start(self._process)
        theirs.close()
        self._wire = Wire(ours)
        self._timer = threading.Timer(START_S, self._out_of_time)
        self._timer.start()
        try:
            self.ask("start", None)
        except _WorkerGone as error:
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
        self._kill()
        self._process.join()
        self._wire.close()

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
            raise type(str(content["type"])[:60], (Exception,), {})(str(content["text"])[:500])
        return content["value"]

    def ask(self, kind: str, content: Any) -> tuple[str, dict[str, Any]]:
        """Send a message and return the answer. Errors: `_WorkerGone`."""
        try:
            kind, content = self._wire.ask(kind, content)
            self.printed = str(content["printed"])[:PRINTED]
            self.attempts = [str(what)[:200] for what in content["attempts"]][:20]
            self._full = self._full or content.get("full") is True
            return kind, content
        except Exception as error:  # the worker may send anything, or nothing
            self._gone = True
            self._kill()
            raise _WorkerGone("its process does not answer") from error

    def fate(self) -> str:
        """Return how the worker failed, a key of `SAID`, or '' if it did not."""
        if self._full:
            return "out of memory"
        if not self._gone:
            return ""
        self._process.join()
        computed_too_long = self._process.exitcode == -getattr(signal, "SIGXCPU", 0)
        return "out of time" if self._late or computed_too_long else "died"

    def _out_of_time(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        """End the process and what it may have started."""
        if hasattr(os, "killpg") and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
