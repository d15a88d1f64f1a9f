"""What every data set offers: frames by number, labels without images, and its identity."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from handpose_lib import dataset_specs, paths
from handpose_lib.camera import Camera
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.frames import DepthFrame
from handpose_lib.skeleton import Skeleton

SPLITS = ("train", "validation", "test", "all")
SYNTHETIC = "synthetic.json"
"""The file in a set's root that says that the set is synthetic, and everything that determines it.
"""


class Dataset:
    """A map-style data set. Subclasses set the attributes and say how to read frame `i`.

    name      of the set, 'msra'
    root      its folder
    camera    of all its images; if its views have cameras of their own, one of them, and each
              frame carries that of its view
    skeleton  of its labels, or None without labels
    protocol  what an evaluation has to state: split, held-out subject, view, …
    """

    name: str
    root: Path
    camera: Camera
    skeleton: Skeleton | None
    protocol: dict

    def __len__(self) -> int:
        raise NotImplementedError

    def _frame(self, i: int) -> DepthFrame:
        raise NotImplementedError

    def joints(self) -> torch.Tensor:
        """(N, J, 3) mm in the camera frame, of all frames, without reading an image."""
        raise HandPoseError(f"{self.name} has no joints")

    def _label_digest(self) -> str:
        """What identifies a real set: a hash over its label files and counts."""
        raise NotImplementedError

    def __getitem__(self, i: int) -> DepthFrame:
        if not -len(self) <= i < len(self):
            raise IndexError(f"frame {i} of {self.name}: accepted are 0 to {len(self) - 1}")
        return self._frame(int(i) % len(self))

    def frames(self, indices: Iterable[int]) -> list[DepthFrame]:
        """The frames of these numbers, as `prepare.batch` takes them."""
        return [self[int(i)] for i in indices]

    @cached_property
    def synthetic(self) -> bool:
        """Whether the frames were rendered; results on them are always called synthetic."""
        return (self.root / SYNTHETIC).is_file()

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when the set's content does, whatever the split."""
        return digest(self.settings()) if self.synthetic else self._label_digest()[:16]

    def settings(self) -> dict:
        """What determined a synthetic set; empty for a real one."""
        return read_settings(self.root) if self.synthetic else {}

    def describe(self) -> str:
        """One line for a person: what this is and how much of it."""
        kind = "synthetic, in the format of " if self.synthetic else ""
        facts = ", ".join(f"{key} {value}" for key, value in self.protocol.items())
        return (
            f"{kind}{self.name}: {len(self):,} frames of {self.camera.width}×{self.camera.height}"
            f" pixels ({facts})"
        )


def read_settings(root: Path) -> dict:
    """Return the content of a set's `synthetic.json`. Errors: the file is not a JSON object."""
    path = Path(root) / SYNTHETIC
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: accepted is a JSON object, as data_scripts.make_synthetic writes it"
        ) from error
    if not isinstance(settings, dict):
        raise DataError(f"{path}: accepted is a JSON object, this is a {type(settings).__name__}")
    return settings


def digest(settings: dict) -> str:
    """16 hexadecimal digits of a dictionary's content, whatever the order of its keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def need_share(share: float | None, split: str, of: str, name: str = "validation") -> None:
    """Check the option `name`, which sets a share of some frames aside, such as 5 % for validation.

    `of` says in the message which frames are shared out. Errors: the share is not between 0 and 1,
    or it is None although `split` asks for the frames that it sets aside.
    """
    if (share is not None or split == name) and not (isinstance(share, float) and 0 < share < 1):
        raise HandPoseError(
            f"{name} {share!r}: accepted is a share of the {of} frames between 0 and 1"
        )


def need_size(depth: np.ndarray, camera: Camera) -> None:
    """Errors: `depth` is not an image (H, W) of the camera's size."""
    if depth.shape != (camera.height, camera.width):
        raise HandPoseError(
            f"depth of shape {depth.shape}: accepted is {(camera.height, camera.width)}"
        )


def stated(**facts) -> dict:
    """Return what an evaluation has to state: the facts that are not None, with blanks in their
    names.
    """
    return {name.replace("_", " "): fact for name, fact in facts.items() if fact is not None}


def all_or_none(values: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """Return the parts of a set's values as one tensor, or None if a part has none."""
    there = [value for value in values if value is not None]
    return torch.cat(there) if len(there) == len(values) else None


def find(name: str, root: Path | str | None) -> Path:
    """Return the folder of a data set: `root`, or its place in the data folder if that is None.

    Errors: it is missing; the message says what it needs and how to make a synthetic one.
    """
    spec = dataset_specs.get(name)
    return folder(
        default_root(name) if root is None else Path(root),
        spec.title,
        f"{spec.files}: `python -m data_scripts.{name}` says how to obtain them, and"
        f" `python -m data_scripts.make_synthetic --format {name}` makes a synthetic set",
    )


def default_root(name: str) -> Path:
    """Return the real set's folder if the data folder has it, else that of the largest synthetic
    one that is there.
    """
    places = [
        paths.data() / place
        for place in (name, f"synthetic/{name}-laptop", f"synthetic/{name}-smoke")
    ]
    return next((place for place in places if place.is_dir()), places[0])


def folder(root: Path, name: str, how: str) -> Path:
    """Return `root` if it is a folder. Errors: it is missing; the message says `how` to get it."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; {name} needs {how}")
    return root
