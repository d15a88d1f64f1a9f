"""Train the network for real depth images with one part of its world left out at a time.

    python pipeline/experiments/compare_worlds.py                   # all missing trainings
    python pipeline/experiments/compare_worlds.py --first 4         # at most so many of them

A training takes about four minutes on two CPU cores. Its record lies below
book/records/real_hands/worlds; one that is there is not repeated, and one that was interrupted is
resumed.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from handpose_lib import paths
from handpose_lib.papers.method import Method
from handpose_lib.real_hands import network as network_
from handpose_lib.real_hands import worlds


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, help="number of trainings; default: all")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--test-frames", type=int, default=1024)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="folder of the records; default: the book's")
    parser.add_argument("--frames", type=int, help="frames of every training, for a trial")
    chosen = parser.parse_args(arguments)
    missing = [
        training
        for training in worlds.TRAININGS
        if not (worlds.folder(training, chosen.out) / "record.json").is_file()
    ]
    for training in missing[: chosen.first]:
        made(training, chosen)
    return 0


def made(training: worlds.Training, chosen: argparse.Namespace) -> None:
    """Train, test, write the record, and print a line."""
    torch.manual_seed(training.seed)
    network = create(training.method)
    how = network_.recipe(chosen.frames or training.frames)
    spent = time.process_time()
    history = network_.train(
        network,
        paths.build() / "worlds" / worlds.folder(training).name,
        how,
        seed=training.seed,
        workers=chosen.workers,
        device=chosen.device,
        distribution=training.world,
    )
    stage = {
        "seed": training.seed,
        "frames": history.frames,
        "rate": how.lr,
        "batch": how.batch,
        "seconds": history.seconds,
        "cpu_seconds": time.process_time() - spent,
    }
    held_out = test(network, training, chosen.test_frames)
    worlds.save(training, network, stage, history.curve, held_out, chosen.out)
    print(f"{training.name}: {held_out['all']['mean_mm']:.1f} mm in all of the world")


def create(method: str) -> Method:
    """Return the untrained network of the comparison, or another paper's."""
    return network_.create(method, **(worlds.CONFIG if method == network_.METHOD else {}))


def test(network: Method, training: worlds.Training, frames: int) -> dict:
    """Return the errors in the worlds of `network.test`, in the world of the training, called
    'own', and on the labelled real frames.
    """
    found: dict = {"frames": frames, "persons": len(network_.OTHERS)}
    for name, world in {**network_.WORLDS, "own": training.world}.items():
        error = network_.errors(network, world, frames).double()
        found[name] = {
            "mean_mm": error.mean().item(),
            "half_width_mm": 1.96 * error.std().item() / frames**0.5,
        }
    return {**found, "real": network_.test_real(network)}


if __name__ == "__main__":
    sys.exit(main())
