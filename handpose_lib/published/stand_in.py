"""Imitations of published files, made from synthetic joints, for use without the real ones.

The methods are not networks but the true joints with artificial errors. They demonstrate the
computation and say nothing about any paper. Each has the word "imitation" in its name.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from handpose_lib import skeleton
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.errors import one_of
from handpose_lib.io import matlab
from handpose_lib.published import BENCHMARKS, Benchmark, files

METHODS = {"imitation A": (4.0, 0.01), "imitation B": (5.0, 0.04), "imitation C": (6.0, 0.0)}
"""Method → standard deviation in mm of its errors along each axis, and share of frames in which it
loses the hand.
"""
NEW = 1.7
"""Factor of the errors in the last part of a set, as on hands without training frames."""


def write(
    folder: Path | str,
    name: str,
    joints: torch.Tensor,
    parts: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Benchmark:
    """Write labels and predictions in the formats of the set `name`; return their benchmark.

    `joints`: (N, J, 3) mm in the camera frame, synthetic. `parts`: name → number of frames, in
    their order. Hands: text in pixels, with names and a trailing field, and points in space with
    tabs. ITOP: MATLAB arrays in metres. Errors: `HandPoseError` for an unknown set.
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
    written: dict[str | None, str] = {None: f"{name}/labels{suffix}", **made.results}
    for number, (method, file) in enumerate(written.items()):
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


def _predicted(
    joints: torch.Tensor,
    benchmark: Benchmark,
    parts: Mapping[str, int],
    spread: float,
    lost: float,
    seed: int,
) -> torch.Tensor:
    """Return the true joints with errors that grow with the distance from the root.

    They are larger in the last part. In a share of the frames the whole hand is displaced.
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
    # Errors of neighbouring frames are similar.
    noise = (noise + noise.roll(1, 0) + noise.roll(-1, 0)) / 3**0.5
    away = torch.rand(len(joints), 1, 1, generator=draw, dtype=joints.dtype) < lost
    return (
        joints
        + size * noise
        + away * 40 * torch.randn(len(joints), 1, 3, generator=draw, dtype=joints.dtype)
    )


def _depth(name: str, joint: int) -> int:
    parents = skeleton.get(name).parents
    return 0 if parents[joint] < 0 else 1 + _depth(name, parents[joint])
