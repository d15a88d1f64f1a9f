"""A student's function in a process of its own, judged from outside.

The laws are tested here, in the grader's process; each call of the student's function crosses a
pipe and runs in the other one. What a student prints, patches or redefines there changes no
verdict: all that comes back are the values that the function returns, as JSON and safetensors.

    outcome = judge("back_project", "back_project", cells)
    outcome.status      right, wrong, out of time, out of memory, died

The process may compute for so many seconds and take so much memory (limits of the operating system,
on Linux and macOS); it works in an empty folder of its own; an audit hook refuses to open files
elsewhere, to start programs and to use the network, and notes that it was tried.

This guards against accidents and simple tricks. It is no sandbox: an audit hook can be got round by
native code, and an answer can read the library, laws included. Grade strangers' code in a
container.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import io
import json
import multiprocessing
import os
import re
import signal
import struct
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from handpose_lib import errors, paths
from handpose_lib.teaching import checks

START = 600.0  # seconds for a process to start, on a machine with much else to do
PATIENCE = 10  # times the seconds of computing that may pass on the clock
LONGEST = 64 * 2**20  # bytes of one message
PRINTED = 4000  # characters kept of what an answer prints
FILES = 16 * 2**20  # bytes of a file that an answer may write in its own folder


@dataclass(frozen=True)
class Limits:
    seconds: float = 20.0  # of computing, for one exercise
    memory: float = 2.0  # GB beyond what the process has at its start
    hidden: Sequence[str] = ()  # folders that an answer must not read, wherever they lie


@dataclass(frozen=True)
class Cell:
    """Code of a notebook. Of what is not the answer, only what defines something is run."""

    source: str
    runs: str = "definitions"  # or 'definitions and variables', or 'everything'


@dataclass
class Outcome:
    status: str
    line: str  # the verdict, or what happened instead
    printed: str = ""
    attempts: list[str] = field(default_factory=list)  # what was tried and refused


def judge(
    name: str,
    function: str,
    cells: Sequence[Cell],
    limits: Limits = Limits(),
    seed: int | None = None,
) -> Outcome:
    """The verdict of the check `name` on the function `function` that the cells define."""
    errors.one_of("exercise", name, checks.names())
    with tempfile.TemporaryDirectory() as folder, _Process(folder, limits) as process:
        try:
            process.ask("load", [[cell.source, cell.runs] for cell in cells] + [function])
            verdict = checks.check(name, process.call, seed=seed)
            process.ask("end", None)
        except _Gone:
            verdict = None
        except Exception as error:  # the check itself stumbled over what came back
            verdict = checks.Verdict(
                name, f"the check cannot use what it returns ({type(error).__name__}: {error})"
            )
        if status := process.fate():
            return Outcome(status, f"✘ {name}: {_SAID[status]}.", process.printed, process.attempts)
        return Outcome(
            "right" if verdict else "wrong", str(verdict), process.printed, process.attempts
        )


def prepare(modules: Sequence[str]) -> None:
    """Name what answers will import: it is loaded before a student's code runs, at no cost of its
    time.

    Where the system can copy processes, it is loaded once, in the process that all others are
    copies of.
    """
    _MODULES[:] = modules
    if _CONTEXT.get_start_method() == "forkserver":
        _CONTEXT.set_forkserver_preload(["torch", "handpose_lib.teaching.checks", *modules])


_SAID = {
    "out of time": "it had not finished when its time was over; look for a loop that does not end",
    "out of memory": "it needs more memory than there is; look for a tensor or a list that grows",
    "died": "its process ended; look for exit() and the like",
}
_CONTEXT = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
_MODULES: list[str] = []
_STARTING = threading.Lock()


def _start(process) -> None:
    """Start it without the script that runs here: it needs nothing of that, and would import it
    every time.
    """
    with _STARTING:
        script, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = script


# -- the grader's side ------------------------------------------------------------------------


class _Gone(Exception):
    """The other process does not answer any more. What a check sees as an exception of the
    function.
    """


class _Process:
    """The other process, and the conversation with it."""

    def __init__(self, folder: str, limits: Limits):
        self.printed, self.attempts = "", []
        self._late = self._full = self._gone = False
        ours, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=_work, args=(theirs, folder, limits, list(_MODULES)), daemon=True
        )
        _start(self._process)
        theirs.close()
        self._wire = _Wire(ours)
        self._timer = threading.Timer(START, self._out_of_time)
        self._timer.start()
        try:
            self.ask("start", None)
        except _Gone as error:
            raise errors.HandPoseError(
                "no process could be started to judge an answer in"
            ) from error
        finally:
            self._timer.cancel()
        self._timer = threading.Timer(PATIENCE * limits.seconds, self._out_of_time)
        self._timer.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._timer.cancel()
        self._kill()
        self._process.join()
        self._wire.close()

    def call(self, *inputs, **named):
        """Call the answer there. Inputs that it changes there change here, for the check to see."""
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

    def ask(self, kind: str, content):
        try:
            kind, content = self._wire.ask(kind, content)
            self.printed, self.attempts = (
                str(content["printed"])[:PRINTED],
                [str(what)[:200] for what in content["attempts"]][:20],
            )
            self._full = self._full or content.get("full") is True
            return kind, content
        except (
            Exception
        ) as error:  # whatever reaches us from there, or not, is the student's matter
            self._gone = True
            self._kill()
            raise _Gone("its process does not answer") from error

    def fate(self) -> str:
        """How the process ended, or nearly; empty if it is well."""
        if self._full:
            return "out of memory"
        if not self._gone:
            return ""
        self._process.join()
        return (
            "out of time"
            if self._late or self._process.exitcode == -getattr(signal, "SIGXCPU", 0)
            else "died"
        )

    def _out_of_time(self):
        self._late = True
        self._kill()

    def _kill(self):
        """The process, and what it may have started."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()


