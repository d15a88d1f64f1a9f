"""ICVL's layout: `Training/labels.txt`, `Testing/test_seq_1.txt` and `test_seq_2.txt`, 16-bit PNGs
below `Depth`.

The training frames show persons 0 to 7, each in a folder that begins with 2014 as the originals'
do; every original has a copy in a folder named by an angle, rotated about the middle of the image.
That is exact: a camera with equal focal lengths sees such a rotation when it is turned about its
axis. The two test sequences show person 8, whose proportions lie outside those of all others, and
person 9. The sensor is a time-of-flight camera; where nothing was measured the files have 32,001.
ICVL's files do not tell left from right: all hands are right ones. `centre.txt` has one reference
point per frame, as a network that locates the hand would give it: the mean of the joints, some
millimetres off, in the format of V2V-PoseNet's centre files.
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch

from data_scripts.formats import Format, batches, distribution
from handpose_lib import synth
from handpose_lib.datasets import centres, icvl

CHANGES = {"sensors": {"time of flight": 1.0}}
PERSONS = 8
RECORDING = "2014031211{:02d}"
ROTATIONS = {"22-5": 22.5, "90": 90.0, "157-5": 157.5}
"""Folders of the copies and their angles; each original has one copy, with the angles in turn."""
TESTED = 8
"""One frame in each test sequence for so many originals."""
BATCH = 64


def facts(frames: int) -> dict:
    return {
        "originals": frames,
        "copies": frames,
        "rotations_degrees": ROTATIONS,
        "test_frames_of_each_sequence": max(1, frames // TESTED),
        "persons": {"Training": list(range(PERSONS)), "test_seq_1": 8, "test_seq_2": 9},
    }


def total(settings: dict) -> int:
    return settings["originals"] + settings["copies"] + 2 * settings["test_frames_of_each_sequence"]


def write(root: Path, settings: dict, advance: Callable[[int], object]) -> None:
    """Render every frame into `root`."""
    train, test = (
        Writer(root / "Training", settings, advance),
        Writer(root / "Testing", settings, advance),
    )
    count, tested = settings["originals"], settings["test_frames_of_each_sequence"]
    for person in range(PERSONS):
        train.add(
            RECORDING.format(35 + person),
            person,
            range(person * count // PERSONS, (person + 1) * count // PERSONS),
            copied=True,
        )
    train.write_labels("labels.txt")
    for sequence, person in ((1, 8), (2, 9)):
        test.add(
            f"test_seq_{sequence}",
            person,
            range(count + (sequence - 1) * tested, count + sequence * tested),
        )
        test.write_labels(f"test_seq_{sequence}.txt")
    for part in (train, test):
        part.write_centres()


class Writer:
    """The frames of one folder, `Training` or `Testing`."""

    def __init__(self, place: Path, settings: dict, advance: Callable[[int], object]):
        self.place, self.settings, self.advance = place, settings, advance
        self.names, self.joints, self.centres, self.written = [], [], [], 0

    def add(self, folder: str, person: int, indices: range, copied: bool = False) -> None:
        """Frames of one person, with the generator's numbers `indices`, and their copies."""
        for batch in batches(len(indices), BATCH):
            rendered = render([indices[row] for row in batch], person, self.settings)
            for row, depth, joints, centre in zip(
                batch, rendered.depth, rendered.joints, rendered.centre
            ):
                self._frame(f"{folder}/image_{row:04d}.png", depth, joints, centre)
                if copied:
                    name, degrees = list(ROTATIONS.items())[row % len(ROTATIONS)]
                    self._frame(
                        f"{name}/{folder}/image_{row:04d}.png",
                        rotated_image(depth, degrees),
                        rotated(joints, degrees),
                        rotated(centre, degrees),
                    )
            self.advance(len(batch) * (1 + copied))

    def write_labels(self, name: str) -> None:
        """The label file of everything that was added since the last one."""
        new = slice(self.written, None)
        icvl.write_labels(self.place / name, self.names[new], torch.stack(self.joints[new]).numpy())
        self.written = len(self.names)

    def write_centres(self) -> None:
        centres.write(self.place / icvl.CENTRES, torch.stack(self.centres).numpy(), icvl.SIGNS)

    def _frame(
        self, name: str, depth: torch.Tensor, joints: torch.Tensor, centre: torch.Tensor
    ) -> None:
        path = self.place / "Depth" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        icvl.write_frame(path, depth.numpy())
        self.names.append(name)
        self.joints.append(joints)
        self.centres.append(centre)


def render(indices: list[int], person: int, settings: dict) -> synth.Rendered:
    """The frames of these numbers with one person's hand."""
    return synth.frames(
        indices,
        seed=settings["seed"],
        setup="icvl",
        subjects=[person],
        distribution=distribution(settings["distribution"]["name"], False, CHANGES),
    )


def rotated(points: torch.Tensor, degrees: float) -> torch.Tensor:
    """Points (..., 3) mm turned about the optical axis, from x towards y."""
    (x, y, z), c, s = (
        points.unbind(-1),
        math.cos(math.radians(degrees)),
        math.sin(math.radians(degrees)),
    )
    return torch.stack([c * x - s * y, s * x + c * y, z], -1)


def rotated_image(depth: torch.Tensor, degrees: float) -> torch.Tensor:
    """The image (H, W) that the same camera sees then: each pixel has the depth of the pixel it
    comes from.
    """
    camera, (height, width) = icvl.CAMERA, depth.shape
    v, u = torch.meshgrid(
        torch.arange(height) - camera.v0, torch.arange(width) - camera.u0, indexing="ij"
    )
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    column, row = (
        (c * u + s * v + camera.u0).round().long(),
        (c * v - s * u + camera.v0).round().long(),
    )
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return depth[row.clamp(0, height - 1), column.clamp(0, width - 1)] * inside


FORMAT = Format(
    "icvl",
    "originals with a rotated copy each, and a fourth as many test frames",
    {"smoke": 480, "laptop": 8000},
    80_000,
    facts,
    total,
    write,
    changes=CHANGES,
)
