"""Submissions that attack the grading: each is a test of its own, all are graded in one batch.

An attack gets no point and stops nobody; nothing outside is read or written; no process outlives
the batch; and an honest submission beside them gets what it deserves.
"""

import contextlib
import csv
import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil
import pytest

from handpose_lib import errors, paths
from handpose_lib.teaching import exercises
from pipeline.grading import (
    answer_process,
    assignment,
    feedback,
    grade,
    journal,
    submissions,
    walls,
)
from tests.support.walls import need_walls

CHAPTER = "voxels"  # five exercises: a submission carries five attacks
MARK = "918273645"
"""The argument of programs that attacks start, by which they would be recognised."""
SECONDS, MEMORY = 1.0, 0.5

# Attacks on the machine, by what they do. {outside}: a folder that must stay empty; {out}: the
# results; {submissions}: the submissions; {book}: the chapter with its solutions; {code}: the
# library. What they find out, they raise or return, so that it would stand in the tables.
ANSWERS = {
    # --- programs and processes
    "a shell by ctypes": 'import ctypes; return ctypes.CDLL(None).system(b"sleep {mark} &")',
    "a shell by python's own symbols": """
        import ctypes
        return ctypes.pythonapi.system(b"setsid sh -c 'echo 99 > {outside}/x; sleep {mark}' &")
    """,
    "a shell that rewrites the grades later": """
        import ctypes
        line = "setsid sh -c 'while ! test -e {out}/grades.csv; do sleep 0.1; done;"
        line += " echo forged > {out}/grades.csv' &"
        ctypes.pythonapi.system(line.encode())
    """,
    "fork_exec, which raises no audit event": """
        import _posixsubprocess, os
        r, w = os.pipe()
        return _posixsubprocess.fork_exec(
            [b"/bin/sleep", b"{mark}"], [b"/bin/sleep"], True, (w,), None, None,
            -1, -1, -1, -1, -1, -1, r, w, False, True, -1, None, None, None, -1, None, False)
    """,
    "subprocess": 'import subprocess; subprocess.Popen(["sleep", "{mark}"])',
    "posix_spawn": 'import os; os.posix_spawn("/bin/sleep", ["sleep", "{mark}"], {{}})',
    "a child that leaves its group": """
        import ctypes, os, time
        if ctypes.pythonapi.fork() == 0:
            os.setsid()
            time.sleep(600)
    """,
    "fork as a raw system call": "import ctypes; return ctypes.pythonapi.syscall(57)",
    "vfork as a raw system call": "import ctypes; return ctypes.pythonapi.syscall(58)",
    "clone with new namespaces": """
        import ctypes
        return ctypes.pythonapi.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)
    """,
    "clone3": """
        import ctypes
        return ctypes.pythonapi.syscall(435, ctypes.byref(ctypes.create_string_buffer(88)), 88)
    """,
    "another program in place of its own": """
        import ctypes
        ctypes.pythonapi.execl(b"/bin/sleep", b"sleep", b"{mark}", None)
    """,
    "multiprocessing": """
        import multiprocessing, time
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)).start()
    """,
    "a fork bomb": """
        import ctypes
        libc = ctypes.pythonapi
        for _ in range(100000):
            libc.fork()
    """,
    "threads without end": """
        import threading, time
        while True:
            threading.Thread(target=time.sleep, args=(600,)).start()
    """,
    # --- signals and other processes
    "pidfd_send_signal to its parent": """
        import os, signal
        signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)
    """,
    "a signal to its parent": "import ctypes, os; ctypes.pythonapi.kill(os.getppid(), 9)",
    "a signal to everybody": "import ctypes; return ctypes.pythonapi.kill(-1, 9)",
    "a signal to its group": "import ctypes; return ctypes.pythonapi.killpg(0, 9)",
    "a signal to the group of its parent": """
        import ctypes, os
        return ctypes.pythonapi.kill(-os.getpgid(os.getppid()), 9)
    """,
    "ptrace of its parent": "import ctypes, os; return ctypes.pythonapi.ptrace(16, os.getppid())",
    "the memory of its parent": """
        import ctypes, os
        libc = ctypes.pythonapi
        fd = libc.open(b"/proc/%d/mem" % os.getppid(), 2)
        return libc.pwrite(fd, b"x" * 4096, 4096, 0x400000)
    """,
    "the files of its parent": """
        import ctypes, os
        libc = ctypes.pythonapi
        for number in range(3, 40):
            libc.open(b"/proc/%d/fd/%d" % (os.getppid(), number), 1)
        raise ValueError(os.readlink("/proc/%d/fd/3" % os.getppid()))
    """,
    "abort": "import os; os.abort()",
    "a wrong address": "import ctypes; ctypes.string_at(1)",
    "the signal of the time limit ignored": """
        import signal
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        while True:
            pass
    """,
    "a sleep": "import time; time.sleep(600)",
    # --- files
    "the solution by dir_fd": """
        import os
        os.makedirs("a/b/c")
        fd = os.open(os.path.dirname(__import__("handpose_lib").__file__), os.O_RDONLY)
        os.chdir("a")
        path = "../book/foundations/voxels.ipynb"
        raise ValueError(os.read(os.open(path, os.O_RDONLY, dir_fd=fd), 10**6))
    """,
    "the solution by native code": """
        import ctypes
        libc = ctypes.pythonapi
        text = ctypes.create_string_buffer(10**6)
        n = libc.read(libc.open(b"{book}", 0), text, 10**6)
        raise ValueError(n, text.raw[:300])
    """,
    "the solution by a link": """
        import ctypes
        libc = ctypes.pythonapi
        libc.symlink(b"{book}", b"link")
        text = ctypes.create_string_buffer(10**6)
        raise ValueError(libc.read(libc.open(b"link", 0), text, 10**6), text.raw[:300])
    """,
    "the solution by the root of another process": """
        import ctypes
        libc = ctypes.pythonapi
        text = ctypes.create_string_buffer(10**6)
        n = max(libc.read(libc.open(b"/proc/%d/root{book}" % p, 0), text, 10**6) for p in (1, 2, 3))
        raise ValueError(n, text.raw[:300])
    """,
    "the source of the checks": """
        import importlib, inspect
        module = importlib.import_module("handpose_lib.teaching.checks.voxels")
        raise ValueError(inspect.getsource(module)[:900])
    """,
    "the compiled checks": """
        import ctypes, glob
        libc = ctypes.pythonapi
        text = ctypes.create_string_buffer(10**6)
        n = 0
        for version in range(311, 316):
            path = "{code}/handpose_lib/teaching/checks/__pycache__/voxels.cpython-%d.pyc" % version
            n = max(n, libc.read(libc.open(path.encode(), 0), text, 10**6))
        raise ValueError(n)
    """,
    "another submission": """
        import ctypes
        libc = ctypes.pythonapi
        text = ctypes.create_string_buffer(10**6)
        path = b"{submissions}/honest/voxels.ipynb"
        raise ValueError(libc.read(libc.open(path, 0), text, 10**6), text.raw[:300])
    """,
    "a listing of everything": """
        import ctypes, os
        names = [os.listdir(path) for path in ("{submissions}", "{out}")]
        raise ValueError(names)
    """,
    "the results": """
        import ctypes
        libc = ctypes.pythonapi
        for name in (b"grades.csv", b"journal.jsonl", b"x"):
            libc.write(libc.open(b"{out}/" + name, 0o102, 0o666), b"forged", 6)
    """,
    "a file outside": """
        import ctypes
        libc = ctypes.pythonapi
        for folder in (b"{outside}", b"/tmp", b"/dev/shm", b"/var/tmp", b"/", b"{code}"):
            libc.write(libc.open(folder + b"/{mark}", 0o102, 0o666), b"forged", 6)
    """,
    "a link to what is outside": """
        import ctypes
        libc = ctypes.pythonapi
        libc.symlink(b"{outside}/x", b"x")
        libc.write(libc.open(b"x", 0o102, 0o666), b"forged", 6)
    """,
    "the library changed": """
        import ctypes
        libc = ctypes.pythonapi
        libc.write(libc.open(b"{code}/handpose_lib/__init__.py", 1), b"x", 1)
        libc.unlink(b"{code}/handpose_lib/camera.py")
        libc.rename(b"{code}/handpose_lib", b"{code}/other")
    """,
    "a file system mounted": """
        import ctypes
        libc = ctypes.pythonapi
        return libc.unshare(0x10020000), libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)
    """,
    "another root": "import ctypes; return ctypes.pythonapi.chroot(b'/proc/1/root')",
    "folders nested 1,500 deep": """
        import os
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    """,
    "names that are no UTF-8": r"""
        import os
        for number in range(100):
            open(b"\\xff%d" % number, "w").write("x")
            os.mkdir(b"\\xfe%d" % number)
    """,
    "files without end": """
        number = 0
        while True:
            number += 1
            open(str(number), "w").close()
    """,
    "a full disk": """
        for number in range(100):
            with open(str(number), "wb") as file:
                for _ in range(15):
                    file.write(bytes(2**20))
    """,
    # --- network
    "a connection": """
        import ctypes, socket
        libc = ctypes.pythonapi
        number = libc.socket(2, 1, 0)
        where = b"\\x02\\x00\\x00\\x50\\x08\\x08\\x08\\x08" + bytes(8)
        raise ValueError(number, libc.connect(number, where, 16))
    """,
    "a server": "import socket; socket.create_server(('', 0))",
    # --- memory
    "a growing list": "x = [0]\nwhile True:\n    x = x + x",
    "a huge tensor": "import torch; return torch.zeros(10**12)",
    "many mappings": """
        import mmap
        return [mmap.mmap(-1, 2**26)[:1] or mmap.mmap(-1, 2**26) for _ in range(1000)]
    """,
    "files in memory": """
        import ctypes
        libc = ctypes.pythonapi
        for number in range(200):
            fd = libc.memfd_create(b"x", 0)
            libc.ftruncate(fd, 2**24)
            libc.pwrite(fd, b"x" * 2**20, 2**20, 0)
    """,
    "shared memory": """
        import ctypes
        libc = ctypes.pythonapi
        return [libc.shmget(0, 2**28, 0o1666) for _ in range(100)]
    """,
    "recursion": """
        import sys
        sys.setrecursionlimit(10**9)
        def deeper(n): return deeper(n + 1) + 1
        return deeper(0)
    """,
    # --- answers and messages
    "a gigabyte of output": """
        for _ in range(1000):
            print("x" * 2**20)
    """,
    "a surrogate returned": "return chr(0xd800)",
    "a surrogate raised": "raise ValueError(chr(0xd800))",
    "a surrogate printed": """
        print(chr(0xdfff) * 100)
        raise type(chr(0xd801) + 'E', (Exception,), {{}})
    """,
    "an error that cannot be shown": """
        class Mine(Exception):
            def __str__(self): raise Mine()
            __repr__ = __str__
        raise Mine()
    """,
    "an error that never ends": """
        class Mine(Exception):
            def __str__(self):
                while True: pass
        raise Mine()
    """,
    "equal to everything": """
        class Same:
            shape = property(lambda self: Same())
            def __getattr__(self, name): return Same()
            def __eq__(self, other): return True
            def __call__(self, *inputs, **named): return Same()
            def __bool__(self): return True
        return Same()
    """,
    "a subclass of tensors": """
        import torch
        class Mine(torch.Tensor):
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None): return True
        return torch.zeros(3).as_subclass(Mine)
    """,
    "lists nested 100,000 deep": "x = []\nfor _ in range(10**5):\n    x = [x]\nreturn x",
    "ten million numbers": "return [0] * 10**7",
    "a message in the name of the grader": """
        import gc, json, struct
        from multiprocessing.connection import Connection
        words = json.dumps(["ended", {{"dict": [["signal", 0], ["clean", True]]}}]).encode()
        for found in gc.get_objects():
            if isinstance(found, Connection):
                found.send_bytes(struct.pack("<I", len(words)) + words)
    """,
    "messages without end": """
        import gc
        from multiprocessing.connection import Connection
        for found in gc.get_objects():
            while isinstance(found, Connection):
                found.send_bytes(b"\\x02\\x00\\x00\\x00[]")
    """,
    "closed files": "import os; os.closerange(0, 1000)",
    "its end": "import os; os._exit(0)",
    "an exit": "raise SystemExit",
    "patched checks": """
        import torch
        import handpose_lib.teaching.checks as laws
        laws.check = laws.require = lambda *inputs, **named: True
        torch.equal = torch.allclose = lambda *inputs, **named: True
        return torch.zeros(3)
    """,
    "a number without end": "return 7 ** 10 ** 9",
}
# What stands in the cell instead of a function.
CELLS = {
    "a million statements": "x=1\n" * 10**6,
    "many statements below the limit": "x=1\n" * 24_000,
    "nested brackets": "(" * 50_000,
    "a sum without end": "x = " + "1+" * 49_000 + "1",
    "minus signs": "x = " + "-" * 99_000 + "1",
    "a loop in the cell": "while True:\n    pass",
    "an import of itself": "import __main__, sys\nsys.modules.clear()",
}


