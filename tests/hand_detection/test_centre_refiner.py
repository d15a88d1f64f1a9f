"""Refining a centre: its network, its laws, its errors, and that it learns."""

from dataclasses import replace

import pytest
import torch

from handpose_lib import prepare, synth
from handpose_lib.camera import uvd_to_xyz, xyz_to_uvd
from handpose_lib.errors import HandPoseError
from handpose_lib.hand_detection import centre_refiner, trained
from handpose_lib.hand_detection.centre_refiner import CentreRefiner, Config
from handpose_lib.results import records
from pipeline.experiments import train_centre_refiner as script

TINY = Config(width=8)


def frames(count=4, setup="msra", distribution="wide_view", seed=3):
    return synth.frames(range(count), seed=seed, setup=setup, distribution=distribution)


def crude(rendered):
    """Places near the hands, with their cameras."""
    return rendered.joints.mean(1) + torch.tensor([20.0, -15.0, 10.0]), rendered.camera.intrinsics(
        rendered.depth
    ).expand(len(rendered), 4)


def crops(rendered, centre):
    return prepare.crop(
        rendered.depth, rendered.camera, centre, TINY.cube, rendered.joints, margin=1.0
    )


def opinionated(config=TINY):
    """Return a network that moves centres; an untrained one does not."""
    refiner = CentreRefiner(config).eval()
    torch.nn.init.normal_(last_layer(refiner).weight, std=0.1)
    return refiner


def saying(refiner, offset):
    """Return the network, made to predict this offset for every input."""
    torch.nn.init.zeros_(last_layer(refiner).weight)
    last_layer(refiner).bias.data = torch.tensor(offset)
    return refiner


def last_layer(refiner):
    layer = refiner.head[-1]
    assert isinstance(layer, torch.nn.Linear)
    return layer


@pytest.mark.parametrize(
    ("network", "features"),
    [("three windows", 8 * (11**2 + 11**2 + 8**2)), ("one window", 8 * 11**2)],
)
def test_parameters_by_hand(network, features):
    """Unpadded: 128 → 124/4 = 31 → 27/2 = 13 → 11, 64 → 60/2 = 30 → 26/2 = 13 → 11, 32 → 28/2 = 14
    → 10 → 8.
    """
    branch = (25 + 1) * 8 + (25 * 8 + 1) * 8 + (9 * 8 + 1) * 8
    wanted = (
        branch * (3 if network == "three windows" else 1)
        + (features + 1) * 1024
        + 1025 * 1024
        + 1025 * 3
    )
    refiner = CentreRefiner(Config(network, width=1024, dropout=0.5))
    assert sum(p.numel() for p in refiner.parameters()) == wanted
    assert [part.p for part in refiner.modules() if isinstance(part, torch.nn.Dropout)] == [
        0.5,
        0.5,
    ]


@pytest.mark.parametrize("setup", ["msra", "hands17"])
def test_it_is_what_locate_asks_for(setup):
    """Any camera, any batch: a frame's answer is the same alone."""
    refiner, rendered = opinionated(), frames(3, setup)
    crude_ = prepare.locate(rendered.depth, rendered.camera)
    centre = prepare.locate(rendered.depth, rendered.camera, refine=refiner)
    assert centre.shape == (3, 3) and centre.isfinite().all()
    assert (centre - crude_).norm(dim=1).min() > 1
    alone = prepare.locate(rendered.depth[1:2], rendered.camera, refine=refiner)
    torch.testing.assert_close(alone[0], centre[1], rtol=0, atol=0.01)


def test_an_untrained_network_leaves_the_centre():
    rendered = frames()
    centre, cameras = crude(rendered)
    torch.testing.assert_close(
        CentreRefiner(TINY)(rendered.depth, cameras, centre), centre, rtol=0, atol=1e-3
    )


def test_what_it_says_is_a_place_in_the_cube():
    """Half of the cube's half, 75 mm, behind the crude centre, and as many to its right, at the
    depth of the centre.
    """
    rendered = frames()
    centre, cameras = crude(rendered)
    behind = saying(CentreRefiner(TINY), [0.0, 0.0, 0.5])(rendered.depth, cameras, centre)
    torch.testing.assert_close(
        behind[:, 2] - centre[:, 2], torch.full((4,), 75.0), rtol=0, atol=1e-2
    )
    torch.testing.assert_close(
        xyz_to_uvd(behind, cameras)[:, :2], xyz_to_uvd(centre, cameras)[:, :2], rtol=0, atol=1e-2
    )
    right = saying(CentreRefiner(TINY), [0.5, 0.0, 0.0])(rendered.depth, cameras, centre)
    torch.testing.assert_close(right, centre + torch.tensor([75.0, 0.0, 0.0]), rtol=0, atol=1e-2)


