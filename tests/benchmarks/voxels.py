"""How fast are voxels filled and likelihoods drawn? A batch at once, against one frame and one
joint after the other.

    python tests/benchmarks/voxels.py                  # two minutes on two CPU cores
    python tests/benchmarks/voxels.py --device cuda    # ours on a GPU, the others on the CPU

Prints a table and the same as JSON. Sixteen synthetic hands, each seen in a view of its own, in 88³
voxels, against NumPy frame by frame; the 21 Gaussian maps at 44³ of a frame, against NumPy joint by
joint.
One training step of V2V-PoseNet at 88³ with the paper's optimiser and one frame (eight on a GPU),
its peak memory, and the share of it that input and targets take; against the same network in the
layout that PyTorch starts from, fed by the two loops. What is compared runs in turns, a few rounds,
and the median of the rounds counts: `computed` the seconds that this process computed in all its
threads, so that a busy machine hides nothing, `clock` those on the wall. Memory is kept as in
trainings (pipeline/site/execute.py).

Stated, by the clock on two idle cores: filling at least 3 times and drawing at least 5 times as
fast per frame; the step no slower; on a GPU input and targets take at most 5 % of it.
"""

import argparse
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from handpose_lib import evaluation, papers, prepare, synth
from handpose_lib.nets.likelihood import gaussian_maps
from handpose_lib.papers.v2v_posenet import to_output_voxels
from handpose_lib.prepare.voxels import occupancy
from handpose_lib.training import loop

