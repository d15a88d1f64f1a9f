"""ICVL: 10 subjects in training, two sequences in test, 320×240 time of flight, 16 joints
(Tang et al., CVPR 2014).

    Training/ labels.txt                         Depth/201403121135/image_0000.png …   Depth/22-5/…
    Testing/  test_seq_1.txt  test_seq_2.txt     Depth/test_seq_1/image_0000.png …

An image is a PNG of one 16-bit channel, depth in mm; 0 and values from 32,000 mean that nothing was
measured. A line of a label file is the image's path below `Depth` and 48 numbers, u v d of 16
joints: pixels counted from 0, and mm. Empty lines between the lines and up to two trailing fields
occur. The thumb comes first.

Folders whose name begins with 2014 hold the about 22 thousand originals; the others, named by an
angle in degrees ('22-5' is 22.5), hold copies that were rotated in the image plane, 331,006 lines
in all.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from handpose_lib import skeleton
from handpose_lib.camera import uvd_to_xyz, xyz_to_uvd
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

JOINTS = 16
SPEC = SPECS["icvl"]
CAMERA = SPEC.camera
FOLDERS = {"train": "Training", "test": "Testing"}
LABELS = {"train": ("labels.txt",), "test": ("test_seq_1.txt", "test_seq_2.txt")}
COUNTS = SPEC.counts
"""Lines of the release's label files."""
ORIGINAL = "2014"
"""How the folder of an image begins that is no rotated copy."""
NOTHING_FROM = 32_000
"""Values from here on mark pixels without a measurement; the files have 32,001."""
MARKER = 32_001
CENTRES = centre_files.OWN
SIGNS = np.ones(3)
"""V2V-PoseNet's centres of this set have y down."""
BLOCK = 1 << 22
"""So many bytes of labels are turned into numbers at once, so that a third of a million lines need
little memory.
"""


class Icvl(Dataset):
    """ICVL, real or synthetic. `split` 'train' and 'test' are the set's own, 'all' is both.

    `rotated` adds the rotated copies to the training frames. `validation`: share of the originals,
    the last ones, left out of 'train' together with their copies and making up the split
    'validation'. `centres`: folder of V2V-PoseNet's `center_train_refined.txt` and
    `center_test_refined.txt`, as the frames' stored reference points; frames that they call invalid
    are left out. A training frame that is listed without an image is left out and counted in
    `protocol`. `sequences` (N,) is 1 or 2 for test frames, 0 for training frames. Errors: see
    `datasets.open`.
    """

    name = "icvl"
    camera = CAMERA
    skeleton = skeleton.get("icvl16")

    def __init__(
        self,
        root: Path | str | None = None,
        split: str = "train",
        rotated: bool = False,
        validation: float | None = None,
        centres: Path | str | None = None,
    ):
        one_of("split", split, SPLITS)
        need_share(validation, split, "original")
        self.root, missing = find("icvl", root), 0
        self._names, labels, points, sequences = [], [], [], []
        for part in FOLDERS if split == "all" else (split,) if split == "test" else ("train",):
            listed = [
                read_labels(self.root / FOLDERS[part] / name, part == "train" and not rotated)
                for name in LABELS[part]
            ]
            names = [name for file in listed for name in file.names]
            centre = self._centres_of(part, listed, centres)
            usable = torch.ones(len(names), dtype=torch.bool)
            if centre is not None:
                usable = centre.isfinite().all(1)
            there = self._there(part, names)
            missing += int((usable & ~there).sum())
            rows = (usable & there & _of_split(names, split, validation)).nonzero()[:, 0]
            self._names += [(part, names[i]) for i in rows.tolist()]
            labels.append(torch.cat([file.joints for file in listed])[rows])
            points.append(None if centre is None else centre[rows])
            sequences.append(_sequences(part, listed)[rows])
        if not self._names:
            raise DataError(
                f"{self.root}: none of the listed images is there; accepted are"
                " Training/Depth/*/*.png"
            )
        self._joints, self.sequences = torch.cat(labels), torch.cat(sequences)
        self._centres = all_or_none(points)
        training = "with rotated copies" if rotated else "originals"
        self.protocol = stated(
            split=split,
            training_frames=None if split == "test" else training,
            validation=validation,
            listed_without_an_image=missing or None,
            centres="published" if centres is not None else None,
        )

    def __len__(self) -> int:
        return len(self._names)

    def joints(self) -> torch.Tensor:
        return self._joints

    def _frame(self, i: int) -> DepthFrame:
        part, name = self._names[i]
        depth = read_frame(self.root / FOLDERS[part] / "Depth" / name)
        return DepthFrame(
            torch.from_numpy(depth),
            self.camera,
            self._joints[i],
            id=name.removesuffix(".png"),
            centre=None if self._centres is None else self._centres[i],
        )

    def _centres_of(
        self, part: str, listed: list["Labels"], published: Path | str | None
    ) -> torch.Tensor | None:
        """The stored points of the frames that were read; files of points count all frames."""
        own = self.root / FOLDERS[part] / CENTRES if self.synthetic else None
        counts = [file.count for file in listed]
        points = centre_files.of_part(part, own, published, sum(counts), SIGNS)
        if points is None:
            return None
        before = [sum(counts[:i]) for i in range(len(counts))]
        return points[np.concatenate([file.lines + start for file, start in zip(listed, before)])]

    def _there(self, part: str, names: list[str]) -> torch.Tensor:
        """(N,) which of the images are there. Errors: a test image is missing."""
        place = self.root / FOLDERS[part] / "Depth"
        there = are_there(place, names)
        if part == "test" and not there.all():
            raise DataError(
                f"{place / names[int((~there).nonzero()[0])]}: missing, and"
                f" {int((~there).sum()) - 1} others; accepted is an image for each line of the test"
                " labels"
            )
        return there

    def _label_digest(self) -> str:
        content = hashlib.sha256()
        for part, place in FOLDERS.items():
            for name in LABELS[part]:
                if (path := self.root / place / name).is_file():
                    with path.open("rb") as file:
                        content.update(
                            f"{name} ".encode() + hashlib.file_digest(file, "sha256").digest()
                        )
        return content.hexdigest()


