"""Training frames of the world `synth.FIELD`, rendered by other processes as they are needed."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

from handpose_lib import synth
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.training import mix


class Windows:
    """A source of crops for `training.fit`; no frame is used twice.

    frames          number of frames that count as one epoch
    cube            side in mm of the cubes that `synth.crops` cuts; size: its pixels
    distribution    as in `synth.crops`, like `setup` and `subjects`
    reuse           frames that show one rendered hand, each turned, and with surroundings, errors
                    of the camera and a reference point of its own. No two of them are in the same
                    batch
    workers         processes that render; none: the process that asks

    A batch is a function of its number, its size and the two seeds, whatever the `workers`.
    Processes are started with the first batch and end with `close`, or with a `with` block.
    Errors: `HandPoseError` for numbers that are not positive, and those of `synth.crops`.
    """

    on_host = False  # rendering determines the frames, so that its code belongs to the record
    centre = "stored"

    def __init__(
        self,
        frames: int,
        cube: float,
        size: int,
        *,
        distribution: synth.Distribution | str = "field",
        subjects: Iterable[int] = range(64),
        seed: int = 0,
        setup: str = "msra",
        reuse: int = 4,
        workers: int = 1,
    ):
        for name, value in (("frames", frames), ("cube", cube), ("size", size), ("reuse", reuse)):
            if not value > 0:
                raise HandPoseError(f"{name} {value}: accepted are numbers above 0")
        if workers < 0:
            raise HandPoseError(f"workers {workers}: accepted are whole numbers from 0")
        self.frames, self.cube, self.size, self.seed = frames, float(cube), size, seed
        self.distribution, self.subjects, self.setup = distribution, tuple(subjects), setup
        self.reuse, self.workers = reuse, workers
        self._pool: ProcessPoolExecutor | None = None
        self._coming: dict[tuple[int, int, int], Future[dict]] = {}
        self._last: tuple[tuple[int, int, int], Crops] | None = None

    def __len__(self) -> int:
        return self.frames

    def __enter__(self) -> "Windows":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes. Another batch starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool, self._coming = None, {}

    def describe(self) -> dict:
        """Return what determines the frames, for checkpoint and record."""
        named = isinstance(self.distribution, str)
        return {
            "kind": "windows",
            "dataset": self.setup,
            "distribution": self.distribution if named else vars(self.distribution),
            "seed": self.seed,
            "subjects": list(self.subjects),
            "centre": self.centre,
            "cube": [self.cube],
            "size": self.size,
            "reuse": self.reuse,
        }

    def __getstate__(self) -> dict:
        """Return what a copy in another process needs: it starts processes of its own."""
        return {**self.__dict__, "_pool": None, "_coming": {}, "_last": None}

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
        # So many batches are rendered together, and the frames of one hand are dealt out to them.
        group, row = divmod(step, self.reuse)
        key = (group, size, seed)
        if self._last is None or self._last[0] != key:
            self._last = key, self._rendered(key)
        crops = self._last[1]
        rows = range(size) if rows is None else rows
        return crops.index(torch.tensor(rows) * self.reuse + row).to(device)

    def _rendered(self, key: tuple[int, int, int]) -> Crops:
        if not self.workers:
            return _crops(_render(*self._task(key)))
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_one_thread
            )
        group, size, seed = key
        wanted = [(group + ahead, size, seed) for ahead in range(self.workers + 1)]
        for other in [known for known in self._coming if known not in wanted]:
            self._coming.pop(other).cancel()
        for other in wanted:
            if other not in self._coming:
                self._coming[other] = self._pool.submit(_render, *self._task(other))
        return _crops(self._coming.pop(key).result())

    def _task(self, key: tuple[int, int, int]) -> tuple[Sequence[int], dict[str, Any]]:
        group, size, seed = key
        count = size * self.reuse
        options = {
            "seed": mix(self.seed, "windows", seed) % (1 << 31),
            "setup": self.setup,
            "distribution": self.distribution,
            "subjects": self.subjects,
            "cube": self.cube,
            "size": self.size,
            "reuse": self.reuse,
        }
        return range(group * count, (group + 1) * count), options


def _one_thread() -> None:
    torch.set_num_threads(1)


def _render(indices: Sequence[int], options: dict[str, Any]) -> dict[str, Any]:
    """The fields of the crops; arrays pass from process to process without open files."""
    crops = vars(synth.crops(indices, **options))
    return {
        name: value.numpy() if isinstance(value, torch.Tensor) else value
        for name, value in crops.items()
    }


def _crops(values: dict[str, Any]) -> Crops:
    arrays = {name: value for name, value in values.items() if name != "ids"}
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    return Crops(**tensors, ids=values["ids"])
