"""What students handed in: which notebooks there are, and which answers are in them.

Names and contents come from students, so every failure belongs to one submission and becomes its
`problem` or a remark. Notebooks are read in a process of its own (`reading`), and nothing of a
student is parsed here.
"""

import ast
import contextlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from handpose_lib import errors
from handpose_lib.teaching import exercises
from pipeline.grading import answer_process, assignment, reading, walls

NOT_GRADED = (".zip", ".7z", ".rar", ".tar", ".gz", ".py", ".html", ".pdf")  # but often sent
DEEPEST = 20
"""Levels of folders of a submission that are searched."""
MOST = 5000
"""Files and folders of one student that are looked at."""
NOTEBOOKS = 50
"""Notebooks of one student that are read."""
NAME = 120
"""Characters of a student's name that are shown."""


@dataclass
class Answer:
    """What a student handed in for one exercise."""

    exercise: exercises.Exercise
    source: str = ""
    status: str = ""  # already known: empty, missing, in words, too long
    cells: list[answer_process.Cell] = field(default_factory=list)
    outcome: answer_process.Outcome | None = None


@dataclass
class Submission:
    """What a student handed in for one chapter.

    A submission with cells has a chapter; only one that was not handed in has no file.
    """

    student: str
    chapter: exercises.Chapter | None
    file: Path | None = None
    cells: list[dict] = field(default_factory=list)
    problem: str = ""  # why there is nothing to grade
    answers: list[Answer] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    changed: float = 0.0  # when the file was changed last

    @property
    def exercises(self) -> tuple[exercises.Exercise, ...]:
        """The exercises of its chapter; none if the chapter is unknown."""
        return self.chapter.exercises if self.chapter else ()

    @property
    def assignment(self) -> str:
        """The name of its assignment; empty if the chapter is unknown."""
        return self.chapter.assignment if self.chapter else ""


# --- files --------------------------------------------------------------------


def collected(
    folder: Path,
    known: list[exercises.Chapter],
    complete: bool,
    built: walls.Walls | None = None,
    jobs: int | None = None,
) -> list[Submission]:
    """Return the submissions, one for each student and chapter, sorted.

    With `complete`, each chapter of `known` that a student did not hand in is a submission with a
    problem; otherwise only a student who handed in nothing is one. `built`: the walls behind which
    notebooks are read.
    """
    folders, files = {}, []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
            if left_by_a_system(entry.name) or entry.is_symlink():
                continue
            if entry.is_dir():
                folders[entry.name] = Path(entry.path)
            elif entry.name.endswith(".ipynb") and entry.is_file():
                files.append(Path(entry.path))
    of_folder = [(student, _searched(path)) for student, path in folders.items()]
    found = [(student, file) for student, (notebooks, _) in of_folder for file in notebooks]
    found += [(None, file) for file in files]
    with ThreadPoolExecutor(jobs) as pool:
        read_all = list(pool.map(lambda each: read(each[1], known, built), found))
    several: dict[tuple[str, str | None], list[Submission]] = {}
    for (student, file), (chapter, cells, problem, remark) in zip(found, read_all):
        student = student_of(file, chapter) if student is None else student
        key = (student, chapter.name if chapter else None)
        several.setdefault(key, []).append(
            Submission(
                student,
                chapter,
                file,
                cells,
                problem,
                remarks=[f"{shown(file.name)}: {remark}"] if remark else [],
                changed=_changed(file),
            )
        )
    submissions = [chosen(each) for each in several.values()]
    problems = {student: problem for student, (_, problem) in of_folder if problem}
    for student in {*folders, *(submission.student for submission in submissions)}:
        mine = [submission for submission in submissions if submission.student == student]
        there = {submission.chapter.name for submission in mine if submission.chapter}
        missing: list[exercises.Chapter | None] = []
        if complete:
            missing += [chapter for chapter in known if chapter.name not in there]
        elif not mine:
            missing.append(None)
        why, remarks = "not handed in", []
        if student in problems:
            why, remarks = "unreadable", [problems[student]]
        elif missing and student in folders:
            remarks = other_files(folders[student])
        submissions += [
            Submission(student, chapter, problem=why, remarks=list(remarks)) for chapter in missing
        ]
    names = shown_names({submission.student for submission in submissions})
    for submission in submissions:
        submission.student = names[submission.student]
    return sorted(
        submissions,
        key=lambda submission: (
            submission.student,
            submission.chapter.name if submission.chapter else "",
        ),
    )


