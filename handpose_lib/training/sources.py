"""Where training frames come from: a data set in files, or frames rendered on the fly."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from handpose_lib import prepare
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops, DepthFrame
from handpose_lib.io.background import in_background
from handpose_lib.prepare.crop import MARGIN
from handpose_lib.training.randomness import generator, mix
from handpose_lib.training.windows import Window, assemble, cut_window

MEMORY = 2 << 30
"""Default size in bytes of the windows that a `Stored` source keeps: 2 GiB."""


class Frames(Protocol):
    """What training needs of a data set: `datasets.Dataset` has it, and so have its subsets."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Any: ...  # a string, or a cached property that is one

    @property
    def protocol(self) -> Mapping[str, Any]: ...

    def __len__(self) -> int: ...

    def frames(self, indices: Iterable[int]) -> list[DepthFrame]:
        """Return the frames of these numbers."""
        ...

    def joints(self) -> torch.Tensor:
        """Return the joints of all frames, (N, J, 3) mm."""
        ...


class Stored:
    """Frames of a data set, read and cut on the CPU, and kept as cut windows for the next epoch.

    cube      side in mm, or several sides, of which one is drawn per sample
    centre    as in `prepare.batch`, found with the smallest side
    memory    bytes of windows that are kept; the frames beyond that are read again in every epoch
    margin    side of a window in multiples of the largest cube

    A window is kept as 16-bit depth in steps of 1/16 mm about its centre (±2047 mm), without the
    background around it. Every frame passes through the same 16 bits, so that the batches do not
    depend on `memory`.
    Errors: no frames, a side that is not positive; when frames are read, one without joints.
    """

    on_host = True

    def __init__(
        self,
        dataset: Frames,
        cube: float | Sequence[float],
        centre: str = "mass",
        *,
        memory: int = MEMORY,
        margin: float = MARGIN,
    ):
        if len(dataset) == 0:
            raise HandPoseError("a training set without frames: at least one is needed")
        self.dataset, self.centre, self.memory, self.margin = dataset, centre, memory, margin
        self.cubes = _sides(cube)
        self._kept: dict[int, Window] = {}
        self._bytes = 0
        self._orders: dict[tuple[int, int], list[int]] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def describe(self) -> dict:
        """Return what determines the frames, for checkpoint and record."""
        return {
            "kind": "stored",
            "dataset": self.dataset.name,
            "fingerprint": self.dataset.fingerprint,
            "protocol": dict(self.dataset.protocol),
            "centre": self.centre,
            "cube": list(self.cubes),
        }

    def batch(
        self,
        step: int,
        size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rows: range | None = None,
    ) -> Crops:
        """Return batch `step` of an endless sequence of epochs, each shuffled anew.

        `rows`: which of its `size` samples to return; None: all. A batch at the end of an epoch
        goes on with the next one, so that no frame is left out.
        """
        rows = range(size) if rows is None else rows
        numbers = [step * size + row for row in rows]
        crops = self.crops([self._order(seed, n // len(self))[n % len(self)] for n in numbers])
        return _draw_cubes(crops, self.cubes, seed, step, rows).to(device)

    def sweep(
        self,
        *,
        cube: float | None = None,
        batch: int = 64,
        device: torch.device | str = "cpu",
    ) -> Iterator[Crops]:
        """Yield every frame once, in order, in batches of crops.

        `cube`: side of their cube in mm; None: the smallest side of the source.
        """
        starts = range(0, len(self), batch)
        for crops in in_background(
            lambda start: self.crops(range(start, min(start + batch, len(self)))), starts
        ):
            yield replace(crops, cube=torch.full_like(crops.cube, cube or min(self.cubes))).to(
                device
            )

    def crops(self, indices: Sequence[int]) -> Crops:
        """Return the crops of these frames, from memory where their windows are kept."""
        missing = sorted({i for i in indices if i not in self._kept})
        fresh = dict(zip(missing, self._cut(missing), strict=True)) if missing else {}
        for i, window in fresh.items():
            if self._bytes + window.depth.nbytes <= self.memory:
                self._kept[i] = window
                self._bytes += window.depth.nbytes
        return assemble([self._kept.get(i) or fresh[i] for i in indices], min(self.cubes))

    def _cut(self, indices: Sequence[int]) -> list[Window]:
        frames = self.dataset.frames(indices)
        smallest, largest = min(self.cubes), max(self.cubes)
        # Crops of a few pixels: centres and joints come from here, but the depth from the images.
        crops = prepare.batch(frames, smallest, self.centre, size=8)
        if crops.joints is None:
            raise HandPoseError(
                f"frames of {self.dataset.name} without joints: training needs them"
            )
        return [
            cut_window(frame.depth, crops, i, reach=self.margin * largest / 2)
            for i, frame in enumerate(frames)
        ]

    def __getstate__(self) -> dict:
        """Return what a copy in another process needs: the windows are read again there."""
        return {**self.__dict__, "_kept": {}, "_bytes": 0}

    def _order(self, seed: int, epoch: int) -> list[int]:
        """Return the frames of an epoch in their order.

        Two epochs are remembered, because a batch may span both.
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
    """Synthetic frames, rendered on the device that uses them; no frame is used twice.

    distribution    as in `synth.frames`, like `setup`
    frames          number of frames that count as one epoch
    subjects        numbers of persons of the synthetic population
    cube, centre    as in `Stored`
    locate          depth images (B, H, W) mm, cameras (B, 4) and ids → centres (B, 3) mm, which
                    then take the place of those that `centre` names; it is named for the record

    Errors: an unknown centre, unless `locate` finds it.
    """

    on_host = False

    def __init__(
        self,
        distribution: Any = "wide",
        *,
        frames: int,
        cube: float | Sequence[float],
        seed: int = 0,
        setup: str = "msra",
        subjects: Iterable[int] = range(8),
        centre: str = "mass",
        locate: Callable[..., torch.Tensor] | None = None,
    ):
        from handpose_lib import synth

        self._render = synth.frames
        self.distribution, self.frames, self.seed = distribution, frames, seed
        self.setup, self.subjects = setup, tuple(subjects)
        self.locate = locate
        self.centre = centre if locate else one_of("centre", centre, ("mass", "true", "stored"))
        self.cubes = _sides(cube)

    def __len__(self) -> int:
        return self.frames

    def describe(self) -> dict:
        """Return what determines the frames, for checkpoint and record."""
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

    def batch(
        self,
        step: int,
        size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rows: range | None = None,
    ) -> Crops:
        """Return batch `step` of the endless sequence of frames that the two seeds determine.

        `rows`: which of its `size` samples to return; None: all.
        """
        rows = range(size) if rows is None else rows
        crops = self.crops([step * size + row for row in rows], seed, device)
        return _draw_cubes(crops, self.cubes, seed, step, rows)

    def sweep(
        self,
        *,
        cube: float | None = None,
        batch: int = 64,
        device: torch.device | str = "cpu",
    ) -> Iterator[Crops]:
        """Yield the frames of the first epoch in order, in batches of crops.

        `cube`: side of their cube in mm; None: the smallest side of the source.
        """
        for start in range(0, len(self), batch):
            crops = self.crops(range(start, min(start + batch, len(self))), 0, device)
            yield replace(crops, cube=torch.full_like(crops.cube, cube or min(self.cubes)))

    def crops(
        self, indices: Sequence[int], seed: int = 0, device: torch.device | str = "cpu"
    ) -> Crops:
        """Render these frames and return their crops."""
        rendered = self._render(
            indices,
            seed=mix(self.seed, "frames", seed) % (1 << 31),
            setup=self.setup,
            distribution=self.distribution,
            subjects=self.subjects,
            device=device,
        )
        smallest = min(self.cubes)
        if self.locate:
            cameras = rendered.camera.intrinsics(rendered.depth).expand(len(rendered.depth), 4)
            centre = self.locate(rendered.depth, cameras, rendered.ids)
        elif self.centre == "mass":
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


def _sides(cube: float | Sequence[float]) -> tuple[float, ...]:
    sides = tuple(float(side) for side in (cube if isinstance(cube, Sequence) else (cube,)))
    if not sides or not all(0 < side < math.inf for side in sides):
        raise HandPoseError(
            f"cube {cube!r}: accepted is its side in mm, or several of which each sample draws one"
        )
    return sides


def _draw_cubes(crops: Crops, sides: Sequence[float], seed: int, step: int, rows: range) -> Crops:
    """Return the crops, these rows of a batch, each in a cube of one of the `sides`.

    The sides are drawn by (seed, step) for the rows one after the other.
    """
    drawn = torch.randint(len(sides), (rows.stop,), generator=generator(seed, "cube", step))
    return replace(crops, cube=torch.tensor(sides)[drawn[rows.start :]].to(crops.cube))
