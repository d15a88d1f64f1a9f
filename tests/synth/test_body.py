"""The synthetic person: bones, limits, sides, persons, actions; frames as a function of
(seed, index).
"""

import math
from typing import Any

import pytest
import torch

from handpose_lib import skeleton
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.errors import HandPoseError
from handpose_lib.synth.bodies import body, person
from handpose_lib.synth.scene import raycast

ITOP = skeleton.get("itop15")
PAIRS = [(left, right) for right, left in ITOP.pairs]


def anywhere(count, seed=0):
    """(count, 27) angles uniform in their limits."""
    low, high = person.LIMITS.float().unbind(-1)
    return low + (high - low) * torch.rand(
        count, len(person.DOF), generator=torch.Generator().manual_seed(seed)
    )


def bones(joints):
    return torch.stack(
        [(joints[:, child] - joints[:, parent]).norm(dim=-1) for child, parent in ITOP.bones], -1
    )


def angle(**degrees):
    """(1, 27) a pose from names with _ for blanks."""
    pose = torch.zeros(1, len(person.DOF))
    for name, value in degrees.items():
        pose[0, person.DOF.index(name.replace("_", " "))] = math.radians(value)
    return pose


# --- the person ---------------------------------------------------------------


def test_bones_keep_their_length_in_every_pose():
    """All but two pairs: hips against the torso bend with the spine, and the feet, which are beyond
    the ankles.
    """
    lengths = bones(person.posed(person.subject(3), anywhere(64)).joints)
    bending = [
        ("right hip", "torso"),
        ("left hip", "torso"),
        ("right foot", "right knee"),
        ("left foot", "left knee"),
    ]
    rigid = [
        row
        for row, bone in enumerate(ITOP.bones)
        if tuple(ITOP.joints[j] for j in bone) not in bending
    ]
    spread = lengths.amax(0) - lengths.amin(0)
    # In float32 a product of rotations leaves up to 1e-3 mm at 500 mm.
    assert len(rigid) == 10 and (spread[rigid] < 1e-3).all()
    assert (spread < 90).all()


def test_both_sides_are_alike():
    joints = person.posed(person.subjects(range(5)), torch.zeros(5, len(person.DOF))).joints
    for left, right in PAIRS:
        assert (joints[:, left] * torch.tensor([-1.0, 1, 1]) - joints[:, right]).abs().max() < 1e-3
        # A person who faces the camera has the left side on the right of the image.
        assert (joints[:, left, 0] > 0).all()


def test_at_rest_a_person_stands_upright():
    joints = person.posed(person.subjects(range(20)), torch.zeros(20, len(person.DOF))).joints
    y = dict(zip(ITOP.joints, joints[..., 1].unbind(1)))
    for above, below in (
        ("head", "neck"),
        ("neck", "torso"),
        ("torso", "right hip"),
        ("right hip", "right knee"),
        ("right knee", "right foot"),
        ("right shoulder", "right elbow"),
        ("right elbow", "right hand"),
    ):
        assert (y[above] < y[below] - 100).all()
    tall = y["left foot"] - y["head"]
    assert tall.min() > 1350 and tall.max() < 1900 and tall.max() - tall.min() > 100


@pytest.mark.parametrize(
    "pose, joint, parent, direction",
    [
        # Forwards is towards the camera.
        ({"left_shoulder_flexion": 90}, "left elbow", "left shoulder", (0, 0, -1)),
        ({"left_shoulder_abduction": 90}, "left elbow", "left shoulder", (1, 0, 0)),
        ({"right_shoulder_abduction": 90}, "right elbow", "right shoulder", (-1, 0, 0)),
        ({"right_elbow_flexion": 90}, "right hand", "right elbow", (0, 0, -1)),
        (
            {"left_shoulder_rotation": 90, "left_elbow_flexion": 90},
            "left hand",
            "left elbow",
            (-1, 0, 0),  # inwards
        ),
        (
            {"right_shoulder_rotation": 90, "right_elbow_flexion": 90},
            "right hand",
            "right elbow",
            (1, 0, 0),
        ),
        ({"left_hip_flexion": 90}, "left knee", "left hip", (0, 0, -1)),
        ({"right_hip_abduction": 30}, "right knee", "right hip", (-0.5, math.sqrt(0.75), 0)),
        ({"lean": 90}, "head", "torso", (0, 0, -1)),
        ({"yaw": 90, "left_shoulder_flexion": 90}, "left elbow", "left shoulder", (-1, 0, 0)),
    ],
)
def test_angles_move_what_their_names_say(pose, joint, parent, direction):
    joints = person.posed(person.subject(0), angle(**pose)).joints[0]
    bone = joints[ITOP.index(joint)] - joints[ITOP.index(parent)]
    tolerance = 0.1 if joint == "head" else 1e-4  # the head is a little before the spine
    assert (bone / bone.norm() - torch.tensor(direction)).abs().max() < tolerance


