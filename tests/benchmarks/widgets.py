"""How long does a live figure take to draw? Each picture of geometry alone, from a change of its
controls to the PNG that the browser gets.

    python tests/benchmarks/widgets.py                  # half a minute on two CPU cores

Prints a table and the same as JSON: milliseconds from the change of a control to the new picture,
its share of matplotlib (drawing and encoding; the rest is the hand, the crop, the decoding), and
its size. It is compared with the same picture as a chapter would make it by default: in a figure of
pyplot with constrained layout, at 110 dpi and fully compressed. What is compared runs in turns, a
few rounds, and the median of the rounds counts: `computed` the milliseconds that this process
computed in all its threads, so that a busy machine hides nothing, `clock` those on the wall.

Stated, by the clock on two idle cores: every picture of only geometry in under 100 ms.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable
from statistics import median

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from handpose_lib import dataset_specs, evaluation, papers, prepare, skeleton, synth
from handpose_lib.papers.densereg import DenseReg
from handpose_lib.synth.hands import hand
from handpose_lib.synth.scene import raycast
from handpose_lib.teaching import figures, widgets
from handpose_lib.teaching.widgets import (
    crop_cube,
    hand_to_pose,
    live,
    mean_shift,
    perspective,
    read_out,
    sensor_noise,
)

STATED_MS, ROUNDS = 100, 9


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    figures.style()
    pictures = of_geometry()
    jobs: dict[str, Callable[[], bytes]] = {
        name: lambda draw=draw: widgets.png(draw(), live.DPI, quick=True)
        for name, draw in pictures.items()
    }
    jobs["hand to pose, by default"] = by_default
    sizes = {name: len(job()) for name, job in jobs.items()}  # the first call fills caches
    times, drawing = in_turns(jobs)
    found = {
        "device": evaluation.device_facts(torch.device("cpu")),
        "stated_ms": STATED_MS,
        "ms": times,
        "bytes": sizes,
        "share_of_matplotlib": drawing,
        "times_faster_than_default": {
            kind: each["hand to pose, by default"] / each["hand to pose"]
            for kind, each in times.items()
        },
    }
    print(table(found))
    print(json.dumps(found, indent=1))
    return 0


def of_geometry() -> dict:
    """The pictures that need no network, each with values that make much work."""
    frames = synth.frames(range(64), seed=3, setup="msra", distribution=synth.MSRA_LIKE)
    centre = frames.joints.mean(1)
    crops = prepare.crop(frames.depth, frames.camera, centre, 250.0, frames.joints, frames.hands)
    assert crops.joints is not None
    n = prepare.xyz_to_cube(crops.joints, crops)[0]
    method = papers.create("densereg", "msra21", "small")
    assert isinstance(method, DenseReg)
    few = crops.index(slice(0, 8))
    stage, known = (
        method.targets(few),
        sensor_noise.curve(frames, "structured light", strengths=(0.0, 1.0, 2.0)),
    )
    return {
        "hand to pose": lambda: hand_to_pose.picture(hand_to_pose.RESTING),
        "perspective": lambda: perspective.picture(400.0, 10.0, 20.0, 30.0),
        "crop cube": lambda: crop_cube.picture(frames, centre, 240.0, (20.0, 0.0, 0.0)),
        "read-out, 24³ voxels": lambda: read_out.picture(n, 250.0, 24, noise=0.1),
        "read-out, 44³ voxels": lambda: read_out.picture(n, 250.0, 44),
        "mean shift": lambda: mean_shift.picture(method, stage, few, 0, 8),
        "sensor noise": lambda: sensor_noise.picture(
            frames, "structured light", 2.0, known=known, strengths=(0.0, 1.0, 2.0)
        ),
    }


def by_default() -> bytes:
    """The hand to pose, as one would write it at first."""
    lens, bones = dataset_specs.preset("msra"), skeleton.get("msra21")
    posed = hand.posed(hand.subject(0), hand_to_pose.RESTING[None], forearm=60.0)
    figure, axes = plt.subplots(figsize=(4.5, 3.9), layout="constrained")
    figures.depth_image(
        raycast.depth(posed.solids(), lens)[0], lens, posed.joints("msra21")[0], bones, axes=axes
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return buffer.getvalue()


def in_turns(jobs) -> tuple[dict, dict]:
    """Median milliseconds of each job, by clock and computed, and the share of savefig in what was
    computed.
    """
    saving, rounds = [0.0], []
    original = Figure.savefig

    def timed_savefig(self, *args, **options):
        start = time.process_time()
        try:
            return original(self, *args, **options)
        finally:
            saving[0] += time.process_time() - start

    Figure.savefig = timed_savefig
    try:
        for _ in range(ROUNDS):
            each = {}
            for name, job in jobs.items():
                saving[0], clock, computed = 0.0, time.perf_counter(), time.process_time()
                job()
                clock, computed = time.perf_counter() - clock, time.process_time() - computed
                each[name] = {
                    "clock": 1000 * clock,
                    "computed": 1000 * computed,
                    "share": saving[0] / computed,
                }
            rounds.append(each)
    finally:
        Figure.savefig = original

    def over_rounds(kind):
        return {name: median(each[name][kind] for each in rounds) for name in jobs}

    return {kind: over_rounds(kind) for kind in ("clock", "computed")}, over_rounds("share")


def table(found) -> str:
    device, ms = found["device"], found["ms"]
    lines = [
        f"{device['name']}, {device['threads']} CPU threads",
        f"{'ms per picture':<28}{'clock':>8}{'computed':>10}{'savefig':>9}{'kB':>6}",
    ]
    for name in ms["clock"]:
        lines.append(
            f"{name:<28}{ms['clock'][name]:8.0f}{ms['computed'][name]:10.0f}"
            f"{found['share_of_matplotlib'][name]:9.0%}{found['bytes'][name] / 1024:6.0f}"
        )
    faster = found["times_faster_than_default"]
    lines.append(
        f"the hand to pose is {faster['clock']:.1f} and {faster['computed']:.1f} × as fast as by"
        f" default; stated: under {found['stated_ms']} ms each"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
