"""Files like those of the literature, from synthetic joints and invented methods, for when the real
ones are not there.

The methods are no networks: they are the true joints with errors of a made-up kind. What is
computed from them shows how the computation goes, and nothing about any paper. Each carries the
word "imitation" in its name.
"""

from dataclasses import replace
from pathlib import Path

import torch

from handpose_lib import skeleton
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.errors import one_of
from handpose_lib.io import matlab
from handpose_lib.published import BENCHMARKS, Benchmark, files

METHODS = {"imitation A": (4.0, 0.01), "imitation B": (5.0, 0.04), "imitation C": (6.0, 0.0)}
"""Method → standard deviation in mm of its errors along each axis, and share of its frames with a
lost hand.
"""
NEW = 1.7
"""So much larger are errors in the last part of a set, as on hands that a network has not seen."""


def write(
    folder, name: str, joints: torch.Tensor, parts: dict | None = None, seed: int = 0
) -> Benchmark:
    """Writes labels and predictions in the formats of the set `name`; returns the benchmark that
    reads them.

    `joints` (N, J, 3) mm in the camera frame, synthetic. `parts`: name → number of frames, in their
    order. Hands: text in pixels, with names and a trailing field, and points in space with tabs.
    ITOP: MATLAB arrays in metres.
    """
    benchmark = BENCHMARKS[one_of("benchmark", name, BENCHMARKS)]
    folder, parts = Path(folder) / name, parts or {}
    folder.mkdir(parents=True, exist_ok=True)
    joints = joints.double()
    camera = joints.new_tensor(benchmark.intrinsics)
    names = [f"{name}/image_{i:05d}.png" for i in range(len(joints))]
    suffix = ".mat" if name == "itop" else ".txt"
    made = replace(
        benchmark,
        title=f"synthetic imitation of {name.upper()}",
        labels=f"{name}/labels{suffix}",
        names=f"{name}/list.txt",
        parts=dict(parts),
        synthetic=True,
        results={method: f"{name}/{method.replace(' ', '_')}{suffix}" for method in METHODS},
    )
    (folder / "list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    for number, (method, file) in enumerate({None: made.labels, **made.results}.items()):
        points = (
            joints
            if method is None
            else _predicted(joints, benchmark, parts, *METHODS[method], seed + number)
        )
        uvd, place = xyz_to_uvd(points, camera), folder.parent / file
        if suffix == ".mat":
            up, metres = points.new_tensor([1.0, -1.0, 1.0]), points.new_tensor([1.0, 1.0, 0.001])
            matlab.write(
                place,
                (
                    {"keypoints3D": (points * up / 1000).numpy()}
                    if method is None
                    else {"resultUVD": (uvd * metres).numpy()}
                ),
            )
        elif number == 3:
            text = "".join(
                "\t".join([n.replace("/", "\\"), *(f"{x:.4f}" for x in row)]) + "\r\n"
                for n, row in zip(names, points.flatten(1).tolist())
            )
            place.write_text(text, encoding="utf-8", newline="")
        else:
            files.write(place, uvd, names if number == 2 else None)
    return made


def _predicted(joints, benchmark, parts, spread, lost, seed):
    """True joints with errors: larger the farther a joint is from the root, larger in the last
    part, sometimes elsewhere.
    """
    draw = torch.Generator().manual_seed(seed)
    reach = torch.tensor(
        [_depth(benchmark.skeleton, j) for j in range(joints.shape[1])], dtype=joints.dtype
    )
    size = spread * (0.6 + 0.2 * reach)[None, :, None].repeat(len(joints), 1, 1)
    if len(parts) > 1:
        size[-list(parts.values())[-1] :] *= NEW
    size = size * (10 if benchmark.skeleton == "itop15" else 1)
    noise = torch.randn(joints.shape, generator=draw, dtype=joints.dtype)
    noise = (
        noise + noise.roll(1, 0) + noise.roll(-1, 0)
    ) / 3**0.5  # errors of neighbouring frames are alike
    away = torch.rand(len(joints), 1, 1, generator=draw, dtype=joints.dtype) < lost
    return (
        joints
        + size * noise
        + away * 40 * torch.randn(len(joints), 1, 3, generator=draw, dtype=joints.dtype)
    )


def _depth(name: str, joint: int) -> int:
    parents = skeleton.get(name).parents
    return 0 if parents[joint] < 0 else 1 + _depth(name, parents[joint])
