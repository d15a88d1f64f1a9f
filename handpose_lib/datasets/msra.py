"""MSRA15: 17 gestures of 9 subjects, 320×240 time of flight, 21 joints (Sun et al., CVPR 2015).

    P0 … P8 / 1 … 9, I, IP, L, MP, RP, T, TIP, Y / 000000_depth.bin …, joint.txt

`NNNNNN_depth.bin`: six little-endian 32-bit integers (width, height, left, top, right, bottom;
right and bottom exclusive, all counted from 0), then the window's pixels row by row as
little-endian 32-bit floats, depth in mm, 0 = background. `joint.txt`: the number of frames, then
one line of 63 numbers per frame, x y z of 21 joints in mm with x right, **y up, z negative** in
front of the camera. Reader and writer turn both signs here and nowhere else.

The set exists in two releases that differ in frames; `RELEASES` tells them apart by their counts.
"""

import hashlib
import struct
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from handpose_lib import skeleton
from handpose_lib.dataset_specs import SPECS
from handpose_lib.datasets import centres as centre_files
from handpose_lib.datasets.base import (
    SPLITS,
    Dataset,
    all_or_none,
    find,
    folder,
    need_size,
    stated,
)
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.frames import DepthFrame

GESTURES = (
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "I",
    "IP",
    "L",
    "MP",
    "RP",
    "T",
    "TIP",
    "Y",
)
SUBJECTS = tuple(range(9))
JOINTS = 21
CENTRES = "centre.txt"
HEADER = struct.Struct("<6i")
CAMERA = SPECS["msra"].camera

RELEASES = {
    "older, 76,375 frames": (8499, 8492, 8412, 8488, 8500, 8497, 8497, 8498, 8492),
    "newer, 76,391 frames": (8499, 8499, 8406, 8498, 8500, 8497, 8498, 8498, 8496),
}
"""Frames per subject. Centre files and predictions of one release do not fit the other."""

FAULTY = {
    (2, "TIP"): (172, 173, 174),
    (2, "MP"): (173, 174, 175, *range(345, 355), 356, 359, 360),
    (3, "T"): (120, 489),
    (8, "4"): (168,),
}
"""Frames without a usable hand, as the loaders of DeepPrior++ and JGR-P2O list them."""

LABEL_SIGNS = np.array([1, -1, -1], np.float32)
"""From the file's frame (y up, z towards the viewer) to the camera frame (y down, z forward), and
back.
"""
CENTRE_SIGNS = np.array([1, -1, 1], np.float32)
"""The same for V2V-PoseNet's centre files, whose z is already positive."""


