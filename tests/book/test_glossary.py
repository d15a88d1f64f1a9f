"""The glossary defines every term that a page links, once, and in alphabetical order."""

import re

import nbformat
import pytest

from handpose_lib import paths

BOOK = paths.project() / "book"
PAGES = sorted(
    path
    for pattern in ("*.ipynb", "*.md")
    for path in BOOK.rglob(pattern)
    if not {"records", ".ipynb_checkpoints"} & set(path.relative_to(BOOK).parts)
)
LINK = re.compile(r"\{term\}`(?:[^`<>]*<([^>`]+)>|([^`<>]+))`")


def prose(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def linked(text):
    """Return the terms that a text links, in lower case, each once."""
    return {(first or second).strip().lower() for first, second in LINK.findall(text)}


def defined():
    """Return the terms of the glossary, in lower case and in their order."""
    body = re.search(r"```\{glossary\}\n(.*?)```", prose(BOOK / "notation.ipynb"), re.DOTALL)
    assert body
    return re.findall(r"^(\S.*)$", body[1].lower(), re.MULTILINE)


def test_terms_are_in_order_and_each_is_defined_once():
    terms = defined()
    assert terms and terms == sorted(set(terms))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(BOOK).as_posix())
def test_linked_terms_are_defined(path):
    missing = linked(prose(path)) - set(defined())
    assert not missing, f"not in the glossary of book/notation.ipynb: {sorted(missing)}"


def test_both_forms_of_a_link_are_read():
    assert linked("{term}`Stacks <stack>` and {term}`heat map`") == {"stack", "heat map"}
