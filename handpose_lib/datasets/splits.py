"""What is trained on and what is tested, for any data set with joints, as papers have it.

    train, validation, test, centre, persons = open_splits("nyu", validation=True)

The test frames are used once, at the end: what helps to choose among epochs comes from the training
frames, or from frames that the set has for it.

    set          test                                     validation
    msra         `subject`                                the subject before it
    nyu, icvl    the set's own                            the last 5 % of the training frames
    hands17      its own if their labels are there,       the last 5 % of what is left
                 else the last 10 % of the training file
    itop         its own, valid frames of one view        the training person of the highest number
    dexycb       its own, `split_by` sequence or subject  its own
"""

from pathlib import Path
from typing import Any, NamedTuple

from handpose_lib import dataset_specs, paths
from handpose_lib.datasets import msra, open
from handpose_lib.datasets.base import Dataset, folder
from handpose_lib.datasets.dexycb import DexYcb
from handpose_lib.datasets.itop import Itop
from handpose_lib.errors import HandPoseError, one_of

EMBEDDED = "synthetic"
"""The name under which recipes know the embedded set, which is read as MSRA is."""
SIZES = ("smoke", "laptop")
NAMES = (EMBEDDED, *dataset_specs.LABELLED)
VIEWED = tuple(name for name in dataset_specs.LABELLED if dataset_specs.get(name).views > 1)
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
    view: int | str | None = None,
    split_by: str | None = None,
    validation: bool = False,
    centre: str | None = None,
    centres: Path | str | None = None,
    rotated_copies: bool = False,
) -> Splits:
    """Open a set for a training and its test.

    `name` is one of `NAMES`, `size` that of the embedded set; `root` as in `datasets.open`.
    `subject` is held out of MSRA's nine; `view` is a camera of NYU or DexYCB or ITOP's side, None
    what papers use; `split_by` is DexYCB's, None the first of its paper. `validation`: set frames
    aside. `centres` is a folder of V2V-PoseNet's centre files. `rotated_copies`: train on ICVL's as
    well. `centre` None means 'stored' if all
    frames have such a point, else what the set's spec says. Errors: see `datasets.open`; a view, a
    way to split or rotated copies of a set that has none; a data set without joints.
    """
    if one_of("data set to train on", name, NAMES) == EMBEDDED:
        embedded = f"msra-{one_of('size', size, SIZES)}"
        how = f"what `python -m data_scripts.make_synthetic --size {size}` makes in a few minutes"
        place = paths.data() / "synthetic" / embedded
        name, root = "msra", root or folder(place, "the embedded set", how)
    spec = dataset_specs.get(name)
    if view is not None and name not in VIEWED:
        raise HandPoseError(
            f"view {view!r} of {name}: accepted is None; {', '.join(VIEWED)} have several"
        )
    if split_by is not None and name != "dexycb":
        raise HandPoseError(
            f"split_by {split_by!r} of {name}: accepted is None; dexycb has several"
        )
    if rotated_copies and name != "icvl":
        raise HandPoseError(f"rotated_copies of {name}: accepted is False; only icvl has them")
    asked = {
        "subject": subject if spec.validation == "subject" else None,
        "view": view,
        "split_by": split_by,
        "centres": centres,
    }
    copies = {"rotated": True} if rotated_copies else {}
    options = {option: value for option, value in asked.items() if value is not None}
    test = open(name, root, split="test", **options)
    if name == "hands17" and test[0].joints is None:
        options["held_out"] = HELD_OUT
        test = open(name, root, split="test", **options)
    aside = _validation(spec.validation, name, root, subject, options) if validation else None
    if aside is not None:
        options["validation"] = aside
    train = open(name, root, split="train", **options, **copies)
    held = open(name, root, split="validation", **options) if validation else None
    if centre is None:
        stored = all(frames[0].centre is not None for frames in (train, test))
        centre = "stored" if stored else spec.centre
    return Splits(train, held, test, centre, _persons(train, {subject, aside}))


def _validation(
    kind: str, name: str, root: Path | str | None, subject: int, options: dict[str, Any]
) -> int | float | None:
    """What `datasets.open` takes as `validation`: a subject, a person, a share of the training
    frames, or None if the set has frames of its own.
    """
    if kind == "person":
        train = open(name, root, split="train", **options)
        assert isinstance(train, Itop)
        return int(train.persons.max())
    return {"subject": (subject - 1) % len(msra.SUBJECTS), "share": VALIDATION, "own": None}[kind]


def _persons(train: Dataset, aside: set) -> tuple[int, ...]:
    """Of the nine persons of the embedded set all but those set aside; of another synthetic set
    those whom it trains on.
    """
    if train.name == "msra":
        return tuple(sorted({*range(9)} - aside))
    if isinstance(train, DexYcb):
        return tuple(person - 1 for person in train.subjects.unique().tolist())
    listed = train.settings().get("persons", {})
    persons = listed.get("train", listed.get("Training", range(9)))
    return (persons,) if isinstance(persons, int) else tuple(persons)
