"""Grades a folder of submissions: points as CSV, feedback for every student as HTML.

    python pipeline/grading/grade.py submissions --out grades
    python pipeline/grading/grade.py submissions --out grades --chapters depth_cameras --seconds 30

`submissions` holds a folder per student, or a file per student and chapter such as
`ada_depth_cameras.ipynb`. A notebook is recognised by its content, whatever its name. `grades`
receives

    grades.csv       one line per student and chapter: points, status, remarks
    exercises.csv    one line per exercise: points, status, answer of the check
    feedback/        <student>/<chapter>.html
    course/          a course folder of nbgrader with solutions: the instructor marks answers in
                     words there

Only the answers of a submission are used: they are put into a fresh copy of the assignment. Each is
judged in a process of its own (see answer_process.py), so no submission can affect another.
"""

import argparse
import ast
import csv
import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.preprocessors import CheckCellMetadata, SaveAutoGrades

from handpose_lib import errors, paths
from handpose_lib.io import storage
from handpose_lib.teaching import checks, exercises
from pipeline.grading import answer_process, assignment

LARGEST = 50 * 2**20  # bytes of a submitted notebook
NOT_GRADED = (".zip", ".7z", ".rar", ".tar", ".gz", ".py", ".html", ".pdf")  # but often sent
FINE = ("right", "wrong", "empty", "in words")  # not mentioned in the status of a submission


@dataclass
class Answer:
    """What a student handed in for one exercise."""

    exercise: exercises.Exercise
    source: str = ""
    status: str = ""  # already known: empty, missing, in words
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

    @property
    def exercises(self) -> tuple[exercises.Exercise, ...]:
        """The exercises of its chapter; none if the chapter is unknown."""
        return self.chapter.exercises if self.chapter else ()

    @property
    def assignment(self) -> str:
        """The name of its assignment; empty if the chapter is unknown."""
        return self.chapter.assignment if self.chapter else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("submissions", type=Path, help="folder of the submissions")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="empty folder for the results"
    )
    parser.add_argument(
        "--chapters",
        nargs="+",
        metavar="CHAPTER",
        help="chapters that were assigned (default: all that were handed in)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=answer_process.Limits.seconds,
        help="computing time for one exercise (default: %(default)s)",
    )
    parser.add_argument(
        "--memory",
        type=float,
        default=answer_process.Limits.memory,
        help="memory for one exercise, in GB (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="exercises at a time (default: one per core)",
    )
    options = parser.parse_args(arguments)
    try:
        rows = grade(
            options.submissions,
            options.out,
            options.chapters,
            options.seconds,
            options.memory,
            options.jobs,
        )
    except errors.HandPoseError as error:
        print(error, file=sys.stderr)
        return 1
    states = Counter(row["status"] for row in rows)
    print(
        f"{options.out / 'grades.csv'}: {len(rows)} submissions, "
        + ", ".join(f"{count} {state}" for state, count in states.most_common())
    )
    return 0


