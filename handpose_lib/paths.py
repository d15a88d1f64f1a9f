"""The folders of the project: committed content, code, data, generated files.

The committed content is the folder `book/` with chapters, tables and records, and the files
`_toc.yml` and `_config.yml`. In a checkout it lies beside the library. A wheel carries it as
package data in `handpose_lib/content` (`setup.py` puts it there), and not as a download, because
`pip install git+https://…` fetches it with the code anyway: code and records then always belong
together, no second server has to exist, and everything works without a network.

Two variables move what is not committed:

    HANDPOSE_DATA     data sets, and a reader's progress       HANDPOSE_BUILD    generated files

Quotes around a path and a leading `~` are understood. A relative path counts from the root of the
checkout, or from the home folder where there is no checkout: never from the folder in which a
process happens to start, so that notebooks, scripts and Snakemake find the same folder. Without the
variables, data lie in `data/` and generated files in `_build/` of the checkout. Where the library
is installed without a checkout, or the checkout cannot be written to, they lie in the user's own
data and cache folders.
"""

import logging
import os
from functools import cache
from pathlib import Path

import platformdirs

from handpose_lib.errors import DataError, HandPoseError

NAME = "handpose-book"
"""The name of the distribution, and of the user's folders."""
SOURCE = f"git+https://github.com/handpose-book/{NAME}"
"""What pip installs."""

_LIBRARY = Path(__file__).resolve().parent


def code() -> Path:
    """Return the folder of the packages: the root of the checkout, or `site-packages`."""
    return _LIBRARY.parent


def checkout() -> Path | None:
    """Return the root of the checkout to which the library belongs, None if it is installed."""
    root = code()
    return root if (root / "_toc.yml").is_file() and (root / "book").is_dir() else None


def project() -> Path:
    """Return the folder of the committed content: `book/`, `_toc.yml` and `_config.yml`."""
    return checkout() or _LIBRARY / "content"


def existing(path: Path) -> Path:
    """Return `path`, a file or folder of the committed content.

    Errors: `DataError` if it is missing; the message says what puts it there.
    """
    if not path.exists():
        raise DataError(f"{path} is missing: {restored()}")
    return path


def restored() -> str:
    """Return what puts missing committed content back, as the end of a message."""
    command = (
        "git checkout -- ."
        if checkout()
        else f"python -m pip install --force-reinstall --no-deps {SOURCE}"
    )
    return f"`{command}` restores what belongs to the book"


def records() -> Path:
    """Return the folder of the committed records, from which the tables of the book are made."""
    return project() / "book" / "records"


def data() -> Path:
    """Return the data folder.

    It is HANDPOSE_DATA, otherwise `data/` in the checkout, otherwise the user's data folder.
    Errors: a variable that names no folder.
    """
    if given := _given("HANDPOSE_DATA"):
        return given
    root = checkout()
    if root is not None and ((root / "data").is_dir() or writable(root)):
        return (root / "data").resolve()
    return _users_data()


def personal() -> Path:
    """Return the folder of what one reader has: the progress in the exercises, caches of crops.

    It is the data folder if it can be written to, otherwise the user's data folder.
    """
    return data() if writable(data()) else _users_data()


def build() -> Path:
    """Return the folder of everything generated: executed notebooks, runs, the site.

    It is HANDPOSE_BUILD, otherwise `_build/` in the checkout, otherwise the user's cache folder. If
    the checkout cannot be written to, one line on stderr says so, once.
    Errors: a variable that names no folder.
    """
    if given := _given("HANDPOSE_BUILD"):
        return given
    root, own = checkout(), Path(platformdirs.user_cache_dir(NAME, appauthor=False)) / "build"
    if root is None:
        return own
    if writable(root / "_build"):
        return root / "_build"
    _say(f"{root} cannot be written to: generated files go to {own} (HANDPOSE_BUILD moves them)")
    return own


def writable(folder: Path) -> bool:
    """Return whether a folder can be written to, or can be made if it does not exist."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _users_data() -> Path:
    return Path(platformdirs.user_data_dir(NAME, appauthor=False)) / "data"


def _given(variable: str) -> Path | None:
    """Return the absolute path of the folder that a variable names, None if it names none."""
    text = os.environ.get(variable, "").strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    if not text:
        return None
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise HandPoseError(
            f"{variable}={text}: {error}; accepted is the path of a folder"
        ) from error
    path = ((checkout() or Path.home()) / path).resolve()
    if path.exists() and not path.is_dir():
        raise HandPoseError(
            f"{variable}={text}: {path} is no folder; accepted is one, or a new path"
        )
    return path


@cache
def _say(line: str) -> None:
    """Write one line to stderr, once in this process."""
    logging.getLogger("handpose_lib").warning(line)
