"""A cache of hand crops: the windows of a training set in few compressed files, not many images.

    source = crop_cache.Packed(train, cube=(240, 250, 260))     # packs once, afterwards only opens
    history = training.fit(method, source, recipe, out)

The batches are those of `training.Stored`, bit for bit; only the source of the windows differs. To
read an original frame, a file must be found, opened and decoded, and the hand located; to read a
packed window, some bytes are decompressed that the operating system keeps for all processes. Files
are memory-mapped, so that a process needs little memory, whatever the size of the set.

The cache is a folder of shards, HDF5 files of `SHARD` frames each. Several processes, also of
several computers, make them side by side (`shards`); a packing that was interrupted continues with
the shards that are missing. A shard gets its name once it is complete. For its N windows it holds
`depth`, the compressed pixels one window after the other (see `compressed`); `start` (N + 1,) and
`size` (N, 2), their place among these bytes and their rows and columns; and the other fields of a
`Window`: `origin`, `camera`, `centre`, `mirror`, `joints`, `id`. `settings` states as JSON what was
packed. A shard is made anew if the fingerprint of the set, its labels, its protocol, the kind of
window or the code of these changes.
"""

import hashlib
import json
import multiprocessing
import re
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from filelock import FileLock
from tqdm.auto import tqdm

from handpose_lib import openmp, paths
from handpose_lib.datasets.subset import Subset
from handpose_lib.errors import DataError
from handpose_lib.io import hdf5, provenance
from handpose_lib.io.background import in_background
from handpose_lib.io.storage import temporary_file
from handpose_lib.prepare.crop import MARGIN
from handpose_lib.training.sources import Frames, Stored
from handpose_lib.training.windows import Window

FORMAT = 2
SHARD = 4096
"""Frames of a shard, unless told otherwise."""
BATCH = 64
"""Frames cut per batch."""
FIELDS = ("origin", "camera", "centre", "mirror", "joints")
LEVEL = 1
"""zlib's fastest: the highest levels save a tenth of the bytes and take four times as long."""
WHAT = "a packed cache of crops, which is made anew when it is removed"


