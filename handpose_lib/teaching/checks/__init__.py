"""Automatic checks of exercises: whether a function is right, and if not, which law it breaks.

A chapter asks for a function, and the reader submits it under the name of the exercise:

>>> from handpose_lib.teaching.checks import depth_cameras as checks
>>> checks.check("back_project", back_project)         # doctest: +SKIP
✘ back_project: a pixel does not come back when its point is projected. Hint: u counts columns ...

`check` does not raise for wrong answers: it returns a `Verdict`, which is one line of text and is
true or false. `require` raises an AssertionError with that line; it is for solutions, which must
fail the build of the book when they are wrong. `progress()` shows which exercises a reader has
solved.

How to write a check
--------------------
Each chapter has one module here, which registers its exercises and exports `check` and `require`;
because chapters import their own module, the build knows which of them a change affects. A check is
a function of the reader's function and of a seeded random generator; it tests laws on fresh inputs:

    from handpose_lib.teaching.checks import Student, check, equal, exercise, require, uniform

    @exercise("double", chapter="depth_cameras")
    def double(student: Student, generator: torch.Generator) -> None:
        x = uniform(generator, (5, 3), -1, 1)
        equal(student(x), 2 * x, "double(x) is not x + x",
              mistakes={"that is the square: multiply by two": x ** 2})

`student` calls the reader's function and reports if it raises, returns nothing, or changes its
inputs. `holds`, `shaped` and `equal` state laws; `mistakes` maps a hint to the value that a typical
mistake gives, so that the hint appears exactly when it applies.
"""

from __future__ import annotations

import pkgutil
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from handpose_lib import errors, paths
from handpose_lib.io import storage

__all__ = [
    "Broken",
    "Progress",
    "Student",
    "Verdict",
    "check",
    "equal",
    "exercise",
    "holds",
    "load",
    "names",
    "normal",
    "progress",
    "require",
    "shaped",
    "uniform",
]


Student = Callable[..., Any]
"""The reader's function, as a check calls it."""


@dataclass(frozen=True)
class Verdict:
    """The result of one check, shown as one line; true if every law holds."""

    name: str
    law: str = ""  # the broken law; empty when all hold
    hint: str = ""
    seed: int = 0  # check(name, function, seed=…) repeats exactly these inputs

    @property
    def right(self) -> bool:
        """Whether every law holds."""
        return not self.law

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        if self.right:
            return f"✔ {self.name}: right, every law holds."
        line = f"✘ {self.name}: {self.law.rstrip('.')}."
        return f"{line} Hint: {self.hint.rstrip('.')}." if self.hint else line

    __repr__ = __str__


class Broken(Exception):
    """Raised if a law does not hold; carries the law and a hint."""

    def __init__(self, law: str, hint: str = ""):
        super().__init__(law)
        self.law, self.hint = law, hint


def check(name: str, function: Callable, seed: int | None = None) -> Verdict:
    """Test `function` against the laws of the exercise `name` on fresh random inputs.

    Errors: `HandPoseError` for an unknown exercise.
    """
    test = _REGISTRY[errors.one_of("exercise", name, sorted(_REGISTRY))].test
    seed = secrets.randbelow(2**31) if seed is None else seed
    try:
        holds(
            callable(function),
            "what was handed in is not a function",
            "pass the function itself, without calling it",
        )
        test(_Student(function), torch.Generator().manual_seed(seed))
    except Broken as broken:
        return Verdict(name, broken.law, broken.hint, seed)
    if _in_a_notebook():
        _remember(name)
    return Verdict(name, seed=seed)


def require(name: str, function: Callable, seed: int | None = None) -> Verdict:
    """Like `check`, but a broken law raises an AssertionError."""
    verdict = check(name, function, seed)
    if not verdict:
        raise AssertionError(f"{verdict} (seed {verdict.seed})")
    return verdict


def names(chapter: str | None = None) -> list[str]:
    """Return the exercises that have a check, of all chapters imported so far or of one."""
    return sorted(name for name, entry in _REGISTRY.items() if chapter in (None, entry.chapter))


@dataclass(frozen=True)
class Progress:
    """Chapter -> exercise -> whether it has been solved; shown with a line for each chapter."""

    chapters: Mapping[str, Mapping[str, bool]]

    def __str__(self) -> str:
        if not self.chapters:
            return "No exercises."
        wide = max(map(len, self.chapters))
        lines = [
            f"{chapter:{wide}}  {sum(solved.values())} of {len(solved)}   "
            + "  ".join(f"{'✔' if done else '·'} {name}" for name, done in solved.items())
            for chapter, solved in self.chapters.items()
        ]
        total = [done for solved in self.chapters.values() for done in solved.values()]
        return "\n".join([*lines, f"{'together':{wide}}  {sum(total)} of {len(total)}"])

    __repr__ = __str__


def progress(chapter: str | None = None) -> Progress:
    """Return which exercises have been solved, in all chapters or in one.

    When `check` accepts an answer in a notebook, it records the exercise in `progress.json` of the
    data folder. `require` records nothing, so that executing the book's solutions solves nothing.
    """
    known = [module.name for module in pkgutil.iter_modules(__path__)]
    if chapter is not None:
        known = [errors.one_of("chapter", chapter, known)]
    for name in known:
        load(name)
    solved = _solved()
    return Progress({name: {one: one in solved for one in names(name)} for name in known})


