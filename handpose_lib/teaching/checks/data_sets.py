"""Checks of the chapter on the data sets."""

import torch

from handpose_lib.teaching.checks import Student, check, equal, exercise, holds, normal, require

__all__ = ["check", "require"]


@exercise("nyu_depth", chapter="data_sets")
def nyu_depth(student: Student, generator: torch.Generator) -> None:
    """nyu_depth(picture) -> (H, W) mm from green (high byte) and blue (low byte)."""
    picture = torch.randint(1, 256, (5, 7, 3), generator=generator, dtype=torch.uint8)
    red, green, blue = picture.double().unbind(-1)
    low = picture.int()
    equal(
        student(picture),
        256 * green + blue,
        "nyu_depth is not 256 times the high byte plus the low byte",
        hint="green is the high byte, blue the low one, and red is not used",
        mistakes={
            "8 bits overflow: convert the channels to floats first": (
                ((256 * low[..., 1] + low[..., 2]) % 256).double()
            ),
            "the channels come as red, green, blue: blue is the last": 256 * green + red,
            "green is the high byte and blue the low one": 256 * blue + green,
            "red is not used": 256 * red + green,
            "a byte has 256 values, not 255": 255 * green + blue,
            "the sum of the channels: the high byte counts 256 times": green + blue,
        },
    )


@exercise("originals", chapter="data_sets")
def originals(student: Student, generator: torch.Generator) -> None:
    """originals(names) -> (N,) booleans, true where the folder begins with the year 2014."""
    folders = ["201403121135", "22-5", "0", "201405151126", "2014", "90", "157-5", "120140312"]
    order = torch.randperm(len(folders), generator=generator).tolist()
    names = [f"{folders[i]}/image_2014.png" for i in order]
    truth = torch.tensor([folders[i].startswith("2014") for i in order])
    result = student(names)
    holds(
        isinstance(result, torch.Tensor) and result.dtype == torch.bool,
        "originals is a tensor of booleans",
        "torch.tensor([… for name in names])",
    )
    equal(
        result,
        truth,
        "the result is not true for exactly the originals",
        hint="the folder's name begins with the year 2014",
        mistakes={
            "the wrong way round: these are the copies": ~truth,
            "the year has to be at the beginning of the folder's name, not anywhere in the path": (
                torch.ones(len(names), dtype=torch.bool)
            ),
            "an angle may be written without a dash, as 90": torch.tensor(
                ["-" not in folders[i] for i in order]
            ),
        },
    )


@exercise("itop_to_camera", chapter="data_sets")
def itop_to_camera(student: Student, generator: torch.Generator) -> None:
    """itop_to_camera(points) -> mm with y down, any number of leading axes."""
    for shape in ((3,), (6, 3), (2, 15, 3)):
        points = normal(generator, shape) + torch.tensor([0.0, 0.0, 3.0])
        x, y, z = points.unbind(-1)
        mm = 1000 * torch.stack((x, -y, z), -1)
        equal(
            student(points),
            mm,
            "itop_to_camera is not millimetres with y down",
            hint="a metre has 1000 mm, and y changes its sign",
            mistakes={
                "y points up in the file and down in the book": 1000 * points,
                "metres are not millimetres": mm / 1000,
                "z is positive in front of the camera already": 1000 * torch.stack((x, -y, -z), -1),
            },
        )


@exercise("reorder", chapter="data_sets")
def reorder(student: Student, generator: torch.Generator) -> None:
    """reorder(joints, source, target) -> (N, K, 3), joints picked by their names."""
    source = tuple("abcdefgh")
    joints = normal(generator, (3, len(source), 3))
    picked = torch.randperm(len(source), generator=generator)[:6]
    while (
        picked.tolist() == picked.argsort().tolist()
    ):  # an order that is its own inverse would hide a mistake
        picked = torch.randperm(len(source), generator=generator)[:6]
    target = tuple(source[i] for i in picked.tolist())
    full = torch.randperm(len(source), generator=generator)
    while torch.equal(full, full.argsort()):
        full = torch.randperm(len(source), generator=generator)
    equal(
        student(joints, source, tuple(source[i] for i in full.tolist())),
        joints[:, full],
        "reorder does not put each joint where its name stands",
        hint="for each target name look up its number in the source",
        mistakes={
            "that is the inverse: look up target names in the source": joints[:, full.argsort()],
            "nothing was moved": joints,
        },
    )
    equal(
        student(joints, source, target),
        joints[:, picked],
        "the target may have fewer joints than the source",
        hint="the result has one joint for each target name",
    )
