"""Every chapter, as a file, is complete, without outputs, in the table of contents, and uses its
imports.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from handpose_lib.io import provenance
from handpose_lib.teaching import contents

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(
    path
    for path in (PROJECT / "book").rglob("*.ipynb")
    if not {"records", ".ipynb_checkpoints"} & set(path.parts)
)
CHAPTERS = [
    path
    for path in NOTEBOOKS
    if not path.stem.startswith("train_")
    and path.parent.name != "teaching"
    and path.stem not in ("reproduced", "notation", "costs")  # pages to look things up
]
DRAWS = re.compile(r"\bplt\.(subplots|figure|show|imshow|plot)\(")


def name(path):
    return path.relative_to(PROJECT).as_posix()


def read(path):
    return nbformat.read(path, as_version=4)


def cells(path, kind):
    return [cell for cell in read(path).cells if cell.cell_type == kind]


def prose(path):
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def test_toc_lists_every_page_once_and_nothing_else():
    pages = [*NOTEBOOKS, *(PROJECT / "book").glob("**/*.md")]
    there = sorted(name(path.with_suffix("")) for path in pages if "records" not in path.parts)
    assert sorted(contents.pages()) == there


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebook_is_valid_and_carries_no_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None, (
            f"cell {cell.id!r} has outputs: run nbstripout"
        )
        assert "papermill" not in cell.metadata, (
            f"cell {cell.id!r} is marked by papermill: this is an executed copy"
        )
    assert "papermill" not in notebook.metadata and "widgets" not in notebook.metadata


def test_nbstripout_agrees():
    stripped = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", "--keep-id", *map(str, NOTEBOOKS)],
        capture_output=True,
        text=True,
    )
    assert stripped.returncode == 0, stripped.stdout + stripped.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_cell_ids_are_unique_and_readable(path):
    ids = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert len(set(ids)) == len(ids)
    for cell_id in ids:
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", cell_id) and not re.fullmatch(
            r"[0-9a-f]{8}", cell_id
        ), (
            f"cell id {cell_id!r}: words joined by dashes stay the same when a notebook is edited,"
            " random ones do not"
        )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_kernel_and_language_are_plain_python(path):
    metadata = read(path).metadata
    assert metadata.kernelspec.name == "python3" and metadata.kernelspec.display_name == "Python 3"
    assert metadata.language_info.name == "python"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_imports_are_used(path):
    """An unused import would tie the chapter to a module whose changes do not concern it."""
    tree = provenance.parse(path)
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported <= used, f"never used: {sorted(imported - used)}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_no_path_of_a_machine(path):
    found = re.findall(
        r"(?<![\w.:/])/(?:home|Users|work|tmp|root|mnt|data)/\w+|[A-Z]:\\\\\w+",
        path.read_text(encoding="utf-8"),
    )
    assert not found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_one_title(path):
    titles = re.findall(
        r"^# .+", re.sub(r"```.*?```", "", prose(path), flags=re.DOTALL), re.MULTILINE
    )
    assert len(titles) == 1 and read(path).cells[0].source.startswith("# ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_figures_have_alt_text(path):
    for cell in cells(path, "code"):
        if DRAWS.search(cell.source) and "alt=" not in cell.source:
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) >= 20, (
                f'cell {cell.id!r} draws a figure: give its metadata {{"mystnb": {{"image":'
                ' {"alt": "…"}}}'
            )


@pytest.mark.parametrize("path", CHAPTERS, ids=name)
def test_chapter_says_what_one_learns_and_how_long_it_takes(path):
    text = prose(path)
    assert "You will learn" in text and "Key points" in text
    assert re.search(r"\b\d+ minutes", text)


@pytest.mark.parametrize("path", CHAPTERS, ids=name)
def test_chapter_says_what_comes_before_it(path):
    """Right after the minutes, where a reader decides whether to start here."""
    after = re.split(r"\d+ minutes[^.]*\.", prose(path), maxsplit=1)[1].lstrip()
    before = re.match(r"It needs no chapter before it|\[[^]]+\]\((\S+\.ipynb)\)", after)
    assert before, f"after the minutes: {after[:60]!r}"
    assert before[1] is None or (path.parent / before[1]).resolve() in {
        other.resolve() for other in CHAPTERS
    }


@pytest.mark.parametrize("path", CHAPTERS, ids=name)
def test_chapter_has_two_exercises_and_each_a_folded_solution(path):
    text = prose(path)
    exercises = re.findall(r"\{exercise(?:-start)?\}.*?\n:label: (\S+)", text, re.DOTALL)
    solutions = re.findall(r"\{solution(?:-start)?\} (\S+)\n((?::.*\n)*)", text)
    assert len(exercises) >= 2 and len(set(exercises)) == len(exercises)
    assert sorted(exercises) == sorted(label for label, _ in solutions)
    for label, options in solutions:
        assert "dropdown" in options, f"the solution of {label} stands open"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_citations_are_in_the_bibliography(path):
    known = set(
        re.findall(
            r"@\w+\{([^,]+),", (PROJECT / "book" / "references.bib").read_text(encoding="utf-8")
        )
    )
    cited = {
        key.strip()
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", prose(path))
        for key in keys.split(",")
    }
    assert cited <= known, f"not in references.bib: {sorted(cited - known)}"
