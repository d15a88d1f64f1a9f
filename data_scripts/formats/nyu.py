"""NYU's layout: `train` and `test`, three views of every frame as RGB-packed PNGs, `joint_data.mat`
with 36 joints.

The training frames show person 0. The first test frames, in the share that the real set has, show
the same person, the others person 8, whose proportions lie outside those of all others. Three
cameras stand around the scene and look at one
point: view 1 from the front, views 2 and 3 from 30 degrees to its right and left. They see the same
hand before the same wall, mostly with a person between, each through a structured-light sensor that
quantises, frays edges and leaves shadows and holes. NYU's files do not tell left from right: all
hands are right ones. `centre.txt` has one reference point per frame in view 1, as a network that
locates the hand would give it: the mean of 14 joints, some millimetres off, in the format of
V2V-PoseNet's centre files.

**The 36 joints.** The hand of `handpose_lib.synth` has four joints per finger, its wrist and its
palm. NYU's KNUk_B is put on the joint at the lower end of phalanx k, and KNUk_A half-way up that
phalanx, but KNU3_A on the tip. PALM_1, 2 and 3 are the two sides of the wrist and the centre of the
palm; PALM_4, 5 and 6 lie half-way from there to the roots of thumb, index and little finger, which
is our choice. So the 14 evaluated joints are those of the skeleton `nyu14`, and the other 22 are
between or beside them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from data_scripts.formats import Format, batches, distribution
from handpose_lib import synth
from handpose_lib.datasets import centres as centre_files
from handpose_lib.datasets import nyu
from handpose_lib.synth import hashing
from handpose_lib.synth.scene import orbit, raycast, sensors, surroundings

CHANGES = {
    "sensors": {"structured light": 1.0},
    "wall": 1.0,
    "person": 0.8,
    "table": 0.0,
    "held": 0.0,
    "near": 0.0,
    "beside": 0.0,
    "behind": (150.0, 1000.0),
    "reach": 4000.0,
    "missing": 0.0,
    "smear": 0.0,
    "coarse": 0.0,
}
"""A room behind one sensor, whichever distribution the hands come from."""
VIEWS_DEGREES = (0.0, 30.0, -30.0)
"""By how much each camera goes round the pivot, to the right of the first one."""
PIVOT_MM = 750.0
"""How far before each camera the point lies at which all of them look."""
TESTED = 4
"""One test frame for so many training frames."""
PERSONS = {"train": 0, "test": 8}
BATCH = 16


def facts(frames: int) -> dict:
    test = max(2, frames // TESTED)
    share = nyu.TRAINING_SUBJECT / nyu.COUNTS["test"]
    return {
        "training_frames": frames,
        "test_frames": test,
        "test_frames_of_training_subject": max(1, round(share * test)),
        "persons": PERSONS,
        "views_degrees": VIEWS_DEGREES,
        "pivot_mm": PIVOT_MM,
    }


def total(settings: dict) -> int:
    return len(nyu.VIEWS) * (settings["training_frames"] + settings["test_frames"])


def write(root: Path, settings: dict, advance: Callable[[int], object]) -> None:
    """Render every frame into `root`."""
    count, known = settings["training_frames"], settings["test_frames_of_training_subject"]
    write_part(root / "train", settings, [PERSONS["train"]] * count, 0, advance)
    persons = [PERSONS["train"]] * known + [PERSONS["test"]] * (settings["test_frames"] - known)
    write_part(root / "test", settings, persons, count, advance)


def write_part(
    place: Path, settings: dict, persons: list[int], first: int, advance: Callable[[int], object]
) -> None:
    """One folder: a frame of each of the `persons`, numbered from `first` in the generator."""
    place.mkdir()
    joints, centres = [], []
    for person in dict.fromkeys(persons):  # the training subject comes first in both parts
        start, size = persons.index(person), persons.count(person)
        for batch in batches(size, BATCH):
            rows = [start + row for row in batch]
            depth, points, centre = render([first + row for row in rows], person, settings)
            for view, images in zip(nyu.VIEWS, depth):
                for row, image in zip(rows, images):
                    nyu.write_frame(place / nyu.frame_name(row, view), image.numpy())
            joints.append(points)
            centres.append(centre)
            advance(len(nyu.VIEWS) * len(rows))
    nyu.write_joints(place / nyu.LABELS, torch.cat(joints, 1).numpy())
    centre_files.write(place / nyu.CENTRES, torch.cat(centres).numpy(), nyu.LABEL_SIGNS)


def render(
    indices: list[int], person: int, settings: dict
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Depth (B, 480, 640) mm of each view, joints (3, B, 36, 3) mm in each camera's frame, centres
    (B, 3) in view 1.
    """
    camera, drawn = nyu.CAMERA, distribution(settings["distribution"]["name"], False, CHANGES)
    # The generator poses the hand; the room and the sensor are this set's own, as three cameras
    # have to see them.
    bare = replace(drawn, sensors={"ideal": 1.0}, wall=0.0, person=0.0, holes=0.0)
    posed = synth.frames(
        indices, seed=settings["seed"], setup="nyu", distribution=bare, subjects=[person]
    )
    key = hashing.keys(settings["seed"], indices)
    wall, body = room(posed.posed.spheres, key, drawn)
    strength = (
        drawn.strength[0]
        + (drawn.strength[1] - drawn.strength[0]) * hashing.uniform(key, "strength")[:, 0]
    )
    share = drawn.holes * hashing.uniform(key, "holes share")[:, 0].square()
    depth, joints = [], []
    for view, degrees in enumerate(VIEWS_DEGREES):
        hand = orbit.seen_from(posed.posed, degrees, PIVOT_MM)
        solids = raycast.join(
            [hand.solids(), raycast.Solids(orbit.turned_cones(body, degrees, PIVOT_MM))]
        )
        exact = surroundings.merge(
            raycast.depth(solids, camera),
            surroundings.plane_depth(orbit.turned_planes(wall, degrees, PIVOT_MM), camera),
        )
        own = hashing.split(key, f"view {view}")
        measured = sensors.structured_light(
            sensors.within(exact, 0.0, drawn.reach), camera, own, strength
        )
        depth.append(sensors.holes(measured, own, share))
        joints.append(joints36(hand.keypoints))
    return depth, torch.stack(joints), posed.centre


