"""The comparisons that claims cite: they exist, and the records decide them or not."""

import pytest

from handpose_lib import papers
from handpose_lib.errors import HandPoseError
from handpose_lib.results import claims, records, tables


def test_all_variants_exist_and_differ():
    for pair in claims.pairs():
        known = papers.variants(pair.paper)
        assert {pair.without, pair.with_} <= set(known) and pair.without != pair.with_
        assert pair.differs and pair.within[0] < pair.within[1]


def test_every_claim_of_a_printed_table_is_among_them():
    for paper in papers.names():
        for table in tables.load(paper)["tables"].values():
            for claim in table.get("claims", ()):
                assert any(
                    (pair.paper, pair.without, pair.with_)
                    == (paper, claim["worse"], claim["better"])
                    for pair in claims.pairs()
                )


def test_each_asked_claim_compares_something():
    assert all(claims.pairs(claim) for claim in claims.ASKED)
    with pytest.raises(HandPoseError, match="accepted are 2"):
        claims.pairs(1)


def made(pair, variant, error, seed):
    """A record as far as the decision looks, whose run was off by `error` mm."""
    found = records.find(method=pair.paper, profile="ablation", variant=variant, dataset="msra")[0]
    record = records.Record(found)
    record.update(seed=seed, metrics={**found["metrics"], "mean_joint_error_mm": error})
    record.folder = found.folder
    return record


def test_missing_seeds_leave_a_pair_undecided():
    pair = claims.pairs(6)[0]
    runs = [made(pair, v, 1.0, s) for v in (pair.without, pair.with_) for s in claims.SEEDS]
    assert claims.undecided([pair], runs[:-1], "ablation") == [pair]
    assert claims.undecided([pair], runs, "evidence") == [pair], "no run of that profile"
    assert claims.undecided([], runs, "ablation") == []


@pytest.mark.parametrize("verdict", ["HOLDS", "FAILS", "UNDECIDED"])
def test_the_rule_of_the_book_decides(monkeypatch, verdict):
    from types import SimpleNamespace

    from handpose_lib.evaluation import statistics

    pair = claims.pairs(6)[0]
    runs = [made(pair, v, 1.0, s) for v in (pair.without, pair.with_) for s in claims.SEEDS]
    asked = {}

    def decide(without, with_, **options):
        asked.update(options, sides=[[r["variant"] for r in side] for side in (without, with_)])
        return SimpleNamespace(verdict=getattr(statistics, verdict))

    monkeypatch.setattr(claims.comparison, "decide", decide)
    assert claims.undecided([pair], runs, "ablation") == [pair] * (verdict == "UNDECIDED")
    assert asked["sides"] == [[pair.without] * 3, [pair.with_] * 3]
    assert asked["differs"] == pair.differs and asked["within"] == pair.within
