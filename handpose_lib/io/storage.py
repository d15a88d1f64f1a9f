"""Writing files completely or not at all. Formats are text and safetensors, never pickles.

`write_text`, `write_tensors`   write a temporary file beside the target, then rename it
`Checkpoints`                   a folder of checkpoints that remains valid after an interruption
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from handpose_lib.errors import DataError


def write_text(path: Path, text: str) -> Path:
    """Write `text` to `path`, completely or not at all; return the path."""
    with temporary_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as JSON to `path`, completely or not at all; return the path.

    Errors: `DataError` for values that JSON does not have, among them NaN and infinity.
    """
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be written as JSON: {error}") from error
    return write_text(path, text + "\n")


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    """Write named tensors to `path` as safetensors, completely or not at all; return the path."""
    with temporary_file(path) as temporary:
        # copies: safetensors refuses tensors that share memory, as tied weights do
        save_file(
            {
                name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
                for name, tensor in tensors.items()
            },
            temporary,
        )
        temporary.chmod(0o644)  # it makes files that only their owner reads
    return Path(path)


def read_json(path: Path) -> dict:
    """Return the object in a JSON file. Errors: `DataError` if it is missing, or not JSON, or not
    an object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: a JSON file is needed") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds a JSON {type(value).__name__}: an object is needed")
    return value


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file, on the CPU. Errors: `DataError` if it is missing or
    damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: a safetensors file is needed") from None
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is not a whole safetensors file: {error}") from error


class Checkpoints:
    """Checkpoints of one run in one folder, each a pair `<step>.safetensors` and `<step>.json`.

    The tensors are written first; a pair is valid once its JSON holds the digest of the tensors.
    The pair before is kept, so that a damaged one costs some minutes and not the run.
    """

    KEPT = 2

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], facts: Mapping) -> None:
        """Write one checkpoint, then remove all but it and the one before it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = write_tensors(self._file(step, ".safetensors"), tensors)
        write_json(
            self._file(step, ".json"), {"step": step, "tensors": _file_digest(file), "facts": facts}
        )
        self._drop_all_but([known for known in self.steps() if known <= step][-self.KEPT :])

    def latest(self) -> tuple[int, dict[str, torch.Tensor], dict] | None:
        """Return (step, tensors, facts) of the newest valid checkpoint, or None."""
        for step in reversed(self.steps()):
            try:
                note = read_json(self._file(step, ".json"))
                if note["tensors"] == _file_digest(self._file(step, ".safetensors")):
                    return step, read_tensors(self._file(step, ".safetensors")), note["facts"]
            except (DataError, OSError, KeyError):
                continue
        return None

    def steps(self) -> list[int]:
        """Return the steps that have a JSON file, oldest first."""
        return sorted(int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdigit())

    def _file(self, step: int, suffix: str) -> Path:
        return self.folder / f"{step:08d}{suffix}"

    def _drop_all_but(self, steps: list[int]) -> None:
        """Remove every other file, also incomplete ones that a killed process left.

        JSON files are removed first: without them, tensors are not valid.
        """
        kept = {self._file(step, suffix) for step in steps for suffix in (".json", ".safetensors")}
        for path in sorted(self.folder.glob("*"), key=lambda path: path.suffix != ".json"):
            if path not in kept:
                path.unlink()


@contextmanager
def temporary_file(path: Path):
    """A file name beside `path`; renamed over it when the block ends well, removed otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
