"""The pages of the book as the tests read them."""

import nbformat

from handpose_lib import paths

BOOK = paths.project() / "book"
PAGES = sorted(
    path
    for pattern in ("*.ipynb", "*.md")
    for path in BOOK.rglob(pattern)
    if not {"records", ".ipynb_checkpoints"} & set(path.relative_to(BOOK).parts)
)


def name(path):
    """Return the path of a page within the book."""
    return path.relative_to(BOOK).as_posix()


def prose(path):
    """Return what a page says, without its code."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
