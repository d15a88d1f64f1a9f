"""Which trainings the book's claims compare: the one list for the chapters and for the queue.

    pairs()                          every comparison that a claim or a chapter cites
    pairs(2)                         those of claim 2 of the chapter "Claims under test"
    undecided(pairs(), found, "ablation")       those that the records do not decide yet

Most comparisons are the claims of the printed tables, in `book/tables/<paper>.json`. The chapter on
claims takes its own from them and adds some, see `ASKED`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

from handpose_lib import papers
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.evaluation import statistics
from handpose_lib.results import comparison, records, tables

SEEDS = (0, 1, 2)
"""The seeds of a variant that a claim compares."""
LITTLE_MM = 0.5
"""mm: a difference within ± this matters little."""


@dataclass(frozen=True)
class Pair:
    """One comparison: is variant `with_` of a paper better than variant `without`?

    differs    the facts that may differ, as of `comparison.decide`
    within     the open range of gains in mm that the claim expects
    """

    paper: str
    without: str
    with_: str
    differs: tuple[str, ...]
    within: tuple[float, float] = (0.0, inf)

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """The two (paper, variant) that must be trained."""
        return (self.paper, self.without), (self.paper, self.with_)


@dataclass(frozen=True)
class Printed:
    """The claims of one printed table; `only`: those between these variants, None for all."""

    paper: str
    table: str
    only: tuple[str, ...] | None = None


def _little(paper: str, without: str, with_: str, *differs: str) -> Pair:
    return Pair(paper, without, with_, differs, (-LITTLE_MM, LITTLE_MM))


ASKED: Mapping[int, tuple[Pair | Printed, ...]] = {
    2: (
        Printed("v2v_posenet", "1"),
        Printed("structure_aware_hourglass", "1", ("no_bones", "direct_3d", "direct_2d")),
    ),
    4: (Printed("structure_aware_hourglass", "1", ("no_bones", "paper")),),
    5: (
        Pair("densereg", "offsets", "paper", ("network.head",)),
        _little(
            "densereg", "coordinates", "detection_coordinates", "network.head", "network.stacks"
        ),
    ),
    6: (
        Printed("jgr_p2o", "2", ("p2o_offset", "paper")),
        _little("jgr_p2o", "feature_similarity", "paper", "network.reasoning"),
        _little("jgr_p2o", "parameterised", "paper", "network.reasoning"),
    ),
    7: (Printed("residual_attention", "attention"), Printed("residual_attention", "prior")),
    8: (Printed("v2v_posenet", "2"),),
}
"""Number of a claim in the chapter on claims → the trainings that it compares.

Claims that are not here are evaluations of the trained networks, or need no training.
"""


def pairs(claim: int | None = None) -> list[Pair]:
    """Return the comparisons of a claim; None: of all, and then of every other printed table.

    Errors: a claim that compares no trainings.
    """
    if claim is not None:
        asked = ASKED[one_of("claim that compares trainings", claim, ASKED)]
        return list(dict.fromkeys(pair for source in asked for pair in _of(source)))
    known = [pair for number in ASKED for pair in pairs(number)]
    for paper in papers.names():
        for table in tables.load(paper)["tables"]:
            known += _of(Printed(paper, table))
    return list(dict.fromkeys(known))


def undecided(asked: Iterable[Pair], found: Iterable[records.Record], profile: str) -> list[Pair]:
    """Return the pairs that the records of a profile do not decide by the mean joint error.

    A pair with a missing seed is undecided, and so is one whose records differ in more than the
    claim names. `found`: the trainings to use; leave out those that will be made again.
    """
    sides: dict[tuple[str, str], list[records.Record]] = {}
    for record in found:
        if record["profile"] == profile and record.dataset_name == "synthetic":
            sides.setdefault((record["method"], record["variant"]), []).append(record)
    open_pairs = []
    for pair in asked:
        without, with_ = (sides.get(row, []) for row in pair.rows)
        seeds = [{record["seed"] for record in side} for side in (without, with_)]
        if not all(known.issuperset(SEEDS) for known in seeds):
            open_pairs.append(pair)
            continue
        try:
            answer = comparison.decide(without, with_, differs=pair.differs, within=pair.within)
        except HandPoseError:
            open_pairs.append(pair)
            continue
        if answer.verdict == statistics.UNDECIDED:
            open_pairs.append(pair)
    return open_pairs


def _of(source: Pair | Printed) -> list[Pair]:
    if isinstance(source, Pair):
        return [source]
    printed = tables.load(source.paper)["tables"][source.table].get("claims", ())
    return [
        Pair(source.paper, claim["worse"], claim["better"], tuple(claim["differs"]))
        for claim in printed
        if source.only is None or {claim["worse"], claim["better"]} <= set(source.only)
    ]
