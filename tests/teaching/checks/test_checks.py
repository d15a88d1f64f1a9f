"""The framework of the checks: fresh inputs, verdicts in one line, and names taken once."""

import pkgutil
from importlib import import_module

import pytest
import torch

from handpose_lib import errors
from handpose_lib.teaching import checks
from tests.teaching.checks.answers.depth_cameras import back_project_vectorised
from tests.teaching.checks.answers.rendering_depth import nearest_looped, nearest_vectorised
from tests.teaching.checks.answers.the_hand import bone_lengths_vectorised


def test_inputs_are_fresh_each_time_and_repeat_with_a_seed():
    seen = []

    def spy(depth, *given):
        seen.append(depth.clone())
        return depth

    verdict = checks.check("back_project", spy)
    checks.check("back_project", spy)
    checks.check("back_project", spy, verdict.seed)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_checking_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    checks.check("bone_lengths", bone_lengths_vectorised)
    assert torch.equal(before, torch.get_rng_state())


def test_an_exception_of_the_reader_becomes_a_verdict_in_one_line():
    def broken(depth, *given):
        raise RuntimeError("first line\nsecond line")

    verdict = checks.check("back_project", broken)
    assert "RuntimeError: first line" in verdict.law and "second" not in str(verdict)
    assert "(7, 11)" in verdict.hint


def test_require_passes_the_right_and_raises_on_the_wrong():
    assert checks.require("nearest", nearest_vectorised)
    with pytest.raises(AssertionError, match=r"not very near.*seed \d+"):
        checks.require("nearest", torch.minimum)


def test_the_text_on_the_page_is_the_line_itself():
    assert repr(checks.check("nearest", nearest_looped)) == "✔ nearest: right, every law holds."


def test_an_unknown_exercise_names_the_known_ones():
    with pytest.raises(errors.HandPoseError, match="unknown exercise 'back_projekt'.*back_project"):
        checks.check("back_projekt", back_project_vectorised)


def test_a_name_is_taken_once():
    with pytest.raises(
        errors.HandPoseError, match="already taken by the chapter 'rendering_depth'"
    ):
        checks.exercise("nearest", chapter="elsewhere")(lambda student, generator: None)


@pytest.mark.parametrize("thing", [3, None, torch.zeros(2)])
def test_handing_in_something_that_is_no_function(thing):
    assert "not a function" in checks.check("nearest", thing).law


@pytest.mark.parametrize(
    "chapter", [module.name for module in pkgutil.iter_modules(checks.__path__)]
)
def test_a_chapter_s_module_offers_the_two_calls(chapter):
    module = import_module(f"{checks.__name__}.{chapter}")
    assert module.check is checks.check and module.require is checks.require
