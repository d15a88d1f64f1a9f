"""A cache of hand crops: all windows of a training set in one HDF5 file, instead of many images.

    source = crop_cache.Packed(train, cube=(240, 250, 260))     # packs once, afterwards only opens
    history = training.fit(method, source, recipe, out)

The batches are those of `training.Stored`, bit for bit; only the source of the windows differs. To
read an original frame, a file must be found, opened and decoded, and the hand located; to read a
packed window, a stretch of memory is copied that the operating system keeps for all processes.

The file holds, for N windows: `depth`, the pixels of all windows in a row, 16-bit steps of 1/16 mm
about the depth of the centre; `start` (N + 1,) and `size` (N, 2), their place in that row; and the
other fields of a `Window`: `origin`, `camera`, `centre`, `mirror`, `joints`, `id`. `settings`
states as JSON what was packed. The file is made anew if the fingerprint of the set, its labels, its
protocol, the kind of window or the code of these changes. It gets its name once it is complete.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
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

FORMAT = 1
BATCH = 64
"""Frames cut per batch."""
FIELDS = ("origin", "camera", "centre", "mirror", "joints")
PIECE = 1 << 24
"""Pixels copied at once."""
WHAT = "a packed cache of crops, which is made anew when it is removed"


class Packed(Stored):
    """Frames of a data set from a cache, which is made first if it is missing or out of date.

    cube, centre, margin    as in `training.Stored`
    path                    None: a file below `packed` in the data folder, one for each data set,
                            protocol, cube and centre
    workers                 threads that read and cut while packing

    `made` tells whether the cache was made now.
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
        workers: int = 2,
        progress: bool = False,
    ):
        # Nothing is kept beside the file: the operating system remembers what was read.
        super().__init__(dataset, cube, centre, memory=0, margin=margin)
        self.settings = _settings(self)
        self.path = Path(path) if path is not None else default_path(self.settings)
        self.made = _open(self.path, self.settings, len(dataset)) is None
        if self.made:
            pack(self.path, super()._cut, len(dataset), self.settings, workers, progress)
        self._columns: dict[str, Any] | None = None

    def _cut(self, indices: Sequence[int]) -> list[Window]:
        columns = self._mapped()
        start, size, depth = columns["start"], columns["size"], columns["depth"]
        windows = []
        for i in indices:
            pixels = torch.from_numpy(np.array(depth[start[i] : start[i + 1]])).reshape(size[i])
            fields = {name: columns[name][i] for name in FIELDS}
            windows.append(Window(depth=pixels, id=columns["id"][i], **fields))
        return windows

    def _mapped(self) -> dict[str, Any]:
        """Return the columns of the file, the pixels memory-mapped, once per process."""
        if self._columns is None:
            self._columns = _open(self.path, self.settings, len(self))
            if self._columns is None:
                raise DataError(f"{self.path}: changed since it was opened; accepted is {WHAT}")
        return self._columns

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_columns": None}


def pack(
    path: Path,
    cut: Callable[[Sequence[int]], list[Window]],
    count: int,
    settings: dict,
    workers: int = 2,
    progress: bool = False,
) -> Path:
    """Cut `count` frames and write their windows to `path`, all of them or none.

    `cut` returns the windows of frames by number.
    Errors: those of reading the set; no permission or no room to write.
    """
    openmp.warn_if_slow("packing")
    batches = [range(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]
    try:
        with (
            temporary_file(path) as temporary,
            _Spool(temporary.with_name(f"{temporary.name}.pixels")) as spool,
        ):
            for windows in tqdm(
                in_background(cut, batches, ahead=2 * workers, workers=workers),
                total=len(batches),
                desc="pack",
                unit="batch",
                disable=not progress,
            ):
                spool.add(windows)
            with h5py.File(temporary, "w") as file:
                spool.move_to(file)
                file["settings"] = np.frombuffer(json.dumps(settings).encode(), np.uint8)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); accepted is a place with room"
            " for the cache, set by `path` or HANDPOSE_DATA"
        ) from error
    return Path(path)


