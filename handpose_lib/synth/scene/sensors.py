"""Models of depth sensors: time of flight, structured light, and errors common to both.

Every function takes exact depth (B, H, W) in mm, where 0 means nothing, and returns measured depth
of the same shape. At strength 0 it returns the depth itself. `seed` selects the noise: a whole
number, or one key per image (`hashing.keys`); an image has the same noise alone and in any batch.
`strength` is one number or (B,); 1 stands for a typical camera.

    measured = sensors.SENSORS["structured light"](depth, camera, seed=3)

Sources: Hansard, Lee, Choi and Horaud, Time-of-Flight Cameras, 2013, chapter 1
(noise that grows with the square of the depth, flying pixels), and Khoshelham and Elberink,
Accuracy and Resolution of Kinect Depth Data, 2012 (disparity, quantisation, shadow of the
projector).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import torch

from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError
from handpose_lib.synth import hashing
from handpose_lib.synth.scene.neighbours import (
    NOTHING_MM,
    above,
    nearest_around,
    nearness,
    over_neighbours,
)

EDGE_MM = 15.0
"""A step in depth between neighbours that counts as an edge."""

SENSOR_FOCAL = 476.0
"""Focal length in pixels of a typical structured-light sensor, the SR305."""

Seed = int | np.ndarray
"""A whole number, or one key per image."""
Amount = float | torch.Tensor
"""One number, or one per image (B,)."""


def ideal(
    depth: torch.Tensor, camera: Camera, seed: Seed = 0, strength: Amount = 1.0
) -> torch.Tensor:
    """Return the depth itself."""
    return depth


def time_of_flight(
    depth: torch.Tensor, camera: Camera, seed: Seed = 0, strength: Amount = 1.0
) -> torch.Tensor:
    """Return depth with noise that grows with the distance, and flying pixels at edges.

    The noise has a standard deviation of strength * (0.5 + 7 (z / 1 m)^2) mm, and up to four times
    as much on surfaces seen at a grazing angle, which reflect little light to the camera.
    """
    key, strength = _arguments(depth, seed, strength)
    found = mix_edges(depth, key, share=0.5 * strength)
    sigma = (found * found).mul_(7e-6).add_(0.5).mul_(strength)
    sigma.mul_(_steepness(found, camera).mul_(0.1).clamp_max_(3.0).add_(1.0))
    fine = hashing.noise(key, "time of flight", depth.shape[1:], depth)
    broad = hashing.noise(key, "time of flight, broad", depth.shape[1:], depth, smooth=2.0)
    noisy = sigma.mul_(fine.mul_(0.8).add_(broad.mul_(0.6))).add_(found)
    # Noise neither makes a measurement nor moves it behind the camera.
    return noisy.clamp_min_(1.0).mul_(above(found, 0.0))


def structured_light(
    depth: torch.Tensor,
    camera: Camera,
    seed: Seed = 0,
    strength: Amount = 1.0,
    baseline: float = 50.0,
) -> torch.Tensor:
    """Return depth as computed from the shift of a projected pattern.

    `baseline`: mm from the camera to the projector on its right; negative for the left. The
    disparity f b / z is found by comparing small windows: edges become ragged, and the disparity is
    quantised in steps of strength / 16 pixel (of a sensor with focal length `SENSOR_FOCAL`; the
    image may have fewer pixels). Nothing is measured in the projector's shadow, close behind an
    edge, and where a surface is seen at a grazing angle. Errors: `HandPoseError` for baseline 0.
    """
    key, strength = _arguments(depth, seed, strength)
    if baseline == 0:
        raise HandPoseError(
            "baseline 0 mm: accepted is a distance between camera and projector, negative for the"
            " left"
        )
    found = ragged(depth, key, reach=1.1 * strength * camera.fx / SENSOR_FOCAL)
    # z = reach / k after k steps of disparity.
    reach = 16 * SENSOR_FOCAL * abs(baseline) / strength.clamp_min(1e-6)
    wobble = hashing.noise(key, "border", depth.shape[1:], depth, smooth=1.0)
    # Windows that see an occluding border match badly on its far side, most of them.
    border = above(found - nearest_around(found), 1.5 * EDGE_MM).mul_(above(wobble, -0.3))
    grazing = above(
        (0.4 * wobble).add_(1.0).mul_(_steepness(found, camera)),
        (5 / strength.clamp_min(1e-6)) ** 2,
    )
    shadow = _shadow(found, camera.fx * abs(baseline), right=baseline > 0)
    seen = above(found, 0.0).mul_(1 - border).mul_(1 - grazing).mul_(1 - shadow)
    wave = hashing.noise(key, "disparity", depth.shape[1:], depth, smooth=1.5)
    steps = nearness(found).mul_(reach).add_(wave.mul_(0.4)).round_().clamp_min_(1.0)
    measured = (reach / steps).mul_(seen)
    return measured if (strength > 0).all() else torch.where(strength > 0, measured, depth)


SENSORS = {"ideal": ideal, "time of flight": time_of_flight, "structured light": structured_light}
"""The sensors by name."""


# --- errors common to all sensors ---------------------------------------------


def mix_edges(
    depth: torch.Tensor, seed: Seed = 0, share: Amount = 0.5, blend: float | None = None
) -> torch.Tensor:
    """Return depth with flying pixels: at edges, values between both surfaces.

    They lie up to 120 mm behind the near surface. `share`: of the pixels at edges, a number or
    (B,). `blend`: place between near (0) and far (1), random if None; 0.5 with share 1 smears all
    edges. Half-way to missing pixels and beyond, nothing is measured.
    """
    key, share = _arguments(depth, seed, share)
    near, far = range_around(depth)
    if blend is None:
        place = hashing.noise(key, "blend", depth.shape[1:], depth).mul_(0.3).add_(0.5).clamp_(0, 1)
    else:
        place = torch.full_like(depth, blend)
    gap = far.sub_(near)
    chosen = above(gap, EDGE_MM).mul_(above(depth, 0.0))
    which = hashing.noise(key, "edges", depth.shape[1:], depth, smooth=0.7)
    chosen.mul_(above(_quantiles(share) - which, 0.0))
    lost = above(gap, NOTHING_MM / 2).mul_(above(place, 0.4999))
    mixed = gap.clamp_max_(120.0).mul_(place).add_(near).mul_(lost.neg_().add_(1.0))
    return mixed.sub_(depth).mul_(chosen).add_(depth)


def ragged(depth: torch.Tensor, seed: Seed = 0, reach: Amount = 1.0) -> torch.Tensor:
    """Return depth with frayed edges: every pixel takes the depth of a random pixel nearby.

    `reach`: standard deviation of the displacement in pixels, a number or (B,).
    """
    key, reach = _arguments(depth, seed, reach)
    height, width = depth.shape[1:]
    rows = torch.arange(height, device=depth.device)[:, None]
    columns = torch.arange(width, device=depth.device)
    down = (
        (reach * hashing.noise(key, "ragged down", (height, width), depth, smooth=1.1))
        .round()
        .long()
    )
    across = (
        (reach * hashing.noise(key, "ragged across", (height, width), depth, smooth=1.1))
        .round()
        .long()
    )
    place = (rows + down).clamp_(0, height - 1) * width + (columns + across).clamp_(0, width - 1)
    return depth.flatten(1).gather(1, place.flatten(1)).view_as(depth)


def holes(
    depth: torch.Tensor, seed: Seed = 0, share: Amount = 0.02, size: float = 2.5
) -> torch.Tensor:
    """Return depth with patches that are not measured.

    `share`: of the image, a number or (B,); `size`: scale of the patches in pixels.
    """
    key, share = _arguments(depth, seed, share)
    patches = hashing.noise(key, "holes", depth.shape[1:], depth, smooth=size)
    return depth * above(patches, _quantiles(share))


def missing(
    depth: torch.Tensor, camera: Camera, points: torch.Tensor, radius: torch.Tensor
) -> torch.Tensor:
    """Return depth without discs of `radius` (B, N) mm around `points` (B, N, 3), as where a
    fingertip is lost.
    """
    u = torch.arange(camera.width, dtype=depth.dtype, device=depth.device)
    v = torch.arange(camera.height, dtype=depth.dtype, device=depth.device)[:, None]
    gone = torch.zeros_like(depth, dtype=torch.bool)
    for point, r in zip(points.unbind(1), radius.unbind(1)):
        x, y, z, r = (t[:, None, None] for t in (*point.unbind(-1), r))
        right, down = (u - camera.u0) * z / camera.fx - x, (v - camera.v0) * z / camera.fy - y
        gone |= right * right + down * down < r * r
    return depth * ~gone


def quantise(depth: torch.Tensor, step: Amount) -> torch.Tensor:
    """Return depth in whole multiples of `step` mm, a number or (B,); 0 for no quantisation."""
    step = _column(step, depth)
    fine = step.clamp_min(1e-3)
    return torch.where(step > 0, torch.round(depth / fine) * fine, depth)


def within(depth: torch.Tensor, near: float, far: float) -> torch.Tensor:
    """Return depth where it lies between `near` and `far` mm, 0 elsewhere."""
    return depth * ((depth >= near) & (depth <= far))


# --- one value for each image -------------------------------------------------


def range_around(depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the smallest and largest depth among a pixel and its four neighbours.

    Missing pixels count as `NOTHING_MM`.
    """
    return nearest_around(depth), over_neighbours(nearness(depth), torch.minimum).reciprocal_()


