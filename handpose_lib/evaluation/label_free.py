"""What can be said of a network's answers on frames without labels.

    joints, centre = look(network, frames, cube)                           # (N, J, 3) and (N, 3) mm
    seen = measures(joints, frames, centre, cube, network.skeleton)
    seen["on_hand"].mean(), seen["to_surface"].median(), seen["covered"].mean()

A hand that is found lies on the hand. Three measures ask for that, and each of them misses
something:

on hand      share of joints within `NEAR` pixels of the hand: any point in its middle will do
to surface   distance of each joint from the nearest measured point, mm: a true joint lies under the
             skin and is not at 0
covered      share of the hand's measured points within `COVER` mm of a bone: a skeleton in another
             hand's pose leaves
             fingers out, one that lies across the right ones does not; a forearm is never covered

The hand is what lies in the cube around `centre`, so that a network has no say in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from handpose_lib import prepare
from handpose_lib.camera import depth_to_points, xyz_to_uvd
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import DepthFrame

NEAR = 5
"""Pixels from a hand's within which a joint counts as on it."""
COVER = 20.0
"""Mm from a bone within which a point counts as covered: half a palm's thickness and some more."""


@torch.inference_mode()
def look(
    network, frames: Sequence[DepthFrame], cube: float, centre: str = "outline", times: int = 3
):
    """The joints (N, J, 3) mm that a network finds, and the `centre` (N, 3) mm of the first crops
    (as in `prepare.batch`).

    It looks `times`, each time but the first around the mean of the joints that it found.
    """
    crops = first = prepare.batch(frames, cube, centre)
    joints = None
    for _turn in range(times):
        if joints is not None:
            crops = prepare.batch(
                [replace(frame, centre=hand.mean(0)) for frame, hand in zip(frames, joints)],
                cube,
                "stored",
            )
        joints = network.decode(network(network.encode(crops)), crops)
    return joints, first.centre


def measures(
    joints, frames: Sequence[DepthFrame], centre, cube: float, skeleton
) -> Mapping[str, torch.Tensor]:
    """'on_hand' (N,) and 'covered' (N,), shares; 'to_surface' (N, J) mm. `joints` (N, J, 3) and
    `centre` (N, 3) mm.

    Errors: other numbers of joints or centres than frames, a frame without a measured point in its
    cube.
    """
    if not len(joints) == len(frames) == len(centre):
        raise HandPoseError(
            f"{len(joints)} hands and {len(centre)} centres for {len(frames)} frames: accepted is"
            " one for each"
        )
    each = [_of_one(*one, cube, skeleton) for one in zip(joints, frames, centre)]
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def _of_one(joints, frame, centre, cube, skeleton):
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


def to_bones(points, joints, skeleton):
    """(P,) mm from points (P, 3) to the nearest bone of one hand's joints (J, 3); a bone is the
    straight line between its joints.
    """
    child, parent = (list(side) for side in zip(*skeleton.bones))
    start, along = joints[parent], joints[child] - joints[parent]
    share = ((points[:, None] - start) * along).sum(-1) / along.square().sum(-1).clamp_min(1e-6)
    return (points[:, None] - start - share.clamp(0, 1)[..., None] * along).norm(dim=-1).amin(1)


def _nearest(places, points):
    """(J,) from each place (J, D) to the nearest point (P, D); by differences, since those of
    squares lose a tenth of a mm.
    """
    return torch.cdist(places, points, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
