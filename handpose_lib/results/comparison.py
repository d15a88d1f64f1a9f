"""Comparisons of recorded trainings: the book's one rule, `statistics.decide`, applied to records.

    answer = decide(without, with_, differs=["network.bones"])     # two lists of records
    answer.verdict, answer.effect, str(answer)
    decide(runs, runs, read_out="top_k", differs=["decoding"])     # another decoding of the same
    decide(without, with_, differs=[...], measure=bend_error)      # another measure of each frame

The two sides may differ in the facts that `differs` names, and in no other: see `facts`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from math import inf
from typing import Any

import torch

from handpose_lib import papers
from handpose_lib import skeleton as skeletons
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import metrics, plausibility
from handpose_lib.evaluation.statistics import Decision, Trial
from handpose_lib.evaluation.statistics import decide as decide_trials
from handpose_lib.papers.method import Recipe
from handpose_lib.results import records

Measure = Callable[[torch.Tensor, torch.Tensor, str], torch.Tensor]
"""Predicted and true joints (N, J, 3) mm and the skeleton's name → values (N,), one per frame."""

METHODS = ("method", "network.*", "recipe.*", "training.*", "test.cube", "decoding")
"""What differs between two papers' methods: everything but the data, the frames and the centres."""

# Other facts say what these lead to: `training.*` and `test.*` have the data, the centres, the
# cubes and the choice of the weights; `network.*` has the whole configuration.
_ELSEWHERE = {
    "profile",
    "network",
    "centre",
    "rotated_copies",
    "cube_train",
    "cube_test",
    "choose_epoch",
    "ensemble",
    "keep_epochs",
}
_ROUNDING = 0.05  # mm: far more than the digits that predictions are stored with can change
OWN = "the method's own"
"""The decoding of a method whose configuration does not name one."""


def decide(
    without: Sequence[records.Record],
    with_: Sequence[records.Record],
    *,
    differs: Iterable[str],
    within: tuple[float, float] = (0.0, inf),
    about: str = "method",
    measure: Measure | None = None,
    unit: str = "mm",
    read_out: str | None = None,
    read_out_without: str | None = None,
) -> Decision:
    """Decide whether the gain of records `with_` over records `without` lies in `within`.

    `differs`, `within` and `about` are those of `statistics.decide`; the names are keys of `facts`.
    `measure`: what is compared, lower is better (None: the mean joint error of each frame, mm).
    `read_out`, `read_out_without`: the stored decoding of either side (None: the run's own).
    Errors: as of `statistics.decide` and `trial`.
    """
    return decide_trials(
        [trial(record, read_out_without, measure) for record in without],
        [trial(record, read_out, measure) for record in with_],
        differs=differs,
        within=within,
        about=about,
        unit=unit,
    )


def ask(
    without: Sequence[records.Record],
    with_: Sequence[records.Record],
    *,
    read_out: str | None = None,
    read_out_without: str | None = None,
    **options: Any,
) -> tuple[Decision | None, str]:
    """Return the decision and '', or None and why there is none yet.

    There is none without a record on each side, without the stored decoding, and if records of
    earlier code differ in more than is named: such a pair waits for its next training.
    `options`: as of `decide`. Errors: as of `decide`, if both sides are of today's code.
    """
    if not (without and with_):
        return None, "no record here"
    for side, name in ((without, read_out_without), (with_, read_out)):
        for record in side:
            if name not in (None, decoding(record), *record["files"]["read_outs"]):
                return None, f"no predictions decoded by {name} here"
    try:
        answer = decide(
            without, with_, read_out=read_out, read_out_without=read_out_without, **options
        )
    except DataError:
        raise
    except HandPoseError as error:
        if any(map(records.is_stale, (*without, *with_))):
            return None, f"a record of earlier code does not fit ({error})"
        raise
    return answer, ""


def decoding(record: Mapping[str, Any]) -> str:
    """Return the name of the decoding of a run's own predictions, `OWN` if it has only one."""
    return record["training"]["config"].get("read_out", papers_decoding(record["method"]))


def papers_decoding(method: str) -> str:
    """Return the name of the decoding that a method's paper uses, `OWN` if it has only one."""
    return _defaults(method).get("read_out", OWN)


# --- Measures -----------------------------------------------------------------


