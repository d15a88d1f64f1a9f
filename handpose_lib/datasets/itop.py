"""ITOP: 15 actions of 20 persons, 320×240 structured light, 15 joints of the body
(Haque et al., ECCV 2016).

    ITOP_side_train_depth_map.h5, ITOP_side_train_labels.h5, …_test_…, and the same with `top`

Two cameras see every scene: `side`, which papers call the front view, and `top`, under the ceiling.
A depth file has `data` (n, 240, 320) in **metres** and `id` (n,), `PP_FFFFF` with person and frame;
a label file has `id`, `is_valid` (n,), `visible_joints` (n, 15), `image_coordinates` (n, 15, 2) in
pixels, `segmentation` (n, 240, 320) with −1 for the background, and `real_world_coordinates`
(n, 15, 3) in metres with x right, **y up**, z forward. Frames with `is_valid` 0 have no usable
joints. Metres become millimetres and y turns here and nowhere else. The files come compressed
(`.h5.gz`); `data_scripts/itop.py` unpacks them.

Depth and coordinates are 16-bit floats: at 3 m their steps are 2 mm.
"""

import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import ArrayLike

from handpose_lib import skeleton
from handpose_lib.dataset_specs import SPECS
from handpose_lib.datasets import centres as centre_files
from handpose_lib.datasets.base import SPLITS, Dataset, all_or_none, find, stated
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.frames import DepthFrame
from handpose_lib.io import hdf5

VIEWS = {"front": "side", "top": "top"}
"""What papers call a view, and what the files call it."""
PARTS = ("train", "test")
JOINTS = 15
SPEC = SPECS["itop"]
CAMERA = SPEC.camera
COUNTS = SPEC.counts
"""Frames of the release, valid or not, in each view."""
PERSONS = {"train": 16, "test": 4}
FAR_M = 100.0
"""No depth camera measures farther; a greater number is not a measurement."""

TO_MM = np.array([1000, -1000, 1000], np.float32)
"""From the file's coordinates (metres, y up) to the camera frame (mm, y down)."""
BACKGROUND = -1
CENTRES = centre_files.OWN


