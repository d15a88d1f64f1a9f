"""Every chapter has self-tests with answers, a question to predict, and an open exercise."""

import re

import nbformat
import pytest

from handpose_lib import paths

BOOK = paths.project() / "book"
CHAPTERS = sorted(
    path
    for part in ("foundations", "papers", "results", "training")
    for path in (BOOK / part).glob("*.ipynb")
    if not path.stem.startswith("train_") and path.stem != "reproduced"
)
CHOICE = re.compile(r"^:::\{dropdown\} ([A-D])\. (.+)\n((?:(?!:::).*\n)+):::$", re.MULTILINE)


def asked(path, kind):
    """The markdown cells of a chapter that hold a box of a kind, by their ids."""
    cells = nbformat.read(path, as_version=4).cells
    box = re.compile(r"^[:`]{3,4}\{admonition\} " + kind)
    return {
        cell.id: cell.source
        for cell in cells
        if cell.cell_type == "markdown" and box.match(cell.source)
    }


def problems(source):
    """What is wrong with a self-test: a question, and choices of which one is right."""
    choices = CHOICE.findall(source)
    question = source.split("\n\n", 1)[1].split(":::{", 1)[0].strip()
    if not question.endswith("?") and "?" not in question:
        yield "it asks nothing"
    if source.count(":::{dropdown}") != len(choices) or not 2 <= len(choices) <= 4:
        yield f"{len(choices)} choices with a text, of {source.count(':::{dropdown}')}"
    if [letter for letter, *_ in choices] != list("ABCD"[: len(choices)]):
        yield "the letters are not in order"
    if sum(text.startswith("**Right.** ") for *_, text in choices) != 1:
        yield "not exactly one choice is right"
    for letter, _, text in choices:
        if not text.startswith(("**Right.** ", "**Wrong.** ")):
            yield f"{letter} does not say whether it is right"
        if len(text) < 40:
            yield f"{letter} does not say why"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_self_tests_have_one_right_answer_and_explain_every_choice(path):
    tests = asked(path, "Self-test: ")
    assert 2 <= len(tests) <= 5
    for cell, source in tests.items():
        assert not list(problems(source)), cell


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_asks_for_a_prediction_and_ends_with_an_open_exercise(path):
    assert asked(path, "Predict first")
    (cell,) = asked(path, "Open exercise: ")
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert ids.index(cell) == ids.index("key-points") - 1


def test_the_right_answer_is_not_always_the_same_letter():
    right = [
        letter
        for path in CHAPTERS
        for source in asked(path, "Self-test: ").values()
        for letter, _, text in CHOICE.findall(source)
        if text.startswith("**Right.**")
    ]
    share = {letter: right.count(letter) / len(right) for letter in "ABC"}
    assert min(share.values()) > 0.1 and max(share.values()) < 0.7, share


QUESTION = """::::{admonition} Self-test: a sum
:class: self-test

What is 1 + 1?

:::{dropdown} A. 1
**Wrong.** One and one more are more than one.
:::
:::{dropdown} B. 2
**Right.** One and one more are two, by definition.
:::
::::"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("**Wrong.**", "**Right.**", "exactly one"),
        ("**Wrong.** ", "", "whether"),
        ("One and one more are more than one.", "No.", "why"),
        ("} B. 2", "} C. 2", "order"),
        ("What is 1 + 1?", "1 + 1.", "asks"),
    ],
)
def test_a_bad_self_test_is_found(old, new, said):
    assert not list(problems(QUESTION))
    assert any(said in problem for problem in problems(QUESTION.replace(old, new)))
