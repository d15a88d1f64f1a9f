"""Frames as a pure function of (seed, index), and what the distributions promise."""

import dataclasses
import json
from typing import Any

import pytest
import torch

from handpose_lib import synth
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.errors import HandPoseError
from handpose_lib.skeleton import get
from handpose_lib.synth import SETUPS, WIDE, Distribution, frames
from handpose_lib.synth.hands import poses
from handpose_lib.synth.hands.contact import penetration

CLEAN = dataclasses.replace(
    WIDE,
    wall=0.0,
    person=0.0,
    table=0.0,
    held=0.0,
    near=0.0,
    beside=0.0,
    sensors={"ideal": 1.0},
    holes=0.0,
    missing=0.0,
    smear=0.0,
    coarse=0.0,
)
EVERYTHING = dataclasses.replace(
    WIDE, wall=0.5, person=0.5, table=0.5, held=0.5, near=0.5, beside=0.5, missing=0.5, smear=0.5
)


@pytest.fixture(scope="module")
def wide():
    return frames(range(48), seed=1)


@pytest.fixture(scope="module")
def msra_like():
    return frames(range(48), seed=1, distribution="msra_like")


# --- Purity -------------------------------------------------------------------


@pytest.mark.parametrize("distribution", [WIDE, EVERYTHING, "msra_like"])
@pytest.mark.parametrize("size", [1, 5])
def test_a_frame_has_the_same_bits_alone_and_in_any_batch(distribution, size):
    indices = [4711, 3, 10**12, 17, 8, 9, 2, 1, 0, 23, 99]
    together = frames(indices, seed=2, distribution=distribution)
    for start in range(0, len(indices), size):
        part = frames(indices[start : start + size], seed=2, distribution=distribution)
        rows = slice(start, start + size)
        assert torch.equal(part.depth, together.depth[rows])
        assert torch.equal(part.joints, together.joints[rows])
        assert torch.equal(part.hand_mask, together.hand_mask[rows])
        assert part.hands == together.hands[rows] and part.ids == together.ids[rows]


def test_the_order_of_a_batch_does_not_matter():
    one, other = frames([1, 2, 3], seed=4), frames([3, 1, 2], seed=4)
    assert torch.equal(one.depth[[2, 0, 1]], other.depth)


def test_seeds_and_indices_give_different_frames(wide):
    assert len({round(float(z), 4) for z in wide.joints[:, 0, 2]}) == len(wide)
    assert not torch.equal(frames([0], seed=2).joints, wide.joints[:1])


def test_the_global_generator_is_neither_read_nor_moved():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = frames([5])
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first.depth, frames([5]).depth)


# --- Setups -------------------------------------------------------------------


@pytest.mark.parametrize("setup", SETUPS)
def test_setups_have_their_camera_and_joints(setup):
    rendered = frames(range(2), setup=setup)
    imitated = SETUPS[setup]
    assert rendered.camera == imitated.camera == preset(setup)
    assert rendered.depth.shape == (2, imitated.camera.height, imitated.camera.width)
    assert rendered.joints.shape == (2, len(get(imitated.skeleton)), 3)
    assert rendered.depth.dtype == rendered.joints.dtype == torch.float32
    frame = rendered.frame(1)
    assert torch.equal(frame.depth, rendered.depth[1])
    assert (frame.hand, frame.id) == (rendered.hands[1], rendered.ids[1])


def test_hands_are_where_the_camera_sees_them(wide):
    """The mean of the joints is in the image, at the setup's distance, and most joints are in
    the image.
    """
    uvd = xyz_to_uvd(wide.joints, wide.camera)
    near, far = SETUPS["msra"].distance
    assert (
        (wide.joints[..., 2].mean(1) >= near - 1e-3) & (wide.joints[..., 2].mean(1) <= far + 1e-3)
    ).all()
    inside = (uvd[..., 0] > 0) & (uvd[..., 0] < 319) & (uvd[..., 1] > 0) & (uvd[..., 1] < 239)
    assert inside.float().mean() > 0.97


# --- Images and joints belong together ----------------------------------------


def test_joints_lie_under_the_surface_that_shows_them():
    """Where a joint is the nearest thing, the surface is at most 25 mm in front of it: no joint
    floats in front.
    """
    rendered = frames(range(32), distribution=CLEAN)
    u, v, z = xyz_to_uvd(rendered.joints, rendered.camera).unbind(-1)
    inside = (u >= 0) & (u <= 319) & (v >= 0) & (v <= 239)
    rows = torch.arange(32)[:, None].expand_as(u)
    shown = rendered.depth[rows[inside], v[inside].round().long(), u[inside].round().long()]
    # A pixel of rounding may miss a tip; none may be seen through.
    assert (shown > 0).float().mean() > 0.98
    in_front = shown[shown > 0] - z[inside][shown > 0]
    assert in_front.max() < 9.0


def test_the_mask_is_the_hand(wide, msra_like):
    assert torch.equal(msra_like.hand_mask, msra_like.depth > 0)
    assert (wide.hand_mask.sum((1, 2)) > 100).float().mean() > 0.95
    error = (wide.depth - wide.hand_depth)[wide.hand_mask & (wide.hand_depth > 0)].abs()
    assert error.median() < 3.0
    clean = frames(range(8), distribution=CLEAN)
    assert torch.equal(clean.hand_mask, clean.depth > 0)


def test_nothing_is_measured_beyond_reach():
    rendered = frames(range(16), distribution=dataclasses.replace(CLEAN, wall=1.0, reach=450.0))
    assert rendered.depth.max() <= 450.0 and (rendered.depth > 0).any()


# --- Distributions ------------------------------------------------------------


