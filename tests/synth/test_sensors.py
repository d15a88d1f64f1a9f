"""Sensor models and surroundings: their formulas hold on scenes with a known answer."""

import math

import numpy as np
import pytest
import torch

from handpose_lib.camera import Camera
from handpose_lib.dataset_specs import preset
from handpose_lib.errors import HandPoseError
from handpose_lib.synth import hashing
from handpose_lib.synth.hands import hand
from handpose_lib.synth.scene import raycast, sensors, surroundings
from handpose_lib.synth.scene.raycast import Solids

CAMERA = preset("msra")
SIZE = (CAMERA.height, CAMERA.width)


def flat(*distances):
    """Walls at right angles to the view."""
    return torch.tensor(distances)[:, None, None].expand(-1, *SIZE).clone()


def post(near=400.0, far=600.0):
    """An upright post of 40 pixels in front of a wall."""
    scene = flat(far)
    scene[:, :, 140:180] = near
    return scene


# --- What all sensors share ---------------------------------------------------


@pytest.mark.parametrize("name", sensors.SENSORS)
def test_strength_zero_is_the_identity(name):
    assert torch.equal(sensors.SENSORS[name](post(), CAMERA, strength=0.0), post())


@pytest.mark.parametrize("name", sensors.SENSORS)
def test_noise_belongs_to_the_image_not_to_the_batch(name):
    images = torch.cat([post(), flat(500.0), post(350.0, 900.0)])
    keys, strength = hashing.keys(5, [3, 1, 4]), torch.tensor([0.5, 1.0, 1.5])
    together = sensors.SENSORS[name](images, CAMERA, keys, strength)
    for i in range(3):
        alone = sensors.SENSORS[name](
            images[i : i + 1], CAMERA, keys[i : i + 1], strength[i : i + 1]
        )
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("name", sensors.SENSORS)
def test_nothing_stays_nothing_and_depth_stays_positive(name):
    image = torch.zeros(1, *SIZE)
    assert torch.equal(sensors.SENSORS[name](image, CAMERA, strength=2.0), image)
    measured = sensors.SENSORS[name](post(), CAMERA, strength=2.0)
    assert measured.isfinite().all() and (measured >= 0).all()


def test_different_seeds_give_different_noise():
    one, two = (sensors.time_of_flight(flat(500.0), CAMERA, seed) for seed in (1, 2))
    correlation = torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1]
    # 76,800 pixels with noise correlated over about 2 pixels: one standard deviation is below 0.02.
    assert abs(correlation) < 0.08


# --- Time of flight -----------------------------------------------------------


@pytest.mark.parametrize("distance", [300.0, 600.0, 1200.0])
def test_time_of_flight_noise_has_the_deviation_of_its_formula(distance):
    noise = sensors.time_of_flight(flat(distance), CAMERA, strength=1.0) - distance
    expected = 0.5 + 7 * (distance / 1000) ** 2
    # The noise itself makes neighbours differ, which counts as a little steepness.
    assert expected * 0.9 < noise.std() < expected * 1.5
    assert abs(noise.mean()) < 0.15 * expected


def test_time_of_flight_has_flying_pixels_at_edges_and_nowhere_else():
    measured = sensors.time_of_flight(post(), CAMERA, strength=0.5)
    between = (measured > 425) & (measured < 575)
    assert between[:, :, 139:141].float().mean() > 0.05
    between[:, :, 139:141] = between[:, :, 179:181] = False
    assert not between.any()


# --- Structured light ---------------------------------------------------------


def test_structured_light_measures_multiples_of_its_disparity_step():
    measured = sensors.structured_light(flat(613.0), CAMERA, strength=1.0, baseline=50.0)
    disparity = sensors.SENSOR_FOCAL * 50 / measured[measured > 0] * 16
    assert (disparity - disparity.round()).abs().max() < 1e-2
    # A step of disparity is z^2 / (16 f b) mm of depth; rounding and noise of 0.4 steps stay within
    # three.
    assert (measured[measured > 0] - 613).abs().max() < 3 * 613**2 / (
        16 * sensors.SENSOR_FOCAL * 50
    )


@pytest.mark.parametrize("baseline, shaded", [(50.0, "left"), (-50.0, "right")])
def test_the_shadow_lies_on_the_side_away_from_the_projector(baseline, shaded):
    measured = sensors.structured_light(post(), CAMERA, strength=0.3, baseline=baseline)
    # The shadow of the post is f b (1/near - 1/far) pixels wide, here 10.
    width = CAMERA.fx * 50 * (1 / 400 - 1 / 600)
    dark = (measured == 0).float().mean((0, 1))
    left, right = dark[140 - int(width) + 2 : 138].mean(), dark[182 : 180 + int(width) - 2].mean()
    assert (left, right)[shaded == "right"] > 0.95
    assert (left, right)[shaded == "left"] < 0.05