def grade(
    folder: Path,
    out: Path,
    chapters: list[str] | None = None,
    seconds: float = 20.0,
    memory: float = 2.0,
    jobs: int | None = None,
) -> list[dict]:
    """Grade every submission in `folder`, write the results to `out`, return grades.csv by rows.

    Errors: `HandPoseError` if `folder` does not exist or is empty, if `out` is not empty, or for a
    chapter without exercises.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        raise errors.DataError(
            f"{folder} holds no submissions: a folder per student is needed, or notebooks"
        )
    if out.exists() and any(out.iterdir()):
        raise errors.DataError(
            f"{out} is not empty: it may hold marks that were given by hand, so choose a new folder"
        )
    known = [exercises.chapter(name) for name in chapters or exercises.chapters()]
    submissions = collected(folder, known, complete=bool(chapters))
    graded = [
        chapter
        for chapter in known
        if any(submission.chapter is chapter for submission in submissions)
    ]
    limits = answer_process.Limits(
        seconds,
        memory,
        hidden=[str(paths.project() / "book"), str(folder.resolve()), str(out.resolve())],
    )
    try:
        course = out / "course"
        storage.write_text(
            course / "nbgrader_config.py",
            f"c = get_config()\nc.CourseDirectory.course_id = {assignment.COURSE!r}\n",
        )
        released = {
            chapter.name: json.loads(file.read_text(encoding="utf-8-sig"))["cells"]
            for chapter, file in zip(graded, assignment.release(graded, course, gradebook=True))
        }
        for submission in submissions:
            if submission.cells and submission.chapter:
                take_answers(submission, released[submission.chapter.name])
        judge_all(
            [answer for submission in submissions for answer in submission.answers if answer.cells],
            graded,
            limits,
            jobs,
        )
        points = with_nbgrader(
            [submission for submission in submissions if submission.cells], course, out / "feedback"
        )
        return write_tables(submissions, points, out)
    except BaseException:  # leave no incomplete results
        shutil.rmtree(out, ignore_errors=True)
        raise


# --- submissions --------------------------------------------------------------


def collected(folder: Path, known: list[exercises.Chapter], complete: bool) -> list[Submission]:
    """Return the submissions, one for each student and chapter, sorted.

    With `complete`, each chapter of `known` that a student did not hand in is a submission with a
    problem; otherwise only a student who handed in nothing is one.
    """
    found: dict[tuple[str, str | None], list[Submission]] = {}
    students = {
        path.name
        for path in folder.iterdir()
        if path.is_dir() and not path.is_symlink() and not left_by_a_system(path.name)
    }
    for file in sorted(folder.rglob("*.ipynb")):
        inside = file.relative_to(folder)
        if any(map(left_by_a_system, inside.parts)) or file.is_symlink() or not file.is_file():
            continue
        chapter, cells, problem = read(file, known)
        student = inside.parts[0] if len(inside.parts) > 1 else student_of(file, chapter)
        students.add(student)
        found.setdefault((student, chapter.name if chapter else None), []).append(
            Submission(student, chapter, file, cells, problem)
        )
    submissions = [chosen(several) for several in found.values()]
    for student in sorted(students):
        mine = [submission for submission in submissions if submission.student == student]
        there = {submission.chapter.name for submission in mine if submission.chapter}
        missing: list[exercises.Chapter | None] = []
        if complete:
            missing += [chapter for chapter in known if chapter.name not in there]
        elif not mine:
            missing.append(None)
        submissions += [
            Submission(
                student, chapter, problem="not handed in", remarks=other_files(folder / student)
            )
            for chapter in missing
        ]
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


def other_files(folder: Path) -> list[str]:
    """Return a remark that names the archives and scripts of a student, none without them."""
    names = sorted(
        path.name
        for path in (folder.rglob("*") if folder.is_dir() else ())
        if path.suffix.lower() in NOT_GRADED and not left_by_a_system(path.name)
    )
    if not names:
        return []
    return [f"{', '.join(names)} cannot be graded; accepted are notebooks (.ipynb), not packed"]


def read(
    file: Path, known: list[exercises.Chapter]
) -> tuple[exercises.Chapter | None, list[dict], str]:
    """Return the chapter that a notebook belongs to, its cells, and what is wrong with it, or ''.

    Only a notebook without a problem has cells. Its chapter is in its metadata; if they were lost,
    it is the chapter with most of its cells and functions.
    """
    try:
        if file.stat().st_size > LARGEST:
            return guess(file, known), [], "unreadable"
        notebook = json.loads(file.read_text(encoding="utf-8-sig"))
        cells = [
            {
                "id": str(
                    cell.get("metadata", {}).get("nbgrader", {}).get("grade_id")
                    or cell.get("id", "")
                ),
                "cell_type": cell["cell_type"],
                "source": "".join(cell["source"]),
            }
            for cell in notebook["cells"]
        ]
        said = notebook.get("metadata", {}).get("handpose_book", {}).get("chapter")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return guess(file, known), [], "unreadable"
    for chapter in known:
        if chapter.name == said:
            return chapter, cells, "" if cells else "unreadable"
    ids = {cell["id"] for cell in cells}
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    alike = {
        chapter.name: sum(
            (exercise.answer in ids)
            + bool(re.search(rf"^def {exercise.name}\(", text, re.MULTILINE))
            for exercise in chapter.exercises
            if exercise.name
        )
        for chapter in known
    }
    best = max(known, key=lambda chapter: alike[chapter.name])
    return (best, cells, "") if alike[best.name] else (guess(file, known), [], "not an assignment")


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
        return bool(one.cells), one.file.stem == one.assignment, one.file.stat().st_mtime

    best = max(several, key=rank)
    if len(several) > 1 and best.file:
        best.remarks.append(
            f"{len(several)} notebooks were handed in for this chapter; {best.file.name} was graded"
        )
    return best


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
        around = [
            answer_process.Cell(source)
            for id, source in fresh.items()
            if id not in answer_ids and is_code(released, id)
        ]
        around += [
            answer_process.Cell(
                cell["source"],
                "definitions" if cell["id"] in fresh else "definitions and variables",
            )
            for cell in code
            if cell["source"].strip() not in known
            and cell is not last
            and not any(cell is other for other in candidates)
        ]
        submission.answers.append(
            Answer(
                exercise,
                last["source"],
                cells=[*around, answer_process.Cell(last["source"], "everything")],
            )
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


def is_code(cells: list[dict], id: str) -> bool:
    """Return whether the cell with this id is a code cell."""
    return any(cell["id"] == id and cell["cell_type"] == "code" for cell in cells)


def defines(source: str, name: str) -> bool:
    """Return whether code defines a function of this name, even if it cannot be parsed."""
    try:
        return any(
            isinstance(node, ast.FunctionDef) and node.name == name
            for node in ast.parse(source).body
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return re.search(rf"^def {re.escape(name)}\b", source, re.MULTILINE) is not None


def judge_all(
    answers: list[Answer],
    chapters: list[exercises.Chapter],
    limits: answer_process.Limits,
    jobs: int | None,
) -> None:
    """Judge every answer, `jobs` at a time, and store its outcome."""
    answer_process.prepare(sorted({module for chapter in chapters for module in imported(chapter)}))
    for chapter in chapters:
        checks.load(chapter.assignment)

    def judged(answer: Answer) -> None:
        answer.outcome = answer_process.judge(answer.exercise.name, answer.cells, limits)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(judged, answers))


def imported(chapter: exercises.Chapter) -> set[str]:
    """Return the names of the modules that a chapter's cells import."""
    modules: set[str] = set()
    for cell in chapter.notebook["cells"]:
        if cell["cell_type"] == "code" and "import" in (source := "".join(cell["source"])):
            for node in ast.walk(
                ast.parse(re.sub(r"^[%!].*$", "pass", source, flags=re.MULTILINE))
            ):
                if isinstance(node, ast.Import):
                    modules |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module)
    return modules


