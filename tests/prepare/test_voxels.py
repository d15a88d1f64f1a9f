"""Voxels: every measured point sets its own voxel and nothing else does, however the view is
turned.
"""

from dataclasses import replace
from math import floor, pi

import pytest
import torch

from handpose_lib import prepare
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.prepare.voxels import fit_cloud, from_voxels, occupancy, to_voxels
from tests.support.clouds import points


def clouds(batch=4, window=40, seed=0, dtype=torch.float64):
    """Windows of random depth, a third not measured, around and beyond cubes of 250 mm. float64: no
    point on a border.
    """
    g = torch.Generator().manual_seed(seed)
    centre = torch.tensor([20.0, -30.0, 400.0]) + 40 * torch.rand(batch, 3, generator=g)
    depth = centre[:, 2, None, None] + 150 * (
        2 * torch.rand(batch, window, window, generator=g) - 1
    )
    depth[torch.rand(depth.shape, generator=g) < 1 / 3] = 0
    camera = torch.tensor([60.0, 66.0, 80.0, 60.0]).repeat(batch, 1)
    origin = (centre[:, :2] / centre[:, 2:] * camera[:, :2] + camera[:, 2:]).round() - window // 2
    one = torch.ones(batch)
    joints = centre[:, None] + 90 * (2 * torch.rand(batch, 5, 3, generator=g) - 1)
    crops = Crops(
        depth,
        origin,
        camera,
        centre,
        250 * one,
        0 * one,
        one,
        one.clone(),
        joints,
        [str(i) for i in range(batch)],
    )
    return crops._map(lambda value: value.to(dtype))


def any_view(crops, seed=0):
    crops = prepare.augment(
        crops, torch.Generator().manual_seed(seed), aspect=(0.8, 1.25), translation=20.0
    )
    return replace(
        crops, mirror=crops.mirror * torch.tensor([1.0, -1.0]).repeat(len(crops))[: len(crops)]
    )


def points_of(crops, frame):
    """The measured points of one window, pixel by pixel."""
    fx, fy, u0, v0 = crops.camera[frame].tolist()
    left, top = crops.origin[frame].tolist()
    for row, line in enumerate(crops.depth[frame].tolist()):
        for column, z in enumerate(line):
            if z > 0:
                yield (left + column - u0) * z / fx, (top + row - v0) * z / fy, z


# --- Occupancy ----------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [7, 16, 44])
def test_every_point_in_the_cube_sets_exactly_its_voxel(size, turned):
    crops = any_view(clouds(3)) if turned else clouds(3)
    expected = torch.zeros(3, 1, size, size, size, dtype=torch.float64)
    outside = 0
    for frame in range(3):
        for point in points_of(crops, frame):
            one = crops.index(slice(frame, frame + 1))
            n = prepare.xyz_to_cube(torch.tensor([[point]], dtype=torch.float64), one)[
                0, 0
            ].tolist()
            x, y, z = (floor((a + 1) / 2 * size) for a in n)
            if all(0 <= a < size for a in (x, y, z)):
                expected[frame, 0, z, y, x] = 1
            else:
                outside += 1
    assert outside > 100 and expected.sum() > 200  # both kinds were there
    assert torch.equal(occupancy(crops, size), expected)


