"""The file formats in which a synthetic data set can be made: one module for each, found by its
file.

A module offers `FORMAT`, and `make_synthetic.py` does what all have in common: settings,
progress, a folder that appears only when it is complete. Only the module itself and the reader and
writer in `handpose_lib.datasets` know the format.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from handpose_lib import synth
from handpose_lib.errors import one_of


@dataclasses.dataclass(frozen=True)
class Format:
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
    facts: Callable[[int], dict[str, Any]]
    total: Callable[[dict[str, Any]], int]
    write: Callable[[Path, dict[str, Any], Callable[[int], object]], None]
    left: bool = False
    changes: Mapping[str, object] = dataclasses.field(default_factory=dict)


def names() -> list[str]:
    """Return the names of all formats."""
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")
    )


def get(name: str) -> Format:
    """Return the format of that name. Errors: an unknown name."""
    return import_module(f"{__name__}.{one_of('format', name, names())}").FORMAT


def distribution(
    name: str, left: bool, changes: Mapping[str, object] = MappingProxyType({})
) -> synth.Distribution:
    """Return the distribution of that name with some changes, and without left hands where a format
    cannot name them.
    """
    chosen = synth.DISTRIBUTIONS[one_of("distribution", name, synth.DISTRIBUTIONS)]
    only_right: dict[str, Any] = {} if left else {"left": 0.0}
    return dataclasses.replace(chosen, **only_right, **changes)


def batches(count: int, size: int) -> Iterator[range]:
    """Yield the numbers 0 … count − 1 in ranges of at most `size`."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))
