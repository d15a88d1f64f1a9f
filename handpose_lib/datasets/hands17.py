"""HANDS2017, the frame-based challenge: 640×480, 21 joints, 5 persons in training and 10 in test
(Yuan et al., CVPR 2018).

    training/ images/image_D00000001.png …   Training_Annotation.txt
    frame/    images/image_D00000001.png …   BoundingBox.txt

`Training_Annotation.txt`: per line a file name and 63 numbers, x y z of 21 joints in mm with **y
down**, between tabs or blanks. `BoundingBox.txt`: per line a file name and left, top, width, height
of a box in pixels. An image is a PNG of one 16-bit channel, depth in mm, 0 = not measured. The
camera's principal point is not the middle of its image. Joints come level by level: wrist, five
knuckles, then finger by finger.

The labels of the test frames were kept by the challenge's server and given out later, on request.
Where they lie beside the boxes, as `Test_Annotation.txt` in the format of the training file, they
are read; a synthetic set has them.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from handpose_lib import skeleton
from handpose_lib.dataset_specs import SPECS
from handpose_lib.datasets import centres as centre_files
from handpose_lib.datasets.base import (
    SPLITS,
    Dataset,
    all_or_none,
    find,
    need_share,
    need_size,
    stated,
)
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.frames import DepthFrame
from handpose_lib.io import png

JOINTS = 21
SPEC = SPECS["hands17"]
CAMERA = SPEC.camera
PARTS = {"train": "training", "test": "frame"}
LABELS = {"train": "Training_Annotation.txt", "test": "Test_Annotation.txt"}
BOXES = "BoundingBox.txt"
COUNTS = SPEC.counts
"""Lines of the release's two files."""
CENTRES = centre_files.OWN
TO_MM = np.ones(3)
"""The set's labels are already in mm in the camera frame."""
LINES = 1 << 14
"""How many lines are turned into numbers at once, so that a million of them need little memory."""


class Hands17(Dataset):
    """HANDS2017, real or synthetic. `split` 'train' and 'test' are the set's own, 'all' is both.

    `validation`: share of the training file, its last lines, left out of 'train' and making up the
    split 'validation'; it shows the same persons. `held_out`: share of the training file, again its
    last lines, which takes the place of the test frames where nobody has their labels. `centres`:
    folder of V2V-PoseNet's `center_train_refined.txt` and `center_test_refined.txt`, as the frames'
    stored reference points; frames that they call invalid are left out. A listed frame without an
    image is left out and counted in `protocol`. `boxes` (N, 4) are left, top, width and height in
    pixels of the test split, else None. Errors: see `datasets.open`.
    """

    name = "hands17"
    camera = CAMERA
    skeleton = skeleton.get("hands17_21")

    def __init__(
        self,
        root: Path | str | None = None,
        split: str = "train",
        validation: float | None = None,
        held_out: float | None = None,
        centres: Path | str | None = None,
    ):
        one_of("split", split, SPLITS)
        need_share(validation, split, "training")
        need_share(held_out, "", "training", "held_out")
        self.root, missing = find("hands17", root), 0
        own_test = split == "test" and held_out is None
        parts = tuple(PARTS) if split == "all" else ("test",) if own_test else ("train",)
        self._images, labels, points, boxes = [], [], [], []
        for part in parts:
            place = self.root / PARTS[part]
            names, joints, part_boxes = read_part(self.root, part)
            own = place / CENTRES if self.synthetic else None
            centre = centre_files.of_part(part, own, centres, len(names), TO_MM)
            keep = torch.ones(len(names), dtype=torch.bool)
            if centre is not None:
                keep = centre.isfinite().all(1)
            there = _images(place / "images")
            present = torch.tensor([name in there for name in names], dtype=torch.bool)
            missing += int((keep & ~present).sum())
            rows = _of_split(keep & present, split, validation, held_out).nonzero()[:, 0]
            self._images += [place / "images" / names[i] for i in rows.tolist()]
            labels.append(None if joints is None else joints[rows])
            points.append(None if centre is None else centre[rows])
            boxes.append(None if part_boxes is None else part_boxes[rows])
        if not self._images:
            raise DataError(
                f"{self.root}: none of the listed images is there; accepted are"
                f" {PARTS[parts[0]]}/images/*.png"
            )
        self._joints, self._centres = all_or_none(labels), all_or_none(points)
        self.boxes = all_or_none(boxes)
        self.protocol = stated(
            split=split,
            validation=validation,
            held_out=held_out,
            listed_without_an_image=missing or None,
            centres="published" if centres is not None else None,
        )

    def __len__(self) -> int:
        return len(self._images)

    def joints(self) -> torch.Tensor:
        if self._joints is None:
            raise HandPoseError(
                "the test frames of hands17 have no joints:"
                f" {self.root / PARTS['test'] / LABELS['test']} is missing; the challenge's server"
                " scores predictions of them"
            )
        return self._joints

    def _frame(self, i: int) -> DepthFrame:
        path = self._images[i]
        joints = None if self._joints is None else self._joints[i]
        centre = None if self._centres is None else self._centres[i]
        return DepthFrame(
            torch.from_numpy(read_frame(path)),
            self.camera,
            joints,
            centre=centre,
            id=f"{path.parent.parent.name}/{path.stem}",
        )

    def _label_digest(self) -> str:
        content = hashlib.sha256()
        for path in (
            self.root / PARTS["train"] / LABELS["train"],
            self.root / PARTS["test"] / BOXES,
        ):
            if path.is_file():
                content.update(f"{path.name} {path.stat().st_size}\n".encode())
                with path.open("rb") as file:
                    content.update(hashlib.file_digest(file, "sha256").digest())
        return content.hexdigest()


