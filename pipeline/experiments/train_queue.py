"""Train the runs that the book's tables and claims are made of, the most informative first.

    python -m pipeline.experiments.train_queue                       everything that is missing
    python -m pipeline.experiments.train_queue --budget 45m          stop before 45 minutes are over
    python -m pipeline.experiments.train_queue --dry-run             print the plan, train nothing
    python -m pipeline.experiments.train_queue --profile paper --device cuda --workers 4

`make runs` calls it. A run is due if it has no record of the present code and data. The order:

1. at the common size (profile 'ablation'), three seeds of each variant whose claim is undecided,
   beginning with the claim that needs the fewest minutes
2. at the common size, three seeds of every other variant
3. longer runs: profile 'evidence' for variants that a claim compares, undecided claims first, then
   profile 'laptop' for the paper's own network and the small one

Each run is a process of its own at low priority with one thread: waiting threads cost more than
they help in small networks. On a processor as many runs go on as there are cores; on a GPU they
share it. A run trains in `_build/queue`, keeps a checkpoint there and continues from it after any
interruption. Its finished record is copied to the records. Two queues never take the same run, and
SIGTERM or Ctrl-C ends a queue after it has stopped its runs.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from math import ceil
from pathlib import Path
from statistics import mean
from typing import IO

from handpose_lib import papers, paths
from handpose_lib.datasets import splits
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.io import provenance
from handpose_lib.io.storage import Checkpoints
from handpose_lib.papers.method import PROFILES, Recipe
from handpose_lib.results import claims, records

MODULE = "pipeline.experiments.train_queue"
COMMON, LONGER, OWN = "ablation", "evidence", "laptop"
STANDARD = (COMMON, LONGER, OWN)
"""The profiles that are trained if none is named."""
SHARING = 4
"""Runs that share one GPU."""
TAKEN = 75
"""Exit status of a run that another queue is training."""
CHECKPOINT_SECONDS = 30.0
FAILURES = 3
"""Runs that fail one after the other end the queue: then it is the code that fails."""
TIME_MARGIN, MEMORY_MARGIN = 3.0, 1.5
"""Factors of the measured minutes and bytes that a run asks of a cluster."""
STOP_SECONDS = 20.0
"""Runs are stopped this long before the end of a budget."""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    # keep freed memory, which makes training on a processor faster: see `pipeline.site.execute`
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}


def main(arguments: Sequence[str] | None = None) -> int:
    start = time.monotonic()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", nargs="*", help=f"default: {' '.join(STANDARD)}")
    parser.add_argument("--dataset", nargs="*", default=[splits.EMBEDDED], help="data sets")
    parser.add_argument("--paper", nargs="*", help="papers; default: all")
    parser.add_argument("--budget", type=seconds, help="time after which to stop: 45m, 2h, 1h30m")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, train nothing")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--workers", type=int, help="runs at a time; default: one per core")
    parser.add_argument("--records", type=Path, default=paths.records(), help="where records go")
    parser.add_argument("--one", metavar="RUN", help="train one run, paper/profile/variant-set-sN")
    parser.add_argument(
        "--trained",
        type=Path,
        metavar="FOLDER",
        help="with --one: take its record from the records in FOLDER, where a cluster has left it",
    )
    chosen = parser.parse_args(arguments)
    for profile in chosen.profile or ():
        one_of("profile", profile, PROFILES)
    for name in chosen.dataset:
        one_of("data set", name, splits.NAMES)
    for paper in chosen.paper or ():
        one_of("paper", paper, papers.names())
    if chosen.one and chosen.trained:
        key = Job.named(chosen.one).key
        records.copy(records.load(chosen.trained / key), chosen.records / key)
        return 0
    if chosen.one:
        return train(Job.named(chosen.one), chosen.records, chosen.device)
    jobs = planned(
        chosen.records,
        profiles=chosen.profile or STANDARD,
        datasets=chosen.dataset,
        only=chosen.paper or None,
        device=chosen.device,
    )
    queue = Queue(jobs, chosen.records, chosen.device, chosen.workers, chosen.budget)
    if chosen.dry_run:
        print("\n".join(queue.told()))
        return 0
    return queue.work(start)


# --- what is to be trained ----------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One run: what `runs.Run` needs, and its place among the records.

    `subject`: of MSRA's nine, held out instead of the default one; None for the default.
    """

    paper: str
    profile: str
    variant: str
    dataset: str = splits.EMBEDDED
    seed: int = 0
    subject: int | None = None

    @classmethod
    def named(cls, key: str) -> "Job":
        """Return the job of a key. Errors: `HandPoseError` for another form or unknown names."""
        found = re.fullmatch(r"(\w+)/(\w+)/(\w+)-(\w+)-s(\d+)(?:-p(\d))?", key)
        if not found:
            raise HandPoseError(
                f"run {key!r}: accepted is paper/profile/variant-dataset-sSEED, for example"
                " jgr_p2o/ablation/paper-synthetic-s0"
            )
        paper, profile, variant, dataset, seed, subject = found.groups()
        one_of("paper", paper, papers.names())
        one_of("profile", profile, PROFILES)
        one_of(f"variant of {paper}", variant, papers.variants(paper))
        one_of("data set", dataset, splits.NAMES)
        return cls(paper, profile, variant, dataset, int(seed), int(subject) if subject else None)

    @property
    def key(self) -> str:
        """The folder of its record below the records."""
        held = "" if self.subject is None else f"-p{self.subject}"
        return f"{self.paper}/{self.profile}/{self.variant}-{self.dataset}-s{self.seed}{held}"

    @property
    def recipe(self) -> Recipe:
        return papers.recipe(self.paper, self.dataset, self.profile, self.variant)

    @property
    def steps(self) -> int | None:
        """Updates of the whole training; None if an epoch is a whole data set."""
        frames, recipe = self.recipe.epoch_frames, self.recipe
        return frames and ceil(frames / recipe.batch) * recipe.epochs

    @property
    def keeps_weights(self) -> bool:
        """Weights are kept of the networks that come with the book: seed 0 of profile 'laptop'."""
        return self.profile in (OWN, "paper") and self.seed == 0 and self.subject is None

    @property
    def folder(self) -> Path:
        """The folder of its training, a different one for other code or other data."""
        state = f"{code(self.paper)[:12]}-{fingerprint(self.dataset, self.profile) or 'no-data'}"
        return paths.build() / "queue" / f"{self.key}.{state}"

    def done(self) -> int:
        """The updates that its checkpoint has."""
        return max(Checkpoints(self.folder / "checkpoint").steps(), default=0)


