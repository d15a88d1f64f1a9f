"""NYU: one subject in training, two in test, seen by three structured-light cameras, 640×480
(Tompson et al., 2014).

    train/ joint_data.mat   depth_1_0000001.png …   rgb_…, synthdepth_… are not read
    test/  joint_data.mat   depth_1_0000001.png …

`depth_K_NNNNNNN.png`: camera K of 1 to 3, frames counted **from 1**; 8-bit colours that hold the
depth in mm, the high byte in green and the low byte in blue, 0 = not measured. `joint_data.mat`:
`joint_names`, and `joint_xyz` and `joint_uvd` of shape 3 views × N × 36 × 3; xyz in mm with x
right, **y up**, z forward. Reader and writer turn y and unpack colours here and nowhere else.

Papers use view 1 and 14 of the 36 joints. The first 2,440 test frames show the subject of the
training set, the others a new one, on whom every method is much worse: `subjects` tells them apart.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from handpose_lib import skeleton
from handpose_lib.camera import xyz_to_uvd
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
from handpose_lib.io import matlab, png
from handpose_lib.skeleton import NYU_EVALUATED, NYU_NAMES

SPEC = SPECS["nyu"]
CAMERA = SPEC.camera
VIEWS = tuple(range(1, 1 + SPEC.views))
PARTS = ("train", "test")
COUNTS = SPEC.counts
"""Frames of each view in the release."""
TRAINING_SUBJECT = 2_440
"""So many test frames at the beginning show the subject of the training set."""
SUBJECTS = ("training", "new")
LABELS = "joint_data.mat"
CENTRES = centre_files.OWN
"""A synthetic set's are those of view 1."""
LABEL_BYTES = 1 << 29
"""More than `joint_data.mat` takes, packed or unpacked: 512 MiB."""
LABEL_SIGNS = np.array([1, -1, 1], np.float32)
"""From the file's frame (y up) to the camera frame (y down), and back."""


class Nyu(Dataset):
    """NYU, real or synthetic. `split` 'train' and 'test' are the set's own, 'all' is both.

    `view` is one of the three cameras; `joints` 14, those that papers evaluate, or all 36.
    `subject` 'training' or 'new' keeps the test frames of one of them; `subjects` (N,) is 0 for the
    training subject, 1 for the new one, or None where a test set has not the release's length.
    `validation`: share of the training frames, the last ones, left out of 'train' and making up the
    split 'validation'; they show the same subject. `centres`: folder of V2V-PoseNet's
    `center_train_refined.txt` and `center_test_refined.txt` for view 1, as the frames' stored
    reference points; frames that they call invalid are left out and counted in `protocol`. Errors:
    see `datasets.open`.
    """

    name = "nyu"
    camera = CAMERA

    def __init__(
        self,
        root: Path | str | None = None,
        split: str = "train",
        view: int = 1,
        joints: int = 14,
        subject: str | None = None,
        validation: float | None = None,
        centres: Path | str | None = None,
    ):
        one_of("split", split, SPLITS)
        one_of("view", view, VIEWS)
        self.skeleton = skeleton.get(f"nyu{one_of('number of joints', joints, (14, 36))}")
        if subject is not None:
            one_of("subject of the test frames", subject, SUBJECTS if split == "test" else ())
        need_share(validation, split, "training")
        if centres is not None and view != 1:
            raise HandPoseError(
                f"centres for view {view}: accepted is view 1, for which they were published"
            )
        self.root, self.view = find("nyu", root), view
        self._rows, labels, points, subjects = [], [], [], []
        for part in PARTS if split == "all" else (split,) if split == "test" else ("train",):
            xyz = read_joints(self.root / part / LABELS, view)
            centre = self._centres_of(part, centres, len(xyz))
            rows = self._rows_of(split, part, len(xyz), subject, validation)
            if centre is not None:
                rows = rows[centre[rows].isfinite().all(1)]
            new = self._first_new(part, len(xyz))
            self._rows += [(part, i) for i in rows.tolist()]
            labels.append(xyz[rows] if joints == 36 else xyz[rows][:, list(NYU_EVALUATED)])
            points.append(None if centre is None else centre[rows])
            subjects.append(None if new is None else (rows >= new).long())
        self._joints = torch.cat(labels)
        self._centres, self.subjects = all_or_none(points), all_or_none(subjects)
        self.protocol = stated(
            split=split,
            view=view,
            joints="36" if joints == 36 else "14 of 36",
            subject=(subject or "both") if split == "test" else None,
            validation=validation,
            centres="published" if centres is not None else None,
        )

    def __len__(self) -> int:
        return len(self._rows)

    def joints(self) -> torch.Tensor:
        return self._joints

    def _frame(self, i: int) -> DepthFrame:
        part, row = self._rows[i]
        path = self.root / part / frame_name(row, self.view)
        return DepthFrame(
            torch.from_numpy(read_frame(path)),
            self.camera,
            self._joints[i],
            id=f"{part}/{path.stem}",
            centre=None if self._centres is None else self._centres[i],
        )

    def _centres_of(
        self, part: str, published: Path | str | None, count: int
    ) -> torch.Tensor | None:
        """The stored reference points of a part; those of a synthetic set are of view 1."""
        own = self.root / part / CENTRES if self.synthetic and self.view == 1 else None
        return centre_files.of_part(part, own, published, count, LABEL_SIGNS)

    def _rows_of(
        self, split: str, part: str, count: int, subject: str | None, validation: float | None
    ) -> torch.Tensor:
        """The frames of a part that belong to the split, counted from 0."""
        rows = torch.arange(count)
        if validation is not None and split in ("train", "validation"):
            kept = count - max(1, round(validation * count))
            return rows[kept:] if split == "validation" else rows[:kept]
        if subject is None:
            return rows
        new = self._first_new(part, count)
        if new is None:
            raise DataError(
                f"{self.root / part / LABELS}: {count:,} frames; which of them show the {subject}"
                f" subject is known only for the release's {COUNTS['test']:,}"
            )
        return rows[:new] if subject == "training" else rows[new:]

    def _first_new(self, part: str, count: int) -> int | None:
        """The first frame of a new subject; None where nobody knows."""
        if part == "train":
            return count
        if self.synthetic:
            return self.settings().get("test_frames_of_training_subject")
        return TRAINING_SUBJECT if count == COUNTS["test"] else None

    def _label_digest(self) -> str:
        content = hashlib.sha256()
        for part in PARTS:
            path = self.root / part / LABELS
            if path.is_file():
                with path.open("rb") as file:
                    content.update(
                        f"{part} ".encode() + hashlib.file_digest(file, "sha256").digest()
                    )
        return content.hexdigest()