class Packed(Stored):
    """Frames of a data set from a cache, which is made first if it is missing or out of date.

    cube, centre, margin    as in `training.Stored`
    path                    None: a folder below `packed` in the data folder, one for each data set,
                            protocol, cube and centre
    shard                   frames of a shard
    workers                 processes that make shards side by side; None: one per core. A single
                            shard is made by this process in two threads

    `made` tells whether shards were made now.
    Errors: those of reading the set; no permission or no room to write.
    """

    def __init__(
        self,
        dataset: Frames,
        cube: float | Sequence[float],
        centre: str = "mass",
        *,
        path: Path | str | None = None,
        margin: float = MARGIN,
        shard: int = SHARD,
        workers: int | None = None,
        progress: bool = False,
    ):
        # Nothing is kept beside the files: the operating system remembers what was read.
        super().__init__(dataset, cube, centre, memory=0, margin=margin)
        self.shard = shard
        self.settings = _settings(self)
        self.path = Path(path) if path is not None else default_path(self.settings)
        self._columns: dict[int, dict[str, Any]] = {}
        missing = [number for number in range(self.shards) if self._open(number) is None]
        self.made = bool(missing)
        if missing:
            self._make(missing, openmp.cores() if workers is None else workers, progress)

    @property
    def shards(self) -> int:
        """The number of files that hold the whole set."""
        return -(-len(self) // self.shard)

    def _make(self, numbers: Sequence[int], workers: int, progress: bool) -> None:
        openmp.warn_if_slow("packing")
        workers = min(workers, len(numbers))
        bar = {"total": len(numbers), "desc": "pack", "unit": "shard", "disable": not progress}
        if workers <= 1:
            for number in tqdm(numbers, **bar):
                self.make_shard(number)
        else:
            # The set, with the names and labels of all frames, travels once to each process.
            with ProcessPoolExecutor(
                workers, multiprocessing.get_context("spawn"), _take, (self,)
            ) as pool:
                tasks = [pool.submit(_make_taken, number) for number in numbers]
                try:
                    for task in tqdm(tasks, **bar):
                        task.result()
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
        for path in self.path.glob("*.h5"):  # of a larger set before
            if path.stem.isdecimal() and int(path.stem) >= self.shards:
                path.unlink(missing_ok=True)

    def make_shard(self, number: int) -> Path:
        """Make a shard unless it is there, and return its file.

        If another process is making it, its end is awaited.
        Errors: those of reading the set; no permission or no room to write.
        """
        path = self._file(number)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if self._open(number) is None:
                    self._write(path, number)
        except OSError as error:
            raise DataError(
                f"{path} cannot be written ({error.strerror or error}); accepted is a place with"
                " room for the cache, set by `path` or HANDPOSE_DATA"
            ) from error
        return path

    def _write(self, path: Path, number: int) -> None:
        rows = self._rows(number)
        batches = [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]
        windows, pixels = [], []
        for cut in in_background(super()._cut, batches, ahead=4, workers=2):
            pixels += [compressed(window.depth.numpy()) for window in cut]
            windows += [
                (tuple(window.depth.shape), window._replace(depth=window.depth.new_empty(0)))
                for window in cut
            ]
        start = np.zeros(len(windows) + 1, "<i8")
        np.cumsum([len(content) for content in pixels], out=start[1:])
        names = [window.id.encode() for _, window in windows]
        with temporary_file(path) as temporary, h5py.File(temporary, "w") as file:
            file["start"] = start
            file["size"] = np.array([size for size, _ in windows], "<i4").reshape(-1, 2)
            for name in FIELDS:
                column = torch.stack([getattr(window, name) for _, window in windows])
                file[name] = column.numpy().astype("<f4")
            file["id"] = np.array(names, f"S{max(1, *map(len, names))}")
            file["depth"] = np.frombuffer(b"".join(pixels), np.uint8)
            told = json.dumps({**self.settings, "shard": number})
            file["settings"] = np.frombuffer(told.encode(), np.uint8)

    def _file(self, number: int) -> Path:
        return self.path / f"{number:05d}.h5"

    def _rows(self, number: int) -> range:
        """Return the frames of a shard."""
        return range(number * self.shard, min((number + 1) * self.shard, len(self)))

    def _open(self, number: int) -> dict[str, Any] | None:
        settings = {**self.settings, "shard": number}
        return _open(self._file(number), settings, len(self._rows(number)))

    def _cut(self, indices: Sequence[int]) -> list[Window]:
        windows = []
        for number, row in (divmod(i, self.shard) for i in indices):
            columns = self._mapped(number)
            first, last = (int(place) for place in columns["start"][row : row + 2])
            size = tuple(map(int, columns["size"][row]))
            try:
                depth = decompressed(columns["depth"][first:last].tobytes(), size)
            except ValueError as error:
                raise DataError(f"{self._file(number)}: {error}; accepted is {WHAT}") from error
            fields = {name: torch.from_numpy(np.array(columns[name][row])) for name in FIELDS}
            name = bytes(columns["id"][row]).decode()
            windows.append(Window(depth=torch.from_numpy(depth), id=name, **fields))
        return windows

    def _mapped(self, number: int) -> dict[str, Any]:
        """Return the memory-mapped columns of a shard, opened once per process."""
        if number not in self._columns:
            found = self._open(number)
            if found is None:
                raise DataError(
                    f"{self._file(number)}: changed since it was opened; accepted is {WHAT}"
                )
            self._columns[number] = found
        return self._columns[number]

    def __getstate__(self) -> dict:
        return {**super().__getstate__(), "_columns": {}}


_taken: Packed


def _take(source: Packed) -> None:
    """Keep the source of which this process makes shards."""
    global _taken
    _taken = source
    torch.set_num_threads(1)


def _make_taken(number: int) -> None:
    _taken.make_shard(number)


def compressed(pixels: np.ndarray) -> bytes:
    """Return a window (h, w) int16 as bytes: its differences along the rows, packed by zlib.

    The differences wrap around, so that nothing is lost. Neighbouring pixels are similar: on the
    real frames of the SR305 a sixth of the bytes is left, on the embedded set a third.
    """
    steps = pixels.astype("<i2")
    steps[:, 1:] -= pixels[:, :-1]
    return zlib.compress(steps.tobytes(), LEVEL)


def decompressed(content: bytes, size: tuple[int, ...]) -> np.ndarray:
    """Return the window (h, w) int16 of these bytes. Errors: `ValueError` for damaged ones."""
    rows, columns = size
    reader, wanted = zlib.decompressobj(), 2 * rows * columns
    try:
        found = reader.decompress(content, wanted + 1)
    except zlib.error as error:
        raise ValueError(f"damaged pixels ({error})") from error
    if len(found) != wanted or not reader.eof:
        raise ValueError(f"damaged pixels ({len(found)} bytes instead of {wanted})")
    return np.frombuffer(found, "<i2").reshape(rows, columns).cumsum(1, dtype=np.int16)


def default_path(settings: dict) -> Path:
    """Return the folder of the cache of these frames.

    Its name does not depend on their content, so that a new cache replaces an old one.
    """
    lasting = {
        key: value
        for key, value in settings.items()
        if key not in ("fingerprint", "labels", "code", "format", "frames", "frames_of_shard")
    }
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:12]
    return (
        paths.personal() / "packed" / f"{re.sub(r'[^a-z0-9]+', '-', settings['dataset'])}-{digest}"
    )


