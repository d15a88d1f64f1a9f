"""Trains the book's hand detector on synthetic frames and keeps it in book/records/detector.

    python pipeline/train_detector.py                      # about a quarter of an hour on two CPU cores
    python pipeline/train_detector.py --look-only --look-frames 40000     # keeps the first look that is there
    python pipeline/train_detector.py --frames 400000 --look-frames 100000 --device cuda --out detector

Rendering and training take one core each, so that OMP_NUM_THREADS=1 is best on two.
"""

import argparse
import datetime
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without installation

from handpose_lib import detection, evaluation, storage  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000, help="synthetic frames for the first look, each once")
    parser.add_argument("--look-frames", type=int, default=6_000, help="and for the second")
    parser.add_argument("--look-only", action="store_true", help="train the second look alone, beside the kept first one")
    parser.add_argument("--batch", type=int, default=8, help="frames per update")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate of the first look at its peak")
    parser.add_argument("--look-rate", type=float, default=3e-3, help="of the second")
    parser.add_argument("--channels", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--held-out", type=int, default=1024, help="frames of a person never seen, to judge by")
    parser.add_argument("--out", type=Path, help="folder; the book's records without it")
    chosen = parser.parse_args()

    torch.manual_seed(chosen.seed)
    detector = detection.Detector(detection.Config(channels=chosen.channels))
    common = {"seed": chosen.seed, "batch": chosen.batch}
    if chosen.look_only:
        kept = storage.read_json((chosen.out or detection.folder()) / "record.json")
        untrained, detector = detector.look, detection.load(chosen.out)
        detector.look, first, curve = untrained, kept["training"], kept["curve"]
    else:
        first, curve = timed(detection.train, detector, chosen.frames, rate=chosen.rate, device=chosen.device, **common)
    second, look_curve = timed(detection.train_look, detector, chosen.look_frames, rate=chosen.look_rate, device=chosen.device, **common)
    found = held_out(detector, chosen.held_out)
    folder = keep(detector, first, second, curve, look_curve, found, chosen.out)
    seconds = first["seconds"] + second["seconds"]
    print(f"{seconds / 60:.1f} minutes; centre within {detection.WITHIN:.0f} mm: "
          + ", ".join(f"{name} {rate:.1%}" for name, rate in found["rates"].items()) + f"; kept in {folder.name}")
    return 0


def timed(train, detector, frames: int, **settings) -> tuple[dict, list[dict]]:
    """Train; the settings and what it took, and the curve."""
    start, spent = time.perf_counter(), time.process_time()
    curve = train(detector, frames, **settings)
    del settings["device"]
    return {"frames": frames, **settings, "seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - spent}, curve


def held_out(detector: detection.Detector, frames: int) -> dict:
    """How often the detector, its first look alone and what costs no learning find hands of a person never seen.

    `rates` within `detection.WITHIN`; `shares` by distance in mm; `scenes`: the detector's rate by what else is in view, of `scene_frames` each.
    """
    apart = detection.misses({"detector": detector, "first look": detector.find, "mass": None, "outline": None}, frames)
    shares = {mm: {name: (away <= mm).double().mean().item() for name, away in apart.items()} for mm in (10, 20, 30, 50, 75, 100)}
    scene_frames = max(1, frames // 4)
    scenes = {thing or "nothing": detection.rates({"detector": detector}, frames=scene_frames, seed=2,
                                                  distribution=detection.only(*filter(None, [thing])))["detector"]
              for thing in (None, *detection.THINGS)}
    return {"frames": frames, "within_mm": detection.WITHIN, "rates": shares[int(detection.WITHIN)],
            "shares": {str(mm): share for mm, share in shares.items()}, "scenes": scenes, "scene_frames": scene_frames}


def keep(detector: detection.Detector, first: dict, second: dict, curve: list, look_curve: list, found: dict, out: Path | None) -> Path:
    return detection.save(detector, {
        "training": first, "second_look": second, "curve": curve, "look_curve": look_curve,
        "device": evaluation.device_facts(next(detector.parameters()).device),
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "held_out": found,
    }, out)


if __name__ == "__main__":
    sys.exit(main())