def read_joints(path: Path, view: int = 1) -> torch.Tensor:
    """`joint_data.mat` → all joints of one view (N, 36, 3) mm in the camera frame: y changes its
    sign.

    Errors: a missing or damaged file, arrays of another shape, names of the finger joints in
    another order, a joint that is not finite or not in front of the camera.
    """
    found = matlab.read(path, {"joint_xyz", "joint_names"}, LABEL_BYTES)
    names, xyz = found.get("joint_names"), found.get("joint_xyz")
    # The numbers mean nothing without their order; that of the palm's points is told by no source.
    if (
        not isinstance(names, list)
        or tuple(names[:30]) != NYU_NAMES[:30]
        or len(names) != len(NYU_NAMES)
    ):
        shown = "none" if not isinstance(names, list) else ", ".join(names[:3])[:100] + ", …"
        raise DataError(
            f"{path}: joint_names {shown}; accepted are NYU's 36 from {NYU_NAMES[0]} to"
            f" {NYU_NAMES[-1]}"
        )
    if (
        not isinstance(xyz, np.ndarray)
        or xyz.ndim != 4
        or (xyz.shape[0], *xyz.shape[2:]) != (len(VIEWS), len(NYU_NAMES), 3)
    ):
        shape = xyz.shape if isinstance(xyz, np.ndarray) else "none"
        raise DataError(
            f"{path}: joint_xyz {shape}; accepted is {len(VIEWS)} views × N × {len(NYU_NAMES)} × 3"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit float32 is found below
        xyz = np.ascontiguousarray(xyz[view - 1], np.float32) * LABEL_SIGNS
    bad = ~(np.isfinite(xyz).all((1, 2)) & (xyz[..., 2] > 0).all(1))
    if bad.any():
        raise DataError(
            f"{path}: frame {int(bad.argmax()) + 1} of view {view} has a joint that is not finite"
            " or not in front of the camera; accepted are mm with y up and z forward"
        )
    if not len(xyz):
        raise DataError(f"{path}: no frames; accepted is at least one")
    return torch.from_numpy(xyz)


def read_frame(path: Path) -> np.ndarray:
    """`depth_K_NNNNNNN.png` → (480, 640) float32 mm, 0 = not measured: 256 · green + blue.

    Errors: a missing file, no whole PNG, other than 8-bit colours, another size.
    """
    colours = png.read(path, png.COLOURS, CAMERA, "a depth image of NYU, 8-bit colours")
    return colours[..., 1].astype(np.float32) * 256 + colours[..., 2]


def write_joints(path: Path, joints: np.ndarray) -> None:
    """Write `joint_data.mat` from the joints of all views (3, N, 36, 3) mm in the camera frame of
    each.
    """
    if joints.ndim != 4 or (joints.shape[0], *joints.shape[2:]) != (len(VIEWS), len(NYU_NAMES), 3):
        raise HandPoseError(
            f"joints of shape {joints.shape}: accepted is ({len(VIEWS)}, N, {len(NYU_NAMES)}, 3)"
        )
    joints = np.asarray(joints, np.float64)
    uvd = xyz_to_uvd(torch.from_numpy(joints), CAMERA).numpy()
    matlab.write(
        path, {"joint_names": list(NYU_NAMES), "joint_uvd": uvd, "joint_xyz": joints * LABEL_SIGNS}
    )


def write_frame(path: Path, depth: np.ndarray) -> None:
    """Write an image (480, 640) in mm, in whole millimetres."""
    need_size(depth, CAMERA)
    whole = np.clip(np.round(depth), 0, 65535).astype(np.uint16)
    colours = np.stack((np.zeros_like(whole), whole >> 8, whole & 255), -1).astype(np.uint8)
    Image.fromarray(colours).save(path, format="PNG", compress_level=1)


def frame_name(i: int, view: int) -> str:
    """The file of frame `i`, counted from 0; its name counts from 1."""
    return f"depth_{view}_{i + 1:07d}.png"
