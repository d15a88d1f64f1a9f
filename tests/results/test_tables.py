"""Tables: paper beside ours, spread over seeds, and never two kinds of data in one column."""

import json

import pytest
import torch

from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.evaluation import statistics
from handpose_lib.results import records, tables
from tests.support.trainings import CODE, training

PAPER = {
    "method": "jgr_p2o",
    "paper": "someone2020",
    "tables": {
        "1": {
            "title": "Graphs <here>",
            "dataset": "NYU",
            "rows": [
                {"label": "skeleton", "variant": "paper", "error_mm": 8.29, "parameters": "1.37M"},
                {
                    "label": "learned",
                    "variant": "parameterised",
                    "error_mm": 8.36,
                    "parameters": "1.37M",
                },
            ],
            "claims": [
                {
                    "text": "the skeleton is better",
                    "better": "paper",
                    "worse": "parameterised",
                    "differs": ["network.reasoning"],
                }
            ],
        },
        "5": {
            "title": "Others",
            "columns": ["ICVL", "NYU"],
            "rows": [
                {"label": "A", "icvl": 6.0, "nyu": None},
                {"label": "B", "icvl": 7.0, "nyu": 9.5},
            ],
        },
    },
}


def run(variant="paper", error=5.0, seed=0, **changes):
    """A record with what a table looks at."""
    facts = dict.fromkeys(records.COMMON | records.KINDS["training"], None)
    facts.update(
        kind="training",
        method="jgr_p2o",
        variant=variant,
        profile="laptop",
        seed=seed,
        code=CODE,
        dataset={"name": "msra", "synthetic": True, "fingerprint": "a"},
        metrics={
            "mean_joint_error_mm": error,
            "thresholds_mm": [10.0, 20.0, 30.0, 50.0],
            "success_rate_worst": [0.1, 0.5, 0.75, 1.0],
        },
        device={"type": "cpu", "name": "a processor", "threads": 2},
        training={"seconds": 300.0},
        baselines={"mean_pose_mm": 50.0, "knn1_mm": 25.0, "knn5_mm": 20.0},
        protocol={"split": "test"},
    )
    facts.update(changes)
    return records.Record(facts)


def ours(*found):
    return tables.compare(PAPER, "1", found, profile="laptop")


def test_a_printed_table_is_what_the_file_says():
    table = tables.printed(PAPER, "1")
    assert table.value("skeleton", "NYU, printed") == 8.29
    assert table.rows == ["skeleton", "learned"]
    assert [c.name for c in table.columns] == ["NYU, printed", "parameters"]
    several = tables.printed(PAPER, "5")
    assert several.value("B", "NYU, printed") == 9.5
    assert "| A | 6.0 | – |" in several.markdown()


def test_ours_stands_beside_and_says_synthetic():
    table = ours(run(), run("parameterised", 6.0))
    assert table.ours == "ours, synthetic msra, laptop"
    assert table.value("learned", table.ours) == 6.0
    assert "results on synthetic msra frames" in table.markdown()


@pytest.mark.parametrize(
    "seconds, shown", [([300], "5.0"), ([300, 301], "5.0"), ([720, 300, 480], "5.0 to 12.0")]
)
def test_the_quickest_and_the_slowest_training_are_told(seconds, shown):
    group = [run(seed=seed, training={"seconds": took}) for seed, took in enumerate(seconds)]
    assert tables.minutes(group) == tables.Cell(5.0, shown)
    assert f"| {shown} |" in tables.runs(group).markdown()


def test_seeds_show_as_mean_and_spread():
    table = ours(run(error=5.0), run(error=6.0, seed=1), run(error=7.0, seed=2))
    assert table.ours is not None
    assert table.value("skeleton", table.ours) == 6.0
    assert "6.00 ± 1.00 (3 seeds)" in table.markdown()