class Itop(Dataset):
    """ITOP, real or synthetic. `split` 'train' and 'test' are the set's own, 'all' is both; `view`
    'front' or 'top'.

    `validation`: a person of the training part, or several, left out of 'train' and making up the
    split 'validation'. `valid_only=False` keeps the frames whose joints are not usable; they then
    come without joints.
    `centres`: folder of V2V-PoseNet's `center_train.txt` and `center_test.txt` of this view, as the
    frames' stored reference points; frames that they call invalid are left out. `persons` (N,)
    tells each frame's person, `visible` (N, 15) which joints the camera sees. Errors: see
    `datasets.open`.
    """

    name = "itop"
    camera = CAMERA
    skeleton = skeleton.get("itop15")

    def __init__(
        self,
        root: Path | str | None = None,
        split: str = "train",
        view: str = "front",
        validation: int | Iterable[int] | None = None,
        valid_only: bool = True,
        centres: Path | str | None = None,
    ):
        one_of("split", split, SPLITS)
        self.root = find("itop", root)
        self._view = VIEWS[one_of("view of ITOP", view, VIEWS)]
        self._handles = _Handles()
        parts = PARTS if split == "all" else ("test",) if split == "test" else ("train",)
        loaded = [self._part(part, valid_only, centres) for part in parts]
        self._where = [place for part in loaded for place in part.where]
        self._names = [name for part in loaded for name in part.names]
        self._joints = torch.cat([part.joints for part in loaded])
        self.persons = torch.cat([part.persons for part in loaded])
        self.visible = torch.cat([part.visible for part in loaded])
        self._centres = all_or_none([part.centres for part in loaded])
        self.protocol = stated(split=split, view=view, frames="valid" if valid_only else "all")
        if validation is not None or split == "validation":
            self._set_aside(split, validation)
        if centres is not None:
            self.protocol["centres"] = "published"

    def __len__(self) -> int:
        return len(self._where)

    def joints(self) -> torch.Tensor:
        unusable = ~self._joints.isfinite().all(2).all(1)
        if unusable.any():
            raise HandPoseError(
                f"{int(unusable.sum()):,} of {len(self):,} frames of itop have no usable joints;"
                " accepted is valid_only=True where joints are needed"
            )
        return self._joints

    def _frame(self, i: int) -> DepthFrame:
        part, row = self._where[i]
        path = self._path(part, "depth_map")
        file = self._handles.get(path, "ITOP's depth file")
        depth = read_depth(
            hdf5.dataset(file, "data", (None, CAMERA.height, CAMERA.width), "f"), row
        )
        joints = self._joints[i] if bool(self._joints[i].isfinite().all()) else None
        centre = None if self._centres is None else self._centres[i]
        return DepthFrame(
            torch.from_numpy(depth), self.camera, joints, id=self._names[i], centre=centre
        )

    def _path(self, part: str, kind: str) -> Path:
        return self.root / f"ITOP_{self._view}_{part}_{kind}.h5"

    def _part(self, part: str, valid_only: bool, centres: Path | str | None) -> "_Part":
        """The frames of 'train' or 'test'."""
        path = self._path(part, "labels")
        labels = read_labels(path)
        count, depth = len(labels["id"]), self._path(part, "depth_map")
        # The names of the frames must agree: labels of one view or part beside depth of another
        # would pass else.
        with hdf5.opened(depth, "ITOP's depth file") as file:
            data = hdf5.dataset(file, "data", (None, CAMERA.height, CAMERA.width), "f")
            if len(data) != count:
                raise DataError(
                    f"{depth}: {len(data)} images, but {path.name} has {count} labels; accepted is"
                    " one each"
                )
            if not np.array_equal(hdf5.read(hdf5.dataset(file, "id", (count,), "S")), labels["id"]):
                raise DataError(
                    f"{depth}: frames of other names than {path.name}; accepted are files of one"
                    " release"
                )
        usable = labels["is_valid"] > 0
        joints = np.where(usable[:, None, None], labels["joints"], np.nan)
        keep = usable if valid_only else np.ones(count, bool)
        points = None
        if centres is not None:
            points = centre_files.read(Path(centres) / f"center_{part}.txt", count, TO_MM)
            keep = keep & points.isfinite().all(1).numpy()
        elif self.synthetic and (self.root / f"ITOP_{self._view}_{part}_{CENTRES}").is_file():
            points = centre_files.read(
                self.root / f"ITOP_{self._view}_{part}_{CENTRES}", count, TO_MM
            )
        rows = np.flatnonzero(keep)
        names = [name.decode() for name in labels["id"][rows].tolist()]
        return _Part(
            where=[(part, int(row)) for row in rows],
            names=names,
            joints=torch.from_numpy(joints[rows]),
            persons=torch.tensor([int(name.split("_")[0]) for name in names], dtype=torch.int64),
            visible=torch.from_numpy(labels["visible_joints"][rows] > 0),
            centres=None if points is None else points[rows],
        )

    def _set_aside(self, split: str, validation: int | Iterable[int] | None) -> None:
        """Keep the persons of 'validation', or all others."""
        chosen = list(validation) if isinstance(validation, Iterable) else [validation]
        known = sorted(set(self.persons.tolist())) if split in ("train", "validation") else None
        for person in chosen:
            one_of("validation person of ITOP", person, known if known is not None else chosen)
        self.protocol["validation"] = chosen[0] if len(chosen) == 1 else chosen
        if known is None:
            return
        aside = torch.isin(self.persons, torch.tensor(chosen))
        rows = torch.nonzero(aside if split == "validation" else ~aside)[:, 0]
        self._where = [self._where[i] for i in rows.tolist()]
        self._names = [self._names[i] for i in rows.tolist()]
        self._joints, self.persons, self.visible = (
            self._joints[rows],
            self.persons[rows],
            self.visible[rows],
        )
        self._centres = None if self._centres is None else self._centres[rows]

    def _label_digest(self) -> str:
        content = hashlib.sha256()
        for part in PARTS:
            path = self._path(part, "labels")
            if path.is_file():
                labels = read_labels(path)
                for name in sorted(labels):
                    content.update(
                        f"{part} {name} {labels[name].shape}\n".encode() + labels[name].tobytes()
                    )
        return content.hexdigest()


class _Part(NamedTuple):
    """Frames of one part: rows of its files, names, labels, and reference points or None."""

    where: list[tuple[str, int]]
    names: list[str]
    joints: torch.Tensor
    persons: torch.Tensor
    visible: torch.Tensor
    centres: torch.Tensor | None


def read_labels(path: Path) -> dict[str, np.ndarray]:
    """A label file without its segmentation: `id` (n,) bytes, `is_valid` (n,), `visible_joints`
    (n, 15) and `joints` (n, 15, 3) float32 mm in the camera frame.

    Errors: a missing or damaged file, data sets of other shapes or types, names that are not
    `PP_FFFFF`, a valid frame with a joint that is not finite or not in front of the camera.
    """
    with hdf5.opened(path, "ITOP's label file") as file:
        names = hdf5.read(hdf5.dataset(file, "id", (None,), "S"))
        count = len(names)
        valid = hdf5.read(hdf5.dataset(file, "is_valid", (count,), "biu"))
        visible = hdf5.read(hdf5.dataset(file, "visible_joints", (count, JOINTS), "biu"))
        xyz = hdf5.read(hdf5.dataset(file, "real_world_coordinates", (count, JOINTS, 3), "f"))
    for row, name in enumerate(names.tolist()):
        person, _, frame = name.partition(b"_")
        if not (person.isdigit() and frame.isdigit() and len(name) <= 16):
            raise DataError(
                f"{path}: frame {row} is called {name[:20]!r}; accepted is PERSON_FRAME such as"
                " b'04_00123'"
            )
    with np.errstate(invalid="ignore", over="ignore"):
        joints = xyz.astype(np.float32) * TO_MM
    bad = (valid > 0) & ~(np.isfinite(joints).all((1, 2)) & (joints[..., 2] > 0).all(1))
    if bad.any():
        raise DataError(
            f"{path}: frame {int(bad.argmax())} is valid and has a joint that is not finite or not"
            " in front of the camera; accepted are metres with z forward"
        )
    return {"id": names, "is_valid": valid, "visible_joints": visible, "joints": joints}


