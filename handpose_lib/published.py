"""Reading what other groups published: test-set labels and predictions as text.

The community's format is one frame per line, `u v d` of each joint (pixel, pixel, mm) separated by
blanks or tabs. Some files lead each line with the name of the image, some end it with further
fields, some hold `x y z` in mm instead: the first two are handled here, the third is for the caller
to know, since the numbers do not say it.

Printed errors and intrinsics below are those of the README and the script of
xinghaochen/awesome-hand-pose-estimation (folder `evaluation`). Labels and predictions must be taken
to millimetres with the same intrinsics: a different pair for one of the two is what hurts.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from . import metrics, paths
from .camera import uvd_to_xyz
from .errors import DataError, HandPoseError, one_of


@dataclass(frozen=True)
class TextPoses:
    """What one file holds: `points` (N, J, 3) float64, and one image name per line, or `None`."""

    points: torch.Tensor
    names: list[str] | None


@dataclass(frozen=True)
class Benchmark:
    """A test set whose labels and predictions are public."""

    title: str
    labels: str  # file below the published folder
    joints: int
    intrinsics: tuple  # fx, fy, u0, v0 in pixels
    results: dict  # method -> (file, mean joint error in mm as printed)


BENCHMARKS = {
    "nyu": Benchmark(
        title="NYU, real test frames",
        labels="nyu/nyu_test_groundtruth_label.txt",
        joints=14,
        intrinsics=(588.03, 587.07, 320.0, 240.0),
        results={
            "DeepPrior++": ("nyu/ICCVW17_NYU_DeepPrior++.txt", 12.238),
            "Pose-REN": ("nyu/NEUCOM18_NYU_Pose_REN.txt", 11.811),
            "HandPointNet": ("nyu/CVPR18_NYU_HandPointNet.txt", 10.540),
            "DenseReg": ("nyu/CVPR18_NYU_denseReg.txt", 10.214),
            "V2V-PoseNet": ("nyu/CVPR18_NYU_V2V_PoseNet.txt", 8.419),
        },
    ),
    "icvl": Benchmark(
        title="ICVL, real test frames",
        labels="icvl/icvl_test_groundtruth_label.txt",
        joints=16,
        intrinsics=(240.99, 240.96, 160.0, 120.0),
        results={
            "REN-9x6x6": ("icvl/JVCI18_ICVL_REN_9x6x6.txt", 7.305),
            "DenseReg": ("icvl/CVPR18_ICVL_denseReg.txt", 7.239),
            "HandPointNet": ("icvl/CVPR18_ICVL_HandPointNet.txt", 6.935),
            "Pose-REN": ("icvl/NEUCOM18_ICVL_Pose_REN.txt", 6.791),
            "V2V-PoseNet": ("icvl/CVPR18_ICVL_V2V_PoseNet.txt", 6.284),
        },
    ),
}


def folder():
    """Where the files are looked for: `published` in the data folder."""
    return paths.data() / "published"


def available(root=None):
    """`(set, method)` pairs whose labels and predictions are both there."""
    root = Path(root or folder())
    return [
        (name, method)
        for name, benchmark in BENCHMARKS.items()
        for method, (file, _) in benchmark.results.items()
        if (root / benchmark.labels).is_file() and (root / file).is_file()
    ]


def load(name, method=None, root=None):
    """Joints `(N, J, 3)` mm of a benchmark: a method's predictions, or the labels without `method`."""
    benchmark = BENCHMARKS[one_of("benchmark", name, BENCHMARKS)]
    file = benchmark.labels
    if method is not None:
        file, _ = benchmark.results[one_of(f"method with predictions on {name}", method, benchmark.results)]
    uvd = read(Path(root or folder()) / file, benchmark.joints).points
    return uvd_to_xyz(uvd, torch.tensor(benchmark.intrinsics, dtype=uvd.dtype))


def score(name, method, root=None):
    """All measures of a method's published predictions (`metrics.summary`)."""
    predicted, labels = load(name, method, root), load(name, root=root)
    if len(predicted) != len(labels):
        raise DataError(
            f"{name}: {method} has {len(predicted)} frames and the labels have {len(labels)}: "
            "line i of both must be the same frame"
        )
    return metrics.summary(predicted, labels)


def read(path, joints, trailing=False):
    """Reads a file of one frame per line, three numbers for each of `joints` joints.

    A first field that is no number is taken for the image name (all lines or none have one, and a
    backslash in it becomes a slash). Empty lines are passed over. Fields after the last joint are an
    error unless `trailing`, so that a file of 16 joints is never read as one of 14.
    Raises `DataError` with the file and the line.
    """
    if joints < 1:
        raise HandPoseError(f"a frame of {joints} joints: at least 1 is needed")
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: a text file with one frame per line is needed") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from None

    rows, names = [], []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if _is_name(fields[0]):
            names.append(fields.pop(0).replace("\\", "/"))
        rows.append(_row(fields, joints, trailing, f"{path}, line {number}"))
        if names and len(names) != len(rows):
            raise DataError(f"{path}, line {number}: some lines begin with an image name and some do not")
    if not rows:
        raise DataError(f"{path} holds no frame: one line per frame is needed")
    return TextPoses(torch.tensor(rows, dtype=torch.float64).reshape(len(rows), joints, 3), names or None)


def _row(fields, joints, trailing, where):
    """The first `3 * joints` fields as numbers."""
    wanted = 3 * joints
    if len(fields) < wanted or (len(fields) > wanted and not trailing):
        raise DataError(f"{where}: {len(fields)} numbers, where {joints} joints need {wanted}")
    numbers = [_number(field) for field in fields[:wanted]]
    if None in numbers:
        raise DataError(f"{where}: {fields[numbers.index(None)]!r} is not a finite number")
    return numbers


def _number(field):
    """The finite number that the field holds, or None."""
    try:
        number = float(field)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_name(field):
    """Whether a line's first field is an image name. Any number is none, be it finite or not."""
    try:
        float(field)
    except ValueError:
        return True
    return False
