"""Measures of plausibility are 0 on true joints, invariant to rigid motion, and exact on simple
geometry.
"""

import math

import pytest
import torch

from handpose_lib import skeleton
from handpose_lib.evaluation import plausibility
from tests.support.refusals import refused

SKELETONS = tuple(skeleton.SKELETONS)


def hands(name, n=9, seed=0, spread=40.0):
    g = torch.Generator().manual_seed(seed)
    return spread * torch.randn(n, len(skeleton.get(name)), 3, generator=g, dtype=torch.float64)


def moved(joints, seed=1):
    """Each frame turned and shifted on its own, without reflection."""
    g = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(len(joints), 3, 3, generator=g, dtype=torch.float64)).Q
    turn = turn * turn.det()[:, None, None]
    return joints @ turn + 100 * torch.randn(len(joints), 1, 3, generator=g, dtype=torch.float64)


def straight(name, length=30.0):
    """(1, J, 3): every bone along x, `length` mm."""
    hand = skeleton.get(name)
    joints = torch.zeros(1, len(hand), 3, dtype=torch.float64)
    for joint in range(len(hand)):
        parent = hand.parents[joint]
        while parent >= 0:
            joints[0, joint, 0] += length
            parent = hand.parents[parent]
    return joints


@pytest.mark.parametrize("name", SKELETONS)
def test_true_joints_have_no_error(name):
    hand, joints = skeleton.get(name), hands(name)
    found = plausibility.summary(joints, joints, hand)
    assert found["bone_length_error_mm"] == found["bend_error_deg"] == 0
    for measure in ("bone_length_spread_mm", "bend_deg"):
        assert found[measure] == found[f"true_{measure}"]


@pytest.mark.parametrize("name", SKELETONS)
def test_nothing_changes_when_a_hand_is_moved(name):
    hand, joints, other = skeleton.get(name), hands(name), hands(name, seed=5)
    before, after = (
        plausibility.summary(other, joints, hand),
        plausibility.summary(moved(other), moved(joints, 2), hand),
    )
    assert before.keys() == after.keys()
    for measure, value in before.items():
        assert after[measure] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_lengths_grow_with_the_hand_and_bends_do_not(scale):
    hand, joints, other = skeleton.get("msra21"), hands("msra21"), hands("msra21", seed=5)
    small, large = (
        plausibility.summary(other, joints, hand),
        plausibility.summary(scale * other, scale * joints, hand),
    )
    for measure, value in small.items():
        assert large[measure] == pytest.approx(
            value if measure.endswith("deg") else scale * value, rel=1e-9
        )


@pytest.mark.parametrize("name", SKELETONS)
def test_a_hand_too_large_has_bones_too_long(name):
    """By the scale, exactly; and no bend is wrong."""
    hand, joints = skeleton.get(name), hands(name)
    lengths = plausibility.bone_lengths(joints, hand)
    torch.testing.assert_close(
        plausibility.bone_length_error(1.1 * joints, joints, hand), 0.1 * lengths.mean(0)
    )
    assert plausibility.bend_error(1.1 * joints, joints, hand).max() < 1e-6


def test_bones_and_bends_are_those_of_the_skeleton():
    hand = skeleton.get("nyu14")
    assert plausibility.bone_lengths(hands("nyu14"), hand).shape == (9, 13)
    assert plausibility.hinges(hand)[0] == (13, 1, 0)  # palm, little mid, little tip
    assert plausibility.bends(hands("nyu14"), hand).shape == (9, len(plausibility.hinges(hand)))
    assert len(plausibility.hinges(skeleton.get("msra21"))) == 15  # three on each finger
    assert len(plausibility.planes(skeleton.get("msra21"))) == 5
    assert plausibility.planes(hand) == plausibility.planes(skeleton.get("itop15")) == ()


@pytest.mark.parametrize("name", SKELETONS)
def test_a_straight_hand_does_not_bend_and_lies_in_a_plane(name):
    hand, joints = skeleton.get(name), straight(name)
    torch.testing.assert_close(
        plausibility.bone_lengths(joints, hand), torch.full((1, len(hand.bones)), 30.0).double()
    )
    assert (plausibility.bends(joints, hand) == 0).all()
    assert (plausibility.out_of_plane(joints, hand).abs() < 1e-9).all()