def left_by_a_system(name: str) -> bool:
    """Return whether a file or folder is no student's: hidden, or left by an archive of macOS."""
    return name.startswith(".") or name == "__MACOSX"


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    """Yield what lies below a folder, without following links, to `DEEPEST` levels.

    Errors: `DataError` for more than `MOST` files and folders; `OSError`.
    """
    left, count = [(folder, 0)], 0
    while left:
        place, level = left.pop()
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
                count += 1
                if count > MOST:
                    raise errors.DataError(
                        f"it has more than {MOST:,} files and folders; the notebook alone is"
                        " accepted"
                    )
                if left_by_a_system(entry.name) or entry.is_symlink():
                    continue
                if entry.is_dir() and level < DEEPEST:
                    left.append((Path(entry.path), level + 1))
                yield entry


def _searched(folder: Path) -> tuple[list[Path], str]:
    """Return the notebooks in the folder of a student, and what is wrong with the folder, or ''."""
    notebooks: list[Path] = []
    try:
        for entry in _entries(folder):
            if entry.name.endswith(".ipynb") and entry.is_file():
                notebooks.append(Path(entry.path))
            if len(notebooks) > NOTEBOOKS:
                raise errors.DataError(f"it has more than {NOTEBOOKS} notebooks")
    except errors.DataError as error:
        return [], f"the folder cannot be graded: {error}"
    except OSError as error:
        return notebooks, f"the folder cannot be read completely: {error.strerror or error}"
    return notebooks, ""


