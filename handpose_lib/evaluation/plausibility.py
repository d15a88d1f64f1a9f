"""Does a prediction look like a hand? Bone lengths, bends and planes, of any skeleton.

A mean joint error says how far joints are from their places, each for itself; two joints that miss
by 5 mm may leave their bone as it is, or 10 mm too long. The measures here look at joints together:

==================  ====================================================================================
bone length error   how much too long or too short a bone is, against the same frame's true joints
bone length spread  how much the length of one person's bone varies over frames: of a real one, not
                    at all
bend                angle between two consecutive bones: 0° along a straight finger
bend error          the bend against the same frame's true one
out of plane        how far the joints of one finger are from a common plane: knuckles beyond the
                    first are hinges
==================  ====================================================================================

All of them stay the same when a hand is moved or turned. Lengths are in mm, angles in degrees, sums
in float64.
"""

import torch

from handpose_lib.errors import HandPoseError


def bone_lengths(joints, skeleton):
    """Length of every bone, `(N, M)` mm, in the order of `skeleton.bones`; joints `(N, J, 3)` mm.

    Errors, here and below: `HandPoseError` for other shapes, no frames, and values that are not
    finite.
    """
    child, parent = (list(side) for side in zip(*skeleton.bones))
    joints = _checked(joints, skeleton)
    return (joints[:, child] - joints[:, parent]).norm(dim=-1)


def bone_length_error(predicted, joints, skeleton):
    """Mean difference of each bone's length from its true one, without sign, over the frames:
    `(M,)` mm.
    """
    predicted, true = _pair(bone_lengths, predicted, joints, skeleton)
    return (predicted - true).abs().mean(0)


def bone_length_spread(joints, skeleton, subjects=None):
    """Standard deviation of each bone's length over the frames of one person, `(M,)` mm.

    `subjects` (N,) the number of each frame's person (None: one for all); the squares are averaged
    over all frames, each about the mean of its person.
    """
    lengths = bone_lengths(joints, skeleton)
    subjects = torch.zeros(len(lengths)) if subjects is None else torch.as_tensor(subjects)
    if subjects.shape != (len(lengths),):
        raise HandPoseError(
            f"subjects of shape {tuple(subjects.shape)}: accepted is one for each of {len(lengths)}"
            " frames"
        )
    for person in subjects.unique():
        lengths[subjects == person] -= lengths[subjects == person].mean(0)
    return lengths.square().mean(0).sqrt()


def bends(joints, skeleton):
    """Angle between every two consecutive bones, `(N, A)` degrees, 0 where both point the same way;
    see `hinges`.

    A bone without length has no direction and counts as at a right angle.
    """
    before, middle, after = (list(side) for side in zip(*hinges(skeleton)))
    joints = _checked(joints, skeleton)
    first, second = joints[:, middle] - joints[:, before], joints[:, after] - joints[:, middle]
    # Of both sine and cosine: an arc cosine alone loses half its digits where a finger is straight.
    angle = torch.atan2(
        torch.linalg.cross(first, second).norm(dim=-1), (first * second).sum(-1)
    ).rad2deg()
    return angle.masked_fill((first.norm(dim=-1) == 0) | (second.norm(dim=-1) == 0), 90.0)


def bend_error(predicted, joints, skeleton):
    """Mean difference of each bend from the true one, without sign, over the frames: `(A,)`
    degrees.
    """
    predicted, true = _pair(bends, predicted, joints, skeleton)
    return (predicted - true).abs().mean(0)


def out_of_plane(joints, skeleton):
    """Root mean square distance of each finger's joints from their best plane: `(N, F)` mm; see
    `planes`.

    F is 0 for skeletons with fewer than four joints on every finger: three points always have a
    plane.
    """
    joints = _checked(joints, skeleton)
    rest = [
        torch.linalg.svdvals(finger - finger.mean(1, keepdim=True))[:, -1] / finger.shape[1] ** 0.5
        for finger in (joints[:, list(members)] for members in planes(skeleton))
    ]
    return torch.stack(rest, -1) if rest else joints.new_zeros(len(joints), 0)


def hinges(skeleton):
    """Every (grandparent, parent, child) of the skeleton: two consecutive bones, in the order of
    the children.
    """
    parents = skeleton.parents
    return tuple(
        (parents[parent], parent, child) for child, parent in skeleton.bones if parents[parent] >= 0
    )


def planes(skeleton):
    """The joints of each finger that has at least four, from root to tip."""
    return tuple(members for members in skeleton.fingers.values() if len(members) >= 4)


def summary(predicted, joints, skeleton, subjects=None):
    """Every measure as a plain number, means over bones, bends and fingers; those of the true
    joints beside.

    `bone_length_error_mm`, `bend_error_deg`; `bone_length_spread_mm`, `bend_deg`, `out_of_plane_mm`
    and, of the true joints, `true_bone_length_spread_mm`, …; out of plane only where the skeleton
    has such fingers.
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


def _pair(measure, predicted, joints, skeleton):
    """One measure of predictions and of the same frames' true joints."""
    predicted, true = measure(predicted, skeleton), measure(joints, skeleton)
    if len(predicted) != len(true):
        raise HandPoseError(
            f"{len(predicted)} predicted frames and {len(true)} true ones: accepted is one for each"
        )
    return predicted, true.to(predicted.device)


def _checked(joints, skeleton):
    """Joints as float64."""
    if joints.ndim != 3 or joints.shape[1:] != (len(skeleton), 3) or not len(joints):
        raise HandPoseError(
            f"joints of shape {tuple(joints.shape)}: accepted is (N, {len(skeleton)}, 3) for "
            f"{skeleton.name}, with at least one frame"
        )
    if not torch.isfinite(joints).all():
        raise HandPoseError("joints that are not finite: accepted are mm")
    return joints.double()
