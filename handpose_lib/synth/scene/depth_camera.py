"""What a depth camera and its maker's software make of exact depth, one named error at a time.

Every function takes depth (B, H, W) in mm, where 0 means nothing, and returns such depth. Amounts
are (B,), one per image; at 0 an image stays as it is. `key` (B,) selects the noise, which belongs
to the pixels of the camera's whole image (`Raster.anchor`). What a pixel becomes depends on no
pixel further away than `MARGIN`, so that a window shows what the whole image shows.

Sources: Khoshelham and Elberink, Accuracy and Resolution of Kinect Depth Data, 2012 (disparity,
its quantisation, the shadow of the projector); Hansard, Lee, Choi and Horaud, Time-of-Flight
Cameras, 2013, chapter 1 (flying pixels); Grunnet-Jepsen and Tong, Depth Post-Processing for Intel
RealSense D400 Depth Cameras, 2018 (smoothing between edges, filling of holes).
"""

from __future__ import annotations

import numpy as np
import torch

from handpose_lib.synth import hashing
from handpose_lib.synth.scene.neighbours import above, nearest_around, nearness, over_neighbours
from handpose_lib.synth.scene.raster import Raster
from handpose_lib.synth.scene.sensors import EDGE_MM, SENSOR_FOCAL

MARGIN = (16, 40)
"""Rows and columns around a window on which its pixels may depend."""

SHADOW = 24
"""Widest shadow of the projector, in pixels."""

FRAY = 3
"""Greatest displacement of a pixel at a frayed edge, in pixels."""

PASSES = 4
"""Passes of the smoothing, each of which reaches one pixel further."""

RUN = 3
"""Greatest width of a hole that the software fills, in pixels."""

FLYING_MM = 60.0
"""How far behind the near surface a flying pixel may lie."""


def dark(
    depth: torch.Tensor,
    clothes: torch.Tensor,
    raster: Raster,
    key: np.ndarray,
    amount: torch.Tensor,
) -> torch.Tensor:
    """Return depth without most of what `clothes` (B, H, W), 0 or 1, marks as too dark to measure.

    The share that is lost grows with the amount: all but 2 % at 1, three quarters at 0.3.
    """
    wave = _noise(key, "dark", depth, raster, smooth=3.0)
    return depth * (1 - clothes * above(_column(2.2 * amount) - wave, 0.0))


def ragged(
    depth: torch.Tensor, raster: Raster, key: np.ndarray, amount: torch.Tensor
) -> torch.Tensor:
    """Return depth with frayed edges: a pixel near an edge may show the surface beyond it.

    It takes the depth of a pixel nearby if the step to it is an edge (`_edge`). The displacement
    has a standard deviation of 1.3 `amount` pixels of a camera with the focal length
    `SENSOR_FOCAL`, and is at most `FRAY` pixels along each axis.
    """
    coarseness = (raster.lens[:, 0] / SENSOR_FOCAL).clamp(0.3, 1.5)
    reach = _column(1.3 * amount * coarseness)
    height, width = depth.shape[1:]
    down, across = (
        (reach * _noise(key, f"frayed {way}", depth, raster, smooth=0.8))
        .round_()
        .clamp_(-FRAY, FRAY)
        .long()
        for way in ("down", "across")
    )
    rows = torch.arange(height, device=depth.device)[:, None]
    columns = torch.arange(width, device=depth.device)
    place = (rows + down).clamp_(0, height - 1) * width + (columns + across).clamp_(0, width - 1)
    shown = depth.flatten(1).gather(1, place.flatten(1)).view_as(depth)
    change = shown.sub_(depth)
    return change.mul_(above(change.abs(), _edge(depth, raster))).add_(depth)


