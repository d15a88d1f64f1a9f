"""Two results may be compared unless a fact of their protocols differs; each is then a reason."""

import pytest

from handpose_lib import papers
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation.comparability import FACTS, comparable, facts, printed_facts
from handpose_lib.results import records, tables

FULL = {
    "dataset": "msra",
    "synthetic": True,
    "fingerprint": "00",
    "joints": "msra21",
    "left out": "none",
    "frames": 2227,
    "subject": 8,
    "centre": "stored",
    "choice": "last",
}


def test_the_same_protocol_may_be_compared():
    assert comparable(FULL, dict(FULL)) == []


@pytest.mark.parametrize("name", FACTS)
def test_each_fact_alone_is_a_reason(name):
    other = FULL | {name: (not FULL[name]) if isinstance(FULL[name], bool) else "other"}
    (reason,) = comparable(FULL, other)
    assert reason.startswith(f"{name}: ") and comparable(other, FULL)[0].startswith(f"{name}: ")


def test_the_reason_says_both_sides():
    assert comparable(FULL, FULL | {"frames": 76391, "synthetic": False}) == [
        "synthetic: yes and no",
        "frames: 2,227 and 76,391",
    ]


def test_what_is_not_told_is_a_reason_only_if_nothing_else_is():
    silent = {name: value for name, value in FULL.items() if name != "centre"}
    assert comparable(FULL, silent) == ["centre: not told"] == comparable(silent, FULL)
    assert comparable(FULL, silent | {"frames": 5}) == ["frames: 2,227 and 5"]
    assert comparable(silent, silent) == []  # both in the same way


@pytest.mark.parametrize(
    "found, message",
    [({"colour": "red"}, "fact of a protocol"), ({"frames": 3}, "dataset and synthetic")],
)
def test_facts_that_are_none(found, message):
    with pytest.raises(HandPoseError, match=message):
        comparable(FULL, found)


def test_runs_of_one_grid_may_be_compared_and_never_with_real_ones():
    runs = [
        run
        for run in records.find(synthetic=True, profile="laptop", dataset="msra")
        if run["variant"] in ("paper", "small")
    ]
    assert len(runs) >= 2
    for run in runs:
        assert comparable(facts(run), facts(runs[0])) == []
        assert "synthetic: yes and no" in comparable(facts(run), facts(run) | {"synthetic": False})


@pytest.mark.parametrize("name", papers.names())
def test_every_paper_states_its_protocols(name):
    """Of each data set that its tables have a result of its own for; and no result of ours may
    stand beside one.
    """
    paper = tables.load(name)
    assert paper["protocols"]
    for dataset in paper["protocols"]:
        stated = printed_facts(paper, dataset)
        assert not stated["synthetic"] and comparable(stated, stated) == []
        assert comparable(stated, FULL)


def test_an_unknown_data_set_is_an_error():
    with pytest.raises(HandPoseError, match="accepted"):
        printed_facts(tables.load("v2v_posenet"), "EgoDexter")
    with pytest.raises(HandPoseError, match="fact in the protocols"):
        printed_facts({"paper": "x", "protocols": {"NYU": {"colour": "red"}}}, "NYU")
