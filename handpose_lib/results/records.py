"""Records of runs: what was run, on what, with what result. Every table of the book is made of
these.

    <root>/<method>/<profile>/<variant>-<dataset>-s<seed>/
        record.json            all facts; `FIELDS` below says which
        predictions.txt        one frame per line, `u v d` of each joint (pixel, pixel, mm)
        weights.safetensors    the network, where it is kept
    <root>/labels/<key>.txt    the labels of the predicted frames in the same format, and their
                               names in
    <root>/labels/<key>.ids.txt    the same order: once per set of frames, whoever predicts them

A run in a folder of another name keeps its labels inside it. With predictions and labels any
measure can be computed again, now or in years.
"""

import datetime
import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

from handpose_lib import paths
from handpose_lib.camera import uvd_to_xyz, xyz_to_uvd
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.io import provenance
from handpose_lib.io.storage import read_json, read_tensors, write_json, write_tensors, write_text

SCHEMA = 1

FIELDS = {
    "schema": int,  # of this layout
    "method": str,
    "variant": str,
    "profile": str,
    "dataset": (
        dict
    ),  # name, synthetic, fingerprint, camera [fx, fy, u0, v0]; labels: key of the labels' file
    "protocol": dict,  # joints, split, subject, view, centre, cube, frames, checkpoint
    "seed": int,
    "device": dict,  # type, name, threads
    "versions": dict,  # of Python and of the packages that compute
    "code": dict,  # modules, digest: see `is_stale`
    "created": str,  # UTC, to the second
    "recipe": dict,
    "training": (
        dict
    ),  # steps, frames, seconds, frames_per_second, peak_memory bytes, source, choice, epoch
    "inference": dict,  # throughput of batches of 1 and more
    "parameters": int,
    "curve": list,  # one entry per epoch
    "metrics": dict,  # metrics.summary
    "baselines": dict,  # mean_pose_mm, knn1_mm, knn5_mm on the same data
    "files": dict,  # predictions: decimals; weights: precision ('float32', 'float16') or None
}

_NAMED = {
    "dataset": ("name", "synthetic", "fingerprint", "camera", "labels"),
    "code": ("modules", "digest"),
    "protocol": ("joints", "split", "centre", "cube", "checkpoint"),
    "metrics": ("mean_joint_error_mm",),
    "files": ("predictions", "weights"),
}
_PACKAGES = ("torch", "lightning", "numpy")
_DECIMALS = 2  # 0.01 pixel and 0.01 mm


class Record(dict):
    """A validated record: a dictionary with the fields of `FIELDS`, and the `folder` it lies in."""

    folder: Path | None = None

    @property
    def key(self) -> str:
        """Where it lies below a root of records."""
        dataset = "synthetic" if self["dataset"]["synthetic"] else self["dataset"]["name"]
        return f"{self['method']}/{self['profile']}/{self['variant']}-{dataset}-s{self['seed']}"

    @property
    def error_mm(self) -> float:
        """The mean joint error."""
        return self["metrics"]["mean_joint_error_mm"]


def new(*, method, history, recipe, test, centre, metrics, baselines, inference) -> Record:
    """The record of a finished training, its files not yet written.

    `method` the trained network, `history` what `training.fit` returned, `test` the data set that
    it was scored on with `centre` and the recipe's test cube; `metrics`, `baselines` and
    `inference` as `evaluation` returns them.
    """
    settings = history.settings
    return validated(
        {
            "schema": SCHEMA,
            "method": method.name,
            "variant": method.variant,
            "profile": recipe.profile,
            "dataset": {
                "name": test.name,
                "synthetic": test.synthetic,
                "fingerprint": test.fingerprint,
                "camera": [getattr(test.camera, name) for name in ("fx", "fy", "u0", "v0")],
                "labels": "",
            },
            "protocol": {
                **test.protocol,
                "joints": method.skeleton.name,
                "centre": centre,
                "cube": recipe.cube_test,
                "frames": len(test),
                "checkpoint": history.choice,
            },
            "seed": settings["seed"],
            "device": history.device,
            "versions": {
                "python": platform.python_version(),
                **{name: metadata.version(name) for name in _PACKAGES},
            },
            "code": settings["code"],
            "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "recipe": settings["recipe"],
            "training": {
                "steps": history.steps,
                "frames": history.frames,
                "seconds": history.seconds,
                "waiting": history.waiting,
                "frames_per_second": history.frames_per_second,
                "peak_memory": history.peak_memory,
                "source": settings["source"],
                "config": settings["config"],
                "choice": history.choice,
                "epoch": history.epoch,
            },
            "inference": inference,
            "parameters": sum(parameter.numel() for parameter in method.parameters()),
            "curve": history.curve,
            "metrics": metrics,
            "baselines": baselines,
            "files": {"predictions": _DECIMALS, "weights": None},
        }
    )


