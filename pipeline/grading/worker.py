"""The process in which a student's function runs; `answer_process` starts it and asks it.

The messages, each answered by `value` or `raised`:

    start   import the modules, then set limits and guard; answered by `started`
    load    run the cells of the notebook; the last item is the name of the function
    call    call the function with these arguments
    end     nothing more; the answer brings what was printed meanwhile, and the process ends

Behind walls, `serve` is the first program. It imports the modules once and makes a process for each
answer of one submission. Its own messages:

    prepare   import these modules; answered by `ready`
    answer    make the process of an answer, which then answers the messages above; when it has
              ended, `ended` tells how, and whether everything is as it was before
"""

import ast
import importlib
import io
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from pipeline.grading import guard
from pipeline.grading.wire import Wire

PRINTED = 4000
"""Characters that are kept of what an answer prints."""

_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
_RUN = {
    "definitions": _DEFINITIONS,
    "definitions and variables": (*_DEFINITIONS, ast.Assign, ast.AnnAssign),
    "everything": (ast.stmt,),
}


@dataclass(frozen=True)
class Cell:
    """A code cell, and which of its statements are run."""

    source: str
    runs: str = "definitions"  # or 'definitions and variables', or 'everything'


def serve(descriptor: int, scratch: str) -> None:
    """Answer the grader's messages behind walls, through this open socket.

    `scratch`: the folder that can be written to. Errors: `RuntimeError` outside of walls.
    """
    if Path("/proc/1/comm").read_text() != "bwrap\n":
        raise RuntimeError("this process is not behind walls, where it may end all others")
    wire = Wire(Connection(descriptor))
    _, modules = wire.receive()
    torch.set_num_threads(1)
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:  # the cell that imports it will fail
            pass
    before = os.statvfs(scratch)
    wire.send("ready", None)
    number = 0
    while True:
        try:
            _, (seconds, memory) = wire.receive()
        except EOFError:  # the grader has closed the connection
            return
        number += 1
        folder = os.path.join(scratch, str(number))
        os.mkdir(folder)
        limits = guard.Limits(seconds, memory)
        child = os.fork()
        if child == 0:
            try:
                work(wire, folder, limits, [], walled=True)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        clean = _alone() and _empty(scratch, before)
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        wire.send("ended", {"signal": ended_by, "clean": clean})


def _alone() -> bool:
    """End every other process behind these walls; return whether none is left."""
    for _ in range(100):
        others = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
        others = [other for other in others if other not in (1, os.getpid())]
        if not others:
            return True
        for other in others:
            try:
                os.kill(other, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    return False


def _empty(scratch: str, before: os.statvfs_result) -> bool:
    """Return whether nearly all room of the folder is still there."""
    now = os.statvfs(scratch)
    taken = (before.f_bfree - now.f_bfree) * now.f_frsize
    return taken < 2**20 and before.f_ffree - now.f_ffree < 100


def work_alone(
    connection: Connection, folder: str, limits: guard.Limits, modules: list[str]
) -> None:
    """Do the work of one answer without walls."""
    work(Wire(connection), folder, limits, modules)


def work(
    wire: Wire, folder: str, limits: guard.Limits, modules: list[str], walled: bool = False
) -> None:
    """Answer the grader's messages, in the folder `folder`, until they end.

    `modules` are imported before the limits hold. `walled`: the process runs behind walls.
    """
    printed = _Printed()
    attempts: list[str] = []
    function: Callable[..., Any] = _failing(RuntimeError("no cells were loaded"))
    os.chdir(folder)
    _settle(folder, printed)
    wire.receive()
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:  # the cell that imports it will fail
            pass
    guard.limit_resources(limits, walled)
    if walled:
        guard.forbid_system_calls()
    guard.restrict(folder, limits.hidden, attempts)
    wire.send("started", {"printed": "", "attempts": []})
    while True:
        kind, content = wire.receive()
        answer: dict[str, Any] = {"changed": []}
        try:
            if kind == "load":
                function = _load([Cell(*cell) for cell in content[:-1]], content[-1])
                answer["value"] = None
            elif kind == "call":
                inputs, named = content
                answer["value"] = _called(function, inputs, named, answer["changed"])
            said = "value"
        except BaseException as error:  # also sys.exit()
            full = (
                isinstance(error, MemoryError)
                or "can't allocate memory" in str(error)
                or "not enough memory" in str(error)
            )
            answer |= {
                "type": "MemoryError" if full else type(error).__name__,
                "text": str(error),
                "full": full,
            }
            said = "raised"
            if kind == "load":
                function = _failing(RuntimeError(f"its cells cannot be read ({answer['type']})"))
        answer |= {"printed": printed.getvalue(), "attempts": attempts}
        try:
            wire.send(said, answer)
        except Exception as error:  # what the function returned cannot be sent
            failure = {"type": type(error).__name__, "text": str(error)}
            wire.send("raised", answer | {"value": None, "changed": []} | failure)
        if kind == "end":
            return


def _load(cells: list[Cell], name: str) -> Callable[..., Any]:
    """Return the function `name` that the cells define.

    The cells run statement by statement; a failing statement does not stop those after it. If no
    function `name` results, the returned function raises the first error of the answer's own cell.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    first: BaseException | None = None
    for cell in cells:
        try:
            statements = ast.parse(
                re.sub(r"^([%!].*)$", r"pass  # \1", cell.source, flags=re.MULTILINE)
            ).body
        except (SyntaxError, ValueError) as error:
            first = error if cell.runs == "everything" else first
            continue
        for statement in statements:
            if not isinstance(statement, _RUN[cell.runs]) or _is_check(statement):
                continue
            try:
                exec(compile(ast.Module([statement], []), "<answer>", "exec"), namespace)
            except BaseException as error:
                first = first or (error if cell.runs == "everything" else None)
    if callable(namespace.get(name)):
        return namespace[name]
    return _failing(first or NameError(f"no cell defines {name}"))


def _failing(error: BaseException) -> Callable[..., Any]:
    def function(*inputs: Any, **named: Any) -> None:
        raise error

    return function


def _is_check(statement: ast.stmt) -> bool:
    """Return whether a statement calls the check, which is the grader's task."""
    called = getattr(getattr(statement, "value", None), "func", None)
    return isinstance(called, ast.Attribute) and called.attr in ("check", "require")


def _called(function: Callable[..., Any], inputs: list, named: dict, changed: list) -> Any:
    """Return what the function returns; list the tensors that it changed in `changed`."""
    tensors = [value for value in [*inputs, *named.values()] if isinstance(value, torch.Tensor)]
    before = [tensor.clone() for tensor in tensors]
    try:
        return function(*inputs, **named)
    finally:
        changed += [
            [number, tensor]
            for number, (tensor, copy) in enumerate(zip(tensors, before))
            if not torch.equal(tensor, copy)
        ]


def _settle(folder: str, printed: io.StringIO) -> None:
    """Use `folder` for all temporary files, and `printed` for everything that is printed."""
    if hasattr(os, "setsid"):
        os.setsid()  # its own process group, so that whatever it starts ends with it
    sys.dont_write_bytecode = True
    os.environ |= {
        "TMPDIR": folder,
        "TEMP": folder,
        "TMP": folder,
        "HOME": folder,
        "MPLCONFIGDIR": folder,
        "OMP_NUM_THREADS": "1",
    }
    tempfile.tempdir = folder
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    sys.stdout = sys.stderr = printed
    torch.set_num_threads(1)


class _Printed(io.StringIO):
    """A text of at most `PRINTED` characters; what is printed after them is lost."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, PRINTED - self.tell())])
        return len(text)
