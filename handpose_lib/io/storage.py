"""Writing files completely or not at all. Formats are text and safetensors, never pickles.

`write_text`, `write_tensors`   write a temporary file beside the target, then rename it
`Checkpoints`                   a folder of checkpoints that remains valid after an interruption

A full disk, a folder that cannot be written to or one that vanishes is a `WriteError` of one line;
the target is then as it was before.
"""

import errno
import hashlib
import json
import os
import platform
import re
import threading
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as tensors_to_bytes

from handpose_lib.errors import DataError

NAME_LENGTH = 150
"""Bytes of a file's name that the name of its temporary file keeps; names have at most 255."""


class WriteError(DataError, OSError):
    """A file that cannot be written; `errno` and `strerror` are those of the operating system."""

    __str__ = DataError.__str__  # the message, and not the two in its place


def write_text(path: Path, text: str) -> Path:
    """Write `text` to `path` as UTF-8, completely or not at all; return the path.

    Errors: `DataError` for text that UTF-8 cannot hold, and those of `temporary_file`.
    """
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path} cannot be written: half of a surrogate pair at character {error.start};"
            " accepted is text that UTF-8 can hold"
        ) from error
    with temporary_file(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as JSON to `path`, completely or not at all; return the path.

    Errors: `DataError` for values that JSON does not have, among them NaN and infinity, and those
    of `write_text`.
    """
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be written as JSON: {error}") from error
    return write_text(path, text + "\n")


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    """Write named tensors to `path` as safetensors, completely or not at all; return the path.

    Errors: those of `temporary_file`.
    """
    # copies: safetensors refuses tensors that share memory, as tied weights do
    content = tensors_to_bytes(
        {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in tensors.items()
        }
    )
    with temporary_file(path) as temporary:
        # not by safetensors: it makes another temporary file, which stays if the process is killed
        temporary.write_bytes(content)
    return Path(path)


def read_json(path: Path) -> dict:
    """Return the object in a JSON file. Errors: `DataError` if it is missing, or not JSON, or not
    an object, or nested so deeply that it cannot be read.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: a JSON file is needed") from None
    except RecursionError:
        raise DataError(
            f"{path} is a JSON file nested too deeply; accepted are a few hundred levels"
        ) from None
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
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        # the last three: types of numbers, and shapes, that this version of torch does not have
        raise DataError(f"{path} is not a whole safetensors file: {error}") from error


class Checkpoints:
    """Checkpoints of one run in one folder, each a pair `<step>.safetensors` and `<step>.json`.

    The tensors are written first; a pair is valid once its JSON holds the digests of the tensors
    and of the facts. The pair before is kept, so that a damaged one costs some minutes and not the
    run.
    """

    KEPT = 2

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], facts: Mapping) -> None:
        """Write one checkpoint, then remove all but it and the one before it.

        Errors: those of `temporary_file`; the checkpoints that were there stay.
        """
        note = self._file(step, ".json")
        digest = _facts_digest(facts, note)
        file = write_tensors(self._file(step, ".safetensors"), tensors)
        told = {"step": step, "tensors": _file_digest(file), "facts": facts}
        write_json(note, {**told, "facts_digest": digest})
        self._drop_all_but([known for known in self.steps() if known <= step][-self.KEPT :])

    def latest(self) -> tuple[int, dict[str, torch.Tensor], dict] | None:
        """Return (step, tensors, facts) of the newest valid checkpoint, or None.

        A warning names each newer one that is damaged.
        """
        for step in reversed(self.steps()):
            try:
                return self._read(step)
            except (DataError, OSError) as error:
                warnings.warn(
                    f"the checkpoint of step {step} is not used ({error}); training continues from"
                    " the one before it, or starts over if there is none",
                    stacklevel=3,
                )
        return None

    def _read(self, step: int) -> tuple[int, dict[str, torch.Tensor], dict]:
        """Return (step, tensors, facts) of one checkpoint. Errors: `DataError` if it is damaged."""
        note, file = self._file(step, ".json"), self._file(step, ".safetensors")
        found = read_json(note)
        facts = found.get("facts")
        if found.get("step") != step or not isinstance(facts, dict):
            raise DataError(f"{note} does not describe a checkpoint of this step")
        if found.get("facts_digest") != _facts_digest(facts, note):
            raise DataError(f"{note} was changed after it was written")
        if not file.is_file():
            raise DataError(f"{file} is missing")
        if found.get("tensors") != _file_digest(file):
            raise DataError(f"{file} was cut off or changed after it was written")
        return step, read_tensors(file), facts

    def steps(self) -> list[int]:
        """Return the steps that have a JSON file, oldest first."""
        return sorted(
            int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdecimal()
        )

    def _file(self, step: int, suffix: str) -> Path:
        return self.folder / f"{step:08d}{suffix}"

    def _drop_all_but(self, steps: list[int]) -> None:
        """Remove every other file, also incomplete ones that a killed process left.

        JSON files are removed first: without them, tensors are not valid.
        """
        kept = {self._file(step, suffix) for step in steps for suffix in (".json", ".safetensors")}
        for path in sorted(self.folder.glob("*"), key=lambda path: path.suffix != ".json"):
            if path not in kept and not path.is_dir():
                path.unlink(missing_ok=True)


@contextmanager
def temporary_file(path: Path):
    """A file name beside `path`; renamed over it when the block ends well, removed otherwise.

    Temporary files of the same target that killed processes of this computer left are removed.
    Errors: `WriteError` if the disk is full, or if the folder cannot be written to or vanishes.
    """
    path = Path(path)
    start = os.fsencode(path.name)[:NAME_LENGTH].decode("utf-8", errors="ignore")
    prefix = f".{start}.{_computer()}."
    temporary = path.with_name(f"{prefix}{os.getpid()}-{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent, prefix)
        yield temporary
        with temporary.open("rb") as file:  # a power cut after the renaming must find the content
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if not _is_about(error, path.parent):
            raise
        told = WriteError(
            f"{path} cannot be written ({error.strerror or error}); what was there before is"
            " unchanged: accepted is a folder that can be written to and has room"
        )
        told.errno, told.strerror = error.errno, error.strerror
        raise told from error
    finally:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:  # where the folder vanished or became read-only, nothing can be removed
            pass


def _is_about(error: OSError, folder: Path) -> bool:
    """Return whether an error comes from writing in `folder`, and not from a file that was read."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO):
        return True
    names = [name for name in (error.filename, error.filename2) if isinstance(name, (str, Path))]
    # the folder itself, a file in it, or one above it that could not be made
    return any(Path(name).parent == folder or folder.is_relative_to(name) for name in names)


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the temporary files with this prefix whose processes have ended."""
    if os.name == "nt":  # a process cannot be asked there whether it runs
        return
    pattern = re.compile(re.escape(prefix) + r"(\d+)-\d+(\..*)?")
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(prefix)]
    for name in names:
        found = pattern.fullmatch(name)
        if found and not _runs(int(found[1])):
            (folder / name).unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Return whether a process of this computer runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        pass
    return True


def _computer() -> str:
    """Return a short name of this computer, since several may share a folder."""
    return hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]


def _facts_digest(facts: Mapping, path: Path) -> str:
    """Return a digest of JSON values that does not depend on how they are written to `path`.

    Errors: `DataError` for values that JSON does not have.
    """
    try:
        plain = json.loads(json.dumps(facts, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be written as JSON: {error}") from error
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