def load(chapter: str) -> None:
    """Register the exercises of a chapter by importing its module."""
    # Not by importlib: `provenance` would then assume that every chapter needs every module here.
    __import__(f"{__name__}.{chapter}")


# --- for the authors of checks --------------------------------------------------


def exercise(name: str, chapter: str) -> Callable[[Callable], Callable]:
    """Decorator: register `test(student, generator)` as the check of the exercise `name`."""

    def register(test: Callable) -> Callable:
        known = _REGISTRY.get(name)
        if known is not None and known.test.__module__ != test.__module__:
            raise errors.HandPoseError(
                f"the exercise {name!r} is already taken by the chapter {known.chapter!r}"
            )
        _REGISTRY[name] = _Exercise(test, chapter)
        return test

    return register


def holds(condition: object, law: str, hint: str = "") -> None:
    """State a law: a false `condition` ends the check."""
    if not bool(condition):
        raise Broken(law, hint)


def shaped(value: Any, shape: tuple[int, ...], what: str = "the result", hint: str = "") -> None:
    """State the law that the value is a tensor of this shape with finite entries."""
    holds(
        isinstance(value, torch.Tensor),
        f"{what} is a {type(value).__name__}, not a tensor",
        "compute with PyTorch's functions; torch.from_numpy turns a NumPy array into a tensor"
        if type(value).__module__ == "numpy"
        else hint,
    )
    holds(
        tuple(value.shape) == tuple(shape),
        f"{what} has shape {tuple(value.shape)} instead of {tuple(shape)}",
        hint,
    )
    holds(
        torch.isfinite(value).all(),
        f"{what} has entries that are not finite",
        hint or "look for a division by zero",
    )


def equal(
    value: Any,
    expected: torch.Tensor,
    law: str,
    hint: str = "",
    mistakes: Mapping[str, torch.Tensor] | None = None,
    atol: float = 1e-4,
    rtol: float = 1e-5,
) -> None:
    """State the law that the value equals `expected`.

    `mistakes` maps a hint to the tensor that a typical mistake gives; the first one that equals the
    value decides the hint.
    """
    shaped(value, expected.shape)
    if _close(value, expected, atol, rtol):
        return
    for mistake, wrong in (mistakes or {}).items():
        if tuple(wrong.shape) == tuple(value.shape) and _close(value, wrong, atol, rtol):
            raise Broken(law, mistake)
    raise Broken(law, hint)


def uniform(
    generator: torch.Generator,
    shape: tuple[int, ...],
    low: float,
    high: float,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """Return uniform random numbers in [low, high].

    They are float64 by default, so that tolerances test formulas and not rounding.
    """
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=dtype)


def normal(
    generator: torch.Generator, shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Return standard normal random numbers."""
    return torch.randn(shape, generator=generator, dtype=dtype)


# --- internals ------------------------------------------------------------------


@dataclass(frozen=True)
class _Exercise:
    test: Callable
    chapter: str


_REGISTRY: dict[str, _Exercise] = {}


class _Student:
    """The reader's function; exceptions, missing returns and changed inputs become broken laws."""

    def __init__(self, function: Callable):
        self._function = function

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        given = [*inputs, *named.values()]
        before = [value.clone() if isinstance(value, torch.Tensor) else value for value in given]
        try:
            result = self._function(*inputs, **named)
        except Exception as error:  # the reader's code may raise anything
            shapes = ", ".join(
                str(tuple(value.shape)) for value in given if isinstance(value, torch.Tensor)
            )
            raise Broken(
                f"it raises {type(error).__name__}:"
                f" {str(error).splitlines()[0] if str(error) else 'no message'}",
                f"it was called with tensors of shape {shapes}" if shapes else "",
            ) from error
        holds(result is not None, "it returns nothing", "end the function with a return")
        for value, copy in zip(given, before):
            if isinstance(value, torch.Tensor):
                holds(
                    torch.equal(value, copy),
                    "it changes one of its inputs",
                    "work on a copy, and avoid operations in place such as x += 1",
                )
        return result


def _in_a_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _notes() -> Path:
    return paths.personal() / "progress.json"


def _solved() -> set[str]:
    try:
        return set(storage.read_json(_notes())["solved"])
    except (errors.DataError, KeyError, TypeError):  # nothing recorded yet, or another file
        return set()


def _remember(name: str) -> None:
    solved = _solved()
    if name not in solved:
        try:
            storage.write_json(_notes(), {"solved": sorted(solved | {name})})
        except OSError:  # without write access, only the progress is lost
            pass


def _close(value: torch.Tensor, expected: torch.Tensor, atol: float, rtol: float) -> bool:
    expected = expected.to(value.device)
    if value.dtype.is_floating_point or expected.dtype.is_floating_point:
        if value.dtype in (torch.float16, torch.bfloat16, torch.float32):
            # Computed in single precision or less: allow its rounding.
            rtol = max(rtol, 1e-4)
            atol = max(atol, 1e-4 * float(expected.abs().max()) if expected.numel() else atol)
        return torch.allclose(value.double(), expected.double(), atol=atol, rtol=rtol)
    return torch.equal(value.long(), expected.long())
