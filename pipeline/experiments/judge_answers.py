"""Judge the answers to whole images, from the detector to the fitted hand.

    python pipeline/experiments/judge_answers.py            # a quarter of an hour on two cores

Images of FIELD with one hand are rendered for persons that no network has seen, and the same images
without the hand. Each gets an answer as an image of a reader does, its side and camera stated. The
record keeps the measures of every answer: `handpose_lib.own_images.reliability` takes the limits
from those for one half of the persons, and the rates from those for the other half.
"""

import argparse
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from handpose_lib import evaluation, paths, synth
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import DepthFrame
from handpose_lib.hand_detection import hand_detector
from handpose_lib.own_images import finding, predictions, settings
from handpose_lib.real_hands import network as network_
from handpose_lib.results import records

SCRIPT = "pipeline/experiments/judge_answers.py"
FRAMES, SEED, BATCH, CAMERA = 256, 7, 16, "sr305"
"""Images with a hand for each half of the persons, seed of the images, how many are rendered at a
time, and the preset with the camera of the images.
"""
PERSONS = {
    "limits": tuple(hand_detector.OTHERS)[::2],
    "rates": tuple(hand_detector.OTHERS)[1::2],
}
DIGITS = 4
"""Significant digits of a measure in the record."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="with a hand, for each half")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="folder of the record; default: the book's")
    chosen = parser.parse_args(arguments)
    start = time.monotonic()
    found = {half: judge(half, chosen.frames, chosen.workers) for half in PERSONS}
    network = predictions.network()
    record = records.create(
        network_.KIND,
        [SCRIPT],
        device=evaluation.device_facts(torch.device("cpu")),
        config={
            "camera": CAMERA,
            "seed": SEED,
            "network": network.record["digests"],
            "detector": records.load(paths.records() / "hand_detector", "hand_detector")["digests"],
        },
        parameters=network.record["parameters"],
        training=network.record["training"],
        curve=[],
        held_out={
            "frames": chosen.frames,
            "persons": {half: len(persons) for half, persons in PERSONS.items()},
            "seconds": time.monotonic() - start,
            **found,
        },
    )
    written = records.write(record, chosen.out or paths.records() / network_.KIND / "answers")
    print(f"written: {written.folder}")
    return 0


def judge(half: str, frames: int, workers: int = 1) -> dict[str, dict[str, Any]]:
    """Return the measures of the answers to images 'with_hand' and 'without_hand'.

    Both: measure → values in the order of the images, and refused, the number of images in which
    the detector finds no hand. With a hand also error_mm. Images without a hand in which nothing is
    measured do not count.
    """
    starts = range(0, frames, BATCH)
    counts = [min(BATCH, frames - start) for start in starts]
    halves = [half] * len(counts)
    if workers <= 1:
        parts = list(map(_part, halves, starts, counts))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(_part, halves, starts, counts))
    found: dict[str, dict[str, Any]] = {}
    for kind in ("with_hand", "without_hand"):
        lists: dict[str, list[float]] = defaultdict(list)
        refused = 0
        for part in parts:
            for measures in part[kind]:
                if measures is None:
                    refused += 1
                    continue
                for name, value in measures.items():
                    lists[name].append(float(f"{value:.{DIGITS}g}"))
        found[kind] = {**lists, "refused": refused}
    return found


def _part(half: str, start: int, count: int) -> dict[str, list[dict[str, float] | None]]:
    """Return the measures of each image of a batch, None where the detector finds no hand."""
    torch.set_num_threads(1)
    rendered = synth.frames(
        range(start, start + count),
        seed=SEED,
        setup="msra",
        distribution=hand_detector.CLUTTERED,
        subjects=PERSONS[half],
    )
    empty = hand_detector.without_hands(rendered)
    found: dict[str, list[dict[str, float] | None]] = {"with_hand": [], "without_hand": []}
    for n, name in enumerate(rendered.ids):
        for kind, depth in (("with_hand", rendered.depth[n]), ("without_hand", empty[n])):
            if kind == "without_hand" and not depth.any():
                continue
            frame = DepthFrame(depth, rendered.camera, id=name, hand=rendered.hands[n])
            found[kind].append(
                _measures(frame, rendered.joints[n] if kind == "with_hand" else None)
            )
    return found


@torch.inference_mode()
def _measures(frame: DepthFrame, true: torch.Tensor | None) -> dict[str, float] | None:
    stated = settings.check({"camera": CAMERA, "hand": frame.hand})
    try:
        (found,) = finding.hands(frame, stated, predictions.detector())
    except HandPoseError:  # it finds no hand, or nothing within reach
        return None
    hand = predictions.hand(frame, found, frame.hand)
    if true is None:
        return dict(hand.measures)
    error = (hand.joints - true).norm(dim=-1).mean().item()
    return {**hand.measures, "error_mm": error}


if __name__ == "__main__":
    sys.exit(main())
