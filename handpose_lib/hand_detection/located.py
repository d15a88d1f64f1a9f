"""A data set whose reference points are found in its images instead of read from its files.

    found = Located(train, refine=trained.load("centre_refiner"))
    source = training.Stored(found, cube, "stored")

In this way a method is trained and tested with centres that a detector found or a refiner improved,
on any set. `by_name` gives the two ways that recipes ask for.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from handpose_lib import prepare
from handpose_lib.errors import one_of
from handpose_lib.frames import DepthFrame
from handpose_lib.hand_detection import trained
from handpose_lib.prepare.locate import METHODS

NAMES = ("refined", "detected")
"""Centres that a recipe may ask for, and that only a trained network can give."""

Locate = Callable[[torch.Tensor, torch.Tensor, list[str]], torch.Tensor]
"""Depth images (B, H, W) mm, cameras (B, 4) and ids → centres (B, 3) mm in the camera frame."""


def by_name(name: str) -> Locate:
    """Return the function that finds centres with the book's trained networks.

    'refined': the centre of mass, improved by the refiner; 'detected': the detector's answer.
    Errors: another name; see `trained.load`.
    """
    if one_of("centre found by a network", name, NAMES) == "refined":
        return locator(refine=trained.load("centre_refiner"))
    return locator(detector=trained.load("hand_detector"))


def locator(
    method: str = "mass", detector: Callable | None = None, refine: Callable | None = None
) -> Locate:
    """Return `prepare.locate` with these settings as a function of images, cameras and ids.

    Errors: an unknown method; when it is called, those of `prepare.locate`.
    """
    one_of("method to locate a hand", method, METHODS)

    def locate(depth: torch.Tensor, cameras: torch.Tensor, ids: list[str]) -> torch.Tensor:
        return prepare.locate(depth, cameras, method, ids=ids, detector=detector, refine=refine)

    return locate


class Located:
    """A data set with other reference points: those that `locate` finds in its images.

    `dataset`: a `datasets.Dataset`; `name` says in the protocol of records how they were found.
    Errors: when frames are read, those of `locate`.
    """

    def __init__(self, dataset: Any, locate: Locate, name: str):
        self._whole, self._locate = dataset, locate
        self.name, self.camera, self.skeleton = dataset.name, dataset.camera, dataset.skeleton
        self.synthetic, self.fingerprint = dataset.synthetic, dataset.fingerprint
        self.protocol = {**dataset.protocol, "centres": name}

    @property
    def root(self) -> Path:
        """The folder of the data set."""
        return self._whole.root

    def __len__(self) -> int:
        return len(self._whole)

    def __getitem__(self, i: int) -> DepthFrame:
        return self.frames([i])[0]

    def frames(self, indices: Iterable[int]) -> list[DepthFrame]:
        """Return the frames of these numbers, located in one batch."""
        frames = self._whole.frames(indices)
        depth = torch.stack([frame.depth for frame in frames])
        cameras = torch.stack([frame.camera.intrinsics(depth) for frame in frames])
        found = self._locate(depth, cameras, [frame.id for frame in frames])
        return [replace(frame, centre=centre) for frame, centre in zip(frames, found, strict=True)]

    def joints(self) -> torch.Tensor:
        """Return the joints of all frames, (N, J, 3) mm."""
        return self._whole.joints()

    def describe(self) -> str:
        """Return one line on the set and its reference points."""
        return f"{self._whole.describe()}, centres {self.protocol['centres']}"