def test_a_row_may_be_another_decoding_of_the_same_networks():
    rows = [
        {"label": "its own", "error_mm": 10.2, "read_out": None},
        {"label": "one vote", "error_mm": 10.6, "read_out": "k_1"},
        {"label": "never kept", "error_mm": 10.9, "read_out": "k_30"},
    ]
    table = {"title": "Candidates", "dataset": "NYU", "rows": rows}
    runs = [run(seed=seed) for seed in (0, 1)]
    for record, error in zip(runs, (6.0, 8.0)):
        record["metrics"]["read_outs_mm"] = {"k_1": error}
    shown = tables.compare({**PAPER, "tables": {"1": table}}, "1", runs, profile="laptop")
    assert [column.name for column in shown.columns] == ["NYU, printed", shown.ours]
    assert shown.value("its own", str(shown.ours)) == 5.0
    assert shown.value("one vote", str(shown.ours)) == 7.0
    with pytest.raises(HandPoseError, match="no number"):
        shown.value("never kept", str(shown.ours))


def test_other_profiles_and_methods_do_not_enter():
    table = ours(run(profile="smoke"), run(method="v2v_posenet"))
    assert table.ours is None
    assert [c.name for c in table.columns] == ["NYU, printed", "parameters"]


@pytest.mark.parametrize(
    "dataset",
    [
        {"name": "msra", "synthetic": False, "fingerprint": "a"},
        {"name": "msra", "synthetic": True, "fingerprint": "b"},
        {"name": "nyu", "synthetic": True, "fingerprint": "a"},
    ],
)
def test_a_column_never_mixes_data(dataset):
    with pytest.raises(HandPoseError, match="does not belong there"):
        ours(run(), run("parameterised", dataset=dataset))
    with pytest.raises(HandPoseError, match="does not belong there"):
        ours(run(), run(seed=1, dataset=dataset))


def test_a_stale_run_is_marked():
    table = ours(run(code={**CODE, "digest": "old"}), run("parameterised"))
    assert "5.00†" in table.markdown() and "earlier code" in table.markdown()
    assert table.markdown().count("†") == 2


LEARNED = {"reasoning": "parameterised"}


def ask(*found, **options):
    (claim,) = tables.claims(PAPER, "1", found, profile="laptop", **options)
    return claim


@pytest.mark.parametrize(
    "better, worse, verdict",
    [
        ((5.0, 6.0), (5.75,), statistics.UNDECIDED),  # less than the seeds are apart
        ((5.0, 6.0), (30.0,), statistics.HOLDS),
        ((50.0, 50.5), (4.0,), statistics.FAILS),
        ((5.0,), (30.0,), statistics.UNDECIDED),  # one training each
    ],
)
def test_claims_are_asked_of_the_trainings(tmp_path, better, worse, verdict):
    claim = ask(
        *(training(tmp_path, "paper", mm, seed) for seed, mm in enumerate(better)),
        *(training(tmp_path, "parameterised", mm, config=LEARNED) for mm in worse),
    )
    assert (claim.verdict, claim.better, claim.worse) == (verdict, len(better), len(worse))
    expected = sum(worse) / len(worse) - sum(better) / len(better)
    assert claim.margin_mm == pytest.approx(expected, abs=0.1)
    assert str(claim).startswith(
        f"the skeleton is better: **{verdict}** here: {expected:+.0f}"[:-2]
    )
    assert ("over frames only" in str(claim)) == (len(better) == 1)


def test_a_claim_without_trainings_of_both(tmp_path):
    claim = ask(training(tmp_path))
    assert claim.margin_mm is None and claim.verdict == statistics.UNDECIDED
    assert str(claim).endswith("**cannot be decided**, no record here.")


def test_a_claim_is_about_what_it_names(tmp_path):
    """A pair that differs in more is an error of today's code, and waits if a record is older."""
    steps = {"schedule": "steps"}
    with pytest.raises(HandPoseError, match="recipe.schedule"):
        ask(training(tmp_path), training(tmp_path, "parameterised", config=LEARNED, recipe=steps))
    code = {**CODE, "digest": "old"}
    old = training(tmp_path, "parameterised", config=LEARNED, recipe=steps, code=code)
    claim = ask(training(tmp_path), old)
    assert claim.decision is None and claim.verdict == statistics.UNDECIDED
    assert "earlier code" in str(claim) and "recipe.schedule" in str(claim)