class Msra(Dataset):
    """MSRA15, real or synthetic. `split` 'train' leaves `subject` out, 'test' is that subject,
    'all' both.

    A `validation` subject is left out of 'train' as well and is the split 'validation', for
    whatever is chosen during training. `gestures` restricts to some of the 17; `skip_faulty` leaves
    out the frames of a real set that are known to show no usable hand. `subjects` (N,) tells each
    frame's subject.
    `centres`: folder of V2V-PoseNet's `center_train_S_refined.txt` and `center_test_S_refined.txt`
    for each subject S that is left out, as the frames' stored reference points; they fit the newer
    release, and frames that they call invalid are left out. Errors: see `datasets.open`.
    """

    name = "msra"
    camera = CAMERA
    skeleton = skeleton.get("msra21")

    def __init__(
        self,
        root: Path | str | None = None,
        split: str = "train",
        subject: int = 8,
        validation: int | None = None,
        gestures: Iterable[str] | None = None,
        skip_faulty: bool = True,
        centres: Path | str | None = None,
    ):
        one_of("split", split, SPLITS)
        one_of("subject", subject, SUBJECTS)
        if validation is not None or split == "validation":
            one_of("validation subject", validation, [s for s in SUBJECTS if s != subject])
        chosen = GESTURES
        if gestures is not None:
            chosen = tuple(one_of("gesture", gesture, GESTURES) for gesture in gestures)
        self.root = find("msra", root)
        self._skip_faulty = skip_faulty
        self._published = self._folds(Path(centres), split, subject) if centres else None
        members = {
            "train": [s for s in SUBJECTS if s not in (subject, validation)],
            "validation": [validation],
            "test": [subject],
            "all": SUBJECTS,
        }[split]
        parts = [self._part(member, gesture) for member in members for gesture in chosen]
        self._paths = [path for part in parts for path in part.paths]
        self._joints = torch.cat([part.joints for part in parts])
        self._centres = all_or_none([part.centres for part in parts])
        self.subjects = torch.tensor([part.subject for part in parts for _ in part.paths])
        self.protocol = stated(
            split=split,
            subject=subject,
            release=self.release,
            validation=validation,
            gestures=None if gestures is None else list(chosen),
            centres="published" if centres else None,
        )

    def __len__(self) -> int:
        return len(self._paths)

    def joints(self) -> torch.Tensor:
        return self._joints

    @cached_property
    def release(self) -> str:
        """Which release a real set is, told by the counts of its subjects."""
        if self.synthetic:
            return "synthetic"
        counts = tuple(
            sum(count for (number, _), count in self._counts().items() if number == s)
            for s in SUBJECTS
        )
        unknown = f"unknown, {sum(counts):,} frames"
        return next((name for name, known in RELEASES.items() if known == counts), unknown)

    def _frame(self, i: int) -> DepthFrame:
        path = self._paths[i]
        depth = torch.from_numpy(read_frame(path))
        name = "/".join((*path.parts[-3:-1], path.name.removesuffix("_depth.bin")))
        return DepthFrame(
            depth,
            self.camera,
            self._joints[i],
            id=name,
            centre=None if self._centres is None else self._centres[i],
        )

    def _part(self, subject: int, gesture: str) -> "_Part":
        """The usable frames of one gesture of one subject."""
        place = self.root / f"P{subject}" / gesture
        files, joints = read_gesture(place)
        if self._published is None:
            centres = read_centres(place, len(files))
        else:
            centres = self._published[subject, gesture]
        keep = torch.ones(len(files), dtype=torch.bool)
        if self._skip_faulty and not self.synthetic:
            faulty = [i for i in FAULTY.get((subject, gesture), ()) if i < len(files)]
            keep[faulty] = False
        if self._published is not None and centres is not None:
            keep &= centres.isfinite().all(1)
        rows = keep.nonzero()[:, 0]
        return _Part(
            subject,
            [files[i] for i in rows.tolist()],
            joints[rows],
            None if centres is None else centres[rows],
        )

    def _folds(self, place: Path, split: str, subject: int) -> dict[tuple[int, str], torch.Tensor]:
        """V2V-PoseNet's reference points of every gesture, (N, 3) mm, NaN for invalid frames; one
        file per fold.
        """
        others = [s for s in SUBJECTS if s != subject]
        folds = {
            "train": [("train", subject, others)],
            "validation": [("train", subject, others)],
            "test": [("test", subject, [subject])],
            "all": [("test", s, [s]) for s in SUBJECTS],
        }[split]
        counts, found = self._counts(), {}
        for kind, left_out, members in folds:
            sizes = {key: count for key, count in counts.items() if key[0] in members}
            path = place / f"center_{kind}_{left_out}_refined.txt"
            points = centre_files.read(path, sum(sizes.values()), CENTRE_SIGNS)
            found |= dict(zip(sizes, points.split(list(sizes.values()))))
        return found

    def _counts(self) -> dict[tuple[int, str], int]:
        """The frames of every gesture that is there, whatever the split."""
        found = {}
        for number in SUBJECTS:
            for gesture in GESTURES:
                path = self.root / f"P{number}" / gesture / "joint.txt"
                if path.is_file():
                    with path.open("rb") as file:
                        found[number, gesture] = _count(path, file.readline(64))
        return found

    def _label_digest(self) -> str:
        content = hashlib.sha256()
        for (number, gesture), count in self._counts().items():
            content.update(f"P{number}/{gesture} {count}\n".encode())
            content.update((self.root / f"P{number}" / gesture / "joint.txt").read_bytes())
        return content.hexdigest()


class _Part(NamedTuple):
    """Frames of one subject: their files, joints (N, 21, 3) and centres (N, 3) in mm or None."""

    subject: int
    paths: list[Path]
    joints: torch.Tensor
    centres: torch.Tensor | None


def read_gesture(place: Path) -> tuple[list[Path], torch.Tensor]:
    """One gesture of one subject: the paths of its frames and their joints (N, 21, 3) mm.

    Errors: a missing folder or `joint.txt`, frames that are not as many as labels or not numbered
    from 000000 without a gap.
    """
    folder(place, "MSRA", "17 gesture folders for each of P0 to P8")
    joints = read_joints(place / "joint.txt")
    # macOS leaves a file `._NAME` beside each file that it copies to other disks.
    files = sorted(p for p in place.glob("*_depth.bin") if not p.name.startswith("."))
    if len(files) != len(joints):
        raise DataError(
            f"{place / 'joint.txt'}: {len(joints)} frames, but the folder has {len(files)}"
            " *_depth.bin; accepted is one line of joints per frame"
        )
    for i, file in enumerate(files):
        if file.name != frame_name(i):
            raise DataError(
                f"{file}: accepted is {frame_name(i)}: frames are numbered from 000000 without"
                " a gap"
            )
    return files, joints


def read_centres(place: Path, count: int) -> torch.Tensor | None:
    """`centre.txt` of a gesture → (N, 3) mm in the camera frame; None where there is none.

    The file is ours: MSRA has no reference points of its own. It is written as `joint.txt` is, with
    one point per frame. Errors: as `read_joints`; another number of frames than the gesture has.
    """
    path = Path(place) / CENTRES
    if not path.is_file():
        return None
    centres = read_joints(path, points=1)[:, 0]
    if len(centres) != count:
        raise DataError(
            f"{path}: {len(centres)} reference points for {count} frames; accepted is one each"
        )
    return centres


