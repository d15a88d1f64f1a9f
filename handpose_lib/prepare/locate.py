"""The reference point: where in the image the hand is, so that a cube can be put around it.

'mass' is the usual centre of mass after thresholding the depth (DeepPrior++, section 3), made robust
against what else a camera sees: it starts at the nearest thing whose visible surface is as large as
a hand's, and then follows the mean of the points inside the cube. It assumes, as the hand data sets
do, that the hand is the nearest thing of its size; it is no detector.
"""

import torch

from ..camera import Camera, depth_to_points
from ..errors import HandPoseError, one_of

METHODS = ("mass",)

NEAR, FAR = 100.0, 1500.0
"""Default range in mm in which a hand is looked for."""

CELL = 60.0
"""Side in mm of the cells in which the visible surface is measured; three make a block, about a hand."""
HAND_AREA = 3000.0
"""Visible surface in mm² from which a block counts as a hand: half of what an edge-on hand shows."""
ISOLATION = 2.0
"""A hand has at most as much surface again within the next cells: its forearm, but not a body or wall."""
SIDEWAYS = 900.0
"""How far from the optical axis in mm a hand is looked for."""
COARSE = 80
"""Images wider than this are read at every k-th pixel: a mean of hundreds of points needs no more."""


def locate(
    depth: torch.Tensor,
    camera: Camera | torch.Tensor,
    method: str = "mass",
    near: float = NEAR,
    far: float = FAR,
    cube: float | torch.Tensor = 250.0,
    ids: list[str] | None = None,
) -> torch.Tensor:
    """Find the hand in each image: depth (B, H, W) mm → (B, 3) mm in the camera frame.

    Only pixels within [near, far] mm count; `cube` is the side in mm of the cube whose mean is
    followed, one number or (B,). Errors: an unknown method, shapes that do not fit, negative or
    non-finite depth, an image without anything in the range (named by `ids` if given).
    """
    one_of("method to locate a hand", method, METHODS)
    if depth.ndim != 3:
        raise HandPoseError(f"locate: depth of shape {tuple(depth.shape)}: accepted is (B, H, W)")
    if not 0 < near < far:
        raise HandPoseError(f"locate: range {near} to {far} mm: accepted is 0 < near < far")
    return mass_centre(depth, as_cameras(camera, depth), near, far, cube, ids)


def mass_centre(depth, cameras, near, far, cube, ids=None, iterations: int = 4) -> torch.Tensor:
    """The centre of mass inside a cube around the nearest hand-sized thing; see `locate`."""
    step = max(1, depth.shape[-1] // COARSE)
    strided = cameras / cameras.new_tensor([step, step, step, step])
    points = depth_to_points(depth[:, ::step, ::step].contiguous(), strided).flatten(1, 2)
    counts = (points[..., 2] >= near) & (points[..., 2] <= far)
    _need_a_hand(counts, near, far, ids)
    half = torch.as_tensor(cube, dtype=depth.dtype, device=depth.device).expand(len(depth))[:, None] / 2
    centre = _nearest_hand_sized(points, counts, strided, near, far)
    for _ in range(iterations):
        inside = counts & ((points - centre[:, None]).abs().amax(-1) <= half)
        centre = _mean(points, inside, otherwise=centre)
    return centre


def true_centre(joints: torch.Tensor) -> torch.Tensor:
    """The mean of the joints: (B, J, 3) → (B, 3) mm. Known only where there are labels."""
    return joints.mean(1)


def as_cameras(camera: Camera | torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """(B, 4) intrinsics for a batch of images, from a `Camera`, (4,) or (B, 4)."""
    if isinstance(camera, Camera):
        camera = camera.intrinsics(depth)
    if camera.shape not in ((4,), (len(depth), 4)):
        raise HandPoseError(f"camera of shape {tuple(camera.shape)} for {len(depth)} images: accepted are a Camera, "
                            f"(4,), or ({len(depth)}, 4)")
    return camera.to(depth).expand(len(depth), 4)


def _nearest_hand_sized(points, counts, cameras, near, far) -> torch.Tensor:
    """(B, 3) where to start: the nearest block of cells that shows as much surface as a hand, by itself.

    The visible surface of a pixel at depth z is about z² / (fx fy) mm². Summed over cells in whole
    mm², the sum does not depend on the order in which a device adds.
    """
    batch = len(points)
    cells = ((points - points.new_tensor([-SIDEWAYS, -SIDEWAYS, near])) / CELL).floor()
    across, deep = int(2 * SIDEWAYS / CELL), int((far - near) / CELL) + 1
    inside = counts & ((cells >= 0) & (cells < cells.new_tensor([across, across, deep]))).all(-1)
    x, y, z = cells.long().unbind(-1)
    index = ((z * across + y) * across + x).masked_fill(~inside, 0)
    area = (points[..., 2] ** 2 / (cameras[:, 0] * cameras[:, 1])[:, None]).round() * inside
    surface = area.new_zeros(batch, deep * across * across).scatter_add_(1, index, area)
    surface = surface.reshape(batch, deep, across, across)
    block, around = (_sum_over_cubes(surface, side).flatten(1) for side in (3, 5))
    enough, isolated = block >= HAND_AREA, around <= ISOLATION * block
    # The best that the image offers: a hand on its own, else a hand among things, else anything.
    rank = (block > 0).long() + enough + (enough & isolated)
    best = (rank == rank.amax(1, keepdim=True)).reshape(batch, deep, -1)
    layer = best.any(2).long().argmax(1)  # the first layer that has it, hence the nearest
    rows = torch.arange(batch, device=points.device)
    place = block.reshape(batch, deep, -1).masked_fill(~best, -1)[rows, layer].argmax(1)
    cell = torch.stack((place % across, place // across, layer), -1).to(points)
    near_it = (cell[:, None] - cells).abs().amax(-1) <= 1
    return _mean(points, counts & near_it, otherwise=points[:, 0])


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


def _mean(points: torch.Tensor, chosen: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    """(B, 3) mean of the chosen points; where none is chosen, `otherwise`."""
    number = chosen.sum(1, keepdim=True)
    # float64, so that the order of adding, which depends on the batch, cannot be seen in the result
    mean = (points * chosen[..., None]).sum(1, dtype=torch.float64) / number.clamp(min=1)
    return torch.where(number > 0, mean.to(points), otherwise)


def _need_a_hand(counts, near, far, ids) -> None:
    empty = (~counts.any(1)).nonzero().flatten().tolist()
    if empty:
        name = repr(ids[empty[0]]) if ids is not None else f"number {empty[0]} of the batch"
        raise HandPoseError(f"no hand in image {name}: nothing is measured between {near:g} and {far:g} mm; accepted "
                            "is depth in millimetres with a hand in that range, or another near and far")
