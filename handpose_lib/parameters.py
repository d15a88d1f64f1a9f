"""Checks of what a reader sets: the parameters of notebooks and of training runs.

    ACCEPTED = {
        "epochs": Whole(1, none="as the recipe says"),
        "unit_mm": Number(0.001, 1000),
        "profile": Choice(("smoke", "laptop")),
        "image": Place("file", none="the frames of the book"),
    }
    given = parameters.of_notebook(globals(), ACCEPTED)    # in the cell after the parameters
    given = parameters.check({"epochs": "3"}, {...})       # {"epochs": 3}

Each kind of parameter accepts every notation that means the same (`3`, `3.0` and `"3"` are one
whole number, `~` and quotes around a path are resolved) and returns the value in one form. All
that is wrong is reported at once, in one line per parameter: its name, what was given, what is
accepted, and what to do.
"""

import ast
import difflib
import math
import numbers
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from handpose_lib.errors import HandPoseError

INJECTED = "# Parameters"
"""The first line of the cell in which papermill sets the parameters of a command."""
SHOWN = 60
"""Given values are shown up to this number of characters."""
LEAVE_OUT = "leave the parameter out to keep what the notebook says"


class Refused(Exception):
    """A value that a kind of parameter does not accept; its text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a parameter accepts. `none` says what None means; without it None is refused."""

    none: str | None = None

    def accepts(self) -> str:
        """Return the accepted values in words, without None."""
        raise NotImplementedError

    def convert(self, value: Any) -> Any:
        """Return a given value in the one form of this kind. Errors: `Refused`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Number(Kind):
    """A finite number from `low` to `high`, as `float`; None: no limit. `unit` is for messages."""

    low: float | None = None
    high: float | None = None
    unit: str = ""

    def accepts(self) -> str:
        unit = f" in {self.unit}" if self.unit else ""
        return f"a number{_range(self.low, self.high)}{unit}"

    def convert(self, value: Any) -> float:
        number = _number(value, self.unit)
        _within(number, self.low, self.high)
        return number


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number from `low` to `high`, as `int`; None: no limit."""

    low: int | None = None
    high: int | None = None

    def accepts(self) -> str:
        return f"a whole number{_range(self.low, self.high)}"

    def convert(self, value: Any) -> int:
        if isinstance(value, str) and (digits := re.fullmatch(r"[+-]?\d{1,40}", _bare(value))):
            number = int(digits[0])  # a float would round the largest ones
        elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
            number = int(value)
        else:
            number = _number(value, whole=True)
            if not number.is_integer():
                raise Refused(f"write {math.floor(number)} or {math.ceil(number)}")
            number = int(number)
        _within(number, self.low, self.high)
        return number


@dataclass(frozen=True)
class Numbers(Kind):
    """As many finite numbers as `names` has, each from `low` to `high`, as a tuple of `float`.

    A text is split at commas, semicolons and blanks: `"320 240"`.
    """

    names: tuple[str, ...]
    low: float | None = None
    high: float | None = None

    def accepts(self) -> str:
        return f"{len(self.names)} numbers ({', '.join(self.names)}){_range(self.low, self.high)}"

    def convert(self, value: Any) -> tuple[float, ...]:
        if isinstance(value, str):
            value = re.split(r"[\s,;]+", _bare(value).strip("()[] "))
        if not isinstance(value, Sequence) or len(value) != len(self.names):
            many = f"{len(value)} were given" if isinstance(value, Sequence) else "one was given"
            raise Refused(f"write {len(self.names)} numbers: {many}")
        found = tuple(_number(one) for one in value)
        for number in found:
            _within(number, self.low, self.high)
        return found


@dataclass(frozen=True)
class Flag(Kind):
    """True or False, as `bool`."""

    def accepts(self) -> str:
        return "True or False"

    def convert(self, value: Any) -> bool:
        text = _bare(value).lower() if isinstance(value, str) else str(value).lower()
        if isinstance(value, bool | str) and text in ("true", "false"):
            return text == "true"
        raise Refused(LEAVE_OUT if text == "" else "write True or False")