class Case(NamedTuple):
    """One attack: whose submission it is in, and which exercise."""

    student: str
    function: str


def names_of(chapter):
    return [exercise for exercise in chapter.exercises if exercise.name]


CASES = {
    name: Case(f"attacker{number // 5:02}", names_of(exercises.chapter(CHAPTER))[number % 5].name)
    for number, name in enumerate({**ANSWERS, **CELLS})
}


@pytest.fixture(scope="module")
def handout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handout")
    assert assignment.main([CHAPTER, "--out", str(folder)]) == 0
    return (folder / f"{CHAPTER}.ipynb").read_text(encoding="utf-8")


def filled(handout, sources):
    """Return the text of a notebook with the cells of these functions filled."""
    notebook = nbformat.reads(handout, as_version=4)
    cells = {exercise.name: exercise.answer for exercise in names_of(exercises.chapter(CHAPTER))}
    for name, source in sources.items():
        next(cell for cell in notebook.cells if cell.id == cells[name]).source = source
    return json.dumps(notebook)


def right():
    return {exercise.name: exercise.solution for exercise in names_of(exercises.chapter(CHAPTER))}


def write_files(handout, folder):
    """Write submissions whose files or names are the attack; return the student of each."""
    good = filled(handout, right())

    def write(student, text, name="voxels.ipynb"):
        place = os.path.join(os.fsencode(folder), student)
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, os.fsencode(name)), "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    write(b"honest", good)
    notebook = json.loads(good)
    bad = {
        "nested json": '{"cells":' + "[" * 200_000,
        "no json": "\0" * 1000,
        "an array": "[1, 2]",
        "cells that are a number": '{"cells": 7}',
        "sources that are numbers": json.dumps({**notebook, "cells": [{"source": 3}]}),
        "a hundred thousand cells": json.dumps(
            {**notebook, "cells": [{"cell_type": "code", "source": "", "id": "x"}] * 100_000}
        ),
        "text of three million characters": json.dumps(
            {
                **notebook,
                "cells": [{"cell_type": "markdown", "source": "x" * 90_000, "id": "x"}] * 40,
            }
        ),
        "utf-16": good.encode("utf-16"),
        "a number of a million digits": '{"cells": ' + "9" * 10**6 + "}",
        "sixty megabytes": b" " * (60 * 2**20),
    }
    for name, text in bad.items():
        write(name.encode(), text)
    for name in ODD_NAMES:
        write(name, handout)  # nothing answered
    (folder / "linked").mkdir()
    os.symlink(folder / "honest" / "voxels.ipynb", folder / "linked" / "voxels.ipynb")
    os.symlink(folder / "honest", folder / "linked folder")
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "voxels.ipynb")
    (folder / "many files").mkdir()
    for number in range(submissions.MOST + 10):
        (folder / "many files" / str(number)).touch()
    place = os.open(folder, os.O_RDONLY)
    for name in ["deep", *["d"] * 700]:  # as many as pytest can remove
        os.mkdir(name, dir_fd=place)
        inner = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    return [*bad, "linked", "pipe", "many files", "deep"]


