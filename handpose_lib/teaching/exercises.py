"""The exercises of the book, read from its chapters: what is asked, the cell to fill in, the
solution.

A chapter writes an exercise once, and everything else is made from that: the folded solution on the
page, the student version without it, the grading, the table for instructors. In a chapter stand

    a markdown cell   ```{exercise} Title            with :label: and the text
    a code cell       def name(…): ...               then checks.check("name", name)
    a markdown cell   ```{solution-start} label
    code cells        the solution, then checks.require("name", name)
    a markdown cell   ```{solution-end}

An exercise without the code cell is a question, to be answered in words. Worth one point if it has
a check and none if it is a question, unless the first cell's metadata say {"points": …}.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from handpose_lib import errors, paths
from handpose_lib.errors import DataError
from handpose_lib.teaching import contents

__all__ = ["Chapter", "Exercise", "chapter", "chapters", "parse"]

READING = 5  # minutes for the text of an exercise, and
LINE = 2  # minutes for each line of its solution: a rule of thumb, shown as such to instructors


@dataclass(frozen=True)
class Exercise:
    """One exercise; `name` is that of the function and of its check, empty for a question."""

    label: str
    title: str
    section: str  # the heading under which it stands
    cell: str  # id of the markdown cell that asks
    points: float
    name: str = ""
    answer: str = ""  # id of the code cell to fill in
    stub: str = ""  # its code, up to the check
    check: str = ""  # the call of the check
    solution: str = ""  # the code of the solution, without what checks it

    @property
    def lines(self) -> int:
        """Lines of code that the solution takes, the signature of the function apart."""
        code = _body(self) if self.name else self.solution
        return sum(
            bool(line.strip()) and not line.lstrip().startswith("#") for line in code.splitlines()
        )

    @property
    def minutes(self) -> int:
        """An estimate, from the length of the solution."""
        return READING + LINE * self.lines

    @property
    def solved(self) -> str:
        """The cell to fill in, filled in: between nbgrader's solution marks, which `ClearSolutions`
        empties.
        """
        marked = f"### BEGIN SOLUTION\n{_body(self)}\n### END SOLUTION"
        place = next(line for line in self.stub.splitlines() if line.strip() == "...")
        return self.stub.replace(place, textwrap.indent(marked, place[: -len("...")]))


@dataclass(frozen=True)
class Chapter:
    """A chapter with exercises, under its name in the table of contents."""

    name: str  # such as book/foundations/depth_cameras
    part: str  # the part of the book
    title: str
    minutes: int  # to read it, as it says itself; 0 if it does not say
    exercises: tuple[Exercise, ...]
    notebook: dict  # as read

    @property
    def assignment(self) -> str:
        """The last word of the name: that of the assignment, and of its file."""
        return self.name.rsplit("/", 1)[-1]


def chapters() -> list[str]:
    """Return the chapters that have exercises, by their names in the table of contents.

    Errors: `DataError` if a page of the table of contents is missing.
    """
    return [
        page
        for page in contents.pages()
        if (file := _file(page)).suffix == ".ipynb"
        and "```{exercise" in file.read_text(encoding="utf-8")
    ]


def chapter(name: str) -> Chapter:
    """Return a chapter by its name in the table of contents, or by the last part of it.

    Errors: a name that is not in the table of contents, or a chapter whose exercises are not as
    the head of this module says.
    """
    pages = {page: page for page in chapters()} | {
        page.rsplit("/", 1)[-1]: page for page in chapters()
    }
    page = pages[errors.one_of("chapter with exercises", name.removesuffix(".ipynb"), list(pages))]
    return parse(json.loads(_file(page).read_text(encoding="utf-8")), page, contents.pages()[page])


def parse(notebook: dict, name: str, part: str = "") -> Chapter:
    """Return the exercises of a notebook in nbformat 4."""
    found, section, title, minutes = [], "", "", 0
    asked = answer = None
    solution: list[str] | None = None
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for heading in re.findall(
                r"^#+ .+|^```\{exercise(?:-start)?\}.*\n:label: .+", source, re.MULTILINE
            ):
                if not heading.startswith("#"):
                    asked, answer = _asked(heading, section, cell), None
                elif heading.startswith("# "):
                    title = title or heading[2:].strip()
                else:
                    section = heading.lstrip("# ").strip()
                    section = title if section == "Exercises" else section
            minutes = minutes or int((re.search(r"\b(\d+) minutes", source) or [0, 0])[1])
            if "{solution-start}" in source:
                solution = []
            if "{solution-end}" in source:
                found.append(_exercise(name, asked, answer, solution))
                asked = solution = None
        elif solution is not None:
            solution.append(source)
        elif asked is not None and (call := _call(source, "check")) is not None:
            answer = (cell["id"], source, call)
    return Chapter(name, part, title, minutes, tuple(found), notebook)


# --- internals ------------------------------------------------------------------


def _file(page: str) -> Path:
    """Return the file of a page: a notebook, or else Markdown. Errors: neither is there."""
    text = paths.project() / f"{page}.md"
    return text if text.is_file() else paths.existing(paths.project() / f"{page}.ipynb")


def _asked(text: str, section: str, cell: dict) -> dict:
    found = re.match(r"```\{exercise(?:-start)?\} *(.*)\n:label: *(\S+)", text)
    assert found, "the pattern by which `parse` finds exercises"
    title, label = found.groups()
    metadata = cell.get("metadata", {})
    return {
        "label": label,
        "title": title,
        "section": section,
        "cell": cell["id"],
        "points": metadata.get("points"),
    }


def _exercise(chapter: str, asked: dict | None, answer, solution: list[str] | None) -> Exercise:
    if asked is None or solution is None:
        raise DataError(
            f"{chapter}: a solution ends that belongs to no exercise, or that does not begin"
        )
    points = asked.pop("points")
    if answer is None:
        return Exercise(
            **asked, points=0.0 if points is None else float(points), solution="\n".join(solution)
        )
    cell, source, call = answer
    exercise = Exercise(
        **asked,
        points=1.0 if points is None else float(points),
        name=call.args[0].value,
        answer=cell,
        stub=_before(source, call),
        check=ast.get_source_segment(source, call) or "",
        solution=next(
            (_before(text, required) for text in solution if (required := _call(text, "require"))),
            "",
        ),
    )
    asked_for, given = (
        _functions(exercise.stub).get(exercise.name),
        _functions(exercise.solution).get(exercise.name),
    )
    if asked_for is None or sum(line.strip() == "..." for line in exercise.stub.splitlines()) != 1:
        raise DataError(
            f"{chapter}, cell {cell!r}: it must define {exercise.name!r} with a single line ..."
            " where the answer goes"
        )
    if given is None or ast.dump(given.args) != ast.dump(asked_for.args):
        raise DataError(
            f"{chapter}, exercise {exercise.label!r}: the solution must define {exercise.name!r}"
            " with the arguments that the exercise names"
        )
    return exercise


def _call(source: str, function: str) -> ast.Call | None:
    """Return the statement `checks.check("name", …)`, or `checks.require(…)`, of a cell."""
    if f".{function}(" not in source:
        return None
    for node in ast.parse(_without_magics(source)).body:
        call = node.value if isinstance(node, ast.Expr) else None
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == function
            and call.args
        ):
            return call
    return None


def _before(source: str, call: ast.Call) -> str:
    return "\n".join(source.splitlines()[: call.lineno - 1]).rstrip()


def _functions(source: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def _body(exercise: Exercise) -> str:
    """Return the replacement of `...`: helpers of the solution, then the body of its function."""
    function = _functions(exercise.solution)[exercise.name]
    lines = exercise.solution.splitlines()
    helpers = "\n".join(lines[: function.lineno - 1] + lines[function.end_lineno :]).strip()
    body = textwrap.dedent("\n".join(lines[function.body[0].lineno - 1 : function.end_lineno]))
    return f"{helpers}\n\n{body}" if helpers else body


def _without_magics(source: str) -> str:
    return re.sub(r"^([%!].*)$", r"pass  # \1", source, flags=re.MULTILINE)
