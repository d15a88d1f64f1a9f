"""Preparation: locating, cutting, augmenting, and the one view that images and joints share."""

import math
from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch

from handpose_lib import camera as cameras
from handpose_lib import prepare
from handpose_lib.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handpose_lib.dataset_specs import preset
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import DepthFrame

CAMERA = preset("msra")


def random_joints(batch, joints=21, spread=80.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    middle = torch.tensor([20.0, -15.0, 500.0]) + 40 * torch.randn(batch, 1, 3, generator=generator)
    return middle + spread * (2 * torch.rand(batch, joints, 3, generator=generator) - 1)


def blank(batch, camera=CAMERA):
    return torch.zeros(batch, camera.height, camera.width)


def crops_of(joints, cube=250.0, depth=None, **options):
    depth = blank(len(joints)) if depth is None else depth
    return prepare.crop(depth, CAMERA, joints.mean(1), cube, joints, **options)


def any_view(crops, seed=0):
    """Rotation, scale, translation, aspect and mirror all at once."""
    generator = torch.Generator().manual_seed(seed)
    mirror = torch.tensor([1.0, -1.0]).repeat(len(crops))[: len(crops)]
    return prepare.augment(replace(crops, mirror=mirror), generator, aspect=(0.8, 1.25))


# --- the view as a map -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "there, back",
    [
        (prepare.to_view, prepare.from_view),
        (prepare.xyz_to_cube, prepare.cube_to_xyz),
    ],
)
@pytest.mark.parametrize("dtype, tolerance_mm", [(torch.float32, 2e-3), (torch.float64, 1e-9)])
def test_view_and_back(there, back, dtype, tolerance_mm):
    joints = random_joints(8).to(dtype)
    depth = torch.zeros(8, CAMERA.height, CAMERA.width, dtype=dtype)
    crops = any_view(prepare.crop(depth, CAMERA, joints.mean(1), 250.0, joints))
    assert there(joints, crops).dtype == dtype
    # float32 resolves 6e-5 mm at 500 mm; some ten operations on numbers of that size
    assert (back(there(joints, crops), crops) - joints).abs().max() < tolerance_mm


def test_the_centre_is_the_origin_and_the_faces_are_one():
    joints = random_joints(4)
    crops = any_view(crops_of(joints))
    origin = prepare.to_view(crops.centre[:, None], crops)
    assert origin.abs().max() < 1e-5
    faces = crops.centre[:, None] + crops.cube[:, None, None] / 2 * torch.tensor(
        [[0.0, 0, -1], [0, 0, 1]]
    )
    assert torch.allclose(
        prepare.xyz_to_cube(faces, crops)[..., 2], torch.tensor([-1.0, 1.0]), atol=1e-5
    )
    plain = crops_of(joints)
    corner = plain.centre[:, None] + plain.cube[:, None, None] / 2 * torch.tensor(
        [[-1.0, 1.0, 0.0]]
    )
    expected = torch.tensor([-1.0, 1.0, 0.0]).expand(4, 1, 3)
    assert torch.allclose(prepare.to_view(corner, plain), expected, atol=1e-5)
    assert torch.allclose(prepare.xyz_to_cube(corner, plain), expected, atol=1e-5)


def test_rotation_turns_x_towards_y_and_mirror_turns_left_into_right():
    joints = random_joints(2)
    crops = crops_of(joints, hands=["right", "left"])
    right_of_centre = crops.centre[:, None] + torch.tensor([50.0, 0, 0])
    n = prepare.xyz_to_cube(right_of_centre, replace(crops, rotation=torch.full((2,), pi / 2)))
    assert torch.allclose(n[:, 0], torch.tensor([[0.0, 0.4, 0.0], [0.0, -0.4, 0.0]]), atol=1e-6)


# --- the image ---------------------------------------------------------------------------------


