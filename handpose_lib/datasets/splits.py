"""What is trained on and what is tested, for any of the five sets, as papers have it.

    train, validation, test, centre, persons = open_splits("nyu", validation=True)

In all of them the test frames are looked at once, at the end: what helps to choose among epochs
comes from the training frames.

    set          test                                     validation
    msra         `subject`                                the subject before it
    nyu, icvl    the set's own                            the last 5 % of the training frames
    hands17      its own where their labels are there,    the last 5 % of what is left
                 else the last 10 % of the training file
    itop         its own, valid frames of one view        the training person of the highest number
"""

from pathlib import Path
from typing import NamedTuple

from handpose_lib import paths
from handpose_lib.datasets import msra, open
from handpose_lib.datasets.base import Dataset
from handpose_lib.errors import HandPoseError, one_of

EMBEDDED = "synthetic"
"""The name under which recipes know the embedded set, which is read as MSRA is."""
SIZES = ("smoke", "laptop")
NAMES = (EMBEDDED, "msra", "nyu", "icvl", "hands17", "itop")
VIEWED = ("nyu", "itop")
"""Sets that several cameras see."""
VALIDATION, HELD_OUT = 0.05, 0.1


class Splits(NamedTuple):
    """`validation` is None where none was asked for. `centre` is where cubes sit, as
    `prepare.batch` takes it. `persons` are those of the synthetic population whom further frames
    for training may show.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset
    centre: str
    persons: tuple[int, ...]


def open_splits(
    name: str,
    root: Path | str | None = None,
    *,
    size: str = "laptop",
    subject: int = 8,
    view=None,
    validation: bool = False,
    centre: str | None = None,
    centres: Path | str | None = None,
) -> Splits:
    """Open a set for a training and its test.

    `name` is one of `NAMES`, `size` that of the embedded set; `root` as in `datasets.open`.
    `subject` is held out of MSRA's nine; `view` is NYU's camera or ITOP's side, None the one that
    papers use. `validation`: set frames aside. `centres` is a folder of V2V-PoseNet's centre files.
    `centre` None means 'stored' where all frames have such a point, else the centre of mass, and
    for ITOP, where a whole room is in view, the mean of the true joints. Errors: see
    `datasets.open`; a view of a set that has but one; a data set without joints.
    """
    if one_of("data set to train on", name, NAMES) == EMBEDDED:
        name, root = (
            "msra",
            root or paths.data() / "synthetic" / f"msra-{one_of('size', size, SIZES)}",
        )
    if view is not None and name not in VIEWED:
        raise HandPoseError(
            f"view {view!r} of {name}: accepted is None; {' and '.join(VIEWED)} have several"
        )
    options = {"subject": subject} if name == "msra" else {} if view is None else {"view": view}
    if centres is not None:
        options["centres"] = centres
    test = open(name, root, split="test", **options)
    if name == "hands17" and test[0].joints is None:
        options["held_out"] = HELD_OUT
        test = open(name, root, split="test", **options)
    aside = _validation(name, root, subject, options) if validation else None
    if validation:
        options["validation"] = aside
    train = open(name, root, split="train", **options)
    held = open(name, root, split="validation", **options) if validation else None
    if centre is None:
        stored = all(frames[0].centre is not None for frames in (train, test))
        centre = "stored" if stored else "true" if name == "itop" else "mass"
    return Splits(train, held, test, centre, _persons(train, {subject, aside}))


def _validation(name: str, root, subject: int, options: dict):
    """What `datasets.open` takes as `validation`: a subject, a person, or a share of the training
    frames.
    """
    if name == "msra":
        return (subject - 1) % len(msra.SUBJECTS)
    if name == "itop":
        return int(open(name, root, split="train", **options).persons.max())
    return VALIDATION


def _persons(train: Dataset, aside: set) -> tuple[int, ...]:
    """Of the nine persons of the embedded set all but those set aside; of another synthetic set
    those whom it trains on.
    """
    if train.name == "msra":
        return tuple(sorted({*range(9)} - aside))
    listed = train.settings().get("persons", {})
    persons = listed.get("train", listed.get("Training", range(9)))
    return (persons,) if isinstance(persons, int) else tuple(persons)
