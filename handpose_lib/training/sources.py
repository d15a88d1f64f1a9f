"""Where training frames come from: a data set in files, or frames rendered on the fly."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from handpose_lib import prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops
from handpose_lib.io.background import in_background
from handpose_lib.prepare.crop import MARGIN
from handpose_lib.training.randomness import generator, mix
from handpose_lib.training.windows import assemble, cut_window

MEMORY = 2 << 30
"""Bytes of cut windows that a `Stored` source keeps, unless told otherwise: 2 GiB."""


class Stored:
    """Frames of a data set, read and cut on the CPU, and kept as cut windows for the next epoch.

    `cube` mm, or several sides of which each sample draws one; `centre` as in `prepare.batch`,
    found with the smallest side. A window is kept as 16-bit depth in steps of 1/16 mm about its
    centre (±2047 mm), trimmed to what is not background, until `memory` bytes are full: frames
    beyond that are read again each time. Frames pass through the same 16 bits before they are kept,
    so that the batches do not depend on `memory`.
    """

    on_host = True

    def __init__(self, dataset, cube, centre="mass", *, memory=MEMORY, margin=MARGIN):
        if len(dataset) == 0:
            raise HandPoseError("a training set without frames: at least one is needed")
        self.dataset, self.centre, self.memory, self.margin = dataset, centre, memory, margin
        self.cubes = _sides(cube)
        self._kept, self._bytes = {}, 0
        self._orders = {}

    def __len__(self):
        return len(self.dataset)

    def describe(self) -> dict:
        """What decides the frames, for checkpoint and record."""
        return {
            "kind": "stored",
            "dataset": self.dataset.name,
            "fingerprint": self.dataset.fingerprint,
            "protocol": dict(self.dataset.protocol),
            "centre": self.centre,
            "cube": list(self.cubes),
        }

    def batch(self, step, size, seed=0, device="cpu") -> Crops:
        """Batch `step`: places step·size … of an endless row of shuffled epochs, no frame left out."""
        places = range(step * size, (step + 1) * size)
        crops = self.crops(
            [self._order(seed, place // len(self))[place % len(self)] for place in places]
        )
        return _draw_cubes(crops, self.cubes, seed, step).to(device)

    def sweep(self, *, cube=None, batch=64, device="cpu"):
        """Every frame once, in order, seen in a cube of side `cube` (None: the source's smallest)."""
        starts = range(0, len(self), batch)
        for crops in in_background(
            lambda start: self.crops(range(start, min(start + batch, len(self)))), starts
        ):
            yield replace(crops, cube=torch.full_like(crops.cube, cube or min(self.cubes))).to(
                device
            )

    def crops(self, indices: Sequence[int]) -> Crops:
        """The windows of these frames, from memory where they are kept."""
        missing = sorted({i for i in indices if i not in self._kept})
        fresh = dict(zip(missing, self._cut(missing), strict=True)) if missing else {}
        for i, window in fresh.items():
            if self._bytes + window.depth.nbytes <= self.memory:
                self._kept[i] = window
                self._bytes += window.depth.nbytes
        return assemble([self._kept.get(i) or fresh[i] for i in indices], min(self.cubes))

    def _cut(self, indices):
        frames = self.dataset.frames(indices)
        smallest, largest = min(self.cubes), max(self.cubes)
        # Windows of a few pixels: only centres and the like are wanted here, pixels come from the
        # images.
        crops = prepare.batch(frames, smallest, self.centre, size=8)
        if crops.joints is None:
            raise HandPoseError(
                f"frames of {self.dataset.name} without joints: training needs them"
            )
        return [
            cut_window(frame.depth, crops, i, reach=self.margin * largest / 2)
            for i, frame in enumerate(frames)
        ]

    def _order(self, seed, epoch):
        """The frames of one epoch in their order; two epochs are remembered, since a batch may span
        both.
        """
        if (seed, epoch) not in self._orders:
            self._orders = {
                key: order for key, order in self._orders.items() if key == (seed, epoch - 1)
            }
            self._orders[seed, epoch] = torch.randperm(
                len(self), generator=generator(seed, "order", epoch)
            ).tolist()
        return self._orders[seed, epoch]


class OnTheFly:
    """Synthetic frames, rendered on the device where they are used; none is ever seen twice.

    `distribution` and `setup` as in `synth.frames`; `frames` make one epoch; `subjects` of the
    synthetic population; `cube` and `centre` as in `Stored`.
    """

    on_host = False

    def __init__(
        self,
        distribution="wide",
        *,
        frames,
        cube,
        seed=0,
        setup="msra",
        subjects=range(8),
        centre="mass",
    ):
        from handpose_lib import synth

        self._render = synth.frames
        self.distribution, self.frames, self.seed = distribution, frames, seed
        self.setup, self.subjects = setup, tuple(subjects)
        self.centre = one_of("centre", centre, ("mass", "true", "stored"))
        self.cubes = _sides(cube)

    def __len__(self):
        return self.frames

    def describe(self) -> dict:
        """What decides the frames, for checkpoint and record."""
        distribution = (
            self.distribution if isinstance(self.distribution, str) else vars(self.distribution)
        )
        return {
            "kind": "on the fly",
            "dataset": self.setup,
            "distribution": distribution,
            "seed": self.seed,
            "subjects": list(self.subjects),
            "centre": self.centre,
            "cube": list(self.cubes),
        }

    def batch(self, step, size, seed=0, device="cpu") -> Crops:
        """Batch `step`: the frames step·size … of the endless set that the two seeds name."""
        crops = self.crops(range(step * size, (step + 1) * size), seed, device)
        return _draw_cubes(crops, self.cubes, seed, step)

    def sweep(self, *, cube=None, batch=64, device="cpu"):
        """The frames of the first epoch, in order, seen in a cube of side `cube`
        (None: the smallest).
        """
        for start in range(0, len(self), batch):
            crops = self.crops(range(start, min(start + batch, len(self))), 0, device)
            yield replace(crops, cube=torch.full_like(crops.cube, cube or min(self.cubes)))

    def crops(self, indices: Sequence[int], seed=0, device="cpu") -> Crops:
        """These frames, rendered and cut."""
        rendered = self._render(
            indices,
            seed=mix(self.seed, "frames", seed) % (1 << 31),
            setup=self.setup,
            distribution=self.distribution,
            subjects=self.subjects,
            device=device,
        )
        smallest = min(self.cubes)
        if self.centre == "mass":
            centre = prepare.locate(rendered.depth, rendered.camera, cube=smallest)
        elif self.centre == "true":
            centre = prepare.true_centre(rendered.joints)
        else:
            centre = rendered.centre
        return prepare.crop(
            rendered.depth,
            rendered.camera,
            centre,
            smallest,
            rendered.joints,
            rendered.hands,
            rendered.ids,
            margin=MARGIN * max(self.cubes) / smallest,
        )


def _sides(cube) -> tuple[float, ...]:
    sides = tuple(float(side) for side in (cube if isinstance(cube, Sequence) else (cube,)))
    if not sides or not all(0 < side < math.inf for side in sides):
        raise HandPoseError(
            f"cube {cube!r}: accepted is its side in mm, or several of which each sample draws one"
        )
    return sides


def _draw_cubes(crops, sides, seed, step):
    """`crops`, each in a cube of one of the `sides`, decided by (seed, step)."""
    drawn = torch.randint(len(sides), (len(crops),), generator=generator(seed, "cube", step))
    return replace(crops, cube=torch.tensor(sides)[drawn].to(crops.cube))