ODD_NAMES = [
    b"=cmd|' C calc'!A0",
    b"+1+1",
    b"@SUM(1,1)",
    b"-2+3",
    b"a;=1+1",
    b"two\nlines",
    b"\xff\xfe no utf-8",
    b"<script>alert(1)</script>".replace(b"/", b"_"),
    "right\u202eleft".encode(),
    b"Case",
    b"case",
    b"javascript:alert(1)",
    b"x" * 255,
    b"x..",
    b"%s{0}${HOME}`id`",
]


class Batch(NamedTuple):
    """What the grading of all attacks left."""

    out: Path
    grades: list[dict]
    answers: dict[tuple[str, str], dict]
    bad: list[str]
    outside: list[str]
    changed: list[str]
    alive: list[str]
    seconds: float


def state(folder):
    """Return what lies in a folder, by name, size and time of change."""
    found, left = set(), [os.fsencode(folder)]
    while left:  # deeper than functions may call each other
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left += [entry.path] if entry.name != b"__pycache__" else []
                else:
                    facts = entry.stat(follow_symlinks=False)
                    found.add((entry.path, facts.st_size, facts.st_mtime_ns))
    return found


def marked():
    """Return the processes that an attack started, and those of this grader behind walls."""
    found = []
    for process in psutil.process_iter(["cmdline", "ppid"]):
        line = " ".join(process.info["cmdline"] or [])
        if f"sleep {MARK}" in line or (
            process.info["ppid"] == os.getpid() and line.startswith("/usr/bin/bwrap")
        ):
            found.append(line[:80])
    return found


