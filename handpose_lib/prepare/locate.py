"""The reference point: where in the image the hand is, so that a cube can be placed around it.

Both methods start at the nearest object whose visible surface is as large as a hand's, if possible
an isolated one, and then move to a mean inside the cube, several times:

* 'mass', the usual method: the mean of the points, as in DeepPrior++ (Section 3) and many others. A
  visible forearm pulls it off the hand.
* 'outline', ours: each point is weighted by the length of the outline that passes through it, that
  is, of the border to something farther. Most of the outline belongs to the fingers and little to
  the forearm, so that the mean stays on the hand.

Neither is a detector: both assume, as the hand data sets do, that the hand is the nearest object of
its size. A `detector` replaces them where that fails, and `refine` corrects the point that was
found. Both are functions, usually of a trained network.
"""

from collections.abc import Callable

import torch

from handpose_lib.camera import Camera, depth_to_points
from handpose_lib.errors import HandPoseError, one_of

METHODS = ("mass", "outline")

NEAR, FAR = 100.0, 1500.0
"""Default range of depth in mm in which hands are searched."""

CELL = 60.0
"""Side in mm of the cells in which the visible surface is measured. A block of 3³ cells is about as
large as a hand.
"""
HAND_AREA = 3000.0
"""Smallest visible surface in mm² of a block that counts as a hand: half of a hand seen edge-on."""
REACH = 2
"""Largest distance in cells of the hand from the block that was found first, a part of the arm."""
EDGE_MM = 12.0
"""Smallest step in depth to a neighbouring pixel across an outline: larger than those of noise and
of slanted skin.
"""
ISOLATION = 2.0
"""Largest surface within two cells of an isolated block's middle, relative to its own: a hand with
its forearm stays below, a hand before a body or a wall does not.
"""
SIDEWAYS = 900.0
"""Largest distance from the optical axis, along x and y, in mm, at which hands are searched."""
ROUNDS = 4
"""How often the cube moves to the mean of its points."""
COARSE = 80
"""Images at least twice as wide are read at every k-th pixel: a mean needs hundreds of points only.
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
    """Return a point in the hand of each image: depth (B, H, W) mm → (B, 3) mm, camera frame.

    `method`: 'mass' or 'outline'; only pixels within [near, far] mm count; `cube`: the side in mm
    of the cube that moves to its mean, one number or (B,). `detector(depth, cameras)` → (B, 3)
    replaces `method`; `refine(depth, cameras, centre)` → (B, 3) corrects the point; cameras are
    (B, 4).
    Errors: an unknown method, shapes that do not fit, negative or non-finite depth, an image
    without a pixel in the range (named by `ids` if given).
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