def read_joints(path: Path, points: int = JOINTS) -> torch.Tensor:
    """`joint.txt` → (N, 21, 3) mm in the camera frame: y and z change their sign.

    Errors: a missing file, a first line that is no count, lines that are not 63 finite numbers,
    another number of lines than the count, a joint that is not in front of the camera.
    """
    try:
        first, *lines = Path(path).read_bytes().splitlines()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: missing; accepted is MSRA's joint.txt beside the frames"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path}: empty; accepted is the number of frames, then a line of joints for each"
        ) from error
    count, lines = _count(path, first), [line for line in lines if line.strip()]
    if len(lines) != count:
        raise DataError(
            f"{path}: the first line says {count} frames, {len(lines)} lines follow; accepted is"
            " one each"
        )
    rows = [line.split() for line in lines]
    for number, row in enumerate(rows, start=2):
        if len(row) != 3 * points:
            raise DataError(
                f"{path}, line {number}: {len(row)} numbers; accepted are {3 * points}, x y z of"
                f" {points} joints"
            )
    try:
        xyz = np.array(rows, dtype=np.float32).reshape(count, points, 3)
    except ValueError as error:
        raise DataError(f"{path}: {error}; accepted are numbers") from error
    bad = ~(np.isfinite(xyz).all((1, 2)) & (xyz[..., 2] < 0).all(1))
    if bad.any():
        raise DataError(
            f"{path}, line {int(bad.argmax()) + 2}: a joint that is not finite or not in front of"
            " the camera; accepted are mm with y up and z negative, as MSRA writes them"
        )
    return torch.from_numpy(xyz * LABEL_SIGNS)


def read_frame(path: Path) -> np.ndarray:
    """`NNNNNN_depth.bin` → the full image (240, 320) float32 mm, 0 outside the stored window.

    Errors: a missing file, a header that does not fit the camera's image, fewer or more bytes than
    the header promises (checked before anything is read), NaN, infinite or negative depth.
    """
    try:
        with open(path, "rb") as file:
            header, size = file.read(HEADER.size), file.seek(0, 2)
            left, top, right, bottom = _window(path, header, size)
            file.seek(HEADER.size)
            window = np.frombuffer(file.read(), "<f4").reshape(bottom - top, right - left)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; accepted is an MSRA depth frame") from error
    if not (np.isfinite(window).all() and (window >= 0).all()):
        raise DataError(
            f"{path}: NaN, infinite or negative depth; accepted are mm ≥ 0, 0 = background"
        )
    depth = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    depth[top:bottom, left:right] = window
    return depth


def write_frame(path: Path, depth: np.ndarray) -> None:
    """Write an image (240, 320) in mm: of it the bounding box of what was measured."""
    need_size(depth, CAMERA)
    measured = depth > 0
    (top, bottom), (left, right) = (_extent(np.any(measured, axis)) for axis in (1, 0))
    window = np.ascontiguousarray(depth[top:bottom, left:right], "<f4")
    header = HEADER.pack(CAMERA.width, CAMERA.height, left, top, right, bottom)
    Path(path).write_bytes(header + window.tobytes())


def write_joints(path: Path, joints: np.ndarray, points: int = JOINTS) -> None:
    """Write `joint.txt` from joints (N, 21, 3) mm in the camera frame, to a tenth of a micrometre.

    With `points=1` it is `centre.txt`, from (N, 1, 3).
    """
    if joints.ndim != 3 or joints.shape[1:] != (points, 3):
        raise HandPoseError(f"joints of shape {joints.shape}: accepted is (N, {points}, 3)")
    rows = (np.asarray(joints, np.float64) * LABEL_SIGNS).reshape(len(joints), -1)
    lines = [str(len(rows)), *(" ".join(f"{value:.4f}" for value in row) for row in rows)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


def frame_name(i: int) -> str:
    """The file of frame `i`, counted from 0."""
    return f"{i:06d}_depth.bin"


def _window(path: Path, header: bytes, size: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the stored window, once header and file size agree."""
    if len(header) < HEADER.size:
        raise DataError(
            f"{path}: {size} bytes; accepted is a header of {HEADER.size} bytes and the window's"
            " pixels"
        )
    width, height, left, top, right, bottom = HEADER.unpack(header)
    fits = 0 <= left <= right <= width and 0 <= top <= bottom <= height
    if (width, height) != (CAMERA.width, CAMERA.height) or not fits:
        raise DataError(
            f"{path}: the header says an image of {width}×{height} with the window ({left}, {top})"
            f" to ({right}, {bottom}); accepted is a window inside {CAMERA.width}×{CAMERA.height}"
        )
    expected = HEADER.size + 4 * (right - left) * (bottom - top)
    if size != expected:
        raise DataError(
            f"{path}: {size} bytes; accepted are {expected}, as the header's window of "
            f"{right - left}×{bottom - top} pixels needs"
        )
    return left, top, right, bottom


def _count(path: Path, line: bytes) -> int:
    """The first line of `joint.txt`, a number of frames."""
    if not line.strip().isdigit() or len(line.strip()) > 9:
        raise DataError(
            f"{path}: the first line is {line[:40]!r}; accepted is the number of frames"
        )
    return int(line)


def _extent(marked: np.ndarray) -> tuple[int, int]:
    """First and one past the last marked place; (0, 0) where nothing is."""
    places = np.flatnonzero(marked)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
