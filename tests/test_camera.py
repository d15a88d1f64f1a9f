"""Laws of the pinhole camera."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handpose_lib import camera
from handpose_lib.dataset_specs import CAMERAS, preset
from handpose_lib.errors import HandPoseError


def points(dtype, seed=0, frames=4, count=50):
    """Random points in front of the camera, depths 0.2 to 2 m."""
    xyz = torch.rand(frames, count, 3, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return (
        (xyz - 0.5) * 400
        + torch.tensor([0, 0, 1100.0], dtype=dtype)
        + xyz * torch.tensor([0, 0, 500.0], dtype=dtype)
    )


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_projection_and_back_projection_are_inverse(name, dtype):
    """uvd_to_xyz undoes xyz_to_uvd up to the rounding of a pixel coordinate."""
    xyz, cam = points(dtype), preset(name)
    back = camera.uvd_to_xyz(camera.xyz_to_uvd(xyz, cam), cam)
    # A pixel coordinate near 600 is rounded by 600 eps; times z / f that many millimetres, twice
    # over.
    bound = 4 * torch.finfo(dtype).eps * 700 * 1600 / min(cam.fx, cam.fy)
    assert (back - xyz).abs().max() < bound


def test_the_optical_axis_meets_the_principal_point():
    cam = preset("nyu")
    uvd = camera.xyz_to_uvd(torch.tensor([0.0, 0.0, 500.0]), cam)
    assert uvd.tolist() == [cam.u0, cam.v0, 500.0]


def test_right_and_down_are_right_and_down():
    cam = preset("msra")
    u, v, _ = camera.xyz_to_uvd(torch.tensor([10.0, 20.0, 241.42]), cam).tolist()
    assert (u, v) == pytest.approx((170, 140), abs=1e-4)


def test_a_batch_of_cameras_equals_one_by_one():
    cams = list(CAMERAS.values())
    xyz = points(torch.float64, frames=len(cams))
    stacked = torch.stack([cam.intrinsics(xyz) for cam in cams])
    together = camera.xyz_to_uvd(xyz, stacked)
    assert torch.equal(
        together, torch.stack([camera.xyz_to_uvd(x, cam) for x, cam in zip(xyz, cams)])
    )


def test_depth_image_back_projects_to_its_own_pixels():
    cam = camera.Camera(200, 210, 3.5, 2.0, 8, 6)
    depth = torch.rand(2, 6, 8, dtype=torch.float64) * 500 + 200
    depth[0, 1, 2] = 0
    xyz = camera.depth_to_points(depth, cam)
    assert xyz.shape == (2, 6, 8, 3) and xyz[0, 1, 2].tolist() == [0, 0, 0]
    uvd = camera.xyz_to_uvd(xyz[1].reshape(-1, 3), cam).reshape(6, 8, 3)
    assert torch.allclose(uvd[..., :2], camera.pixel_grid(6, 8, depth), atol=1e-9)
    assert torch.equal(uvd[..., 2], depth[1])


@given(scale=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_a_point_moves_along_its_ray_without_leaving_its_pixel(scale):
    cam = preset("icvl")
    xyz = points(torch.float64, count=5)
    assert torch.allclose(
        camera.xyz_to_uvd(xyz * scale, cam)[..., :2], camera.xyz_to_uvd(xyz, cam)[..., :2]
    )


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: preset("kinect9"), "kinect9.*msra, nyu, icvl"),
        (
            lambda: camera.xyz_to_uvd(torch.zeros(3, 2), preset("msra")),
            r"\(3, 2\).*\(\.\.\., 3\)",
        ),
        (lambda: camera.xyz_to_uvd(torch.zeros(3, 3), preset("msra")), "above 0"),
        (
            lambda: camera.uvd_to_xyz(torch.full((1, 3), float("nan")), preset("msra")),
            "above 0",
        ),
        (
            lambda: camera.xyz_to_uvd(torch.ones(2, 5, 3), torch.ones(3, 4)),
            r"camera of shape \(3, 4\)",
        ),
        (
            lambda: camera.depth_to_points(torch.full((2, 2), -1.0), preset("msra")),
            "negative",
        ),
        (lambda: camera.depth_to_points(torch.ones(3), preset("msra")), r"\(\.\.\., H, W\)"),
        (lambda: camera.Camera(0, 1, 0, 0, 2, 2), "focal"),
        (lambda: camera.Camera(1, 1, 0, 0, 0, 2), "image size"),
        (lambda: camera.Camera(1, 1, float("nan"), 0, 2, 2), "principal point"),
    ],
)
def test_bad_input_gives_one_clear_error(call, words):
    with pytest.raises(HandPoseError, match=words):
        call()
