"""Slides show what a page shows, in plain Markdown, and load nothing from a network."""

import re

import nbformat
import pytest

from handpose_lib import papers, paths
from pipeline.site import slides


def deck(name):
    return slides.deck(nbformat.read(paths.project() / f"book/papers/{name}.ipynb", as_version=4))


@pytest.mark.parametrize("name", papers.names())
def test_a_deck_has_no_markup_of_the_site_and_no_solution(name):
    made = deck(name)
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert not re.search(
        r"\{(?:term|cite|exercise|admonition|dropdown|solution)|:::|^```", text, re.M
    )
    assert "checks.require" not in "\n".join(cell.source for cell in made.cells)
    assert "Self-test: " in text and "**Right.**" not in "\n".join(
        cell.source
        for cell in made.cells
        if cell.metadata.slideshow.slide_type != "notes" and cell.cell_type == "markdown"
    )


@pytest.mark.parametrize("name", papers.names())
def test_every_section_begins_a_slide(name):
    for cell in deck(name).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            assert cell.metadata.slideshow.slide_type == "slide", cell.source


def test_texts_become_plain():
    text, notes = slides.plain(
        "A {term}`map <heat map>` and a {term}`cube` {cite}`a,b`, see [there](../x.ipynb).\n\n"
        "::::{admonition} Self-test: one\n:class: self-test\n\nHow many?\n\n"
        ":::{dropdown} A. Two\n**Wrong.** One is not two.\n:::\n::::"
    )
    assert "A map and a cube , see there." in text and "**Self-test: one**" in text
    assert "* A. Two" in text and "One is not two" not in text
    assert notes == "A. Two: **Wrong.** One is not two."


def test_what_does_not_fit_goes_onto_the_next_slide():
    cells = [nbformat.v4.new_markdown_cell("## Head")]
    cells += [nbformat.v4.new_markdown_cell("\n\n".join(["word " * 30] * 4)) for _ in range(4)]
    kinds = [
        cell.metadata.slideshow.slide_type
        for cell in slides.deck(nbformat.v4.new_notebook(cells=cells)).cells
    ]
    assert kinds[0] == "slide" and "subslide" in kinds and "-" in kinds


def test_a_deck_names_no_host():
    html = slides.html(
        slides.deck(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A")]))
    )
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']([^\"']+)", html)
    assert loaded and not [address for address in loaded if "://" in address]
