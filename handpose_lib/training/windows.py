"""Cut windows as they are kept in memory and in the crop cache: 16-bit depth around the hand."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from handpose_lib.frames import Crops

EMPTY = -32768
"""The value of a background pixel."""
STEP_MM = 1 / 16
"""Resolution of the kept depth, mm."""


class Window(NamedTuple):
    """One cut frame as it is kept.

    depth    (h, w) int16, steps of 1/16 mm relative to the depth of the centre
    origin   (2,) pixel (u, v) of its first element

    The other fields are those of `frames.Crops`, of one frame.
    """

    depth: torch.Tensor
    origin: torch.Tensor
    camera: torch.Tensor
    centre: torch.Tensor
    mirror: torch.Tensor
    joints: torch.Tensor
    id: str


def cut_window(depth: torch.Tensor, crops: Crops, row: int, reach: float) -> Window:
    """Return the part of an image within `reach` mm of the centre of row `row` of `crops`.

    `depth`: (H, W) mm. The reach holds sideways, at the depth of the centre, and behind the centre;
    everything nearer to the camera belongs to the window. Rows and columns at the border without
    a measured pixel are trimmed off.
    """
    assert crops.joints is not None  # windows are cut for training
    x, y, z = crops.centre[row].tolist()
    fx, fy, u0, v0 = crops.camera[row].tolist()
    (left, right), (top, bottom) = (
        (
            min(max(math.floor(p - f * reach / z), 0), size - 1),
            max(math.ceil(p + f * reach / z) + 1, 1),
        )
        for p, f, size in (
            (u0 + fx * x / z, fx, depth.shape[1]),
            (v0 + fy * y / z, fy, depth.shape[0]),
        )
    )
    image = depth[top:bottom, left:right]
    measured = (image > 0) & (image <= z + reach)  # the rest is background in every view
    rows, columns = measured.any(1).nonzero()[:, 0], measured.any(0).nonzero()[:, 0]
    if len(rows):
        (v, below), (u, beyond) = ((int(used[0]), int(used[-1]) + 1) for used in (rows, columns))
        image, measured, left, top = (
            image[v:below, u:beyond],
            measured[v:below, u:beyond],
            left + u,
            top + v,
        )
    steps = (
        ((image - z) / STEP_MM)
        .round_()
        .clamp_(-32767, 32767)
        .masked_fill_(~measured, EMPTY)
        .to(torch.int16)
    )
    return Window(
        steps,
        crops.origin.new_tensor([left, top]),
        crops.camera[row],
        crops.centre[row],
        crops.mirror[row],
        crops.joints[row],
        crops.ids[row],
    )


def assemble(windows: Sequence[Window], cube: float) -> Crops:
    """Return windows as crops in a cube of side `cube` mm: the inverse of `cut_window`.

    What `cut_window` took for background is 0 in the result.
    """
    size = 8 * math.ceil(max(max(w.depth.shape) for w in windows) / 8)
    steps = torch.full((len(windows), size, size), EMPTY, dtype=torch.int16)
    for row, window in zip(steps, windows, strict=True):
        row[: window.depth.shape[0], : window.depth.shape[1]] = window.depth
    origin, camera, centre, mirror, joints = (
        torch.stack([getattr(w, name) for w in windows])
        for name in ("origin", "camera", "centre", "mirror", "joints")
    )
    depth = (steps * STEP_MM + centre[:, 2, None, None]).masked_fill_(steps == EMPTY, 0)
    cubes = torch.full_like(mirror, cube)
    return Crops(
        depth,
        origin,
        camera,
        centre,
        cubes,
        torch.zeros_like(cubes),
        torch.ones_like(cubes),
        mirror,
        joints,
        [w.id for w in windows],
    )