def every(profiles: Iterable[str], datasets: Iterable[str]) -> Iterator[Job]:
    """Yield all runs of the book, one seed of all variants after the other.

    Every variant is trained with three seeds on synthetic frames and with one on other sets. On
    MSRA, results are means over its nine subjects: each is held out once for the paper's own
    network. Profile 'laptop' is for the paper's own network and the small one, and the others are
    for all but the small one; 'evidence' for the rows that a claim compares.
    """
    cited = {row for pair in claims.pairs() for row in pair.rows}

    def belongs(paper: str, profile: str, variant: str) -> bool:
        return {
            OWN: variant in ("paper", "small"),
            LONGER: (paper, variant) in cited,
        }.get(profile, variant != "small")

    for profile in profiles:
        for dataset in datasets:
            for seed in claims.SEEDS if dataset == splits.EMBEDDED else (0,):
                for paper in papers.names():
                    for variant in papers.variants(paper):
                        if belongs(paper, profile, variant):
                            yield Job(paper, profile, variant, dataset, seed)
            if dataset == "msra":
                for paper in papers.names():
                    for subject in range(8):
                        yield Job(paper, profile, "paper", dataset, 0, subject)


def due(job: Job, root: Path) -> bool:
    """Return whether a run has no record of the present code and data."""
    if not (root / job.key / "record.json").exists():
        return True
    record = records.load(root / job.key)
    known = fingerprint(job.dataset, job.profile)
    return records.is_stale(record) or known not in (None, record["dataset"]["fingerprint"])