def _open(path: Path, settings: dict, count: int) -> dict[str, Any] | None:
    """Return the columns of a whole cache with these settings, None for any other and for none."""
    try:
        with hdf5.opened(path, WHAT) as file:
            # Plain bytes, no attribute: if the heap of HDF5's strings is damaged, reading one may
            # never end.
            found = json.loads(hdf5.read(hdf5.dataset(file, "settings", (None,), "iu")).tobytes())
            return _columns(path, file, count) if found == settings else None
    except (DataError, *hdf5.FAULTS):  # a damaged cache is made anew as a missing one is
        return None


def _columns(path: Path, file: h5py.File, count: int) -> dict[str, Any] | None:
    """Return the memory-mapped columns of an open shard, None if they do not fit each other."""
    found = {
        "start": hdf5.dataset(file, "start", (count + 1,), "iu"),
        "size": hdf5.dataset(file, "size", (count, 2), "iu"),
        "depth": hdf5.dataset(file, "depth", (None,), "iu"),
        "origin": hdf5.dataset(file, "origin", (count, 2), "f"),
        "camera": hdf5.dataset(file, "camera", (count, 4), "f"),
        "centre": hdf5.dataset(file, "centre", (count, 3), "f"),
        "mirror": hdf5.dataset(file, "mirror", (count,), "f"),
        "joints": hdf5.dataset(file, "joints", (count, None, 3), "f"),
        "id": hdf5.dataset(file, "id", (count,), "S"),
    }
    types = {"start": "<i8", "size": "<i4", "depth": "u1", "id": found["id"].dtype}
    columns = {}
    for name, column in found.items():
        kind = np.dtype(types.get(name, "<f4"))
        offset = column.id.get_offset()  # None if it does not lie in the file in one piece
        if column.dtype != kind or column.chunks is not None:
            return None
        if not column.size:
            columns[name] = np.zeros(column.shape, kind)
        elif offset is None or offset + column.size * kind.itemsize > path.stat().st_size:
            return None
        else:
            columns[name] = np.memmap(path, kind, "r", offset, column.shape)
    start, size = columns["start"], columns["size"]
    sound = (
        start[0] == 0
        and (size >= 0).all()
        and (np.diff(start) >= 0).all()
        and start[-1] == len(columns["depth"])
    )
    return columns if sound else None


def _settings(source: Packed) -> dict:
    """Return all that determines the windows, as plain JSON values."""
    dataset = source.dataset
    # The labels identify the frames and their order, whatever the name of a subset is.
    labels = hashlib.sha256(dataset.joints().contiguous().numpy().tobytes()).hexdigest()
    while isinstance(dataset, Subset):
        dataset = dataset.whole
    modules = {__name__, type(dataset).__module__}
    code = provenance.closure(
        sorted(name for name in modules if name.startswith(f"{provenance.PACKAGE}."))
    )
    wanted = {
        "format": FORMAT,
        "frames": len(source),
        "frames_of_shard": source.shard,
        "margin": source.margin,
        **source.describe(),
        "labels": labels,
        "code": provenance.digest(code),
    }
    return json.loads(json.dumps(wanted))
