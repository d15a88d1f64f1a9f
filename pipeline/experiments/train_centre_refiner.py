"""Train the book's centre refiner on synthetic frames; the result is book/records/centre_refiner.

    python pipeline/experiments/train_centre_refiner.py         # twenty minutes on two CPU cores
    python pipeline/experiments/train_centre_refiner.py --width 1024 --dropout 0.5 \\
        --frames 400000 --device cuda --out centre_refiner      # the published width, for a GPU

Rendering and training take one core each, so that OMP_NUM_THREADS=1 is best on two.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from handpose_lib import evaluation
from handpose_lib.hand_detection import centre_refiner, trained
from handpose_lib.prepare.locate import METHODS
from handpose_lib.synth import DISTRIBUTIONS, SETUPS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--frames", type=int, default=8_000, help="synthetic frames to train on, each rendered once"
    )
    parser.add_argument(
        "--batch", type=int, default=16, help="frames; each is cut around two centres"
    )
    parser.add_argument("--views", type=int, default=2, help="updates per batch")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate at its peak")
    parser.add_argument("--network", choices=centre_refiner.NETWORKS, default="three windows")
    parser.add_argument(
        "--width", type=int, default=256, help="of the hidden layers; DeepPrior++ has 1024"
    )
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument(
        "--cube", type=float, default=300.0, help="side of the cube around the crude centre, mm"
    )
    parser.add_argument(
        "--method", choices=METHODS, default="mass", help="how the crude centre is found"
    )
    parser.add_argument("--setup", choices=SETUPS, default="msra", help="whose camera and joints")
    parser.add_argument(
        "--distribution", choices=DISTRIBUTIONS, default="wide_view", help="what the frames show"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--held-out", type=int, default=1024, help="frames of a held-out person for the test"
    )
    parser.add_argument("--out", type=Path, help="folder; default: the book's records")
    chosen = parser.parse_args(arguments)

    torch.manual_seed(chosen.seed)
    refiner = centre_refiner.CentreRefiner(
        centre_refiner.Config(chosen.network, chosen.cube, chosen.width, chosen.dropout)
    )
    frames = {
        "method": chosen.method,
        "setup": chosen.setup,
        "distribution": chosen.distribution,
    }
    start = time.perf_counter()
    curve = centre_refiner.train(
        refiner,
        chosen.frames,
        seed=chosen.seed,
        batch=chosen.batch,
        views=chosen.views,
        rate=chosen.rate,
        device=chosen.device,
        **frames,
    )
    seconds = time.perf_counter() - start
    measures = centre_refiner.summary(
        centre_refiner.centre_errors(refiner, chosen.held_out, **frames)
    )
    device = evaluation.device_facts(next(refiner.parameters()).device)
    folder = trained.save(
        "centre_refiner",
        refiner,
        chosen.out,
        training={
            "frames": chosen.frames,
            "batch": chosen.batch,
            "views": chosen.views,
            "rate": chosen.rate,
            "seed": chosen.seed,
            "seconds": seconds,
            **frames,
        },
        curve=curve,
        device=device,
        held_out={
            "frames": chosen.held_out,
            "subjects": list(centre_refiner.HELD_OUT),
            "synthetic": True,
            **measures,
        },
    )
    print(
        f"{seconds / 60:.1f} minutes; distance from the mean of the joints: crude"
        f" {measures['crude_mean_mm']:.1f} mm, refined {measures['refined_mean_mm']:.1f} mm; kept"
        f" in {folder.name}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
