"""May two results stand in one column? Asked of the facts behind them, not of their numbers.

    ours, printed = protocol(record), printed_protocol(tables.load("v2v_posenet"), "NYU")
    comparable(ours, printed)                 # ['synthetic: yes and no', …]; an empty list: they
                                              may be compared

The facts of our runs stand in their records, those of a paper's results beside its tables:
`protocols`, by data set, as its text or, where it is silent, its code says.
"""

from collections.abc import Mapping

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
"""What decides: which frames, how many, whose; which joints count; where the crop sits and who says
so ('true': the labels of the test frame); which epoch's network was taken, or the mean over how
many.
"""


def protocol(record: Mapping) -> dict:
    """The facts of a run, from its record."""
    data, said = record["dataset"], record["protocol"]
    facts = {
        "dataset": data["name"],
        "synthetic": data["synthetic"],
        "joints": said["joints"],
        "left out": "none",
        "frames": said["frames"],
        "subject": said.get("subject"),
        "centre": said["centre"] if "centres" not in said else said["centres"],
        "choice": said["checkpoint"],
    }
    return facts | ({"fingerprint": data["fingerprint"]} if data["synthetic"] else {})


def printed_protocol(paper: Mapping, dataset: str) -> dict:
    """The facts of the result that a paper prints for a data set; what nobody knows is missing."""
    known = paper.get("protocols", {})
    facts = known[one_of(f"data set with a protocol of {paper['paper']}", dataset, list(known))]
    for name in facts:
        one_of(f"fact in the protocols of {paper['paper']}", name, FACTS)
    return {"dataset": dataset.lower(), "synthetic": False, **facts}


def comparable(a: Mapping, b: Mapping) -> list[str]:
    """Why two results must not be compared: each fact in which they differ; none: they may.

    What one side does not tell is a reason only if nothing else is one. Errors: facts that are not
    known here.
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


def _said(value) -> str:
    return (
        {True: "yes", False: "no"}[value]
        if isinstance(value, bool)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
