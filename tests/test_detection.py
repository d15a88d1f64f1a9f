"""The hand detector: its geometry, its law, its errors, and that it learns."""

import pytest
import torch

from handpose_lib import detection, prepare, synth
from handpose_lib.camera import preset, xyz_to_uvd
from handpose_lib.detection import Config, Detector
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.nets.heatmap import cones

TINY = Config(channels=8, depth=2)


def frames(count=4, protocol="msra", distribution="wide_view", seed=3):
    return synth.frames(range(count), seed=seed, protocol=protocol, distribution=distribution)


def true_maps(detector, rendered, step):
    """What the network should say of frames."""
    cameras = rendered.camera.intrinsics(rendered.depth).expand(len(rendered), 4)
    _, _, seen = detector.maps(rendered.depth, step)
    uv = xyz_to_uvd(rendered.joints, cameras)[..., :2]
    heat = cones((uv / step - 1.5) / 4, *seen.shape[-2:], detection.RADIUS)
    return heat, (rendered.joints.mean(1)[:, 2, None, None] - seen) / 100, seen, cameras


@pytest.mark.parametrize(("protocol", "step"), [("msra", 2), ("sr305", 4), ("hands17", 4)])
@torch.no_grad()
def test_reading_true_maps_finds_the_hand(protocol, step):
    """The median of the joints is within 20 mm of their mean, whatever the camera: that is the read-out's own error."""
    detector, rendered = Detector(TINY), frames(16, protocol)
    assert detection._steps(rendered.camera.intrinsics().expand(2, 4)).tolist() == [step, step]
    heat, behind, seen, cameras = true_maps(detector, rendered, step)
    found = detector.read(heat, behind.nan_to_num(posinf=0, neginf=0), seen, cameras, step)
    mean = rendered.joints.mean(1)
    assert (found - mean).norm(dim=1).max() < 20
    assert (found - mean)[:, 2].abs().max() < 0.5                      # depth is told exactly


def test_maps_of_the_network_have_the_shape_of_the_true_ones():
    detector, rendered = Detector(TINY), frames(2)
    heat, behind, seen, _ = true_maps(detector, rendered, 2)
    said = detector.maps(rendered.depth, 2)
    assert [t.shape for t in said] == [heat.shape, behind.shape, seen.shape]
    odd = detector.maps(rendered.depth[:, :237, :315], 2)              # any size of image
    assert odd[0].shape[-2:] == odd[2].shape[-2:]


def test_what_the_network_sees_by_hand():
    """A step of 30 mm in front of a wall at 900 mm, and a pixel that was not measured."""
    depth = torch.full((1, 40, 40), 900.0)
    depth[0, :, 30:] = 870.0
    depth[0, 3, 3] = 0.0
    seen = detection.image(depth)
    assert seen.shape == (1, 2, 40, 40)
    assert seen[0, 0, 0, 0].item() == pytest.approx(1 - 900 / 1500) and seen[0, 0, 3, 3] == 0
    assert seen[0, 1, 20, 30].item() == pytest.approx((detection_mean(depth, 20, 30) - 870) / detection.RELIEF, abs=1e-4)
    assert seen[0, 1, 3, 3] == -1                                      # far, where its surroundings are near


def detection_mean(depth, row, column):
    window = depth[0, max(row - 15, 0): row + 16, max(column - 15, 0): column + 16]
    return window.where(window > 0, detection.FAR).mean().item()


def test_seen_is_the_nearest_surface_of_each_pixel_of_the_maps():
    depth = torch.zeros(1, 16, 16)
    depth[0, 2, 2], depth[0, 3, 0], depth[0, 8, 8] = 500.0, 700.0, 2000.0
    seen = Detector(TINY).eval().maps(depth, 1)[2]
    assert seen.shape == (1, 4, 4) and seen[0, 0, 0] == 500
    assert seen.isfinite().sum() == 1                                  # nothing else, and what is too far does not count


def test_a_detector_is_what_locate_asks_for():
    detector, rendered = Detector(TINY).eval(), frames(3)
    centre = prepare.locate(rendered.depth, rendered.camera, detector=detector)
    assert centre.shape == (3, 3) and centre.isfinite().all() and (centre[:, 2] > 0).all()
    cameras = torch.stack([preset("msra").intrinsics(), preset("sr305").intrinsics(), preset("msra").intrinsics()])
    mixed = detector(rendered.depth, cameras)                          # several cameras in one batch
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
    apart = (detector(rendered.depth, cameras) - rendered.joints.mean(1)).norm(dim=1)   # as it trains: too few updates for running statistics
    assert apart.max() < detection.WITHIN


def test_training_counts_its_steps_and_is_judged_on_others():
    detector = Detector(TINY)
    curve = detection.train(detector, frames=24, batch=4, distribution="wide_view", device="cpu", progress=False)
    assert [entry["step"] for entry in curve] == [1, 2, 3, 4, 5, 6] and set(curve[0]) == {"step", "heat", "depth", "total"}
    assert not detector.training
    found = detection.rates({"detector": detector, "mass": None}, frames=8, distribution="wide_view")
    assert set(found) == {"detector", "mass"} and all(0 <= rate <= 1 for rate in found.values())
    assert set(detection.SUBJECTS).isdisjoint(detection.HELD_OUT)


def test_a_perfect_way_is_always_right():
    rendered = synth.frames(range(4), seed=1, subjects=detection.HELD_OUT, distribution=detection.CLUTTERED)

    def oracle(depth, cameras):
        return rendered.joints.mean(1)

    assert detection.rates({"oracle": oracle}, frames=4) == {"oracle": 1.0}
    assert detection.misses({"oracle": oracle}, frames=4)["oracle"].max() == 0


def test_saved_and_loaded_it_is_the_same(tmp_path):
    detector, rendered = Detector(TINY).eval(), frames(2)
    detector.load_state_dict({name: value.half().to(value.dtype) for name, value in detector.state_dict().items()})
    detection.save(detector, {"held_out": {"rates": {}}}, tmp_path)
    again = detection.load(tmp_path)
    assert not again.training and again.config == TINY
    cameras = rendered.camera.intrinsics(rendered.depth).expand(2, 4)
    assert torch.equal(again(rendered.depth, cameras), detector(rendered.depth, cameras))


@pytest.mark.parametrize("damage", ["record.json", "weights.safetensors", "config"])
def test_what_is_damaged_is_named(tmp_path, damage):
    detection.save(Detector(TINY), {}, tmp_path)
    if damage == "config":
        (tmp_path / "record.json").write_text('{"config": {"joints": 14}}')
    else:
        (tmp_path / damage).unlink()
    with pytest.raises(DataError, match="detector of this kind" if damage == "config" else damage.replace(".", r"\.")):
        detection.load(tmp_path)


def test_bad_input():
    with pytest.raises(HandPoseError, match="channels 12.*multiples of 8"):
        Config(channels=12)
    with pytest.raises(HandPoseError, match="centre.*mass, outline"):
        detection.rates({"centre": None}, frames=1)


def test_it_is_small():
    weights = sum(p.numel() for p in Detector().state_dict().values())
    assert 2 * weights < 2_000_000                                     # bytes, in 16 bits
