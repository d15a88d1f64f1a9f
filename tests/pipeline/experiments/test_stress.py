"""The stress experiment changes one factor and nothing else; its record is whole."""

import itertools

import pytest
import torch

from handpose_lib import paths
from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import viewpoint
from handpose_lib.hand_detection import trained
from handpose_lib.results import pretrained, records
from handpose_lib.skeleton import get
from pipeline.experiments import replay, stress

MSRA = get("msra21")


@pytest.fixture(scope="module")
def scene():
    return stress.Scene(4)


@pytest.fixture(scope="module")
def cut(scene):
    """factor → setting → crops, of the same four frames."""
    ((indices, given),) = scene.batches()
    return {
        factor: scene.crops(factor, indices, given, 250.0, trained.load("centre_refiner"))
        for factor in stress.FACTORS
    }


def direction(joints):
    middle = joints.mean(1)
    return torch.atan2(middle[:, :2].norm(dim=1), middle[:, 2]).rad2deg()


@pytest.mark.parametrize("factor", ["place", "turned"])
def test_the_hand_is_put_under_the_angle_asked_for(cut, factor):
    for degrees, crops in cut[factor].items():
        assert torch.allclose(direction(crops.joints), torch.full((4,), degrees), atol=0.01)
        sides = crops.joints.mean(1)[:, 0].sign()
        assert degrees == 0 or set(sides.tolist()) == {-1.0, 1.0}, "to the left and to the right"


def test_a_moved_hand_keeps_pose_direction_and_depth(cut):
    straight, *others = cut["place"].values()
    for crops in others:
        shift = crops.joints - straight.joints
        assert (shift - shift[:, :1]).abs().max() < 1e-3 and shift[..., 1:].abs().max() < 1e-3


def test_a_turned_hand_keeps_its_side_and_distance(cut):
    """Seen along the way to it, every joint is where it was: the same distances among the joints
    and the camera, no other.
    """
    straight, *others = cut["turned"].values()
    for crops in others:
        with_camera = [
            torch.cat((hand, torch.zeros(4, 1, 3)), 1).double()
            for hand in (straight.joints, crops.joints)
        ]
        assert (
            torch.cdist(with_camera[0], with_camera[0])
            - torch.cdist(with_camera[1], with_camera[1])
        ).abs().max() < 2e-3
        apart = viewpoint.yaw_pitch(crops.joints, MSRA) - viewpoint.yaw_pitch(straight.joints, MSRA)
        assert (apart.abs().amax(1) > 0.01).all(), "but not the same in the camera's axes"


def test_a_stored_centre_misses_by_the_same_wherever_the_hand_is(cut):
    for factor in ("place", "turned"):
        misses = [crops.centre - crops.joints.mean(1) for crops in cut[factor].values()]
        assert all(torch.allclose(miss, misses[0], atol=1e-3) for miss in misses)


@pytest.mark.parametrize("factor", ["light", "holes"])
def test_a_worse_sensor_measures_less_and_moves_nothing(cut, factor):
    measured = [(crops.depth > 0).flatten(1).sum(1) for crops in cut[factor].values()]
    assert (measured[-1] < 0.9 * measured[0]).all()
    if factor == "holes":  # ragged edges of structured light win a pixel here and there
        assert all((after < before).all() for before, after in itertools.pairwise(measured))
    assert len({tuple(crops.joints.flatten().tolist()) for crops in cut[factor].values()}) == 1


def test_holes_have_the_share_asked_for(scene):
    """Of the whole image, where the noise is smooth over some pixels: within a quarter."""
    whole = torch.full((4, scene.camera.height, scene.camera.width), 400.0)
    for share in stress.FACTORS["holes"][1:]:
        assert (stress.sensors.holes(whole, 0, share) == 0).float().mean().item() == pytest.approx(
            share, rel=0.25
        )


