"""Checks of the chapter on the Structure-Aware 3D Hourglass."""

import torch

from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    normal,
    require,
    shaped,
    uniform,
)

__all__ = ["check", "require"]


@exercise("bone_map", chapter="structure_aware_hourglass")
def bone_map(student: Student, generator: torch.Generator) -> None:
    """bone_map(start (3,), end (3,), size, sigma) -> (size, size, size) [z][y][x]: a Gaussian
    of the distance to the segment.
    """
    size, sigma = 10, 0.5 + float(uniform(generator, (), 0.5, 1.0))
    start = uniform(generator, (3,), 2, 4)
    end = start + uniform(generator, (3,), 1, 4) * torch.tensor(
        [1.0, 1.6, 0.4], dtype=torch.float64
    )
    steps = torch.arange(size, dtype=torch.float64)
    v = torch.stack(
        torch.meshgrid(steps, steps, steps, indexing="ij")[::-1], -1
    )  # places (x, y, z) of [z][y][x]
    bone, away = end - start, v - start
    along = (away @ bone) / (bone @ bone)
    near, line = (
        (away - share[..., None] * bone).square().sum(-1) for share in (along.clamp(0, 1), along)
    )
    middle = (v - (start + end) / 2).square().sum(-1)

    def gaussian(square: torch.Tensor, width: float = sigma) -> torch.Tensor:
        return (-square / (2 * width**2)).exp()

    found = student(start, end, size, sigma)
    shaped(found, (size,) * 3, "the map", "one number for each voxel")
    equal(
        found,
        gaussian(near),
        "the map is not exp(−d²/2σ²) with d the distance from each voxel to the bone",
        hint="the nearest point of the segment is start + t (end − start) with t clamped to [0, 1]",
        mistakes={
            "that is the distance to the line, which never ends: clamp t to [0, 1]": gaussian(line),
            "that is the distance to the bone's middle": gaussian(middle),
            "the map is stored [z][y][x]: the last axis is x": gaussian(near).permute(2, 1, 0),
            "divide by 2σ², not by σ²": gaussian(near, sigma / 2**0.5),
            "square the distance: a Gaussian, not a tent": (-near.sqrt() / (2 * sigma**2)).exp(),
        },
    )
    equal(student(end, start, size, sigma), gaussian(near), "a bone is the same from either end")
    equal(
        student(start, start, size, sigma),
        gaussian(away.square().sum(-1)),
        "a bone without length is a Gaussian about its only point",
    )


@exercise("weighted_top_k", chapter="structure_aware_hourglass")
def weighted_top_k(student: Student, generator: torch.Generator) -> None:
    """weighted_top_k(volume (D, H, W), k) -> place (3,) = (x, y, z): the k highest voxels, weighted
    by their heights (Eq. 3).
    """
    depth, height, width, k = 4, 5, 6, 7
    volume = uniform(generator, (depth, height, width), -1.0, 0.2)
    chosen = torch.randperm(volume.numel(), generator=generator)[:k]
    volume.view(-1)[chosen] = uniform(generator, (k,), 0.3, 1.0)
    places = torch.stack(
        (chosen % width, chosen // width % height, chosen // (width * height)), -1
    ).double()
    weight = volume.view(-1)[chosen]
    expected = (weight / weight.sum()) @ places
    found = student(volume, k)
    shaped(found, (3,), "the place", "one place (x, y, z)")
    equal(
        found,
        expected,
        "the place is not the weighted mean of the k highest voxels",
        hint="flatten, topk, and take the place of an index apart: x = index % W",
        mistakes={
            "the order is x, y, z; the volume's axes are z, y, x": expected.flip(0),
            "weigh each voxel by its height": places.mean(0),
            "the weights must add up to 1": weight @ places,
            "that is the highest voxel alone": places[weight.argmax()],
            "take the highest k, not all voxels": _mean_of_all(volume),
        },
    )
    # With more voxels than are above 0, what is below must not pull.
    low = volume.flatten().topk(k + 40).indices
    holds(
        torch.allclose(student(volume, k + 40).double(), _clipped(volume, low), atol=1e-4),
        "negative heights change the position",
        "a weight below 0 is no weight: clamp_min(0)",
    )


def _places(volume):
    z, y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in volume.shape), indexing="ij"
    )
    return torch.stack((x, y, z), -1).flatten(0, 2)


def _clipped(volume, index):
    weight = volume.flatten()[index].clamp_min(0)
    return weight @ _places(volume)[index] / weight.sum()


def _mean_of_all(volume):
    return _clipped(volume, torch.arange(volume.numel()))


@exercise("bone_length_off", chapter="structure_aware_hourglass")
def bone_length_off(student: Student, generator: torch.Generator) -> None:
    """bone_length_off(predicted (N, J, 3), joints (N, J, 3), bones ((child, parent), …)) -> (M,)
    mean |length − true length|.
    """
    bones = ((1, 0), (2, 1), (3, 2), (4, 0))
    joints = 30 * normal(generator, (12, 5, 3))
    predicted = joints + 8 * normal(generator, (12, 5, 3))
    predicted[:, 4] = (
        predicted[:, 4] + predicted[:, 0]
    ) / 2  # one bone is mostly too short, as noise makes others too long
    child, parent = (list(side) for side in zip(*bones))
    vector, true = predicted[:, child] - predicted[:, parent], joints[:, child] - joints[:, parent]
    off = vector.norm(dim=-1) - true.norm(dim=-1)
    found = student(predicted, joints, bones)
    shaped(found, (len(bones),), "the result", "one number for each bone: average over the frames")
    equal(
        found,
        off.abs().mean(0),
        "a bone's figure is not the mean, over frames, of how far its length is from the true one",
        hint=(
            "length of the predicted bone minus length of the true one, without sign, then the mean"
        ),
        mistakes={
            "too long and too short must not cancel: drop the sign before the mean": off.mean(0),
            "drop the sign before the mean, not after it": off.mean(0).abs(),
            "that is the length of the difference of two bones: turning a bone does not make"
            " it longer": ((vector - true).norm(dim=-1).mean(0)),
            "that is the mean of the squares": off.square().mean(0),
            "that is the root of the mean of the squares": off.square().mean(0).sqrt(),
        },
    )
    turn = torch.linalg.qr(normal(generator, (3, 3))).Q
    holds(
        float(student(joints @ turn + 50, joints, bones).abs().max()) < 1e-6,
        "for a hand that was only moved, every result must be 0",
    )
