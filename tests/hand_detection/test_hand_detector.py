"""The hand detector: its geometry, its law, its errors, and that it learns."""

import math

import pytest
import torch

from handpose_lib import prepare, synth
from handpose_lib.camera import uvd_to_xyz, xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.errors import HandPoseError
from handpose_lib.hand_detection import hand_detector, trained
from handpose_lib.hand_detection.hand_detector import Config, Detector
from handpose_lib.nets.heatmap import cones
from handpose_lib.results import records
from pipeline.experiments import train_detector

TINY = Config(channels=8, depth=2)


def frames(count=4, setup="msra", distribution="wide_view", seed=3):
    return synth.frames(range(count), seed=seed, setup=setup, distribution=distribution)


def true_maps(detector, rendered, step):
    """Return the maps that a perfect network would predict."""
    cameras = rendered.camera.intrinsics(rendered.depth).expand(len(rendered), 4)
    _, _, seen = detector.maps(rendered.depth, step)
    uv = xyz_to_uvd(rendered.joints, cameras)[..., :2]
    height, width = seen.shape[-2:]
    heat = cones((uv / step - 1.5) / 4, height, width, hand_detector.RADIUS)
    return heat, (rendered.joints.mean(1)[:, 2, None, None] - seen) / 100, seen, cameras


@pytest.mark.parametrize(("setup", "step"), [("msra", 2), ("sr305", 4), ("hands17", 4)])
@torch.no_grad()
def test_reading_true_maps_finds_the_hand(setup, step):
    """The median of the joints is within 20 mm of their mean, whatever the camera: that is the
    read-out's own error.
    """
    detector, rendered = Detector(TINY), frames(16, setup)
    assert hand_detector._steps(rendered.camera.intrinsics().expand(2, 4)).tolist() == [step, step]
    heat, behind, seen, cameras = true_maps(detector, rendered, step)
    found = detector.read(heat, behind.nan_to_num(posinf=0, neginf=0), seen, cameras, step)
    mean = rendered.joints.mean(1)
    assert (found - mean).norm(dim=1).max() < 20
    assert (found - mean)[:, 2].abs().max() < 0.5  # depth is told exactly


@torch.no_grad()
def test_where_joints_agree_comes_first_and_what_is_left_after_it():
    """Two groups of joints 300 mm apart: the larger one, then the other, then nothing, for which
    the median stands in.
    """
    detector, camera = Detector(TINY), torch.tensor([[240.0, 240.0, 160.0, 120.0]])
    heat, behind, seen = (
        torch.zeros(1, 21, 30, 40),
        torch.zeros(1, 30, 40),
        torch.full((1, 30, 40), 500.0),
    )
    for joint in range(21):
        heat[0, joint, 8 + joint % 2, 10 if joint < 12 else 32] = 1.0
    uv = torch.tensor([[10.0, 8.5], [32.0, 8.5]]) * 8 + 3.0
    groups = [uvd_to_xyz(torch.tensor([[[u, v, 500.0]]]), camera)[:, 0] for u, v in uv.tolist()]
    median = detector.read(heat, behind, seen, camera, 2)
    first, second, third = detector.agreements(heat, behind, seen, camera, 2, otherwise=median)
    assert (first - groups[0]).norm() < 2 and (
        second - groups[1]
    ).norm() < 2  # 9 joints: 5 of one row, 4 of the other
    assert torch.equal(third, median)
    seen[0, 8:10, 10] = torch.inf  # the larger group sees no surface
    first = detector.agreements(heat, behind, seen, camera, 2, otherwise=median)[0]
    assert (first - groups[1]).norm() < 2
    silent = detector.read(heat - 2, behind, seen, camera, 2)  # a network that is sure of nothing
    assert silent.isfinite().all()
    assert all(
        torch.equal(place, silent)
        for place in detector.agreements(heat - 2, behind, seen, camera, 2, otherwise=silent)
    )


