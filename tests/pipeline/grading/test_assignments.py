"""Assignments: student versions, and the grading of submissions."""

import ast
import csv
import io
import json
import os
import re
import textwrap

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from handpose_lib import errors
from handpose_lib.teaching import checks, exercises
from pipeline.grading import answer_process, assignment, grade, submissions
from tests.support.walls import walls_or_none

CHAPTERS = exercises.chapters()
SMALL = "depth_cameras"  # two exercises with checks, two questions; needs no data
LIMITS = {"seconds": 3.0, "memory": 0.25}


@pytest.fixture(scope="module")
def handout(tmp_path_factory):
    """The student version of every chapter, made once."""
    folder = tmp_path_factory.mktemp("handout")
    assert assignment.main(["--out", str(folder)]) == 0
    return folder


def student_version(handout, name):
    return nbformat.read(handout / f"{name.rsplit('/', 1)[-1]}.ipynb", as_version=4)


def lines(source):
    return {re.sub(r"\s+", " ", line.split("  #")[0]).strip() for line in source.splitlines()}


# --- student versions ---------------------------------------------------------


def test_the_folder_holds_one_notebook_per_chapter_and_nothing_else(handout):
    assert sorted(path.relative_to(handout).as_posix() for path in handout.rglob("*")) == sorted(
        f"{name.rsplit('/', 1)[-1]}.ipynb" for name in CHAPTERS
    )


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_solution_is_in_a_student_version(handout, name):
    """Line by line, as a whole, and in whatever else a notebook can carry."""
    chapter, notebook = exercises.chapter(name), student_version(handout, name)
    text = "\n".join(cell.source for cell in notebook.cells)
    there = lines(text)
    own = set().union(
        *(
            lines("".join(cell["source"]))
            for cell in chapter.notebook["cells"]
            if cell["id"] in {e.answer for e in chapter.exercises}
        )
    )
    for exercise in chapter.exercises:
        telling = {
            line for line in lines(exercise.solution) - own if len(line) > 15
        }  # shorter ones tell nothing
        assert not telling & there, f"{exercise.label}: {sorted(telling & there)}"
    assert "SOLUTION" not in text and "{solution" not in text
    raw = (handout / f"{chapter.assignment}.ipynb").read_text(encoding="utf-8")
    assert all(not cell.get("outputs") and not cell.get("attachments") for cell in notebook.cells)
    assert "BEGIN SOLUTION" not in raw and "checks.require" not in raw


@pytest.mark.parametrize("name", CHAPTERS)
def test_text_ids_and_locks_of_a_student_version(handout, name):
    chapter, notebook = exercises.chapter(name), student_version(handout, name)
    now = {cell.id: cell for cell in notebook.cells}
    kept = list(
        assignment.outside_solutions(
            nbformat.reads(json.dumps(chapter.notebook), as_version=4).cells
        )
    )
    answers = {exercise.answer: exercise for exercise in chapter.exercises if exercise.name}
    assert [cell.id for cell in notebook.cells if cell.id in {cell.id for cell in kept}] == [
        cell.id for cell in kept
    ]
    for cell in kept:
        assert cell.id in answers or now[cell.id].source == cell.source
    for exercise in answers.values():
        answer, check = now[exercise.answer], now[assignment.check_id(exercise)]
        assert (
            answer.metadata.nbgrader.solution
            and answer.metadata.get("editable", True)
            and assignment.ASKS in answer.source
        )
        assert (
            check.metadata.nbgrader.grade
            and check.metadata.nbgrader.points == exercise.points
            and exercise.check in check.source
        )
        assert check.metadata.editable is check.metadata.deletable is False
    again = [cell.id for cell in assignment.instructor_version(chapter).cells]
    assert again == [cell.id for cell in notebook.cells] and len(set(again)) == len(again)


@pytest.mark.parametrize("name", CHAPTERS)
def test_an_unsolved_exercise_says_what_to_do(handout, name):
    chapter, notebook = exercises.chapter(name), student_version(handout, name)
    now = {cell.id: cell.source for cell in notebook.cells}
    checks.load(chapter.assignment)
    assert sorted(exercise.name for exercise in chapter.exercises if exercise.name) == checks.names(
        chapter.assignment
    )
    for exercise in chapter.exercises:
        if exercise.name:
            space = {"checks": checks}
            exec(now[exercise.answer], space)
            with pytest.raises(AssertionError, match=f"✘ {exercise.name}: .*{assignment.ASKS}"):
                exec(now[assignment.check_id(exercise)], space)


