"""The file formats in which a synthetic data set can be made: one module for each, found by its
file.

A module offers `PROTOCOL`, and `make_synthetic.py` does what all have in common: settings,
progress, a folder that appears only when it is complete. Only the module itself and the reader and
writer in `handpose_lib.datasets` know the format.
"""

import dataclasses
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from handpose_lib import synth
from handpose_lib.errors import one_of


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the set of one format is made.

    name     of the set and of its module in `handpose_lib.datasets`
    counted  what the number of frames counts, for a person: 'frames for each gesture of a subject'
    sizes    that number for 'smoke' and 'laptop'
    limit    the greatest number that fits the format's file names
    facts    number → what else determines the content, as `synthetic.json` keeps it
    total    settings → how many images are written, for the progress bar and the summary
    write    (folder, settings, advance): write everything but `synthetic.json`; `advance(n)` after
             n images
    left     whether the format can name left hands
    changes  what of every distribution is not as its name says, since the set's camera or place
             decides it
    """

    name: str
    counted: str
    sizes: Mapping[str, int]
    limit: int
    facts: Callable[[int], dict]
    total: Callable[[dict], int]
    write: Callable[[Path, dict, Callable[[int], None]], None]
    left: bool = False
    changes: Mapping[str, object] = dataclasses.field(default_factory=dict)


def names() -> list[str]:
    """Every protocol there is."""
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")
    )


def get(name: str) -> Protocol:
    """The protocol of that name. Errors: an unknown name."""
    return import_module(f"{__name__}.{one_of('protocol', name, names())}").PROTOCOL


def distribution(
    name: str, left: bool, changes: Mapping[str, object] = MappingProxyType({})
) -> synth.Distribution:
    """The distribution of that name with some changes; without left hands where a format could not
    name them.
    """
    chosen = synth.DISTRIBUTIONS[one_of("distribution", name, synth.DISTRIBUTIONS)]
    return dataclasses.replace(chosen, **({} if left else {"left": 0.0}), **changes)


def batches(count: int, size: int):
    """The numbers 0 … count − 1 in ranges of at most `size`."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))