def test_an_offset_is_as_long_as_it_says(cut):
    for distance, crops in cut["offset"].items():
        assert torch.allclose(
            (crops.centre - crops.joints.mean(1)).norm(dim=1), torch.full((4,), distance), atol=1e-2
        )


def test_centres_differ_and_images_do_not(cut):
    crops = cut["centre"]
    assert torch.equal(crops["true"].centre, crops["true"].joints.mean(1))
    misses = {
        way: (c.centre - c.joints.mean(1)).norm(dim=1).mean().item() for way, c in crops.items()
    }
    assert misses["true"] == 0 < misses["stored"] and misses["refined"] < misses["mass"]


def test_errors_are_those_of_the_network(scene):
    networks = {"jgr_p2o": pretrained.load("jgr_p2o")}
    found = stress.errors(networks, scene, trained.load("centre_refiner"))
    assert {
        factor: [str(value) for value in values] for factor, values in stress.FACTORS.items()
    } == {factor: [*values] for factor, values in found.items()}
    ((indices, given),) = scene.batches()
    crops = scene.crops(
        "centre",
        indices,
        given,
        networks["jgr_p2o"].record["protocol"]["cube"],
        trained.load("centre_refiner"),
    )["true"]
    network = networks["jgr_p2o"].network
    with torch.inference_mode():
        again = (
            (network.decode(network(network.encode(crops)), crops) - crops.joints)
            .norm(dim=-1)
            .mean(1)
        )
    assert torch.allclose(found["centre"]["true"]["jgr_p2o"], again, atol=1e-3)
    assert torch.allclose(
        found["centre"]["true"]["jgr_p2o"], found["offset"]["0.0"]["jgr_p2o"], atol=1e-3
    )


def test_the_kept_record_is_whole():
    record = records.load(paths.records() / "stress", "stress")
    assert set(record["networks"]) <= set(pretrained.names())
    assert {factor: [*values] for factor, values in record["errors_mm"].items()} == {
        factor: [str(v) for v in values] for factor, values in stress.FACTORS.items()
    }
    for values in record["errors_mm"].values():
        for by in values.values():
            assert set(by) == set(record["networks"])
            assert all(len(text.split()) == record["synthetic"]["frames"] for text in by.values())
    if record["real"]:
        assert all(
            len(known[name].split()) == record["real"]["frames"]
            for known in record["real"]["networks"].values()
            for name in ("on_hand", "median_to_surface_mm")
        )


def test_code_that_finds_the_same_takes_the_digest_and_other_code_does_not(scene, tmp_path):
    networks = {"jgr_p2o": pretrained.load("jgr_p2o")}
    found = stress.errors(networks, scene, trained.load("centre_refiner"))
    record = records.load(paths.records() / "stress", "stress")
    record |= {
        "synthetic": {"frames": 4},
        "networks": {"jgr_p2o": {"weights": stress._weights(networks["jgr_p2o"].record.folder)}},
        "code": {"modules": record["code"]["modules"], "digest": "0"},
        "errors_mm": {
            factor: {
                value: {name: stress._text(e) for name, e in by.items()}
                for value, by in values.items()
            }
            for factor, values in found.items()
        },
    }
    records.write(record, tmp_path)
    replay.replay(records.load(tmp_path))
    again = records.load(tmp_path)
    assert again["code"]["replayed"] == {"frames": 4, "instead_of": "0"}
    assert again["code"]["digest"] == records.code_digest(["pipeline/experiments/stress.py"])
    record["errors_mm"]["holes"]["0.1"]["jgr_p2o"] = " ".join(["1.0"] * 4)
    records.write(record, tmp_path)
    with pytest.raises(HandPoseError, match="jgr_p2o, holes 0.1"):
        replay.replay(records.load(tmp_path))
    record["networks"]["jgr_p2o"]["weights"] = "0"
    records.write(record, tmp_path)
    with pytest.raises(HandPoseError, match="other weights"):
        replay.replay(records.load(tmp_path))
    assert records.load(tmp_path)["code"]["digest"] == "0"
