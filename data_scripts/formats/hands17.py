"""HANDS2017's layout: `training` with `Training_Annotation.txt`, `frame` with `BoundingBox.txt`,
16-bit PNGs.

The training frames show persons 0 to 4, the test frames these and five new ones, 5 to 9, among them
person 8, whose proportions lie outside those of all others. The sensor is a structured-light
camera. A box is that of the joints in the image with 20 pixels around it. The challenge keeps its
test labels; here they lie beside the boxes, as `Test_Annotation.txt`. `centre.txt` has one
reference point per frame, as a network that locates the hand would give it: the mean of the joints,
some millimetres off, in the format of V2V-PoseNet's centre files.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from data_scripts.formats import Format, batches, distribution
from handpose_lib import synth
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.datasets import centres, hands17

CHANGES = {"sensors": {"structured light": 1.0}}
PERSONS = {"train": range(5), "test": range(10)}
TESTED = 4
"""One test frame for so many training frames."""
MARGIN = 20
"""Pixels around the joints that belong to a box."""
BATCH = 32


def facts(frames: int) -> dict:
    return {
        "train_frames": frames,
        "test_frames": max(1, frames // TESTED),
        "persons": {part: list(persons) for part, persons in PERSONS.items()},
    }


def total(settings: dict) -> int:
    return settings["train_frames"] + settings["test_frames"]


def write(root: Path, settings: dict, advance: Callable[[int], object]) -> None:
    """Render every frame into `root`."""
    first = 0
    for part, folder in hands17.PARTS.items():
        place, count = root / folder, settings[f"{part}_frames"]
        (place / "images").mkdir(parents=True)
        names = [hands17.frame_name(i) for i in range(count)]
        joints, points = [], []
        for rows in batches(count, BATCH):
            rendered = render([first + row for row in rows], part, settings)
            for row, depth in zip(rows, rendered.depth):
                hands17.write_frame(place / "images" / names[row], depth.numpy())
            joints.append(rendered.joints)
            points.append(rendered.centre)
            advance(len(rows))
        joints = torch.cat(joints)
        hands17.write_annotations(place / hands17.LABELS[part], names, joints.numpy())
        centres.write(place / hands17.CENTRES, torch.cat(points).numpy(), hands17.TO_MM)
        if part == "test":
            hands17.write_boxes(place / hands17.BOXES, names, boxes(joints).numpy())
        first += count


def render(indices: list[int], part: str, settings: dict) -> synth.Rendered:
    """The frames of these numbers, with the hands of the part's persons."""
    return synth.frames(
        indices,
        seed=settings["seed"],
        setup="hands17",
        subjects=PERSONS[part],
        distribution=distribution(settings["distribution"]["name"], False, CHANGES),
    )


def boxes(joints: torch.Tensor) -> torch.Tensor:
    """(N, 4) left, top, width and height in pixels, inside the image."""
    uv = xyz_to_uvd(joints, hands17.CAMERA)[..., :2]
    size = uv.new_tensor([hands17.CAMERA.width, hands17.CAMERA.height])
    low = (uv.amin(1) - MARGIN).clamp_min(0).minimum(size - 2)
    high = (uv.amax(1) + MARGIN).minimum(size - 1).maximum(low + 1)
    return torch.cat([low, high - low], -1)


FORMAT = Format(
    "hands17",
    "training frames and a fourth as many test frames",
    {"smoke": 480, "laptop": 8000},
    9_999_999,
    facts,
    total,
    write,
    changes=CHANGES,
)