def test_scene_and_centre_moved_together_move_the_answer():
    """By whole pixels at one depth: the network sees the same crop, and its answer moves as far in
    the image.
    """
    refiner, rendered, (down, right) = opinionated(), frames(), (7, -9)
    rendered.depth[:, :12] = rendered.depth[:, -12:] = rendered.depth[:, :, :12] = rendered.depth[
        :, :, -12:
    ] = 0
    centre, cameras = crude(rendered)
    shift = torch.tensor([right, down, 0.0])
    moved = uvd_to_xyz(xyz_to_uvd(centre, cameras) + shift, cameras)
    answer = refiner(torch.roll(rendered.depth, (down, right), (1, 2)), cameras, moved)
    wanted = xyz_to_uvd(refiner(rendered.depth, cameras, centre), cameras) + shift
    torch.testing.assert_close(xyz_to_uvd(answer, cameras), wanted, rtol=0, atol=0.02)


def test_a_finer_camera_of_the_same_scene_gives_the_same_answer():
    """Every pixel four times, focal length and principal point to match: the crop is the same."""
    refiner, rendered = opinionated(), frames()
    centre, cameras = crude(rendered)
    finer = torch.cat((2 * cameras[:, :2], 2 * cameras[:, 2:] + 0.5), 1)
    depth = rendered.depth.repeat_interleave(2, 1).repeat_interleave(2, 2)
    answer, wanted = refiner(depth, finer, centre), refiner(rendered.depth, cameras, centre)
    torch.testing.assert_close(
        answer, wanted, rtol=0, atol=1.0
    )  # a pixel on a border may fall to either side


def test_gradients_reach_every_parameter_and_the_loss_is_that_of_the_truth():
    rendered, refiner = frames(), opinionated()
    centre, cameras = crude(rendered)
    losses = refiner.loss(crops(rendered, centre))
    losses["total"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in refiner.parameters())
    apart = (refiner(rendered.depth, cameras, centre) - rendered.joints.mean(1)).norm(dim=1)
    assert losses["error_mm"].item() == pytest.approx(apart.mean().item(), rel=1e-4)
    still = CentreRefiner(TINY).loss(crops(rendered, rendered.joints.mean(1)))
    assert still["error_mm"] < 1e-3 and still["total"] < 1e-8  # what is right already costs nothing


def test_a_centre_that_lost_the_hand_does_not_count():
    rendered, refiner = frames(), opinionated()
    centre = crude(rendered)[0]
    seen = crops(rendered, torch.cat((centre[:3], centre[3:] + torch.tensor([0.0, 0.0, 400.0]))))
    both, kept = (refiner.loss(seen.index(slice(0, n))) for n in (4, 3))
    for name in both:
        assert both[name].item() == pytest.approx(kept[name].item(), rel=1e-4)
    none = refiner.loss(seen.index(slice(3, 4)))
    assert none["total"] == 0 and none["error_mm"] == 0


def test_turned_and_mirrored_the_truth_is_the_same_place():
    """An answer that is right in one view is right in every view of the same crop: the loss of the
    truth is 0.
    """
    rendered = frames()
    seen = crops(rendered, rendered.joints.mean(1))
    seen = prepare.augment(
        replace(seen, mirror=-seen.mirror), torch.Generator().manual_seed(0), translation=0.0
    )
    losses = CentreRefiner(TINY).loss(seen)
    assert losses["error_mm"] < 1e-3 and losses["total"] < 1e-8
    moved = replace(seen, centre=seen.centre + torch.tensor([0.0, 0.0, 30.0]))
    assert CentreRefiner(TINY).loss(moved)["error_mm"].item() == pytest.approx(
        30, rel=0.1
    )  # and nearly so along the ray