def test_msra_like_shows_right_hands_alone(msra_like):
    assert set(msra_like.hands) == {"right"}
    # A hand and its wrist, nothing else: all within 260 mm of the middle of the joints.
    far = msra_like.joints.mean(1)[:, 2, None, None] + 260
    assert (msra_like.depth < far).all()
    assert 0.02 < (msra_like.depth > 0).float().mean() < 0.2


def test_wide_covers_what_clean_renderings_lack():
    rendered = frames(range(300), seed=3, distribution=dataclasses.replace(CLEAN))
    joints = rendered.joints
    palm = joints[:, 5] - joints[:, 0]
    direction = torch.atan2(palm[:, 1], palm[:, 0])
    # Every eighth of the circle has its share of 300 frames: 37 expected, standard deviation 6.
    assert torch.histc(direction, 8, -torch.pi, torch.pi).min() > 15
    slope = palm[:, 2] / palm.norm(dim=1)
    assert (slope > 0.6).float().mean() > 0.05 and (slope < -0.6).float().mean() > 0.05
    facing = torch.linalg.cross(joints[:, 1] - joints[:, 0], joints[:, 13] - joints[:, 0])[:, 2]
    facing = facing * torch.tensor([1.0 if hand == "right" else -1.0 for hand in rendered.hands])
    assert 0.35 < (facing > 0).float().mean() < 0.65  # palm and back
    assert 0.4 < rendered.hands.count("left") / 300 < 0.6
    between_tips = (joints[:, 4] - joints[:, 8]).norm(dim=1)
    assert (between_tips < 24).float().mean() > 0.1 and (between_tips > 45).float().mean() > 0.1


def test_switches_are_off_at_zero_and_on_at_one():
    clean = frames(range(6), seed=1, distribution=CLEAN)
    assert torch.equal(clean.depth, clean.hand_depth)
    for switch in ("wall", "person", "table", "held", "near", "beside"):
        rendered = frames(
            range(6), seed=1, distribution=dataclasses.replace(CLEAN, **{switch: 1.0})
        )
        assert torch.equal(rendered.joints, clean.joints), (
            "a switch changes nothing but what it switches"
        )
        others = (rendered.depth > 0) & (rendered.depth != clean.depth)
        assert others.flatten(1).any(1).float().mean() > 0.6, switch
    damages: tuple[dict[str, Any], ...] = (
        dict(sensors={"time of flight": 1.0}),
        dict(sensors={"structured light": 1.0}),
        dict(holes=1.0),
        dict(missing=1.0),
        dict(smear=1.0),
        dict(coarse=20.0),
    )
    for switch in damages:
        rendered = frames(range(12), seed=1, distribution=dataclasses.replace(CLEAN, **switch))
        assert not torch.equal(
            rendered.depth, frames(range(12), seed=1, distribution=CLEAN).depth
        ), switch


def test_no_forearm_and_any_forearm():
    long = dataclasses.replace(CLEAN, forearm=1.0, forearm_length=(150, 150))
    without = frames(range(12), distribution=dataclasses.replace(long, forearm=0.0))
    with_ = frames(range(12), distribution=long)
    assert torch.equal(without.joints, with_.joints)
    assert ((without.depth > 0).sum((1, 2)) <= (with_.depth > 0).sum((1, 2))).all()
    assert (without.depth > 0).sum() < 0.8 * (with_.depth > 0).sum()


def test_a_gesture_may_be_asked_for():
    rendered = frames(range(8), seed=1, distribution="msra_like", gesture="5", subjects=[2])
    stretched = (rendered.joints[:, 8] - rendered.joints[:, 5]).norm(dim=1)
    fists = frames(range(8), seed=1, distribution="msra_like", gesture="T", subjects=[2])
    curled = (fists.joints[:, 8] - fists.joints[:, 5]).norm(dim=1)
    assert stretched.min() > curled.max()
    half = dataclasses.replace(CLEAN, poses={"gesture": 0.5, "uniform": 0.5})
    one, other = (frames(range(40), seed=1, gesture=name, distribution=half) for name in ("T", "5"))
    same = (one.joints == other.joints).flatten(1).all(1)
    assert 8 <= same.sum() <= 32, "about half of the frames show what no gesture decides"


def test_poses_do_not_run_into_themselves(wide):
    assert (penetration(wide.posed.spheres) <= poses.TOLERANCE_MM).float().mean() > 0.95


def test_distributions_go_through_json_and_back():
    for distribution in synth.DISTRIBUTIONS.values():
        text = json.dumps(dataclasses.asdict(distribution))
        assert json.dumps(dataclasses.asdict(Distribution(**json.loads(text)))) == text


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: frames([0], setup="kinect"), "setup 'kinect'.*msra"),
        (lambda: frames([0], distribution="narrow"), "distribution 'narrow'.*wide"),
        (lambda: frames([0], gesture="Z"), "gesture 'Z'.*TIP"),
        (lambda: frames([-1]), "whole numbers from 0"),
        (lambda: frames([0], seed=-1), "whole numbers from 0"),
        (lambda: frames([]), "no indices"),
        (lambda: frames([0], subjects=[]), "no subjects"),
        (lambda: Distribution(wall=1.5), "wall 1.5"),
        (lambda: Distribution(yaw=(30, -30)), "yaw"),
        (lambda: Distribution(sensors={"lidar": 1.0}), "sensor 'lidar'"),
        (lambda: Distribution(sensors={"ideal": 0.0}), "weights"),
        (lambda: frames([0], distribution=Distribution(poses={"dance": 1.0})), "dance"),
    ],
)
def test_bad_input_names_itself(call, message):
    with pytest.raises(HandPoseError, match=message):
        call()