def save(
    record: Record, out=None, *, predicted, joints, ids: Sequence[str], weights=None, half=False
) -> Record:
    """Write a run into the folder `out` (None: its place below the committed records).

    The record comes last, so that a folder with a record is whole; what was there of an earlier run
    is replaced. `predicted`, `joints` (N, J, 3) mm and the N names `ids` in the same order;
    `weights` a method or state dict to keep, its parameters in 16 bits if `half`
    (running statistics of batch norms stay as they are: they may exceed the range). Returns the
    record, with its folder.
    """
    record = validated(record)
    if not len(predicted) == len(joints) == len(ids):
        raise HandPoseError(
            f"{len(predicted)} predictions, {len(joints)} labels, {len(ids)} names: accepted is one"
            " of each per frame"
        )
    record.folder = folder = paths.records() / record.key if out is None else Path(out)
    camera = torch.tensor(record["dataset"]["camera"], dtype=torch.float64)
    lines, names = _lines(joints, camera), "".join(f"{name}\n" for name in ids)
    key = f"{record['dataset']['fingerprint']}-{hashlib.sha256((lines + names).encode()).hexdigest()[:8]}"
    record["dataset"] = {**record["dataset"], "labels": key}
    record["files"] = {
        "predictions": _DECIMALS,
        "weights": None if weights is None else "float16" if half else "float32",
    }

    (folder / "record.json").unlink(missing_ok=True)
    for suffix, text in ((".txt", lines), (".ids.txt", names)):
        if not (path := _labels(record, suffix)).exists():  # its name follows from its content
            write_text(path, text)
    write_text(folder / "predictions.txt", _lines(predicted, camera))
    if weights is not None:
        state = weights if isinstance(weights, Mapping) else weights.state_dict()
        write_tensors(folder / "weights.safetensors", _halved(state) if half else state)
    write_json(folder / "record.json", record)
    return record


def load(folder) -> Record:
    """The record in a run's folder. Errors: missing or broken, naming the file and the field."""
    path = Path(folder) / "record.json"
    record = validated(read_json(path), path)
    record.folder = Path(folder)
    return record


def load_all(root=None) -> list[Record]:
    """Every record below `root` (None: the committed ones), sorted by where they lie."""
    root = paths.records() if root is None else Path(root)
    return [load(path.parent) for path in sorted(root.glob("*/*/*/record.json"))]


def find(root=None, **wanted) -> list[Record]:
    """The records below `root` whose fields are as `wanted`, by seed and age; possibly none.

    find(method="jgr_p2o", profile="laptop", variant="paper", dataset="msra", synthetic=True)
    """
    for name in wanted:
        one_of(
            "field to search by",
            name,
            ("method", "variant", "profile", "seed", "dataset", "synthetic"),
        )
    return [
        record
        for record in load_all(root)
        if all(_field(record, n) == value for n, value in wanted.items())
    ]