def error_in_xy(predicted: torch.Tensor, joints: torch.Tensor, skeleton: str) -> torch.Tensor:
    """Return the mean joint error of each frame (N,), mm, in x and y alone."""
    return metrics.frame_errors(_flat(predicted), _flat(joints), "mean")


def bone_length_error(predicted: torch.Tensor, joints: torch.Tensor, skeleton: str) -> torch.Tensor:
    """Return the mean absolute error of the bone lengths of each frame (N,), mm."""
    hand = skeletons.get(skeleton)
    lengths = [plausibility.bone_lengths(points, hand) for points in (predicted, joints)]
    return (lengths[0] - lengths[1]).abs().mean(1)


def bend_error(predicted: torch.Tensor, joints: torch.Tensor, skeleton: str) -> torch.Tensor:
    """Return the mean absolute error of the bends of each frame's fingers (N,), degrees."""
    hand = skeletons.get(skeleton)
    angles = [plausibility.bends(points, hand) for points in (predicted, joints)]
    return (angles[0] - angles[1]).abs().mean(1)


def _flat(points: torch.Tensor) -> torch.Tensor:
    return torch.cat((points[..., :2], torch.zeros_like(points[..., 2:])), -1)


# --- Records as trials --------------------------------------------------------


def trial(
    record: records.Record, read_out: str | None = None, measure: Measure | None = None
) -> Trial:
    """Return a record as a trial: its value on every test frame, and the facts behind it.

    `read_out`, `measure`: as of `decide`; the name of the run's own decoding is the same as None.
    Errors: `DataError` for predictions that are missing, or that do not score what the record says.
    """
    if read_out == decoding(record):
        read_out = None
    predicted, true = records.joints(record, read_out)
    values = (
        metrics.frame_errors(predicted, true, "mean")
        if measure is None
        else measure(predicted, true, record["protocol"]["joints"])
    )
    known = facts(record, read_out)
    trained = {
        name: value
        for name, value in known.items()
        if name.split(".")[0] in ("method", "network", "recipe", "training")
    }
    if measure is None and read_out is None and abs(values.mean() - record.error_mm) > _ROUNDING:
        raise DataError(
            f"the predictions of {record.key} score {values.mean():.3f} mm, the record says"
            f" {record.error_mm:.3f} mm: accepted are the same; pass another error as `measure`"
        )
    title, way = papers.title(record["method"]), f", {read_out}" if read_out else ""
    return Trial(
        f"{title} ({record['variant']}{way})",
        values,
        record["dataset"]["labels"],
        json.dumps([trained, record["seed"]], sort_keys=True),
        known,
    )


def facts(record: Mapping[str, Any], read_out: str | None = None) -> dict[str, Any]:
    """Return what led to the result of a run, as plain JSON values.

    data.*       data set: name, whether synthetic, fingerprint
    test.*       protocol of the test: split, subject, joints, centre, cube, frames, checkpoint, …
    training.*   source of the training frames, their protocol, centre and cube, and how many were
                 seen
    recipe.*     optimiser, rate, schedule, batch, augmentation, …
    network.*    the configuration of the method
    method       the paper
    decoding     name of the decoding

    The profile and the variant are not among them, but all that they set is. A setting that was
    added after the run has its default.
    """
    training = record["training"]
    source = {**training["source"], **training["source"].get("protocol", {})}
    network = {**_defaults(record["method"]), **training["config"]}
    network.pop("read_out", None)
    groups = {
        "data": {name: record["dataset"][name] for name in ("name", "synthetic", "fingerprint")},
        "test": record["protocol"],
        "training": {
            "frames seen": training["frames"],
            **{name: value for name, value in source.items() if name != "protocol"},
        },
        "recipe": {
            name: value
            for name, value in {**asdict(Recipe("")), **record["recipe"]}.items()
            if name not in _ELSEWHERE
        },
        "network": network,
    }
    found = {
        f"{group}.{name}": value
        for group, values in groups.items()
        for name, value in values.items()
    }
    found |= {"method": record["method"], "decoding": read_out or decoding(record)}
    return json.loads(json.dumps(found))


def _defaults(method: str) -> dict[str, Any]:
    """Return the configuration of a method with all defaults."""
    return asdict(import_module(f"{papers.__name__}.{method}").Config())
