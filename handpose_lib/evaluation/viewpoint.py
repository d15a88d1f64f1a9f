"""Viewpoint of a hand: yaw and pitch of its palm, computed from its joints, and errors over them.

    angles = yaw_pitch(joints, skeleton.get("msra21"))            # (N, 2) rad
    mean, count = error_over(angles[:, 0].rad2deg(), frame_errors, range(-60, 61, 10))
    behind = hidden(joints, skeleton.get("msra21"))               # (N, 21): self-occluded joints

The palm has a frame: y from the knuckles to the wrist, x the part of the direction from the little
finger to the index finger that is orthogonal to y, and z = x × y, away from the camera if a right
hand shows its palm. Its rotation relative to the camera is R = Rz(roll) Rx(pitch) Ry(yaw). Roll
turns the image in its plane and does not change the view. The other two angles follow from the
last row of R, (−cos(pitch) sin(yaw), sin(pitch), cos(pitch) cos(yaw)).

V2V-PoseNet (Moon et al., CVPR 2018, Figure 8) shows errors over yaw and pitch, like earlier papers
on MSRA; none of them states how it computes the angles of a frame. This is one possible definition.
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
    """Return yaw and pitch in rad, (..., 2), of right hands.

    `joints`: (..., J, 3) mm in the camera frame. (0, 0): the palm faces the camera. Yaw, in
    (−π, π], turns the hand about its long axis, a half turn shows its back; pitch, in [−π/2, π/2],
    tips the fingers towards the camera. For a left hand negate its x first, which makes it a right
    one. Errors: `HandPoseError` for a skeleton without knuckles, joints of another shape, and a
    palm whose joints lie on one line.
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
    """Return the mean of `errors` (N,) in each bin of `angle` (N,), (K,) float64, and the number of
    angles in each bin, (K,).

    Bin k holds edges[k] ≤ angle < edges[k + 1], in the angle's unit; the mean of an empty one is
    NaN. Errors: `HandPoseError` for shapes that do not fit, fewer than two edges, and edges that do
    not rise.
    """
    limits = torch.as_tensor([*edges], dtype=torch.float64, device=angle.device)
    if angle.ndim != 1 or angle.shape != errors.shape:
        raise HandPoseError(
            f"angles of shape {tuple(angle.shape)} and errors {tuple(errors.shape)}: accepted is"
            " one of each per frame"
        )
    if len(limits) < 2 or not bool((limits.diff() > 0).all()):
        raise HandPoseError(f"edges {limits.tolist()}: accepted are at least two that rise")
    bins = torch.bucketize(angle.double().contiguous(), limits, right=True) - 1
    inside = (bins >= 0) & (bins < len(limits) - 1)
    count = torch.bincount(bins[inside], minlength=len(limits) - 1)
    total = torch.zeros(len(limits) - 1, dtype=torch.float64, device=angle.device).index_add_(
        0, bins[inside], errors[inside].double()
    )
    return total / count, count


def hidden(joints: torch.Tensor, skeleton: Skeleton, radius: float = 9.0) -> torch.Tensor:
    """Return which joints the hand itself hides from the camera, (N, J) bool.

    `joints`: (N, J, 3) mm. Each bone is modelled as a rod of this `radius` in mm. A joint is hidden
    if the line of sight to it meets a rod that ends at least a rod's thickness before it; a finger
    that points at the camera hides its own root. The surface is unknown: the skin between the bones
    of the palm counts only as far as the rods reach.
    Errors: `HandPoseError` for joints of another shape, and a radius that is not positive.
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