@pytest.fixture(scope="module")
def batch(handout, tmp_path_factory, request):
    need_walls()
    root = tmp_path_factory.mktemp("hostile")
    folder, out, outside = root / "submissions", root / "grades", root / "outside"
    # One of the submissions is too deep for pytest to remove.
    request.addfinalizer(lambda: subprocess.run(["rm", "-rf", str(folder)], check=True))
    folder.mkdir()
    outside.mkdir()
    bad = write_files(handout, folder)
    book = paths.project() / "book" / "foundations" / "voxels.ipynb"
    known = {
        "mark": MARK,
        "outside": outside,
        "out": out,
        "submissions": folder,
        "book": book,
        "code": paths.code(),
    }
    sources: dict[str, dict[str, str]] = {}
    for name, case in CASES.items():
        source = CELLS.get(name)
        if source is None:
            body = textwrap.dedent(ANSWERS[name]).strip().format(**known).replace("\\\\", "\\")
            source = f"def {case.function}(*inputs, **named):\n" + textwrap.indent(body, "    ")
        sources.setdefault(case.student, {})[case.function] = source
    for student, cells in sources.items():
        (folder / student).mkdir()
        (folder / student / "voxels.ipynb").write_text(filled(handout, cells), encoding="utf-8")
    library = paths.code() / "handpose_lib"
    targets = [book, *(library / name for name in ("__init__.py", "camera.py"))]
    before = state(folder), {path: path.read_bytes() for path in targets}
    start = time.monotonic()
    status = grade.main(
        [
            str(folder),
            *("--out", str(out), "--chapters", CHAPTER),
            *("--seconds", str(SECONDS), "--memory", str(MEMORY)),
        ]
    )
    seconds = time.monotonic() - start
    assert status == 0
    print(f"{seconds:.0f} seconds")
    time.sleep(0.5)  # what was left behind would write now
    changed = [str(each) for each in before[0] ^ state(folder)]
    changed += [str(path) for path in targets if path.read_bytes() != before[1][path]]
    places = [outside, Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"), Path("/"), paths.code()]
    strange = [str(path) for path in outside.iterdir()]
    strange += [str(place / MARK) for place in places if (place / MARK).exists()]
    grades, answers = (
        list(csv.DictReader(io.StringIO((out / name).read_text(encoding="utf-8"), newline="")))
        for name in ("grades.csv", "exercises.csv")
    )
    by_answer = {(row["student"], row["function"]): row for row in answers}
    return Batch(out, grades, by_answer, bad, strange, changed, marked(), seconds)


@pytest.mark.parametrize("name", CASES)
def test_an_attack_gets_no_point_and_a_row(batch, name):
    row = batch.answers[CASES[name]]
    assert float(row["points"]) == 0 and row["status"] not in ("right", "not graded"), row


@pytest.mark.parametrize(
    "name", [name for name in ANSWERS if "solution" in name or "check" in name]
)
def test_what_an_attack_would_read_is_not_there(batch, name):
    """The message shows what was read: nothing of the chapter and nothing of its checks."""
    said = batch.answers[CASES[name]]["said"]
    assert "cell_type" not in said and "@exercise" not in said and "def occupy" not in said


def test_nothing_outside_was_written_and_nothing_was_changed(batch):
    assert batch.outside == [] and batch.changed == []
    names = {path.name for path in batch.out.iterdir()}
    assert names == {"grades.csv", "exercises.csv", "journal.jsonl", "feedback", "course"}


def test_no_process_outlives_the_batch(batch):
    assert batch.alive == []


def test_the_honest_student_gets_what_is_deserved(batch):
    (row,) = [row for row in batch.grades if row["student"] == "honest"]
    assert float(row["points"]) == float(row["of"]) == 5 and row["status"] == "graded"


def test_everyone_has_a_row(batch):
    students = {row["student"] for row in batch.grades}
    assert len(batch.grades) == len(students)  # one chapter
    attackers = {case.student for case in CASES.values()}
    assert attackers | set(batch.bad) <= students and "linked folder" not in students
    assert len(students) == len(attackers) + len(batch.bad) + len(ODD_NAMES) + 1


@pytest.mark.parametrize(
    "student",
    [
        "nested json",
        "no json",
        "an array",
        "cells that are a number",
        "sources that are numbers",
        "a hundred thousand cells",
        "text of three million characters",
        "utf-16",
        "a number of a million digits",
        "sixty megabytes",
        "linked",
        "pipe",
        "many files",
        "deep",
    ],
)
def test_a_file_that_is_an_attack_costs_only_its_student(batch, student):
    (row,) = [row for row in batch.grades if row["student"] == student]
    assert float(row["points"]) == 0 and float(row["of"]) == 5
    assert row["status"] in ("unreadable", "not handed in")
    assert row["remarks"] or row["status"] == "not handed in"


def test_odd_names_are_graded_and_no_cell_is_a_formula(batch):
    text = (batch.out / "grades.csv").read_text(encoding="utf-8")
    attackers = {case.student for case in CASES.values()}
    graded = [row for row in batch.grades if row["status"] == "graded"]
    assert len([row for row in graded if row["student"] not in attackers]) == len(ODD_NAMES) + 1
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            assert not re.match(r"[=+@\t\r]|-(?!\d)", cell), cell
            assert not re.search(r"[;\t]\s*[=+@-]", cell) and "\n" not in cell
            assert all(c.isprintable() for c in cell)
    assert "two\\nlines" in text and "\\xff\\xfe no utf-8" in text and "\\u202e" in text


def test_feedback_pages_have_no_script_and_load_nothing(batch):
    pages = list((batch.out / "feedback").rglob("*.html"))
    assert len(pages) == len(ODD_NAMES) + 1 + len({case.student for case in CASES.values()})
    for path in pages:
        text = path.read_text(encoding="utf-8")
        tags = re.findall(r"<\s*([a-zA-Z0-9!/]+)", text)
        assert {tag.strip("/").lower() for tag in tags} <= {
            *("!doctype", "html", "head", "meta", "title", "style", "body"),
            *("h1", "h2", "p", "pre", "ul", "li"),
        }
        assert not re.search(r"<[^>]*\b(on\w+|src|href|url)\s*=", text, re.IGNORECASE)
        assert "default-src 'none'" in text


# --- parts --------------------------------------------------------------------


def test_markup_of_a_student_is_text_on_the_page():
    evil = '<script>alert(1)</script><a href="javascript:x">y</a><img src=x onerror=y>'
    exercise = names_of(exercises.chapter(CHAPTER))[0]
    outcome = answer_process.Outcome("wrong", evil, evil)
    answer = submissions.Answer(exercise, evil, outcome=outcome)
    mine = submissions.Submission(evil, exercises.chapter(CHAPTER), remarks=[evil])
    text = feedback.page(mine, evil, [(answer, evil, 0, 1)])
    assert "<script" not in text and "<a" not in text and "<img" not in text
    assert text.count("&lt;script&gt;") == 8  # twice in the heading


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "＝1", " =1", "x;=1", "x\t=1", "\r=1", '"=1', "a\n=1"]
)
def test_no_text_is_a_formula(text):
    safe = str(grade.no_formula(text))
    assert not re.search(r"(^|[;\t\r\n\"])\s*[=+\-@＝＋－＠]", safe)
    assert grade.no_formula(-1.5) == -1.5 and grade.no_formula("plain - text") == "plain - text"


