"""Whether two results may be compared, according to the facts of their evaluation.

    ours, printed = facts(record), printed_facts(tables.load("v2v_posenet"), "NYU")
    comparable(ours, printed)        # ['synthetic: yes and no', …]; empty if they are comparable

The facts of our runs are in their records. Those of a paper's results are beside its tables
(`protocols`, by data set), from its text or, if that does not state them, from its code.
"""

from collections.abc import Mapping
from typing import Any

from handpose_lib.errors import HandPoseError, one_of

FACTS = (
    "dataset",
    "synthetic",
    "fingerprint",
    "joints",
    "left out",
    "frames",
    "subject",
    "centre",
    "choice",
)
"""Facts that must match: which frames, how many, of whom; which joints count; where the crop sits
and what it is computed from ('true': the labels of the test frame); which epoch's network was
taken, or the mean over how many.
"""


def facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a run from its record."""
    data, said = record["dataset"], record["protocol"]
    found = {
        "dataset": data["name"],
        "synthetic": data["synthetic"],
        "joints": said["joints"],
        "left out": "none",
        "frames": said["frames"],
        "subject": said.get("subject"),
        "centre": said["centre"] if "centres" not in said else said["centres"],
        "choice": said["checkpoint"],
    }
    return found | ({"fingerprint": data["fingerprint"]} if data["synthetic"] else {})


def printed_facts(paper: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Return the facts of the result that a paper prints for a data set, without unknown ones.

    Errors: `HandPoseError` for a data set without a protocol, and facts that are not in `FACTS`.
    """
    known = paper.get("protocols", {})
    stated = known[one_of(f"data set with a protocol of {paper['paper']}", dataset, list(known))]
    for name in stated:
        one_of(f"fact in the protocols of {paper['paper']}", name, FACTS)
    return {"dataset": dataset.lower(), "synthetic": False, **stated}


def comparable(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the facts in which two results differ; an empty list means that they are comparable.

    A fact that one side does not state is listed only if no stated fact differs. Errors:
    `HandPoseError` for facts that are not in `FACTS`, and a side without its data set.
    """
    for side in (a, b):
        for name in side:
            one_of("fact of a protocol", name, FACTS)
        if side.get("dataset") is None or side.get("synthetic") is None:
            raise HandPoseError(
                "a protocol without its data set: accepted are at least dataset and synthetic"
            )
    pairs = {name: (a.get(name), b.get(name)) for name in FACTS}
    different = [
        f"{name}: {_said(one)} and {_said(other)}"
        for name, (one, other) in pairs.items()
        if None not in (one, other) and one != other
    ]
    return different or [
        f"{name}: not told" for name, (one, other) in pairs.items() if one != other
    ]


def _said(value: Any) -> str:
    return (
        {True: "yes", False: "no"}[value]
        if isinstance(value, bool)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