# --- points and feedback by nbgrader ------------------------------------------


def with_nbgrader(
    submissions: list[Submission], course: Path, feedback: Path
) -> dict[tuple, tuple[float, float]]:
    """Autograde fresh copies of the assignments with the answers in them.

    Returns (points, points of a right answer) by (`id` of the submission, id of the graded cell).
    """
    names = safe_names({submission.student for submission in submissions})
    copies = {}
    for submission in submissions:
        student, chapter = names[submission.student], submission.assignment
        copies[student, chapter] = submission
        file = course / "submitted" / student / chapter / f"{chapter}.ipynb"
        file.parent.mkdir(parents=True)
        nbformat.write(fresh_copy(submission, course), file)

    def run(notebook: nbformat.NotebookNode, resources: dict) -> tuple:
        """Instead of a kernel, write the outcomes of the workers into the notebook."""
        say_outcomes(
            notebook, copies[resources["nbgrader"]["student"], resources["nbgrader"]["assignment"]]
        )
        return notebook, resources

    for chapter in {submission.assignment for submission in submissions}:
        config = assignment.configuration(course, chapter)
        try:
            assignment.run(
                Autograde, config, autograde_preprocessors=[run, SaveAutoGrades, CheckCellMetadata]
            )
            assignment.run(GenerateFeedback, config)
        except errors.HandPoseError as error:  # it names the failures; the others are graded
            print(error, file=sys.stderr)

    points = {}
    with Gradebook(
        f"sqlite:///{(course / 'gradebook.db').resolve()}", assignment.COURSE
    ) as gradebook:
        for (student, chapter), submission in copies.items():
            page = course / "feedback" / student / chapter / f"{chapter}.html"
            if page.exists():
                (feedback / submission.student).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(page, feedback / submission.student / page.name)
            for mark in gradebook.find_submission_notebook(chapter, chapter, student).grades:
                points[id(submission), mark.name] = (mark.score, mark.max_score)
    return points