def numpy_image(depth, camera, centre, cube, size, background):
    """One frame at a time, straight from the definition, reading the full image."""
    u0 = camera.u0 + camera.fx * centre[0] / centre[2]
    v0 = camera.v0 + camera.fy * centre[1] / centre[2]
    half_u, half_v = camera.fx * cube / 2 / centre[2], camera.fy * cube / 2 / centre[2]
    out = np.full((size, size), background, np.float32)
    for row in range(size):
        for column in range(size):
            u = int(np.rint(u0 + half_u * ((column + 0.5) * 2 / size - 1)))
            v = int(np.rint(v0 + half_v * ((row + 0.5) * 2 / size - 1)))
            if 0 <= u < camera.width and 0 <= v < camera.height and depth[v, u] > 0:
                z = (depth[v, u] - centre[2]) / (cube / 2)
                out[row, column] = background if z > 1 else max(z, -1)
    return out


def test_plain_image_equals_a_per_frame_nearest_resize():
    generator = torch.Generator().manual_seed(1)
    depth = 380 + 240 * torch.rand(3, CAMERA.height, CAMERA.width, generator=generator)
    depth[torch.rand(depth.shape, generator=generator) < 0.2] = 0
    # in the middle; partly outside the image; a cube wider than the image
    centre = torch.tensor([[10.3, -5.7, 500.1], [330.2, -240.9, 510.3], [0.4, 0.9, 480.2]])
    cube = torch.tensor([200.3, 250.1, 800.7])
    image = prepare.image(prepare.crop(depth, CAMERA, centre, cube), 48, background=0.75)
    assert image.shape == (3, 1, 48, 48)
    for i in range(3):
        expected = numpy_image(
            depth[i].numpy(), CAMERA, centre[i].double().numpy(), float(cube[i]), 48, 0.75
        )
        same = np.abs(image[i, 0].numpy() - expected) < 1e-5
        # a sample within float32 of the border between two pixels may take either
        assert same.mean() > 0.999


def test_depth_outside_the_cube_is_clamped_in_front_and_background_behind():
    depth = blank(4)
    depth[:] = torch.tensor([100.0, 400.0, 700.0, 0.0])[:, None, None]
    centre = torch.tensor([[0.0, 0.0, 400.0]]).repeat(4, 1)
    image = prepare.image(prepare.crop(depth, CAMERA, centre, 200.0), 8)
    assert torch.equal(image[:, 0, 4, 4], torch.tensor([-1.0, 0.0, 1.0, 1.0]))


def test_window_outside_the_image_is_background():
    centre = torch.tensor([[2000.0, 0.0, 500.0]])
    image = prepare.image(prepare.crop(blank(1) + 500, CAMERA, centre, 250.0), 16)
    assert (image == 1).all()


# --- augmentation ------------------------------------------------------------------------------


def blobs(seed):
    """Images with a 3×3 blob at the projection of each joint, at a depth of its own."""
    generator = torch.Generator().manual_seed(seed)
    batch, cells = (
        6,
        torch.tensor([[x, y] for x in (-2, -1, 0, 1, 2) for y in (-2, -1, 0, 1, 2)]) * 14,
    )
    uv = (
        torch.tensor([160, 120])
        + cells
        + torch.randint(-4, 5, (batch, len(cells), 2), generator=generator)
    )
    d = 460 + 3 * torch.arange(len(cells)).expand(batch, -1)
    depth = blank(batch)
    for i in range(batch):
        for (u, v), value in zip(uv[i].tolist(), d[i].tolist()):
            depth[i, v - 1 : v + 2, u - 1 : u + 2] = value
    joints = uvd_to_xyz(torch.cat((uv, d[..., None]), -1).float(), CAMERA)
    return depth, joints, d


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_augmentation_commutes_with_projection_within_half_a_pixel(seed, one_at_a_time):
    """Where the image shows a joint's blob is where the view says the joint is."""
    depth, joints, d = blobs(seed)
    size = 192  # finer than the window, so that the blob's middle can be found
    generator = torch.Generator().manual_seed(seed)
    plain = crops_of(joints, 300.0, depth, hands=["right", "left"] * 3)
    view = prepare.augment(plain, generator, aspect=(0.85, 1.2), one_at_a_time=one_at_a_time)
    assert view.joints is not None and torch.equal(view.joints, joints)
    image = prepare.image(view, size)[:, 0]
    measured = image * (view.cube / 2)[:, None, None] + view.centre[:, 2, None, None]
    n = prepare.to_view(joints, view)
    pixel = (n[..., :2] + 1) * size / 2 - 0.5
    native = size / (
        2 * plain.camera[:, 0] * view.cube / 2 / view.centre[:, 2]
    )  # image pixels per window pixel
    seen = 0
    for i in range(len(joints)):
        for j in range(joints.shape[1]):
            if n[i, j].abs().max() > 0.9:
                continue
            rows, columns = ((measured[i] - d[i, j]).abs() < 0.5).nonzero().double().unbind(1)
            found = torch.stack((columns.mean(), rows.mean()))
            # half a pixel of the image; of the window where that is the coarser of the two
            assert (found - pixel[i, j]).abs().max() < 0.5 * max(1.0, float(native[i]))
            seen += 1
    assert seen > 100


