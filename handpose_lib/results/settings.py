"""How the recipes of this book compare with what a paper states and its authors' code does.

    settings.differences("v2v_posenet")     # a row per setting, for the chapter of the paper
    settings.recipe("v2v_posenet")          # only what concerns the training
    settings.missing("v2v_posenet")         # settings of recipes without a row: there are none

What text and code say stands in `book/tables/<paper>.json` under `settings`, each statement with
its place; what this book does is read from the recipes of profiles 'paper' and 'laptop'. A row:

    setting    a field of `papers.method.Recipe`, `augmentation.<keyword>`, or `network.<field>` of
               the method's configuration; null for what is no setting
    name       what the reader sees
    text       what the paper states, with section, equation or table; absent: it is silent
    code       what the authors' code does, with its file; absent: not released, or the same
    why        why this book differs, or chooses as it does
    here       only where `setting` is null: what this book does

A setting that says nothing about a paper, such as the number of threads, is listed under `defaults`
of its file, and needs no row.
"""

import html
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import floor, log10, pi
from typing import Any

from handpose_lib import papers, prepare
from handpose_lib.errors import DataError
from handpose_lib.papers.method import PROFILES, Recipe
from handpose_lib.results import tables

SILENT = "—"
_CODE, _AS_CODE = re.compile("`([^`]+)`"), r"<code>\1</code>"
LEFT_OUT = ("profile", "augmentation", "network")
"""Fields of a recipe that have no row of their own: their entries do."""

_AUGMENTATION = {
    name: parameter.default
    for name, parameter in inspect.signature(prepare.augment).parameters.items()
    if parameter.default is not inspect.Parameter.empty
}
"""Every keyword of the augmentation, and what a recipe without it does."""
_SCHEDULES = {"gamma": ("exponential", "steps"), "every": ("exponential",), "drops": ("steps",)}
"""The schedules for which a setting has a meaning."""