class Labels:
    """A label file: `names` of the images, `joints` (N, 16, 3) mm in the camera frame, `lines` (N,)
    each one's number among the file's `count` frames.
    """

    def __init__(self, names: list[str], joints: torch.Tensor, lines: np.ndarray, count: int):
        self.names, self.joints, self.lines, self.count = names, joints, lines, count


def read_labels(path: Path, originals: bool = False) -> Labels:
    """`labels.txt` or `test_seq_K.txt`; `originals` passes over the rotated copies, whose numbers
    are not looked at.

    Errors: a missing file, no frames, a line that is not an image's path and 48 finite numbers, a
    path that leads elsewhere, a joint that is not in front of the camera, a path that occurs twice.
    """
    names, blocks, lines, count = [], [], [], 0
    try:
        with open(path, "rb") as file:
            while block := file.readlines(BLOCK):
                rows = [row for line in block if (row := line.split())]
                kept = [
                    i
                    for i, row in enumerate(rows)
                    if not originals or row[0].startswith(ORIGINAL.encode())
                ]
                names += [_name(path, count + i, rows[i]) for i in kept]
                blocks.append(_numbers(path, count, kept, rows))
                lines += [count + i for i in kept]
                count += len(rows)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); accepted is a label file of ICVL"
        ) from error
    if not names:
        raise DataError(
            f"{path}: no frames{' in folders that begin with 2014' if originals else ''}; accepted"
            f" is a line per frame: its path and {3 * JOINTS} numbers"
        )
    if len(set(names)) < len(names):
        raise DataError(
            f"{path}: {Counter(names).most_common(1)[0][0]} occurs twice; accepted is one line per"
            " frame"
        )
    uvd = np.concatenate(blocks).reshape(-1, JOINTS, 3)
    bad = ~(
        np.isfinite(uvd).all((1, 2)) & (uvd[..., 2] > 0).all(1) & (np.abs(uvd) < 1e5).all((1, 2))
    )
    if bad.any():
        raise DataError(
            f"{path}: {names[int(bad.argmax())]} has a joint that is not finite or not in front of"
            " the camera; accepted are u v in pixels and d in mm"
        )
    return Labels(names, uvd_to_xyz(torch.from_numpy(uvd), CAMERA).float(), np.array(lines), count)


def read_frame(path: Path) -> np.ndarray:
    """An image: (240, 320) float32 mm, 0 = not measured. Errors: missing, damaged, another size or
    kind.
    """
    values = png.read(
        path, png.SIXTEEN_BITS, CAMERA, "a depth image of ICVL, one channel of 16 bits"
    )
    return np.where(values < NOTHING_FROM, values, 0).astype(np.float32)


