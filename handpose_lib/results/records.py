"""Records of trainings and measurements: the settings, the code and the result.

All tables of the book are made from records. A record is the file `record.json` in a folder of its
own, with the fields of `COMMON` and those of its kind, see `KINDS`:

    <root>/<paper>/<profile>/<variant>-<dataset>-s<seed>/    kind 'training': a run of a paper
        record.json
        predictions.joints     the predicted joints, see `io.coordinates`; also those of other ways
                               to decode the same network, by name
        weights.safetensors    the network, where it is kept
    <root>/labels/<key>.joints     the labels of the predicted frames in the same format, and their
    <root>/labels/<key>.ids.txt    names in the same order: once per set of frames
    <root>/<kind>/             every other kind: record.json, and weights where a network is kept

A run in a folder of another name keeps its labels inside it. With predictions and labels, every
measure can be computed again later. `digests` in a record has the SHA-256 of each of its files,
which are read only if they still have it.

A record that replaces an older one never loses it: the new files are written completely beside the
old ones, under names that begin with `.new.`, the record last, and then renamed. If the renaming is
interrupted, the next reader or writer completes it.
"""

import datetime
import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from handpose_lib import paths
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.io import coordinates, locks, provenance
from handpose_lib.io.storage import (
    read_json,
    read_tensors,
    temporary_file,
    write_json,
    write_tensors,
    write_text,
)

SCHEMA = 3

COMMON = {
    "schema": int,  # of this layout
    "kind": str,  # a key of `KINDS`
    "code": dict,  # modules, digest: see `is_stale`
    "created": str,  # UTC, to the second
    "device": dict,  # type, name, threads
}
OPTIONAL = {"digests": dict}
"""Fields that a record may have: file → SHA-256. Records that were written earlier have none."""
_NETWORK = {
    "config": dict,
    "parameters": int,
    "training": dict,  # frames, seconds, and what else decided it
    "curve": list,  # about fifty entries of the loss
    "held_out": dict,  # measures on persons who were not seen in the training
}
KINDS = {
    "training": {
        "method": str,
        "variant": str,
        "profile": str,
        # name, synthetic, fingerprint, camera [fx, fy, u0, v0]; labels: key of the labels' file
        "dataset": dict,
        "protocol": dict,  # joints, split, subject, view, centre, cube, frames, checkpoint
        "seed": int,
        "versions": dict,  # of Python and of the packages that compute
        "recipe": dict,
        # steps, frames, seconds, frames_per_second, peak_memory bytes, source, choice, epoch
        "training": dict,
        "inference": dict,  # throughput of batches of 1 and more
        "parameters": int,
        "curve": list,  # one entry per epoch
        "metrics": dict,  # metrics.summary
        "baselines": dict,  # mean_pose_mm, knn1_mm, knn5_mm on the same data
        # predictions: their step in mm; read_outs: names of further predictions;
        # weights: 'float32', 'float16' or None
        "files": dict,
    },
    "hand_detector": {**_NETWORK, "second_look": dict, "look_curve": list},
    "centre_refiner": _NETWORK,
    "real_hands": _NETWORK,
    "stress": {
        "synthetic": dict,  # which frames
        "networks": dict,  # name → record, dimensions of its input, digest of its weights
        "refinement": str,  # digest of the weights of the centre refiner
        "errors_mm": dict,  # setting → value → network → errors of the frames
        "real": (dict, type(None)),  # measures without labels on real frames
        "seconds": float,
    },
    "transfer": {
        "method": str,
        "variant": str,
        "frames": int,
        "recipe": dict,
        "distribution": str,
        "synthetic": dict,
        "real": dict,
        "references": dict,
        "settings": dict,  # name → how its training differs, and what it found
        "summary": dict,
        "weights": dict,
        "cpu_seconds": float,
    },
}
"""Kind → fields of its records besides those of `COMMON`."""