def many_crops(number):
    """Crops with next to no pixels, to count draws with."""
    joints = random_joints(number, joints=1)
    return prepare.crop(torch.zeros(number, 1, 1), CAMERA, joints.mean(1), 250.0, joints, size=8)


def test_augmentation_stays_in_its_ranges_and_fills_them():
    crops = many_crops(2000)
    generator = torch.Generator().manual_seed(3)
    view = prepare.augment(crops, generator, (-0.5, 1.0), (0.9, 1.1), 10.0, (0.8, 1.2))
    for value, low, high in [
        (view.rotation, -0.5, 1.0),
        (view.cube / crops.cube, 0.9, 1.1),
        ((view.centre - crops.centre).flatten(), -10, 10),
        (view.aspect, 0.8, 1.2),
    ]:
        tolerance = 1e-4 * max(abs(low), abs(high))  # centres near 500 mm resolve 6e-5 mm
        assert low - tolerance <= value.min() and value.max() <= high + tolerance
        width, uniform = high - low, value.double().sort().values
        # Kolmogorov-Smirnov distance to the uniform law; 2000 draws stay below 0.036 in 99 % of
        # cases
        ideal = low + width * (torch.arange(len(uniform)) + 0.5) / len(uniform)
        assert ((uniform - ideal).abs() / width).max() < 0.05


def test_a_zoomed_hand_fills_its_cube_by_a_uniform_factor():
    """V2V-PoseNet scales points by 0.8 to 1.2: half of the samples grow, half shrink."""
    crops = many_crops(2000)
    generator = torch.Generator().manual_seed(5)
    view = prepare.augment(crops, generator, scale=(1.0, 1.0), zoom=(0.8, 1.2))
    factor = (crops.cube / view.cube).double().sort().values
    ideal = 0.8 + 0.4 * (torch.arange(len(factor)) + 0.5) / len(factor)
    assert (factor - ideal).abs().max() < 0.05 * 0.4
    still = replace(view, rotation=crops.rotation, centre=crops.centre)
    assert crops.joints is not None
    seen, before = (prepare.xyz_to_cube(crops.joints, one) for one in (still, crops))
    torch.testing.assert_close(seen, before * (crops.cube / view.cube)[:, None, None])


def test_normal_draws_have_their_deviation_and_are_clipped():
    crops = many_crops(4000)
    deviations = {"scale": 0.05, "translation": 10.0}
    view = prepare.augment(crops, torch.Generator().manual_seed(2), deviations=deviations)
    for value, middle, deviation, reach in (
        (view.cube / crops.cube, 1.0, 0.05, 0.1),
        ((view.centre - crops.centre).flatten(), 0.0, 10.0, 10.0),
    ):
        apart = (value.double() - middle) / deviation
        ends = reach / deviation
        assert apart.abs().max() < ends + 1e-3
        # Of a normal law, the share within half a deviation, and beyond the ends, which is clipped.
        for bound in (0.5, ends - 1e-3):
            expected = math.erf(bound / math.sqrt(2))
            assert (apart.abs() < bound).double().mean().item() == pytest.approx(expected, abs=0.03)


def test_one_at_a_time_changes_one_thing_or_none_with_equal_odds():
    crops = many_crops(4000)
    view = prepare.augment(crops, torch.Generator().manual_seed(0), one_at_a_time=True)
    changed = torch.stack(
        (view.rotation != 0, view.cube != crops.cube, (view.centre != crops.centre).any(1)), 1
    )
    assert (changed.sum(1) <= 1).all()
    shares = torch.cat((changed.double().mean(0), (changed.sum(1) == 0).double().mean()[None]))
    # a share of 1/4 over 4000 draws has a standard deviation of 0.007
    assert (shares - 0.25).abs().max() < 0.035