def read_depth(data: h5py.Dataset, row: int) -> np.ndarray:
    """Image `row` of a depth file: (240, 320) float32 mm, 0 where nothing was measured.

    What is not a number above 0 was not measured: the sensor's files hold 0, and nothing rules out
    others.
    """
    metres = hdf5.read(data, row)
    measured = np.isfinite(metres) & (metres > 0) & (metres < FAR_M)
    return np.where(measured, metres, 0).astype(np.float32) * np.float32(1000)


class Writer:
    """Writes depth and label file of one view and part, some frames at a time; `count` frames in
    all.

        with itop.Writer(root, "front", "train", count=100) as writer:
            writer.add(first, names, depth, joints, visible, segmentation, centres)

    Like the set itself it rounds to 16-bit floats of metres: 2 mm at a distance of 3 m.
    """

    def __init__(self, root: Path, view: str, part: str, count: int):
        side = VIEWS[one_of("view of ITOP", view, VIEWS)]
        stem = Path(root) / f"ITOP_{side}_{one_of('part of ITOP', part, PARTS)}"
        image, small = (
            (count, CAMERA.height, CAMERA.width),
            {"compression": "gzip", "compression_opts": 1, "shuffle": True},
        )
        self._stem, self._centres = stem, []
        self._depth = h5py.File(stem.with_name(f"{stem.name}_depth_map.h5"), "w")
        self._labels = h5py.File(stem.with_name(f"{stem.name}_labels.h5"), "w")
        self._depth.create_dataset("data", image, "f2", chunks=(1, *image[1:]), **small)
        self._depth.create_dataset("id", (count,), "S8")
        self._labels.create_dataset("id", (count,), "S8")
        self._labels.create_dataset("is_valid", (count,), "u1")
        self._labels.create_dataset("visible_joints", (count, JOINTS), "i2")
        self._labels.create_dataset("image_coordinates", (count, JOINTS, 2), "i2")
        self._labels.create_dataset("real_world_coordinates", (count, JOINTS, 3), "f2")
        self._labels.create_dataset("segmentation", image, "i1", chunks=(1, *image[1:]), **small)

    def add(
        self,
        first: int,
        names: list[str],
        depth: ArrayLike,
        joints: ArrayLike,
        visible: ArrayLike,
        segmentation: ArrayLike,
        centres: ArrayLike | None = None,
        valid: ArrayLike | None = None,
    ) -> None:
        """Frames `first` and following: depth (B, 240, 320) mm, joints (B, 15, 3) mm and centres
        (B, 3) mm in the camera frame, visible (B, 15), segmentation (B, 240, 320) with −1 for the
        background; `valid` (B,), all by default. Frames come in their order.
        """
        rows = slice(first, first + len(names))
        metres = np.asarray(joints, np.float64) / TO_MM
        uv = np.array([CAMERA.u0, CAMERA.v0]) + CAMERA.fx * metres[..., :2] / metres[..., 2:] * [
            1,
            -1,
        ]
        _fill(self._depth, "data", rows, np.asarray(depth, np.float32) / 1000)
        for file in (self._depth, self._labels):
            _fill(file, "id", rows, np.array(names, "S8"))
        usable = np.ones(len(names)) if valid is None else np.asarray(valid)
        _fill(self._labels, "is_valid", rows, usable)
        _fill(self._labels, "visible_joints", rows, np.asarray(visible))
        _fill(self._labels, "image_coordinates", rows, np.clip(np.round(uv), -32768, 32767))
        _fill(self._labels, "real_world_coordinates", rows, metres)
        _fill(self._labels, "segmentation", rows, np.asarray(segmentation))
        if centres is not None:
            self._centres.append(np.asarray(centres))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_) -> None:
        self._depth.close()
        self._labels.close()
        if self._centres:
            path = self._stem.with_name(f"{self._stem.name}_{CENTRES}")
            centre_files.write(path, np.concatenate(self._centres), TO_MM)


def _fill(file: h5py.File, name: str, rows: slice, values: np.ndarray) -> None:
    """Write rows of a data set of the file."""
    data = file[name]
    assert isinstance(data, h5py.Dataset)
    data[rows] = values


class _Handles:
    """Open files of this process: HDF5 files survive neither a fork nor a pickle, and opening one
    takes a while.
    """

    def __init__(self):
        self._process, self._open, self._lock = os.getpid(), {}, threading.Lock()

    def get(self, path: Path, what: str) -> h5py.File:
        if self._process != os.getpid():
            self.__init__()
        with self._lock:
            if path not in self._open:
                self._open[path] = hdf5.open(path, what)
            return self._open[path]

    def __getstate__(self):
        return {}

    def __setstate__(self, _):
        self.__init__()
