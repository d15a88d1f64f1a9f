"""How far an answer can be trusted: which measures are unusual, and how often such answers are off.

    reliability.unusual(hand.measures)          # ("remaining_mm",), or () if nothing is unusual
    reliability.rates().quiet_off               # share of answers off among those without a remark

Rendered images of persons that no network has seen go the whole way from the detector to the fitted
hand, see `pipeline/experiments/judge_answers.py`. The limits come from the good answers to one half
of the persons, the rates from the other half.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from scipy.special import betaincinv

from handpose_lib import paths
from handpose_lib.own_images import finding
from handpose_lib.real_hands import fitting
from handpose_lib.real_hands import network as real_hands
from handpose_lib.results import records
from handpose_lib.results.records import Record

OFF_MM = real_hands.OFF_MM
"""Mean error in mm from which an answer counts as off."""
GOOD_MM = 20.0
"""Mean error in mm up to which an answer counts as good."""
TAIL = 0.02
"""A measure is unusual beyond the limit that all but this share of the good answers keep."""
WORSE = {
    "probability": "below",
    "on_hand": "below",
    "covered": "below",
    "median_to_surface_mm": "above",
    "in_front": "above",
    "disagreement_mm": "above",
}
"""Measures of which limits are taken, and the side of a limit on which bad answers lie."""


class Limits(NamedTuple):
    """The usual range of a measure, its ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Rates:
    """What is known about the answers to the images that the limits do not come from.

    images       number of images with a hand that got an answer
    missed       share of all images with a hand in which the detector finds none
    quiet        share of the answers that have no unusual measure
    quiet_off    share of these that are off by more than `OFF_MM`; others_off: of the others
    empty        number of images without a hand, refused: share in which the detector finds none,
                 false: number that get an answer without an unusual measure
    false_most   upper end of the one-sided interval of 95 % of the share of false answers (Clopper
                 and Pearson)
    """

    images: int
    missed: float
    quiet: float
    quiet_off: float
    others_off: float
    empty: int
    refused: float
    false: int
    false_most: float


def folder() -> Path:
    """Return the folder of the record."""
    return paths.records() / real_hands.KIND / "answers"


@cache
def load() -> Record:
    """Return the record. Errors: `DataError` if it is missing or damaged."""
    return records.load(folder(), real_hands.KIND)


@cache
def limits() -> dict[str, Limits]:
    """Return the usual range of each measure of `WORSE`."""
    return limits_of(load()["held_out"]["limits"]["with_hand"])


def limits_of(answers: Mapping[str, list[float]]) -> dict[str, Limits]:
    """Return the ranges that all but `TAIL` of the good answers keep, each measure by itself.

    `answers`: measure → its values, and error_mm.
    """
    good = torch.tensor(answers["error_mm"]) <= GOOD_MM
    found = {}
    for name, worse in WORSE.items():
        values = torch.tensor(answers[name], dtype=torch.float64)[good]
        found[name] = (
            Limits(values.quantile(TAIL).item(), float("inf"))
            if worse == "below"
            else Limits(float("-inf"), values.quantile(1 - TAIL).item())
        )
    return found


def unusual(
    measures: Mapping[str, float], usual: Mapping[str, Limits] | None = None
) -> tuple[str, ...]:
    """Return the names of the measures that speak against an answer.

    `usual`: None for `limits`. The other limits do not come from answers: `finding.MISFIT` for the
    scale, `fitting.ACCEPTED_MM` for what remains after the fit, and the border of the image.
    """
    usual = limits() if usual is None else usual
    found = [name for name, (low, high) in usual.items() if not low <= measures[name] <= high]
    scale = measures["scale"]
    found += ["scale"] * (max(scale, 1 / scale) >= finding.MISFIT)
    found += ["remaining_mm"] * (measures["remaining_mm"] > fitting.ACCEPTED_MM)
    found += ["at_border"] * (measures["at_border"] > 0)
    return tuple(found)


@cache
def rates() -> Rates:
    """Return how often answers are off, and how often there is an answer without a hand."""
    return rates_of(load()["held_out"]["rates"], limits())


def rates_of(found: Mapping[str, Mapping], usual: Mapping[str, Limits]) -> Rates:
    """Return the rates of answers to images 'with_hand' and 'without_hand', by these limits.

    Both: measure → its values, and refused, the number of images in which the detector finds none.
    """
    hands, none = found["with_hand"], found["without_hand"]
    quiet, quiet_none = (
        torch.tensor([not unusual(one, usual) for one in _rows(group)], dtype=torch.bool)
        for group in (hands, none)
    )
    off = torch.tensor(hands["error_mm"]) > OFF_MM
    false = int(quiet_none.sum())
    images, empty = len(quiet) + hands["refused"], len(quiet_none) + none["refused"]
    return Rates(
        images=len(quiet),
        missed=hands["refused"] / images,
        quiet=_share(quiet),
        quiet_off=_share(off[quiet]),
        others_off=_share(off[~quiet]),
        empty=empty,
        refused=none["refused"] / empty,
        false=false,
        false_most=float(betaincinv(false + 1, empty - false, 0.95)) if false < empty else 1.0,
    )


def flagged() -> dict[str, tuple[float, float]]:
    """Return how often each measure is unusual: in good answers, and in images without a hand.

    Measure → two shares of the answers from which the rates come, the largest differences first.
    """
    found = load()["held_out"]["rates"]
    good = [row for row in _rows(found["with_hand"]) if row["error_mm"] <= GOOD_MM]
    told = [[unusual(row) for row in rows] for rows in (good, _rows(found["without_hand"]))]
    shares = {
        name: (
            sum(name in names for names in told[0]) / len(told[0]),
            sum(name in names for names in told[1]) / len(told[1]),
        )
        for name in (*WORSE, "scale", "remaining_mm", "at_border")
    }
    return dict(sorted(shares.items(), key=lambda item: item[1][0] - item[1][1]))


def _rows(group: Mapping) -> list[dict[str, float]]:
    """Return the measures of each answer."""
    lists = {name: values for name, values in group.items() if isinstance(values, list)}
    return [dict(zip(lists, row)) for row in zip(*lists.values(), strict=True)]


def _share(rows: torch.Tensor) -> float:
    return rows.double().mean().item()
