"""How fast is the way from frames to a trained network? Ratios of timings taken in one run.

    python tests/benchmarks/pipeline.py                  # a few minutes on two CPU cores
    python tests/benchmarks/pipeline.py --device cuda

Prints a table and the same as JSON. What is compared runs in turns, a few rounds, and the median of
the rounds counts. On a CPU the seconds are those that this process computed, in all its threads, so
that neither a busy machine nor a second core hides a cost; with a GPU they are those of the clock.

preparation   crop + augment + encode of a batch, against the same per frame in NumPy and OpenCV
training      a step of the paper's network: frames in memory, read from disk, kept after reading
inference     per frame in batches of 1 and 32; the paper states 9 ms on its GTX 1080 Ti (2.0 for
              reading and preparing, 7.0 for the network)
"""

import argparse
import contextlib
import json
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2  # pyright: ignore[reportMissingImports]  # extra "bench"
import numpy as np
import torch

from data_scripts import make_synthetic
from handpose_lib import datasets, evaluation, papers, prepare, synth, training
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.datasets import msra
from handpose_lib.io.background import in_background

CUBE, SIZE, BATCH, ROUNDS = 250.0, 96, 32, 5
PAPER_MS = 9.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, ...")
    parser.add_argument("--steps", type=int, default=4, help="training steps per round")
    chosen = parser.parse_args()
    device = evaluation.find_device(chosen.device)
    rendered = synth.frames(range(BATCH), seed=1, setup="msra", distribution=synth.WIDE)

    found = {
        "device": evaluation.device_facts(device),
        "preparation": preparation(rendered, device),
        "training": training_step(device, chosen.steps),
        "inference": inference(rendered, device),
        "peak_memory_bytes": evaluation.peak_memory(device),
    }
    print(table(found))
    print(json.dumps(found, indent=1))
    return 0


# --- Preparation --------------------------------------------------------------


def preparation(rendered, device) -> dict:
    depth, camera = rendered.depth.to(device), rendered.camera
    centre = prepare.locate(depth, camera, cube=CUBE)
    ranges = {"rotation": (-math.pi, math.pi), "scale": (0.9, 1.1), "translation": 10.0}

    def batched(step=0):
        crops = prepare.crop(depth, camera, centre, CUBE)
        crops = prepare.augment(crops, training.generator(0, "augment", step), **ranges)
        return crops, prepare.image(crops, SIZE)

    crops, ours = batched()
    images = depth.cpu().numpy()

    def per_frame():
        return np.stack(
            [
                one_frame(image, camera, *view)
                for image, view in zip(images, views_of(crops), strict=True)
            ]
        )

    theirs = torch.from_numpy(per_frame())
    same = ((ours[:, 0].cpu() - theirs).abs() < 0.02).float().mean().item()
    if same < 0.97:  # they round the borders of pixels differently, and may differ in nothing else
        raise SystemExit(
            f"the two versions show different images: only {same:.1%} of the pixels agree"
        )
    ours_s, theirs_s = in_turns(device, batched, per_frame)
    return {
        "batch": BATCH,
        "batched_ms_per_frame": 1000 * ours_s / BATCH,
        "numpy_opencv_ms_per_frame": 1000 * theirs_s / BATCH,
        "times_faster": theirs_s / ours_s,
        "pixels_that_agree": same,
    }


def views_of(crops):
    """Per frame: centre (x, y, z), cube, rotation, as plain numbers."""
    return list(
        zip(crops.centre.tolist(), crops.cube.tolist(), crops.rotation.tolist(), strict=True)
    )