class _Wire:
    """Messages over a connection: JSON for what they say, safetensors for the tensors in them.
    Nothing is unpickled.
    """

    def __init__(self, connection):
        self._connection = connection
        self._functions: list[Callable] = []

    def close(self):
        self._connection.close()

    def send(self, kind: str, content) -> None:
        tensors: dict[str, torch.Tensor] = {}
        words = json.dumps([kind, self._pack(content, tensors)]).encode()
        message = struct.pack("<I", len(words)) + words + tensors_to_bytes(tensors)
        if len(message) > LONGEST:
            raise ValueError(f"{len(message)} bytes are too much to return")
        self._connection.send_bytes(message)

    def receive(self) -> tuple:
        message = self._connection.recv_bytes(LONGEST)
        end = 4 + struct.unpack("<I", message[:4])[0]
        tensors = tensors_from_bytes(message[end:])
        kind, content = json.loads(message[4:end])
        return kind, self._unpack(content, tensors)

    def ask(self, kind: str, content) -> tuple:
        """Send, and answer the other side's calls until its answer comes."""
        self.send(kind, content)
        while True:
            kind, content = self.receive()
            if kind != "callback":
                return kind, content
            number, inputs = content
            try:
                self.send("value", {"value": self._functions[number](*inputs)})
            except Exception as error:
                self.send("raised", {"type": type(error).__name__, "text": str(error)})

    def call(self, number: int, *inputs):
        """Call a function of the other side while it waits for our answer."""
        kind, content = self.ask("callback", [number, list(inputs)])
        if kind == "raised":
            raise type(content["type"], (Exception,), {})(content["text"])
        return content["value"]

    def _pack(self, value, tensors: dict):
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, float)):
            return int(value) if isinstance(value, int) else float(value)
        if isinstance(value, (list, tuple)):
            return {
                "tuple" if isinstance(value, tuple) else "list": [
                    self._pack(part, tensors) for part in value
                ]
            }
        if isinstance(value, dict):
            return {
                "dict": [
                    [self._pack(key, tensors), self._pack(part, tensors)]
                    for key, part in value.items()
                ]
            }
        if isinstance(value, torch.Tensor) and value.layout == torch.strided:
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            return {"tensor": name}
        if callable(value) and not isinstance(value, type):
            self._functions.append(value)
            return {"function": len(self._functions) - 1}
        return {"other": type(value).__name__}

    def _unpack(self, value, tensors: dict):
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind in ("list", "tuple"):
            parts = [self._unpack(part, tensors) for part in content]
            return tuple(parts) if kind == "tuple" else parts
        if kind == "dict":
            return {
                self._unpack(key, tensors): self._unpack(part, tensors) for key, part in content
            }
        if kind == "tensor":
            return tensors[content]
        if kind == "function":
            return functools.partial(self.call, content)
        return type(
            str(content)[:60], (), {}
        )()  # an object that does not travel: the check sees that it is no tensor


