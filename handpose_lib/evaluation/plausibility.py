"""Anatomical plausibility of predicted poses: bone lengths, bends and planes, of any skeleton.

A mean joint error treats every joint on its own: two joints that are each wrong by 5 mm may leave
the length of their bone correct, or make it 10 mm too long. These measures compare joints with each
other:

==================  ===========================================================================
bone length error   difference of a bone's length from that of the same frame's true joints
bone length spread  variation of the length of one person's bone over frames: 0 for true joints
bend                angle between two consecutive bones: 0° along a straight finger
bend error          difference of the bend from the same frame's true one
out of plane        distance of the joints of one finger from a common plane: all knuckles but
                    the first are hinges
==================  ===========================================================================

A rigid motion of a hand does not change them. Lengths are in mm, angles in degrees, sums in
float64.
"""

from collections.abc import Callable, Sequence

import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.skeleton import Skeleton


def bone_lengths(joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor:
    """Return the length of every bone, `(N, M)` mm, in the order of `skeleton.bones`.

    `joints`: `(N, J, 3)` mm. Errors, here and below: `HandPoseError` for other shapes, no frames,
    and values that are not finite.
    """
    child, parent = (list(side) for side in zip(*skeleton.bones))
    joints = _checked(joints, skeleton)
    return (joints[:, child] - joints[:, parent]).norm(dim=-1)


def bone_length_error(
    predicted: torch.Tensor, joints: torch.Tensor, skeleton: Skeleton
) -> torch.Tensor:
    """Return the mean absolute error of each bone's length over the frames, `(M,)` mm."""
    predicted, true = _pair(bone_lengths, predicted, joints, skeleton)
    return (predicted - true).abs().mean(0)


def bone_length_spread(
    joints: torch.Tensor,
    skeleton: Skeleton,
    subjects: Sequence[int] | torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the standard deviation of each bone's length over the frames of a person, `(M,)` mm.

    `subjects`: (N,) the number of each frame's person (None: one for all); the squares are averaged
    over all frames, each about the mean of its person.
    """
    lengths = bone_lengths(joints, skeleton)
    persons = torch.zeros(len(lengths)) if subjects is None else torch.as_tensor(subjects)
    if persons.shape != (len(lengths),):
        raise HandPoseError(
            f"subjects of shape {tuple(persons.shape)}: accepted is one for each of {len(lengths)}"
            " frames"
        )
    for person in persons.unique():
        lengths[persons == person] -= lengths[persons == person].mean(0)
    return lengths.square().mean(0).sqrt()


def bends(joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor:
    """Return the angle between every two consecutive bones, `(N, A)` degrees, in the order of
    `hinges`.

    It is 0 where both point the same way. A bone without length counts as at a right angle.
    """
    before, middle, after = (list(side) for side in zip(*hinges(skeleton)))
    joints = _checked(joints, skeleton)
    first, second = joints[:, middle] - joints[:, before], joints[:, after] - joints[:, middle]
    # From both sine and cosine: an arc cosine loses half its digits where a finger is straight.
    angle = torch.atan2(
        torch.linalg.cross(first, second).norm(dim=-1), (first * second).sum(-1)
    ).rad2deg()
    return angle.masked_fill((first.norm(dim=-1) == 0) | (second.norm(dim=-1) == 0), 90.0)


def bend_error(predicted: torch.Tensor, joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor:
    """Return the mean absolute error of each bend over the frames, `(A,)` degrees."""
    predicted, true = _pair(bends, predicted, joints, skeleton)
    return (predicted - true).abs().mean(0)


def out_of_plane(joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor:
    """Return the root mean square distance of each finger's joints from their best plane, `(N, F)`
    mm, in the order of `planes`.

    F is 0 for skeletons with fewer than four joints on every finger: three points always have a
    plane.
    """
    joints = _checked(joints, skeleton)
    rest = [
        torch.linalg.svdvals(finger - finger.mean(1, keepdim=True))[:, -1] / finger.shape[1] ** 0.5
        for finger in (joints[:, list(members)] for members in planes(skeleton))
    ]
    return torch.stack(rest, -1) if rest else joints.new_zeros(len(joints), 0)


def hinges(skeleton: Skeleton) -> tuple[tuple[int, int, int], ...]:
    """Return every (grandparent, parent, child), which are two consecutive bones, in the order of
    the children.
    """
    parents = skeleton.parents
    return tuple(
        (parents[parent], parent, child) for child, parent in skeleton.bones if parents[parent] >= 0
    )


def planes(skeleton: Skeleton) -> tuple[tuple[int, ...], ...]:
    """Return the joints of each finger that has at least four, from root to tip."""
    return tuple(members for members in skeleton.fingers.values() if len(members) >= 4)


def summary(
    predicted: torch.Tensor,
    joints: torch.Tensor,
    skeleton: Skeleton,
    subjects: Sequence[int] | torch.Tensor | None = None,
) -> dict[str, float]:
    """Return every measure as a plain number, averaged over bones, bends and fingers.

    Keys: `bone_length_error_mm`, `bend_error_deg`; `bone_length_spread_mm`, `bend_deg`,
    `out_of_plane_mm` (only if the skeleton has such fingers) and, of the true joints,
    `true_bone_length_spread_mm`, `true_bend_deg`, `true_out_of_plane_mm`.
    """
    found = {
        "bone_length_error_mm": bone_length_error(predicted, joints, skeleton).mean().item(),
        "bend_error_deg": bend_error(predicted, joints, skeleton).mean().item(),
    }
    for prefix, hand in (("", predicted), ("true_", joints)):
        found[f"{prefix}bone_length_spread_mm"] = (
            bone_length_spread(hand, skeleton, subjects).mean().item()
        )
        found[f"{prefix}bend_deg"] = bends(hand, skeleton).mean().item()
        if planes(skeleton):
            found[f"{prefix}out_of_plane_mm"] = out_of_plane(hand, skeleton).mean().item()
    return found


def _pair(
    measure: Callable[[torch.Tensor, Skeleton], torch.Tensor],
    predicted: torch.Tensor,
    joints: torch.Tensor,
    skeleton: Skeleton,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one measure of the predictions and of the same frames' true joints."""
    predicted, true = measure(predicted, skeleton), measure(joints, skeleton)
    if len(predicted) != len(true):
        raise HandPoseError(
            f"{len(predicted)} predicted frames and {len(true)} true ones: accepted is one for each"
        )
    return predicted, true.to(predicted.device)


def _checked(joints: torch.Tensor, skeleton: Skeleton) -> torch.Tensor:
    """Return the joints in float64."""
    if joints.ndim != 3 or joints.shape[1:] != (len(skeleton), 3) or not len(joints):
        raise HandPoseError(
            f"joints of shape {tuple(joints.shape)}: accepted is (N, {len(skeleton)}, 3) for "
            f"{skeleton.name}, with at least one frame"
        )
    if not torch.isfinite(joints).all():
        raise HandPoseError("joints that are not finite: accepted are mm")
    return joints.double()
