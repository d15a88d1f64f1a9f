"""Measures without labels: geometry against oracles, and which errors each measure detects."""

from dataclasses import replace

import pytest
import torch

from handpose_lib import prepare, synth
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import label_free
from handpose_lib.frames import DepthFrame
from handpose_lib.results import pretrained
from handpose_lib.skeleton import get

MSRA = get("msra21")
BARE = replace(synth.MSRA_LIKE, forearm=0.0)


@pytest.fixture(scope="module")
def rendered():
    return synth.frames(range(6), 3, "msra", BARE, subjects=[8])


@pytest.fixture(scope="module")
def frames(rendered):
    return [rendered.frame(row) for row in range(len(rendered))]


def measured(joints, frames, rendered, cube=250.0):
    return label_free.measures(joints, frames, rendered.centre, cube, MSRA)


def test_the_way_to_a_bone_is_the_shortest_to_any_place_along_it(rendered):
    """Against many places along each bone, which lie at most `step` apart."""
    joints = rendered.joints[0].double()  # float32 is too coarse for what is compared here
    points = joints.mean(0) + 60 * torch.randn(
        200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    child, parent = map(list, zip(*MSRA.bones))
    along = torch.linspace(0, 1, 201)[:, None, None]
    places = joints[parent] + along * (joints[child] - joints[parent])
    step = (joints[child] - joints[parent]).norm(dim=1).max() / 200
    found, sampled = (
        label_free.to_bones(points, joints, MSRA),
        torch.cdist(points, places.flatten(0, 1)).amin(1),
    )
    assert (found <= sampled + 1e-4).all() and (sampled - found <= step).all()
    assert label_free.to_bones(joints, joints, MSRA).max() < 1e-3


def test_a_bone_without_length_is_a_point():
    joints = torch.zeros(21, 3)
    points = torch.tensor([[3.0, 4.0, 0.0]])
    assert label_free.to_bones(points, joints, MSRA).item() == pytest.approx(5)


def test_true_joints_lie_on_the_hand_and_under_its_skin(rendered, frames):
    """No joint is deeper than the thickest part of a hand, and a hand without a forearm is covered
    by its bones.
    """
    seen = measured(rendered.joints, frames, rendered)
    assert (seen["on_hand"] == 1).all()
    assert (seen["to_surface"] > 0).all() and seen["to_surface"].median() < label_free.COVER
    assert (seen["covered"] > 0.9).all()


def test_joints_put_on_measured_points_are_at_the_surface(rendered, frames):
    frame = frames[0]
    v, u = (frame.depth > 0).nonzero()[::50].T[:, :21]
    points = label_free.depth_to_points(frame.depth[None], frame.camera)[0][v, u]
    seen = measured(points[None], frames[:1], replace(rendered, centre=rendered.centre[:1]))
    assert seen["to_surface"].max() < 1e-4 and seen["on_hand"].item() == 1


def test_each_joint_beside_the_hand_counts_once(rendered, frames):
    joints = rendered.joints.clone()
    joints[:, [4, 8]] += torch.tensor([400.0, 0.0, 0.0])
    assert torch.allclose(measured(joints, frames, rendered)["on_hand"], torch.tensor(19 / 21))


def test_what_the_hand_is_does_not_depend_on_the_answer(rendered, frames):
    """What lies beyond the cube does not count: without the half of the image that is behind it,
    the same.
    """
    behind = [
        replace(frame, depth=torch.where(frame.depth > 0, frame.depth, 5000.0)) for frame in frames
    ]
    here, there = (
        measured(rendered.joints, frames, rendered),
        measured(rendered.joints, behind, rendered),
    )
    assert all(torch.equal(here[name], there[name]) for name in here)


def test_a_point_in_the_middle_is_on_every_hand_and_covers_none(rendered, frames):
    """Why the share on the hand alone says little."""
    middle = rendered.joints.mean(1, keepdim=True).expand(-1, 21, -1)
    seen, true = measured(middle, frames, rendered), measured(rendered.joints, frames, rendered)
    assert seen["on_hand"].mean() > 0.8 and (seen["covered"] < 0.5 * true["covered"]).all()


def test_looking_once_is_what_the_network_says(frames):
    network, record = pretrained.load("jgr_p2o")
    cube = record["protocol"]["cube"]
    joints, centre = label_free.predict(network, frames, cube, "stored", 1)
    crops = prepare.batch(frames, cube, "stored")
    with torch.inference_mode():
        assert torch.equal(joints, network.decode(network(network.encode(crops)), crops))
    assert torch.equal(centre, torch.stack([frame.centre for frame in frames]))


def test_looking_again_is_looking_around_what_was_found(frames):
    network, record = pretrained.load("jgr_p2o")
    cube = record["protocol"]["cube"]
    once, centre = label_free.predict(network, frames, cube, "outline", 1)
    around = [replace(frame, centre=hand.mean(0)) for frame, hand in zip(frames, once)]
    twice, first = label_free.predict(network, frames, cube, "outline", 2)
    assert torch.equal(twice, label_free.predict(network, around, cube, "stored", 1)[0])
    assert torch.equal(first, centre), "the first centre stays what the hand is"


def test_bad_input_gets_one_error(rendered, frames):
    with pytest.raises(HandPoseError, match="5 hands and 6 centres for 6 frames"):
        measured(rendered.joints[:5], frames, rendered)
    empty = DepthFrame(torch.zeros_like(frames[0].depth), frames[0].camera, id="nothing")
    with pytest.raises(HandPoseError, match="frame nothing: no measured point"):
        label_free.measures(rendered.joints[:1], [empty], rendered.centre[:1], 250.0, MSRA)
