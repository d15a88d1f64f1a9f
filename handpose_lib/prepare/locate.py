"""The reference point: where in the image the hand is, so that a cube can be put around it.

Both methods start at the nearest thing whose visible surface is as large as a hand's, if possible
one that stands by itself, and then follow a mean inside the cube:

* 'mass', the usual one: the mean of the points, as DeepPrior++ and many others (their section 3). A
  forearm in view pulls it off the hand.
* 'outline', ours: each point counts with the length of the outline that passes through it, that is,
  of the border to something farther. Fingers have most of a hand's outline and a forearm little, so
  that the mean stays on the hand.

Neither is a detector: both assume, as the hand data sets do, that the hand is the nearest thing of
its size. A `detector` takes their place where that fails, and `refine` improves on whatever was
found: both are functions, mostly of a trained network, that `locate` knows nothing else about.
"""

from collections.abc import Callable

import torch

from handpose_lib.camera import Camera, depth_to_points
from handpose_lib.errors import HandPoseError, one_of

METHODS = ("mass", "outline")

NEAR, FAR = 100.0, 1500.0
"""Default range in mm in which a hand is looked for."""

CELL = 60.0
"""Side in mm of the cells in which the visible surface is measured; three make a block, about a
hand.
"""
HAND_AREA = 3000.0
"""Visible surface in mm² from which a block counts as a hand: half of what an edge-on hand shows.
"""
REACH = 2
"""How many cells a hand may be away from the nearest part of the arm or hand that was found first.
"""
EDGE_MM = 12.0
"""A neighbouring pixel that is so much farther is behind an outline; noise and slanted skin stay
below.
"""
ISOLATION = 2.0
"""A hand has at most as much surface again within the next cells: its forearm, but not a body or
wall.
"""
SIDEWAYS = 900.0
"""How far from the optical axis in mm a hand is looked for."""
ROUNDS = 4
"""How often the mean is followed."""
COARSE = 80
"""Images wider than this are read at every k-th pixel: a mean of hundreds of points needs no more.
"""