def test_grazing_surfaces_are_not_measured():
    """Most of a plane seen nearly edge-on, its tangent 7 against the image plane, is lost; one of
    tangent 1 is not.
    """
    for tangent, lost in ((1.0, False), (7.0, True)):
        normal = torch.tensor([tangent, 0.0, -1.0]) / math.hypot(tangent, 1)
        plane = torch.cat([normal, torch.tensor([-450.0 / math.hypot(tangent, 1)])])[None]
        image = surroundings.plane_depth(plane, CAMERA)[:, :, 155:165]
        measured = sensors.structured_light(image, CAMERA, strength=1.0)
        share = (measured[:, :, 2:-2] == 0).float().mean()
        assert (share > 0.6) if lost else (share < 0.05)


# --- Damage -------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2])
def test_holes_take_their_share(share):
    image = sensors.holes(flat(400.0, 500.0, 600.0), share=share)
    assert abs((image == 0).float().mean() - share) <= 0.35 * share


def test_smeared_edges_lie_half_way():
    image = sensors.mix_edges(post(400.0, 500.0), share=1.0, blend=0.5)
    assert (image[:, :, 139:141] == 450).all() and (image[:, :, 179:181] == 450).all()
    assert (image[:, :, 141:179] == 400).all() and (image[:, :, :139] == 500).all()


def test_ragged_edges_move_by_pixels_only():
    image = sensors.ragged(post(), reach=1.0)
    assert set(image.unique().tolist()) == {400.0, 600.0}
    changed = (image != post()).float().mean((0, 1))
    assert changed[138:142].max() > 0.1
    assert changed[:134].max() == 0 and changed[146:174].max() == 0  # six standard deviations away


def test_quantise_and_within():
    image = sensors.quantise(torch.tensor([[[401.0, 402.4, 0.0]]]), 4.0)
    assert image.tolist() == [[[400.0, 404.0, 0.0]]]
    assert sensors.within(torch.tensor([[[100.0, 400, 900]]]), 200, 800).tolist() == [[[0, 400, 0]]]


def test_missing_parts_are_discs_of_their_size():
    image = sensors.missing(
        flat(400.0), CAMERA, torch.tensor([[[0.0, 0, 400]]]), torch.tensor([[20.0]])
    )
    pixels = math.pi * (20 * CAMERA.fx / 400) ** 2
    assert abs((image == 0).sum() - pixels) < 0.1 * pixels and image[0, 120, 160] == 0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: sensors.time_of_flight(torch.zeros(3, 4), CAMERA), "depth"),
        (lambda: sensors.holes(flat(1.0), share=-0.1), "below 0"),
        (lambda: sensors.holes(flat(1.0), share=torch.zeros(2)), "one per image"),
        (lambda: sensors.ragged(flat(1.0), seed=hashing.keys(0, [1, 2])), "keys"),
        (lambda: sensors.structured_light(flat(1.0), CAMERA, baseline=0), "baseline"),
        (lambda: surroundings.plane_depth(torch.zeros(3), CAMERA), "planes"),
        (lambda: hashing.keys(-1, [0]), "whole numbers"),
        (lambda: hashing.keys(0, [-1]), "whole numbers"),
    ],
)
def test_bad_input_names_itself(call, message):
    with pytest.raises(HandPoseError, match=message):
        call()


# --- Surroundings -------------------------------------------------------------


@pytest.fixture(scope="module")
def posed():
    pose = torch.zeros(40, 26)
    pose[:, 2] = torch.linspace(320, 500, 40)
    pose[:, 3:6] = (hashing.uniform(hashing.keys(1, range(40)), "view", 3) - 0.5) * torch.tensor(
        [6.0, 2.5, 6.0]
    )
    return hand.posed(hand.subject(0), pose, forearm=100.0)


def draws(name, count):
    return hashing.uniform(hashing.keys(0, range(40)), name, count)


def test_a_plane_is_where_it_says(posed):
    planes = surroundings.wall(posed.spheres, draws("wall", 3))
    depth = surroundings.plane_depth(planes.double(), CAMERA)
    v, u = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    ray = torch.stack(
        [(u - CAMERA.u0) / CAMERA.fx, (v - CAMERA.v0) / CAMERA.fy, torch.ones(SIZE)], -1
    ).double()
    height = ((ray * depth[..., None]) * planes[:, None, None, :3].double()).sum(-1) - planes[
        :, None, None, 3
    ]
    assert height[depth > 0].abs().max() < 1e-6 * surroundings.FAR_MM


@pytest.mark.parametrize("make", [surroundings.wall, surroundings.table])
def test_walls_and_tables_hide_nothing_of_the_hand(make, posed):
    hands = raycast.depth(posed.solids(), CAMERA)
    behind = surroundings.plane_depth(make(posed.spheres, draws("plane", 3)), CAMERA)
    assert torch.equal(surroundings.merge(hands, behind)[hands > 0], hands[hands > 0])


def test_a_table_with_no_gap_touches_the_hand(posed):
    planes = surroundings.table(posed.spheres, draws("table", 3), gap=(0.0, 0.0))
    height = (
        (posed.spheres[..., :3] * planes[:, None, :3]).sum(-1)
        - posed.spheres[..., 3]
        - planes[:, 3:]
    )
    assert height.amin(1).abs().max() < 1e-3


