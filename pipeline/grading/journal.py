"""The verdicts of a grading, written as they come, so that a stopped one can be continued.

Each line of the file is a JSON object, either an answer that is about to be judged or its outcome.
An answer is known by a digest of all that decides its outcome.
"""

import hashlib
import json
import os
import threading
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from handpose_lib import errors
from pipeline.grading.answer_process import Cell, Limits, Outcome

NAME = "journal.jsonl"
TWICE = 2
"""A grader that ended this often while it judged an answer does not try again."""


class Journal:
    """The journal of one grading in the folder `out`."""

    def __init__(self, out: Path):
        self.path = out / NAME
        self._outcomes: dict[str, Outcome] = {}
        self._begun: Counter[str] = Counter()
        self._lock = threading.Lock()
        whole = 0
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
            for line in content.splitlines(keepends=True):
                if not line.endswith(b"\n") or not self._keep(line):
                    break  # the last line of a grader that was killed while writing it
                whole += len(line)
            out.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
            self._file.truncate(whole)
        except OSError as error:
            raise errors.DataError(
                f"{self.path} cannot be written ({error.strerror or error}); accepted is a folder"
                " with room for the results"
            ) from error

    def _keep(self, line: bytes) -> bool:
        """Take in one line; return whether it is one of a journal."""
        try:
            told = json.loads(line)
            if told["what"] == "begun":
                self._begun[told["key"]] += 1
            else:
                self._outcomes[told["key"]] = Outcome(**told["outcome"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def known(self, key: str) -> Outcome | None:
        """Return the outcome of an answer, None if it has to be judged."""
        if key in self._outcomes:
            return self._outcomes[key]
        if self._begun[key] >= TWICE:
            return Outcome(
                "not graded",
                f"✘ the grader ended {self._begun[key]} times while it judged this answer; look at"
                " it by hand.",
            )
        return None

    def suspect(self, key: str) -> bool:
        """Return whether an earlier grader ended while it judged this answer."""
        return key not in self._outcomes and self._begun[key] > 0

    def begin(self, key: str) -> None:
        """Note that an answer is about to be judged."""
        self._write({"what": "begun", "key": key})

    def end(self, key: str, outcome: Outcome) -> None:
        """Note the outcome of an answer."""
        self._write({"what": "judged", "key": key, "outcome": asdict(outcome)})
        self._outcomes[key] = outcome

    def _write(self, told: dict) -> None:
        with self._lock:
            try:
                self._file.write(json.dumps(told).encode() + b"\n")
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise errors.DataError(
                    f"{self.path} cannot be written ({error.strerror or error}); make room, and the"
                    " same command continues from here"
                ) from error


def key(student: str, chapter: str, name: str, cells: list[Cell], limits: Limits) -> str:
    """Return what an answer is known by."""
    decides = [student, chapter, name, limits.seconds, limits.memory]
    decides += [[cell.source, cell.runs] for cell in cells]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()
