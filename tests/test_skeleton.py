"""Skeletons are trees whose parts agree with the data sets' descriptions."""

import itertools
import re

import pytest

from handpose_lib import skeleton
from handpose_lib.errors import HandPoseError

HANDS = [name for name in skeleton.SKELETONS if name != "itop15"]


@pytest.mark.parametrize("name", skeleton.SKELETONS)
def test_every_joint_leads_to_the_one_root(name):
    s = skeleton.get(name)
    assert len(s.joints) == len(set(s.joints)) == len(s.parents) == len(s.colours) == len(s)
    assert s.parents.count(-1) == 1 and len(s.bones) == len(s) - 1
    for joint in range(len(s)):
        path = []
        while joint != -1:
            assert joint not in path, "a circle"
            path.append(joint)
            joint = s.parents[joint]
        assert path[-1] == s.root


@pytest.mark.parametrize("name", HANDS)
def test_fingers_run_from_root_to_tip(name):
    fingers = skeleton.get(name).fingers
    assert list(fingers) == ["thumb", "index", "middle", "ring", "little"]
    parents = skeleton.get(name).parents
    for members in fingers.values():
        assert all(parents[b] == a for a, b in itertools.pairwise(members))


@pytest.mark.parametrize("name", skeleton.SKELETONS)
def test_the_name_ends_with_the_number_of_joints(name):
    number = re.search(r"\d+$", name)
    assert number and int(number[0]) == len(skeleton.get(name))


def test_the_evaluated_nyu_joints_name_the_same_fingers_among_the_36():
    """The finger of each of the 14 joints is the finger of its index among the 36."""
    small, large = skeleton.get("nyu14"), skeleton.get("nyu36")
    for joint, index in zip(small.joints[:11], skeleton.NYU_EVALUATED):
        assert large.joints[index].split()[0] == joint.split()[0]
    assert all(large.joints[index].startswith("PALM") for index in skeleton.NYU_EVALUATED[11:])
    assert skeleton.NYU_EVALUATED[small.root] == large.root


def test_pairs_of_the_body_are_left_and_right_of_the_same():
    body = skeleton.get("itop15")
    for right, left in body.pairs:
        assert body.joints[right].replace("right", "left") == body.joints[left]


def test_unknown_names_say_what_is_known():
    with pytest.raises(HandPoseError, match="'mano'.*msra21"):
        skeleton.get("mano")
    with pytest.raises(HandPoseError, match="'nose'.*wrist"):
        skeleton.get("msra21").index("nose")