def test_what_is_beside_touches_the_silhouette(posed):
    cones = surroundings.beside(posed.spheres, draws("beside", 6))
    hands = raycast.depth(posed.solids(), CAMERA) > 0
    other = raycast.depth(Solids(cones), CAMERA) > 0
    grown = torch.nn.functional.max_pool2d(other.float()[:, None], 9, 1, 4)[:, 0] > 0
    seen = other.flatten(1).any(1)
    touching = (hands & grown).flatten(1).any(1)
    assert seen.float().mean() > 0.8 and touching[seen].float().mean() > 0.8
    # It covers an end of the hand at most.
    assert ((hands & other).sum((1, 2)) < 0.5 * hands.sum((1, 2))).float().mean() > 0.9


def test_what_is_near_does_not_touch(posed):
    cones = surroundings.near(posed.spheres, draws("near", 7))[:, 0]
    a, b = cones[:, None, :3], cones[:, None, 4:7]
    share = (
        ((posed.spheres[..., :3] - a) * (b - a)).sum(-1) / (b - a).square().sum(-1).clamp_min(1e-9)
    ).clamp(0, 1)
    gap = (
        (posed.spheres[..., :3] - a - share[..., None] * (b - a)).norm(dim=-1)
        - posed.spheres[..., 3]
        - cones[:, 3:4]
    )
    assert gap.min() > 0


def test_a_person_stands_behind(posed):
    cones = surroundings.person(posed.spheres, draws("person", 7))
    assert cones.shape == (40, 8, 8)
    depth = raycast.depth(Solids(cones), CAMERA)
    seen = (depth > 0).flatten(1).any(1)
    middle = posed.spheres[..., 2].mean(1)
    median = torch.stack([d[d > 0].median() for d in depth[seen]])
    assert seen.float().mean() > 0.9 and (median > middle[seen]).float().mean() > 0.95


def test_only_puts_the_others_nowhere(posed):
    present = torch.arange(40) % 2 == 0
    cones = surroundings.only(present, surroundings.near(posed.spheres, draws("near", 7)))
    assert not (raycast.depth(Solids(cones), CAMERA) > 0)[~present].any()
    planes = surroundings.only(present, surroundings.wall(posed.spheres, draws("wall", 3)))
    assert ((surroundings.plane_depth(planes, CAMERA) > 0).flatten(1).any(1) == present).all()


def test_merge_keeps_the_nearest_and_ignores_nothing():
    first, second = torch.tensor([[[0.0, 5, 5, 0]]]), torch.tensor([[[7.0, 4, 6, 0]]])
    assert surroundings.merge(first, second).tolist() == [[[7, 4, 5, 0]]]


# --- Hashing ------------------------------------------------------------------


def test_uniforms_are_uniform_and_independent():
    u = hashing.uniform(hashing.keys(7, range(20_000)), "a", 4)
    # Standard error of the mean: 0.29 / sqrt(80,000) = 0.001; of a correlation: 1 / sqrt(20,000) =
    # 0.007.
    assert abs(u.mean() - 0.5) < 0.005 and abs(u.std() - 12**-0.5) < 0.005
    another_key = hashing.uniform(hashing.keys(8, range(20_000)), "a")[:, 0]
    another_name = hashing.uniform(hashing.keys(7, range(20_000)), "b")[:, 0]
    other = torch.stack([u[:, 0], u[:, 1], another_key, another_name, u[:, 0].roll(1)])
    assert (torch.corrcoef(other) - torch.eye(5)).abs().max() < 0.035
    assert u.min() >= 0 and u.max() < 1 and len(u.unique()) > 79_000


def test_the_hash_is_the_same_everywhere():
    """Reference values of SplitMix64 with seed 0 (Vigna's C code)."""
    state = hashing._GOLDEN * np.arange(1, 4, dtype=np.uint64)
    assert hashing._mix(state).tolist() == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


@pytest.mark.parametrize("smooth", [0.0, 1.5])
def test_noise_is_standard_normal(smooth):
    noise = hashing.noise(hashing.keys(0, range(12)), "n", SIZE, torch.zeros(1), smooth)
    assert noise.shape == (12, *SIZE)
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    assert abs((noise.abs() < 1).float().mean() - 0.683) < 0.01
    beside = (noise[:, :, 1:] * noise[:, :, :-1]).mean()
    # White noise filtered with a Gaussian of width s has the autocorrelation exp(-1 / (4 s^2)) over
    # one pixel.
    assert abs(beside - (math.exp(-1 / (4 * smooth**2)) if smooth else 0)) < 0.03
    big = hashing.noise(hashing.keys(0, [1]), "n", (480, 640), torch.zeros(1, dtype=torch.float64))
    assert big.shape == (1, 480, 640) and big.dtype == torch.float64


def test_a_small_camera_works():
    camera = Camera(50.0, 50.0, 20.0, 15.0, 40, 30)
    for sensor in sensors.SENSORS.values():
        assert sensor(torch.full((2, 30, 40), 500.0), camera, strength=1.0).shape == (2, 30, 40)