def shadow(depth: torch.Tensor, raster: Raster, baseline: torch.Tensor) -> torch.Tensor:
    """Return depth where the projector lights what the camera sees.

    `baseline`: (B,) mm from the camera to the projector on its right, negative for the left. The
    projector sees a point at u - f b / z. Where the order of the columns differs between both
    images, the nearer point is lit, and casts its shadow to the side away from the projector. A
    shadow is at most `SHADOW` pixels wide.
    """
    left = (baseline < 0)[:, None, None]
    seen = torch.where(left, depth.flip(2), depth)
    columns = torch.arange(depth.shape[2], dtype=depth.dtype, device=depth.device)
    place = columns - nearness(seen).mul_(_column(raster.lens[:, 0] * baseline.abs()))
    # The least of the next `SHADOW` columns to the right, by doubling the reach.
    least, reached = place.clone(), 0
    while reached < SHADOW:
        step = min(reached + 1, SHADOW - reached)
        least[..., :-step] = torch.minimum(least[..., :-step], least[..., step:].clone())
        reached += step
    lit = 1 - above(place.sub_(least), 1.0)
    return depth * torch.where(left, lit.flip(2), lit)


def rim(depth: torch.Tensor, raster: Raster, key: np.ndarray, amount: torch.Tensor) -> torch.Tensor:
    """Return depth without most of the far pixels next to a nearer edge, one or two pixels wide.

    A matching window there sees both surfaces.
    """
    one = nearest_around(depth)
    two = over_neighbours(one, torch.minimum)
    wave = _noise(key, "rim", depth, raster, smooth=1.0)
    beside = above(depth - one, EDGE_MM).mul_(above(wave, -0.6))
    further = above(depth - two, EDGE_MM).mul_(above(wave, 0.4))
    return depth * (1 - torch.maximum(beside, further) * _column((amount > 0).to(depth)))


def glancing(depth: torch.Tensor, raster: Raster, limit: torch.Tensor) -> torch.Tensor:
    """Return depth where the tangent of the angle between surface and image plane is below `limit`.

    0 for no limit, 10 is the largest. Steps across an edge (`_edge`) do not count.
    """
    steep, edge = torch.zeros_like(depth), _edge(depth, raster)
    for axis, focal in ((2, raster.lens[:, 0]), (1, raster.lens[:, 1])):
        size = depth.shape[axis] - 1
        here, next_ = depth.narrow(axis, 0, size), depth.narrow(axis, 1, size)
        pixel = here / _column(focal)
        change = (next_ - here).abs_()
        change.mul_(above(edge.narrow(axis, 0, size) - change, 0.0))
        steep.narrow(axis, 0, size).add_(change.div_(pixel.clamp_min_(1e-3)).square_())
    limit = _column(torch.where(limit > 0, limit, 1e3))
    return depth * (1 - above(steep, limit * limit))


def dropouts(
    depth: torch.Tensor, raster: Raster, key: np.ndarray, share: torch.Tensor
) -> torch.Tensor:
    """Return depth without a share of the pixels, in small patches that stand in groups."""
    patches = _noise(key, "dropouts", depth, raster, smooth=2.0).mul_(0.6)
    patches.add_(_noise(key, "groups of dropouts", depth, raster, smooth=14.0), alpha=0.8)
    limit = torch.special.ndtri(share.double()).clamp(-10, 10).to(depth)
    return depth * above(patches, _column(limit))


def flying(
    depth: torch.Tensor, raster: Raster, key: np.ndarray, share: torch.Tensor
) -> torch.Tensor:
    """Return depth with a share of the pixels at edges between both surfaces.

    They lie up to `FLYING_MM` behind the near surface, also where nothing is measured behind it.
    """
    near = nearest_around(depth)
    far = over_neighbours(nearness(depth), torch.minimum).reciprocal_()
    gap = far.sub_(near).clamp_max_(FLYING_MM)
    limit = torch.special.ndtri(share.double()).clamp(-10, 10).to(depth)
    chosen = above(gap, EDGE_MM).mul_(above(depth, 0.0))
    chosen.mul_(above(_column(limit) - _noise(key, "flying", depth, raster, smooth=0.6), 0.0))
    place = _noise(key, "blend", depth, raster).mul_(0.25).add_(0.35).clamp_(0, 1)
    return near.addcmul_(gap, place).sub_(depth).mul_(chosen).add_(depth)