_NAMED = {
    "code": ("modules", "digest"),
    "device": ("type", "name", "threads"),
    "dataset": ("name", "synthetic", "fingerprint", "camera", "labels"),
    "protocol": ("joints", "split", "centre", "cube", "checkpoint"),
    "metrics": ("mean_joint_error_mm",),
    "files": ("predictions", "read_outs", "weights"),
}
_PACKAGES = ("torch", "lightning", "numpy")
_CHOSEN = ""  # the name of a run's own predictions in their file
_RECORD, _PREDICTIONS, _WEIGHTS = "record.json", "predictions.joints", "weights.safetensors"
_LABELS, _IDS = "labels.joints", "labels.ids.txt"  # in `digests`; elsewhere on the disk
_NEW = ".new."


USUAL = {"subject": (None, 8), "view": (None, 1, "front")}
"""The held-out subject and the view that papers use; any other is in the name of a run's folder."""


class Record(dict):
    """A validated record: a dictionary with the fields of its kind, and its `folder`."""

    _folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of its files. Errors: `HandPoseError` if the record was not written yet."""
        if self._folder is None:
            raise HandPoseError(f"the record {self.key} was not written yet: it has no folder")
        return self._folder

    @folder.setter
    def folder(self, folder: Path) -> None:
        self._folder = folder

    @property
    def key(self) -> str:
        """Its folder below a root of records."""
        if self["kind"] != "training":
            return self["kind"]
        run = f"{self['variant']}-{self.dataset_name}-s{self['seed']}"
        protocol = self["protocol"]
        for letter, name in (("p", "subject"), ("v", "view")):
            if protocol.get(name) not in USUAL[name]:
                run += f"-{letter}{protocol[name]}"
        return f"{self['method']}/{self['profile']}/{run}"

    @property
    def dataset_name(self) -> str:
        """The name of the data set in recipes: 'synthetic' for the embedded one."""
        embedded = self["dataset"]["synthetic"] and self["dataset"]["name"] == "msra"
        return "synthetic" if embedded else self["dataset"]["name"]

    @property
    def error_mm(self) -> float:
        """The mean joint error of a training, mm."""
        return self["metrics"]["mean_joint_error_mm"]


def create(kind: str, modules: Sequence[str], **fields: Any) -> Record:
    """Return a new record, not yet written.

    `modules`: the code that determines the result, modules of the library by their dotted names and
    scripts by their paths in the project. `fields`: those of the kind, and `device`.
    Errors: `DataError` for a field that is missing, of another type, or unknown.
    """
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    code = {"modules": list(modules), "digest": code_digest(modules)}
    return validated({"schema": SCHEMA, "kind": kind, "code": code, "created": now, **fields})


def new(
    *,
    method: Any,
    history: Any,
    recipe: Any,
    test: Any,
    centre: str,
    metrics: dict[str, Any],
    baselines: dict[str, float],
    inference: dict[str, Any],
) -> Record:
    """Return the record of a finished training, its files not yet written.

    method     the trained network, a `papers.method.Method`; `recipe` its `papers.method.Recipe`
    history    what `training.fit` returned
    test       the `datasets.Dataset` of the test, cropped at `centre` in the recipe's test cube

    `metrics`, `baselines` and `inference` are those that `evaluation` returns.
    """
    settings = history.settings
    return validated(
        {
            "schema": SCHEMA,
            "kind": "training",
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
            "files": {"predictions": coordinates.STEP_MM, "read_outs": [], "weights": None},
        }
    )


def save(
    record: Record,
    out: Path | str | None = None,
    *,
    predicted: torch.Tensor,
    joints: torch.Tensor,
    ids: Sequence[str],
    read_outs: Mapping[str, torch.Tensor] | None = None,
    weights: nn.Module | Mapping[str, torch.Tensor] | None = None,
    half: bool = False,
) -> Record:
    """Write a run into a folder and return the record, with its folder.

    out                  None: its folder below the committed records
    predicted, joints    (N, J, 3) mm; `ids` are the N names in the same order
    read_outs            further predictions of the same run by name, such as those of other ways to
                         decode its network, each like `predicted`
    weights              a method or state dict to keep; with `half`, its parameters in 16 bits.
                         Running statistics of batch norms stay as they are: they may exceed the
                         range

    An earlier run in the folder is replaced. The record is written last, so that a folder with a
    record is complete.
    Errors: not one prediction, label and name per frame; joints that are not finite; frames whose
    labels were stored before with other joints; no `out` where there is no checkout.
    """
    record, read_outs = validated(record), dict(read_outs or {})
    record.pop("digests", None)  # those of the files that it was read from
    if not len(predicted) == len(joints) == len(ids):
        raise HandPoseError(
            f"{len(predicted)} predictions, {len(joints)} labels, {len(ids)} names: accepted is one"
            " of each per frame"
        )
    for name, other in read_outs.items():
        if not name or other.shape != predicted.shape:
            raise HandPoseError(
                f"read-out {name!r} of shape {tuple(other.shape)}: accepted is a name, and the"
                f" shape of the predictions, {tuple(predicted.shape)}"
            )
    record.folder = folder = _folder(record, out)
    names = "".join(f"{name}\n" for name in ids)
    content = hashlib.sha256(f"{joints.shape[1]} joints\n{names}".encode()).hexdigest()
    key = f"{record['dataset']['fingerprint']}-{content[:8]}"
    record["dataset"] = {**record["dataset"], "labels": key}
    record["files"] = {
        "predictions": coordinates.STEP_MM,
        "read_outs": list(read_outs),
        "weights": None if weights is None else "float16" if half else "float32",
    }

    with locks.held(folder, "saving a record", locks.FOR_EVER):
        _complete(folder)
        path = _labels(record, ".joints")
        if path.exists() and not torch.allclose(
            labels(record), joints.detach().cpu().double(), atol=2 * coordinates.STEP_MM, rtol=0
        ):
            raise HandPoseError(
                f"{path} has other labels of the same frames: accepted are the same"
            )
        if not path.exists():
            coordinates.write_coordinates(path, {_CHOSEN: joints})
        write_text(_labels(record, ".ids.txt"), names)

        files: dict[str, Callable[[Path], object]] = {
            _PREDICTIONS: lambda path: coordinates.write_coordinates(
                path, {_CHOSEN: predicted, **read_outs}
            )
        }
        if weights is not None:
            state = weights if isinstance(weights, Mapping) else weights.state_dict()
            kept = _halved(state) if half else state
            files[_WEIGHTS] = lambda path: write_tensors(path, kept)
        _replace(record, folder, files)
    return record


def copy(record: Record, out: Path | str | None = None) -> Record:
    """Save a training that has its files once more, in another folder; return that record.

    `out` as in `save`. The labels come along, to where records of that folder have them.
    """
    kept = record["files"]["weights"]
    return save(
        record,
        out,
        predicted=predictions(record),
        joints=labels(record),
        ids=ids(record),
        read_outs={name: predictions(record, name) for name in record["files"]["read_outs"]},
        weights=weights(record) if kept else None,
        half=kept == "float16",
    )


def write(
    record: Record, out: Path | str | None = None, *, weights: nn.Module | None = None
) -> Record:
    """Write a record of another kind than 'training' and return it, with its folder.

    `out`: the folder, None for its folder below the committed records. `weights`: a network to keep
    with the record, its parameters in 16 bits. The record is written last, so that a folder with a
    record is complete.
    """
    record = validated(record)
    record.folder = folder = _folder(record, out)
    files: dict[str, Callable[[Path], object]] = {}
    if weights is not None:
        kept = _halved(weights.state_dict())
        files[_WEIGHTS] = lambda path: write_tensors(path, kept)
    with locks.held(folder, "saving a record", locks.FOR_EVER):
        _complete(folder)
        _replace(record, folder, files)
    return record


def load(folder: Path | str, kind: str | None = None) -> Record:
    """Return the record in a folder; `kind` is the expected kind, None for any.

    Errors: `DataError` if it is missing, broken or of another kind, naming file and field.
    """
    path = Path(folder) / _RECORD
    _complete(Path(folder))
    record = validated(read_json(path), path)
    if kind not in (None, record["kind"]):
        raise DataError(f"{path}: a record of kind {record['kind']!r}; accepted is {kind!r}")
    record.folder = Path(folder)
    return record


def load_all(root: Path | str | None = None, kind: str = "training") -> list[Record]:
    """Return all records of a kind below `root` (None: the committed ones), sorted by folder.

    Errors: `DataError` if the committed records are missing.
    """
    root = paths.existing(paths.records()) if root is None else Path(root)
    found = [load(path.parent) for path in sorted(root.rglob("record.json"))]
    return [record for record in found if record["kind"] == one_of("kind", kind, KINDS)]


def find(root: Path | str | None = None, **wanted: Any) -> list[Record]:
    """Return the trainings below `root` with the wanted fields, sorted by folder; possibly none.

        find(method="jgr_p2o", profile="laptop", variant="paper", dataset="msra", synthetic=True)

    Errors: a field that cannot be searched by.
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


