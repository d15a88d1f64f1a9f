"""The page's hand, renderer and crops compute what the library computes.

The page's modules run in Node.
"""

import numpy as np
import pytest
import torch

from handpose_lib import prepare, synth
from handpose_lib.camera import Camera
from handpose_lib.synth.hands import hand, poses
from handpose_lib.synth.scene import raycast, surroundings
from pipeline.live import NETWORKS, hand_model, networks

POSES = 200


@pytest.fixture(scope="module")
def model():
    return hand_model.described()


@pytest.fixture(scope="module")
def drawn(model):
    """Poses of all persons, views and sides, with the hand in the image, and the hands there."""
    generator = torch.Generator().manual_seed(3)
    numbers = torch.arange(POSES) % hand_model.SUBJECTS
    people = hand.subjects(numbers).to(torch.float64)
    uniforms = torch.rand(POSES, poses.UNIFORMS, generator=generator, dtype=torch.float64)
    turns = (torch.rand(POSES, 3, generator=generator, dtype=torch.float64) - 0.5) * torch.tensor(
        [2 * torch.pi, torch.pi, 2 * torch.pi]
    )
    place = torch.rand(POSES, 3, generator=generator, dtype=torch.float64) * torch.tensor(
        [80.0, 60.0, 350.0]
    ) + torch.tensor([-40.0, -30.0, 280.0])
    pose = poses.assemble(poses.sample(uniforms, people), place, *turns.unbind(1))
    sides = torch.where(torch.arange(POSES) % 3 == 0, -1.0, 1.0).double()
    posed = hand.posed(people, pose, forearm=hand_model.FOREARM, hand=sides)
    job = {
        "model": model,
        "poses": pose.tolist(),
        "subjects": numbers.tolist(),
        "sides": sides.tolist(),
    }
    return job, posed


def test_spheres_and_joints_are_those_of_the_library(drawn, computed):
    job, posed = drawn
    spheres = computed("spheres", job).reshape(posed.spheres.shape)
    joints = computed("joints", job).reshape(POSES, -1, 3)
    np.testing.assert_allclose(spheres, posed.spheres.numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(joints, posed.joints().numpy(), rtol=0, atol=1e-6)


def test_depth_is_that_of_the_ray_caster(drawn, computed):
    """Within 0.1 mm where both see a surface; silhouettes differ by rounding at a few pixels."""
    job, posed = drawn
    camera = synth.SETUPS[hand_model.SETUP].camera
    truth = raycast.depth(posed.solids(), camera).numpy()
    found = computed("depth", job).reshape(truth.shape)
    both = (truth > 0) & (found > 0)
    assert both.any((1, 2)).all(), "every hand is in the image"
    apart = np.abs(truth - found) * both
    # A ray that grazes a surface meets it here and the surface behind it there.
    grazing = apart > 0.1
    assert grazing.sum() <= 1e-4 * both.sum()
    silhouette = (truth > 0) != (found > 0)
    assert silhouette.sum() <= 1e-4 * both.sum()
    inside = torch.nn.functional.max_pool2d(torch.from_numpy(truth > 0).float(), 3, 1, 1).numpy()
    outside = torch.nn.functional.max_pool2d(torch.from_numpy(truth <= 0).float(), 3, 1, 1).numpy()
    assert (inside[silhouette] * outside[silhouette] == 1).all(), "within a pixel of the outline"


def test_a_plane_has_the_depth_of_the_library(computed):
    camera = synth.SETUPS[hand_model.SETUP].camera
    normal, point = [0.1, -0.4, -0.9], [0.0, 40.0, 520.0]
    norm = float(np.linalg.norm(normal))
    plane = torch.tensor([[n / norm for n in normal] + [np.dot(normal, point) / norm]])
    truth = surroundings.plane_depth(plane.double(), camera)[0].numpy()
    found = computed(
        "plane", {"camera": hand_model.camera(camera), "normal": normal, "point": point}
    )
    np.testing.assert_allclose(found, truth.flatten(), rtol=1e-6)


@pytest.mark.parametrize("side", ["right", "left"])
def test_crops_and_voxels_are_those_of_the_methods(side, tmp_path, computed):
    """Values agree within 0.05 mm, apart from pixels or points on the border between two cells."""
    camera = synth.SETUPS[hand_model.SETUP].camera
    frames = synth.frames(range(20), seed=5, distribution="wide")
    images = tmp_path / "images"
    images.write_bytes(frames.depth.numpy().tobytes())
    every = [networks.open(name) for name in NETWORKS]
    # A cube at the border of the image as well.
    centres = frames.centre + torch.tensor([[0.0, 0.0, 0.0], [120.0, 60.0, 30.0]]).repeat(10, 1)
    for live in every:
        crops = prepare.crop(frames.depth, camera, centres, live.cube, hands=[side] * 20)
        truth = live.method.encode(crops).numpy()
        views = [
            {
                "camera": hand_model.camera(camera),
                "centre": centre,
                "cube": live.cube,
                "mirror": -1 if side == "left" else 1,
            }
            for centre in centres.tolist()
        ]
        about = networks.described(live)
        found = computed("input", {"views": views, "images": str(images), "networks": [about]})
        found = found.reshape(truth.shape)
        unit = (
            live.cube / 2 / (1 if about["kind"] == "voxels" else about["middle"] - about["front"])
        )
        wrong = np.abs(found - truth) * unit > 0.05
        assert wrong.sum() <= 2e-3 * (truth != truth.flat[0]).sum(), live.name


def test_a_camera_is_described_by_all_its_fields():
    assert Camera(**hand_model.camera(synth.SETUPS["msra"].camera)) == synth.SETUPS["msra"].camera
