"""The queue of trainings: what is due, in which order, and what an interruption leaves."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from handpose_lib import papers, paths
from handpose_lib.errors import HandPoseError
from handpose_lib.io import storage
from handpose_lib.results import claims, records
from pipeline.experiments import train_queue
from pipeline.experiments.train_queue import Job, Queue
from tests.support.data_folders import made_with

STANDARD = train_queue.STANDARD


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "build", lambda: tmp_path / "_build")
    return tmp_path / "_build"


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.setattr(train_queue, "fingerprint", lambda dataset, profile: None)


def present(root, *wanted):
    """Copies of committed records, with the digest of the present code."""
    for record in wanted:
        shutil.copytree(record.folder, root / record.key)
        shutil.copytree(paths.records() / "labels", root / "labels", dirs_exist_ok=True)
        record = records.load(root / record.key)
        code = record["code"]
        code["digest"] = records.code_digest(code["modules"], code.get("without", ()))
        storage.write_json(record.folder / "record.json", record)


# --- which, and in which order ------------------------------------------------


def test_every_run_of_the_book_is_planned_once(tmp_path, build, no_data):
    order = train_queue.planned(tmp_path / "none")
    assert len(order) == len(set(order))
    assert set(order) == set(train_queue.every(STANDARD, ["synthetic"]))
    for paper in papers.names():
        for variant in papers.variants(paper):
            seeds = {
                job.seed
                for job in order
                if (job.paper, job.variant) == (paper, variant)
                and job.profile == ("laptop" if variant == "small" else "ablation")
            }
            assert seeds == set(claims.SEEDS)


def test_an_undecided_claim_comes_first_then_missing_seeds_then_longer_runs(
    tmp_path, build, no_data
):
    order = train_queue.planned(tmp_path / "none")
    cited = {row for pair in claims.pairs() for row in pair.rows}
    asked = {row for claim in claims.ASKED for pair in claims.pairs(claim) for row in pair.rows}

    def rank(job):
        row = (job.paper, job.variant)
        group = 0 if row in asked else 1 if row in cited else 2
        return STANDARD.index(job.profile), group * (job.profile != "laptop")

    ranks = [rank(job) for job in order]
    assert ranks == sorted(ranks)


def test_within_a_group_the_pair_with_the_fewest_minutes_is_completed_first(
    tmp_path, build, no_data
):
    order = train_queue.planned(tmp_path / "none")
    rates = train_queue.rates_of(tmp_path / "none", "auto")
    pairs = [pair for claim in claims.ASKED for pair in claims.pairs(claim)]

    def runs(pair):
        return {
            Job(paper, "ablation", variant, seed=seed)
            for paper, variant in pair.rows
            for seed in claims.SEEDS
        }

    cheapest = min(pairs, key=lambda pair: sum(map(rates.minutes, runs(pair))))
    assert set(order[: len(runs(cheapest))]) == runs(cheapest)


def test_what_is_decided_waits_and_what_is_recorded_is_not_trained(
    tmp_path, build, no_data, monkeypatch
):
    recorded = records.find(method="jgr_p2o", profile="ablation", dataset="msra")
    present(tmp_path / "records", *recorded)
    every = set(train_queue.planned(tmp_path / "none"))
    order = train_queue.planned(tmp_path / "records")
    assert every - set(order) == {Job.named(record.key) for record in recorded}
    decided = claims.pairs(2)
    monkeypatch.setattr(
        claims, "undecided", lambda asked, found, profile: [p for p in asked if p not in decided]
    )
    rows = {row for pair in decided for row in pair.rows}
    open_rows = {r for pair in claims.pairs() if pair not in decided for r in pair.rows}
    for profile in ("ablation", "evidence"):
        runs = [
            (job.paper, job.variant)
            for job in train_queue.planned(tmp_path / "records")
            if job.profile == profile
        ]
        last = max(n for n, row in enumerate(runs) if row in open_rows)
        assert all(n > last for n, row in enumerate(runs) if row in rows - open_rows)


def test_a_run_of_other_code_or_data_is_due(tmp_path, build, monkeypatch):
    record = records.find(method="jgr_p2o", profile="ablation", dataset="msra")[0]
    root, job = tmp_path / "records", Job.named(record.key)
    present(root, record)
    here = record["dataset"]["fingerprint"]
    for known, expected in ((None, False), (here, False), ("another", True)):
        monkeypatch.setattr(train_queue, "fingerprint", lambda *_, known=known: known)
        assert train_queue.due(job, root) == expected
    monkeypatch.setattr(train_queue, "fingerprint", lambda *_: None)
    stale = storage.read_json(root / job.key / "record.json")
    stale["code"]["digest"] = "0" * 64
    storage.write_json(root / job.key / "record.json", stale)
    assert train_queue.due(job, root)
    (root / job.key / "record.json").unlink()
    assert train_queue.due(job, root)


def test_msra_holds_out_each_subject_once(tmp_path):
    found = {
        job.subject
        for job in train_queue.every(["paper"], ["msra"])
        if (job.paper, job.variant) == ("jgr_p2o", "paper")
    }
    assert found == {None, *range(8)}


@pytest.mark.parametrize(
    "job", [Job("jgr_p2o", "paper", "p2o", "msra", 2, 3), Job("densereg", "laptop", "small")]
)
def test_a_key_names_its_job(job):
    assert Job.named(job.key) == job


@pytest.mark.parametrize(
    "key", ["jgr_p2o", "x/laptop/paper-synthetic-s0", "jgr_p2o/laptop/red-synthetic-s0"]
)
def test_a_key_that_names_no_run(key):
    with pytest.raises(HandPoseError, match="accepted"):
        Job.named(key)


# --- how long -----------------------------------------------------------------


def test_the_minutes_of_a_recorded_run_are_those_of_its_training(build):
    """Its own rate over its own frames; four times the frames take four times as long."""
    record = records.find(method="jgr_p2o", profile="ablation", variant="dhm", dataset="msra")[0]
    job = Job.named(record.key)
    one = train_queue.Rates([record])
    test = record["protocol"]["frames"] / record["inference"]["batch_32"]["frames_per_second"]
    assert job.recipe.epoch_frames
    frames = job.recipe.epochs * job.recipe.epoch_frames / record["training"]["frames"]
    expected = record["training"]["seconds"] * frames
    assert 60 * one.minutes(job) == pytest.approx(expected + test)
    longer = replace(job, profile="evidence")
    assert 60 * one.minutes(longer) == pytest.approx(4 * expected + test)
    other = Job("densereg", "ablation", "paper")
    assert one.minutes(other) > 0, "no rate of its own: that of the others"
    with pytest.raises(HandPoseError, match="no run is recorded"):
        train_queue.Rates([]).minutes(job)


def test_what_the_checkpoint_has_is_done(build, no_data):
    job = Job("jgr_p2o", "ablation", "paper")
    rates = train_queue.rates_of(paths.records(), "auto")
    whole = rates.minutes(job)
    assert job.steps
    storage.write_json(job.folder / "checkpoint" / f"{job.steps // 2:08d}.json", {})
    half = rates.minutes(job)
    storage.write_json(job.folder / "checkpoint" / f"{job.steps:08d}.json", {})
    assert whole - half == pytest.approx(half - rates.minutes(job), rel=1e-9)


def test_runs_fill_the_cores(tmp_path, build, monkeypatch):
    monkeypatch.setattr(train_queue.Rates, "minutes", lambda self, job: 3.0)
    jobs = [Job("jgr_p2o", "ablation", "paper", seed=seed) for seed in range(5)]
    queue = Queue(jobs, tmp_path, workers=2)
    assert queue.ends(jobs) == [3, 3, 6, 6, 9]
    assert queue.ends(jobs[:2], ahead=[1.0, 2.0]) == [4, 5]
    wide = replace(jobs[0], profile="laptop")  # a batch in two parts, each on a core
    assert queue.cores(wide) == wide.recipe.parts == 2
    assert queue.ends([jobs[0], wide, jobs[1]]) == [3, 6, 9]
    assert Queue(jobs, tmp_path, "cuda", workers=2).cores(wide) == 1


@pytest.mark.parametrize(
    "text, expected", [("45m", 2700), ("2h", 7200), ("90s", 90), ("1h30m", 5400)]
)
def test_times(text, expected):
    assert train_queue.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "45", "m", "1m1h", "-3m"])
def test_what_is_no_time(text):
    with pytest.raises(argparse.ArgumentTypeError, match="accepted are 45m"):
        train_queue.seconds(text)


def test_a_dry_run_prints_the_plan_and_trains_nothing(tmp_path, build, no_data, capsys):
    options = ["--dry-run", "--records", str(tmp_path / "none"), "--paper", "jgr_p2o"]
    assert train_queue.main([*options, "--profile", "ablation", "--budget", "20m"]) == 0
    lines = capsys.readouterr().out.splitlines()
    jobs = [job for job in train_queue.every(["ablation"], ["synthetic"]) if job.paper == "jgr_p2o"]
    assert len(lines) == len(jobs) + 2
    assert all(sum(job.key in line for line in lines) == 1 for job in jobs)
    for line in lines[1:-1]:
        assert (float(line.split()[4]) > 20) == line.endswith("after the budget")
    assert not list(tmp_path.glob("**/*.lock")) and not (tmp_path / "none").exists()


# --- one run ------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made_with("msra", 1, folder / "synthetic" / "msra-smoke")
    return folder


@pytest.fixture
def brief(data, build, monkeypatch):
    """A small data set, and recipes of sixteen frames in two epochs."""
    monkeypatch.setattr(paths, "data", lambda: data)
    train_queue.fingerprint.cache_clear()
    recipe = papers.recipe

    def shortened(*arguments):
        return replace(recipe(*arguments), batch=4, epochs=2, epoch_frames=8, warmup=0)

    monkeypatch.setattr(papers, "recipe", shortened)
    yield Job("jgr_p2o", "smoke", "small")
    train_queue.fingerprint.cache_clear()


def test_a_run_is_recorded_once_and_leaves_nothing_else(tmp_path, build, brief):
    root = tmp_path / "records"
    left = brief.folder.with_name(f"{brief.folder.name[:-5]}older")
    left.mkdir(parents=True)
    assert train_queue.train(brief, root, "cpu") == 0
    record = records.load(root / brief.key)
    assert record.key == brief.key and not train_queue.due(brief, root)
    assert (root / "labels").is_dir() and not train_queue.earlier(brief)
    assert record["files"]["weights"] is None
    predicted, true = records.joints(record)
    error = (predicted - true).norm(dim=-1).mean().item()
    assert error == pytest.approx(record.error_mm, abs=0.05)
    before = (root / brief.key / "record.json").stat().st_mtime_ns
    assert train_queue.train(brief, root, "cpu") == 0
    assert (root / brief.key / "record.json").stat().st_mtime_ns == before


def test_an_interrupted_run_continues_from_its_checkpoint(tmp_path, build, brief):
    from handpose_lib.runs import Run

    run = Run(brief.paper, brief.profile, variant="small", device="cpu", out=brief.folder)
    data = run.open_data()
    run.train(run.create_method(data), data, progress=False, until=1)
    assert 0 < brief.done() < brief.steps
    assert train_queue.train(brief, tmp_path / "records", "cpu") == 0
    whole = replace(run, out=tmp_path / "whole").complete(progress=False)
    assert records.load(tmp_path / "records" / brief.key)["curve"] == whole["curve"]


def test_what_does_not_depend_on_the_network_is_computed_once(tmp_path, build, brief, monkeypatch):
    """The second seed finds crops and baselines, and its record is that of a run of its own."""
    from handpose_lib import evaluation
    from handpose_lib.runs import Run

    root, computed, baselines = tmp_path / "records", [], evaluation.baselines
    monkeypatch.setattr(
        evaluation, "baselines", lambda *a, **k: computed.append(1) or baselines(*a, **k)
    )
    second = replace(brief, seed=1)
    assert train_queue.train(brief, root, "cpu") == train_queue.train(second, root, "cpu") == 0
    assert len(computed) == 1
    run = Run(brief.paper, brief.profile, variant="small", seed=1, device="cpu", out=tmp_path / "w")
    alone, found = run.complete(progress=False), records.load(root / second.key)
    for name in ("curve", "baselines", "metrics", "protocol", "dataset", "code", "recipe"):
        assert found[name] == alone[name], name
    assert found["training"]["source"] == alone["training"]["source"]


def test_a_run_that_another_queue_trains_is_left_to_it(tmp_path, build, brief):
    with train_queue.lock(brief) as mine, train_queue.lock(brief) as again:
        assert mine and not again
        assert train_queue.train(brief, tmp_path / "records") == train_queue.TAKEN
    with train_queue.lock(brief) as mine:
        assert mine


# --- many runs ----------------------------------------------------------------


class Played(Queue):
    """A queue whose runs are short scripts."""

    script = "pass"

    def command(self, job):
        return [sys.executable, "-c", self.script, str(self.root), job.key]


@pytest.fixture
def jobs(build, no_data):
    return [Job("jgr_p2o", "ablation", "paper", seed=seed) for seed in range(4)]


def test_all_runs_are_trained_as_many_at_a_time_as_there_are_workers(tmp_path, jobs, capsys):
    tmp_path = tmp_path / "marks"
    tmp_path.mkdir()
    queue = Played(jobs, tmp_path, workers=2)
    queue.script = (
        "import os, pathlib, sys, time\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "mark = here / sys.argv[2].replace('/', '-')\n"
        "mark.with_suffix('.on').touch(); time.sleep(0.5)\n"
        'mark.write_text(f\'{len(list(here.glob("*.on")))}'
        ' {os.environ["OMP_NUM_THREADS"]} {os.nice(0)}\')\n'
        "mark.with_suffix('.on').unlink()\n"
    )
    assert queue.work() == 0
    assert queue.finished and set(queue.finished) == set(jobs)
    for job in jobs:
        together, threads, priority = (tmp_path / job.key.replace("/", "-")).read_text().split()
        assert int(together) <= 2 and threads == "1" and int(priority) > os.nice(0)
    said = capsys.readouterr().out
    assert "done 4, running none, left 0, failed 0" in said and "all finished about" in said


def test_a_run_that_fails_does_not_stop_the_others(tmp_path, jobs, capsys):
    queue = Played(jobs, tmp_path, workers=2)
    queue.script = (
        f"import sys; sys.exit({{'1': 3, '2': {train_queue.TAKEN}}}.get(sys.argv[2][-1]))"
    )
    assert queue.work() == 1
    assert queue.failed == [jobs[1]] and queue.skipped == [jobs[2]]
    assert set(queue.finished) == {jobs[0], jobs[3]}
    assert f"failed: {jobs[1].key}, see" in capsys.readouterr().out


def test_when_every_run_fails_the_queue_ends(tmp_path, build, no_data, capsys):
    jobs = [Job("jgr_p2o", "ablation", "paper", seed=seed) for seed in range(9)]
    queue = Played(jobs, tmp_path, workers=1)
    queue.script = "raise ImportError"
    assert queue.work() == 1 and queue.failed == jobs[: train_queue.FAILURES]
    assert "the queue ends" in capsys.readouterr().out


def test_a_budget_ends_before_its_time_and_stops_the_runs(tmp_path, jobs, monkeypatch, capsys):
    monkeypatch.setattr(train_queue, "STOP_SECONDS", 3.0)
    queue = Played(jobs, tmp_path, workers=2, budget=5.0)
    queue.script = "import time; time.sleep(60)"
    start = time.monotonic()
    assert queue.work() == 0
    assert time.monotonic() - start < 5.0
    assert not queue.running and not queue.finished
    said = capsys.readouterr().out
    assert "the budget is used" in said and said.count("continues later") == 2


def test_within_a_budget_a_run_that_will_be_ready_goes_first(tmp_path, jobs, monkeypatch):
    monkeypatch.setattr(train_queue.Rates, "minutes", lambda self, job: 10.0 - 2 * job.seed)
    queue = Played(jobs, tmp_path, workers=2, budget=3600)
    assert queue._next(jobs, None) == jobs[0]
    assert queue._next(jobs, 8.5 * 60) == jobs[1]
    assert queue._next(jobs, 60) == jobs[0], "none will be ready: the first goes on another time"


def test_sigterm_ends_the_queue_and_its_runs(tmp_path, jobs, project):
    """In a process of its own, which prints the runs' ids when they have started."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.pipeline.experiments import test_train_queue as t\n"
        "t.train_queue.fingerprint = lambda *_: None\n"
        "t.paths.build = lambda: Path(sys.argv[1])\n"
        "queue = t.Played([t.Job('jgr_p2o', 'ablation', 'paper', seed=s) for s in range(3)],"
        " Path(sys.argv[1]), workers=2)\n"
        "queue.script = 'import time; time.sleep(60)'\n"
        "start = queue._start\n"
        "queue._start = lambda job: (start(job), print('started', queue.running[-1].process.pid,"
        " flush=True))\n"
        "sys.exit(queue.work())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    pids = []
    for line in process.stdout:
        pids += [int(line.split()[1])] if line.startswith("started") else []
        if len(pids) == 2:
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    assert process.wait(30) == 0 and rest.count("continues later") == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