def default_path(settings: dict) -> Path:
    """Return the file of the cache of these frames.

    Its name does not depend on their content, so that a new cache replaces an old one.
    """
    lasting = {
        key: value
        for key, value in settings.items()
        if key not in ("fingerprint", "labels", "code", "format", "frames")
    }
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:12]
    return (
        paths.personal()
        / "packed"
        / f"{re.sub(r'[^a-z0-9]+', '-', settings['dataset'])}-{digest}.h5"
    )


class _Spool:
    """Windows before they are written: pixels in a temporary file, the other fields in memory.

    HDF5 must know the number of pixels before the first is written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.sizes: list[tuple[int, ...]] = []
        self.windows: list[Window] = []  # without pixels
        self.file = path.open("w+b")

    def add(self, windows: list[Window]) -> None:
        """Append windows."""
        for window in windows:
            self.file.write(window.depth.numpy().astype("<i2", copy=False).tobytes())
            self.sizes.append(tuple(window.depth.shape))
            self.windows.append(window._replace(depth=window.depth.new_empty(0)))

    def move_to(self, file: h5py.File) -> None:
        """Write all windows to an HDF5 file."""
        size = np.array(self.sizes, "<i4").reshape(-1, 2)
        start = np.zeros(len(size) + 1, "<i8")
        np.cumsum(size.astype(np.int64).prod(1), out=start[1:])
        file["size"], file["start"] = size, start
        for name in FIELDS:
            file[name] = torch.stack([getattr(window, name) for window in self.windows]).numpy()
        names = [window.id.encode() for window in self.windows]
        file["id"] = np.array(names, f"S{max(1, *map(len, names))}")
        pixels = file.create_dataset("depth", (int(start[-1]),), "<i2")
        self.file.seek(0)
        for first in range(0, len(pixels), PIECE):
            last = min(first + PIECE, len(pixels))
            pixels[first:last] = np.frombuffer(self.file.read(2 * (last - first)), "<i2")

    def __enter__(self) -> "_Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


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
    """Return the columns of an open cache, None if they do not fit each other."""
    start = hdf5.read(hdf5.dataset(file, "start", (count + 1,), "iu")).astype(np.int64)
    size = hdf5.read(hdf5.dataset(file, "size", (count, 2), "iu")).astype(np.int64)
    depth = hdf5.dataset(file, "depth", (None,), "iu")
    sound = (
        start[0] == 0
        and (size >= 0).all()
        and (np.diff(start) == size.prod(1)).all()
        and start[-1] == len(depth)
    )
    if not sound or depth.dtype != np.dtype("<i2"):
        return None
    pixels = np.zeros(0, "<i2")
    if len(depth):
        offset = depth.id.get_offset()  # None if nothing is stored, or not in one piece
        if offset is None or offset + 2 * len(depth) > path.stat().st_size:
            return None
        pixels = np.memmap(path, np.dtype("<i2"), "r", offset, (len(depth),))
    shapes = {
        "origin": (count, 2),
        "camera": (count, 4),
        "centre": (count, 3),
        "mirror": (count,),
        "joints": (count, None, 3),
    }
    columns: dict[str, Any] = {
        name: torch.from_numpy(hdf5.read(hdf5.dataset(file, name, shape, "f")).astype(np.float32))
        for name, shape in shapes.items()
    }
    columns["id"] = [
        name.decode() for name in hdf5.read(hdf5.dataset(file, "id", (count,), "S")).tolist()
    ]
    return {**columns, "start": start.tolist(), "size": size.tolist(), "depth": pixels}


def _settings(source: Stored) -> dict:
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
        "margin": source.margin,
        **source.describe(),
        "labels": labels,
        "code": provenance.digest(code),
    }
    return json.loads(json.dumps(wanted))