def one_frame(image, camera, centre, cube, rotation):
    """The usual way, one frame at a time: cut the box, resize, rotate, normalise
    (as DeepPrior++ does).
    """
    (u, v, z), half = xyz_to_uvd(torch.tensor(centre), camera).tolist(), cube / 2
    # From the view to the window.
    turn = np.array([[np.cos(rotation), np.sin(rotation)], [-np.sin(rotation), np.cos(rotation)]])
    # Pixels of the window per pixel of the view.
    scale = np.array([camera.fx, camera.fy]) * half / z * 2 / SIZE
    matrix = np.zeros((2, 3))
    matrix[:, :2] = scale[:, None] * turn
    matrix[:, 2] = (u, v) - matrix[:, :2] @ np.full(2, SIZE / 2 - 0.5)
    view = cv2.warpAffine(
        image, matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    normalised = (view - z) / half
    normalised[(view == 0) | (normalised > 1)] = 1
    return np.maximum(normalised, -1).astype(np.float32)


# --- Training -----------------------------------------------------------------


def training_step(device, steps) -> dict:
    """Seconds per step by where its frames come from; loading runs in its thread as in
    `training.fit`.
    """
    recipe = papers.recipe("jgr_p2o", profile="laptop")
    folder = Path(tempfile.mkdtemp())
    try:
        data = stored_frames(folder / "msra", 2 * steps * BATCH)
        read, kept = (
            training.Stored(data, recipe.cube_train, memory=memory)
            for memory in (0, training.MEMORY)
        )
        for _ in kept.sweep():
            pass
        one = kept.batch(0, BATCH)
        sources = {
            "in_memory": lambda step: one,
            "read": lambda step: read.batch(step, BATCH),
            "kept": lambda step: kept.batch(step, BATCH),
        }
        train = trainer(recipe, device)
        for batch in sources.values():
            train(batch, 1)
        rounds = [
            {
                name: timed(lambda b=batch: train(b, steps), device) / steps
                for name, batch in sources.items()
            }
            for _ in range(ROUNDS)
        ]
    finally:
        shutil.rmtree(folder)
    cost = {name: median(r[name] / r["in_memory"] for r in rounds) - 1 for name in ("read", "kept")}
    return {
        "batch": BATCH,
        **{f"{name}_ms_per_step": 1000 * median(r[name] for r in rounds) for name in sources},
        **{f"{name}_costs": value for name, value in cost.items()},
    }


def trainer(recipe, device):
    """A function of (batch, steps) that trains the paper's network for so many steps of the laptop
    recipe.
    """
    method = papers.create("jgr_p2o", "msra21", **recipe.network).to(device)
    optimiser = torch.optim.AdamW(
        method.parameter_groups(recipe.weight_decay), lr=recipe.lr, fused=True
    )

    def train(batch, steps):
        for step, crops in enumerate(in_background(batch, range(steps))):
            crops = prepare.augment(
                crops.to(device), training.generator(0, "augment", step), **recipe.augmentation
            )
            method.loss(method(method.encode(crops)), crops)["total"].backward()
            optimiser.step()
            optimiser.zero_grad()

    return train


def stored_frames(root, count):
    """`count` or a few more training frames in MSRA's format."""
    each = -(-count // (8 * len(msra.GESTURES)))
    with contextlib.redirect_stdout(sys.stderr):
        make_synthetic.main(["--frames", str(each), "--distribution", "wide", "--out", str(root)])
    return datasets.open("msra", root)


# --- Inference ----------------------------------------------------------------


def inference(rendered, device) -> dict:
    centre = prepare.locate(rendered.depth, rendered.camera, cube=CUBE)
    crops = prepare.crop(rendered.depth, rendered.camera, centre, CUBE).to(device)
    method = papers.create("jgr_p2o", "msra21").to(device)
    found = {
        f"batch_{n}_ms_per_frame": evaluation.throughput(method, crops.index(slice(0, n)))[
            "ms_per_frame"
        ]
        for n in (1, BATCH)
    }
    return {**found, "paper_ms_per_frame_on_its_gpu": PAPER_MS}


# --- Timing and printing ------------------------------------------------------


def in_turns(device, *functions):
    """Median seconds of each, called in turns."""
    for function in functions:
        function()
    rounds = [[timed(function, device) for function in functions] for _ in range(4 * ROUNDS)]
    return [median(times) for times in zip(*rounds, strict=True)]


def timed(function, device):
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    function()
    wait(device)
    return clock() - start


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(found) -> str:
    p, t, i, memory = (
        found[name] for name in ("preparation", "training", "inference", "peak_memory_bytes")
    )
    rows = [
        ("crop + augment + encode, batched", f"{p['batched_ms_per_frame']:.2f} ms/frame"),
        (
            "  the same per frame, NumPy and OpenCV",
            f"{p['numpy_opencv_ms_per_frame']:.2f} ms/frame",
        ),
        ("  batched is faster by", f"{p['times_faster']:.2f} ×"),
        (f"training step, batch {BATCH}, frames in memory", f"{t['in_memory_ms_per_step']:.0f} ms"),
        (
            "  with frames read from disk",
            f"{t['read_ms_per_step']:.0f} ms ({t['read_costs']:+.1%})",
        ),
        (
            "  with frames kept after reading",
            f"{t['kept_ms_per_step']:.0f} ms ({t['kept_costs']:+.1%})",
        ),
        (
            "inference, batch 1",
            f"{i['batch_1_ms_per_frame']:.1f} ms/frame (paper, on its GPU: {PAPER_MS:.0f} ms)",
        ),
        (f"inference, batch {BATCH}", f"{i[f'batch_{BATCH}_ms_per_frame']:.1f} ms/frame"),
        ("peak memory", "not known here" if memory is None else f"{memory / 2**20:.0f} MiB"),
    ]
    device = found["device"]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [
            f"{device['name']}, {device['threads']} CPU threads",
            *(f"{n:<{width}}  {v}" for n, v in rows),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