def are_there(place: Path, names: Iterable[str]) -> torch.Tensor:
    """(N,) whether each image is in the folder; one listing per sub-folder is faster than a
    question per image.
    """
    known: dict[str, set[str]] = {}
    found = []
    for name in names:
        parent, _, file = name.rpartition("/")
        if parent not in known:
            try:
                with os.scandir(place / parent) as entries:
                    known[parent] = {entry.name for entry in entries}
            except OSError:
                known[parent] = set()
        found.append(file in known[parent])
    return torch.tensor(found, dtype=torch.bool)


def write_labels(path: Path, names: list[str], joints: np.ndarray) -> None:
    """Write a label file: paths and joints (N, 16, 3) mm in the camera frame, to a thousandth as
    the set has them.
    """
    if joints.shape != (len(names), JOINTS, 3):
        raise HandPoseError(
            f"joints of shape {joints.shape}: accepted is ({len(names)}, {JOINTS}, 3)"
        )
    uvd = (
        xyz_to_uvd(torch.from_numpy(np.asarray(joints, np.float64)), CAMERA)
        .reshape(len(names), -1)
        .tolist()
    )
    lines = (
        " ".join((name, *(f"{value:.3f}" for value in row))) + " \n"
        for name, row in zip(names, uvd)
    )
    Path(path).write_text("".join(lines), encoding="ascii", newline="\n")


def write_frame(path: Path, depth: np.ndarray) -> None:
    """Write an image (240, 320) in mm, in whole millimetres; 32,001 where nothing was measured."""
    need_size(depth, CAMERA)
    whole = np.clip(np.round(depth), 0, NOTHING_FROM - 1).astype(np.uint16)
    Image.fromarray(np.where(whole > 0, whole, np.uint16(MARKER))).save(
        path, format="PNG", compress_level=1
    )


def is_original(name: str) -> bool:
    """Whether a training image is none of the rotated copies, by its path."""
    return name.startswith(ORIGINAL)


def _name(path: Path, number: int, row: list[bytes]) -> str:
    """The path of an image, which must stay below the folder."""
    name = row[0].replace(b"\\", b"/")
    sound = (
        name.isascii()
        and name.endswith(b".png")
        and len(name) < 200
        and not set(name) & set(b":\0")
    )
    if not sound or any(part in (b"", b".", b"..") for part in name.split(b"/")):
        raise DataError(
            f"{path}, frame {number + 1}: begins with {row[0][:40]!r}; accepted is the path of a"
            " PNG below `Depth`"
        )
    return name.decode("ascii")


def _numbers(path: Path, before: int, kept: list[int], rows: list[list[bytes]]) -> np.ndarray:
    """(N, 48) float64. A line may end with up to two more fields, but not with another joint."""
    wanted, values = 3 * JOINTS, []
    for i in kept:
        if not wanted < len(rows[i]) <= wanted + 3:
            raise DataError(
                f"{path}, frame {before + i + 1}: {len(rows[i]) - 1} numbers; accepted are"
                f" {wanted}, u v d of {JOINTS} joints"
            )
        try:
            values.append(np.fromiter(map(float, rows[i][1 : wanted + 1]), np.float64, wanted))
        except ValueError as error:
            raise DataError(
                f"{path}, frame {before + i + 1}: {str(error)[:100]}; accepted are numbers"
            ) from error
    return np.stack(values) if values else np.zeros((0, wanted))


def _sequences(part: str, listed: list[Labels]) -> torch.Tensor:
    """(N,) the test sequence of each frame, 1 or 2; 0 for training frames."""
    numbers = range(1, 1 + len(listed)) if part == "test" else [0] * len(listed)
    return torch.tensor([n for n, file in zip(numbers, listed) for _ in file.names])


def _of_split(names: list[str], split: str, validation: float | None) -> torch.Tensor:
    """(N,) which of a part's frames belong to the split. A copy goes where its original goes."""
    if validation is None or split not in ("train", "validation"):
        return torch.ones(len(names), dtype=torch.bool)
    originals = [name for name in names if is_original(name)]
    held_out = set(originals[len(originals) - max(1, round(validation * len(originals))) :])
    known = set(originals)
    member = []
    for name in names:
        source = name if name in known else name.partition("/")[2]
        if source not in known:
            raise DataError(
                f"{name}: a rotated copy whose original is not listed; accepted is a validation"
                " share without rotated copies, since a copy in training would give its original"
                " away"
            )
        member.append(name in held_out if split == "validation" else source not in held_out)
    return torch.tensor(member, dtype=torch.bool)
