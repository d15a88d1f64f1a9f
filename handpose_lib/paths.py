"""Where things lie: the project, its data, its committed records, and what a build leaves."""

import os
from pathlib import Path


def project() -> Path:
    """The root of the project: the folder that holds `handpose_lib` and `book`."""
    return Path(__file__).resolve().parent.parent


def data() -> Path:
    """The data folder: what the variable HANDPOSE_DATA says, otherwise `data/` in the project."""
    return Path(os.environ.get("HANDPOSE_DATA") or project() / "data").expanduser().resolve()


def records() -> Path:
    """The committed records of runs, from which every table of the book is made."""
    return project() / "book" / "records"


def build() -> Path:
    """Everything generated: executed notebooks, runs of the build, the site."""
    return project() / "_build"