def run_notebook(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("HANDPOSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    return NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()


def test_a_student_version_runs_to_its_first_exercise(handout, tmp_path, monkeypatch):
    """In a kernel. That the cells of every chapter run is shown by building the book."""
    notebook = student_version(handout, SMALL)
    with pytest.raises(CellExecutionError, match=assignment.ASKS):
        run_notebook(notebook, tmp_path, monkeypatch)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    failed = next(
        cell for cell in code if any(output.output_type == "error" for output in cell.outputs)
    )
    first = exercises.chapter(SMALL).exercises[0]
    assert failed.id == assignment.check_id(first)
    assert code[code.index(failed) + 1].execution_count is None


def test_the_solved_version_runs_to_the_end_and_is_noted(tmp_path, monkeypatch):
    chapter = exercises.chapter(SMALL)
    notebook = assignment.instructor_version(chapter)
    run_notebook(notebook, tmp_path, monkeypatch)
    assert checks.progress(SMALL).chapters == {
        SMALL: {exercise.name: True for exercise in chapter.exercises if exercise.name}
    }


# --- grading a class ----------------------------------------------------------

BACK, CROP = (exercise for exercise in exercises.chapter(SMALL).exercises if exercise.name)
RIGHT = {BACK.answer: BACK.solution, CROP.answer: CROP.solution}
SIGNATURE = "def back_project(depth, fx, fy, u0, v0):\n"


class Work:
    """A copy of the assignment, to write a submission on."""

    def __init__(self, handout):
        self.notebook = student_version(handout, SMALL)

    def cell(self, id):
        return next(cell for cell in self.notebook.cells if cell.id == id)

    def fill(self, sources):
        for id, source in sources.items():
            self.cell(id).source = source
        return self

    def back(self, body, before=""):
        """`body` as the first exercise, the right answer as the second."""
        return self.fill(
            {
                **RIGHT,
                BACK.answer: before + SIGNATURE + textwrap.indent(textwrap.dedent(body), "    "),
            }
        )

    def add(self, place, source):
        self.notebook.cells.insert(place, nbformat.v4.new_code_cell(source))
        return self

    def save(self, file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.notebook), encoding="utf-8")


def write_class(handout, folder, outside):
    """Write the submissions of a class, one of every kind; return the points and status of each."""

    def hand_in(student, work, name="depth_cameras.ipynb"):
        work.save(folder / student / name)

    hand_in("right", Work(handout).fill(RIGHT))
    hand_in("half wrong", Work(handout).back("return depth"))
    hand_in("untouched", Work(handout))

    work = Work(handout).fill(RIGHT)
    work.notebook.cells = [
        cell
        for cell in work.notebook.cells
        if cell.id not in (CROP.answer, assignment.check_id(CROP))
    ]
    hand_in("deleted", work)

    work = Work(handout).fill(RIGHT)
    place = work.notebook.cells.index(work.cell(BACK.answer))
    work.notebook.cells.insert(
        place, {**work.notebook.cells[place], "source": SIGNATURE + "    return depth"}
    )  # the same id twice
    hand_in("duplicated", work)

    work = Work(handout).fill(RIGHT)
    work.notebook.cells.reverse()
    hand_in("reordered", work)

    work = Work(handout).fill(RIGHT)
    work.notebook.metadata = nbformat.NotebookNode()
    for number, cell in enumerate(work.notebook.cells):
        cell.id, cell.metadata = f"new-{number}", nbformat.NotebookNode()
    hand_in("renamed", work, "Untitled (3).ipynb")

    Work(handout).fill(RIGHT).save(folder / "file_depth_cameras.ipynb")
    hand_in("Zoë O'Neil + 1", Work(handout).fill(RIGHT))

    work = Work(handout).back(
        "return stacked((columns(depth) - u0) * depth / fx, (rows(depth) - v0) * depth / fy, depth)"
        " * ONE"
    )
    work.add(0, "ONE = 1\nx = 1 / 0\ndef stacked(*parts):\n    return torch.stack(parts, -1)")
    work.add(
        5,
        "%matplotlib inline\nrows = lambda depth: torch.arange(depth.shape[0])[:, None]\ndef"
        " columns(depth):\n    return torch.arange(depth.shape[1])",
    )
    hand_in("own helpers", work)

    hand_in(
        "syntax",
        Work(handout).fill(
            {**RIGHT, BACK.answer: "def back_project(depth, fx, fy, u0, v0)\n    return depth"}
        ),
    )
    hand_in("endless call", Work(handout).back("while True:\n    pass"))
    hand_in(
        "endless cell",
        Work(handout).fill({**RIGHT, BACK.answer: BACK.solution + "\n\nwhile True:\n    pass"}),
    )
    hand_in("dies", Work(handout).back("import os\nos._exit(0)"))
    hand_in("exits", Work(handout).back("raise SystemExit"))
    hand_in("memory", Work(handout).back("return torch.zeros(10**11)"))
    hand_in(
        "list",
        Work(handout).back("""
        grows = [0]
        while True:
            grows = grows + grows
    """),
    )

    chapter = (
        assignment.exercises.paths.project() / "book" / "foundations" / "depth_cameras.ipynb"
    ).as_posix()
    hand_in(
        "reads",
        Work(handout).back(f"""
        import json
        cells, wanted = json.load(open({chapter!r}))["cells"], "solution-back-project-code"
        source = next("".join(cell["source"]) for cell in cells if cell["id"] == wanted)
        space = {{}}
        exec("import torch\\n" + source.split("checks")[0], space)
        return space["back_project"](depth, fx, fy, u0, v0)
    """),
    )
    hand_in(
        "copies",
        Work(handout).back(f"""
        import glob
        return open(glob.glob({str(folder)!r} + "/right/*.ipynb")[0]).read()
    """),
    )
    hand_in(
        "writes",
        Work(handout).back(f"""
        try:
            open({str(outside / "grades.csv")!r}, "w").write("writes,2")
        except OSError:
            pass
        import os, subprocess
        subprocess.run(["touch", {str(outside / "touched")!r}])
    """),
    )
    hand_in(
        "prints",
        Work(handout)
        .back(
            """
        print("score: 2 of 2")
        return depth
    """,
            before="""
import torch
import handpose_lib.teaching.checks as laws
checks.check = checks.require = lambda *inputs, **named: True
laws.equal = laws.holds = laws.shaped = lambda *inputs, **named: None
torch.allclose = torch.equal = lambda *inputs, **named: True
print("✔ back_project: right, every law holds.")

""",
        )
        .fill({assignment.check_id(BACK): "print('✔ back_project: right, every law holds.')"}),
    )
    work = Work(handout).back("return depth")
    work.cell(assignment.check_id(CROP)).metadata.nbgrader.points = 100.0
    hand_in("more points", work)
    hand_in(
        "talks",
        Work(handout).back("""
        import gc
        from multiprocessing.connection import Connection
        for found in gc.get_objects():
            if isinstance(found, Connection):
                found.send_bytes(b"\\x02\\x00\\x00\\x00ok")
        return depth
    """),
    )

    (folder / "unreadable").mkdir()
    (folder / "unreadable" / "depth_cameras.ipynb").write_text('{"cells": [', encoding="utf-8")
    (folder / "nothing").mkdir()
    (folder / "linked").mkdir()
    os.symlink(folder / "right" / "depth_cameras.ipynb", folder / "linked" / "depth_cameras.ipynb")
    hand_in("twice", Work(handout).fill(RIGHT))
    hand_in("twice", Work(handout), "depth_cameras-Copy1.ipynb")

    return {
        "right": (2, "graded"),
        "half wrong": (1, "graded"),
        "untouched": (0, "graded"),
        "deleted": (1, "missing"),
        "duplicated": (2, "graded"),
        "reordered": (2, "graded"),
        "renamed": (2, "graded"),
        "file": (2, "graded"),
        "Zoë O'Neil + 1": (2, "graded"),
        "own helpers": (2, "graded"),
        "syntax": (1, "graded"),
        "endless call": (1, "out of time"),
        "endless cell": (1, "out of time"),
        "dies": (1, "died"),
        "exits": (1, "graded"),
        "memory": (1, "out of memory"),
        "list": (1, "out of memory"),
        "reads": (1, "forbidden"),
        "copies": (1, "forbidden"),
        "writes": (1, "forbidden"),
        "prints": (1, "graded"),
        "more points": (1, "graded"),
        "talks": (1, "died"),
        "unreadable": (0, "unreadable"),
        "nothing": (0, "not handed in"),
        "linked": (0, "not handed in"),
        "twice": (2, "graded"),
    }


@pytest.fixture(scope="module")
def graded(handout, tmp_path_factory):
    """The class, graded in one run: folder, expected marks, lines of both tables."""
    root = tmp_path_factory.mktemp("class")
    submissions, out, outside = root / "submissions", root / "grades", root / "outside"
    submissions.mkdir()
    outside.mkdir()
    expected = write_class(handout, submissions, outside)
    before = {path: path.read_bytes() for path in submissions.rglob("*.ipynb")}
    status = grade.main(
        [
            str(submissions),
            "--out",
            str(out),
            "--chapters",
            SMALL,
            "--seconds",
            str(LIMITS["seconds"]),
            "--memory",
            str(LIMITS["memory"]),
            *([] if walls_or_none() else ["--trust"]),
        ]
    )
    assert status == 0
    assert {path: path.read_bytes() for path in submissions.rglob("*.ipynb")} == before
    assert list(outside.iterdir()) == []
    tables = [
        list(csv.DictReader(io.StringIO((out / name).read_text(encoding="utf-8"), newline="")))
        for name in ("grades.csv", "exercises.csv")
    ]
    return out, expected, *tables


def test_everyone_gets_the_expected_marks(graded):
    _, expected, rows, _ = graded
    assert len(expected) >= 12
    assert {row["student"]: (float(row["points"]), row["status"]) for row in rows} == expected
    assert {float(row["of"]) for row in rows} == {2.0}


def test_what_happened_is_told(graded):
    _, _, rows, answers = graded
    remarks = {row["student"]: row["remarks"] for row in rows}
    assert "crop_camera: the cell is missing" in remarks["deleted"]
    assert "2 cells answer it" in remarks["duplicated"]
    assert "by the name of the function" in remarks["renamed"]
    assert "depth_cameras.ipynb was graded" in remarks["twice"]
    assert "its check was changed" in remarks["prints"]
    assert (
        "refused: open" in remarks["reads"]
        and "refused: open" in remarks["writes"]
        and "subprocess.Popen" in remarks["writes"]
    )
    said = {(row["student"], row["function"]): (row["status"], row["said"]) for row in answers}
    assert said["untouched", "back_project"] == ("empty", "✘ back_project: not answered.")
    assert "SyntaxError" in said["syntax", "back_project"][1]
    assert "loop that does not end" in said["endless call", "back_project"][1]
    assert "SystemExit" in said["exits", "back_project"][1]
    assert all(
        said[student, "crop_camera"][0] == "right"
        for student in ("endless cell", "dies", "memory", "reads", "talks", "syntax")
    )


def test_feedback_shows_answers_verdicts_and_points(graded):
    out, expected, *_ = graded
    pages = {
        path.parent.name: path.read_text(encoding="utf-8")
        for path in (out / "feedback").rglob("*.html")
    }
    assert len(pages) == sum(
        status not in ("unreadable", "not handed in") for _, status in expected.values()
    )
    assert "it had not finished when its time was over" in pages["endless_call"]
    assert (
        "right, every law holds" in pages["right"] and "Remarks of the grader" in pages["deleted"]
    )
    assert "score: 2 of 2" in pages["prints"]  # what an answer prints is shown as what it printed
    for exercise in (BACK, CROP):
        assert exercise.solution.splitlines()[-1].strip() not in pages["untouched"]


def test_an_earlier_grading_is_not_overwritten(graded, tmp_path, capsys):
    out, *_ = graded
    (tmp_path / "ada").mkdir()
    assert grade.main([str(tmp_path), "--out", str(out)]) == 1
    assert "choose a new folder" in capsys.readouterr().err


# --- every solution of the book -----------------------------------------------


@pytest.fixture(scope="module")
def model_student(handout):
    """Every solution of the book, handed in."""
    chapters = [exercises.chapter(name) for name in CHAPTERS]
    handed_in = []
    for chapter in chapters:
        cells = [
            {"id": cell.id, "cell_type": cell.cell_type, "source": cell.source}
            for cell in assignment.instructor_version(chapter).cells
        ]
        submission = grade.Submission("model", chapter, cells=cells)
        grade.take_answers(
            submission,
            json.loads((handout / f"{chapter.assignment}.ipynb").read_text(encoding="utf-8"))[
                "cells"
            ],
        )
        handed_in.append(submission)
    limits = answer_process.Limits()
    grade.judge_all(handed_in, chapters, limits, os.cpu_count(), walls_or_none())
    return {
        answer.exercise.label: answer.outcome
        for submission in handed_in
        for answer in submission.answers
    }


@pytest.mark.parametrize(
    "label, function",
    [
        (exercise.label, exercise.name)
        for name in CHAPTERS
        for exercise in exercises.chapter(name).exercises
        if exercise.name
    ],
)
def test_the_solution_passes_when_it_is_judged_from_outside(model_student, label, function):
    outcome = model_student[label]
    assert outcome.status == "right" and not outcome.attempts, f"{outcome.line} {outcome.attempts}"


# --- malformed chapters -------------------------------------------------------


def notebook_of(*cells):
    return {
        "cells": [
            {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
            for number, (kind, source) in enumerate(cells)
        ]
    }


ASKED = ("markdown", "```{exercise} Double\n:label: double\nWrite it.\n```")
STUB = ("code", 'def double(x):\n    ...\n\n\nchecks.check("double", double)')
BEGIN, END = (
    ("markdown", "```{solution-start} double\n:class: dropdown\n```"),
    ("markdown", "```{solution-end}\n```"),
)


def test_helpers_of_a_solution_move_into_the_function():
    solution = (
        "code",
        (
            "def twice(x):\n    return x + x\n\n\ndef double(x):\n    # by hand\n    return"
            ' twice(x)\n\n\nchecks.require("double", double)\nassert True'
        ),
    )
    (exercise,) = exercises.parse(notebook_of(ASKED, STUB, BEGIN, solution, END), "c").exercises
    space = {}
    exec(exercise.solved, space)
    assert space["double"](4) == 8 and "twice" not in space
    (function,) = ast.parse(exercise.solved).body
    assert isinstance(function, ast.FunctionDef) and function.name == "double"
    assert exercise.lines == 3


@pytest.mark.parametrize(
    "cells, words",
    [
        (
            (
                ASKED,
                ("code", 'def other(x):\n    ...\n\n\nchecks.check("double", double)'),
                BEGIN,
                END,
            ),
            "must define 'double'",
        ),
        ((ASKED, STUB, BEGIN, ("code", "def double(y):\n    return y"), END), "with the arguments"),
        ((ASKED, STUB, BEGIN, END), "the solution must define"),
        ((STUB, END), "belongs to no exercise"),
    ],
)
def test_a_chapter_that_is_not_as_it_should_be_says_so(cells, words):
    with pytest.raises(errors.DataError, match=words):
        exercises.parse(notebook_of(*cells), "book/a/chapter")


def test_an_unknown_chapter_names_the_known_ones(tmp_path, capsys):
    assert assignment.main(["nonsense", "--out", str(tmp_path / "out")]) == 1
    assert "depth_cameras" in capsys.readouterr().err and not (tmp_path / "out").exists()


# --- what students send -------------------------------------------------------


def test_archives_and_scripts_are_named_and_what_systems_leave_is_no_student(tmp_path):
    for name in ("ann/work.zip", "bob/answers.py", "__MACOSX/ann/._work.ipynb", ".DS_Store"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0")
    found = {one.student: one for one in submissions.collected(tmp_path, [], False)}
    assert set(found) == {"ann", "bob"}
    for student, name in (("ann", "work.zip"), ("bob", "answers.py")):
        (remark,) = found[student].remarks
        assert found[student].problem == "not handed in"
        assert remark.startswith(f"{name} cannot be graded; accepted are notebooks")


def test_a_notebook_with_a_byte_order_mark_is_read(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    known = [exercises.chapter(CHAPTERS[0])]
    notebook.metadata["handpose_book"] = {"chapter": known[0].name}
    content = nbformat.writes(notebook).encode()
    found = []
    for name, mark in (("plain.ipynb", b""), ("marked.ipynb", b"\xef\xbb\xbf")):
        (tmp_path / name).write_bytes(mark + content)
        found.append(submissions.read(tmp_path / name, known))
    assert found[0] == found[1] and found[1][1] and found[1][2] == ""


# --- progress -----------------------------------------------------------------


def test_progress_counts_what_check_found_right_in_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDPOSE_DATA", str(tmp_path))
    checks.load("crop_and_normalise")
    space = {}
    solution = next(
        exercise
        for exercise in exercises.chapter("crop_and_normalise").exercises
        if exercise.name == "half_extent"
    ).solution
    exec("import torch\n" + solution, space)
    checks.check("half_extent", space["half_extent"])
    assert not any(
        checks.progress("crop_and_normalise").chapters["crop_and_normalise"].values()
    )  # not in a notebook
    monkeypatch.setattr(checks, "_in_a_notebook", lambda: True)
    checks.check("half_extent", lambda fx, fy, cube, z: None)
    assert not any(checks.progress("crop_and_normalise").chapters["crop_and_normalise"].values())
    checks.check("half_extent", space["half_extent"])
    progress = checks.progress()
    assert progress.chapters["crop_and_normalise"] == {
        "half_extent": True,
        "normalise_depth": False,
        "view_point": False,
    }
    assert "1 of 3   ✔ half_extent" in str(progress)
    assert sum(sum(solved.values()) for solved in progress.chapters.values()) == 1
    (tmp_path / "progress.json").write_text("[]", encoding="utf-8")
    assert checks.check("half_extent", space["half_extent"]) and "✔ half_extent" in str(
        checks.progress("crop_and_normalise")
    )
