"""The folders of the project: code, data, committed records, and generated files."""

import os
from pathlib import Path


def project() -> Path:
    """Return the root of the project: the folder that holds `handpose_lib` and `book`."""
    return Path(__file__).resolve().parent.parent


def data() -> Path:
    """Return the data folder: the variable HANDPOSE_DATA, otherwise `data/` in the project."""
    return Path(os.environ.get("HANDPOSE_DATA") or project() / "data").expanduser().resolve()


def records() -> Path:
    """Return the folder of the committed records, from which the tables of the book are made."""
    return project() / "book" / "records"


def build() -> Path:
    """Return the folder of everything generated: executed notebooks, runs, the site."""
    return project() / "_build"