def read_part(root: Path, part: str) -> tuple[list[str], torch.Tensor | None, torch.Tensor | None]:
    """File names, joints (N, 21, 3) mm or None, and boxes (N, 4) pixels or None of 'train' or
    'test', in the file's order.
    """
    place = Path(root) / PARTS[one_of("part of HANDS2017", part, PARTS)]
    if part == "train":
        names, joints = read_annotations(place / LABELS[part])
        return names, joints, None
    names, boxes = read_boxes(place / BOXES)
    if not (place / LABELS[part]).is_file():
        return names, None, boxes
    labelled, joints = read_annotations(place / LABELS[part])
    if labelled != names:
        raise DataError(
            f"{place / LABELS[part]}: other frames than in {BOXES}; accepted are the same names in"
            " the same order"
        )
    return names, joints, boxes


def read_annotations(path: Path) -> tuple[list[str], torch.Tensor]:
    """An annotation file → file names and joints (N, 21, 3) mm in the camera frame.

    Errors: a missing file, a line that is not a file name and 63 numbers, a joint that is not
    finite or not in front of the camera, a name that occurs twice.
    """
    names, values = _read_lines(path, 3 * JOINTS, f"x y z of {JOINTS} joints")
    joints = values.reshape(-1, JOINTS, 3)
    bad = ~(np.isfinite(joints).all((1, 2)) & (joints[..., 2] > 0).all(1))
    if bad.any():
        raise DataError(
            f"{path}: {names[int(bad.argmax())]} has a joint that is not finite or not in front of"
            " the camera; accepted are mm with y down and z forward"
        )
    return names, torch.from_numpy(joints)


def read_boxes(path: Path) -> tuple[list[str], torch.Tensor]:
    """`BoundingBox.txt` → file names and boxes (N, 4): left, top, width, height in pixels.

    Errors: a missing file, a line that is not a file name and four numbers, a box without extent, a
    name that occurs twice.
    """
    names, boxes = _read_lines(path, 4, "left, top, width and height of a box")
    bad = ~(np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1) & (np.abs(boxes) < 1e4).all(1))
    if bad.any():
        raise DataError(
            f"{path}: the box of {names[int(bad.argmax())]} is {boxes[int(bad.argmax())].tolist()};"
            " accepted are left, top, width and height in pixels"
        )
    return names, torch.from_numpy(boxes)


def read_frame(path: Path) -> np.ndarray:
    """An image: (480, 640) float32 mm, 0 where nothing was measured. Errors: missing, damaged,
    another size or kind.
    """
    what = "a depth image of HANDS2017, one channel of 16 bits"
    return png.read(path, png.SIXTEEN_BITS, CAMERA, what).astype(np.float32)


def write_frame(path: Path, depth: np.ndarray) -> None:
    """Write an image (480, 640) in mm, in whole millimetres."""
    need_size(depth, CAMERA)
    whole = np.clip(np.round(depth), 0, 65535).astype(np.uint16)
    Image.fromarray(whole).save(path, format="PNG", compress_level=1)


