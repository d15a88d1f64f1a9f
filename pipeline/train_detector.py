"""Trains the book's hand detector on synthetic frames and keeps it in book/records/detector.

    python pipeline/train_detector.py                      # at most ten minutes on two CPU cores
    python pipeline/train_detector.py --frames 400000 --device cuda --out detector

Rendering and training take one core each, so that OMP_NUM_THREADS=1 is best on two.
"""

import argparse
import datetime
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without installation

from handpose_lib import detection, evaluation  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000, help="synthetic frames to train on, each once")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate at its peak")
    parser.add_argument("--channels", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--held-out", type=int, default=1024, help="frames of a person never seen, to judge by")
    parser.add_argument("--out", type=Path, help="folder; the book's records without it")
    chosen = parser.parse_args()

    torch.manual_seed(chosen.seed)
    detector = detection.Detector(detection.Config(channels=chosen.channels))
    start = time.perf_counter()
    curve = detection.train(detector, chosen.frames, seed=chosen.seed, batch=chosen.batch, rate=chosen.rate, device=chosen.device)
    seconds = time.perf_counter() - start
    rates = detection.rates({"detector": detector, "mass": None, "outline": None}, frames=chosen.held_out)
    device = evaluation.device_facts(next(detector.parameters()).device)
    folder = detection.save(detector, {
        "training": {"frames": chosen.frames, "batch": chosen.batch, "rate": chosen.rate, "seed": chosen.seed, "seconds": seconds},
        "curve": curve, "device": device, "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "held_out": {"frames": chosen.held_out, "within_mm": detection.WITHIN, "rates": rates},
    }, chosen.out)
    print(f"{seconds / 60:.1f} minutes; centre within {detection.WITHIN:.0f} mm: "
          + ", ".join(f"{name} {rate:.1%}" for name, rate in rates.items()) + f"; kept in {folder.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
