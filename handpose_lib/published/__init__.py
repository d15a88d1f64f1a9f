"""Published labels and predictions of other groups' methods on test sets, and their scores.

    published.score("nyu", "V2V-PoseNet")["mean_joint_error_mm"]       # a file of the data folder
    published.score_file("mine.txt", "nyu").measures                   # any file, with warnings

A benchmark is given by its name or as a `Benchmark`, such as `stand_in.write` makes where the real
files are absent. `BENCHMARKS` lists the files that `data_scripts/fetch_published.py` obtains and
the camera that converts their pixels to millimetres: the one of the script of
xinghaochen/awesome-hand-pose-estimation (folder `evaluation`). Labels and predictions must be
converted with the same camera. Format and coordinates of a file follow from its content (`files`,
`spaces`); `sanity` and `exchanges` look for errors in it. The scores printed elsewhere are in
`book/tables/rescoring.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from handpose_lib import paths, skeleton
from handpose_lib.camera import Camera
from handpose_lib.dataset_specs import CAMERAS
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.evaluation import metrics
from handpose_lib.published import exchanges, files, sanity, spaces


@dataclass(frozen=True)
class Benchmark:
    """A test set with published predictions.

    title       for readers
    skeleton    name of the skeleton of its labels
    camera      of its frames
    intrinsics  fx, fy, u0, v0 in pixels, with which the printed scores were computed
    labels      file of the labels below the published folder, or None
    names       file of the image names, one per frame, or None
    labels_up   whether y points up in the file of labels
    results     method → file of its predictions
    parts       part of the test set → number of its frames, in their order
    subsets     number of joints in a file → indices of those that are evaluated
    synthetic   an imitation, whose scores say nothing about any paper
    """

    title: str
    skeleton: str
    camera: Camera
    intrinsics: tuple[float, float, float, float]
    labels: str | None = None
    names: str | None = None
    labels_up: bool = False
    results: dict[str, str] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    subsets: dict[int, tuple[int, ...]] = field(default_factory=dict)
    synthetic: bool = False

    @property
    def joints(self) -> int:
        """Number of joints of a frame."""
        return len(skeleton.get(self.skeleton))


BENCHMARKS = {
    "nyu": Benchmark(
        title="NYU, real test frames",
        skeleton="nyu14",
        camera=CAMERAS["nyu"],
        intrinsics=(588.03, 587.07, 320.0, 240.0),
        labels="nyu/nyu_test_groundtruth_label.txt",
        names="nyu/nyu_test_list.txt",
        results={
            "DeepPrior++": "nyu/ICCVW17_NYU_DeepPrior++.txt",
            "Pose-REN": "nyu/NEUCOM18_NYU_Pose_REN.txt",
            "HandPointNet": "nyu/CVPR18_NYU_HandPointNet.txt",
            "DenseReg": "nyu/CVPR18_NYU_denseReg.txt",
            "A2J": "nyu/nyu_861_epoch32_UVD.txt",
            "V2V-PoseNet": "nyu/CVPR18_NYU_V2V_PoseNet.txt",
        },
        parts={"training subject": 2440, "new subject": 5812},
        subsets={36: skeleton.NYU_EVALUATED},
    ),
    "icvl": Benchmark(
        title="ICVL, real test frames",
        skeleton="icvl16",
        camera=CAMERAS["icvl"],
        intrinsics=(240.99, 240.96, 160.0, 120.0),
        labels="icvl/icvl_test_groundtruth_label.txt",
        names="icvl/icvl_test_list.txt",
        results={
            "REN-9x6x6": "icvl/JVCI18_ICVL_REN_9x6x6.txt",
            "DenseReg": "icvl/CVPR18_ICVL_denseReg.txt",
            "HandPointNet": "icvl/CVPR18_ICVL_HandPointNet.txt",
            "Pose-REN": "icvl/NEUCOM18_ICVL_Pose_REN.txt",
            "A2J": "icvl/icvl_646_epoch12_UVD.txt",
            "V2V-PoseNet": "icvl/CVPR18_ICVL_V2V_PoseNet.txt",
        },
        parts={"test_seq_1": 702, "test_seq_2": 894},
    ),
    "itop": Benchmark(
        title="ITOP front view, real valid test frames",
        skeleton="itop15",
        camera=CAMERAS["itop"],
        intrinsics=(1 / 0.0035, 1 / 0.0035, 160.0, 120.0),
        labels="itop/itop_side_keypoints3D_test.mat",
        labels_up=True,
        results={"A2J": "itop/ITOP_side_results.zip"},
    ),
    "msra": Benchmark("MSRA15", "msra21", CAMERAS["msra"], (241.42, 241.42, 160.0, 120.0)),
    "hands17": Benchmark(
        "HANDS 2017",
        "hands17_21",
        CAMERAS["hands17"],
        (475.065948, 475.065857, 315.944855, 245.287079),
    ),
}
BODY_MM = 1000.0
"""As `sanity.TOO_FAR_MM`, for a person."""


@dataclass(frozen=True)
class Score:
    """The score of a prediction file.

    frames    number of frames that were compared
    space     'uvd' or 'xyz', the coordinates of the file
    unit_mm   the unit of its depths in mm
    y_up      whether its y points up
    measures  as `metrics.summary` returns them
    parts     part of the test set → mean joint error in mm
    warnings  what looks wrong, each a sentence
    exchange  what was probably exchanged in the file, or None; the measures are those with it
    """

    frames: int
    space: str
    unit_mm: float
    y_up: bool
    measures: dict[str, Any]
    parts: dict[str, float]
    warnings: list[str]
    exchange: exchanges.Exchange | None = None


def folder() -> Path:
    """Return the folder of the files: `published` in the data folder."""
    return paths.data() / "published"


def available(root: Path | str | None = None) -> list[tuple[str, str]]:
    """Return the `(set, method)` pairs whose labels and predictions both exist."""
    root = Path(root or folder())
    return [
        (name, method)
        for name, benchmark in BENCHMARKS.items()
        for method, file in benchmark.results.items()
        if benchmark.labels and (root / benchmark.labels).is_file() and (root / file).is_file()
    ]


def load(
    name: str | Benchmark,
    method: str | None = None,
    root: Path | str | None = None,
    intrinsics: Sequence[float] | None = None,
) -> torch.Tensor:
    """Return the predictions of a method on a benchmark, or the labels without `method`.

    They are (N, J, 3) mm in the camera frame, y down. `intrinsics`: instead of the benchmark's own,
    for files in pixels. Errors: `HandPoseError` for unknown names and sets without labels,
    `DataError` for files that cannot be read.
    """
    benchmark = _benchmark(name)
    if benchmark.labels is None:
        raise HandPoseError(
            f"{benchmark.title} has no public labels of its test frames; accepted are "
            + ", ".join(n for n, b in BENCHMARKS.items() if b.labels)
        )
    file = benchmark.labels
    if method is not None:
        file = benchmark.results[
            one_of(f"method with predictions on {benchmark.title}", method, benchmark.results)
        ]
    poses = _read(Path(root or folder()) / file, benchmark)
    joints = spaces.to_mm(
        poses.points, spaces.of(poses.points, benchmark.camera), intrinsics or benchmark.intrinsics
    )
    return _upside_down(joints) if benchmark.labels_up and method is None else joints


def score(name: str | Benchmark, method: str, root: Path | str | None = None) -> dict[str, Any]:
    """Return all measures of a method's published predictions (`metrics.summary`).

    Errors: as `load`, and `DataError` for another number of frames than labels.
    """
    predicted, labels = load(name, method, root), load(name, root=root)
    if len(predicted) != len(labels):
        raise DataError(
            f"{_benchmark(name).title}: {method} has {len(predicted)} frames and the labels have"
            f" {len(labels)}: line i of both must be the same frame"
        )
    return metrics.summary(predicted, labels)


def score_file(
    path: Path | str,
    name: str | Benchmark,
    labels: torch.Tensor | Path | str | None = None,
    space: str | None = None,
    root: Path | str | None = None,
    against: Mapping[str, torch.Tensor] | None = None,
) -> Score:
    """Return the score of any prediction file for the test set `name`, with warnings.

    `labels`: (N, J, 3) mm in the camera frame, or a file of labels; by default the published ones
    below `root`. `space`: 'uvd' or 'xyz'; by default it is inferred from the numbers. `against`:
    name → (N, J, 3) mm of other predictions whose frames the file must not contain; by default the
    other published files of the set. Frames are matched by their image names if the file has them
    and the test list exists, otherwise line by line: then, if the numbers of frames and labels
    differ, the first of both are compared, and the score has a warning.
    Errors: `DataError` naming the file that cannot be read.
    """
    benchmark = _benchmark(name)
    one_of("space", space, (None, spaces.UVD, spaces.XYZ))
    root = Path(root or folder())
    poses = _read(path, benchmark)
    found = space or spaces.of(poses.points, benchmark.camera)
    predicted = spaces.to_mm(poses.points, found, benchmark.intrinsics)
    labels = _labels(benchmark, labels, root)
    test_list = _names(benchmark, root)
    rows = _rows(poses.names, test_list, len(labels))
    noticed = [
        sanity.space(spaces.UVD, found) if space is None else None,
        sanity.frame_count(len(predicted), len(labels), benchmark.parts, by_name=rows is not None),
        sanity.image_names(None if poses.numbered else poses.names, test_list)
        if rows is None
        else None,
    ]
    rows = torch.arange(min(len(labels), len(predicted))) if rows is None else rows
    predicted, wanted, labels = predicted[: len(rows)], len(labels), labels[rows]
    y_up = found == spaces.XYZ and _fits_upside_down(predicted, labels)
    predicted = _upside_down(predicted) if y_up else predicted
    measures = metrics.summary(predicted, labels)
    against = _others(path, benchmark, root) if against is None else against
    exchange = exchanges.find(
        poses.points[: len(rows)],
        labels,
        found,
        predicted,
        benchmark.camera,
        benchmark.intrinsics,
    )
    ordered = predicted if exchange is None else exchange.predicted
    limit = BODY_MM if benchmark.skeleton == "itop15" else sanity.TOO_FAR_MM
    noticed += [
        *(
            sanity.same_frames(predicted, theirs[rows], other)
            for other, theirs in against.items()
            if len(theirs) > int(rows.max())
        ),
        sanity.without_depth(predicted),
        sanity.too_far(measures["mean_joint_error_mm"], limit),
        exchange.text if exchange else None,
        sanity.equal_to_labels(predicted, labels, skeleton.get(benchmark.skeleton).joints),
        sanity.order(ordered, labels),
    ]
    errors = metrics.frame_errors(predicted, labels, "mean")
    inside = {
        part: (rows >= range_.start) & (rows < range_.stop)
        for part, range_ in parts_of(name, wanted).items()
    }
    parts = {part: errors[those].mean().item() for part, those in inside.items() if those.any()}
    return Score(
        len(rows),
        found,
        spaces.unit(poses.points),
        y_up,
        measures,
        parts,
        [text for text in noticed if text],
        exchange,
    )


def parts_of(name: str | Benchmark, frames: int) -> dict[str, slice]:
    """Return the parts of a test set as rows of its labels.

    Empty if the number of labels, `frames`, is not that of the whole set.
    """
    parts = _benchmark(name).parts
    if sum(parts.values()) != frames:
        return {}
    ends = torch.tensor(list(parts.values())).cumsum(0).tolist()
    return {part: slice(end - count, end) for (part, count), end in zip(parts.items(), ends)}


def _benchmark(name: str | Benchmark) -> Benchmark:
    return (
        name if isinstance(name, Benchmark) else BENCHMARKS[one_of("benchmark", name, BENCHMARKS)]
    )


def _read(path: Path | str, benchmark: Benchmark) -> files.Poses:
    """Return the poses of a file; if it has more joints than are evaluated, only the latter."""
    poses = files.read(path, (benchmark.joints, *benchmark.subsets))
    chosen = benchmark.subsets.get(poses.points.shape[1])
    return poses if chosen is None else replace(poses, points=poses.points[:, list(chosen)])


def _labels(
    benchmark: Benchmark, labels: torch.Tensor | Path | str | None, root: Path
) -> torch.Tensor:
    if labels is None:
        return load(benchmark, root=root)
    if isinstance(labels, torch.Tensor):
        return labels.double()
    points = _read(labels, benchmark).points
    return spaces.to_mm(points, spaces.of(points, benchmark.camera), benchmark.intrinsics)


def _names(benchmark: Benchmark, root: Path) -> list[str] | None:
    """Return the image names of the test set, or None without the list."""
    path = root / benchmark.names if benchmark.names else None
    return path.read_text(encoding="utf-8").split() if path and path.is_file() else None


def _rows(names: list[str] | None, test_list: list[str] | None, frames: int) -> torch.Tensor | None:
    """Return the row of the labels for each line of a file, by image name.

    None if the names do not determine the rows.
    """
    if names is None or test_list is None or len(test_list) != frames:
        return None
    depth = len(names[0].split("/"))  # some files leave out the folders
    row = {"/".join(name.split("/")[-depth:]): i for i, name in enumerate(test_list)}
    if len(row) < len(test_list) or not all(name in row for name in names):
        return None
    return torch.tensor([row[name] for name in names])


def _others(path: Path | str, benchmark: Benchmark, root: Path) -> dict[str, torch.Tensor]:
    """Return the published predictions of a set apart from this file: title → joints."""
    known = {method: root / file for method, file in benchmark.results.items()}
    return {
        f"{method} ({file.name})": load(benchmark, method, root)
        for method, file in known.items()
        if file.is_file() and not file.samefile(path)
    }


def _upside_down(joints: torch.Tensor) -> torch.Tensor:
    return joints * joints.new_tensor([1.0, -1.0, 1.0])


def _fits_upside_down(predicted: torch.Tensor, labels: torch.Tensor) -> bool:
    """Return whether y of the predictions points up: whether they then fit the labels better."""
    down = metrics.mean_joint_error(predicted, labels)
    up = metrics.mean_joint_error(_upside_down(predicted), labels)
    return bool(up < down)
