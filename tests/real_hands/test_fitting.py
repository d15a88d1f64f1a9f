"""The hand that renders the frames explains them."""

from dataclasses import replace

import pytest
import torch

from handpose_lib import synth
from handpose_lib.errors import HandPoseError
from handpose_lib.real_hands import fitting

ALONE = replace(
    synth.FIELD,
    **dict.fromkeys(("tabletop", "held", "near", "beside", "second", "box", "person", "wall"), 0.0),
)


@pytest.fixture(scope="module")
def crops():
    return synth.crops(range(24), distribution=ALONE, subjects=range(200, 216))


def noisy(joints, each, together):
    draw = torch.Generator().manual_seed(0)
    shift = torch.randn(len(joints), 1, 3, generator=draw)
    return joints + each * torch.randn(joints.shape, generator=draw) + together * shift


def error(joints, crops):
    return (joints - crops.joints).norm(dim=-1).mean(-1)


def test_a_fit_mends_wrong_joints(crops):
    wrong = noisy(crops.joints, 8.0, 8.0)
    found = fitting.fit(crops, wrong)
    assert error(found.joints, crops).mean() < 0.7 * error(wrong, crops).mean()
    assert (found.distance_mm < found.before_mm).all()


def test_the_distance_that_remains_follows_the_error(crops):
    near = fitting.fit(crops, noisy(crops.joints, 4.0, 4.0)).distance_mm
    far = fitting.fit(crops, noisy(crops.joints, 30.0, 30.0)).distance_mm
    assert near.mean() < far.mean()


def test_true_joints_stay(crops):
    """Persons have proportions of their own: the mean hand cannot reach every joint."""
    assert error(fitting.fit(crops, crops.joints).joints, crops).mean() < 6


def test_a_left_hand_is_the_mirror_image_of_a_right_one(crops):
    part = crops.index(slice(0, 4))
    flip = torch.tensor([-1.0, 1.0, 1.0])
    size = part.depth.shape[-1]
    # The pixel u of the window becomes S - 1 - u: the principal point moves along.
    camera = part.camera.clone()
    camera[:, 2] = 2 * part.origin[:, 0] + size - 1 - camera[:, 2]
    mirrored = replace(
        part,
        depth=part.depth.flip(-1),
        camera=camera,
        centre=part.centre * flip,
        joints=part.joints * flip,
        mirror=-part.mirror,
    )
    wrong = noisy(part.joints, 5.0, 5.0)
    one, other = fitting.fit(part, wrong), fitting.fit(mirrored, wrong * flip)
    assert torch.allclose(one.joints * flip, other.joints, atol=0.1)


def test_a_frame_alone_is_fitted_as_in_a_batch(crops):
    wrong = noisy(crops.joints, 5.0, 5.0)
    together = fitting.fit(crops.index(slice(0, 3)), wrong[:3]).joints
    alone = fitting.fit(crops.index(slice(1, 2)), wrong[1:2]).joints
    assert torch.allclose(together[1:2], alone, atol=0.05)


def test_inference_mode_changes_nothing(crops):
    part = crops.index(slice(0, 2))
    with torch.inference_mode():
        inside = fitting.fit(part, part.joints.clone()).joints
    assert torch.equal(inside.clone(), fitting.fit(part, part.joints).joints)


def test_an_empty_crop_keeps_the_joints(crops):
    part = crops.index(slice(0, 2))
    empty = replace(part, depth=torch.zeros_like(part.depth))
    found = fitting.fit(empty, part.joints)
    assert (found.distance_mm == fitting.NEAR).all()
    assert error(found.joints, part).mean() < 6


def test_refuses_other_joints(crops):
    with pytest.raises(HandPoseError, match="21"):
        fitting.fit(crops, crops.joints[:, :14])
    with pytest.raises(HandPoseError, match="finite"):
        fitting.fit(crops, torch.full_like(crops.joints, torch.nan))


# --- the parts of which it is made --------------------------------------------


@pytest.fixture(scope="module")
def state(crops):
    part = crops.index(slice(0, 3))
    start = fitting.start(part.joints.double(), part.mirror.double())
    torch.manual_seed(0)
    return start._replace(local=start.local + 0.05 * torch.randn_like(start.local))


@pytest.mark.parametrize("name", ["spheres", "joints", "overlap"])
def test_derivatives_are_those_of_differences(state, name):
    exact, step = getattr(fitting.moves(state), f"d_{name}"), 1e-5
    for number in range(exact.shape[-1]):
        way = torch.zeros(len(exact), exact.shape[-1], dtype=exact.dtype)
        way[:, number] = step
        there, back = (getattr(fitting.moves(state.moved(s * way)), name) for s in (1, -1))
        slope = (there - back) / (2 * step)
        assert torch.allclose(exact[..., number], slope, atol=1e-3), number


def test_distances_are_those_to_the_nearest_of_all_spheres_between(state):
    spheres, joints = fitting.posed(state)
    torch.manual_seed(0)
    points = joints.repeat(1, 4, 1) + 25 * torch.randn(len(joints), 84, 3, dtype=joints.dtype)
    pairs, triples, _ = synth.hand.mesh(torch.device("cpu"))
    steps, nearest = 60, torch.full(points.shape[:2], torch.inf, dtype=points.dtype)
    for i in range(steps + 1):
        for j in range(steps + 1 - i):
            share = points.new_tensor([steps - i - j, i, j]) / steps
            hulls = [(spheres[:, triples] * share[:, None]).sum(2)]
            if j == 0:
                hulls.append((spheres[:, pairs] * share[:2, None]).sum(2))
            for hull in hulls:
                gaps = (points[:, :, None] - hull[:, None, :, :3]).norm(dim=-1) - hull[
                    :, None, :, 3
                ]
                nearest = torch.minimum(nearest, gaps.amin(-1))
    exact = fitting.distances(points, spheres).distance
    assert (exact <= nearest + 1e-3).all()
    assert (nearest - exact).max() < 0.5  # how far the sampled spheres lie apart
