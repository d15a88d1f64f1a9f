"""How fast is a prediction file read, scored and checked for signs of a mistake?

    python tests/benchmarks/scoring.py

A file of NYU's size (8,252 frames of 14 joints) is written as the community writes it, read, and
scored. Prints a table and the same as JSON; beside it, as a yardstick, how long numpy takes to read
the same text.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from handpose_lib import published
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.evaluation import metrics
from handpose_lib.published import files, sanity, spaces

FRAMES, ROUNDS = 8252, 5


def main() -> int:
    benchmark = published.BENCHMARKS["nyu"]
    draw = torch.Generator().manual_seed(0)
    labels = 80 * torch.randn(FRAMES, benchmark.joints, 3, generator=draw, dtype=torch.float64)
    labels = labels + torch.tensor([0.0, 0.0, 800.0])
    predicted = labels + 5 * torch.randn(labels.shape, generator=draw, dtype=torch.float64)
    with tempfile.TemporaryDirectory() as folder:
        path = files.write(
            Path(folder) / "nyu.txt", xyz_to_uvd(predicted, torch.tensor(benchmark.intrinsics))
        )
        points = files.read(path, benchmark.joints).points
        seconds = in_turns(
            {
                "read": lambda: files.read(path, benchmark.joints),
                "numpy_reads": lambda: np.loadtxt(path),
                "score": lambda: score(points, labels, benchmark),
                "score_and_check": lambda: published.score_file(
                    path, "nyu", labels, against={"another": predicted}, root=folder
                ),
            }
        )
    found = {
        "frames": FRAMES,
        **{f"{name}_s": value for name, value in seconds.items()},
        "times_as_fast_as_numpy": seconds["numpy_reads"] / seconds["read"],
    }
    width = max(map(len, found))
    print("\n".join(f"{name:<{width}}  {value:.3f}" for name, value in found.items()))
    print(json.dumps(found, indent=1))
    return 0


def score(points, labels, benchmark):
    predicted = spaces.to_mm(points, spaces.of(points, benchmark.camera), benchmark.intrinsics)
    sanity.order(predicted, labels)
    return metrics.summary(predicted, labels)


def in_turns(jobs: dict) -> dict[str, float]:
    """Median seconds of each job, called in turns: a busy machine disturbs all alike."""
    rounds = {name: [] for name in jobs}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            begin = time.perf_counter()
            job()
            rounds[name].append(time.perf_counter() - begin)
    return {name: median(times) for name, times in rounds.items()}


if __name__ == "__main__":
    sys.exit(main())
