"""The committed records against their own files: every measure computed again, and every page made
of them.

Coordinates are stored in steps s of 0.05 mm, so that a joint is known to √3 s / 2, and a distance
between two of them to √3 s. Means may be off by that, and a share of frames within a threshold lies
between the shares within thresholds that are smaller and larger by it.
"""

import ast
import json

import matplotlib as mpl
import nbformat
import pytest
import torch

from handpose_lib import papers, paths
from handpose_lib.evaluation import metrics
from handpose_lib.io import storage
from handpose_lib.results import records

COMMITTED = records.load_all()
BY = {"worst": lambda errors: errors.amax(1), "mean": lambda errors: errors.mean(1)}
PLAIN = {
    "frames",
    "mean_joint_error_mm",
    "per_joint_mm",
    "thresholds_mm",
    "map_10cm",
    *(f"{kind}_{by}" for kind in ("success_rate", "auc") for by in BY),
}
OF_OTHER_PREDICTIONS = {"read_outs_mm", "last_epoch_mm", "ensemble_mm"}
"""Errors of read-outs and networks whose predictions are not kept; that of the kept ones is among
them.
"""
BY_PART = "map_10cm_by_part"  # of bodies


def key(record):
    return record.folder.relative_to(paths.records()).as_posix()


def known_to(record):
    """mm: how well the distance of two stored joints is known."""
    return 3**0.5 * record["files"]["predictions"] + 1e-3  # and float32


def test_there_are_records():
    assert COMMITTED


@pytest.mark.parametrize("record", COMMITTED, ids=key)
def test_every_metric_is_computed_again(record):
    predicted, true = records.joints(record)
    said, bound = record["metrics"], known_to(record)
    errors = metrics.joint_errors(predicted, true)
    assert set(said) - OF_OTHER_PREDICTIONS - {BY_PART} == PLAIN
    assert (
        said["frames"] == len(predicted) == len(records.ids(record)) == record["protocol"]["frames"]
    )
    assert record.error_mm == pytest.approx(errors.mean().item(), abs=bound)
    assert torch.allclose(
        torch.tensor(said["per_joint_mm"], dtype=torch.float64), errors.mean(0), atol=bound, rtol=0
    )
    assert said["map_10cm"] <= (errors <= metrics.PRECISION_AT + bound).double().mean() + 1e-12
    assert said["map_10cm"] >= (errors <= metrics.PRECISION_AT - bound).double().mean() - 1e-12
    if BY_PART in said:
        low, high = (
            metrics.precision_by_part(predicted, true, metrics.PRECISION_AT + shift)
            for shift in (-bound, bound)
        )
        assert all(
            low[part] - 1e-12 <= share <= high[part] + 1e-12
            for part, share in said[BY_PART].items()
        )
    thresholds = torch.tensor(said["thresholds_mm"], dtype=torch.float64)
    for by, judge in BY.items():
        judged, rates = (
            judge(errors)[:, None],
            torch.tensor(said[f"success_rate_{by}"], dtype=torch.float64),
        )
        low, high = ((judged <= thresholds + shift).double().mean(0) for shift in (-bound, bound))
        assert ((low - 1e-12 <= rates) & (rates <= high + 1e-12)).all()
        assert said[f"auc_{by}"] == pytest.approx(
            metrics.area_under_curve(rates, thresholds).item(), abs=1e-9
        )


@pytest.mark.parametrize(
    "record",
    [record for record in COMMITTED if OF_OTHER_PREDICTIONS & set(record["metrics"])],
    ids=key,
)
def test_the_kept_predictions_are_those_that_the_other_errors_name(record):
    said = record["metrics"]
    mean = record["protocol"]["checkpoint"].startswith("mean of")
    if "ensemble_mm" in said:
        assert said["ensemble_mm" if mean else "last_epoch_mm"] == pytest.approx(
            record.error_mm, abs=1e-3
        )
    if "read_outs_mm" in said:
        chosen = record["training"]["config"].get("read_out")  # some methods have one of their own
        single = said.get("last_epoch_mm", record.error_mm)
        # records of earlier code have the error of the chosen decoding once more
        assert said["read_outs_mm"].get(chosen, single) == pytest.approx(single, abs=1e-3)
    for name in record["files"]["read_outs"]:
        apart = records.predictions(record, name) - records.labels(record)
        error = apart.norm(dim=-1).mean().item()
        assert said["read_outs_mm"][name] == pytest.approx(error, abs=0.05)


@pytest.mark.parametrize("record", COMMITTED, ids=key)
def test_a_record_lies_where_its_facts_say(record):
    assert record.folder == paths.records() / record.key


@pytest.mark.parametrize("record", COMMITTED, ids=key)
def test_what_needs_no_learning_is_the_same_for_all_that_see_the_same_crops(record):
    def seen(run):
        return (
            run["dataset"]["labels"],
            run["training"]["source"]["centre"],
            *(run["protocol"].get(name) for name in ("centre", "centres", "cube")),
        )

    first = next(other for other in COMMITTED if seen(other) == seen(record))
    assert record["baselines"] == pytest.approx(first["baselines"], abs=1e-3)


# --- A changed record changes the page ----------------------------------------


def page(
    root, monkeypatch, chapter="results/side_by_side", cells=("imports", "runs", "costs", "table")
):
    """The last of some cells of a chapter, with the records of `root`; multiply-adds are counted in
    networks, not read.
    """
    monkeypatch.setattr(paths, "records", lambda: root)
    sources = {
        cell.id: cell.source
        for cell in nbformat.read(paths.project() / "book" / f"{chapter}.ipynb", as_version=4).cells
    }
    *before, last = [sources[cell] for cell in cells]
    names = {}
    with mpl.rc_context():
        for source in before:
            exec(source, names)
        names["operations"] = dict.fromkeys(names.get("runs", ()), 1)
        tree = ast.parse(last)
        shown = tree.body.pop()  # an expression, the output of the cell
        exec(compile(tree, chapter, "exec"), names)
        return eval(compile(ast.Expression(shown.value), chapter, "eval"), names).data


@pytest.fixture
def copied(tmp_path):
    """The records under laptop, without predictions and weights."""
    for path in paths.records().glob("*/laptop/*/record.json"):
        storage.write_text(
            tmp_path / path.relative_to(paths.records()), path.read_text(encoding="utf-8")
        )
    return tmp_path


def test_a_changed_record_changes_the_page(copied, monkeypatch):
    before = page(copied, monkeypatch)
    path = sorted(copied.glob("jgr_p2o/laptop/paper-synthetic-s0/record.json"))[0]
    facts = json.loads(path.read_text(encoding="utf-8"))
    others = [
        json.loads(p.read_text(encoding="utf-8"))
        for p in copied.glob("*/laptop/*/record.json")
        if p != path
    ]
    facts["metrics"]["mean_joint_error_mm"] = 98.76
    facts["parameters"] = 123_454_321
    path.write_text(json.dumps(facts), encoding="utf-8")
    after = page(copied, monkeypatch)
    assert "123,454,321" in after and "123,454,321" not in before
    alone = not any((o["method"], o["variant"]) == ("jgr_p2o", "paper") for o in others)
    assert ("98.76" in after) == alone and before != after  # with several seeds, their mean changes


def test_a_missing_record_is_missing_on_the_page(copied, monkeypatch):
    title = papers.title("densereg")
    for path in copied.glob("densereg/laptop/*/record.json"):
        path.unlink()
    assert title not in page(copied, monkeypatch)
    assert f"Not recorded yet: {title}." in page(copied, monkeypatch, cells=("imports", "runs"))
