"""The viewpoint of a hand, against hands that were turned by known angles."""

import itertools
import math

import pytest
import torch

from handpose_lib import skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation.viewpoint import PALMS, error_over, hidden, yaw_pitch
from handpose_lib.synth.hands import hand as hands
from handpose_lib.synth.hands import poses


def drawn(count, seed):
    """Yaw, pitch and roll in float64, (N,) each; at a pitch of ±90° the yaw is not defined."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (
        torch.tensor([[-180.0, 180.0], [-85.0, 85.0], [-180.0, 180.0]], dtype=torch.float64)
        .deg2rad()
        .unbind(-1)
    )
    return (
        (high - low)[:, None] * torch.rand(3, count, generator=generator, dtype=torch.float64)
        + low[:, None]
    ).unbind(0)


def flat(name):
    """A hand with a palm that is flat, symmetric and along the axes: what the frame of `yaw_pitch`
    is 1 for.
    """
    joints = torch.randn(
        len(skeleton.get(name)), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    places = (
        (0.0, 0.0, 0.0),
        (30.0, -80.0, 0.0),
        (10.0, -90.0, 0.0),
        (-10.0, -90.0, 0.0),
        (-30.0, -80.0, 0.0),
    )
    for joint, place in zip(PALMS[name], places):
        joints[skeleton.get(name).index(joint)] = torch.tensor(place, dtype=torch.float64)
    return joints


@pytest.mark.parametrize("name", PALMS)
def test_a_flat_palm_has_the_angles_by_which_it_was_turned(name):
    yaw, pitch, roll = drawn(500, 1)
    turned = flat(name) @ hands.rotation(yaw, pitch, roll).mT
    torch.testing.assert_close(
        yaw_pitch(turned, skeleton.get(name)), torch.stack((yaw, pitch), -1), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("name", PALMS)
def test_hands_of_people_differ_by_their_own_palm_alone(name):
    """A hand that was turned by R has a palm that is turned by R D, with D the person's own: what
    three views of it say.
    """
    people = hands.subjects(range(6))
    people = people.index(torch.arange(6).repeat_interleave(20)).to(torch.float64)
    angles = poses.sample(
        torch.rand(
            120, poses.UNIFORMS, generator=torch.Generator().manual_seed(3), dtype=torch.float64
        ),
        people,
    )

    def last_row(*turn):
        """Of the palm's rotation, after the hand was turned by yaw, pitch and roll: all that two
        angles can say.
        """
        turned = hands.posed(
            people, poses.assemble(angles, torch.full((120, 3), 400.0, dtype=torch.float64), *turn)
        ).joints(name)
        yaw, pitch = yaw_pitch(turned, skeleton.get(name)).unbind(-1)
        return hands.rotation(yaw, pitch, none)[:, 2]

    none, quarter = (
        torch.zeros(120, dtype=torch.float64),
        torch.full((120,), math.pi / 2, dtype=torch.float64),
    )
    own = torch.stack(
        (last_row(-quarter, none, none), last_row(none, quarter, none), last_row(none, none, none)),
        1,
    )
    turn = drawn(120, 2)
    torch.testing.assert_close(
        last_row(*turn), (hands.rotation(*turn)[:, 2:] @ own)[:, 0], atol=1e-9, rtol=0
    )
    tilt = torch.acos(own[:, 2, 2]).max()
    assert tilt < math.radians(12), "knuckles and wrist lie nearly in the plane of the palm"


def test_the_picture_may_turn_move_and_grow():
    joints = flat("msra21") @ hands.rotation(*torch.tensor([0.6, -0.4, 0.0], dtype=torch.float64)).T
    moved = 1.3 * joints @ hands.rotation(
        *torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)
    ).T + torch.tensor([5.0, -60.0, 400.0])
    hand = skeleton.get("msra21")
    torch.testing.assert_close(yaw_pitch(moved, hand), yaw_pitch(joints, hand), atol=1e-9, rtol=0)


def test_only_the_palm_counts():
    hand, joints = skeleton.get("msra21"), flat("msra21")
    bent = joints.clone()
    bent[[j for j, name in enumerate(hand.joints) if name not in PALMS["msra21"]]] += 17
    assert torch.equal(yaw_pitch(joints, hand), yaw_pitch(bent, hand))


def test_a_mirrored_hand_shows_its_back():
    hand, joints = skeleton.get("msra21"), flat("msra21")
    yaw, pitch = yaw_pitch(joints * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64), hand)
    assert abs(abs(yaw.item()) - math.pi) < 1e-9 and abs(pitch.item()) < 1e-9


def test_any_leading_axes():
    joints = flat("msra21").expand(2, 3, 21, 3)
    assert yaw_pitch(joints, skeleton.get("msra21")).shape == (2, 3, 2)


def test_bad_joints_are_named():
    hand = skeleton.get("msra21")
    with pytest.raises(HandPoseError, match="nyu14.*msra21"):
        yaw_pitch(torch.zeros(1, 14, 3), skeleton.get("nyu14"))
    with pytest.raises(HandPoseError, match=r"\(4, 14, 3\).*\(\.\.\., 21, 3\)"):
        yaw_pitch(torch.zeros(4, 14, 3), hand)
    for line in (torch.zeros(1, 21, 3), torch.full((1, 21, 3), math.nan)):
        with pytest.raises(HandPoseError, match="one line"):
            yaw_pitch(line, hand)


def test_errors_over_an_angle_are_those_of_a_loop():
    generator = torch.Generator().manual_seed(5)
    angle, errors = (
        160 * torch.rand(400, generator=generator) - 80,
        torch.rand(400, generator=generator),
    )
    edges = (-60, -20, 0, 10, 61)
    mean, count = error_over(angle, errors, edges)
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        chosen = [e for a, e in zip(angle.tolist(), errors.tolist()) if low <= a < high]
        assert count[k] == len(chosen)
        assert abs(mean[k].item() - sum(chosen) / len(chosen)) < 1e-12


def test_an_edge_belongs_to_the_bin_that_it_opens_and_an_empty_bin_has_no_mean():
    mean, count = error_over(
        torch.tensor([0.0, 10.0, 20.0]), torch.tensor([1.0, 2.0, 4.0]), (0, 10, 20, 30, 40)
    )
    assert count.tolist() == [1, 1, 1, 0] and mean[:3].tolist() == [1, 2, 4] and mean[3].isnan()


def test_bad_bins_are_named():
    one = torch.zeros(3)
    for angle, errors, edges, what in (
        (one, one[:2], (0, 1), "one of each"),
        (one, one, (0,), "at least two"),
        (one, one, (0, 0), "rise"),
    ):
        with pytest.raises(HandPoseError, match=what):
            error_over(angle, errors, edges)


# --- Hidden joints ------------------------------------------------------------


def spread(distance=400.0):
    """An open hand that faces the camera, in a plane: nothing hides anything."""
    hand = skeleton.get("msra21")
    joints = torch.zeros(len(hand), 3, dtype=torch.float64)
    for finger, members in enumerate(hand.fingers.values()):
        angle = math.radians(-60 + 30 * finger)
        for place, joint in enumerate(members):
            if joint != hand.root:
                joints[joint] = (
                    torch.tensor([math.sin(angle), -math.cos(angle), 0.0], dtype=torch.float64)
                    * 30
                    * (place + 1)
                )
    joints[:, 2] += distance
    return joints[None], hand


def test_an_open_hand_hides_nothing():
    joints, hand = spread()
    assert not hidden(joints, hand).any()


def test_what_is_put_before_a_joint_hides_it_and_no_other():
    """A fingertip bent back to stand 60 mm before the wrist, on the line of sight."""
    joints, hand = spread()
    tip = hand.index("middle tip")
    joints[0, tip] = joints[0, hand.root] * (1 - 60 / joints[0, hand.root].norm())
    found = hidden(joints, hand)[0]
    assert found[hand.root] and not found[tip]
    behind = joints.clone()
    behind[0, tip] = joints[0, hand.root] * (1 + 60 / joints[0, hand.root].norm())
    assert not hidden(behind, hand)[0, hand.root]


def test_a_finger_that_points_at_the_camera_hides_its_root():
    joints, hand = spread()
    chain = [hand.index(f"index {part}") for part in ("mcp", "pip", "dip", "tip")]
    root = joints[0, chain[0]]
    for step, joint in enumerate(chain):
        joints[0, joint] = root * (1 - 30 * step / root.norm())
    assert hidden(joints, hand)[0, chain].tolist() == [True, True, True, False]


def test_hiding_does_not_depend_on_a_turn_about_the_optical_axis():
    joints = 40 * torch.randn(
        40, 21, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    hand = skeleton.get("msra21")
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn = torch.tensor(
        [[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]],
        dtype=torch.float64,
    )
    there = joints + torch.tensor([0.0, 0.0, 400.0])
    assert (
        torch.equal(hidden(there, hand), hidden(there @ turn.mT, hand))
        and hidden(there, hand).any()
    )


def test_hidden_says_what_it_accepts():
    joints, hand = spread()
    with pytest.raises(HandPoseError, match="21, 3"):
        hidden(joints[0], hand)
    with pytest.raises(HandPoseError, match="radius 0"):
        hidden(joints, hand, radius=0)
