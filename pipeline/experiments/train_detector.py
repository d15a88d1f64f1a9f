"""Train the book's hand detector on synthetic frames; the result is book/records/hand_detector.

    python pipeline/experiments/train_detector.py                   # 90 minutes on two CPU cores
    python pipeline/experiments/train_detector.py --only second     # keeps the first look
    python pipeline/experiments/train_detector.py --more --seed 1 --rate 1e-3   # another round
    python pipeline/experiments/train_detector.py --judge           # no training, only the test
    python pipeline/experiments/train_detector.py --frames 400000 --look-frames 200000 \\
        --device cuda --out detector

Rendering and training take one core each, so that OMP_NUM_THREADS=1 is best on two.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from handpose_lib import evaluation, paths
from handpose_lib.errors import HandPoseError
from handpose_lib.hand_detection import hand_detector, trained
from handpose_lib.results import records


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--frames", type=int, default=48_000, help="synthetic frames for the first look, each once"
    )
    parser.add_argument("--look-frames", type=int, default=96_000, help="and for the second")
    parser.add_argument(
        "--only",
        choices=("first", "second"),
        help="train only this look; the other one is taken from the record",
    )
    parser.add_argument(
        "--more",
        action="store_true",
        help="continue from the record, with the frames of another --seed",
    )
    parser.add_argument(
        "--judge", action="store_true", help="test the network of the record, without training"
    )
    parser.add_argument("--batch", type=int, default=8, help="frames per update")
    parser.add_argument(
        "--rate", type=float, default=2e-3, help="learning rate of the first look at its peak"
    )
    parser.add_argument("--look-rate", type=float, default=3e-3, help="of the second")
    parser.add_argument("--channels", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--held-out", type=int, default=1024, help="frames of a held-out person for the test"
    )
    parser.add_argument("--out", type=Path, help="folder; default: the book's records")
    chosen = parser.parse_args(arguments)

    torch.manual_seed(chosen.seed)
    detector = hand_detector.Detector(hand_detector.Config(channels=chosen.channels))
    common = {"seed": chosen.seed, "batch": chosen.batch, "device": chosen.device}
    kept = (
        records.load(chosen.out or paths.records() / "hand_detector", "hand_detector")
        if chosen.only or chosen.more or chosen.judge
        else {}
    )
    if chosen.more or chosen.judge:
        detector = trained.load("hand_detector", chosen.out)
    elif chosen.only == "second":
        detector, detector.look = trained.load("hand_detector", chosen.out), detector.look
    elif chosen.only == "first":
        detector.look = trained.load("hand_detector", chosen.out).look

    told: dict[str, Any] = {
        name: kept.get(name) for name in ("training", "curve", "second_look", "look_curve")
    }
    for look, train, frames, rate, facts, curve in (
        ("first", hand_detector.train, chosen.frames, chosen.rate, "training", "curve"),
        (
            "second",
            hand_detector.train_look,
            chosen.look_frames,
            chosen.look_rate,
            "second_look",
            "look_curve",
        ),
    ):
        if chosen.only in (None, look) and not chosen.judge:
            before = (told[facts], told[curve]) if chosen.more else (None, [])
            told[facts], told[curve] = timed(train, detector, frames, before, rate=rate, **common)
    found = held_out(detector, chosen.held_out)
    folder = keep(detector, told, found, chosen.out)
    seconds = told["training"]["seconds"] + told["second_look"]["seconds"]
    print(
        f"{seconds / 60:.1f} minutes; centre within {hand_detector.WITHIN:.0f} mm: "
        + ", ".join(f"{name} {rate:.1%}" for name, rate in found["rates"].items())
        + f"; kept in {folder.name}"
    )
    return 0


def timed(
    train: Callable[..., list[dict]],
    detector: hand_detector.Detector,
    frames: int,
    before: tuple[dict | None, list[dict]],
    **settings: Any,
) -> tuple[dict[str, Any], list[dict]]:
    """Train, and return the facts of the training and the curve of its loss.

    The facts are those of each round, and their sums. `before`: the same of earlier rounds,
    (None, []) if there are none. Errors: a seed that an earlier round has used.
    """
    earlier, known = before
    rounds = (earlier.get("rounds") or [earlier]) if earlier else []
    if any(settings["seed"] == each["seed"] for each in rounds):
        raise HandPoseError(
            f"seed {settings['seed']}: a round with this seed has been trained, accepted is"
            " another one"
        )
    start, spent = time.perf_counter(), time.process_time()
    curve = train(detector, frames, **settings)
    del settings["device"]
    rounds = [
        *rounds,
        {
            "frames": frames,
            "persons": len(hand_detector.SUBJECTS),
            **settings,
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - spent,
        },
    ]
    first = known[-1]["step"] if known else 0
    return (
        {
            "frames": sum(each["frames"] for each in rounds),
            "seconds": sum(each["seconds"] for each in rounds),
            "rounds": rounds,
        },
        [*known, *({**entry, "step": first + entry["step"]} for entry in curve)],
    )


def held_out(detector: hand_detector.Detector, frames: int) -> dict[str, Any]:
    """Return how often hands of held-out persons are found.

    The detector, its first look alone, and the methods without a network are compared.

    rates     share of frames within `hand_detector.WITHIN`; `others`: the same on as many frames of
              other persons
    shares    share of frames, by distance in mm
    scenes    rate of the detector by the other object in view, on `scene_frames` frames each
    presence  share of frames with a hand, and of the same scenes without it, in which the detector
              gives its answer at least each probability
    """
    locators = {"detector": detector, "first look": detector.find, "mass": None, "outline": None}
    apart, others = (
        hand_detector.centre_errors(locators, frames),
        hand_detector.success_rates(locators, frames=frames, subjects=hand_detector.OTHERS),
    )
    shares = {
        mm: {name: (away <= mm).double().mean().item() for name, away in apart.items()}
        for mm in (10, 20, 30, 50, 75, 100)
    }
    scene_frames = max(1, frames // 4)
    scenes = {
        thing or "nothing": hand_detector.success_rates(
            {"detector": detector},
            frames=scene_frames,
            seed=2,
            distribution=hand_detector.only(*filter(None, [thing])),
        )["detector"]
        for thing in (None, *hand_detector.THINGS)
    }
    probability = hand_detector.presence(detector, max(1, frames // 2))
    presence = {
        f"{least:g}": {
            name: (values >= least).double().mean().item() for name, values in probability.items()
        }
        for least in sorted({0.01, 0.05, 0.2, 0.9, hand_detector.NO_HAND})
    }
    return {
        "frames": frames,
        "within_mm": hand_detector.WITHIN,
        "rates": shares[int(hand_detector.WITHIN)],
        "others": {"persons": len(hand_detector.OTHERS), "rates": others},
        "shares": {str(mm): share for mm, share in shares.items()},
        "scenes": scenes,
        "scene_frames": scene_frames,
        "presence": presence,
    }


def keep(detector: hand_detector.Detector, told: dict, found: dict, out: Path | None) -> Path:
    """Write network and record into a folder and return it."""
    return trained.save(
        "hand_detector",
        detector,
        out,
        **told,
        device=evaluation.device_facts(next(detector.parameters()).device),
        held_out=found,
    )


if __name__ == "__main__":
    sys.exit(main())
