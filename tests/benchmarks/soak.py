"""Does anything grow in a process that runs for hours? Four kinds of work, again and again.

    python -m tests.benchmarks.soak --minutes 60

Each round draws the live figures, packs a data set and reads it in batches, trains a network for an
epoch, and grades the submission of one student. After each round, what the process holds is
counted: memory (MiB, its own), file descriptors, threads, child processes and entries of the folder
for temporary files. The folder is one of its own, so that no other program adds to it.

Prints a line for each round. At the end stand a table with the slopes and the same as JSON. The
first rounds fill caches, so the slopes are those of the second half of the rounds. A slope is the
median of the slopes between all pairs of rounds (Theil and Sen), which a single outlier does not
change. Stated: no descriptor, thread, process or file is added, and less than 0.5 MiB for each
round.
"""

import argparse
import contextlib
import dataclasses
import gc
import io
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import nbformat
import psutil
import torch

from data_scripts import make_synthetic
from handpose_lib import datasets, evaluation, papers, training
from handpose_lib.errors import HandPoseError
from handpose_lib.teaching import exercises, figures, widgets
from handpose_lib.teaching.widgets import live
from handpose_lib.training import crop_cache
from pipeline.grading import assignment, grade, walls
from tests.benchmarks.widgets import of_geometry

STATED = {"memory_mib": 0.5, "descriptors": 0, "threads": 0, "processes": 0, "files": 0}
"""What may be added for each round."""
PAPER, CHAPTER, BATCH = "jgr_p2o", "measuring", 16


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long rounds are started")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        (Path(name) / "temporary").mkdir()
        tempfile.tempdir = os.environ["TMPDIR"] = str(Path(name) / "temporary")
        try:
            found = soak(Path(name), chosen.minutes)
        finally:
            tempfile.tempdir = None
            del os.environ["TMPDIR"]
    print(table(found))
    print(json.dumps(found, indent=1))
    return int(any(found["slopes"][name] > most for name, most in STATED.items()))


def soak(folder: Path, minutes: float) -> dict:
    """Work in rounds for so many minutes; return what was held after each, and the slopes."""
    jobs = {
        "figures": drawing(),
        "loading": loading(folder / "loading"),
        "training": learning(folder / "training"),
        "grading": grading(folder / "grading"),
    }
    start, rounds = time.monotonic(), []
    while len(rounds) < 4 or time.monotonic() - start < 60 * minutes:
        seconds = {}
        for name, job in jobs.items():
            begun = time.monotonic()
            with contextlib.redirect_stderr(io.StringIO()):
                job()
            seconds[name] = time.monotonic() - begun
        rounds.append({**held(folder / "temporary"), "seconds": seconds})
        told = ", ".join(f"{name} {rounds[-1][name]:.0f}" for name in STATED)
        print(f"round {len(rounds)}: {told}", flush=True)
    half = rounds[len(rounds) // 2 :]
    return {
        "device": evaluation.device_facts(torch.device("cpu")),
        "minutes": (time.monotonic() - start) / 60,
        "rounds": rounds,
        "slopes": {name: slope([one[name] for one in half]) for name in STATED},
        "stated": STATED,
    }


def held(temporary: Path) -> dict:
    """Return what this process holds at the moment."""
    gc.collect()
    process = psutil.Process()
    return {
        "memory_mib": process.memory_full_info().uss / 2**20,
        "descriptors": process.num_handles() if sys.platform == "win32" else process.num_fds(),
        "threads": process.num_threads(),
        "processes": len(process.children(recursive=True)),
        "files": sum(1 for _ in temporary.rglob("*")),
    }


def slope(values: list[float]) -> float:
    """Return what is added for each round: the median of the slopes between all pairs."""
    pairs = itertools.combinations(enumerate(values), 2)
    return median((b - a) / (j - i) for (i, a), (j, b) in pairs)


# --- the four kinds of work ---------------------------------------------------


def drawing() -> Callable[[], None]:
    figures.style()
    pictures = of_geometry()

    def draw() -> None:
        for picture in pictures.values():
            widgets.png(picture(), live.DPI, quick=True)

    return draw


def loading(folder: Path) -> Callable[[], None]:
    with contextlib.redirect_stdout(sys.stderr):
        make_synthetic.main(["--frames", "1", "--out", str(folder / "set")])

    def load() -> None:
        data = datasets.open("msra", folder / "set")
        shutil.rmtree(folder / "packed", ignore_errors=True)
        packed = crop_cache.Packed(data, (240.0, 260.0), path=folder / "packed", progress=False)
        stored = training.Stored(data, (240.0, 260.0))
        for step in range(len(data) // BATCH):
            one, other = packed.batch(step, BATCH), stored.batch(step, BATCH)
            assert torch.equal(one.depth, other.depth)

    return load


def learning(folder: Path) -> Callable[[], None]:
    recipe = papers.recipe(PAPER, profile="smoke")
    recipe = dataclasses.replace(recipe, epochs=1, epoch_frames=2 * BATCH, batch=BATCH)
    source = training.OnTheFly(frames=2 * BATCH, cube=recipe.cube_train)

    def train() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        method = papers.create(PAPER, "msra21", "small")
        history = training.fit(method, source, recipe, folder, device="cpu", progress=False)
        assert history.frames == 2 * BATCH

    return train


def grading(folder: Path) -> Callable[[], None]:
    with contextlib.redirect_stdout(sys.stderr):
        assignment.main([CHAPTER, "--out", str(folder / "handout")])
    handout = nbformat.read(folder / "handout" / f"{CHAPTER}.ipynb", as_version=4)
    cells = {cell.id: cell for cell in handout.cells}
    for exercise in exercises.chapter(CHAPTER).exercises:
        if exercise.answer in cells:
            cells[exercise.answer].source = exercise.solution
    (folder / "in" / "ada").mkdir(parents=True)
    nbformat.write(handout, folder / "in" / "ada" / f"{CHAPTER}.ipynb")
    trust = not has_walls()

    def judge() -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        (row,) = grade.grade(folder / "in", folder / "out", [CHAPTER], jobs=1, trust=trust)
        assert row["status"] == "graded", row

    return judge


def has_walls() -> bool:
    try:
        walls.found()
    except HandPoseError:
        return False
    return True


def table(found: dict) -> str:
    """Return the slopes as text."""
    first, last = found["rounds"][0], found["rounds"][-1]
    lines = [
        f"{len(found['rounds'])} rounds in {found['minutes']:.0f} minutes",
        f"{'':14}{'first':>9}{'last':>9}{'a round':>10}{'stated':>9}",
    ]
    lines += [
        f"{name:14}{first[name]:9.0f}{last[name]:9.0f}{found['slopes'][name]:+10.3f}{most:9.1f}"
        for name, most in STATED.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