def grain(
    depth: torch.Tensor, raster: Raster, key: np.ndarray, sigma: torch.Tensor
) -> torch.Tensor:
    """Return depth with noise of the standard deviation sigma (z / 1 m)^2, `sigma` in mm.

    Two thirds of its variance change slowly, as the wavy surfaces of stereo matching.
    """
    fine = _noise(key, "grain", depth, raster)
    broad = _noise(key, "grain, broad", depth, raster, smooth=2.5)
    noise = fine.mul_(0.58).add_(broad.mul_(0.81)).mul_(_column(1e-6 * sigma))
    measured = above(depth, 0.0)
    return noise.mul_(depth).mul_(depth).add_(depth).clamp_min_(1.0).mul_(measured)


def steps(depth: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return depth from a quantised disparity: steps of `step` (z / 1 m)^2 mm."""
    # k steps of disparity are a depth of c / k, and a step is z^2 / c mm of depth.
    c = _column(1e6 / step.clamp_min(1e-4))
    measured = above(depth, 0.0)
    coarse = c / (c * nearness(depth)).round_().clamp_min_(1.0) * measured
    return torch.where(_column(step) > 0, coarse, depth)


def smoothing(depth: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Return depth that is smoothed between edges.

    `PASSES` times, a pixel becomes the mean of itself and those of its four neighbours that differ
    by less than 10 + 30 amount^2 mm, each neighbour weighted by the amount. The windows of stereo
    matching act alike: fingers that lie on a table melt into it.
    """
    weight, limit = _column(amount), _column(10 + 30 * amount.square())
    for _ in range(PASSES):
        total, count = depth.clone(), torch.ones_like(depth)
        for axis in (1, 2):
            size = depth.shape[axis] - 1
            one, other = depth.narrow(axis, 0, size), depth.narrow(axis, 1, size)
            change = other - one
            alike = above(limit - change.abs(), 0.0).mul_(weight)
            change.mul_(alike)
            # The weighted sum of differences, divided by the sum of weights.
            total.narrow(axis, 0, size).add_(change)
            total.narrow(axis, 1, size).sub_(change)
            count.narrow(axis, 0, size).add_(alike)
            count.narrow(axis, 1, size).add_(alike)
        depth = depth + total.sub_(depth).div_(count)
    return depth


def filling(depth: torch.Tensor, mode: torch.Tensor) -> torch.Tensor:
    """Return depth whose holes are filled as cameras do it.

    `mode`: (B,), 0 for none; 1 fills up to `RUN` pixels with the next measured pixel on the left,
    and also draws out the right side of every silhouette; 2 fills pixels with at least three
    measured neighbours of four, with the farthest of these, `RUN` times.
    """
    run = depth
    for _ in range(RUN):
        left = torch.nn.functional.pad(run[..., :-1], (1, 0))
        run = torch.where(run > 0, run, left)
    around = depth
    for _ in range(RUN):
        framed = torch.nn.functional.pad(around, (1, 1, 1, 1))
        sides = [
            framed[:, 1:-1, :-2],
            framed[:, 1:-1, 2:],
            framed[:, :-2, 1:-1],
            framed[:, 2:, 1:-1],
        ]
        known = sum(above(side.contiguous(), 0.0) for side in sides)
        farthest = torch.stack(sides).amax(0)
        around = torch.where((around > 0) | (known < 3), around, farthest)
    mode = _column(mode)
    return torch.where(mode == 1, run, torch.where(mode == 2, around, depth))


# --- one value for each image -------------------------------------------------


def _noise(
    key: np.ndarray, name: str, depth: torch.Tensor, raster: Raster, smooth: float = 0.0
) -> torch.Tensor:
    return hashing.noise(key, name, depth.shape[1:], depth, smooth, raster.anchor)


def _edge(depth: torch.Tensor, raster: Raster) -> torch.Tensor:
    """Return the smallest step in mm that is an edge: `EDGE_MM`, or ten pixels if that is more.

    A surface seen at a tangent below 10 has smaller steps from pixel to pixel.
    """
    return (depth * _column(10 / raster.lens[:, 0])).clamp_min_(EDGE_MM)


def _column(amount: torch.Tensor) -> torch.Tensor:
    return amount[:, None, None]
