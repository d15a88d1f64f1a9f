"""ITOP's layout: HDF5 files of depth and labels for each view and part, of a synthetic person
instead of a hand.

Persons 0 to 3 are tested, 4 to 19 trained on; both views show the same moments. Frames in which
more than three joints are outside of the image are marked invalid, and some are there. The
distribution `msra_like` leaves out room and sensor; all others have them.
`ITOP_side_train_centre.txt` and its like have one reference point per frame, as a network that
locates the person would give it: the mean of the joints, some centimetres off, in the format of
V2V-PoseNet's centre files. Point clouds and pictures, which no loader here reads, are not written.
"""

from collections.abc import Callable
from pathlib import Path

from data_scripts.formats import Format, batches
from handpose_lib.datasets import itop
from handpose_lib.synth.bodies import body

PERSONS = {"test": range(4), "train": range(4, 20)}
BATCH = 32


def facts(frames: int) -> dict:
    return {
        "frames_per_person": frames,
        "views": list(itop.VIEWS),
        "actions": list(body.ACTIONS),
        "persons": {part: list(persons) for part, persons in PERSONS.items()},
    }


def total(settings: dict) -> int:
    return settings["frames_per_person"] * len(itop.VIEWS) * sum(map(len, PERSONS.values()))


def write(root: Path, settings: dict, advance: Callable[[int], object]) -> None:
    """Render every frame into `root`."""
    count = settings["frames_per_person"]
    for view in itop.VIEWS:
        for part, persons in PERSONS.items():
            with itop.Writer(root, view, part, count * len(persons)) as writer:
                for number, person in enumerate(persons):
                    for rows in batches(count, BATCH):
                        shown = render(
                            [person * count + row for row in rows], view, person, settings
                        )
                        names = [f"{person:02d}_{row:05d}" for row in rows]
                        writer.add(
                            number * count + rows[0],
                            names,
                            shown.depth,
                            shown.joints,
                            shown.visible,
                            shown.parts,
                            shown.centre,
                            shown.valid,
                        )
                        advance(len(rows))


def render(indices: list[int], view: str, person: int, settings: dict) -> body.Rendered:
    """The frames of these numbers with one person."""
    clean = settings["distribution"]["name"] == "msra_like"
    return body.frames(indices, seed=settings["seed"], view=view, subjects=[person], clean=clean)


FORMAT = Format(
    "itop",
    "frames of each person and view",
    {"smoke": 24, "laptop": 125},
    99_999,
    facts,
    total,
    write,
)