def test_a_claim_by_another_measure(tmp_path):
    runs = [training(tmp_path), training(tmp_path, "parameterised", 7.0, config=LEARNED)]
    claim = ask(*runs, measure=lambda predicted, joints, skeleton: torch.arange(60.0))
    assert claim.margin_mm == 0


@pytest.mark.parametrize("number", ["10.6", "10.60", "7.5", "8", "0.10", "1e-3"])
def test_printed_numbers_keep_the_digits_of_their_source(tmp_path, number):
    text = json.dumps(PAPER).replace("8.29", number)
    (tmp_path / "jgr_p2o.json").write_text(text)
    paper = tables.load("jgr_p2o", tmp_path)
    table = tables.printed(paper, "1")
    assert f"| skeleton | {number} |" in table.markdown()
    assert table.value("skeleton", "NYU, printed") == float(number)
    assert f"{paper['tables']['1']['rows'][0]['error_mm']}" == number


def test_what_to_expect_of_a_training():
    table = tables.runs(
        [run(error=5.0), run(error=7.0, seed=1), run("small", 10.0, profile="smoke")]
    )
    assert table.rows == ["laptop, paper", "smoke, small"] and table.ours is not None
    assert table.value("laptop, paper", table.ours) == 6.0
    assert table.value("laptop, paper", "minutes") == 5.0
    assert (
        table.value("smoke, small", "error / 5-NN") == 0.5
        and table.value("smoke, small", "error / mean pose") == 0.2
    )
    assert "a processor, 2 threads" in table.markdown()
    assert "no run" in tables.runs([]).markdown()
    with pytest.raises(HandPoseError, match="does not belong there"):
        tables.runs(
            [run(), run("small", dataset={"name": "msra", "synthetic": False, "fingerprint": "a"})]
        )


def test_the_summary_of_a_run():
    table = tables.summary(run(error=5.0))
    assert table.ours is not None
    assert table.value("mean joint error, mm", "synthetic msra, test") == 5.0
    assert table.value("five nearest neighbours, mm", table.ours) == 20.0
    assert table.value("worst joint within 30 mm, % of frames", table.ours) == 75.0


def test_html_is_escaped_and_complete():
    text = ours(run())._repr_html_()
    assert "Graphs &lt;here&gt;" in text and "<td>5.00</td>" in text and text.count("<tr>") == 3


def test_asking_for_what_is_not_there():
    table = ours(run())
    with pytest.raises(HandPoseError, match="skeleton, learned"):
        table.value("graph", "NYU, printed")
    assert table.ours is not None
    with pytest.raises(HandPoseError, match="no number"):
        table.value("learned", table.ours)
    with pytest.raises(HandPoseError, match="accepted are 1, 5"):
        tables.printed(PAPER, "2")


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda p: p.pop("tables"), "'tables' is missing"),
        (lambda p: p["tables"]["1"].pop("dataset"), "dataset, or columns"),
        (lambda p: p["tables"]["1"]["rows"][0].pop("error_mm"), "row 'skeleton' has no 'error_mm'"),
        (lambda p: p["tables"]["1"]["claims"][0].pop("differs"), "is better' has no 'differs'"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path, damage, message):
    paper = json.loads(json.dumps(PAPER))
    damage(paper)
    (tmp_path / "jgr_p2o.json").write_text(json.dumps(paper))
    with pytest.raises(DataError, match=message):
        tables.load("jgr_p2o", tmp_path)


def test_every_paper_of_the_book_can_be_read(project):
    """And every variant that a table or claim names exists; a collection of others' results names
    none.
    """
    from handpose_lib import papers

    for path in (project / "book" / "tables").glob("*.json"):
        if path.stem == "ledger":  # no printed table: `results.ledger` reads it
            continue
        paper = tables.load(path.stem)
        known = papers.variants(paper["method"]) if paper["method"] in papers.names() else ()
        for name, table in paper["tables"].items():
            tables.printed(paper, name)
            named = {row.get("variant") for row in table["rows"]} - {None}
            named |= {
                claim[side] for claim in table.get("claims", ()) for side in ("better", "worse")
            }
            assert named <= set(known), f"{path.name}, table {name}"
