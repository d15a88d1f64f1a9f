"""Cutting the window around a cube out of depth images, at the camera's own resolution.

Nothing is resampled here: the window keeps the measured pixels, and `view.image` resamples once,
through the view that augmentation has chosen. The window is wider than the cube (`margin`), so that
it holds the corners of a rotated or enlarged view.
"""

import math

import torch

from handpose_lib.camera import Camera, xyz_to_uvd
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import HANDS, Crops, DepthFrame
from handpose_lib.prepare.locate import METHODS, as_cameras, locate, true_centre

CENTRES = (*METHODS, "true", "stored")
MARGIN = 1.45
"""Window over cube: a little more than √2, so that every rotation of the cube's face fits."""


def crop(
    depth: torch.Tensor,
    camera: Camera | torch.Tensor,
    centre: torch.Tensor,
    cube: float | torch.Tensor,
    joints: torch.Tensor | None = None,
    hands: list[str] | None = None,
    ids: list[str] | None = None,
    margin: float = MARGIN,
    size: int | None = None,
) -> Crops:
    """Cut a window for each image of a batch.

    `depth`: (B, H, W) mm; `camera`: a `Camera`, (4,) or (B, 4); `centre`: (B, 3) mm; `cube`: its
    side in mm, one number or (B,); `joints`: (B, J, 3) mm; `hands`: B times 'right' or 'left'. A
    window holds cube · margin at the depth of the centre; pixels beyond the image's edge are 0. All
    windows of a batch have one side: the smallest multiple of 8 pixels that holds each of them, or
    `size`, which cuts those that are larger.
    Errors: shapes that do not fit, a centre that is not in front of the camera, a cube or margin
    that is not positive.
    """
    _check(depth, centre, joints, hands, ids, margin)
    batch = len(depth)
    cameras = as_cameras(camera, depth)
    cube = torch.as_tensor(cube, dtype=centre.dtype, device=depth.device).expand(batch).clone()
    reach = (cameras[:, :2].amax(1) * cube * (margin / 2) / centre[:, 2]).ceil()
    if not bool(
        (
            (centre[:, 2] > 0) & torch.isfinite(centre).all(1) & (cube > 0) & torch.isfinite(reach)
        ).all()
    ):
        raise HandPoseError(
            "crop: accepted are finite centres in front of the camera (z > 0 mm) and cubes > 0 mm"
        )
    middle = xyz_to_uvd(centre, cameras, check=False)[:, :2].round()
    reaches = reach.long().tolist()
    size = size or 8 * math.ceil((2 * max(reaches) + 1) / 8)
    windows = depth.new_zeros(batch, size, size)
    for window, image, (u, v), extent in zip(windows, depth, middle.long().tolist(), reaches):
        _copy(window, image, u, v, min(extent, size // 2))
    return Crops(
        depth=windows,
        origin=middle - size // 2,
        camera=cameras,
        centre=centre,
        cube=cube,
        rotation=torch.zeros_like(cube),
        aspect=torch.ones_like(cube),
        mirror=cube.new_tensor(
            [-1.0 if hand == "left" else 1.0 for hand in hands or ["right"] * batch]
        ),
        joints=joints,
        ids=list(ids) if ids is not None else [str(number) for number in range(batch)],
    )


def batch(
    frames: list[DepthFrame],
    cube: float | torch.Tensor,
    centre: str = "mass",
    margin: float = MARGIN,
    size: int | None = None,
) -> Crops:
    """Return the crops of a list of frames, whose cameras may differ in image size.

    `centre` says where the cube sits: 'mass' or 'outline' (see `locate`), 'true' (the mean of the
    joints) or 'stored' (the frames' own reference points).
    Errors: no frames, an unknown centre, a frame that lacks what the centre needs, frames with and
    without joints, no hand found.
    """
    if not frames:
        raise HandPoseError("a batch of no frames: accepted is at least one frame")
    one_of("centre", centre, CENTRES)
    ids = [frame.id for frame in frames]
    depth = _stack(frames)
    cameras = torch.stack([frame.camera.intrinsics(depth) for frame in frames])
    joints = _all_or_none(frames, "joints")
    if centre in METHODS:
        centres = locate(depth, cameras, centre, cube=cube, ids=ids)
    elif centre == "true":
        centres = true_centre(_needed(joints, "joints", centre, frames))
    else:
        centres = _needed(_all_or_none(frames, "centre"), "centre", centre, frames)
    return crop(
        depth, cameras, centres, cube, joints, [frame.hand for frame in frames], ids, margin, size
    )


def _copy(window: torch.Tensor, image: torch.Tensor, u: int, v: int, extent: int) -> None:
    """Copy the pixels at most `extent` from (u, v) into the middle of `window`.

    Only what lies in both image and window is copied. On a CPU one copy per image is about four
    times as fast as one gather over the batch. The extent is the sample's own, not the batch's, so
    that a sample is the same in every batch.
    """
    height, width = image.shape
    half = window.shape[-1] // 2
    extent_after = min(extent, window.shape[-1] - half - 1)
    left, right = max(u - extent, 0), min(u + extent_after + 1, width)
    top, bottom = max(v - extent, 0), min(v + extent_after + 1, height)
    if left < right and top < bottom:
        window[top - v + half : bottom - v + half, left - u + half : right - u + half] = image[
            top:bottom, left:right
        ]


def _stack(frames: list[DepthFrame]) -> torch.Tensor:
    """Return the images of all frames, (B, H, W), padded with 0 at the right and the bottom."""
    if len({frame.depth.shape for frame in frames}) == 1:
        return torch.stack([frame.depth for frame in frames])
    height, width = (max(frame.depth.shape[axis] for frame in frames) for axis in (0, 1))
    depth = frames[0].depth.new_zeros(len(frames), height, width)
    for image, frame in zip(depth, frames):
        image[: frame.depth.shape[0], : frame.depth.shape[1]] = frame.depth
    return depth


def _all_or_none(frames: list[DepthFrame], name: str) -> torch.Tensor | None:
    values = [getattr(frame, name) for frame in frames]
    if any(value is None for value in values):
        return None
    if len({value.shape for value in values}) > 1:
        raise HandPoseError(
            f"a batch of frames whose {name} differ in shape: accepted is one skeleton per batch"
        )
    return torch.stack(values)


def _needed(
    values: torch.Tensor | None, name: str, centre: str, frames: list[DepthFrame]
) -> torch.Tensor:
    if values is None:
        lacking = next(frame.id for frame in frames if getattr(frame, name) is None)
        raise HandPoseError(
            f"centre {centre!r} needs the {name} of every frame; frame {lacking!r} has none "
            f"(accepted without: {', '.join(METHODS)})"
        )
    return values


def _check(
    depth: torch.Tensor,
    centre: torch.Tensor,
    joints: torch.Tensor | None,
    hands: list[str] | None,
    ids: list[str] | None,
    margin: float,
) -> None:
    batch = len(depth)
    if depth.ndim != 3:
        raise HandPoseError(f"crop: depth of shape {tuple(depth.shape)}: accepted is (B, H, W)")
    if tuple(centre.shape) != (batch, 3):
        raise HandPoseError(
            f"crop: centre of shape {tuple(centre.shape)}: accepted is ({batch}, 3)"
        )
    if joints is not None and (
        joints.ndim != 3 or joints.shape[0] != batch or joints.shape[2] != 3
    ):
        raise HandPoseError(
            f"crop: joints of shape {tuple(joints.shape)}: accepted is ({batch}, J, 3)"
        )
    for name, values in (("hands", hands), ("ids", ids)):
        if values is not None and len(values) != batch:
            raise HandPoseError(
                f"crop: {len(values)} {name} for {batch} images: accepted is one each"
            )
    for hand in hands or ():
        one_of("hand", hand, HANDS)
    if not margin > 0:
        raise HandPoseError(
            f"margin {margin}: accepted is a number above 0 (1.45 holds every rotation of the cube)"
        )
