"""Synthetic hands in motion: lengths of bones stay, neighbouring frames are alike, the set's
skeleton and distances hold.
"""

import pytest
import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.skeleton import get
from handpose_lib.synth import SETUPS
from handpose_lib.synth.hands import motion


@pytest.mark.parametrize("setup", SETUPS)
def test_a_hand_moves_smoothly_and_in_front_of_the_camera(setup):
    joints = motion.joints(200, setup, seed=3)
    assert joints.shape == (200, len(get(SETUPS[setup].skeleton)), 3)
    near, far = SETUPS[setup].distance
    assert joints[..., 2].min() > near - 250 and joints[..., 2].max() < far + 250
    steps = joints.diff(dim=0).norm(dim=-1)
    assert (
        0
        < steps.mean()
        < (joints[motion.STEPS :] - joints[: -motion.STEPS]).norm(dim=-1).mean() / 2
    )


def test_the_same_again_and_other_seeds_and_subjects_differ():
    first = motion.joints(30, "nyu", 1, seed=5)
    assert torch.equal(first, motion.joints(30, "nyu", 1, seed=5))
    assert torch.equal(first[:10], motion.joints(10, "nyu", 1, seed=5)), (
        "a longer sequence begins as a shorter one"
    )
    assert not torch.allclose(first, motion.joints(30, "nyu", 1, seed=6)) and not torch.allclose(
        first, motion.joints(30, "nyu", 2, seed=5)
    )


def test_a_subject_s_wrist_keeps_its_width_and_the_next_subject_has_another():
    skeleton = get("nyu14")
    both = motion.sequence((40, 30), "nyu")
    width = (both[:, skeleton.index("wrist")] - both[:, skeleton.index("wrist back")]).norm(dim=1)
    assert len(both) == 70
    assert width[:40].std() < 1e-3 and width[40:].std() < 1e-3
    assert abs(width[0] - width[-1]) > 0.1


def test_errors():
    with pytest.raises(HandPoseError, match="at least 1"):
        motion.joints(0)
    with pytest.raises(HandPoseError, match="icvl"):
        motion.joints(1, "icvx")