# -- the other process ------------------------------------------------------------------------


def _work(connection, folder: str, limits: Limits, modules: list[str]) -> None:
    """Load the cells, then call the function as often as asked."""
    wire, printed, attempts = _Wire(connection), _Printed(), []
    function = None
    os.chdir(folder)
    _settle(folder, printed)
    wire.receive()
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:  # whoever needs it will be told
            pass
    _limit(limits)
    _guard(folder, limits.hidden, attempts)
    wire.send("started", {"printed": "", "attempts": []})
    while True:
        kind, content = wire.receive()
        answer = {"printed": printed.getvalue(), "attempts": attempts, "changed": []}
        try:
            if kind == "load":
                function = _load([Cell(*cell) for cell in content[:-1]], content[-1])
                answer["value"] = None
            elif kind == "call":
                answer["value"] = _called(function, *content, answer["changed"])
            said = "value"
        except BaseException as error:  # sys.exit() as well: the answer is an answer
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
        answer |= {"printed": printed.getvalue(), "attempts": attempts}
        try:
            wire.send(said, answer)
        except Exception as error:  # what it returns cannot be sent
            wire.send(
                "raised",
                answer
                | {
                    "value": None,
                    "changed": [],
                    "type": type(error).__name__,
                    "text": str(error),
                },
            )


def _load(cells: list[Cell], name: str) -> Callable:
    """The function `name` after the cells ran, statement by statement: one that fails hides no
    other.
    """
    namespace: dict = {"__name__": "__main__"}
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
    if not callable(namespace.get(name)):
        function = _failing(first or NameError(f"no cell defines {name}"))
    else:
        function = namespace[name]
    return function


def _failing(error: BaseException) -> Callable:
    def function(*inputs, **named):
        raise error

    return function


_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
_RUN = {
    "definitions": _DEFINITIONS,
    "definitions and variables": (*_DEFINITIONS, ast.Assign, ast.AnnAssign),
    "everything": ast.stmt,
}


def _is_check(statement: ast.stmt) -> bool:
    """checks.check(…) in the cell of the answer: it is the grader that asks."""
    called = getattr(getattr(statement, "value", None), "func", None)
    return isinstance(called, ast.Attribute) and called.attr in ("check", "require")


def _called(function: Callable, inputs: list, named: dict, changed: list):
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
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own, so that whatever it starts ends with it
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
    """What was printed, up to a length."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, PRINTED - self.tell())])
        return len(text)


def _limit(limits: Limits) -> None:
    """Limits of the operating system on time, memory and the size of files; a hard limit cannot be
    raised again.
    """
    try:
        import resource
    except ImportError:  # Windows: the clock alone
        return

    def upto(kind: str, value: float, more: int = 0) -> None:
        try:
            resource.setrlimit(getattr(resource, kind), (int(value), int(value) + more))
        except (ValueError, OSError):  # macOS knows the limit on memory and refuses to set it
            pass

    upto(
        "RLIMIT_CPU", time.process_time() + limits.seconds + 1, more=5
    )  # SIGXCPU first, which tells why; then SIGKILL
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


def _guard(folder: str, hidden: Sequence[str], attempts: list[str]) -> None:
    """From now on: read what Python itself needs and the own folder, write the own folder, and
    nothing else.
    """
    own = os.path.realpath(folder)
    prefixes = {
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        Path(torch.__file__).parent.parent,
        paths.project() / "handpose_lib",
        Path(__file__).parent,
        "/usr/share/zoneinfo",
    }
    readable = [own, os.devnull, "/dev/urandom", *(os.path.realpath(prefix) for prefix in prefixes)]
    closed = [os.path.realpath(path) for path in hidden]

    def below(path: str, folders: Sequence[str]) -> bool:
        return any(path == one or path.startswith(one.rstrip(os.sep) + os.sep) for one in folders)

    sys.path[:] = [
        path for path in sys.path if below(os.path.realpath(path), readable)
    ]  # an import looks through all of these

    def allowed(event: str, arguments: tuple) -> bool:
        if event.startswith(_NEVER):
            return False
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            )
            files = arguments[:1]
        elif event in _READING or event in _WRITING:
            writes, files = (
                event in _WRITING,
                arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1],
            )
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