def write_annotations(path: Path, names: list[str], joints: np.ndarray) -> None:
    """Write an annotation file: names and joints (N, 21, 3) mm in the camera frame, to a tenth of a
    micrometre.
    """
    if joints.shape != (len(names), JOINTS, 3):
        raise HandPoseError(
            f"joints of shape {joints.shape}: accepted is ({len(names)}, {JOINTS}, 3)"
        )
    _write_lines(path, names, joints.reshape(len(names), -1), "{:.4f}")


def write_boxes(path: Path, names: list[str], boxes: np.ndarray) -> None:
    """Write `BoundingBox.txt`: boxes (N, 4) left, top, width, height in pixels."""
    if boxes.shape != (len(names), 4):
        raise HandPoseError(f"boxes of shape {boxes.shape}: accepted is ({len(names)}, 4)")
    _write_lines(path, names, boxes, "{:.2f}")


def frame_name(i: int) -> str:
    """The file of frame `i`, counted from 0; its name counts from 1."""
    return f"image_D{i + 1:08d}.png"


def _read_lines(path: Path, numbers: int, what: str) -> tuple[list[str], np.ndarray]:
    """Names and (N, numbers) float32 of lines that start with a file name."""
    names, blocks = [], []
    try:
        with open(path, "rb") as file:
            while lines := file.readlines(LINES * 16 * numbers):
                found, block = _numbers(path, lines, len(names), numbers, what)
                names += found
                blocks.append(block)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); accepted is a file of HANDS2017"
        ) from error
    if not names:
        raise DataError(f"{path}: empty; accepted is a line per frame: a file name and {what}")
    if len(set(names)) < len(names):
        raise DataError(f"{path}: {_twice(names)} occurs twice; accepted is one line per frame")
    return names, np.concatenate(blocks)


def _numbers(
    path: Path, lines: list[bytes], before: int, numbers: int, what: str
) -> tuple[list[str], np.ndarray]:
    rows = [line.split() for line in lines if line.strip()]
    for number, row in enumerate(rows, start=before + 1):
        if len(row) != numbers + 1 or not _is_name(row[0]):
            raise DataError(
                f"{path}, frame {number}: {len(row)} fields, the first {row[0][:40]!r}; accepted"
                f" are a file name such as {frame_name(0)} and {numbers} numbers, {what}"
            )
    try:
        values = np.array([row[1:] for row in rows], dtype=np.float32).reshape(len(rows), numbers)
    except ValueError as error:
        raise DataError(f"{path}: {str(error)[:100]}; accepted are numbers") from error
    return [row[0].decode("ascii") for row in rows], values


def _is_name(name: bytes) -> bool:
    """A PNG in the folder itself: a name may not lead elsewhere."""
    return (
        name.isascii()
        and name.endswith(b".png")
        and not set(name) & set(b"/\\:\0")
        and len(name) < 100
    )


def _twice(names: list[str]) -> str:
    seen = set()
    return next(name for name in names if name in seen or seen.add(name))


def _images(place: Path) -> set[str]:
    """What is in the folder of images; one listing is faster than a million questions."""
    try:
        with os.scandir(place) as entries:
            return {entry.name for entry in entries}
    except OSError as error:
        raise DataError(
            f"{place}: cannot be listed ({error.strerror}); accepted is the folder of depth images"
        ) from error


def _of_split(
    usable: torch.Tensor, split: str, validation: float | None, held_out: float | None
) -> torch.Tensor:
    """(N,) which of the usable frames of a part belong to a split: the last are held out, those
    before them validate.
    """
    if split == "all" or (split == "test" and held_out is None):
        return usable
    count = len(usable)
    end = count - (0 if held_out is None else max(1, round(held_out * count)))
    start = end - (0 if validation is None else max(1, round(validation * end)))
    first, last = {"train": (0, start), "validation": (start, end), "test": (end, count)}[split]
    rows = torch.arange(count)
    return usable & (rows >= first) & (rows < last)


def _write_lines(path: Path, names: list[str], values: np.ndarray, number: str) -> None:
    rows = np.asarray(values, np.float64)
    lines = (
        "\t".join((name, *map(number.format, row))) + "\n"
        for name, row in zip(names, rows.tolist(), strict=True)
    )
    Path(path).write_text("".join(lines), encoding="ascii", newline="\n")