def planned(
    root: Path,
    *,
    profiles: Sequence[str] = STANDARD,
    datasets: Sequence[str] = (splits.EMBEDDED,),
    only: Sequence[str] | None = None,
    device: str = "auto",
) -> list[Job]:
    """Return the runs that are due, the most informative first. `root`: folder of the records."""
    left = {job: None for job in every(profiles, datasets) if due(job, root)}
    if only:
        left = {job: None for job in left if job.paper in only}
    fresh = [record for record in records.load_all(root) if not records.is_stale(record)]
    rates = rates_of(root, device)
    order: list[Job] = []
    asked = [pair for claim in claims.ASKED for pair in claims.pairs(claim)]
    groups = [asked, claims.pairs()]
    unanswered = [claims.undecided(group, fresh, COMMON) for group in groups]
    for profile in sorted(profiles, key=lambda name: name != COMMON):
        if profile in (COMMON, LONGER):
            # those of a claim of the book, then those of a chapter; then what is decided
            for group in [*unanswered, *groups] if profile == LONGER else unanswered:
                order += _cheapest_first(group, profile, left, rates)
        rest = [job for job in left if job.profile == profile]
        order += rest
        for job in rest:
            del left[job]
    return order


def _cheapest_first(
    asked: list[claims.Pair], profile: str, left: dict[Job, None], rates: "Rates"
) -> list[Job]:
    """Take the runs of pairs out of `left`: always those of the pair that needs fewest minutes."""
    order: list[Job] = []
    asked, minutes = list(asked), cache(rates.minutes)

    def needed(pair: claims.Pair) -> list[Job]:
        jobs = [
            Job(paper, profile, variant, seed=seed)
            for seed in claims.SEEDS
            for paper, variant in pair.rows
        ]
        return [job for job in dict.fromkeys(jobs) if job in left]

    while asked:
        cost = [sum(map(minutes, needed(pair))) for pair in asked]
        pair = asked.pop(cost.index(min(cost)))
        for job in needed(pair):
            order.append(job)
            del left[job]
    return order


@cache
def code(paper: str) -> str:
    """Return a digest of the code that decides the weights of a paper's runs on stored frames."""
    modules = [f"handpose_lib.papers.{paper}", "handpose_lib.training"]
    return records.code_digest(modules, provenance.RENDERING)


@cache
def fingerprint(dataset: str, profile: str) -> str | None:
    """Return the fingerprint of the set in the data folder, None without one."""
    try:
        size = "smoke" if profile == "smoke" else "laptop"
        return splits.open_splits(dataset, size=size)[2].fingerprint
    except DataError:
        return None


# --- how long it takes --------------------------------------------------------