def test_type_and_shape_are_those_of_the_depth():
    volume = occupancy(clouds(2, dtype=torch.float32), 12)
    assert volume.shape == (2, 1, 12, 12, 12) and volume.dtype == torch.float32
    assert set(volume.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("shift", [(1, 0, 0), (0, -3, 0), (0, 0, 2), (4, 5, -6)])
def test_moving_the_cube_by_whole_voxels_moves_the_volume(shift):
    size, crops = 25, clouds()
    there = replace(
        crops, centre=crops.centre + 250 / size * torch.tensor(shift, dtype=torch.float64)
    )
    x, y, z = shift
    moved = occupancy(crops, size).roll((-z, -y, -x), (2, 3, 4))

    def inner(volume):  # what both cubes hold
        cut = [slice(max(-s, 0), size - max(s, 0)) for s in (z, y, x)]
        return volume[:, :, *cut]

    assert torch.equal(inner(occupancy(there, size)), inner(moved))


def test_quarter_turns_and_the_mirror_permute_the_axes():
    crops, size = clouds(), 20
    plain = occupancy(crops, size)
    turned = occupancy(replace(crops, rotation=torch.full_like(crops.rotation, pi / 2)), size)
    assert torch.equal(turned, plain.rot90(1, (4, 3)))  # x towards y
    assert torch.equal(occupancy(replace(crops, mirror=-crops.mirror), size), plain.flip(4))


def test_a_transposed_image_transposes_the_volume():
    crops, size = clouds(), 20
    swapped = replace(
        crops,
        depth=crops.depth.transpose(1, 2),
        origin=crops.origin[:, [1, 0]],
        camera=crops.camera[:, [1, 0, 3, 2]],
        centre=crops.centre[:, [1, 0, 2]],
    )
    assert torch.equal(occupancy(swapped, size), occupancy(crops, size).transpose(3, 4))


def test_an_enlarged_view_is_a_finer_grid():
    """Half the side: the middle half of the voxels of twice the number."""
    crops = clouds()
    near = occupancy(replace(crops, cube=crops.cube / 2), 12)
    assert torch.equal(near, occupancy(crops, 24)[:, :, 6:18, 6:18, 6:18])


def test_frames_do_not_see_each_other_and_an_empty_one_is_empty():
    crops = clouds()
    crops.depth[1] = 0
    together = occupancy(crops, 16)
    assert together[1].sum() == 0
    for i in range(len(crops)):
        assert torch.equal(together[i : i + 1], occupancy(crops.index(slice(i, i + 1)), 16))


def test_large_grids_have_no_collisions():
    """More voxels than float32 counts: 260³ > 2²⁴."""
    crops = clouds(1, dtype=torch.float32)
    crops.depth[:] = 0
    crops.depth[0, 17:23, 17:23] = crops.centre[0, 2] + 120
    volume = occupancy(crops, 260)
    assert volume.sum() == 36


# --- One map for points and joints --------------------------------------------


def test_points_and_joints_are_augmented_by_the_same_map():
    """A pixel measured at every joint: in any view, the joint's voxel is the one that its pixel
    fills.
    """
    g = torch.Generator().manual_seed(3)
    crops, size = clouds(6), 31
    rows, columns = (torch.randint(10, 30, (6, 5), generator=g) for _ in range(2))
    z = crops.centre[:, 2:] + 60 * (2 * torch.rand(6, 5, generator=g, dtype=torch.float64) - 1)
    crops.depth[:] = 0
    for i in range(5):
        crops.depth[torch.arange(6), rows[:, i], columns[:, i]] = z[:, i]
    z = torch.stack([crops.depth[torch.arange(6), rows[:, i], columns[:, i]] for i in range(5)], 1)
    fx, fy, u0, v0 = crops.camera[:, :, None].unbind(1)
    x = (columns + crops.origin[:, :1] - u0) * z / fx
    y = (rows + crops.origin[:, 1:] - v0) * z / fy
    joints = torch.stack((x, y, z), -1)
    crops = any_view(replace(crops, joints=joints))
    places = to_voxels(prepare.xyz_to_cube(joints, crops), size).round().long()
    volume, expected = (
        occupancy(crops, size),
        torch.zeros(6, 1, size, size, size, dtype=torch.float64),
    )
    for frame in range(6):
        for a, b, c in places[frame].tolist():
            if min(a, b, c) >= 0 and max(a, b, c) < size:
                expected[frame, 0, c, b, a] = 1
    assert expected.sum() > 20
    assert torch.equal(volume, expected)


def test_places_and_back():
    n = 2 * torch.rand(3, 7, 3, dtype=torch.float64) - 1
    torch.testing.assert_close(from_voxels(to_voxels(n, 44), 44), n, rtol=0, atol=1e-14)
    ends = to_voxels(torch.tensor([[[-1.0, 0.0, 1.0]]]), 44)
    assert ends.tolist() == [[[-0.5, 21.5, 43.5]]]
    assert from_voxels(torch.tensor(0.0), 2).item() == -0.5  # the middle of the first of two


# --- Fitting the cube to the points -------------------------------------------


def test_the_fitted_cube_holds_what_the_old_one_held_and_no_more():
    crops = clouds()
    fitted = fit_cloud(crops)
    low = high = torch.zeros(3)
    for i in range(len(crops)):
        points = torch.tensor(list(points_of(crops, i)), dtype=torch.float64)
        points = points[((points - crops.centre[i]).abs() <= 125).all(1)]
        low, high = points.amin(0), points.amax(0)
        torch.testing.assert_close(fitted.centre[i], (low + high) / 2)
        assert 1 < fitted.cube[i] / (high - low).max() < 1.002
    n = prepare.xyz_to_cube(torch.stack((low, high))[None], fitted.index(slice(3, 4)))
    assert n.abs().max() < 1 and n.abs().max() > 0.998


def test_the_fit_is_that_of_the_points_as_the_view_shows_them():
    """Turned and stretched points reach two opposite faces, and none is outside."""
    crops = clouds()
    turned = replace(
        crops, rotation=crops.rotation + 0.5, mirror=-crops.mirror, aspect=1.2 * crops.aspect
    )
    fitted = fit_cloud(turned)
    for name in ("rotation", "mirror", "aspect"):
        assert torch.equal(getattr(fitted, name), getattr(turned, name))
    found, measured = points(turned)
    inside = measured & (prepare.xyz_to_cube(found, crops).abs().amax(-1) <= 1)
    n = prepare.xyz_to_cube(found, fitted)
    for i in range(len(crops)):
        low, high = n[i][inside[i]].amin(0), n[i][inside[i]].amax(0)
        torch.testing.assert_close(low, -high, rtol=0, atol=1e-4)
        assert 0.998 < high.max() < 1


def test_without_points_the_cube_stays():
    crops = clouds()
    crops.depth[0] = 0
    crops.depth[1] = 1e5  # behind the cube
    fitted = fit_cloud(crops)
    assert torch.equal(fitted.cube[:2], crops.cube[:2]) and torch.equal(
        fitted.centre[:2], crops.centre[:2]
    )
    assert (fitted.cube[2:] != crops.cube[2:]).all()


# --- Where it runs, and bad input ---------------------------------------------


def test_nothing_waits_for_the_device():
    """On the device without memory every look at a value is an error."""
    crops = clouds().to("meta")
    assert occupancy(crops, 8).shape == (4, 1, 8, 8, 8)
    assert fit_cloud(crops).cube.shape == (4,)


@pytest.mark.parametrize("size", [0, -1, 8.0, None])
def test_bad_size(size):
    with pytest.raises(HandPoseError, match="size"):
        occupancy(clouds(1), size)
