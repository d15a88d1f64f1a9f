"""The ledger of what is reproduced: its items are complete, and what they name exists."""

import json
import pkgutil
import re
from collections import Counter
from dataclasses import replace

import docutils.nodes
import pytest
import torch

from handpose_lib import papers, paths
from handpose_lib.errors import DataError
from handpose_lib.results import ledger, records, tables

ITEMS = ledger.load()
GOOD = {"paper": "densereg", "kind": "table", "place": "Table 2", "item": "a row", "state": "full"}


def name(item):
    return f"{item.paper}, {item.place}, {item.item}"


@pytest.fixture(scope="module")
def found():
    return [run for kind in records.KINDS for run in records.load_all(kind=kind)]


def evidence(item, found):
    proof = ledger.evidence(item, found)
    assert proof is not None
    return proof


# --- the items ----------------------------------------------------------------


def test_no_item_stands_twice():
    assert max(Counter(map(name, ITEMS)).values()) == 1


@pytest.mark.parametrize("item", [item for item in ITEMS if item.code], ids=name)
def test_code_exists_and_stands_where_the_link_leads(item):
    pkgutil.resolve_name(item.code)
    path, line = ledger.source(item.code)
    text = (paths.project() / path).read_text(encoding="utf-8").splitlines()[line - 1]
    assert re.search(rf"\b{item.code.split('.')[-1]}\b", text)


@pytest.mark.parametrize("item", [item for item in ITEMS if item.page], ids=name)
def test_the_cell_exists_in_a_section_with_an_anchor_of_its_own(item):
    title, anchor = ledger.section(item.page, item.cell)
    assert anchor == docutils.nodes.make_id(title)
    content = json.loads((paths.project() / "book" / f"{item.page}.ipynb").read_text("utf-8"))
    text = "\n".join("".join(c["source"]) for c in content["cells"] if c["cell_type"] != "code")
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    assert [docutils.nodes.make_id(re.sub("[*`]", "", h)) for h in headings].count(anchor) == 1


@pytest.mark.parametrize("paper", papers.names())
def test_variants_and_data_sets_exist_and_no_variant_is_left_out(paper):
    wanted = [item.trained for item in ITEMS if item.paper == paper and item.trained]
    known = set(papers.variants(paper)) - {"small"}  # ours, for exercises
    rows = {
        row["variant"]
        for table in tables.load(paper)["tables"].values()
        for row in table["rows"]
        if "variant" in row
    }
    named = {variant for one in wanted if one.datasets for variant in one.variants}
    assert named == known >= rows
    for one in wanted:
        for dataset in one.datasets:
            papers.recipe(paper, dataset, "paper")
        if one.read_outs:
            with torch.device("meta"):
                assert set(one.read_outs) <= set(papers.create(paper, "nyu14").read_outs)


@pytest.mark.parametrize("paper", papers.names())
def test_every_table_and_every_equation_of_a_paper_is_there(paper):
    places = ", ".join(item.place for item in ITEMS if item.paper == paper)
    there = {
        int(number)
        for found in re.findall(r"Tables? ([\d, and]+)", places)
        for number in re.findall(r"\d+", found)
    }
    printed = {re.match(r"\d+(?=\s|,|$)", key) for key in tables.load(paper)["tables"]}
    assert there >= {int(found[0]) for found in printed if found}
    equations = {int(number) for number in re.findall(r"Eq\. (\d+)", places)}
    assert equations == set(range(1, max(equations) + 1))


# --- states -------------------------------------------------------------------


def test_a_difference_is_stated_exactly_where_there_is_one():
    for item in ITEMS:
        assert bool(item.difference) == (item.state != "full"), name(item)


@pytest.mark.parametrize("item", [item for item in ITEMS if item.recipe], ids=name)
def test_another_setting_than_the_recipes_is_a_difference(item):
    """The state follows the recipe: with what it uses, nothing differs; with anything else, all."""
    used = {
        key: ledger._setting(item.paper, item.recipe.dataset, key) for key in item.recipe.settings
    }
    same = replace(item, recipe=replace(item.recipe, settings=used))
    assert same.state == "full" and not same.difference
    other = replace(item, recipe=replace(item.recipe, settings=dict.fromkeys(used, "something")))
    assert other.state == "differs" and other.difference
    assert set(other.recipe.deviations(item.paper)) == set(used)


# --- records ------------------------------------------------------------------


def test_synthetic_records_are_never_real_ones(found):
    for item in ITEMS:
        proof = ledger.evidence(item, found)
        if proof is not None:
            assert not any(run["dataset"]["synthetic"] for run in proof.real)
            assert not (proof.complete and not proof.real)


