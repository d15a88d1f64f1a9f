"""How near does a training step of each network come to the peak of this machine?

    python tests/benchmarks/networks.py                  # ten minutes on one CPU core
    python tests/benchmarks/networks.py --device cuda --papers jgr_p2o densereg

Prints a table and the same as JSON. The peak is measured: the fastest product of two large matrices
in 32 bits. A step encodes a batch, computes the network, its loss and its gradients, and updates
the weights. Its operations are those of `results.costs`: convolutions and matrix products.

What keeps a step from the peak has two parts, whose product is the share that it reaches:

products    the share of the time in convolutions and matrix products; the rest, by kinds, is spent
            on operations that compute little and move much memory
rate        how fast these products are, compared with the peak

On a CPU everything runs in one thread, and the seconds are those that the process computed, so that
a busy machine hides nothing. With a GPU they are those of the clock.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

from handpose_lib import evaluation, papers, synth
from handpose_lib.results import costs

SIZES, ROUNDS = (1024, 2048), 5
KINDS = {
    "products": ("conv", "mm", "matmul", "linear"),
    "optimiser": ("adam", "sgd", "_foreach"),
    "normalisation": ("norm",),
    "pooling, resizing": ("pool", "upsample", "interpolate", "grid_sampler"),
    "copies, indices": ("copy", "cat", "fill", "zero", "clone", "index", "gather", "scatter"),
}
"""Words in the names of PyTorch's operations. What has none of them counts as elementwise."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, ...")
    parser.add_argument("--batch", type=int, default=4, help="frames of a step")
    parser.add_argument("--papers", nargs="+", default=list(papers.names()), metavar="PAPER")
    chosen = parser.parse_args()
    device = evaluation.find_device(chosen.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    peak = measured_peak(device)
    found = {
        "device": evaluation.device_facts(device),
        "peak_flops": peak,
        "batch": chosen.batch,
        "networks": {name: of_step(name, chosen.batch, device, peak) for name in chosen.papers},
    }
    print(table(found))
    print(json.dumps(found, indent=1))
    return 0


def measured_peak(device: torch.device) -> float:
    """Return the operations per second of the fastest product of two square matrices."""
    rates = []
    for size in SIZES:
        a, b = (torch.randn(size, size, device=device) for _ in range(2))
        seconds = [timed(lambda a=a, b=b: a @ b, device) for _ in range(ROUNDS)]
        rates.append(2 * size**3 / min(seconds))
    return max(rates)


def of_step(paper: str, batch: int, device: torch.device, peak: float) -> dict:
    """Return the rate of a training step and what its time is spent on."""
    step = trainer(paper, batch, device)
    step()  # memory is reserved, algorithms are chosen
    seconds = median(timed(step, device) for _ in range(ROUNDS))
    flops = batch * costs.work(paper).training_flops
    shares = spent(step, device)
    rate = flops / (seconds * shares["products"])
    return {
        "gflop_per_frame": flops / batch / 1e9,
        "ms_per_frame": 1000 * seconds / batch,
        "flops": flops / seconds,
        "share_of_peak": flops / seconds / peak,
        "rate_of_products_over_peak": rate / peak,
        "shares_of_time": shares,
    }


def trainer(paper: str, batch: int, device: torch.device) -> Callable[[], None]:
    """Return a function that trains the paper's network for one step."""
    method = papers.create(paper, costs.SKELETON, "paper").to(device).train()
    crops = synth.crops(range(batch), cube=250.0).to(device)
    optimiser = torch.optim.AdamW(method.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        method.loss(method(method.encode(crops)), crops)["total"].backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def spent(step: Callable[[], None], device: torch.device) -> dict[str, float]:
    """Return the share of the time that PyTorch spends on each kind of operation."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiled:
        step()
    times: Counter[str] = Counter()
    for event in profiled.key_averages():
        used = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if event.key.startswith("aten::") or on_gpu:
            times[kind_of(event.key)] += used
    return {name: times[name] / times.total() for name in [*KINDS, "elementwise"]}


def kind_of(operation: str) -> str:
    """Return the kind of an operation of PyTorch."""
    name = operation.lower()
    return next(
        (kind for kind, words in KINDS.items() if any(word in name for word in words)),
        "elementwise",
    )


def timed(function: Callable[[], object], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def table(found: dict) -> str:
    """Return the figures as text."""
    device, kinds = found["device"], [*KINDS, "elementwise"]
    lines = [
        f"{device['name']}: peak {found['peak_flops'] / 1e9:,.0f} GFLOP/s in products of matrices",
        f"{'':28}{'GFLOP':>8}{'ms':>9}{'GFLOP/s':>9}{'of peak':>9}{'rate':>7}"
        + "".join(f"{kind:>{len(kind) + 2}}" for kind in kinds),
    ]
    for name, one in found["networks"].items():
        lines.append(
            f"{name:28}{one['gflop_per_frame']:8.1f}{one['ms_per_frame']:9.0f}"
            f"{one['flops'] / 1e9:9.0f}{one['share_of_peak']:9.0%}"
            f"{one['rate_of_products_over_peak']:7.0%}"
            + "".join(f"{one['shares_of_time'][kind]:{len(kind) + 2}.0%}" for kind in kinds)
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