def locate(
    depth: torch.Tensor,
    camera: Camera | torch.Tensor,
    method: str = "mass",
    near: float = NEAR,
    far: float = FAR,
    cube: float | torch.Tensor = 250.0,
    ids: list[str] | None = None,
    detector: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    refine: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Find the hand in each image: depth (B, H, W) mm → (B, 3) mm in the camera frame.

    `method` 'mass' or 'outline'; only pixels within [near, far] mm count; `cube` is the side in mm
    of the cube whose mean is followed, one number or (B,). `detector(depth, cameras)` → (B, 3)
    finds the hand instead of `method`; `refine(depth, cameras, centre)` → (B, 3) improves what was
    found; cameras are (B, 4). Errors: an unknown method, shapes that do not fit, negative or
    non-finite depth, an image without anything in the range (named by `ids` if given).
    """
    one_of("method to locate a hand", method, METHODS)
    if depth.ndim != 3:
        raise HandPoseError(f"locate: depth of shape {tuple(depth.shape)}: accepted is (B, H, W)")
    if not 0 < near < far:
        raise HandPoseError(f"locate: range {near} to {far} mm: accepted is 0 < near < far")
    cameras = as_cameras(camera, depth)
    centre = (
        _mean_in_cube(depth, cameras, method, near, far, cube, ids)
        if detector is None
        else detector(depth, cameras)
    )
    return centre if refine is None else refine(depth, cameras, centre)


def _mean_in_cube(depth, cameras, method, near, far, cube, ids) -> torch.Tensor:
    """(B, 3): the mean in a cube that starts at the nearest thing of a hand's size and follows its
    own mean.
    """
    step = max(1, depth.shape[-1] // COARSE)
    depth = depth[:, ::step, ::step].contiguous()
    cameras = cameras / step
    points = depth_to_points(depth, cameras).flatten(1, 2)
    counts = (points[..., 2] >= near) & (points[..., 2] <= far)
    _need_a_hand(counts, near, far, ids)
    area = (points[..., 2] ** 2 / (cameras[:, 0] * cameras[:, 1])[:, None]).round() * counts
    length = (
        (_outline(depth) * points[..., 2] / cameras[:, :1]).round() * counts
        if method == "outline"
        else None
    )
    weight = counts.to(points) if method == "mass" else length
    centre = _nearest_hand_sized(points, area, length, near, far)
    half = (
        torch.as_tensor(cube, dtype=depth.dtype, device=depth.device).expand(len(depth))[:, None]
        / 2
    )
    for _ in range(ROUNDS):
        inside = (points - centre[:, None]).abs().amax(-1) <= half
        centre = _mean(points, weight * inside, otherwise=centre)
    return centre


def true_centre(joints: torch.Tensor) -> torch.Tensor:
    """The mean of the joints: (B, J, 3) → (B, 3) mm. Known only where there are labels."""
    return joints.mean(1)


def as_cameras(camera: Camera | torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """(B, 4) intrinsics for a batch of images, from a `Camera`, (4,) or (B, 4)."""
    if isinstance(camera, Camera):
        camera = camera.intrinsics(depth)
    if camera.shape not in ((4,), (len(depth), 4)):
        raise HandPoseError(
            f"camera of shape {tuple(camera.shape)} for {len(depth)} images: accepted are a Camera,"
            f" (4,), or ({len(depth)}, 4)"
        )
    return camera.to(depth).expand(len(depth), 4)


def _nearest_hand_sized(points, area, length, near, far) -> torch.Tensor:
    """(B, 3) where to start: the nearest block of cells that shows as much surface as a hand, by
    itself.

    `area` (B, N) is the surface in mm² that each pixel shows, about z² / (fx fy). With `length`, of
    the outline in mm, the start moves on to the block of longest outline within reach of a hand.
    Both are whole numbers, whose sums do not depend on the order in which a device adds.
    """
    batch, across, deep = len(points), int(2 * SIDEWAYS / CELL), int((far - near) / CELL) + 1
    cells = ((points - points.new_tensor([-SIDEWAYS, -SIDEWAYS, near])) / CELL).floor()
    inside = (area > 0) & ((cells >= 0) & (cells < cells.new_tensor([across, across, deep]))).all(
        -1
    )
    x, y, z = cells.long().unbind(-1)
    index = ((z * across + y) * across + x).masked_fill(~inside, 0)

    def blocks(values, side):
        summed = values.new_zeros(batch, deep * across * across).scatter_add_(
            1, index, values * inside
        )
        return _sum_over_cubes(summed.reshape(batch, deep, across, across), side).flatten(1)

    block = blocks(area, 3)
    enough, isolated = block >= HAND_AREA, blocks(area, 5) <= ISOLATION * block
    # The best that the image offers: a hand on its own, else a hand among things, else anything.
    rank = (block > 0).long() + enough + (enough & isolated)
    best = (rank == rank.amax(1, keepdim=True)).reshape(batch, deep, -1)
    layer = best.any(2).long().argmax(1)  # the first layer that has it, hence the nearest
    rows = torch.arange(batch, device=points.device)
    place = layer * across**2 + block.reshape(best.shape).masked_fill(~best, -1)[
        rows, layer
    ].argmax(1)
    if length is not None:
        cells_apart = (
            _cell(torch.arange(block.shape[1], device=points.device), across)
            - _cell(place, across)[:, None]
        )
        best = best.flatten(1) & (cells_apart.abs().amax(-1) <= REACH)
        place = blocks(length, 3).masked_fill(~best, -1).argmax(1)
    cell = _cell(place, across).to(points)
    near_it = (cell[:, None] - cells).abs().amax(-1) <= 1
    return _mean(points, area * near_it, otherwise=points[:, 0])


def _outline(depth: torch.Tensor) -> torch.Tensor:
    """(B, H·W) how many of the four neighbours of a pixel are farther by `EDGE_MM`, or not
    measured.
    """
    behind = depth.masked_fill(depth <= 0, float("inf"))
    framed = torch.nn.functional.pad(behind[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    neighbours = (
        framed[:, 1:-1, :-2],
        framed[:, 1:-1, 2:],
        framed[:, :-2, 1:-1],
        framed[:, 2:, 1:-1],
    )
    return sum((other > depth + EDGE_MM).to(depth) for other in neighbours).flatten(1)


def _cell(place: torch.Tensor, across: int) -> torch.Tensor:
    """(..., 3) the cell x, y, z of a place in the flat row of cells."""
    return torch.stack((place % across, place // across % across, place // across**2), -1)


def _sum_over_cubes(cells: torch.Tensor, side: int) -> torch.Tensor:
    """Sum over the `side`³ cells around each of (B, Z, Y, X), one axis after the other."""
    for axis in (1, 2, 3):
        length = cells.shape[axis]
        sums = cells.clone()
        for shift in range(1, side // 2 + 1):
            sums.narrow(axis, shift, length - shift).add_(cells.narrow(axis, 0, length - shift))
            sums.narrow(axis, 0, length - shift).add_(cells.narrow(axis, shift, length - shift))
        cells = sums
    return cells


def _mean(points: torch.Tensor, weight: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    """(B, 3) weighted mean of the points; where nothing has weight, `otherwise`."""
    # float64, so that the order of adding, which depends on the batch, cannot be seen in the result
    total = weight.sum(1, keepdim=True, dtype=torch.float64)
    mean = (points * weight[..., None]).sum(1, dtype=torch.float64) / total.clamp(min=1)
    return torch.where(total > 0, mean.to(points), otherwise)


def _need_a_hand(counts, near, far, ids) -> None:
    empty = (~counts.any(1)).nonzero().flatten().tolist()
    if empty:
        name = repr(ids[empty[0]]) if ids is not None else f"number {empty[0]} of the batch"
        raise HandPoseError(
            f"no hand in image {name}: nothing is measured between {near:g} and {far:g} mm;"
            " accepted is depth in millimetres with a hand in that range, or another near and far"
        )