def test_it_learns_a_handful_of_centres():
    """8 crops by heart, 60 updates: a fifth of the distance is left."""
    torch.manual_seed(0)
    rendered, refiner = frames(8), CentreRefiner(Config(width=64))
    seen = crops(rendered, prepare.locate(rendered.depth, rendered.camera))
    optimiser = torch.optim.AdamW(refiner.parameters(), lr=2e-3)
    curve = []
    for _ in range(60):
        losses = refiner.loss(seen)
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
        curve.append(losses["error_mm"].item())
    assert curve[-1] < curve[0] / 5


def test_training_is_the_same_twice_and_judged_on_others():
    def trained_once():
        torch.manual_seed(1)
        refiner = CentreRefiner(Config(width=8, dropout=0.2))
        curve = centre_refiner.train(refiner, frames=12, batch=4, device="cpu", progress=False)
        return refiner, curve

    refiner, first = trained_once()
    torch.rand(1)  # what was drawn elsewhere changes nothing
    curves = [first, trained_once()[1]]
    assert curves[0] == curves[1] and not refiner.training
    assert [entry["step"] for entry in curves[0]] == [1, 2, 3, 4, 5, 6] and set(curves[0][0]) == {
        "step",
        "error_mm",
        "total",
    }
    found = centre_refiner.centre_errors(refiner, frames=8)
    assert {name: apart.shape for name, apart in found.items()} == {"crude": (8,), "refined": (8,)}
    assert set(centre_refiner.SUBJECTS).isdisjoint(centre_refiner.HELD_OUT)


def test_measures_of_the_truth_and_of_doing_nothing():
    rendered = synth.frames(
        range(4), seed=1, subjects=centre_refiner.HELD_OUT, distribution="wide_view"
    )
    right = centre_refiner.centre_errors(
        lambda depth, cameras, centre: rendered.joints.mean(1), frames=4
    )
    assert right["refined"].max() == 0 and centre_refiner.summary(right)["closer"] == 1
    nothing = centre_refiner.summary(
        centre_refiner.centre_errors(lambda depth, cameras, centre: centre, frames=4)
    )
    assert nothing["refined_mean_mm"] == nothing["crude_mean_mm"] > 0 and nothing["closer"] == 0


def test_the_recorded_network_brings_centres_closer_on_a_held_out_person():
    """Means over 64 frames that it has not seen."""
    refiner = trained.load("centre_refiner")
    found = centre_refiner.summary(centre_refiner.centre_errors(refiner, frames=64, seed=11))
    assert found["refined_mean_mm"] < found["crude_mean_mm"] and found["closer"] > 0.5


def test_bad_input():
    for name, wrong, message in (
        ("network", "two windows", "two windows.*three windows, one window"),
        ("width", 0, "width 0.*from 1"),
        ("cube", -1.0, "cube -1.0.*mm > 0"),
        ("dropout", 1.0, "dropout 1.0.*share"),
    ):
        with pytest.raises(HandPoseError, match=message):
            replace(TINY, **{name: wrong})
    with pytest.raises(HandPoseError, match="centre.*mass, outline"):
        centre_refiner.train(CentreRefiner(TINY), method="centre", progress=False)
    rendered = frames(2)
    centre, cameras = crude(rendered)
    with pytest.raises(HandPoseError, match=r"centre of shape \(1, 3\)"):
        CentreRefiner(TINY)(rendered.depth, cameras, centre[:1])
    with pytest.raises(HandPoseError, match="in front of the camera"):
        CentreRefiner(TINY)(rendered.depth, cameras, -centre)


def test_the_book_s_network_is_small():
    assert 2 * sum(p.numel() for p in CentreRefiner().parameters()) < 2_000_000  # bytes, in 16 bits


def test_the_script_trains_keeps_and_reports(tmp_path, capsys):
    assert (
        script.main(
            [
                "--frames",
                "4",
                "--batch",
                "2",
                "--width",
                "8",
                "--held-out",
                "4",
                "--network",
                "one window",
                "--device",
                "cpu",
                "--out",
                str(tmp_path / "kept"),
            ]
        )
        == 0
    )
    assert "refined" in capsys.readouterr().out
    record = records.load(tmp_path / "kept", "centre_refiner")
    assert (
        record["training"]["frames"] == 4
        and record["held_out"]["frames"] == 4
        and record["held_out"]["synthetic"]
    )
    assert trained.load("centre_refiner", tmp_path / "kept").config == Config("one window", width=8)
    with pytest.raises(SystemExit):
        script.main(["--network", "two windows"])
    assert "one window" in capsys.readouterr().err
