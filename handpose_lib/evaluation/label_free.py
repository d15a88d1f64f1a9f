"""Measures of a network's predictions on frames without labels.

    joints, centre = predict(network, frames, cube)                        # (N, J, 3) and (N, 3) mm
    found = measures(joints, frames, centre, cube, network.skeleton)
    found["on_hand"].mean(), found["to_surface"].median(), found["covered"].mean()

Three measures test whether the predicted skeleton lies in the hand. Each has a blind spot:

on hand      share of joints within `NEAR` pixels of the hand; any point in the middle of the hand
             passes
to surface   distance of each joint from the nearest measured point, mm; a true joint lies under the
             skin, so 0 is not the best value
covered      share of the hand's measured points within `COVER` mm of a bone; low if the skeleton
             misses fingers, but not if it crosses the right ones; a forearm is never covered

The hand is everything in the cube around `centre`, which does not depend on the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from handpose_lib import prepare
from handpose_lib.camera import depth_to_points, xyz_to_uvd
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation.prediction import Method
from handpose_lib.frames import DepthFrame
from handpose_lib.skeleton import Skeleton

NEAR = 5
"""A joint within this distance of a hand's pixel, in pixels, counts as on the hand."""
COVER = 20.0
"""A point within this distance of a bone, in mm, counts as covered: somewhat more than half the
thickness of a palm.
"""


@torch.inference_mode()
def predict(
    network: Method,
    frames: Sequence[DepthFrame],
    cube: float,
    centre: str = "outline",
    times: int = 3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the predicted joints (N, J, 3) mm and the centre (N, 3) mm of the first crops.

    `centre` as in `prepare.batch`. The network predicts `times` times; each crop after the first is
    centred at the mean of the joints just predicted.
    """
    crops = prepare.batch(list(frames), cube, centre)
    first = crops.centre
    joints = network.decode(network(network.encode(crops)), crops)
    for _ in range(times - 1):
        around = [replace(frame, centre=hand.mean(0)) for frame, hand in zip(frames, joints)]
        crops = prepare.batch(around, cube, "stored")
        joints = network.decode(network(network.encode(crops)), crops)
    return joints, first


def measures(
    joints: torch.Tensor,
    frames: Sequence[DepthFrame],
    centre: torch.Tensor,
    cube: float,
    skeleton: Skeleton,
) -> Mapping[str, torch.Tensor]:
    """Return 'on_hand' (N,) and 'covered' (N,), shares; 'to_surface' (N, J) mm.

    `joints`: (N, J, 3) mm; `centre`: (N, 3) mm. Errors: `HandPoseError` for other numbers of joints
    or centres than frames, and a frame without a measured point in its cube.
    """
    if not len(joints) == len(frames) == len(centre):
        raise HandPoseError(
            f"{len(joints)} hands and {len(centre)} centres for {len(frames)} frames: accepted is"
            " one for each"
        )
    each = [_of_one(*one, cube, skeleton) for one in zip(joints, frames, centre)]
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def _of_one(
    joints: torch.Tensor,
    frame: DepthFrame,
    centre: torch.Tensor,
    cube: float,
    skeleton: Skeleton,
) -> dict[str, torch.Tensor]:
    points = depth_to_points(frame.depth[None], frame.camera)[0]
    inside = (frame.depth > 0) & ((points - centre).abs().amax(-1) <= cube / 2)
    if not inside.any():
        raise HandPoseError(
            f"frame {frame.id}: no measured point in a cube of {cube:g} mm around its centre"
        )
    v, u = inside.nonzero().T
    points = points[inside].to(joints)
    apart = _nearest(xyz_to_uvd(joints, frame.camera)[:, :2], torch.stack((u, v), -1).to(joints))
    return {
        "on_hand": (apart <= NEAR).float().mean(),
        "to_surface": _nearest(joints, points),
        "covered": (to_bones(points, joints, skeleton) <= COVER).float().mean(),
    }


def to_bones(points: torch.Tensor, joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor:
    """Return (P,), the distance in mm of points (P, 3) from the nearest bone of one hand.

    `joints`: (J, 3) mm. A bone is the straight line between its joints.
    """
    child, parent = (list(side) for side in zip(*skeleton.bones))
    start, along = joints[parent], joints[child] - joints[parent]
    share = ((points[:, None] - start) * along).sum(-1) / along.square().sum(-1).clamp_min(1e-6)
    return (points[:, None] - start - share.clamp(0, 1)[..., None] * along).norm(dim=-1).amin(1)


def _nearest(queries: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return (J,), the distance of each query (J, D) from the nearest point (P, D).

    It is computed from differences: from squares it would lose a tenth of a mm.
    """
    return torch.cdist(queries, points, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
