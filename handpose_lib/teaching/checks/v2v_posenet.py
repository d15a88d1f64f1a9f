"""Checks of the chapter on V2V-PoseNet."""

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


@exercise("authors_decode", chapter="v2v_posenet")
def authors_decode(student: Student, generator: torch.Generator) -> None:
    """authors_decode(m (J, 3), centre (3,), cube, size) -> (J, 3) mm: the middle of input voxel 2m,
    of `size` per side.
    """
    size, cube = (
        8 * int(torch.randint(3, 12, (1,), generator=generator)),
        float(uniform(generator, (), 150, 300)),
    )
    centre = uniform(generator, (3,), -60, 60) + torch.tensor(
        [0.0, 0.0, 500.0], dtype=torch.float64
    )
    m = torch.randint(1, size // 2, (7, 3), generator=generator)

    def decode(n):
        return centre + cube / 2 * n

    expected = decode((4 * m + 1) / size - 1)
    equal(
        student(m, centre, cube, size),
        expected,
        "the places are not the middles of the input voxels 2m",
        hint=(
            "input voxel i reaches from i to i + 1 in steps of cube / size, counted from centre −"
            " cube / 2"
        ),
        mistakes={
            "that is the port's decode, the middle of output voxel m: half an input voxel away": (
                decode((4 * m + 2) / size - 1)
            ),
            "that is the corner of the voxel: its middle lies half an input voxel on": decode(
                4 * m / size - 1
            ),
            "m counts output voxels, and input voxel 2m is meant": decode((2 * m + 1) / size - 1),
            "the cube reaches half its side to each side of the centre": (
                centre + cube * ((4 * m + 1) / size - 1)
            ),
            "add the centre of the cube": expected - centre,
        },
    )


@exercise("two_losses", chapter="v2v_posenet")
def two_losses(student: Student, generator: torch.Generator) -> None:
    """two_losses(found, target), both (B, J, D, H, W) -> (Eq. 2, averaged over the frames; the mean
    over everything).
    """
    shape = (3, 4, 5, 6, 7)
    found, target = normal(generator, shape), uniform(generator, shape, 0, 1)
    result = student(found, target)
    holds(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "the result must be two numbers: the sum, then the mean",
    )
    answer = torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in result])
    shaped(answer, (2,), "each of the two")
    square = (found - target).square()
    frame, everything = square.sum((1, 2, 3, 4)).mean(), square.mean()
    equal(
        answer,
        torch.stack((frame, everything)),
        "the two losses are not right",
        hint=(
            "both are squared differences: summed over joints and voxels of a frame, or averaged"
            " over everything"
        ),
        mistakes={
            "the order is sum, mean": torch.stack((everything, frame)),
            "Eq. 2 is for one frame: average over the frames of the batch": torch.stack(
                (square.sum(), everything)
            ),
            "Eq. 2 sums over the joints as well": torch.stack(
                (square.sum((2, 3, 4)).mean(), everything)
            ),
            "the mean is over joints and frames as well as voxels": torch.stack(
                (frame, square.mean((2, 3, 4)).sum())
            ),
            "square the differences": torch.stack(
                ((found - target).abs().sum((1, 2, 3, 4)).mean(), (found - target).abs().mean())
            ),
            "there is no root: squared differences": torch.stack((frame, everything)).sqrt(),
        },
    )


@exercise("frames_per_second", chapter="v2v_posenet")
def frames_per_second(student: Student, generator: torch.Generator) -> None:
    """frames_per_second(prepare_ms, forward_ms, read_out_ms, networks): the input is made once, for
    all networks.
    """
    prepare, forward, read_out = uniform(generator, (3,), 1, 30).tolist()
    networks = int(torch.randint(2, 12, (1,), generator=generator))

    def rate(ms):
        return torch.tensor(1000 / ms, dtype=torch.float64)

    answer = torch.as_tensor(student(prepare, forward, read_out, networks), dtype=torch.float64)
    equal(
        answer,
        rate(prepare + networks * (forward + read_out)),
        "the rate of the ensemble is not right",
        hint="1000 ms, over the input once and forward pass and read-out of each network",
        mistakes={
            "the voxels are the same for all networks: prepare them once": rate(
                networks * (prepare + forward + read_out)
            ),
            "each network has its own likelihoods: all of them must be decoded": rate(
                prepare + networks * forward + read_out
            ),
            "that is one network: the others take their time as well": rate(
                prepare + forward + read_out
            ),
            "the times are in milliseconds": rate(prepare + networks * (forward + read_out)) / 1000,
            "that is the time of a frame: frames per second are its inverse": torch.tensor(
                (prepare + networks * (forward + read_out)) / 1000, dtype=torch.float64
            ),
        },
    )
    single = torch.as_tensor(student(prepare, forward, read_out, 1), dtype=torch.float64)
    equal(single, rate(prepare + forward + read_out), "one network must take all three times once")


@exercise("palm_pitch", chapter="v2v_posenet")
def palm_pitch(student: Student, generator: torch.Generator) -> None:
    """palm_pitch(wrist (N, 3), knuckle (N, 3)) -> (N,) rad: how far the knuckle is tilted towards
    the camera.
    """
    wrist = uniform(generator, (9, 3), -60, 60) + torch.tensor(
        [0.0, 0.0, 500.0], dtype=torch.float64
    )
    way = torch.nn.functional.normalize(normal(generator, (9, 3)), dim=-1) * uniform(
        generator, (9, 1), 60, 110
    )
    expected = torch.asin(-way[:, 2] / way.norm(dim=-1))
    equal(
        student(wrist, wrist + way),
        expected,
        "the pitch is not the angle between the palm and the image plane",
        hint="its sine is the depth of the wrist minus that of the knuckle, over their distance",
        mistakes={
            "towards the camera is a smaller z, and counts as positive": -expected,
            "the result is in radians": expected.rad2deg(),
            "that is the angle to the camera's axis: the pitch is measured from the image plane": (
                torch.acos(-way[:, 2] / way.norm(dim=-1))
            ),
            "that is the sine of it": -way[:, 2] / way.norm(dim=-1),
            "divide by the distance in space: with y alone the angle changes when the picture"
            " is turned": torch.atan2(-way[:, 2], -way[:, 1]),
            "divide by the distance in space, which is where the sine comes from": torch.atan(
                -way[:, 2] / way.norm(dim=-1)
            ),
        },
    )