def test_augmentation_is_a_function_of_the_generator_alone():
    crops = crops_of(random_joints(6))
    first, again = (prepare.augment(crops, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first.rotation, again.rotation) and torch.equal(first.centre, again.centre)
    fewer = prepare.augment(crops.index(slice(0, 2)), torch.Generator().manual_seed(7))
    assert torch.equal(fewer.rotation, first.rotation[:2])


def test_no_augmentation_is_the_same_view():
    crops = crops_of(random_joints(3), depth=blobs(0)[0][:3])
    same = prepare.augment(crops, torch.Generator(), (0, 0), (1, 1), 0, (1, 1))
    assert torch.equal(prepare.image(same, 64), prepare.image(crops, 64))


# --- batches -----------------------------------------------------------------------------------


def scenes(batch=5, seed=0):
    """A hand-sized disc at its own depth in each image, before a wall in some."""
    generator = torch.Generator().manual_seed(seed)
    u, v = cameras.pixel_grid(CAMERA.height, CAMERA.width, torch.zeros(1)).unbind(-1)
    depth, centres = [], []
    for i in range(batch):
        z = 350 + 300 * torch.rand(1, generator=generator)
        c = torch.tensor([160.0, 120.0]) + 60 * (torch.rand(2, generator=generator) - 0.5)
        disc = ((u - c[0]) ** 2 + (v - c[1]) ** 2).sqrt() < 60 * CAMERA.fx / z
        depth.append(torch.where(disc, z, 1200.0 if i % 2 else 0.0))
        centres.append(uvd_to_xyz(torch.cat((c, z))[None], CAMERA)[0])
    return torch.stack(depth), torch.stack(centres)


def test_a_sample_is_the_same_in_every_batch():
    depth, centre = scenes()
    cube = torch.tensor([180.0, 200.0, 220.0, 250.0, 300.0])
    view = {
        "rotation": torch.linspace(-3, 3, 5),
        "cube": cube * 1.1,
        "aspect": torch.linspace(0.8, 1.2, 5),
    }
    together = replace(prepare.crop(depth, CAMERA, centre, cube), **view)
    images = prepare.image(together, 96)
    located = {
        method: prepare.locate(depth, CAMERA, method, cube=cube) for method in ("mass", "outline")
    }
    for i in range(5):
        one = slice(i, i + 1)
        alone = prepare.crop(depth[one], CAMERA, centre[one], cube[one])
        alone = replace(alone, **{name: value[one] for name, value in view.items()})
        assert torch.equal(prepare.image(alone, 96), images[one])
        for method, together_with_others in located.items():
            assert torch.equal(
                prepare.locate(depth[one], CAMERA, method, cube=cube[one]),
                together_with_others[one],
            )


def test_crop_of_a_fixed_size():
    depth, centre = scenes()
    crops = prepare.crop(depth, CAMERA, centre, 200.0, size=256)
    assert crops.depth.shape == (5, 256, 256)
    assert torch.equal(
        prepare.image(crops, 64), prepare.image(prepare.crop(depth, CAMERA, centre, 200.0), 64)
    )
    assert prepare.crop(depth, CAMERA, centre, 200.0, size=33).depth.shape == (5, 33, 33)


def test_window_holds_the_pixels_of_the_image_at_its_origin():
    depth, centre = scenes()
    depth = depth + torch.arange(CAMERA.width) / 1000 + torch.arange(CAMERA.height)[:, None]
    crops = prepare.crop(depth, CAMERA, centre, 150.0)
    for i, (u, v) in enumerate(crops.origin.long().tolist()):
        rows, columns = crops.depth[i].nonzero().unbind(1)
        assert len(rows) and torch.equal(
            crops.depth[i, rows, columns], depth[i, rows + v, columns + u]
        )


def test_batch_of_frames_from_different_cameras():
    other = Camera(475.0, 475.0, 315.0, 245.0, 640, 480)
    joints = random_joints(2)
    frames = [
        DepthFrame(torch.full((240, 320), 500.0), CAMERA, joints[0], "a", "left"),
        DepthFrame(torch.full((480, 640), 500.0), other, joints[1], "b"),
    ]
    crops = prepare.batch(frames, 250.0, centre="true")
    assert crops.ids == ["a", "b"] and crops.mirror.tolist() == [-1, 1]
    assert crops.joints is not None and torch.equal(crops.joints, joints)
    assert torch.equal(crops.centre, joints.mean(1))
    assert torch.equal(crops.camera[1], other.intrinsics())
    alone = prepare.batch(frames[1:], 250.0, centre="true")
    assert torch.equal(prepare.image(alone, 32), prepare.image(crops, 32)[1:])


def test_stored_centre():
    centre = torch.tensor([1.0, 2.0, 500.0])
    frames = [DepthFrame(blank(1)[0], CAMERA, centre=centre)]
    crops = prepare.batch(frames, 250.0, centre="stored")
    assert torch.equal(crops.centre, centre[None]) and crops.joints is None


# --- where the hand is -------------------------------------------------------------------------


def test_mass_finds_the_middle_of_a_hand_in_front_of_a_wall():
    depth, centre = scenes()
    located = prepare.locate(depth, CAMERA)
    assert (located - centre).norm(
        dim=1
    ).max() < 2  # a disc read at every second pixel, some 3 mm each


def test_mass_is_not_led_astray_by_a_nearer_crumb_or_a_body_behind():
    depth, centre = scenes(1)
    depth[0, :, 230:] = 560  # a large thing behind
    depth[0, 20:24, 20:24] = 200  # a few nearer pixels, such as a camera's noise
    assert (prepare.locate(depth, CAMERA) - centre).norm(dim=1).max() < 10


def test_outline_stays_on_the_fingers_where_mass_follows_the_forearm():
    """A palm with five fingers on a forearm, and nothing else: drawn in mm at 500 mm."""
    u, v = cameras.pixel_grid(CAMERA.height, CAMERA.width, torch.zeros(1)).unbind(-1)
    x, y = (u - CAMERA.u0) * 500 / CAMERA.fx, (v - CAMERA.v0) * 500 / CAMERA.fy
    hand = (x.abs() < 42) & (y.abs() < 45)
    for finger in (-36, -18, 0, 18, 36):
        hand |= ((x - finger).abs() < 7) & (y > -110) & (y < 0)
    hand |= (x.abs() < 30) & (y > 0) & (y < 230)
    depth, middle = (500.0 * hand)[None], torch.tensor([0.0, -30.0, 500.0])
    mass, outline = (prepare.locate(depth, CAMERA, method)[0] for method in ("mass", "outline"))
    assert (outline - middle).norm() < 20
    assert mass[1] > outline[1] + 30  # y is down: towards the forearm


def test_mass_of_a_cut_hand_is_still_somewhere_on_it():
    depth = blank(1)
    depth[0, 100:110, :8] = 400
    located = prepare.locate(depth, CAMERA)
    u, v, d = xyz_to_uvd(located, CAMERA)[0].tolist()
    assert -1 <= u <= 8 and 99 <= v <= 110 and abs(d - 400) < 1e-2


def test_a_detector_takes_the_place_of_the_method_and_refine_has_the_last_word():
    depth, _ = scenes(3)
    nowhere = torch.zeros_like(depth)  # no method finds a hand here: a detector need not ask one

    def detector(images, intrinsics):
        assert images.shape == depth.shape and intrinsics.shape == (3, 4)
        return torch.tensor([[0.0, 0.0, 400.0]]).expand(3, 3)

    def refine(images, intrinsics, centre):
        return centre + torch.tensor([1.0, 2.0, 3.0])

    assert torch.equal(
        prepare.locate(nowhere, CAMERA, detector=detector, refine=refine),
        torch.tensor([[1.0, 2.0, 403.0]]).expand(3, 3),
    )
    found = prepare.locate(depth, CAMERA)
    assert torch.equal(
        prepare.locate(depth, CAMERA, refine=refine), found + torch.tensor([1.0, 2.0, 3.0])
    )


def test_true_centre_is_the_mean_of_the_joints():
    joints = random_joints(3)
    assert torch.equal(prepare.true_centre(joints), joints.mean(1))


def augmented(**options):
    return prepare.augment(many_crops(1), torch.Generator(), **options)


# --- what is refused ---------------------------------------------------------------------------


def test_image_without_a_hand_is_named():
    depth, _ = scenes(2)
    depth[1] = 0
    with pytest.raises(HandPoseError, match="P3/T/000120.*near and far"):
        prepare.locate(depth, CAMERA, ids=["P3/T/000119", "P3/T/000120"])
    with pytest.raises(HandPoseError, match="number 1 of the batch"):
        prepare.locate(depth, CAMERA)
    with pytest.raises(HandPoseError, match="P3/T/000120"):
        prepare.batch([DepthFrame(depth[1], CAMERA, id="P3/T/000120")], 250.0)


@pytest.mark.parametrize("value", [float("nan"), -1.0])
def test_locate_refuses_depth_that_is_no_depth(value):
    depth, _ = scenes(1)
    depth[0, 0, 0] = value
    with pytest.raises(HandPoseError, match="negative or non-finite"):
        prepare.locate(depth, CAMERA)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: prepare.locate(blank(1), CAMERA, method="yolo"),
            "yolo.*accepted are mass, outline",
        ),
        (lambda: prepare.locate(blank(1)[0], CAMERA), r"\(B, H, W\)"),
        (lambda: prepare.locate(blank(1), CAMERA, near=500, far=100), "near < far"),
        (lambda: prepare.locate(blank(2), torch.ones(3, 4)), r"\(2, 4\)"),
        (lambda: prepare.crop(blank(2), CAMERA, torch.ones(3, 3), 250.0), r"\(2, 3\)"),
        (
            lambda: prepare.crop(blank(1), CAMERA, torch.tensor([[0.0, 0, -5]]), 250.0),
            "in front of the camera",
        ),
        (lambda: augmented(scale=(0.9, 1.1), zoom=(0.8, 1.2)), "accepted is one of them"),
        (lambda: augmented(zoom=(1.2, 0.8)), "zoom.*0 < low ≤ high"),
        (lambda: augmented(deviations={"tilt": 1.0}), "tilt.*rotation, scale, translation"),
        (lambda: augmented(deviations={"scale": 0.0}), "deviation 0.0 of scale.*> 0"),
        (lambda: prepare.crop(blank(1), CAMERA, torch.ones(1, 3) * 400, 0.0), "cubes > 0"),
        (
            lambda: prepare.crop(blank(1), CAMERA, torch.ones(1, 3) * 400, 250.0, hands=["both"]),
            "both.*right, left",
        ),
        (
            lambda: prepare.crop(
                blank(1), CAMERA, torch.ones(1, 3) * 400, 250.0, torch.ones(1, 63)
            ),
            r"\(1, J, 3\)",
        ),
        (lambda: prepare.crop(blank(1), CAMERA, torch.ones(1, 3) * 400, 250.0, margin=0), "margin"),
        (lambda: prepare.batch([], 250.0), "at least one"),
        (
            lambda: prepare.batch([DepthFrame(blank(1)[0], CAMERA)], 250.0, "nose"),
            "nose.*mass, outline, true, stored",
        ),
        (
            lambda: prepare.batch([DepthFrame(blank(1)[0], CAMERA, id="x")], 250.0, "true"),
            "'x'.*joints|joints.*'x'",
        ),
        (
            lambda: prepare.batch([DepthFrame(blank(1)[0], CAMERA, id="x")], 250.0, "stored"),
            "centre of every frame",
        ),
    ],
)
def test_bad_input_is_named_with_what_is_accepted(call, message):
    with pytest.raises(HandPoseError, match=message):
        call()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rotation": (1, 0)}, "rotation"),
        ({"scale": (0, 1)}, "scale"),
        ({"aspect": (1.2, 1.1)}, "aspect"),
        ({"translation": -1}, "translation"),
    ],
)
def test_augmentation_refuses_empty_ranges(options, message):
    with pytest.raises(HandPoseError, match=message):
        prepare.augment(crops_of(random_joints(1)), torch.Generator(), **options)


def test_points_must_fit_the_batch():
    crops = crops_of(random_joints(2))
    with pytest.raises(HandPoseError, match=r"\(2, N, 3\)"):
        prepare.to_view(random_joints(3), crops)
