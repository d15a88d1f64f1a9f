"""Download of public files into the data folder, each verified by its hash.

A complete file is left as it is, and a damaged one is replaced. pooch downloads to a temporary
file, hashes it, and renames it only if the hash is right.
"""

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pooch
import requests
from pooch.typing import Downloader
from tqdm.auto import tqdm

from handpose_lib import paths
from handpose_lib.errors import DataError
from handpose_lib.io import locks

SERVER = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Remote:
    """One file: its path below the data folder, its path on GitHub, and its SHA-256."""

    place: str
    repository: str
    commit: str
    path: str
    sha256: str

    def url(self, server: str = SERVER) -> str:
        """Return the address of the file."""
        return "/".join((server, self.repository, self.commit, quote(self.path)))

    def is_whole(self, data: Path) -> bool:
        """Return whether the file is in the data folder and has the right hash."""
        target = data / self.place
        return target.is_file() and pooch.file_hash(str(target)) == self.sha256


def table(repository: str, commit: str, source: str, target: str, text: str) -> list[Remote]:
    """Return the files of one folder of a repository.

    `source`: the folder in the repository, '' for its root; `target`: the folder below the data
    folder; `text`: one line 'sha256  name' for each file.
    """
    rows = (line.split() for line in text.strip().splitlines())
    return [
        Remote(f"{target}/{name}", repository, commit, f"{source}/{name}".lstrip("/"), sha256)
        for sha256, name in rows
    ]


def run(description: str | None, files: list[Remote], arguments: list[str] | None = None) -> int:
    """Run the command line of a script that downloads `files`; return its exit code."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="only verify the files, download nothing"
    )
    parser.add_argument(
        "--out", type=Path, help="data folder (default: data/, or the variable HANDPOSE_DATA)"
    )
    parser.add_argument(
        "--server", default=SERVER, help="address before OWNER/REPOSITORY/COMMIT/PATH (%(default)s)"
    )
    chosen = parser.parse_args(arguments)
    data = (chosen.out or paths.data()).resolve()
    lacking = [file for file in files if not file.is_whole(data)]
    if chosen.check:
        for file in lacking:
            state = "damaged" if (data / file.place).exists() else "missing"
            print(f"{state}: {data / file.place}", file=sys.stderr)
        print(f"{len(files) - len(lacking)} of {len(files)} files are complete in {data}")
        return 1 if lacking else 0
    try:
        for file in tqdm(lacking, desc="downloading", unit="file", disable=not lacking):
            fetch(file, data, chosen.server)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(files)} files are complete in {data} ({len(lacking)} downloaded now)")
    return 0


def fetch(file: Remote, data: Path, server: str = SERVER) -> Path:
    """Download one file, unless it is there and whole, and return its path.

    If several processes want files of the same folder, one after the other downloads.
    Errors: `DataError` naming the address and what went wrong; then nothing is left.
    """
    target = data / file.place
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    try:
        with locks.held(target.parent, "downloading", locks.FOR_EVER):
            if not file.is_whole(data):
                _remove_temporary(target.parent)
                _retrieve(file, target, server)
    except DataError:
        _remove_empty(made)
        raise
    return target


def _retrieve(file: Remote, target: Path, server: str) -> None:
    url = file.url(server)
    pooch.get_logger().setLevel(logging.ERROR)
    try:
        pooch.retrieve(
            url,
            f"sha256:{file.sha256}",
            fname=target.name,
            path=str(target.parent),
            # pooch's own class names its parameters differently from pooch's protocol.
            downloader=cast(Downloader, pooch.HTTPDownloader(timeout=30)),
        )
    except requests.RequestException as error:
        raise DataError(
            f"{url} cannot be reached ({type(error).__name__}); accepted is a network that reaches"
            f" {server}, or the file placed at {target} by hand"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{url} sent other bytes than the file with the SHA-256 {file.sha256}; nothing was"
            " kept, try again"
        ) from error
    except OSError as error:
        raise DataError(
            f"{target} cannot be written ({error.strerror or error}); accepted is a data folder"
            " that can be written, set by --out or HANDPOSE_DATA"
        ) from error


def _remove_temporary(folder: Path) -> None:
    """Remove the temporary files of pooch that a killed process left in a folder."""
    for path in folder.glob("tmp????????"):
        if path.is_file():
            path.unlink(missing_ok=True)


def _remove_empty(folders: list[Path]) -> None:
    """Remove the folders made for a file that could not be downloaded, the deepest first."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