class Oracle:
    """A second look that knows where the hands are."""

    def __init__(self, mean):
        self.mean = mean

    def look_at(self, crops):
        mean = self.mean.repeat_interleave(len(crops) // len(self.mean), 0)
        place = prepare.to_view(mean[:, None], crops)[:, 0]
        return place, -(crops.centre - mean).norm(dim=1)


@torch.no_grad()
def test_the_second_look_chooses_among_the_places_and_moves_to_the_hand(monkeypatch):
    detector, rendered = Detector(TINY).eval(), frames(4)
    cameras = rendered.camera.intrinsics(rendered.depth).expand(4, 4)
    mean = rendered.joints.mean(1)
    monkeypatch.setattr(detector, "look_at", Oracle(mean).look_at)
    torch.testing.assert_close(detector(rendered.depth, cameras), mean, atol=1e-2, rtol=0)
    right = torch.tensor([0, 1, 2, 3])  # which of the places is the hand
    places = [torch.where((right == k)[:, None], mean + 10, mean + 200) for k in range(4)]
    monkeypatch.setattr(detector, "places", lambda depth, cameras: places)
    monkeypatch.setattr(
        detector,
        "look_at",
        lambda crops: (torch.zeros(len(crops), 3), Oracle(mean).look_at(crops)[1]),
    )
    torch.testing.assert_close(detector(rendered.depth, cameras), mean + 10, atol=1e-2, rtol=0)

    def in_doubt(crops):  # goes half of the way
        place, sure = Oracle(mean).look_at(crops)
        return place / 2, sure

    monkeypatch.setattr(detector, "look_at", in_doubt)
    left = (detector(rendered.depth, cameras) - mean).norm(dim=1) / 300**0.5
    torch.testing.assert_close(
        left, torch.full((4,), 0.5 ** (1 + hand_detector.PASSES)), atol=0.01, rtol=0
    )


def test_a_second_look_learns_where_the_hand_is_and_where_none_is():
    """8 frames by heart, 40 updates: all terms of the loss fall, and what it says of cubes without
    a hand is lower.
    """
    torch.manual_seed(0)
    detector, rendered = Detector(Config(channels=16, depth=2)), frames(8)
    cameras = rendered.camera.intrinsics(rendered.depth).expand(8, 4)
    optimiser = torch.optim.AdamW(detector.look.parameters(), lr=3e-3)
    curve = []
    for step in range(40):
        loss = detector.look_loss(
            rendered.depth, cameras, rendered.joints, 4, torch.Generator().manual_seed(step)
        )
        optimiser.zero_grad()
        loss["total"].backward()
        optimiser.step()
        curve.append({name: term.item() for name, term in loss.items()})
    first, last = (
        {name: sum(entry[name] for entry in part) / 5 for name in curve[0]}
        for part in (curve[:5], curve[-5:])
    )
    assert (
        last["place"] < 0.8 * first["place"]
        and last["joints"] < 0.9 * first["joints"]
        and last["sure"] < 0.9 * first["sure"]
    )
    assert all(
        p.grad is None for name, p in detector.named_parameters() if not name.startswith("look")
    )


@torch.no_grad()
def test_what_the_loss_of_a_second_look_asks_for(monkeypatch):
    """A network that says 0 has even odds, and one that says the true joints nothing to learn."""
    detector, rendered = Detector(TINY).eval(), frames(4)
    cameras = rendered.camera.intrinsics(rendered.depth).expand(4, 4)
    loss = detector.look_loss(
        rendered.depth, cameras, rendered.joints, 1, torch.Generator().manual_seed(0)
    )
    assert loss["sure"].item() == pytest.approx(math.log(2))

    def true(crops):
        return prepare.to_view(rendered.joints.repeat(4, 1, 1), crops), torch.zeros(len(crops))

    monkeypatch.setattr(detector, "look_for_joints", true)
    loss = detector.look_loss(
        rendered.depth, cameras, rendered.joints, 4, torch.Generator().manual_seed(0)
    )
    assert (
        loss["joints"] < 1e-6 and loss["place"] < 0.01
    )  # the mean in the view is not quite the view of the mean
    points = hand_detector._standing_out(rendered.depth, cameras, torch.Generator().manual_seed(1))
    pixels = xyz_to_uvd(points[:, None], cameras)[:, 0]
    u, v = pixels[:, 0].round().long(), pixels[:, 1].round().long()
    torch.testing.assert_close(
        rendered.depth[torch.arange(4), v, u], pixels[:, 2]
    )  # a point that was measured


def test_maps_of_the_network_have_the_shape_of_the_true_ones():
    detector, rendered = Detector(TINY), frames(2)
    heat, behind, seen, _ = true_maps(detector, rendered, 2)
    said = detector.maps(rendered.depth, 2)
    assert [t.shape for t in said] == [heat.shape, behind.shape, seen.shape]
    odd = detector.maps(rendered.depth[:, :237, :315], 2)  # any size of image
    assert odd[0].shape[-2:] == odd[2].shape[-2:]


def test_what_the_network_sees_by_hand():
    """A step of 30 mm in front of a wall at 900 mm, and a pixel that was not measured."""
    depth = torch.full((1, 40, 40), 900.0)
    depth[0, :, 30:] = 870.0
    depth[0, 3, 3] = 0.0
    seen = hand_detector.image(depth)
    assert seen.shape == (1, 2, 40, 40)
    assert seen[0, 0, 0, 0].item() == pytest.approx(1 - 900 / 1500) and seen[0, 0, 3, 3] == 0
    assert seen[0, 1, 20, 30].item() == pytest.approx(
        (detection_mean(depth, 20, 30) - 870) / hand_detector.RELIEF, abs=1e-4
    )
    assert seen[0, 1, 3, 3] == -1  # far, where its surroundings are near


def detection_mean(depth, row, column):
    window = depth[0, max(row - 15, 0) : row + 16, max(column - 15, 0) : column + 16]
    return window.where(window > 0, hand_detector.FAR).mean().item()


def test_seen_is_the_nearest_surface_of_each_pixel_of_the_maps():
    depth = torch.zeros(1, 16, 16)
    depth[0, 2, 2], depth[0, 3, 0], depth[0, 8, 8] = 500.0, 700.0, 2000.0
    seen = Detector(TINY).eval().maps(depth, 1)[2]
    assert seen.shape == (1, 4, 4) and seen[0, 0, 0] == 500
    assert seen.isfinite().sum() == 1  # nothing else, and what is too far does not count


def test_a_detector_is_what_locate_asks_for():
    detector, rendered = Detector(TINY).eval(), frames(3)
    centre = prepare.locate(rendered.depth, rendered.camera, detector=detector)
    assert centre.shape == (3, 3) and centre.isfinite().all() and (centre[:, 2] > 0).all()
    cameras = torch.stack(
        [preset("msra").intrinsics(), preset("sr305").intrinsics(), preset("msra").intrinsics()]
    )
    mixed = detector(rendered.depth, cameras)  # several cameras in one batch
    torch.testing.assert_close(mixed[::2], centre[::2])
    empty = detector(torch.zeros_like(rendered.depth), cameras)
    assert empty.isfinite().all()


def test_it_learns_a_handful_of_images():
    """4 images by heart, 60 updates: half of the first loss is gone, and every hand is found."""
    torch.manual_seed(0)
    detector, rendered = Detector(Config(channels=16, depth=3)), frames(4)
    cameras = rendered.camera.intrinsics(rendered.depth).expand(4, 4)
    optimiser = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    curve = []
    for _ in range(60):
        loss = detector.loss(rendered.depth, cameras, rendered.joints)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    assert curve[-1] < curve[0] / 2
    apart = (detector.find(rendered.depth, cameras) - rendered.joints.mean(1)).norm(
        dim=1
    )  # as it trains: too few updates for running statistics
    assert apart.max() < hand_detector.WITHIN


def test_training_counts_its_steps_and_is_judged_on_others():
    detector = Detector(TINY)
    curve = hand_detector.train(
        detector, frames=24, batch=4, distribution="wide_view", device="cpu", progress=False
    )
    assert [entry["step"] for entry in curve] == [1, 2, 3, 4, 5, 6] and set(curve[0]) == {
        "step",
        "heat",
        "depth",
        "total",
    }
    assert not detector.training
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    curve = hand_detector.train_look(
        detector, frames=8, batch=4, looks=2, distribution="wide_view", device="cpu", progress=False
    )
    assert [entry["step"] for entry in curve] == [1, 2] and set(curve[0]) == {
        "step",
        "place",
        "joints",
        "sure",
        "total",
    }
    assert {
        name.split(".")[0]
        for name, value in detector.state_dict().items()
        if not torch.equal(value, before[name])
    } == {"look"}
    assert not detector.training and not detector.look.training
    found = hand_detector.success_rates(
        {"detector": detector, "first look": detector.find, "mass": None},
        frames=8,
        distribution="wide_view",
    )
    assert set(found) == {"detector", "first look", "mass"} and all(
        0 <= rate <= 1 for rate in found.values()
    )
    assert set(hand_detector.SUBJECTS).isdisjoint((*hand_detector.HELD_OUT, *hand_detector.OTHERS))


def test_a_perfect_way_is_always_right():
    rendered = synth.frames(
        range(4), seed=1, subjects=hand_detector.HELD_OUT, distribution=hand_detector.CLUTTERED
    )

    def oracle(depth, cameras):
        return rendered.joints.mean(1)

    assert hand_detector.success_rates({"oracle": oracle}, frames=4) == {"oracle": 1.0}
    assert hand_detector.centre_errors({"oracle": oracle}, frames=4)["oracle"].max() == 0


def test_a_scene_has_what_it_is_asked_for():
    scene = hand_detector.only("tabletop", "held")
    assert [getattr(scene, thing) for thing in hand_detector.THINGS] == [0, 0, 1, 0, 1, 0, 0]
    assert scene.distance == hand_detector.CLUTTERED.distance


def test_a_scene_without_its_hand_has_the_same_rest():
    """Before a wall nothing stands out any more where the hand was; elsewhere nothing changes."""
    wall = synth.Distribution(
        **{**vars(synth.MSRA_LIKE), "wall": 1.0, "sensors": {"ideal": 1.0}, "behind": (200, 300)}
    )
    rendered = synth.frames(range(6), seed=3, distribution=wall)
    empty = hand_detector.without_hands(rendered)
    hand = rendered.hand_depth > 0
    around = torch.nn.functional.max_pool2d(hand.float()[:, None], 21, 1, 10)[:, 0] > 0
    assert torch.equal(empty[~around], rendered.depth[~around])
    behind = empty - rendered.hand_depth
    assert (behind[hand & (empty > 0)] > 100).double().mean() > 0.95


def test_mirrored_batches_show_the_same_scene_to_a_camera_in_a_mirror():
    rendered = frames(3)
    cameras = rendered.camera.intrinsics().expand(3, 4)
    batch = hand_detector._Batch(rendered.depth, cameras, rendered.joints, rendered.depth)
    mirrored = batch.mirrored()
    uv, there = (xyz_to_uvd(one.joints, one.cameras)[..., :2] for one in (batch, mirrored))
    width = rendered.depth.shape[-1]
    torch.testing.assert_close(there[..., 0], width - 1 - uv[..., 0], atol=1e-3, rtol=0)
    torch.testing.assert_close(there[..., 1], uv[..., 1], atol=1e-3, rtol=0)
    assert torch.equal(mirrored.depth.flip(-1), rendered.depth)
    assert mirrored.empty is not None and torch.equal(mirrored.empty.flip(-1), rendered.depth)


@torch.no_grad()
def test_presence_tells_scenes_with_a_hand_from_those_without(monkeypatch):
    """A detector that measures how far its answer is from a hand separates both."""
    detector = Detector(TINY).eval()
    given = synth.frames(
        range(4),
        seed=4,
        distribution=hand_detector.CLUTTERED,
        subjects=hand_detector.OTHERS,
    )

    def odds(depth, cameras, centre, cube=hand_detector.CUBE):
        return torch.where((depth == given.depth).flatten(1).all(1), 5.0, -5.0)

    monkeypatch.setattr(detector, "odds", odds)
    found = hand_detector.presence(detector, 4)
    assert (found["hand"] > 0.99).all() and (found["none"] < 0.01).all()


def test_bad_input():
    with pytest.raises(HandPoseError, match="sofa.*wall, person"):
        hand_detector.only("sofa")
    with pytest.raises(HandPoseError, match="channels 12.*multiples of 8"):
        Config(channels=12)
    with pytest.raises(HandPoseError, match="centre.*mass, outline"):
        hand_detector.success_rates({"centre": None}, frames=1)


def test_it_is_small():
    weights = sum(p.numel() for p in Detector().state_dict().values())
    assert 2 * weights < 2_000_000  # bytes, in 16 bits


def test_another_round_goes_on_with_what_is_kept_and_judging_leaves_it(tmp_path, capsys):
    def train(*options):
        assert (
            train_detector.main(
                [
                    "--channels",
                    "8",
                    "--batch",
                    "4",
                    "--held-out",
                    "4",
                    "--out",
                    str(tmp_path),
                    *options,
                ]
            )
            == 0
        )
        found = trained.load("hand_detector", tmp_path)
        return records.load(tmp_path, "hand_detector"), found.state_dict()

    first, before = train("--frames", "8", "--look-frames", "8")
    more, after = train("--more", "--only", "second", "--seed", "1", "--look-frames", "12")
    assert more["training"] == first["training"] and more["curve"] == first["curve"]
    assert more["second_look"]["frames"] == 20 and [
        each["seed"] for each in more["second_look"]["rounds"]
    ] == [0, 1]
    assert [entry["step"] for entry in more["look_curve"]] == [1, 2, 3, 4, 5]
    assert {
        name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])
    } == {"look"}
    with pytest.raises(HandPoseError, match="seed 0: a round with this seed"):
        train("--more", "--look-frames", "8", "--only", "second")
    judged, same = train("--judge")
    assert judged["held_out"] == more["held_out"] and all(
        torch.equal(value, after[name]) for name, value in same.items()
    )
