"""DexYCB's layout: ten persons, sequences with eight views, 16-bit PNGs and `labels_*.npz`.

Each person has five sequences, so that the split by sequence has its parts; the real set has a
hundred. Person n of the files is person n - 1 of the synthetic population; the ninth, who is tested
in both splits, has proportions outside those of all others. Hands of odd sequences are left ones.
Eight cameras stand in a circle around one point and see the same hand at the same moment, each
through a structured-light sensor and with intrinsics of its own. There are no objects and no room.
The first frame of a sequence shows no hand, and its labels say so.

`centre.txt` in the folder of a view has one reference point per frame, as a network that locates
the hand would give it: the mean of the joints, some millimetres off; `invalid` without a hand.
Colour pictures and what else no loader here reads are not written.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data_scripts.formats import Format, batches, distribution
from handpose_lib import synth
from handpose_lib.camera import Camera
from handpose_lib.datasets import centres as centre_files
from handpose_lib.datasets import dexycb
from handpose_lib.synth import hashing
from handpose_lib.synth.hands.hand import Hand
from handpose_lib.synth.scene import orbit, raycast, sensors

CHANGES = {
    "sensors": {"structured light": 1.0},
    "offset": 0.25,
    "wall": 0.0,
    "person": 0.0,
    "table": 0.0,
    "held": 0.0,
    "near": 0.0,
    "beside": 0.0,
    "missing": 0.0,
    "smear": 0.0,
    "coarse": 0.0,
}
"""Only a hand and its forearm before one kind of sensor, not far from the axis of any camera."""
SEQUENCES = 5
EMPTY = 1
"""Frames without a hand at the beginning of a sequence."""
PIVOT_MM = 800.0
"""How far before each camera the point lies at which all of them look."""
DEGREES = 45.0
"""The angle at that point between neighbouring cameras, which go to the right of the first one."""
BATCH = 16


def facts(frames: int) -> dict:
    return {
        "sequences_of_each_person": SEQUENCES,
        "frames_with_a_hand": frames,
        "frames_without_a_hand": EMPTY,
        "persons": list(range(len(dexycb.PERSONS))),
        "views_degrees": [DEGREES * (view - 1) for view in dexycb.VIEWS],
        "pivot_mm": PIVOT_MM,
    }


def total(settings: dict) -> int:
    frames = settings["frames_with_a_hand"] + settings["frames_without_a_hand"]
    return len(dexycb.PERSONS) * SEQUENCES * frames * len(dexycb.VIEWS)


def write(root: Path, settings: dict, advance: Callable[[int], object]) -> None:
    """Render every frame into `root`."""
    for view in dexycb.VIEWS:
        dexycb.write_camera(dexycb.camera_file(root, view), camera(view))
    for person, name in enumerate(dexycb.PERSONS):
        for number in range(SEQUENCES):
            place = root / name / f"{name[:8]}_{100_000 + number}"
            write_sequence(place, settings, person, number, advance)


def write_sequence(
    place: Path, settings: dict, person: int, number: int, advance: Callable[[int], object]
) -> None:
    """One sequence of one person, in all views."""
    count = settings["frames_with_a_hand"]
    hand = "left" if number % 2 else "right"
    dexycb.write_sequence(place, EMPTY + count, hand)
    folders = [place / serial for serial in dexycb.SERIALS]
    for folder in folders:
        folder.mkdir()
        for row in range(EMPTY):
            write_frame(folder, row, np.zeros((dexycb.CAMERA.height, dexycb.CAMERA.width)), None)
    advance(EMPTY * len(folders))
    first = (person * SEQUENCES + number) * count
    centres = []
    for rows in batches(count, BATCH):
        views, points = render([first + row for row in rows], person, hand, settings)
        for folder, (depth, joints) in zip(folders, views):
            for row, image, xyz in zip(rows, depth, joints):
                write_frame(folder, EMPTY + row, image.numpy(), xyz.numpy())
        centres.append(points)
        advance(len(rows) * len(folders))
    for folder, points in zip(folders, torch.cat(centres, 1).numpy()):
        empty = np.full((EMPTY, 3), np.nan)
        centre_files.write(folder / dexycb.CENTRES, np.concatenate((empty, points)), dexycb.TO_MM)


def write_frame(folder: Path, row: int, depth: np.ndarray, joints: np.ndarray | None) -> None:
    """An image and its label file."""
    dexycb.write_frame(folder / dexycb.frame_name(row), depth)
    dexycb.write_joints(folder / dexycb.label_name(row), joints)


def render(
    indices: list[int], person: int, hand: str, settings: dict
) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
    """Depth (B, 480, 640) mm and joints (B, 21, 3) mm of each view in the frame of its camera, and
    the reference points (8, B, 3).
    """
    drawn = distribution(settings["distribution"]["name"], True, CHANGES)
    # The generator poses the hand; the sensor is this set's own, as eight cameras have to see it.
    bare = replace(drawn, sensors={"ideal": 1.0}, holes=0.0, left=float(hand == "left"))
    posed = synth.frames(
        indices, seed=settings["seed"], setup="dexycb", distribution=bare, subjects=[person]
    )
    key = hashing.keys(settings["seed"], indices)
    low, high = drawn.strength
    strength = low + (high - low) * hashing.uniform(key, "strength")[:, 0]
    share = drawn.holes * hashing.uniform(key, "holes share")[:, 0].square()
    views, centres = [], []
    for view in dexycb.VIEWS:
        degrees = DEGREES * (view - 1)
        seen: Hand = orbit.seen_from(posed.posed, degrees, PIVOT_MM)
        exact = raycast.depth(seen.solids(), camera(view))
        own = hashing.split(key, f"view {view}")
        measured = sensors.structured_light(
            sensors.within(exact, 0.0, drawn.reach), camera(view), own, strength
        )
        views.append((sensors.holes(measured, own, share), seen.joints("dexycb21")))
        centres.append(orbit.turned(posed.centre, degrees, PIVOT_MM))
    return views, torch.stack(centres)


def camera(view: int) -> Camera:
    """The camera of a view: near the set's, as eight cameras of one make differ."""
    off, middle = view - 6, dexycb.CAMERA
    return replace(
        middle,
        fx=middle.fx + 1.5 * off,
        fy=middle.fy + 1.5 * off,
        u0=middle.u0 + 2 * off,
        v0=middle.v0 - off,
    )


FORMAT = Format(
    "dexycb",
    "frames with a hand in each of 50 sequences, in eight views",
    {"smoke": 1, "laptop": 20},
    999_999 - EMPTY,
    facts,
    total,
    write,
    left=True,
    changes=CHANGES,
)
