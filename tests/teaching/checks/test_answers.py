"""The checks accept right answers, and give each typical mistake its hint.

The law holds for every exercise. `answers/<chapter>.py` holds the answers of a chapter: `RIGHT`
has pairs of an exercise and a function; `WRONG` has triples of an exercise, a function with a
typical mistake, and a part of its hint (of the broken law, where the check gives no hint).
"""

import pkgutil
from collections import Counter
from importlib import import_module

import pytest

from handpose_lib.teaching import checks

CHAPTERS = [module.name for module in pkgutil.iter_modules(checks.__path__)]
ANSWERS = {name: import_module(f"tests.teaching.checks.answers.{name}") for name in CHAPTERS}
RIGHT = [
    pytest.param(name, function, id=f"{chapter}-{name}-{function.__name__}")
    for chapter, answers in ANSWERS.items()
    for name, function in answers.RIGHT
]
WRONG = [
    pytest.param(name, function, hint, id=f"{chapter}-{name}-{hint}")
    for chapter, answers in ANSWERS.items()
    for name, function, hint in answers.WRONG
]

for chapter in CHAPTERS:
    checks.load(chapter)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_exercise_of_the_chapter_has_a_right_answer_and_a_mistake(chapter):
    answers = ANSWERS[chapter]
    assert sorted({name for name, _ in answers.RIGHT}) == checks.names(chapter)
    assert sorted({name for name, _, _ in answers.WRONG}) == checks.names(chapter)


@pytest.mark.parametrize("chapter", ["depth_cameras", "the_hand", "rendering_depth"])
def test_the_first_chapters_accept_loops_as_well_as_tensors(chapter):
    """Readers of these chapters are free to begin with a loop: one right answer of each kind."""
    counts = Counter(name for name, _ in ANSWERS[chapter].RIGHT)
    assert all(counts[name] >= 2 for name in checks.names(chapter))


@pytest.mark.parametrize("name, function", RIGHT)
def test_a_right_answer_passes(name, function):
    for seed in range(12):
        verdict = checks.check(name, function, seed)
        assert verdict, f"seed {seed}: {verdict}"
        assert str(verdict) == f"✔ {name}: right, every law holds."


@pytest.mark.parametrize("name, function, hint", WRONG)
def test_a_typical_mistake_gets_its_hint(name, function, hint):
    for seed in range(5):
        verdict = checks.check(name, function, seed)
        assert not verdict, f"seed {seed}"
        assert hint in (verdict.hint or verdict.law), f"seed {seed}: {verdict}"
        assert "\n" not in str(verdict)
