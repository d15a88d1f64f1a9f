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
    journal.jsonl    the verdicts as they came: the same command continues a grading that was
                     stopped

Only the answers of a submission are used: they are put into a fresh copy of the assignment. Each
answer runs in a process of its own behind the walls of `walls.py`, and is judged from this side
(see answer_process.py). Whatever a submission does, only its own line of the table can suffer.
"""

import argparse
import csv
import io
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.preprocessors import CheckCellMetadata, SaveAutoGrades

from handpose_lib import errors, paths
from handpose_lib.io import locks, storage
from handpose_lib.teaching import checks, exercises
from pipeline.grading import answer_process, assignment, feedback, journal, walls
from pipeline.grading.submissions import (
    Answer,
    Submission,
    collected,
    modules_of,
    safe_names,
    take_answers,
)

FINE = ("right", "wrong", "empty", "in words")  # not mentioned in the status of a submission


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("submissions", type=Path, help="folder of the submissions")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="empty folder for the results, or that of a grading that was stopped",
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
        help="submissions at a time (default: one per core)",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="grade without walls: for submissions of people whom you trust",
    )
    options = parser.parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        rows = grade(
            options.submissions,
            options.out,
            options.chapters,
            options.seconds,
            options.memory,
            options.jobs,
            options.trust,
        )
    except errors.HandPoseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command continues this grading", file=sys.stderr)
        return 130
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
    trust: bool = False,
) -> list[dict]:
    """Grade every submission in `folder`, write the results to `out`, return grades.csv by rows.

    A grading that was stopped continues: what its journal has is not judged again. `trust`: run the
    code of students without walls.
    Errors: `HandPoseError` if `folder` does not exist or is empty, if `out` holds anything but a
    stopped grading, if another process grades there, for a chapter without exercises, or if no
    walls can be built.
    """
    try:
        empty = not any(folder.iterdir())
    except OSError as error:
        raise errors.DataError(
            f"{folder} cannot be read ({error.strerror or error}): a folder with submissions is"
            " needed"
        ) from error
    if empty:
        raise errors.DataError(
            f"{folder} holds no submissions: a folder per student is needed, or notebooks"
        )
    built = None if trust else walls.found([str(folder.resolve()), str(out.resolve())])
    with locks.held(out, "grading"):
        if out.exists() and any(out.iterdir()) and not _stopped(out):
            raise errors.DataError(
                f"{out} is not empty: it may hold marks that were given by hand, so choose a new"
                " folder"
            )
        for left in ("course", "feedback"):  # made again from the journal
            shutil.rmtree(out / left, ignore_errors=True)
        known = [exercises.chapter(name) for name in chapters or exercises.chapters()]
        notes = journal.Journal(out)
        try:
            return _graded(folder, out, known, bool(chapters), seconds, memory, jobs, built, notes)
        finally:
            notes.close()


def _stopped(out: Path) -> bool:
    """Return whether a folder holds a grading that was stopped before its tables were written."""
    ours = {journal.NAME, "course", "feedback", "exercises.csv"}
    there = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    return journal.NAME in there and there <= ours


def _graded(
    folder: Path,
    out: Path,
    known: list[exercises.Chapter],
    complete: bool,
    seconds: float,
    memory: float,
    jobs: int | None,
    built: walls.Walls | None,
    notes: journal.Journal,
) -> list[dict]:
    submissions = collected(folder, known, complete, built, jobs)
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
            try:
                take_answers(submission, released[submission.chapter.name])
            except Exception as error:  # of whatever kind: it is this submission's
                _cannot_be_graded(submission, error)
    judge_all([one for one in submissions if one.answers], graded, limits, jobs, built, notes)
    to_gradebook([one for one in submissions if one.answers], course)
    names = safe_names({submission.student for submission in submissions})
    for submission in submissions:
        try:
            write_feedback(submission, out / "feedback" / names[submission.student])
        except Exception as error:
            submission.remarks.append(f"no feedback page ({type(error).__name__})")
    return write_tables(submissions, out)


def _cannot_be_graded(submission: Submission, error: Exception) -> None:
    submission.problem, submission.answers = "not graded", []
    submission.remarks.append(
        f"it cannot be graded: {answer_process.clean(f'{type(error).__name__}: {error}', 300)}"
    )


# --- verdicts -----------------------------------------------------------------


def judge_all(
    submissions: Sequence[Submission],
    chapters: list[exercises.Chapter],
    limits: answer_process.Limits,
    jobs: int | None,
    built: walls.Walls | None = None,
    notes: journal.Journal | None = None,
) -> None:
    """Judge every answer, `jobs` submissions at a time, and store its outcome.

    An answer during which an earlier grader ended is judged last and alone: if the grader ends
    again, it is known which answer it was.
    """
    for chapter in chapters:
        checks.load(chapter.assignment)
    if built is None:
        cells = [answer.cells for one in submissions for answer in one.answers]
        answer_process.prepare(sorted(set().union(*map(modules_of, cells))))
    running: set[answer_process.Judge] = set()

    def judged(submission: Submission, suspects: bool) -> None:
        waiting = []
        for answer in submission.answers:
            if not answer.cells or answer.outcome is not None:
                continue
            key = journal.key(
                submission.student,
                submission.assignment,
                answer.exercise.name,
                answer.cells,
                limits,
            )
            if notes is not None and (outcome := notes.known(key)) is not None:
                answer.outcome = outcome
            elif notes is None or suspects or not notes.suspect(key):
                waiting.append((key, answer))
        if not waiting:
            return
        modules = sorted(set().union(*(modules_of(answer.cells) for _, answer in waiting)))
        with answer_process.Judge(built, modules, limits) as judge:
            running.add(judge)
            for key, answer in waiting:
                if notes is not None:
                    notes.begin(key)
                try:
                    answer.outcome = judge(answer.exercise.name, answer.cells)
                except Exception as error:  # of whatever kind: it is this answer's
                    why = f"✘ {answer.exercise.name}: it cannot be judged ({error})."
                    answer.outcome = answer_process.Outcome("not graded", why)
                if notes is not None:
                    notes.end(key, answer.outcome)
            running.discard(judge)

    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(judged, submission, False) for submission in submissions]
        for future in futures:
            future.result()
        for submission in submissions:
            judged(submission, True)
    except BaseException:  # stopped, or no room for the journal
        pool.shutdown(wait=False, cancel_futures=True)
        for judge in list(running):
            judge.stop()
        raise
    finally:
        pool.shutdown()


def verdict(answer: Answer) -> tuple[str, bool]:
    """Return the line that the check prints for an answer, and whether the answer is right."""
    if answer.status == "in words":
        return "", False
    if answer.outcome is None:
        why = {
            "missing": "the cell was not handed in.",
            "empty": "not answered.",
            "too long": "the cell is too long to be graded.",
        }[answer.status]
        return f"✘ {answer.exercise.name}: {why}", False
    return answer.outcome.line, answer.outcome.status == "right"


def points(answer: Answer) -> float:
    """Return the points of an answer; for one in words they are given by hand."""
    return float(answer.exercise.points) if verdict(answer)[1] else 0.0


# --- what students and instructors receive ------------------------------------


def write_feedback(submission: Submission, folder: Path) -> None:
    """Write the page of a submission that was graded."""
    if not submission.answers or submission.chapter is None:
        return
    marks = [
        (answer, verdict(answer)[0], points(answer), float(answer.exercise.points))
        for answer in submission.answers
    ]
    storage.write_text(
        folder / f"{submission.assignment}.html",
        feedback.page(submission, submission.chapter.title, marks),
    )


def to_gradebook(submissions: list[Submission], course: Path) -> None:
    """Enter fresh copies of the assignments, with the answers in them, into nbgrader's gradebook.

    The points do not depend on it. A submission that nbgrader refuses receives a remark.
    """
    names = safe_names({submission.student for submission in submissions})
    copies: dict[tuple[str, str], Submission] = {}
    for submission in submissions:
        student, chapter = names[submission.student], submission.assignment
        try:
            file = course / "submitted" / student / chapter / f"{chapter}.ipynb"
            storage.write_text(file, nbformat.writes(fresh_copy(submission, course)) + "\n")
            copies[student, chapter] = submission
        except Exception as error:
            _not_in_the_gradebook(submission, error)

    def run(notebook: nbformat.NotebookNode, resources: dict) -> tuple:
        """Instead of a kernel, write the outcomes of the workers into the notebook."""
        say_outcomes(
            notebook, copies[resources["nbgrader"]["student"], resources["nbgrader"]["assignment"]]
        )
        return notebook, resources

    for chapter in sorted({chapter for _, chapter in copies}):
        config = assignment.configuration(course, chapter)
        try:
            assignment.run(
                Autograde, config, autograde_preprocessors=[run, SaveAutoGrades, CheckCellMetadata]
            )
        except Exception as error:  # it names the failures; the others are entered
            print(answer_process.clean(error, 1000), file=sys.stderr)
    try:
        database = f"sqlite:///{(course / 'gradebook.db').resolve()}"
        with Gradebook(database, assignment.COURSE) as gradebook:
            for (student, chapter), submission in copies.items():
                try:
                    gradebook.find_submission_notebook(chapter, chapter, student)
                except Exception as error:
                    _not_in_the_gradebook(submission, error)
    except Exception as error:
        print(f"nbgrader's gradebook: {answer_process.clean(error, 300)}", file=sys.stderr)


def _not_in_the_gradebook(submission: Submission, error: Exception) -> None:
    submission.remarks.append(f"not in nbgrader's gradebook ({type(error).__name__})")


def fresh_copy(submission: Submission, course: Path) -> nbformat.NotebookNode:
    """Return the exercises of the assignment with the student's answers."""
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