class Rates:
    """Expected minutes of runs, from the rates of recorded ones on the same kind of device."""

    def __init__(self, known: Iterable[records.Record], device: str = "auto"):
        kind = "cuda" if device.startswith("cuda") else "cpu"
        known = [record for record in known if record["training"]["seconds"] > 0]
        self.measured = [record for record in known if record["device"]["type"] == kind] or known

    def minutes(self, job: Job) -> float:
        """Return the minutes that are left of a run: its frames over the rate of similar runs.

        The rate is that of the same variant if it was trained, otherwise of the same network with
        other settings, otherwise of the paper, otherwise of all papers. What the checkpoint has is
        done. Predicting the test frames counts, at the recorded throughput.
        Errors: `HandPoseError` if no run is recorded at all.
        """
        alike = self._alike(job)
        recipe = job.recipe
        frames = recipe.epochs * (recipe.epoch_frames or alike[0]["training"]["frames"])
        share = 1 - job.done() / job.steps if job.steps else 1.0
        rate = mean(r["training"]["seconds"] / r["training"]["frames"] for r in alike)
        test = mean(
            r["protocol"]["frames"] / r["inference"]["batch_32"]["frames_per_second"] for r in alike
        )
        return (share * frames * rate + test) / 60

    def memory(self, job: Job) -> int:
        """Return the largest number of bytes that similar runs have used."""
        return max(record["training"]["peak_memory"] or 0 for record in self._alike(job))

    def _alike(self, job: Job) -> list[records.Record]:
        def network(record: records.Record) -> bool:
            return record["recipe"].get("network") == asdict(job.recipe)["network"]

        tests: list[Callable[[records.Record], bool]] = [
            lambda r: r["variant"] == job.variant and r["profile"] == job.profile,
            lambda r: r["variant"] == job.variant and network(r),
            network,
            lambda r: True,
        ]
        own = [record for record in self.measured if record["method"] == job.paper]
        for test in tests:
            if found := [record for record in own if test(record)]:
                return found
        if not self.measured:
            raise HandPoseError("no run is recorded: its rate is needed to plan others")
        return self.measured


def rates_of(root: Path, device: str) -> Rates:
    """Return the rates of the runs recorded in a folder; if there is none, the committed ones."""
    return Rates(records.load_all(root) or records.load_all(), device)


def needs(job: Job, rates: Rates, device: str = "auto") -> dict[str, int]:
    """Return what a run asks of a cluster: `mem_mb`, `runtime` in minutes, `gpu` and `threads`.

    Measured minutes and memory, with a margin: a slower computer must not end the run. A device
    'auto' is none of a GPU: a cluster gives one only to those who ask for it.
    """
    on_gpu = device.startswith("cuda")
    return {
        "mem_mb": ceil(MEMORY_MARGIN * rates.memory(job) / 2**20) + 1024,
        "runtime": ceil(TIME_MARGIN * rates.minutes(job)) + 15,
        "gpu": int(on_gpu),
        "threads": 2 if on_gpu else job.recipe.parts,
    }