@dataclass(frozen=True)
class Choice(Kind):
    """One of `values`. Capitals do not count, nor does whether a number is given as text."""

    values: tuple[Any, ...]

    def accepts(self) -> str:
        return ("one of " if len(self.values) > 1 else "") + ", ".join(map(str, self.values))

    def convert(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Refused("write one of them")
        text = _plain(value)
        known = {_plain(one): one for one in self.values}
        if text in known:
            return known[text]
        if text == "":
            raise Refused(LEAVE_OUT)
        close = difflib.get_close_matches(text, known, n=1)
        raise Refused(f"did you mean {known[close[0]]}?" if close else "write one of them")


@dataclass(frozen=True)
class Text(Kind):
    """A text that is not empty. `what` says what it is, for messages."""

    what: str = "a text"

    def accepts(self) -> str:
        return self.what

    def convert(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Refused("write it between quotes")
        if not _bare(value):
            raise Refused(LEAVE_OUT)
        return _bare(value)


@dataclass(frozen=True)
class Place(Kind):
    """A path, as `Path`: of a file, a folder, either of them, or of a folder that may be new.

    Quotes around it, `~` and variables such as `$HOME` are resolved. A relative path starts at
    the folder of the notebook, or else at the folder in which the command was given. With
    `empty_is_none` an empty text stands for None.
    """

    kind: Literal["file", "folder", "file or folder", "new folder"] = "file"
    empty_is_none: bool = False

    def accepts(self) -> str:
        return {
            "file": "the path of a file",
            "folder": "the path of a folder",
            "file or folder": "the path of a file or of a folder",
            "new folder": "the path of a folder, which is made if it does not exist",
        }[self.kind]

    def convert(self, value: Any) -> Path | None:
        if not isinstance(value, str | os.PathLike):
            raise Refused("write a path between quotes")
        text = _bare(os.fspath(value))
        if not text:
            if self.empty_is_none:
                return None
            raise Refused(LEAVE_OUT)
        if not isinstance(text, str) or "\0" in text:
            raise Refused("write a path as text")
        path = Path(os.path.expandvars(text)).expanduser()
        places = [path.absolute()]
        if not path.is_absolute() and (started := os.environ.get("PWD")):
            places += [Path(started, path)] if Path(started) != Path.cwd() else []
        found = next((place for place in places if _exists(place)), None)
        if found is None and self.kind == "new folder":
            return places[0]
        if found is None:
            raise Refused(f"check the path: there is nothing at {' or '.join(map(str, places))}")
        if self.kind == "file" and found.is_dir():
            raise Refused(f"{found} is a folder: add the name of the file")
        if self.kind in ("folder", "new folder") and not found.is_dir():
            raise Refused(f"{found} is a file: give the folder that holds it")
        return found


def check(given: Mapping[str, Any], accepted: Mapping[str, Kind]) -> dict[str, Any]:
    """Return the value of every parameter of `accepted` in the form of its kind.

    `given`: name → value. A name may have the values of several parameters, as a namespace has.
    Errors: `HandPoseError` with one line for every parameter that is missing or refused.
    """
    found, wrong = _checked(given, accepted)
    if wrong:
        raise HandPoseError("\n".join(wrong))
    return found


def of_notebook(namespace: Mapping[str, Any], accepted: Mapping[str, Kind]) -> dict[str, Any]:
    """Return the checked parameters of a notebook, as `check` does, and refuse unknown names.

    `namespace`: the `globals()` of the notebook. The cells that were executed, which Jupyter keeps
    in it, tell the names that were set: those in the cell of the parameters, and those that
    papermill was given.
    Errors: `HandPoseError` with one line for every parameter that is unknown, missing or refused.
    """
    unknown = [name for name in _set_names(namespace, accepted) if name not in accepted]
    found, wrong = _checked(namespace, accepted)
    wrong = [*(unknown_name(name, accepted) for name in unknown), *wrong]
    if wrong:
        raise HandPoseError("\n".join(wrong))
    return found


def unknown_name(name: str, accepted: Iterable[str]) -> str:
    """Return the line that refuses the name of a parameter."""
    close = difflib.get_close_matches(name, list(accepted), n=1)
    advice = f"did you mean {close[0]}?" if close else "leave it out"
    return (
        f"parameter {name}: there is none of this name; accepted are {', '.join(accepted)}:"
        f" {advice}"
    )


# --- values ---------------------------------------------------------------------


def _checked(
    given: Mapping[str, Any], accepted: Mapping[str, Kind]
) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters in the form of their kinds, and a line for each that is wrong."""
    found, wrong = {}, []
    for name, kind in accepted.items():
        allowed = kind.accepts() + (f", or None ({kind.none})" if kind.none else "")
        if name not in given:
            wrong.append(
                f"parameter {name} is missing; accepted is {allowed}: set it in the cell of the"
                " parameters"
            )
            continue
        try:
            found[name] = _converted(given[name], kind)
        except Refused as refused:
            wrong.append(
                f"parameter {name}: given {_shown(given[name])}; accepted is {allowed}: {refused}"
            )
    return found, wrong


def _converted(value: Any, kind: Kind) -> Any:
    """Return the value, or None where it stands for that. Errors: `Refused`."""
    if kind.none is not None and isinstance(value, str) and _bare(value).lower() == "none":
        return None
    if value is None and kind.none is None:
        raise Refused(LEAVE_OUT)
    return None if value is None else kind.convert(value)


def _number(value: Any, unit: str = "", whole: bool = False) -> float:
    """Return a finite number. Errors: `Refused`, with the most likely reason."""
    if isinstance(value, bool) or not isinstance(value, str | numbers.Real):
        raise Refused("write one number")
    text = _bare(value) if isinstance(value, str) else ""
    try:
        number = float(text if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        if re.fullmatch(r"[+-]?\d*,\d+", text):
            point = f"write {text.replace(',', '.')}, with a decimal point"
            advice = "write digits alone" if whole else point
        elif re.fullmatch(r"[+-]?[\d.]+\s*[a-zA-Zµ%]+", text):
            advice = "write the number without a unit" + (f": it is in {unit}" if unit else "")
        else:
            advice = LEAVE_OUT if isinstance(value, str) and not text else "write a number"
        raise Refused(advice) from None
    if not math.isfinite(number):
        raise Refused("write a finite number")
    return number


def _within(number: float, low: float | None, high: float | None) -> None:
    if low is not None and number < low:
        raise Refused(f"write at least {low}")
    if high is not None and number > high:
        raise Refused(f"write at most {high}")


def _plain(value: str | float) -> str:
    """Return what a value of a choice is compared by."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _bare(str(value)).lower().replace("-", "_").replace(" ", "_")


def _bare(text: str) -> str:
    """Return a text without blanks and one pair of quotes around it."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].strip()
    return text


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # a name that is too long, for example
        return False


# --- messages -------------------------------------------------------------------


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if high is None else f" of at most {high}"


def _shown(value: Any) -> str:
    """Return a given value in one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


# --- names ----------------------------------------------------------------------


def _set_names(namespace: Mapping[str, Any], accepted: Mapping[str, Kind]) -> list[str]:
    """Return the names that the cell of the parameters and papermill's cell set."""
    cells = namespace.get("In")  # the executed cells, in Jupyter only
    names: dict[str, set[str]] = {}
    for source in cells if isinstance(cells, list) else ():
        assigned = _assigned(source)
        if source.startswith(INJECTED):
            names["injected"] = assigned
        elif assigned >= set(accepted):
            names["parameters"] = assigned  # a cell that is executed again counts
    return sorted(set().union(*names.values()))


def _assigned(source: str) -> set[str]:
    """Return the names that a cell assigns at its top level."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return set()
    return {
        node.id
        for statement in statements
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