FRAMES, SIZE, CUBE, SIGMA, ROUNDS = 16, 88, 250.0, 1.7, 5
STATED = {"filling": 3, "drawing": 5, "step": 1}
"""How many times as fast as the loops, per frame."""
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, ... for ours")
    device = evaluation.find_device(parser.parse_args().device)

    crops = hands()
    here = crops.to(device)
    places = places_of(crops)
    on_device = places.to(device)
    check(
        occupancy(here, SIZE).cpu(),
        filled_one_by_one(crops),
        gaussian_maps(on_device, SIZE // 2, SIGMA).cpu(),
        drawn_one_by_one(places),
    )
    jobs: dict[str, tuple[int, Callable[[], object]]] = {
        "filling": (FRAMES, lambda: occupancy(here, SIZE)),
        "filling, loop": (FRAMES, lambda: filled_one_by_one(crops)),
        "drawing": (1, lambda: gaussian_maps(on_device[:1], SIZE // 2, SIGMA)),
        "drawing, loop": (1, lambda: drawn_one_by_one(places[:1])),
    }
    batch = 1 if device.type == "cpu" else 8
    few, step = here.index(slice(0, batch)), Step(device)
    step(few)  # memory of the optimiser
    memory = peak(device, lambda: step(few))
    jobs["step"] = (batch, lambda: step(few))
    jobs["input and targets"] = (batch, lambda: (step.method.encode(few), step.method.targets(few)))
    if device.type == "cpu":
        plain, one = Plain(), crops.index(slice(0, 1))
        jobs["step, loop"] = (1, lambda: plain(one))
    times = in_turns(device, jobs)
    found = {
        "device": evaluation.device_facts(device),
        "frames": FRAMES,
        "size": SIZE,
        "points_per_frame": int((crops.depth > 0).sum()) // FRAMES,
        "ms_per_frame": {
            kind: {name: 1000 * seconds for name, seconds in each.items()}
            for kind, each in times.items()
        },
        "times_faster": {
            kind: {
                name: each[f"{name}, loop"] / each[name]
                for name in STATED
                if f"{name}, loop" in each
            }
            for kind, each in times.items()
        },
        "stated_times_faster": STATED,
        "step_batch": batch,
        "step_peak_memory_bytes": memory,
        "input_and_targets_share_of_step": (
            times["clock"]["input and targets"] / times["clock"]["step"]
        ),
    }
    print(table(found))
    print(json.dumps(found, indent=1))
    return 0


def hands():
    """Sixteen frames, cut, each seen as V2V-PoseNet sees them in training."""
    frames = synth.frames(range(FRAMES))
    crops = prepare.crop(
        frames.depth, frames.camera, frames.centre, CUBE, frames.joints, frames.hands, frames.ids
    )
    return prepare.augment(
        crops,
        torch.Generator().manual_seed(0),
        **papers.recipe("v2v_posenet", profile="paper").augmentation,
    )


def places_of(crops) -> torch.Tensor:
    """The joints (N, 21, 3) in voxels of the output."""
    assert crops.joints is not None
    return to_output_voxels(prepare.xyz_to_cube(crops.joints, crops), SIZE, "authors")


def filled_one_by_one(crops) -> torch.Tensor:
    """Occupancy, frame by frame, from the definition: the measured pixels, back-projected, turned,
    and put into voxels.
    """
    volumes = []
    for i in range(len(crops)):
        depth, (left, top), (fx, fy, u0, v0) = (
            crops.depth[i].numpy(),
            crops.origin[i].numpy(),
            crops.camera[i].numpy(),
        )
        row, column = np.nonzero(depth)
        z = depth[row, column]
        points = np.stack(((column + left - u0) * z / fx, (row + top - v0) * z / fy, z), 1)
        x, y, z = ((points - crops.centre[i].numpy()) / (crops.cube[i].item() / 2)).T
        x = x * crops.mirror[i].item()
        cos, sin = math.cos(crops.rotation[i].item()), math.sin(crops.rotation[i].item())
        n = np.stack((crops.aspect[i].item() * (cos * x - sin * y), sin * x + cos * y, z), 1)
        voxel = np.floor((n + 1) * (SIZE / 2)).astype(int)
        x, y, z = voxel[((voxel >= 0) & (voxel < SIZE)).all(1)].T
        volume = np.zeros((1, SIZE, SIZE, SIZE), np.float32)
        volume[0, z, y, x] = 1
        volumes.append(volume)
    return torch.from_numpy(np.stack(volumes))


def drawn_one_by_one(places) -> torch.Tensor:
    """Eq. 1, joint by joint, over a grid made once per frame."""
    frames = []
    for joints in places.numpy():
        k, j, i = np.meshgrid(*[np.arange(SIZE // 2, dtype=np.float32)] * 3, indexing="ij")
        volumes = [
            np.exp(-((i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2) / (2 * SIGMA**2))
            for x, y, z in joints
        ]
        frames.append(np.stack(volumes))
    return torch.from_numpy(np.stack(frames))


def check(filled, filled_loop, drawn, drawn_loop) -> None:
    """Points within float32 of the face between two voxels may fall into either."""
    off = (filled != filled_loop).sum().item() / filled.sum().item()
    apart = (drawn - drawn_loop).abs().max().item()
    if off > 2e-3 or apart > 1e-4:
        raise SystemExit(f"the versions do not agree: {off:.2%} of the voxels, maps {apart} apart")


class Step:
    """One update of the paper's network as `training` makes it."""

    def __init__(self, device):
        torch.manual_seed(0)
        self.recipe = papers.recipe("v2v_posenet", profile="paper")
        self.method = papers.create("v2v_posenet", "msra21").to(device)
        self.optimiser = loop._optimiser(self.method, self.recipe)

    def __call__(self, crops) -> None:
        self.update(self.loss(crops))

    def loss(self, crops) -> torch.Tensor:
        return self.method.loss(self.method(self.method.encode(crops)), crops)["total"]

    def update(self, loss) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


class Plain(Step):
    """The same with the loops, and kernels in the order in which PyTorch makes them."""

    def __init__(self):
        super().__init__(torch.device("cpu"))
        for parameter in self.method.parameters():
            parameter.data = parameter.data.contiguous(memory_format=torch.contiguous_format)

    def loss(self, crops) -> torch.Tensor:
        places = places_of(crops)
        volume = self.method(filled_one_by_one(crops))[-1].likelihood
        return torch.nn.functional.mse_loss(volume, drawn_one_by_one(places).to(volume.dtype))


def peak(device, call) -> int:
    """The most bytes in use so far: of the process, or on the device."""
    call()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def in_turns(device, jobs) -> dict[str, dict[str, float]]:
    """Median seconds per frame of each (frames, call), by clock and computed; what is fast is
    called often enough to be timed.
    """

    def timed(frames, call, often):
        start, computed = time.perf_counter(), time.process_time()
        for _ in range(often):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return {
            "clock": (time.perf_counter() - start) / often / frames,
            "computed": (time.process_time() - computed) / often / frames,
        }

    often = {
        name: max(1, math.ceil(0.2 / max(timed(frames, call, 1)["clock"] * frames, 1e-4)))
        for name, (frames, call) in jobs.items()
    }
    rounds = [
        {name: timed(frames, call, often[name]) for name, (frames, call) in jobs.items()}
        for _ in range(ROUNDS)
    ]
    return {
        kind: {name: median(each[name][kind] for each in rounds) for name in jobs}
        for kind in ("clock", "computed")
    }


def table(found) -> str:
    titles = {
        "filling": "filling 88³ voxels, a batch at once",
        "filling, loop": "frame by frame, NumPy",
        "drawing": "drawing the 21 Gaussian maps of a frame at 44³",
        "drawing, loop": "joint by joint, NumPy",
        "step": f"training step at 88³, batch {found['step_batch']}",
        "step, loop": "with the loops and plain layout, batch 1",
    }
    device, ms, faster = found["device"], found["ms_per_frame"], found["times_faster"]
    lines = [
        (
            f"{device['name']}, {device['threads']} CPU threads; {found['frames']} frames,"
            f" {found['points_per_frame']} points each"
        ),
        f"{'ms per frame':<46}{'clock':>10}{'computed':>10}",
    ]
    for name, title in titles.items():
        if name in ms["clock"]:
            line = f"{title:<46}{ms['clock'][name]:10.2f}{ms['computed'][name]:10.2f}"
            if name.endswith("loop"):
                line += "   ours is {:.1f} and {:.1f} × as fast".format(
                    *(faster[kind][name.removesuffix(", loop")] for kind in ms)
                )
            lines.append(line)
    lines.append(
        f"peak memory with a step: {found['step_peak_memory_bytes'] / 2**20:.0f} MiB; "
        f"input and targets: {found['input_and_targets_share_of_step']:.1%} of it"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # read when a process starts: begin again
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_MEMORY})
    sys.exit(main())