# --- tables -------------------------------------------------------------------


def write_tables(submissions: list[Submission], out: Path) -> list[dict]:
    """Write exercises.csv, then grades.csv; return the rows of the latter."""
    per_chapter, per_exercise = [], []
    for submission in submissions:
        total = worth = 0.0
        states = [submission.problem] if submission.problem else []
        for answer in submission.answers or [
            Answer(exercise, status="missing") for exercise in submission.exercises
        ]:
            exercise = answer.exercise
            score, of = points(answer), float(exercise.points)
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
                    "said": verdict(answer)[0],
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
    for name, rows in (("exercises.csv", per_exercise), ("grades.csv", per_chapter)):
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]) if rows else ["student"], lineterminator="\n")
        table.writeheader()
        table.writerows({key: no_formula(value) for key, value in row.items()} for row in rows)
        storage.write_text(out / name, text.getvalue())
    return per_chapter


def no_formula(value: object) -> object:
    """Return the value of a cell so that no spreadsheet takes it for a formula.

    Text that begins like one gets an apostrophe in front, also after what some spreadsheets take
    for the border of a cell.
    """
    if not isinstance(value, str):
        return value
    plain = answer_process.clean(value, 100_000)
    return re.sub(r"(^|[;\t|\"'])(\s*)([=+\-@＝＋－＠])", r"\1\2'\3", plain)


if __name__ == "__main__":
    sys.exit(main())