def joints(record: Record, read_out: str | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (predicted, true) joints, each (N, J, 3) mm, float64, from the files of a run.

    The frames are those of `ids`; `read_out` as in `predictions`.
    Errors: files that are missing, damaged or of different length.
    """
    predicted, true = predictions(record, read_out), labels(record)
    if len(predicted) != len(true):
        raise DataError(f"{record.folder}: {len(predicted)} predictions for {len(true)} labels")
    return predicted, true


def predictions(record: Record, read_out: str | None = None) -> torch.Tensor:
    """Return the predicted joints of a run, (N, J, 3) mm in the camera frame, float64.

    `read_out`: None for the predictions that the record scores, else a name in its
    `files.read_outs`. Each coordinate is rounded to `files.predictions` mm.
    Errors: no such read-out; a file that is missing or damaged.
    """
    if read_out is not None:
        one_of(f"read-out of {record.key}", read_out, record["files"]["read_outs"])
    return _read(record.folder / _PREDICTIONS, read_out or _CHOSEN, record)


def labels(record: Record) -> torch.Tensor:
    """Return the true joints of the test frames of a run, like `predictions`."""
    return _read(_labels(record, ".joints"), _CHOSEN, record)


def ids(record: Record) -> list[str]:
    """Return the names of the predicted frames, in the order of the predictions."""
    path = _labels(record, ".ids.txt")
    _check(path, _IDS, record)
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; it names the frames of {record.key}"
        ) from error


def weights(record: Record) -> dict[str, torch.Tensor]:
    """Return the weights that are kept with a record.

    Errors: `DataError` if they are missing, damaged, or changed since they were recorded.
    """
    path = record.folder / _WEIGHTS
    _check(path, _WEIGHTS, record)
    return read_tensors(path)


def load_weights(record: Record, method: Any) -> None:
    """Load the weights of a run into `method`. Errors: none kept, or those of another network."""
    if record["files"]["weights"] is None:
        raise DataError(f"{record.key} keeps no weights: accepted is a run saved with them")
    state = weights(record)
    try:
        method.load_state_dict(state)
    except RuntimeError as error:
        raise HandPoseError(
            f"the weights of {record.key} do not fit this {method.name} ({method.variant}): "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error


def is_stale(record: Record) -> bool:
    """Return whether the code has changed since the run; docstrings and layout do not count."""
    try:
        code = record["code"]
        return code_digest(code["modules"], code.get("without", ())) != code["digest"]
    except HandPoseError:  # a module that is no longer there
        return True


def code_digest(modules: Sequence[str], without: Sequence[str] = ()) -> str:
    """Return a digest of the present code of modules and scripts and of all that they import.

    `without`: packages that do not count, see `provenance.closure`.
    """
    return _code_digest(tuple(modules), tuple(without))


def restamp(record: Record, **replayed: Any) -> None:
    """Give a record the digest of the present code, which was shown to compute the same.

    `replayed`: how that was shown. It is kept in the record, with the digest of the original run.
    """
    code = record["code"]
    first = code.get("replayed", {}).get("instead_of", code["digest"])
    stored = record.get("training", {}).get("source", {}).get("kind") == "stored"
    left_out = {"without": list(provenance.RENDERING)} if stored else {}
    code = {**code, **left_out}
    record["code"] = {
        **code,
        "digest": code_digest(code["modules"], code.get("without", ())),
        "replayed": {**replayed, "instead_of": first},
    }
    write_json(record.folder / "record.json", validated(record))


def rename_data(record: Record, new: str) -> None:
    """Give the data set of a training another fingerprint, if its content is the same.

    The fingerprint of a synthetic set depends on the code that made it. The labels are renamed too.
    """
    old = record["dataset"]["fingerprint"]
    before = {suffix: _labels(record, suffix) for suffix in (".joints", ".ids.txt")}
    key = record["dataset"]["labels"].replace(old, new)
    record["dataset"] = {**record["dataset"], "fingerprint": new, "labels": key}
    source = {**record["training"]["source"], "fingerprint": new}
    record["training"] = {**record["training"], "source": source}
    for suffix, path in before.items():
        if not (renamed := _labels(record, suffix)).exists():
            with temporary_file(renamed) as temporary:
                temporary.write_bytes(path.read_bytes())


def add_digests(root: Path | str | None = None) -> int:
    """Write the digests of their files into all records below `root` that have none.

    `root`: None for the committed records. Returns the number of records that received them.
    """
    found = [record for kind in KINDS for record in load_all(root, kind)]
    lacking = [record for record in found if "digests" not in record and _files(record)]
    for record in lacking:
        record["digests"] = {name: _sha256(path) for name, path in _files(record).items()}
        write_json(record.folder / _RECORD, record)
    return len(lacking)


def verify(record: Record) -> None:
    """Check that all files of a record are as they were when it was written.

    Errors: `DataError` that names a file which is missing or was changed.
    """
    for name, path in _files(record).items():
        _check(path, name, record)


def validated(record: Mapping[str, Any], where: Path | str = "record") -> Record:
    """Return `record` as a `Record`. Errors: a field missing, of another type, or unknown."""
    for name in ("schema", "kind"):
        if name not in record:
            raise DataError(f"{where}: field {name!r} is missing; accepted is a record")
    if record["schema"] != SCHEMA:
        raise DataError(f"{where}: schema {record['schema']}; accepted is {SCHEMA}")
    fields = COMMON | KINDS[one_of(f"kind of record in {where}", record["kind"], KINDS)]
    for name, kind in fields.items():
        if name not in record:
            raise DataError(
                f"{where}: field {name!r} is missing; accepted is a record with {', '.join(fields)}"
            )
        if not isinstance(record[name], kind) or (kind is int and isinstance(record[name], bool)):
            accepted = kind.__name__ if isinstance(kind, type) else f"{kind[0].__name__} or null"
            raise DataError(
                f"{where}: field {name!r} is a {type(record[name]).__name__}; accepted is"
                f" {accepted}"
            )
    for name in record:
        one_of(f"field in {where}", name, [*fields, *OPTIONAL])
    for name, kind in OPTIONAL.items():
        if not isinstance(record.get(name, {}), kind):
            raise DataError(f"{where}: field {name!r} is no {kind.__name__}")
    for name, parts in _NAMED.items():
        for part in parts if name in COMMON or record["kind"] == "training" else ():
            if part not in record[name]:
                raise DataError(f"{where}: {name}.{part} is missing")
    found = Record(record)
    found._folder = getattr(record, "_folder", None)
    return found


@cache
def _code_digest(modules: tuple[str, ...], without: tuple[str, ...]) -> str:
    scripts = [paths.code() / name for name in modules if name.endswith(".py")]
    named = [name for name in modules if not name.endswith(".py")]
    return provenance.digest([*provenance.closure([*named, *scripts], without), *scripts])


def _folder(record: Record, out: Path | str | None) -> Path:
    """Return the folder in which a record is written. Errors: None, and no checkout to write in."""
    if out is None and paths.checkout() is None:
        raise HandPoseError(
            f"the record {record.key} has no folder: accepted is one that is named, because"
            f" {paths.records()} belongs to the installed package"
        )
    return paths.records() / record.key if out is None else Path(out)


def _labels(record: Record, suffix: str) -> Path:
    """Return the file of the labels.

    It lies below the root of the records, or in the run's folder if that has another name.
    """
    folder = record.folder.resolve()
    root = folder.parents[2] if folder.as_posix().endswith(f"/{record.key}") else folder
    return root / "labels" / (record["dataset"]["labels"] + suffix)


def _replace(record: Record, folder: Path, files: Mapping[str, Callable[[Path], object]]) -> None:
    """Write the files of a record and the record itself, all in place of the old ones or none.

    `files`: name → function that writes the file. They get their digests.
    """
    try:
        for name, write_file in files.items():
            write_file(folder / f"{_NEW}{name}")
        record["digests"] = {
            name: _sha256(folder / f"{_NEW}{name}" if name in files else path)
            for name, path in _files(record).items()
        }
        write_json(folder / f"{_NEW}{_RECORD}", record)
    except BaseException:
        for name in (_RECORD, *files):
            (folder / f"{_NEW}{name}").unlink(missing_ok=True)
        raise
    _complete(folder)


def _complete(folder: Path) -> None:
    """Rename new files over the old ones, if the new record among them is there.

    It is written last, so that all others are complete as well. Without it, they are what a killed
    process left, and the next writer replaces them.
    """
    if not (folder / f"{_NEW}{_RECORD}").exists():
        return
    for name in (_PREDICTIONS, _WEIGHTS, _RECORD):
        try:
            os.replace(folder / f"{_NEW}{name}", folder / name)
        except FileNotFoundError:  # not part of this record, or another process was faster
            pass
        except OSError as error:
            raise DataError(
                f"{folder / name} cannot be replaced ({error.strerror}); accepted is a folder that"
                " can be written to"
            ) from error


def _files(record: Record) -> dict[str, Path]:
    """Return the files of a record by their names in `digests`."""
    if record["kind"] != "training":
        path = record.folder / _WEIGHTS
        there = path.exists() or (record.folder / f"{_NEW}{_WEIGHTS}").exists()
        return {_WEIGHTS: path} if there else {}
    files = {
        _PREDICTIONS: record.folder / _PREDICTIONS,
        _LABELS: _labels(record, ".joints"),
        _IDS: _labels(record, ".ids.txt"),
    }
    if record["files"]["weights"] is not None:
        files[_WEIGHTS] = record.folder / _WEIGHTS
    return files


def _check(path: Path, name: str, record: Record) -> None:
    """Check a file against its digest, if the record has one."""
    wanted = record.get("digests", {}).get(name)
    if wanted is not None and path.exists() and _sha256(path) != wanted:
        raise DataError(
            f"{path} was changed after {record.key} was recorded; accepted is the file that was"
            f" recorded: {paths.restored()}"
        )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it is a file of a record"
        ) from error


def _read(path: Path, name: str, record: Record) -> torch.Tensor:
    """Return the named joints of a file (N, J, 3) mm, if they are as many as the record says."""
    _check(path, _PREDICTIONS if path.name == _PREDICTIONS else _LABELS, record)
    found, count = coordinates.read_coordinates(path), len(record["metrics"]["per_joint_mm"])
    if name not in found:
        raise DataError(f"{path}: predictions {name!r} are missing; it has {', '.join(found)}")
    if found[name].shape[1] != count:
        raise DataError(f"{path}: {found[name].shape[1]} joints; accepted are {count}")
    return found[name]


def _halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict with parameters in 16 bits, running statistics and counters unchanged."""
    return {
        name: value.half() if value.is_floating_point() and "running_" not in name else value
        for name, value in state.items()
    }


def _field(record: Record, name: str) -> Any:
    if name == "dataset":
        return record["dataset"]["name"]
    return record["dataset"]["synthetic"] if name == "synthetic" else record[name]