def room(
    spheres: torch.Tensor, key, drawn: synth.Distribution
) -> tuple[torch.Tensor, torch.Tensor]:
    """The wall (B, 4) and the person (B, N, 8) behind hands made of `spheres` (B, S, 4), as camera
    1 sees them.
    """
    wall = surroundings.wall(spheres, hashing.uniform(key, "the wall", 3), drawn.behind)
    there = hashing.uniform(key, "person")[:, 0] < drawn.person
    return wall, surroundings.only(
        there, surroundings.person(spheres, hashing.uniform(key, "the person", 7), drawn.behind)
    )


def joints36(keypoints: torch.Tensor) -> torch.Tensor:
    """NYU's 36 points (B, 36, 3) from the 24 of a hand (`synth.hand.Hand.keypoints`)."""
    fingers = keypoints[:, :20].unflatten(1, (5, 4))
    _wrist, ulnar, radial, palm = keypoints[:, 20:].unbind(1)
    points = []
    for finger in (4, 3, 2, 1, 0):  # F1 is the little finger, TH the thumb
        low, second, third, tip = fingers[:, finger].unbind(1)
        points += [tip, third, (second + third) / 2, second, (low + second) / 2, low]
    points += [ulnar, radial, palm] + [(palm + fingers[:, finger, 0]) / 2 for finger in (0, 1, 4)]
    return torch.stack(points, 1)


FORMAT = Format(
    "nyu",
    "training frames, and a test frame for four of them, in three views",
    {"smoke": 120, "laptop": 1600},
    9_999_999,
    facts,
    total,
    write,
    changes=CHANGES,
)