def test_knees_bend_backwards_and_spines_forwards():
    straight, bent = (
        person.posed(person.subject(0), angle(**pose)).joints[0]
        for pose in ({}, {"left_knee_flexion": 90, "spine_flexion": 60})
    )
    assert bent[ITOP.index("left foot"), 2] > straight[ITOP.index("left foot"), 2] + 300
    assert bent[ITOP.index("head"), 2] < straight[ITOP.index("head"), 2] - 200


def test_joints_lie_in_the_body():
    """Every joint but the head's is inside of a sphere or between two of its surface, so that it is
    never in the air.
    """
    posed = person.posed(person.subjects(range(8)), anywhere(8)).moved(
        torch.tensor([[0.0, 0.0, 3000.0]] * 8)
    )
    pairs, _ = person._mesh(torch.device("cpu"))
    a, b = posed.spheres[:, pairs].unbind(2)
    axis = (b - a)[..., :3]
    for joint in posed.joints.unbind(1):
        along = (
            ((joint[:, None] - a[..., :3]) * axis).sum(-1) / axis.square().sum(-1).clamp_min(1e-6)
        ).clamp(0, 1)
        apart = (joint[:, None] - a[..., :3] - along[..., None] * axis).norm(dim=-1)
        radius = a[..., 3] + along * (b[..., 3] - a[..., 3])
        assert ((apart - radius).amin(1) < 8).all()


def test_persons_differ_and_stay_themselves():
    lengths = bones(
        person.posed(person.subjects(range(20)), torch.zeros(20, len(person.DOF))).joints
    )
    assert ((lengths.std(0) / lengths.mean(0)) > 0.02).all()
    assert torch.equal(person.subject(7).scale, person.subject(7).scale)
    assert not torch.equal(person.subject(7).scale, person.subject(7, seed=1).scale)
    wrong: tuple[Any, ...] = (-1, 1.5, "0")
    for bad in wrong:
        with pytest.raises(HandPoseError, match="accepted are whole numbers from 0"):
            person.subject(bad)
    with pytest.raises(HandPoseError, match="no persons"):
        person.subjects([])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(HandPoseError, match=r"accepted is a float tensor \(B, 27\)"):
        person.posed(person.subject(0), torch.zeros(1, 26))
    with pytest.raises(HandPoseError, match="3 persons for 2 poses"):
        person.posed(person.subjects([1, 2, 3]), torch.zeros(2, 27))


def test_penetration_is_seen():
    """Spread arms do not penetrate the trunk; an arm that is bent into the belly does."""
    spread = {"right_shoulder_abduction": 60, "left_shoulder_abduction": 60}
    bent = {
        **spread,
        "right_shoulder_abduction": 0,
        "right_shoulder_rotation": 80,
        "right_elbow_flexion": 95,
    }
    free, inside = (
        person.penetration(person.posed(person.subjects(range(8)), angle(**pose).expand(8, -1)))
        for pose in (spread, bent)
    )
    assert (free < 0).all() and (inside > 50).all()


# --- frames -------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered():
    return {view: body.frames(range(12), seed=2, view=view) for view in body.VIEWS}


@pytest.mark.parametrize("view", body.VIEWS)
def test_a_frame_is_the_same_alone_and_in_any_batch(rendered, view):
    alone = body.frames([7], seed=2, view=view)
    shuffled = body.frames([9, 7, 0], seed=2, view=view)
    for one, row in ((alone, 0), (shuffled, 1)):
        for name in ("depth", "joints", "centre", "visible", "valid", "persons"):
            assert torch.equal(getattr(one, name)[row], getattr(rendered[view], name)[7]), name
        assert (
            one.ids[row] == f"synthetic itop {view} 2 7"
            and one.actions[row] == rendered[view].actions[7]
        )
    assert not torch.equal(body.frames([7], seed=3, view=view).joints, alone.joints)


def test_both_views_show_one_scene(rendered):
    """The joints of one view are those of the other, moved rigidly."""
    front, top = (rendered[view].joints for view in body.VIEWS)
    assert (torch.cdist(front, front) - torch.cdist(top, top)).abs().max() < 0.05
    assert rendered["front"].actions == rendered["top"].actions


def test_angles_stay_in_their_limits_and_persons_out_of_themselves():
    draw = body.Draws(body.hashing.keys(0, range(200)), torch.device("cpu"))
    actions = [list(body.ACTIONS)[i % 15] for i in range(200)]
    who = person.subjects([i % 16 for i in range(200)])
    angles = body._tried(draw, who, body._still_and_swing(actions, "cpu"))
    low, high = person.LIMITS.float().unbind(-1)
    assert ((angles >= low) & (angles <= high)).all()
    deep = person.penetration(person.posed(who, angles))
    assert (deep < 30).float().mean() > 0.9 and deep.max() < 120


