"""The exercise on the fitted cube agrees with the library."""

import torch

from handpose_lib import prepare
from handpose_lib.prepare import voxels
from tests.teaching.checks.answers.voxels import fitted_cube


def test_the_library_fits_the_same_cube():
    """Up to the room that keeps the outermost points inside."""
    points = torch.randn(
        40, 3, generator=torch.Generator().manual_seed(0)
    ).double() * 30 + torch.tensor([0.0, 0.0, 400.0])
    depth = torch.zeros(1, 120, 120, dtype=torch.float64)
    camera = torch.tensor([[240.0, 240.0, 60.0, 60.0]], dtype=torch.float64)
    u, v = (points[:, :2] * 240 / points[:, 2:] + 60).round().long().clamp(0, 119).T
    depth[0, v, u] = points[:, 2]
    crops = prepare.crop(depth.float(), camera.float(), torch.tensor([[0.0, 0.0, 400.0]]), 400.0)
    seen = voxels._points(crops)[0][0][crops.depth.flatten() > 0].double()
    fitted = voxels.fit_cloud(crops)
    centre, side = fitted_cube(seen)
    torch.testing.assert_close(fitted.centre[0].double(), centre, atol=1e-3, rtol=0)
    torch.testing.assert_close(fitted.cube[0].double(), side * voxels.ROOM, atol=1e-3, rtol=0)