def small_class(handout, folder, students):
    for student in students:
        (folder / student).mkdir(parents=True)
        (folder / student / "voxels.ipynb").write_text(filled(handout, right()), encoding="utf-8")


def test_a_stopped_batch_goes_on_where_it_was(handout, tmp_path, monkeypatch, capsys):
    """The first grader stops after a few verdicts; the second judges only the others."""
    built = need_walls()
    small_class(handout, tmp_path / "in", ["ada", "ben"])
    judged, stop = [], 3

    def judge(self, name, cells):
        if len(judged) == stop:
            raise KeyboardInterrupt
        judged.append(name)
        return answer_process.Outcome("right", f"✔ {name}")

    monkeypatch.setattr(answer_process.Judge, "__call__", judge)
    command = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    command += ["--chapters", CHAPTER]
    assert grade.main(command) == 130 and not (tmp_path / "out" / "grades.csv").exists()
    assert "the same command continues" in capsys.readouterr().err
    with (tmp_path / "out" / journal.NAME).open("ab") as file:
        file.write(b'{"what": "jud')  # killed while writing
    stop = 1000
    assert grade.main(command) == 0
    assert len(judged) == 10  # five answers of two students, none twice
    rows = list(csv.DictReader((tmp_path / "out" / "grades.csv").open(encoding="utf-8")))
    assert [float(row["points"]) for row in rows] == [5, 5]
    assert grade.main(command) == 1 and "not empty" in capsys.readouterr().err
    assert built is not None