def surface_around(depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the smallest and largest measured depth among a pixel and its four neighbours.

    Where none is measured: `NOTHING_MM` and 0.
    """
    return nearest_around(depth), over_neighbours(depth, torch.maximum)


def _steepness(depth: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Return (B, H, W), the squared tangent of the angle between surface and image plane.

    It is |f grad z / z|^2, and 0 across edges.
    """
    total = torch.zeros_like(depth)
    for axis, focal in ((2, camera.fx), (1, camera.fy)):
        size = depth.shape[axis] - 1
        here = depth.narrow(axis, 0, size)
        change = depth.narrow(axis, 1, size) - here
        change.mul_(above(EDGE_MM - change.abs(), 0.0)).mul_(focal).div_(here.clamp_min(1.0))
        total.narrow(axis, 0, size).add_(change.mul_(change))
    return total


def _shadow(depth: torch.Tensor, focal: float, right: bool) -> torch.Tensor:
    """Return 1 where the projector does not see the surface that the camera sees, else 0.

    The projector sees a point at u - f b / z. Where the order of the columns differs between the
    two images, the nearer point is lit and casts its shadow to the side away from the projector.
    """
    depth = depth if right else depth.flip(2)
    columns = torch.arange(depth.shape[2], dtype=depth.dtype, device=depth.device)
    place = columns - nearness(depth).mul_(focal)
    # The least of all columns to the right, by doubling the reach; a shadow is at most 64 pixels
    # wide.
    least = place.clone()
    for reach in (1, 2, 4, 8, 16, 32):
        if reach < least.shape[2]:
            least[..., :-reach] = torch.minimum(least[..., :-reach], least[..., reach:])
    hidden = above(place.sub_(least), 1.5)
    return hidden if right else hidden.flip(2)


# --- arguments ----------------------------------------------------------------


def _arguments(
    depth: torch.Tensor, seed: Seed, strength: Amount
) -> tuple[np.ndarray, torch.Tensor]:
    if depth.ndim != 3 or not depth.is_floating_point():
        raise HandPoseError(
            f"depth is {depth.dtype} {tuple(depth.shape)}: accepted is a float tensor (B, H, W)"
        )
    key = hashing.keys(seed, range(len(depth))) if isinstance(seed, int) else seed
    if key.shape != (len(depth),):
        raise HandPoseError(
            f"{key.shape} keys for {len(depth)} images: accepted are a number or one key per image"
        )
    strength = _column(strength, depth)
    if not (strength >= 0).all():
        raise HandPoseError("a strength or share below 0: accepted are numbers from 0")
    return key, strength


def _column(value: Amount, depth: torch.Tensor) -> torch.Tensor:
    column = torch.as_tensor(value, dtype=depth.dtype, device=depth.device)
    if column.numel() not in (1, len(depth)):
        raise HandPoseError(
            f"{column.numel()} strengths for {len(depth)} images: accepted are one or one per image"
        )
    return column.reshape(-1, 1, 1)


def _quantiles(share: torch.Tensor) -> torch.Tensor:
    """Return (B, 1, 1), the quantiles of the standard normal distribution for `share`."""
    table = [
        -math.inf if p <= 0 else math.inf if p >= 1 else NormalDist().inv_cdf(p)
        for p in share.flatten().tolist()
    ]
    return share.new_tensor(table).reshape(-1, 1, 1)