def _mean_in_cube(
    depth: torch.Tensor,
    cameras: torch.Tensor,
    method: str,
    near: float,
    far: float,
    cube: float | torch.Tensor,
    ids: list[str] | None,
) -> torch.Tensor:
    """Return the mean (B, 3) in a cube that starts at the nearest object of a hand's size.

    The cube moves to this mean, and the mean is computed again.
    """
    step = max(1, depth.shape[-1] // COARSE)
    depth = depth[:, ::step, ::step].contiguous()
    cameras = cameras / step
    points = depth_to_points(depth, cameras).flatten(1, 2)
    counts = (points[..., 2] >= near) & (points[..., 2] <= far)
    _need_a_hand(counts, near, far, ids)
    area = (points[..., 2] ** 2 / (cameras[:, 0] * cameras[:, 1])[:, None]).round() * counts
    if method == "outline":
        length = weight = (_outline(depth) * points[..., 2] / cameras[:, :1]).round() * counts
    else:
        length, weight = None, counts.to(points)
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
    """Return the mean of the joints, which only labelled frames have: (B, J, 3) → (B, 3) mm."""
    return joints.mean(1)


def as_cameras(camera: Camera | torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Return intrinsics (B, 4) for a batch of images, from a `Camera`, (4,) or (B, 4).

    Errors: intrinsics of another shape.
    """
    if isinstance(camera, Camera):
        camera = camera.intrinsics(depth)
    if camera.shape not in ((4,), (len(depth), 4)):
        raise HandPoseError(
            f"camera of shape {tuple(camera.shape)} for {len(depth)} images: accepted are a Camera,"
            f" (4,), or ({len(depth)}, 4)"
        )
    return camera.to(depth).expand(len(depth), 4)


def _nearest_hand_sized(
    points: torch.Tensor,
    area: torch.Tensor,
    length: torch.Tensor | None,
    near: float,
    far: float,
) -> torch.Tensor:
    """Return where to start, (B, 3): the nearest isolated block of cells with a hand's surface.

    `area`: (B, N), the surface in mm² that each pixel shows, about z² / (fx fy). With `length`,
    that of the outline in mm, the start is the block of longest outline within `REACH` of it. Both
    are whole numbers, whose sums do not depend on the order in which a device adds.
    """
    batch, across, deep = len(points), int(2 * SIDEWAYS / CELL), int((far - near) / CELL) + 1
    cells = ((points - points.new_tensor([-SIDEWAYS, -SIDEWAYS, near])) / CELL).floor()
    inside = (area > 0) & ((cells >= 0) & (cells < cells.new_tensor([across, across, deep]))).all(
        -1
    )
    x, y, z = cells.long().unbind(-1)
    index = ((z * across + y) * across + x).masked_fill(~inside, 0)

    def blocks(values: torch.Tensor, side: int) -> torch.Tensor:
        summed = values.new_zeros(batch, deep * across * across).scatter_add_(
            1, index, values * inside
        )
        return _sum_over_cubes(summed.reshape(batch, deep, across, across), side).flatten(1)

    block = blocks(area, 3)
    enough, isolated = block >= HAND_AREA, blocks(area, 5) <= ISOLATION * block
    # The best that the image offers: an isolated hand, else a hand among objects, else anything.
    rank = (block > 0).long() + enough + (enough & isolated)
    best = (rank == rank.amax(1, keepdim=True)).reshape(batch, deep, -1)
    layer = best.any(2).long().argmax(1)  # the first layer that has it, hence the nearest
    rows = torch.arange(batch, device=points.device)
    chosen = layer * across**2 + block.reshape(best.shape).masked_fill(~best, -1)[
        rows, layer
    ].argmax(1)
    if length is not None:
        cells_apart = (
            _cell(torch.arange(block.shape[1], device=points.device), across)
            - _cell(chosen, across)[:, None]
        )
        best = best.flatten(1) & (cells_apart.abs().amax(-1) <= REACH)
        chosen = blocks(length, 3).masked_fill(~best, -1).argmax(1)
    cell = _cell(chosen, across).to(points)
    near_it = (cell[:, None] - cells).abs().amax(-1) <= 1
    return _mean(points, area * near_it, otherwise=points[:, 0])


def _outline(depth: torch.Tensor) -> torch.Tensor:
    """Return how many of each pixel's four neighbours are behind an outline, (B, H·W).

    That is, farther by more than `EDGE_MM`, or not measured.
    """
    behind = depth.masked_fill(depth <= 0, float("inf"))
    framed = torch.nn.functional.pad(behind[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    left, right, above, below = (
        (other > depth + EDGE_MM).to(depth)
        for other in (
            framed[:, 1:-1, :-2],
            framed[:, 1:-1, 2:],
            framed[:, :-2, 1:-1],
            framed[:, 2:, 1:-1],
        )
    )
    return (left + right + above + below).flatten(1)


def _cell(index: torch.Tensor, across: int) -> torch.Tensor:
    """Return the cell x, y, z (..., 3) at a position in the flat row of cells."""
    return torch.stack((index % across, index // across % across, index // across**2), -1)


def _sum_over_cubes(cells: torch.Tensor, side: int) -> torch.Tensor:
    """Return the sum over the `side`³ cells around each of (B, Z, Y, X), axis by axis."""
    for axis in (1, 2, 3):
        length = cells.shape[axis]
        sums = cells.clone()
        for shift in range(1, side // 2 + 1):
            sums.narrow(axis, shift, length - shift).add_(cells.narrow(axis, 0, length - shift))
            sums.narrow(axis, 0, length - shift).add_(cells.narrow(axis, shift, length - shift))
        cells = sums
    return cells


def _mean(points: torch.Tensor, weight: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean of the points, (B, 3); without any weight, `otherwise`."""
    # float64, so that the order of adding, which depends on the batch, does not change the result
    total = weight.sum(1, keepdim=True, dtype=torch.float64)
    mean = (points * weight[..., None]).sum(1, dtype=torch.float64) / total.clamp(min=1)
    return torch.where(total > 0, mean.to(points), otherwise)


def _need_a_hand(counts: torch.Tensor, near: float, far: float, ids: list[str] | None) -> None:
    empty = (~counts.any(1)).nonzero().flatten().tolist()
    if empty:
        name = repr(ids[empty[0]]) if ids is not None else f"number {empty[0]} of the batch"
        raise HandPoseError(
            f"no hand in image {name}: nothing is measured between {near:g} and {far:g} mm;"
            " accepted is depth in millimetres with a hand in that range, or another near and far"
        )