def test_feet_are_on_the_floor(rendered):
    """Seen from above, the floor is a plane: nobody is below it, and somebody touches it."""
    draw = body.Draws(body.hashing.keys(2, range(12)), torch.device("cpu"))
    standing = body._performing(draw, [0] * 12, ["walk"] * 12)
    lowest = (standing.spheres[..., 1] + standing.spheres[..., 3]).amax(1)
    assert lowest.abs().max() < 1e-2


@pytest.mark.parametrize("view", body.VIEWS)
def test_visible_joints_lie_under_the_surface(rendered, view):
    shown = rendered[view]
    u, v, d = xyz_to_uvd(shown.joints, shown.camera).unbind(-1)
    for row in range(len(shown)):
        for joint in shown.visible[row].nonzero()[:, 0].tolist():
            seen = shown.body_depth[row, v[row, joint].round().long(), u[row, joint].round().long()]
            assert d[row, joint] - body.SURFACE_MM < seen < d[row, joint] + 60
    assert shown.visible.float().mean() > (0.6 if view == "front" else 0.25)


def test_parts_and_body_agree(rendered):
    shown = rendered["front"]
    parts = shown.parts
    assert torch.equal(parts >= 0, shown.body_depth > 0) and set(parts.unique().tolist()) == set(
        range(-1, 15)
    )
    u, v, _ = xyz_to_uvd(shown.joints, shown.camera).unbind(-1)
    head = ITOP.index("head")
    near = parts[torch.arange(12), v[:, head].round().long(), u[:, head].round().long()]
    assert (near[shown.visible[:, head]] == head).all()


def test_clean_frames_are_the_exact_person():
    clean, noisy = (body.frames([3, 5], seed=2, clean=clean) for clean in (True, False))
    assert torch.equal(clean.depth, noisy.body_depth) and torch.equal(clean.joints, noisy.joints)
    on_body = (noisy.body_depth > 0) & (noisy.depth > 0)
    assert (noisy.depth - noisy.body_depth)[on_body].abs().median() < 25
    assert (noisy.depth > 0).float().mean() > 0.6 and (noisy.body_depth > 0).float().mean() < 0.3


def test_actions_and_subjects_can_be_chosen():
    for action in body.ACTIONS:
        assert body.frames([0, 1], action=action, subjects=[17], clean=True).persons.tolist() == [
            17,
            17,
        ]
    with pytest.raises(HandPoseError, match="unknown action 'dance': accepted are stand, walk"):
        body.frames([0], action="dance")
    with pytest.raises(HandPoseError, match="unknown view 'side': accepted are front, top"):
        body.frames([0], view="side")
    for indices, subjects in (([], [0]), ([0], [])):
        with pytest.raises(HandPoseError, match="no indices or no subjects"):
            body.frames(indices, subjects=subjects)


def test_some_frames_are_invalid_and_most_are_not():
    shown = body.frames(range(200), seed=0, clean=True, subjects=[0])
    inside = xyz_to_uvd(shown.joints, shown.camera)
    outside = (
        (inside[..., 0] < 0)
        | (inside[..., 0] > 319)
        | (inside[..., 1] < 0)
        | (inside[..., 1] > 239)
    ).sum(1)
    assert torch.equal(shown.valid, outside <= 3) and 0.9 < shown.valid.float().mean() < 1


def test_a_frame_is_a_depth_frame(rendered):
    frame = rendered["top"].frame(4)
    assert (
        frame.id == "synthetic itop top 2 4"
        and frame.joints.shape == (15, 3)
        and frame.centre.shape == (3,)
    )
    assert (frame.centre - frame.joints.mean(0)).norm() < 5 * 30 * 3**0.5


def test_float64_and_float32_show_the_same_person():
    angles = anywhere(2).double()
    posed = person.posed(person.subject(1), angles).moved(
        torch.tensor([[0.0, 0.0, 3000.0]] * 2, dtype=torch.float64)
    )
    images = raycast.depth(posed.solids(), body.CAMERA)
    single = person.posed(person.subject(1), angles.float()).moved(
        torch.tensor([[0.0, 0.0, 3000.0]] * 2)
    )
    both = raycast.depth(single.solids(), body.CAMERA)
    same = (images > 0) & (both > 0)
    assert ((images - both)[same].abs() < 0.5).double().mean() > 0.999 and (
        (images > 0) == (both > 0)
    ).double().mean() > 0.999