def test_an_answer_that_ends_the_grader_twice_is_not_judged_again(tmp_path):
    for _ in range(2):
        notes = journal.Journal(tmp_path)
        assert notes.known("guilty") is None
        notes.begin("guilty")
        notes.close()
    notes = journal.Journal(tmp_path)
    assert notes.suspect("guilty") and not notes.suspect("innocent")
    outcome = notes.known("guilty")
    assert outcome is not None and outcome.status == "not graded" and "2 times" in outcome.line
    notes.close()


def grade_at_once(command, ready, done):
    ready.wait(60)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = grade.main(command)
    done.put((status, said.getvalue()))


@pytest.mark.race
def test_four_graders_of_one_folder_grade_it_once(handout, tmp_path, monkeypatch):
    """Whoever comes too late says so in one line, and changes nothing."""
    need_walls()
    small_class(handout, tmp_path / "in", ["ada"])
    verdicts = tmp_path / "verdicts"
    verdicts.touch()

    def judge(self, name, cells):
        with verdicts.open("ab") as file:
            file.write(b"x")
        return answer_process.Outcome("right", f"✔ {name}")

    monkeypatch.setattr(answer_process.Judge, "__call__", judge)
    command = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--chapters", CHAPTER]
    processes = multiprocessing.get_context("fork")
    ready, done = processes.Barrier(4), processes.Queue()
    graders = [
        processes.Process(target=grade_at_once, args=(command, ready, done)) for _ in range(4)
    ]
    for grader in graders:
        grader.start()
    found = sorted(done.get(timeout=300) for _ in graders)
    for grader in graders:
        grader.join()
    assert [status for status, _ in found] == [0, 1, 1, 1]
    for _, said in found[1:]:
        assert said.count("\n") == 1 and ("another process" in said or "not empty" in said)
    assert len(verdicts.read_bytes()) == 5  # the answers of one student
    (row,) = csv.DictReader((tmp_path / "out" / "grades.csv").open(encoding="utf-8"))
    assert float(row["points"]) == 5


