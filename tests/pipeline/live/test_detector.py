"""The page finds the hand in an image where the library's detector finds it."""

import numpy as np
import onnxruntime
import pytest
import torch

from handpose_lib import synth
from handpose_lib.camera import Camera
from handpose_lib.hand_detection import hand_detector
from pipeline.live import build, detector, hand_model, toolchain

SETUPS = {"msra": 10, "sr305": 10, "dexycb": 8}
"""Frames of each camera, whose images are read at every second, fourth and fifth pixel."""


@pytest.fixture(scope="module")
def trained():
    return detector.open()


def run(path, **inputs: torch.Tensor) -> list[np.ndarray]:
    """Return the outputs of an ONNX model."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return [np.asarray(output) for output in outputs]


@torch.no_grad()
def test_the_first_look_is_that_of_the_library_for_images_of_any_size(trained, exported_detector):
    """Odd and even sizes are padded differently at every level of the hourglass."""
    generator = torch.Generator().manual_seed(2)
    for height, width in ((96, 128), (97, 131), (72, 85), (60, 80), (33, 47), (90, 160), (18, 21)):
        depth = 1600 * torch.rand(1, height, width, generator=generator)
        depth[depth < 200] = 0
        heat, behind = run(exported_detector["maps"], depth=depth)
        true_heat, true_behind, _ = trained.maps(depth, 1)
        np.testing.assert_allclose(heat, true_heat.numpy(), rtol=0, atol=2e-5)
        np.testing.assert_allclose(behind[:, 0], true_behind.numpy(), rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_second_look_is_that_of_the_library_for_any_number_of_cubes(trained, exported_detector):
    generator = torch.Generator().manual_seed(3)
    for count in (1, 4, 8):
        views = 2 * torch.rand(count, 1, 64, 64, generator=generator) - 1
        place, odds = run(exported_detector["look"], input=views)
        said = trained.look(views)
        true = said[:, :-1].unflatten(1, (-1, 3)).mean(1)
        np.testing.assert_allclose(place, true.numpy(), rtol=0, atol=1e-4)
        np.testing.assert_allclose(odds, said[:, -1].numpy(), rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def images():
    """Cluttered images of several cameras, some of an odd size, and empty scenes."""
    found: list[tuple[torch.Tensor, Camera]] = []
    for setup, count in SETUPS.items():
        frames = synth.frames(
            range(count), seed=7, setup=setup, distribution=hand_detector.CLUTTERED, subjects=[8]
        )
        camera = synth.SETUPS[setup].camera
        found += [(depth, camera) for depth in frames.depth]
        # Without its first row and column, an image has another size and another camera.
        odd = Camera(
            camera.fx,
            camera.fy,
            camera.u0 - 3,
            camera.v0 - 1,
            camera.width - 3,
            camera.height - 1,
        )
        found.append((frames.depth[0, 1:, 3:].contiguous(), odd))
    camera = synth.SETUPS["msra"].camera
    wall = torch.full((camera.height, camera.width), 800.0)
    hole = wall.clone()
    hole[40:200, 100:300] = 0
    return [*found, (wall, camera), (hole, camera)]


@torch.no_grad()
def test_the_page_finds_the_hand_where_the_library_does(
    trained, images, exported_detector, computed, tmp_path
):
    """Within 1 mm: the page computes the geometry in float64, the library in float32."""
    path = tmp_path / "images"
    path.write_bytes(b"".join(depth.numpy().astype(np.float32).tobytes() for depth, _ in images))
    job = {
        "images": str(path),
        "cameras": [hand_model.camera(camera) for _, camera in images],
        "models": [str(exported_detector[name]) for name in ("maps", "look")],
        "binary": str(
            toolchain.modules() / build.RUNTIME[0] / "dist" / "ort-wasm-simd-threaded.wasm"
        ),
        "about": detector.described(),
    }
    found = computed("find", job).reshape(-1, 4)
    assert len(found) >= 30
    for (depth, camera), (*centre, probability) in zip(images, found.tolist(), strict=True):
        cameras = camera.intrinsics(depth)[None]
        true = trained(depth[None], cameras)
        sure = trained.odds(depth[None], cameras, true).sigmoid().item()
        np.testing.assert_allclose(centre, true[0].numpy(), rtol=0, atol=1.0)
        assert abs(probability - sure) < 0.02
    assert (found[:-2, 3] > hand_detector.NO_HAND).mean() > 0.5, "most hands are found"