def joints(record: Record) -> tuple[torch.Tensor, torch.Tensor]:
    """(predicted, true) joints (N, J, 3) mm, float64, from the run's files; see `ids` for the
    order.

    Errors: files that are missing, damaged or of different length.
    """
    count = len(record["metrics"]["per_joint_mm"])
    camera = torch.tensor(record["dataset"]["camera"], dtype=torch.float64)
    predicted, true = (
        uvd_to_xyz(_read(path, count), camera)
        for path in (record.folder / "predictions.txt", _labels(record, ".txt"))
    )
    if len(predicted) != len(true):
        raise DataError(f"{record.folder}: {len(predicted)} predictions for {len(true)} labels")
    return predicted, true


def ids(record: Record) -> list[str]:
    """The names of the predicted frames, in the order of the predictions."""
    path = _labels(record, ".ids.txt")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; it names the frames of {record.key}"
        ) from error


def load_weights(record: Record, method) -> None:
    """Fill `method` with the weights of a run. Errors: none kept, or of another network."""
    if record["files"]["weights"] is None:
        raise DataError(f"{record.key} keeps no weights: accepted is a run saved with them")
    state = read_tensors(record.folder / "weights.safetensors")
    try:
        method.load_state_dict(state)
    except RuntimeError as error:
        raise HandPoseError(
            f"the weights of {record.key} do not fit this {method.name} ({method.variant}): "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error


def is_stale(record: Record) -> bool:
    """Has the code changed since the run? Comments, docstrings and layout do not count."""
    try:
        return _digest_now(tuple(record["code"]["modules"])) != record["code"]["digest"]
    except HandPoseError:  # a module that is no longer there
        return True


def validated(record: Mapping, where="record") -> Record:
    """`record` as a `Record`. Errors: a field missing, of another type, or unknown."""
    for name, kind in FIELDS.items():
        if name not in record:
            raise DataError(
                f"{where}: field {name!r} is missing; accepted is a record with {', '.join(FIELDS)}"
            )
        if not isinstance(record[name], kind) or (kind is int and isinstance(record[name], bool)):
            raise DataError(
                f"{where}: field {name!r} is a {type(record[name]).__name__}; accepted is"
                f" {kind.__name__}"
            )
    for name in record:
        one_of(f"field in {where}", name, FIELDS)
    if record["schema"] != SCHEMA:
        raise DataError(f"{where}: schema {record['schema']}; accepted is {SCHEMA}")
    for name, parts in _NAMED.items():
        for part in parts:
            if part not in record[name]:
                raise DataError(f"{where}: {name}.{part} is missing")
    found = Record(record)
    found.folder = getattr(record, "folder", None)
    return found


@cache
def _digest_now(modules) -> str:
    return provenance.digest(provenance.closure(modules))


def _labels(record, suffix) -> Path:
    """The file of the labels: below the root of the run's folder, or in a folder of another name
    itself.
    """
    folder = record.folder.resolve()
    root = folder.parents[2] if folder.as_posix().endswith(f"/{record.key}") else folder
    return root / "labels" / (record["dataset"]["labels"] + suffix)


def _read(path, joints) -> torch.Tensor:
    """(N, J, 3) `u v d`, float64, of a file with one frame per line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append([float(value) for value in line.split()])
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        if len(rows[-1]) != 3 * joints:
            raise DataError(
                f"{path}, line {number}: {len(rows[-1])} numbers; accepted are u v d of {joints}"
                " joints"
            )
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), joints, 3)


def _lines(joints, camera) -> str:
    """(N, J, 3) mm as text, one frame per line."""
    rows = xyz_to_uvd(joints.detach().cpu().double(), camera).flatten(1).tolist()
    return "".join(" ".join(f"{value:.{_DECIMALS}f}" for value in row) + "\n" for row in rows)


def _halved(state):
    """Parameters in 16 bits; running statistics and counters as they are."""
    return {
        name: value.half() if value.is_floating_point() and "running_" not in name else value
        for name, value in state.items()
    }


def _field(record, name):
    return (
        record["dataset"]["name" if name == "dataset" else name]
        if name in ("dataset", "synthetic")
        else record[name]
    )