def test_two_graders_of_one_folder(handout, tmp_path, monkeypatch, capsys):
    need_walls()
    small_class(handout, tmp_path / "in", ["ada"])
    begun, go_on = threading.Event(), threading.Event()

    def judge(self, name, cells):
        begun.set()
        go_on.wait(60)
        return answer_process.Outcome("right", f"✔ {name}")

    monkeypatch.setattr(answer_process.Judge, "__call__", judge)
    command = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--chapters", CHAPTER]
    first = threading.Thread(target=grade.main, args=(command,))
    first.start()
    assert begun.wait(60)
    assert grade.main(command) == 1
    said = capsys.readouterr().err
    assert f"another process: grading, process {os.getpid()}" in said and said.count("\n") == 1
    go_on.set()
    first.join()
    assert (tmp_path / "out" / "grades.csv").exists()


@pytest.mark.parametrize(
    "problem, said",
    [("missing", "apt-get install bubblewrap"), ("forbidden", "user namespaces"), ("old", "0.8")],
)
def test_without_walls_grading_is_refused_and_says_what_to_do(
    handout, tmp_path, monkeypatch, capsys, problem, said
):
    small_class(handout, tmp_path / "in", ["ada"])
    monkeypatch.setattr(walls, "_probed", lambda path: ("", {}, problem, "bwrap: No permissions"))
    command = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--chapters", CHAPTER]
    assert grade.main(command) == 1
    told = capsys.readouterr().err
    assert said in told and "TRUST=1" in told and "container image" in told
    assert not (tmp_path / "out").exists()


