"""From where is a hand seen? Yaw and pitch of its palm, from its joints alone, and errors over
them.

    angles = yaw_pitch(joints, skeleton.get("msra21"))            # (N, 2) rad
    mean, count = error_over(angles[:, 0].rad2deg(), frame_errors, range(-60, 61, 10))
    behind = hidden(joints, skeleton.get("msra21"))               # (N, 21): joints that the hand
    itself hides

The palm carries a frame: y from the knuckles to the wrist, x from the little finger to the index as
far as it is at a right angle to y, and z = x × y, away from the camera of a right hand that shows
its palm. How it is turned against the camera's is R = Rz(roll) Rx(pitch) Ry(yaw). Roll turns the
picture in its plane and is no change of view; what is left of R without it are two angles, and both
stand in its last row (−cos(pitch) sin(yaw), sin(pitch), cos(pitch) cos(yaw)).

V2V-PoseNet (Moon et al., CVPR 2018, Figure 8) shows errors over yaw and pitch, as papers on MSRA
have done before; none of them prints how it computes the angles of a frame. This is one way.
"""

from collections.abc import Sequence

import torch

from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.skeleton import SKELETONS, Skeleton

PALMS = {name: known.palm for name, known in SKELETONS.items() if known.palm}
"""The skeletons with knuckles, and their joints that are fixed to the palm. NYU's 14 joints have no
knuckles.
"""


def yaw_pitch(joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor:
    """Yaw and pitch in rad, (..., 2), of right hands with joints (..., J, 3) mm in the camera
    frame.

    (0, 0): the palm faces the camera. Yaw, in (−π, π], turns the hand about its long axis, a half
    turn shows its back; pitch, in [−π/2, π/2], tips the fingers towards the camera. For a left hand
    negate its x first: that makes it a right one. Errors: a skeleton without knuckles, joints of
    another shape, a palm whose joints lie on one line.
    """
    palm = PALMS[one_of("skeleton with knuckles", skeleton.name, PALMS)]
    if joints.ndim < 2 or joints.shape[-2:] != (len(skeleton), 3):
        raise HandPoseError(
            f"joints of shape {tuple(joints.shape)}: accepted is (..., {len(skeleton)}, 3)"
        )
    root, *knuckles = joints[..., [skeleton.index(name) for name in palm], :].unbind(-2)
    y = torch.nn.functional.normalize(root - sum(knuckles) / len(knuckles), dim=-1)
    across = knuckles[0] - knuckles[-1]
    across = across - (across * y).sum(-1, keepdim=True) * y
    width = across.norm(dim=-1, keepdim=True)
    if not bool((width > 0).all()):  # also where a joint is not a number
        raise HandPoseError(
            "the knuckles of a palm and its root lie on one line: accepted are joints that span a"
            " plane"
        )
    x = across / width
    z = torch.linalg.cross(x, y)
    return torch.stack((torch.atan2(-x[..., 2], z[..., 2]), torch.asin(y[..., 2].clamp(-1, 1))), -1)


def error_over(
    angle: torch.Tensor, errors: torch.Tensor, edges: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of `errors` (N,) in each bin of `angle` (N,), and how many lie there: (K,) float64
    and (K,).

    Bin k holds edges[k] ≤ angle < edges[k + 1], in the angle's unit; the mean of an empty one is
    NaN. Errors: shapes that do not fit, fewer than two edges, edges that do not rise.
    """
    edges = torch.as_tensor([*edges], dtype=torch.float64, device=angle.device)
    if angle.ndim != 1 or angle.shape != errors.shape:
        raise HandPoseError(
            f"angles of shape {tuple(angle.shape)} and errors {tuple(errors.shape)}: accepted is"
            " one of each per frame"
        )
    if len(edges) < 2 or not bool((edges.diff() > 0).all()):
        raise HandPoseError(f"edges {edges.tolist()}: accepted are at least two that rise")
    bins = torch.bucketize(angle.double().contiguous(), edges, right=True) - 1
    inside = (bins >= 0) & (bins < len(edges) - 1)
    count = torch.bincount(bins[inside], minlength=len(edges) - 1)
    total = torch.zeros(len(edges) - 1, dtype=torch.float64, device=angle.device).index_add_(
        0, bins[inside], errors[inside].double()
    )
    return total / count, count


def hidden(joints: torch.Tensor, skeleton: Skeleton, radius: float = 9.0) -> torch.Tensor:
    """Which joints another part of the hand hides from the camera, (N, J) bool, from joints
    (N, J, 3) mm alone.

    Each bone is taken for a rod of this `radius` in mm. A joint is hidden if the line of sight to
    it meets a rod that ends at least a rod's thickness before it; a finger that points at the
    camera hides its own root. No image is needed, and no surface is known: the skin between the
    bones of the palm counts as far as the rods reach.
    Errors: joints of another shape, a radius that is not positive.
    """
    if joints.ndim != 3 or joints.shape[1:] != (len(skeleton), 3):
        raise HandPoseError(
            f"joints of shape {tuple(joints.shape)}: accepted is (N, {len(skeleton)}, 3)"
        )
    if not radius > 0:
        raise HandPoseError(f"radius {radius}: accepted are mm > 0")
    joints = joints.double()
    child, parent = (list(side) for side in zip(*skeleton.bones))
    place = torch.linspace(0, 1, 9, dtype=torch.float64, device=joints.device)[:, None, None, None]
    rods = (
        ((1 - place) * joints[:, parent] + place * joints[:, child])
        .permute(1, 0, 2, 3)
        .flatten(1, 2)
    )  # (N, 9 · bones, 3)
    far = joints.norm(dim=-1, keepdim=True)
    along = (joints / far) @ rods.mT  # (N, J, 9 · bones)
    beside = (rods.square().sum(-1)[:, None] - along.square()).clamp_min(0).sqrt()
    return ((beside < radius) & (along < far - 2 * radius)).any(-1)