def other_files(folder: Path) -> list[str]:
    """Return a remark that names the archives and scripts of a student, none without them."""
    names = []
    with contextlib.suppress(errors.DataError, OSError):
        names = [
            shown(entry.name)
            for entry in _entries(folder)
            if Path(entry.name).suffix.lower() in NOT_GRADED
        ]
    if not names:
        return []
    named = ", ".join(sorted(names)[:10]) + (" and others" if len(names) > 10 else "")
    return [f"{named} cannot be graded; accepted are notebooks (.ipynb), not packed"]


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def content_of(file: Path) -> bytes:
    """Return the content of a file, at most one byte more than is accepted.

    Errors: `DataError` for what is no ordinary file, such as a link that took its place; `OSError`.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    with open(os.open(file, flags), "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise errors.DataError("it is no ordinary file")
        return opened.read(reading.LARGEST + 1)


@cache
def _reader() -> str:
    return Path(reading.__file__).read_text(encoding="utf-8")


def notebook_of(content: bytes, built: walls.Walls | None) -> dict:
    """Return what `reading` finds in a notebook, read in a process of its own.

    Errors: `DataError` with the reason why nothing is found.
    """
    command = [sys.executable, "-I", "-S", "-c", _reader()]
    options = {}
    if built is not None:
        command, options = built.command(command, library=False), built.options
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=3 * reading.SECONDS, **options
        )
        found = json.loads(done.stdout) if done.returncode == 0 else {}
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        raise errors.DataError(f"it cannot be read ({type(error).__name__})") from error
    if "problem" in found:
        raise errors.DataError(found["problem"])
    if "cells" not in found:
        raise errors.DataError("reading it takes too much time or memory")
    return found


def read(
    file: Path, known: list[exercises.Chapter], built: walls.Walls | None = None
) -> tuple[exercises.Chapter | None, list[dict], str, str]:
    """Return the chapter that a notebook belongs to, its cells, its problem or '', and a remark.

    Only a notebook without a problem has cells. Its chapter is in its metadata; if they were lost,
    it is the chapter with most of its cells and functions.
    """
    try:
        content = content_of(file)
        if len(content) > reading.LARGEST:  # not worth a process
            raise errors.DataError(f"it is larger than {reading.LARGEST // 2**20} MB, the limit")
        notebook = notebook_of(content, built)
    except (errors.DataError, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return guess(file, known), [], "unreadable", why
    cells, said = notebook["cells"], notebook["chapter"]
    for chapter in known:
        if chapter.name == said:
            empty = "" if cells else "unreadable"
            return chapter, cells, empty, "it has no cells" if empty else ""
    ids = {cell["id"] for cell in cells}
    sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    alike = {
        chapter.name: sum(
            (exercise.answer in ids) + any(defines(source, exercise.name) for source in sources)
            for exercise in chapter.exercises
            if exercise.name
        )
        for chapter in known
    }
    best = max(known, key=lambda chapter: alike[chapter.name])
    if alike[best.name]:
        return best, cells, "", ""
    return guess(file, known), [], "not an assignment", ""


def guess(file: Path, known: list[exercises.Chapter]) -> exercises.Chapter | None:
    """Return the chapter that the name of a file contains, or None."""
    return next((chapter for chapter in known if chapter.assignment in file.stem), None)


def student_of(file: Path, chapter: exercises.Chapter | None) -> str:
    """Return the student in the name of a file: `ada` for ada_depth_cameras.ipynb."""
    rest = file.stem.replace(chapter.assignment, "") if chapter else file.stem
    return rest.strip(" _-.()") or file.stem


def chosen(several: list[Submission]) -> Submission:
    """Return one of several notebooks for one chapter.

    One that can be read comes first, then one with the name of the assignment, then the latest.
    """

    def rank(one: Submission) -> tuple[bool, bool, float]:
        assert one.file is not None, "it was handed in"
        return bool(one.cells), one.file.stem == one.assignment, one.changed

    best = max(several, key=rank)
    if len(several) > 1 and best.file:
        best.remarks.append(
            f"{len(several)} notebooks were handed in for this chapter; {shown(best.file.name)} was"
            " graded"
        )
    return best


# --- names --------------------------------------------------------------------


def shown(name: str) -> str:
    """Return the name of a file or folder as text that can be written and shown in one line.

    Bytes that are no UTF-8, line breaks and other characters that are not visible become
    `\\\\x..` and the like.
    """
    text = os.fsencode(name).decode("utf-8", errors="backslashreplace")
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return visible if len(visible) <= NAME else f"{visible[: NAME - 1]}…"


def shown_names(students: set[str]) -> dict[str, str]:
    """Return the shown name of each student; different students have different ones."""
    return _unique(students, shown)


def safe_names(students: set[str]) -> dict[str, str]:
    """Return, for each student, a unique name that is valid for folders and for nbgrader."""

    def safe(student: str) -> str:
        return re.sub(r"[^\w.-]", "_", student)[:60].strip(".") or "_"

    return _unique(students, safe)


def _unique(students: set[str], changed: Callable[[str], str]) -> dict[str, str]:
    given: dict[str, str] = {}
    taken: set[str] = set()
    for student in sorted(students):
        name = changed(student)
        number = 2
        while name.casefold() in taken:  # some systems make one folder of names that differ by case
            name = f"{changed(student)}_{number}"
            number += 1
        taken.add(name.casefold())
        given[student] = name
    return given


# --- answers ------------------------------------------------------------------


def take_answers(submission: Submission, released: list[dict]) -> None:
    """Find the answer to each exercise, by the id of its cell or by the name of its function.

    `released`: the cells of the student version. Answers and remarks are added to the submission.
    """
    fresh = {cell["id"]: "".join(cell["source"]) for cell in released}
    code = [cell for cell in submission.cells if cell["cell_type"] == "code"]
    known = {source.strip() for source in fresh.values()}  # even where the ids were lost
    answer_ids = {exercise.answer for exercise in submission.exercises}
    for exercise in submission.exercises:
        if not exercise.name:
            words = next(
                (
                    cell["source"]
                    for cell in reversed(submission.cells)
                    if cell["id"] == f"{exercise.cell}-words"
                ),
                "",
            )
            submission.answers.append(Answer(exercise, words, "in words"))
            continue
        candidates = [
            cell
            for cell in code
            if cell["id"] == exercise.answer or defines(cell["source"], exercise.name)
        ]
        if any(cell.get("too_long") for cell in candidates):
            submission.answers.append(Answer(exercise, "", "too long"))
            submission.remarks.append(
                f"{exercise.name}: the cell is too long; accepted are up to {reading.LONGEST:,}"
                " characters"
            )
            continue
        touched = [
            cell for cell in candidates if cell["source"].strip() != fresh[exercise.answer].strip()
        ]
        if not touched:
            submission.answers.append(
                Answer(exercise, fresh[exercise.answer], "empty" if candidates else "missing")
            )
            if not candidates:
                submission.remarks.append(f"{exercise.name}: the cell is missing")
            continue
        last = next(
            (cell for cell in reversed(touched) if defines(cell["source"], exercise.name)),
            touched[-1],
        )
        if len(touched) > 1:
            submission.remarks.append(
                f"{exercise.name}: {len(touched)} cells answer it, the last one counts"
            )
        elif last["id"] != exercise.answer:
            submission.remarks.append(
                f"{exercise.name}: found in another cell by the name of the function"
            )
        own = [
            answer_process.Cell(
                cell["source"],
                "definitions" if cell["id"] in fresh else "definitions and variables",
            )
            for cell in code
            if cell["source"].strip() not in known
            and cell is not last
            and not any(cell is other for other in candidates)
        ]
        own.append(answer_process.Cell(last["source"], "everything"))
        given = [fresh[id] for id in fresh if id not in answer_ids and id in _code_cells(released)]
        around = needed(given, "\n".join(cell.source for cell in own))
        submission.answers.append(
            Answer(exercise, last["source"], cells=[answer_process.Cell(around), *own])
        )
    for exercise in submission.exercises:
        name = assignment.check_id(exercise)
        if exercise.name and any(
            cell["id"] == name and cell["source"].strip() != fresh[name].strip()
            for cell in submission.cells
        ):
            submission.remarks.append(
                f"{exercise.name}: its check was changed; the original one judged"
            )


def _code_cells(cells: list[dict]) -> set[str]:
    return {cell["id"] for cell in cells if cell["cell_type"] == "code"}


def defines(source: str, name: str) -> bool:
    """Return whether a line of code begins the definition of a function of this name."""
    return re.search(rf"^(async +)?def +{re.escape(name)}\b", source, re.MULTILINE) is not None


# --- what a chapter gives -----------------------------------------------------


def needed(given: list[str], own: str) -> str:
    """Return the imports and definitions of a chapter whose names occur in the code of a student.

    `given`: the code cells of the student version. Importing everything that a chapter uses would
    take seconds for each submission.
    """
    statements = [statement for source in given for statement in _definitions(source)]
    words, kept = set(re.findall(r"\w+", own)), set()
    while True:
        more = {
            number
            for number, (names, _, _) in enumerate(statements)
            if number not in kept and not names.isdisjoint(words)
        }
        if not more:
            break
        kept |= more
        for number in more:
            words |= statements[number][1]
    return "\n".join(statements[number][2] for number in sorted(kept))


@cache
def _definitions(source: str) -> tuple[tuple[frozenset[str], frozenset[str], str], ...]:
    """Return each import and definition in a cell of the book: (names, words in it, code)."""
    found = []
    for node in ast.parse(re.sub(r"^[%!].*$", "pass", source, flags=re.MULTILINE)).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = (alias.asname or alias.name).partition(".")[0]
                copy = (
                    ast.Import([alias])
                    if isinstance(node, ast.Import)
                    else ast.ImportFrom(node.module, [alias], node.level)
                )
                found.append((frozenset([name]), frozenset(), ast.unparse(copy)))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            code = ast.unparse(node)
            found.append((frozenset([node.name]), frozenset(re.findall(r"\w+", code)), code))
    return tuple(found)


def modules_of(cells: list[answer_process.Cell]) -> set[str]:
    """Return the modules that the first of these cells imports, which is the chapter's."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(cells[0].source)) if cells else ():
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
    return modules
