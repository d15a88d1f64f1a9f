"""Train the network for real depth images, a stage; the result is book/records/real_hands.

    python pipeline/experiments/train_real_hands.py --frames 400000 --seed 0       # the first stage
    python pipeline/experiments/train_real_hands.py --more --frames 400000 --seed 1 --rate 1e-3
    python pipeline/experiments/train_real_hands.py --judge                        # only the test
    python pipeline/experiments/train_real_hands.py --method densereg --frames 30000 --out compared

A stage that was interrupted continues from its checkpoint when the same command is given again.
Rendering takes a process of its own (`--workers`), training another one; with OMP_NUM_THREADS=1
each takes one core.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from handpose_lib import paths
from handpose_lib.errors import HandPoseError
from handpose_lib.real_hands import network as network_


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=400_000, help="frames of this stage")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate at its peak")
    parser.add_argument("--seed", type=int, default=0, help="another one for each stage")
    parser.add_argument("--more", action="store_true", help="continue from the record")
    parser.add_argument("--judge", action="store_true", help="test the network of the record")
    parser.add_argument("--method", default=network_.METHOD, help="another paper's, to compare")
    parser.add_argument("--distribution", default="field", help="a name of synth.DISTRIBUTIONS")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--test-frames", type=int, default=1024)
    parser.add_argument("--out", type=Path, help="folder of the record; default: the book's")
    chosen = parser.parse_args(arguments)
    folder = chosen.out or paths.records() / network_.KIND

    stages, curve = [], []
    network = network_.create(chosen.method)
    if chosen.more or chosen.judge:
        found = network_.load(folder)
        network, stages = found.network, list(found.record["training"]["stages"])
        curve = list(found.record["curve"])
    if not chosen.judge:
        if any(stage["seed"] == chosen.seed for stage in stages):
            raise HandPoseError(
                f"seed {chosen.seed}: a stage with this seed has been trained, accepted is another"
                " one"
            )
        if not stages:
            torch.manual_seed(chosen.seed)
        how = network_.recipe(chosen.frames, chosen.rate)
        work = paths.build() / "real_hands" / f"{chosen.method}-{chosen.distribution}-{chosen.seed}"
        spent = time.process_time()
        history = network_.train(
            network,
            work,
            how,
            seed=chosen.seed,
            workers=chosen.workers,
            device=chosen.device,
            distribution=chosen.distribution,
        )
        stages.append(
            {
                "seed": chosen.seed,
                "frames": history.frames,
                "rate": chosen.rate,
                "batch": how.batch,
                "distribution": chosen.distribution,
                "seconds": history.seconds,
                "waiting": history.waiting,
                "cpu_seconds": time.process_time() - spent,
                "continues": bool(stages),
            }
        )
        first = curve[-1]["step"] if curve else 0
        curve += [{**entry, "step": first + entry["step"]} for entry in history.curve]
    held_out = network_.test(network, chosen.test_frames)
    real = held_out["real"]
    stages[-1]["held_out"] = {
        **{name: held_out[name]["mean_mm"] for name in network_.WORLDS},
        **({"real": real["network"]["mean_mm"]} if real else {}),
    }
    if chosen.method == network_.METHOD:
        folder = network_.save(network, stages, curve, held_out, folder)
    for name in network_.WORLDS:
        print(
            f"{name}: {held_out[name]['mean_mm']:.1f} mm, median {held_out[name]['median_mm']:.1f}"
        )
    print(f"{stages[-1]['seconds'] / 60:.1f} minutes, {stages[-1]['frames']} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
