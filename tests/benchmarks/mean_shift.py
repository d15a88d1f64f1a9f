"""How fast are votes merged? Mean shift over all frames and joints at once, against one joint after
the other.

    python tests/benchmarks/mean_shift.py                  # half a minute on two CPU cores
    python tests/benchmarks/mean_shift.py --device cuda    # ours on a GPU, the others on the CPU

Prints a table and the same as JSON. 32 frames × 14 joints with 5 votes each, ten steps, as DenseReg
reads NYU. Against it a loop over Algorithm 1 in plain Python, the same in NumPy, and scikit-learn's
MeanShift per joint from the same start, whose kernel is a ball and not a Gaussian, so that only its
time is compared. What is compared runs in turns, a few rounds, and the median of the rounds counts.
On a CPU the seconds are those that this process computed, in all its threads.
"""

import argparse
import json
import math
import sys
import time
from statistics import median

import numpy as np
import torch
from sklearn.cluster import MeanShift  # pyright: ignore[reportMissingImports]  # extra "bench"

from handpose_lib import evaluation
from handpose_lib.nets.mean_shift import densest, log_weights, mean_shift

FRAMES, JOINTS, VOTES, SIGMA, ITERATIONS, ROUNDS = 32, 14, 5, 40.0, 10, 5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, ... for ours")
    device = evaluation.find_device(parser.parse_args().device)

    points, weights = votes()
    on_device = points.to(device), weights.to(device)
    start = densest(points, log_weights(weights), SIGMA)
    sets = list(
        zip(
            points.flatten(0, 1).tolist(),
            weights.flatten().view(-1, VOTES).tolist(),
            start.flatten(0, 1).tolist(),
            strict=True,
        )
    )
    arrays = [tuple(np.array(part) for part in each) for each in sets]

    def ours():
        return mean_shift(*on_device, SIGMA, ITERATIONS)

    def plain():
        return [algorithm_1(*each) for each in sets]

    def numpy():
        return [algorithm_1_numpy(*each) for each in arrays]

    def scikit_learn():
        return [
            MeanShift(bandwidth=SIGMA, seeds=p[None], max_iter=ITERATIONS, cluster_all=True)
            .fit(x)
            .cluster_centers_[0]
            for x, _, p in arrays
        ]

    merged = ours().cpu().flatten(0, 1)
    apart = {
        name: (merged - torch.tensor(np.array(loop()), dtype=merged.dtype)).abs().max().item()
        for name, loop in (("plain", plain), ("numpy", numpy))
    }
    if max(apart.values()) > 1e-3:  # mm: float32 against float64
        raise SystemExit(f"the versions do not agree: {apart} mm apart")
    times = in_turns(
        device, {"ours": ours, "plain": plain, "numpy": numpy, "scikit_learn": scikit_learn}
    )
    found = {
        "device": evaluation.device_facts(device),
        "frames": FRAMES,
        "joints": JOINTS,
        "votes": VOTES,
        "iterations": ITERATIONS,
        "ms": {name: 1000 * seconds for name, seconds in times.items()},
        "times_faster": {name: times[name] / times["ours"] for name in times if name != "ours"},
        "mm_apart": apart,
    }
    print(table(found))
    print(json.dumps(found, indent=1))
    return 0


def votes() -> tuple[torch.Tensor, torch.Tensor]:
    """(32, 14, 5, 3) mm, most of a set near each other, and weights (32, 14, 5)."""
    generator = torch.Generator().manual_seed(0)
    middle = 60 * torch.randn(FRAMES, JOINTS, 1, 3, generator=generator)
    points = middle + 15 * torch.randn(FRAMES, JOINTS, VOTES, 3, generator=generator)
    points[..., -1, :] += 80
    return points, torch.rand(FRAMES, JOINTS, VOTES, generator=generator) + 0.05


def algorithm_1(points, weights, p):
    """One joint, number by number."""
    for _ in range(ITERATIONS):
        total, mean = 0.0, [0.0, 0.0, 0.0]
        for point, weight in zip(points, weights):
            share = weight * math.exp(-sum((a - b) ** 2 for a, b in zip(point, p)) / (2 * SIGMA**2))
            total += share
            mean = [m + share * a for m, a in zip(mean, point)]
        p = [m / total for m in mean]
    return p


def algorithm_1_numpy(points, weights, p):
    """One joint, its votes at once."""
    for _ in range(ITERATIONS):
        share = weights * np.exp(-((points - p) ** 2).sum(1) / (2 * SIGMA**2))
        p = share @ points / share.sum()
    return p


def in_turns(device, jobs) -> dict[str, float]:
    """Median seconds of each, called in turns; what is fast is called often enough to be timed."""

    def timed(call, often):
        clock = time.perf_counter if device.type == "cuda" else time.process_time
        start = clock()
        for _ in range(often):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (clock() - start) / often

    often = {
        name: max(1, math.ceil(0.1 / max(timed(call, 1), 1e-4))) for name, call in jobs.items()
    }
    rounds = [
        {name: timed(call, often[name]) for name, call in jobs.items()} for _ in range(ROUNDS)
    ]
    return {name: median(each[name] for each in rounds) for name in jobs}


def table(found) -> str:
    names = {
        "ours": "mean shift, all at once",
        "plain": "one joint after the other, plain Python",
        "numpy": "one joint after the other, NumPy",
        "scikit_learn": "scikit-learn's MeanShift per joint (flat kernel)",
    }
    device = found["device"]
    lines = [
        f"{device['name']}, {device['threads']} CPU threads; {found['frames']} frames ×"
        f" {found['joints']} joints × {found['votes']} votes"
    ]
    for name, title in names.items():
        faster = found["times_faster"].get(name)
        lines.append(
            f"{title:<50}{found['ms'][name]:9.2f} ms"
            + (f"   ours is {faster:.0f} × faster" if faster else "")
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