def seconds(text: str) -> float:
    """Return the seconds of a time such as '45m', '2h', '90s' or '1h30m'.

    Errors: `argparse.ArgumentTypeError` for another form.
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or not found:
        raise argparse.ArgumentTypeError(f"time {text!r}: accepted are 45m, 2h, 90s, 1h30m")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + rest


# --- one run, in a process of its own -----------------------------------------


def train(job: Job, root: Path, device: str = "auto") -> int:
    """Train one run to its record in `root` and return an exit status: 0, or `TAKEN`.

    A run that is not due is left as it is. What the folder of the run has is continued.
    """
    with lock(job) as mine:
        if not mine:
            return TAKEN
        if not due(job, root):
            return 0
        import torch  # not for a dry run

        from handpose_lib.runs import HELD_OUT
        from pipeline.experiments.shared_run import SharedRun

        if device != "cuda":
            torch.set_num_threads(1)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        drop(other for other in earlier(job) if other != job.folder)
        run = SharedRun(
            job.paper,
            job.profile,
            job.dataset,
            variant=job.variant,
            seed=job.seed,
            device=device,
            out=job.folder,
            weights="half" if job.keeps_weights else "none",
            subject=HELD_OUT if job.subject is None else job.subject,
        )
        record = run.complete(progress=False, checkpoint_seconds=CHECKPOINT_SECONDS)
        records.copy(record, root / job.key)
        drop([job.folder])
        print(f"{record.error_mm:.2f} mm", flush=True)
        return 0


def earlier(job: Job) -> list[Path]:
    """Return the folders of trainings of this run, with the present code and any other."""
    return sorted((paths.build() / "queue" / job.key).parent.glob(f"{Path(job.key).name}.*-*"))


def drop(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def lock(job: Job) -> Iterator[bool]:
    """Hold the lock of a run inside the block; yields False if another process holds it.

    The system releases it when the process ends, however it ends.
    """
    from filelock import FileLock, Timeout

    path = paths.build() / "queue" / "locks" / (job.key.replace("/", "--") + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path, timeout=0)
    try:
        held.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


# --- the queue ----------------------------------------------------------------


@dataclass
class Running:
    """A started process; `cores`: as many as its recipe has parts, on a processor."""

    job: Job
    process: subprocess.Popen
    log: IO
    started: float
    cores: int


@dataclass
class Queue:
    """Runs in order, and the processes that train them.

    workers    cores of the processor that are used, or runs that share a GPU; None: all, `SHARING`
    budget     seconds after which no run goes on; None: no limit
    """

    jobs: list[Job]
    root: Path
    device: str = "auto"
    workers: int | None = None
    budget: float | None = None
    every_seconds: float = 60.0  # between two lines of progress
    running: list[Running] = field(default_factory=list)
    finished: list[Job] = field(default_factory=list)
    failed: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    stopping: bool = False
    failures: int = 0  # one after the other

    def __post_init__(self) -> None:
        on_gpu = self.device.startswith("cuda")
        self.workers = self.workers or (SHARING if on_gpu else cores())
        self.rates = rates_of(self.root, self.device)

    def told(self) -> list[str]:
        """Return the plan: the runs in order with their minutes, and when each would end."""
        budget = None if self.budget is None else self.budget / 60
        lines, total = [f"{len(self.jobs)} runs are due, {self.workers} at a time"], 0.0
        for job, end in zip(self.jobs, self.ends(self.jobs), strict=True):
            minutes = self.rates.minutes(job)
            total += minutes
            late = "" if budget is None or end <= budget else "  after the budget"
            lines.append(f"{minutes:8.1f} min, ends after {end:8.1f} min  {job.key}{late}")
        lines.append(
            f"{total / 60:.1f} hours of runs, {self.wait(self.jobs) / 60:.1f} hours to wait"
        )
        return lines

    def ends(self, jobs: Sequence[Job], ahead: Sequence[float] = ()) -> list[float]:
        """Return the minutes after which each run ends, if they start in order on free cores.

        `ahead`: the minutes that the runs on the first cores still need.
        """
        assert self.workers is not None
        free = sorted([*ahead, *[0.0] * self.workers][: self.workers])
        found = []
        for job in jobs:
            needs = self.cores(job)
            start = free[needs - 1]
            end = start + self.rates.minutes(job)
            free = sorted([*free[needs:], *[end] * needs])
            found.append(end)
        return found

    def wait(self, jobs: Sequence[Job], ahead: Sequence[float] = ()) -> float:
        """Return the minutes until all runs have ended."""
        return max([*self.ends(jobs, ahead), *ahead], default=0.0)

    def cores(self, job: Job) -> int:
        """Return how many cores a run takes of `workers`."""
        assert self.workers is not None
        return 1 if self.device.startswith("cuda") else min(job.recipe.parts, self.workers)

    def command(self, job: Job) -> list[str]:
        """Return the command line that trains a run."""
        options = ["--device", self.device, "--records", str(self.root.resolve())]
        return [sys.executable, "-m", MODULE, "--one", job.key, *options]

    def work(self, start: float | None = None) -> int:
        """Train until nothing is left, the budget is used, a signal comes or all runs fail.

        `start`: the monotonic time at which the budget began; None: now. Returns 0, or 1 if a run
        failed.
        """
        start = time.monotonic() if start is None else start
        end = None if self.budget is None else start + self.budget - STOP_SECONDS
        before = {
            number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)
        }
        waiting, said = list(self.jobs), 0.0
        self._say(waiting)
        try:
            while (waiting or self.running) and not self.stopping:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    print("the budget is used", flush=True)
                    break
                changed = self._collect()
                if self.failures >= FAILURES:
                    print(f"{FAILURES} runs failed one after the other: the queue ends", flush=True)
                    break
                while waiting and (job := self._next(waiting, left)):
                    waiting.remove(job)
                    self._start(job)
                    changed = True
                if changed or time.monotonic() - said > self.every_seconds:
                    self._say(waiting)
                    said = time.monotonic()
                time.sleep(0.2)
        finally:
            stopped = self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        waiting = [*stopped, *waiting]
        self._say(waiting)
        for job in stopped:
            print(f"  continues later: {job.key}, {_share(job)}", flush=True)
        for job in self.failed:
            print(f"  failed: {job.key}, see {_log(job)}", flush=True)
        return int(bool(self.failed))

    def _next(self, waiting: list[Job], left: float | None) -> Job | None:
        """Return the next run that the free cores can take.

        Within a budget it is the first that will be ready in time. If there is none, it is the
        first: it continues from its checkpoint another time.
        """
        assert self.workers is not None
        free = self.workers - sum(running.cores for running in self.running)
        if free < self.cores(waiting[0]):  # a wide run is not overtaken for ever
            return None
        if left is not None:
            for job in waiting:
                if self.cores(job) <= free and 60 * self.rates.minutes(job) <= left:
                    return job
        return waiting[0]

    def _start(self, job: Job) -> None:
        path = _log(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
        process = subprocess.Popen(
            self.command(job),
            cwd=paths.code(),
            env={**os.environ, **ONE_THREAD},
            stdout=log,
            stderr=log,
            preexec_fn=_low_priority if os.name == "posix" else None,
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops the runs
        )
        self.running.append(Running(job, process, log, time.monotonic(), self.cores(job)))

    def _collect(self) -> bool:
        """Take the ended processes out of the running ones; return whether there were any."""
        ended = [running for running in self.running if running.process.poll() is not None]
        for running in ended:
            self.running.remove(running)
            running.log.close()
            status = running.process.returncode
            kind = {0: self.finished, TAKEN: self.skipped}.get(status, self.failed)
            kind.append(running.job)
            self.failures = self.failures + 1 if kind is self.failed else 0
            minutes = (time.monotonic() - running.started) / 60
            word = {0: "recorded", TAKEN: "is trained by another queue"}.get(status, "FAILED")
            print(f"{running.job.key}: {word}, {minutes:.1f} min", flush=True)
        if ended:
            self.rates = rates_of(self.root, self.device)
        return bool(ended)

    def _end(self) -> list[Job]:
        """Stop the running processes; return the runs that are not recorded."""
        self._collect()
        for running in self.running:
            running.process.terminate()
        for running in self.running:
            try:
                running.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                running.process.kill()  # its last checkpoint stays valid
                running.process.wait()
            running.log.close()
        stopped = [running.job for running in self.running if running.process.returncode != 0]
        self.finished += [r.job for r in self.running if r.process.returncode == 0]
        self.running.clear()
        return stopped

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _say(self, waiting: list[Job]) -> None:
        """Print what is done, running and left, and when all will be finished."""
        ahead = [self.rates.minutes(r.job) for r in self.running for _ in range(r.cores)]
        now = ", ".join(f"{r.job.key} {_share(r.job)}" for r in self.running) or "none"
        end = time.localtime(time.time() + 60 * self.wait(waiting, ahead))
        print(
            f"[{time.strftime('%H:%M:%S')}] done {len(self.finished)}, running {now},"
            f" left {len(waiting)}, failed {len(self.failed)}; all finished about"
            f" {time.strftime('%a %d %b %H:%M', end)}",
            flush=True,
        )


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _low_priority() -> None:
    os.nice(10)


def _log(job: Job) -> Path:
    return paths.build() / "queue" / "logs" / (job.key.replace("/", "--") + ".log")


def _share(job: Job) -> str:
    return f"{job.done() / job.steps:.0%}" if job.steps else f"{job.done():,} updates"


if __name__ == "__main__":
    sys.exit(main())