@pytest.mark.parametrize("degrees", [1e-6, 20.0, 90.0, 179.0])
def test_the_bend_is_the_angle(degrees):
    """A finger bent at its last hinge alone, exact even where it is almost straight."""
    hand, joints = skeleton.get("msra21"), straight("msra21")
    last, before = hand.index("index tip"), hand.index("index dip")
    angle = math.radians(degrees)
    joints[0, last] = (
        joints[0, before] + 30 * torch.tensor([math.cos(angle), math.sin(angle), 0]).double()
    )
    bends = plausibility.bends(joints, hand)[0]
    hinge = [after for _, _, after in plausibility.hinges(hand)].index(last)
    assert bends[hinge].item() == pytest.approx(degrees, rel=1e-6)
    assert bends.sum().item() == pytest.approx(degrees, rel=1e-6)
    assert plausibility.bend_error(joints, straight("msra21"), hand)[hinge].item() == pytest.approx(
        degrees, rel=1e-6
    )


def test_a_bone_without_length_counts_as_a_right_angle():
    hand, joints = skeleton.get("msra21"), straight("msra21")
    joints[0, hand.index("ring tip")] = joints[0, hand.index("ring dip")]
    assert plausibility.bends(joints, hand).max() == 90


def test_a_curled_finger_lies_in_a_plane_and_a_twisted_one_does_not():
    hand, joints = skeleton.get("msra21"), straight("msra21")
    finger = list(hand.fingers["middle"])
    joints[0, finger] = 30 * torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]).double()
    assert plausibility.out_of_plane(joints, hand).max() < 1e-9
    joints[0, finger] = torch.tensor([[0, 0, 4], [30, 0, -4], [30, 30, 4], [0, 30, -4]]).double()
    # A saddle: each joint is 4 mm off the plane.
    assert plausibility.out_of_plane(joints, hand).max().item() == pytest.approx(4)


def test_lengths_of_one_person_do_not_spread():
    """Two people: the spread is nothing within each, and that of their difference without their
    names.
    """
    hand, small = skeleton.get("msra21"), hands("msra21", n=1)
    frames = torch.cat((moved(small.expand(6, -1, -1)), moved(1.2 * small.expand(6, -1, -1), 2)))
    people = [3] * 6 + [8] * 6
    assert plausibility.bone_length_spread(frames, hand, people).max() < 1e-9
    torch.testing.assert_close(
        plausibility.bone_length_spread(frames, hand),
        0.1 * plausibility.bone_lengths(small, hand)[0],
    )


def test_noise_makes_hands_implausible():
    """And less of it than the joints themselves are moved, as a mean joint error cannot tell."""
    hand, joints = skeleton.get("msra21"), straight("msra21").expand(200, -1, -1)
    noise = torch.randn(200, 21, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shifted = joints + 5 * noise[:, :1]
    found, together = (plausibility.summary(p, joints, hand) for p in (joints + 5 * noise, shifted))
    # Along a bone both ends move by a standard normal: |difference| has the mean 2/√π, plus what
    # leans aside.
    assert found["bone_length_error_mm"] == pytest.approx(5 * 2 / math.pi**0.5, rel=0.1)
    assert found["bend_deg"] > 10
    assert found["out_of_plane_mm"] > 1
    assert max(together.values()) < 1e-6


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda hand, j: plausibility.bone_lengths(j[:, :5], hand), ["(9, 5, 3)", "(N, 21, 3)"]),
        (lambda hand, j: plausibility.bends(j[0], hand), ["(21, 3)", "(N, 21, 3)"]),
        (lambda hand, j: plausibility.bone_lengths(j[:0], hand), ["(0, 21, 3)", "at least one"]),
        (lambda hand, j: plausibility.out_of_plane(j * math.nan, hand), ["not finite"]),
        (lambda hand, j: plausibility.bone_length_error(j[:3], j, hand), ["3 predicted", "9 true"]),
        (lambda hand, j: plausibility.bone_length_spread(j, hand, [1]), ["(1,)", "9 frames"]),
    ],
)
def test_errors_name_what_is_accepted(call, names):
    refused(lambda: call(skeleton.get("msra21"), hands("msra21")), names)
