"""The tables that the papers printed, as kept in book/tables: consistent with themselves and with
the methods.
"""

import pytest

from handpose_lib import papers, paths
from handpose_lib.results import tables

FILES = sorted(
    path.stem
    for path in (paths.project() / "book" / "tables").glob("*.json")
    if path.stem != "ledger"  # no printed table: `results.ledger` reads it
)


@pytest.fixture(params=FILES)
def paper(request):
    return tables.load(request.param)


def test_every_paper_has_tables():
    assert {*papers.names(), "rescoring"} <= set(FILES)


def test_every_table_can_be_shown(paper):
    for name, table in paper["tables"].items():
        shown = tables.printed(paper, name)
        assert shown.rows == [row["label"] for row in table["rows"]]
        assert len(set(shown.rows)) == len(shown.rows), "a label names one row"


def test_rows_name_variants_that_exist_and_leave_none_out(paper):
    known = set()  # a collection of other groups' results names none
    if paper["method"] in papers.names():
        known = set(papers.variants(paper["method"])) - {"small"}  # ours, for exercises
    named = {
        row["variant"]
        for table in paper["tables"].values()
        for row in table["rows"]
        if "variant" in row
    }
    assert named == known


@pytest.mark.parametrize("name", papers.names())
def test_a_papers_own_results_are_rows_of_its_tables(name):
    paper = tables.load(name)
    assert set(paper["results"]) == set(paper["protocols"])
    assert all((tables.own_error(paper, dataset) or 0) > 0 for dataset in paper["results"])
    assert tables.own_error(paper, "EgoDexter") is None


def test_one_variant_has_one_printed_error(paper):
    errors = {}
    for table in paper["tables"].values():
        for row in table["rows"]:
            if "variant" in row and "error_mm" in row:
                errors.setdefault((row["variant"], table["dataset"]), set()).add(row["error_mm"])
    assert all(len(found) == 1 for found in errors.values()), errors


def test_each_claim_holds_in_the_papers_own_numbers(paper):
    """Or stands there in words alone, for want of printed numbers; then the claim says where."""
    for table in paper["tables"].values():
        error = {row["variant"]: row.get("error_mm") for row in table["rows"] if "variant" in row}
        for claim in table.get("claims", ()):
            better, worse = error[claim["better"]], error[claim["worse"]]
            if "in words" in claim:
                assert None in (better, worse), claim["text"]
            else:
                assert better < worse, claim["text"]