def safe_names(students: set[str]) -> dict[str, str]:
    """Return, for each student, a unique name that is valid for folders and for nbgrader."""
    safe: dict[str, str] = {}
    for student in sorted(students):
        name = re.sub(r"[^\w.-]", "_", student)
        while name in safe.values():
            name += "_"
        safe[student] = name
    return safe


def fresh_copy(submission: Submission, course: Path) -> nbformat.NotebookNode:
    """Return the exercises of the assignment with the student's answers, and remarks at the top."""
    chapter = submission.assignment
    notebook = nbformat.read(course / "release" / chapter / f"{chapter}.ipynb", as_version=4)
    sources = {
        (answer.exercise.answer or f"{answer.exercise.cell}-words"): answer.source
        for answer in submission.answers
        if answer.source
    }
    notebook.cells = notebook.cells[:1] + [
        cell for cell in notebook.cells[2:] if "nbgrader" in cell.metadata
    ]
    for cell in notebook.cells:
        cell.source = sources.get(cell.id, cell.source)
    if submission.remarks:
        notebook.cells.insert(
            1,
            nbformat.v4.new_markdown_cell(
                "**Remarks of the grader**\n\n"
                + "\n".join(f"* {remark}" for remark in submission.remarks),
                id="remarks-of-the-grader",
            ),
        )
    return notebook


def say_outcomes(notebook: nbformat.NotebookNode, submission: Submission) -> None:
    """Write the printed output below the answers, and the verdicts below the checks."""
    answers = {
        answer.exercise.answer: answer for answer in submission.answers if answer.exercise.name
    }
    checked = {assignment.check_id(answer.exercise): answer for answer in answers.values()}
    for cell in notebook.cells:
        if cell.id in answers and (outcome := answers[cell.id].outcome) and outcome.printed:
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=outcome.printed)]
        elif cell.id in checked:
            line, right = verdict(checked[cell.id])
            cell.outputs = [
                (
                    nbformat.v4.new_output("stream", name="stdout", text=line)
                    if right
                    else nbformat.v4.new_output(
                        "error", ename="AssertionError", evalue=line, traceback=[line]
                    )
                )
            ]


def verdict(answer: Answer) -> tuple[str, bool]:
    """Return the line that the check prints for an answer, and whether the answer is right."""
    if answer.outcome is None:
        why = {"missing": "the cell was not handed in.", "empty": "not answered."}[answer.status]
        return f"✘ {answer.exercise.name}: {why}", False
    return answer.outcome.line, answer.outcome.status == "right"


# --- tables -------------------------------------------------------------------


def write_tables(submissions: list[Submission], points: dict, out: Path) -> list[dict]:
    """Write grades.csv and exercises.csv; return the rows of the first."""
    per_chapter, per_exercise = [], []
    for submission in submissions:
        total = worth = 0.0
        states = [submission.problem] if submission.problem else []
        for answer in submission.answers or [
            Answer(exercise, status="missing") for exercise in submission.exercises
        ]:
            exercise = answer.exercise
            mark = assignment.check_id(exercise) if exercise.name else f"{exercise.cell}-words"
            score, of = points.get((id(submission), mark), (0.0, exercise.points))
            status = answer.outcome.status if answer.outcome else answer.status
            if answer.outcome and answer.outcome.attempts:
                submission.remarks.append(
                    f"{exercise.name}: refused: " + "; ".join(answer.outcome.attempts)
                )
                states.append("forbidden")
            if not submission.problem and status not in FINE:
                states.append(status)
            total, worth = total + score, worth + of
            per_exercise.append(
                {
                    "student": submission.student,
                    "chapter": submission.assignment,
                    "exercise": exercise.label,
                    "function": exercise.name,
                    "points": score,
                    "of": of,
                    "status": status,
                    "said": "" if status == "in words" else verdict(answer)[0],
                }
            )
        per_chapter.append(
            {
                "student": submission.student,
                "chapter": submission.assignment,
                "points": total,
                "of": worth,
                "status": ", ".join(dict.fromkeys(states)) or "graded",
                "remarks": "; ".join(submission.remarks),
            }
        )
    for name, rows in (("grades.csv", per_chapter), ("exercises.csv", per_exercise)):
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]) if rows else ["student"], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        storage.write_text(out / name, text.getvalue())
    return per_chapter


if __name__ == "__main__":
    sys.exit(main())
