"""Makes student versions of chapters with nbgrader: without solutions, and with locked checks.

    python pipeline/grading/assignment.py depth_cameras the_hand --out handout
    python pipeline/grading/assignment.py --out handout     # every chapter that has exercises

The folder receives one notebook per chapter and nothing else, so it can be handed out as it is.
Every cell keeps its id. A cell to fill in raises an error until it is filled in, and the check
below it says so.
"""

import argparse
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
import traitlets.config
import traitlets.log
from nbgrader.converters import GenerateAssignment, NbGraderException
from nbgrader.coursedir import CourseDirectory

from handpose_lib import errors
from handpose_lib.io import storage
from handpose_lib.teaching import exercises

COURSE = "handpose"  # nbgrader needs a name for the course
ASKS = "put your code here, in place of this line"
HOW = """```{{note}}
This assignment is worth {points:g} points. Write your code at `YOUR CODE HERE`, and run the cell
below it: it says whether the answer is right, or which law is broken. The grading needs the locked
cells; you may add your own cells anywhere. Each answer is judged by itself: it may use what the
chapter imports and the functions that you define, but no variable of another cell.
```"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "chapters",
        nargs="*",
        metavar="CHAPTER",
        help="name in the table of contents, or its last word (default: all with exercises)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder to write the notebooks to"
    )
    options = parser.parse_args(arguments)
    try:
        chapters = [exercises.chapter(name) for name in options.chapters or exercises.chapters()]
        with tempfile.TemporaryDirectory() as course:
            for notebook in release(chapters, Path(course)):
                storage.write_text(
                    options.out / notebook.name, notebook.read_text(encoding="utf-8")
                )
                print(options.out / notebook.name)
    except errors.HandPoseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def release(chapters: list[exercises.Chapter], course: Path, gradebook: bool = False) -> list[Path]:
    """Run nbgrader's `generate_assignment` on chapters; return the paths of the student versions.

    The folder `course` also receives the versions with solutions and, with `gradebook`, nbgrader's
    gradebook. It is for the instructor only.
    """
    converted = []
    for chapter in chapters:
        source = course / "source" / chapter.assignment / f"{chapter.assignment}.ipynb"
        storage.write_text(source, nbformat.writes(instructor_version(chapter)))
        config = configuration(course, chapter.assignment)
        config.GenerateAssignment.no_database = not gradebook
        config.SaveCells.enabled = gradebook
        run(GenerateAssignment, config)
        converted.append(course / "release" / chapter.assignment / source.name)
    return converted


def run(converter: type, config: traitlets.config.Config, **traits: object) -> None:
    """Run one of nbgrader's converters. Errors: `HandPoseError` with what it logs as errors."""
    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(record.getMessage())
    log = traitlets.log.get_logger()
    log = log.logger if isinstance(log, logging.LoggerAdapter) else log
    log.addHandler(handler)
    # nbgrader starts alembic by its name, which is beside this Python even if it is not activated.
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )
    try:
        instance = converter(coursedir=CourseDirectory(config=config), config=config)
        for name, value in traits.items():
            setattr(instance, name, value)
        instance.start()
    except NbGraderException as error:
        raise errors.HandPoseError(
            f"nbgrader's {converter.__name__} failed: "
            + "; ".join(text.strip().splitlines()[-1] for text in said if text.strip())
        ) from error
    finally:
        log.removeHandler(handler)


def configuration(course: Path, assignment: str) -> traitlets.config.Config:
    """Return nbgrader's settings for one assignment of a course in the folder `course`."""
    config = traitlets.config.Config()
    config.CourseDirectory.root = str(course.resolve())
    config.CourseDirectory.course_id = COURSE
    config.CourseDirectory.assignment_id = assignment
    config.ClearSolutions.code_stub = {
        "python": f'# YOUR CODE HERE\nraise NotImplementedError("{ASKS}")'
    }
    return config


def instructor_version(chapter: exercises.Chapter) -> nbformat.NotebookNode:
    """Return the chapter in the form that nbgrader reads.

    Solutions are in the cells to fill in, between nbgrader's marks; checks have cells of their own.
    """
    notebook = nbformat.reads(json.dumps(chapter.notebook), as_version=4)
    notebook.metadata["handpose_book"] = {"chapter": chapter.name}
    asked = {exercise.cell: exercise for exercise in chapter.exercises}
    answers = {exercise.answer: exercise for exercise in chapter.exercises if exercise.name}
    how = nbformat.v4.new_markdown_cell(
        HOW.format(points=sum(exercise.points for exercise in chapter.exercises)),
        id="how-to-hand-in",
    )
    cells = []
    for cell in outside_solutions(notebook.cells):
        if cell.id in answers:
            cells += filled_in(cell, answers[cell.id])
        elif cell.id in asked:
            cells.append(mark(cell, locked=True))
            if not asked[cell.id].name:
                cells.append(
                    mark(
                        nbformat.v4.new_markdown_cell("", id=f"{cell.id}-words"),
                        grade=True,
                        solution=True,
                        points=asked[cell.id].points,
                    )
                )
        elif cell.cell_type == "code" and "handpose_lib.teaching.checks import" in cell.source:
            # The imports of the chapter, which the checks need.
            cells.append(mark(cell, locked=True))
        else:
            cells.append(cell)
        if len(cells) == 1:
            cells.append(mark(how, locked=True))
    notebook.cells = cells
    return notebook


def filled_in(
    cell: nbformat.NotebookNode, exercise: exercises.Exercise
) -> list[nbformat.NotebookNode]:
    """Return the cell to fill in, with the solution, and the cell of its check, with the points."""
    cell.source = exercise.solved
    check = nbformat.v4.new_code_cell(
        f"verdict = {exercise.check}\nassert verdict, verdict\nprint(verdict)",
        id=check_id(exercise),
    )
    return [mark(cell, solution=True), mark(check, grade=True, locked=True, points=exercise.points)]


def check_id(exercise: exercises.Exercise) -> str:
    """Return the id of the cell that checks an exercise."""
    return f"{exercise.answer}-check"


def mark(
    cell: nbformat.NotebookNode,
    grade: bool = False,
    solution: bool = False,
    locked: bool = False,
    points: float | None = None,
) -> nbformat.NotebookNode:
    """Add nbgrader's metadata to a cell, and return the cell."""
    cell.metadata["nbgrader"] = {
        "schema_version": 3,
        "grade_id": cell.id,
        "grade": grade,
        "solution": solution,
        "locked": locked,
        "task": False,
    }
    if points is not None:
        cell.metadata["nbgrader"]["points"] = points
    return cell


def outside_solutions(cells: Iterable[nbformat.NotebookNode]) -> Iterator[nbformat.NotebookNode]:
    """Yield the cells without the solutions; other text in a cell of a solution stays."""
    inside = False
    for cell in cells:
        rest = cell.source
        if cell.cell_type == "markdown":
            if found := re.search(r"^`{3,}\{solution-start\}", rest, re.MULTILINE):
                inside, rest = True, rest[: found.start()]
                if rest.strip():
                    yield nbformat.NotebookNode({**cell, "source": rest.rstrip()})
            elif found := re.search(r"^(`{3,})\{solution-end\}\n\1", rest, re.MULTILINE):
                inside, rest = False, rest[found.end() :]
                if rest.strip():
                    yield nbformat.NotebookNode({**cell, "source": rest.lstrip()})
            elif not inside:
                yield cell
        elif not inside:
            yield cell


if __name__ == "__main__":
    sys.exit(main())