def test_a_training_of_profile_paper_on_the_papers_data_completes_an_item(found):
    item = next(i for i in ITEMS if i.paper == "jgr_p2o" and i.item == "own result on NYU")
    synthetic = next(
        run for run in found if run["kind"] == "training" and run["method"] == item.paper
    )
    dataset = {**synthetic["dataset"], "name": "nyu", "synthetic": False}
    real = records.Record({**synthetic, "variant": "paper", "profile": "paper", "dataset": dataset})
    proof = evidence(item, [synthetic])
    assert (proof.frames, proof.complete) in {(ledger.SYNTHETIC, False), (ledger.NONE, False)}
    proof = evidence(item, [real])
    assert proof.frames == ledger.REAL and proof.complete and proof.real == [real]
    short = records.Record({**real, "profile": "laptop"})
    assert not evidence(item, [short]).complete
    other = records.Record({**real, "dataset": {**dataset, "name": "icvl"}})
    assert evidence(item, [other]).frames == ledger.NONE
    assert item.trained is not None
    decoded = replace(item, trained=replace(item.trained, read_outs=("top_k",)))
    assert evidence(decoded, [real]).frames == ledger.NONE
    kept = records.Record({**real, "files": {**real["files"], "read_outs": ["top_k"]}})
    assert evidence(decoded, [kept]).frames == ledger.REAL
    without = records.Record({**real, "metrics": {}})
    assert evidence(item, [without]).frames == ledger.NONE


def test_hands_do_not_count_for_bodies(found):
    body = next(i for i in ITEMS if i.item == "own result on ITOP, front view")
    hand = next(i for i in ITEMS if i.item == "own result on NYU" and i.paper == body.paper)

    def shows(item):
        return {run["dataset"]["name"] for run in evidence(item, found).synthetic}

    assert shows(body) == {"itop"} and "itop" not in shows(hand)


def test_counts_add_up(found):
    whole = ledger.counts(ITEMS, found)
    assert whole["items"] == len(ITEMS) == sum(whole[state] for state in ledger.STATES)
    assert whole["to train"] == sum(whole[k] for k in (ledger.REAL, ledger.SYNTHETIC, ledger.NONE))
    assert whole["as printed"] <= whole[ledger.REAL]
    parts = [
        ledger.counts([item for item in ITEMS if item.paper == paper], found)
        for paper in papers.names()
    ]
    assert whole == {key: sum(part[key] for part in parts) for key in whole}


# --- what the pages show ------------------------------------------------------


@pytest.mark.parametrize("paper", papers.names())
def test_a_table_has_a_row_for_each_item(paper, found):
    mine = [item for item in ITEMS if item.paper == paper]
    _, _, *rows = ledger.table(ITEMS, found, paper).splitlines()
    assert len(rows) == len(mine)
    for item, row in zip(mine, rows, strict=True):
        assert row.startswith(f"| {item.place}: {item.item} | {ledger.STATES[item.state]}")
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, "a bar in a text would open a column"


def test_the_summary_and_the_overview_show_the_counts(found):
    whole = ledger.counts(ITEMS, found)
    numbers = [int(n) for n in re.findall(r"\b\d+\b", ledger.summary(ITEMS, found))]
    keys = ("items", *ledger.STATES, "to train", ledger.REAL, ledger.SYNTHETIC, ledger.NONE)
    assert numbers == [whole[key] for key in keys]
    last = ledger.overview(ITEMS, found).splitlines()[-1]
    assert [int(n) for n in re.findall(r"\b\d+\b", last)] == numbers


# --- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paper": "resnet"}, "resnet"),
        ({"kind": "idea"}, "idea"),
        ({"item": ""}, "'item'"),
        ({"state": "almost"}, "almost"),
        ({"state": "differs"}, "a difference belongs"),
        ({"difference": "none"}, "a difference belongs"),
        ({"recipe": {"dataset": "nyu", "settings": {}}}, "either a state or a recipe"),
        ({"trained": {"kind": "guess"}}, "guess"),
        ({"trained": {"set": "nyu"}}, "set"),
        ({"cell": {"page": "papers/densereg"}}, "id"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, change, message):
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps({"items": [GOOD, {**GOOD, **change}]}), encoding="utf-8")
    with pytest.raises(DataError, match=message) as error:
        ledger.load(path)
    assert "item 2" in str(error.value)
    path.write_text(json.dumps({"items": [GOOD]}), encoding="utf-8")
    assert len(ledger.load(path)) == 1


def test_a_name_or_a_cell_that_is_nowhere_is_an_error():
    with pytest.raises(DataError, match="no_such"):
        ledger.source("handpose_lib.camera.no_such")
    with pytest.raises(DataError, match="no-such"):
        ledger.section("papers/densereg", "no-such")
    with pytest.raises(DataError, match="nowhere"):
        ledger.section("papers/nowhere", "title")