@dataclass(frozen=True)
class Listing:
    """A table of texts, which notebooks show as one."""

    title: str
    head: tuple[str, ...]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Return the table in Markdown, with its title above."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(
            [f"**{self.title}**", "", *("| " + " | ".join(line) + " |" for line in lines), ""]
        )

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        def cells(texts: Iterable[str]) -> str:
            # A phone shows each row as a card, with the head of the column before each text.
            return "".join(
                f"<td data-column='{html.escape(name)}'>"
                f"{_CODE.sub(_AS_CODE, html.escape(text))}</td>"
                for name, text in zip(self.head[1:], texts, strict=True)
            )

        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.head)
        body = "".join(
            f"<tr><th scope='row'>{html.escape(name)}</th>{cells(rest)}</tr>"
            for name, *rest in self.rows
        )
        return (
            f"<table class='table listing'><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def recipe(paper: str) -> Listing:
    """Return the rows of `differences` about the training.

    They are optimiser, rate, schedule, batch, epochs, augmentation, and the cube.
    """
    title = f"{papers.title(paper)}: the training recipe"
    return _listing(title, [row for row in _rows(paper) if _trains(row)], paper)


def differences(paper: str, recipe: bool = True) -> Listing:
    """Return a table: setting, the paper's text, released code, both profiles here, and why.

    Where data sets differ, the values of profile 'paper' are listed by set. A paper without
    released code has no column for it. `recipe=False` leaves out the rows of `recipe`, for a page
    that shows them elsewhere. Errors: a row about a setting that does not exist.
    """
    title = f"{papers.title(paper)}: text, code, and this book"
    return _listing(title, [row for row in _rows(paper) if recipe or not _trains(row)], paper)


def _trains(row: Mapping[str, Any]) -> bool:
    """Whether a row is about a field of the recipe, and not about the method or the data."""
    setting = row.get("setting")
    return setting is not None and not setting.startswith("network.")


def _listing(title: str, chosen: Iterable[Mapping[str, Any]], paper: str) -> Listing:
    rows = []
    for row in chosen:
        setting = row.get("setting")
        if setting is None:
            here = [row.get("here", SILENT)] * 2
        else:
            here = [_by_dataset(paper, setting, profile) for profile in ("paper", "laptop")]
        rows.append(
            [row["name"], row.get("text", SILENT), row.get("code", SILENT), *here]
            + [row.get("why", "")]
        )
    head = ["setting", "the paper", "released code", "profile paper", "profile laptop", "why"]
    if not any("code" in row for row in _rows(paper)):  # no code was released
        head, rows = _without(2, head), [_without(2, row) for row in rows]
    return Listing(title, tuple(head), rows)


def missing(paper: str) -> list[str]:
    """Return the settings of the paper's recipes that have no row and are no stated default."""
    stated = {row.get("setting") for row in _rows(paper)}
    return sorted(_settings(paper) - stated - set(tables.load(paper).get("defaults", ())))


def value(paper: str, setting: str, dataset: str, profile: str, variant: str = "paper") -> Any:
    """Return the value of a setting in a recipe, None if the recipe's schedule does not use it.

    Errors: `DataError` for an unknown setting.
    """
    recipe = papers.recipe(paper, dataset, profile, variant)
    kind, _, name = setting.rpartition(".")
    if kind == "augmentation" and name in _AUGMENTATION:
        return recipe.augmentation.get(name, _AUGMENTATION[name])
    if kind == "network":
        config = papers.configuration(paper, variant, **recipe.network)
        if name in vars(config):
            return getattr(config, name)
    elif not kind and name in {field.name for field in fields(Recipe)} - set(LEFT_OUT):
        used = recipe.schedule in _SCHEDULES.get(name, (recipe.schedule,))
        return getattr(recipe, name) if used else None
    raise DataError(
        f"{paper}: a row about {setting!r}: accepted are fields of a recipe, augmentation.<keyword>"
        " and network.<field>"
    )


def _without(place: int, cells: list[str]) -> list[str]:
    return cells[:place] + cells[place + 1 :]


def _rows(paper: str) -> list[Mapping[str, Any]]:
    return tables.load(paper)["settings"]


def _settings(paper: str) -> set[str]:
    """Every setting that a recipe of the paper has, whatever data set, profile and variant."""
    found = {field.name for field in fields(Recipe)} - set(LEFT_OUT)
    for dataset in papers.datasets(paper):
        for profile in PROFILES:
            for variant in papers.variants(paper):
                recipe = papers.recipe(paper, dataset, profile, variant)
                found |= {f"augmentation.{name}" for name in recipe.augmentation}
                found |= {f"network.{name}" for name in recipe.network}
    return found


def _by_dataset(paper: str, setting: str, profile: str) -> str:
    """The value on the paper's own data sets, each value once; on the embedded set for 'laptop'."""
    sets = list(tables.load(paper)["results"]) if profile == "paper" else ["synthetic"]
    values: dict[str, list[str]] = {}
    for title in sets:
        text = written(value(paper, setting, _SETS.get(title, title), profile), setting)
        values.setdefault(text, []).append(title)
    if len(values) == 1:
        return next(iter(values))
    return "; ".join(f"{', '.join(titles)}: {text}" for text, titles in values.items())


_SETS = {"NYU": "nyu", "MSRA": "msra", "ICVL": "icvl", "HANDS2017": "hands17"}


def written(value: Any, setting: str = "") -> str:
    """Return a value as a reader sees it: angles in degrees, ranges with 'to', powers of ten."""
    if value is None:
        return SILENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {written(each)}" for name, each in value.items())
    if isinstance(value, tuple):
        unit = ""
        if setting.endswith("rotation"):
            value, unit = tuple(each * 180 / pi for each in value), "°"
        if len(value) == 2 and setting.startswith("augmentation"):
            ends = dict.fromkeys(f"{each:.3g}{unit}".replace("-", "−") for each in value)
            return " to ".join(ends)
        return ", ".join(written(each) for each in value) or SILENT
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    """Return a number with up to four digits: 0.0005 as '5 · 10⁻⁴'."""
    if value == 0 or 0.001 < abs(value) < 10_000:
        return f"{value:.4g}"
    power = floor(log10(abs(value)))
    factor = f"{value / 10**power:.4g}"
    exponent = f"10{str(power).translate(_RAISED)}"
    return exponent if factor == "1" else f"{factor} · {exponent}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