def test_the_probe_tells_a_missing_program_from_one_that_may_not(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert walls._probed(str(tmp_path))[2] == "missing"
    for text, problem in (("setting up uid map: Permission denied", "forbidden"),):
        (tmp_path / "bwrap").write_text(f"#!/bin/sh\necho 'bwrap: {text}' >&2; exit 1\n")
        (tmp_path / "bwrap").chmod(0o755)
        assert walls._probed(f"{tmp_path}:")[2:] == (problem, f"bwrap: {text}")


def test_behind_walls_there_is_no_solution_no_check_and_nothing_to_write():
    built = need_walls()
    code = paths.code()
    secret = [str(code / name) for name in ("book", "tests", ".git")]
    program = f"""
import os
seen = [os.path.exists(path) for path in {secret!r}]
checks = open({str(code / "handpose_lib/teaching/checks/voxels.py")!r}).read()
folders = [path for path, _, _ in os.walk("/") if not path.startswith("/proc")]
writable = []
for path in folders:
    try:
        open(path + "/new", "w").close()
        writable.append(path)
    except OSError:
        pass
print(any(seen), "@exercise" in checks, writable, sorted(os.environ))
"""
    done = subprocess.run(
        built.command([sys.executable, "-I", "-c", program]),
        capture_output=True,
        text=True,
        **built.options,
    )
    assert done.stdout.startswith("False False ['/scratch'] ["), done.stdout + done.stderr
    assert "HOME" in done.stdout and "USER" not in done.stdout


def test_an_unknown_exercise_is_named():
    with (
        answer_process.Judge(None, [], answer_process.Limits()) as judge,
        pytest.raises(errors.HandPoseError, match="unknown exercise"),
    ):
        judge("nonsense", [])
