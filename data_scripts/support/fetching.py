"""Obtaining public files one by one: verified by hash, kept in the data folder, whole or not at
all.

A file that is there and whole is left alone; one that is damaged is replaced. pooch downloads to a
temporary file, hashes it, and renames it only when the hash is right.
"""

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pooch
import requests
from tqdm.auto import tqdm

from handpose_lib import paths
from handpose_lib.errors import DataError

SERVER = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Remote:
    """One file: its place below the data folder, where it comes from, and its SHA-256."""

    place: str
    repository: str
    commit: str
    path: str
    sha256: str

    def url(self, server: str = SERVER) -> str:
        return "/".join((server, self.repository, self.commit, quote(self.path)))

    def is_whole(self, data: Path) -> bool:
        target = data / self.place
        return target.is_file() and pooch.file_hash(str(target)) == self.sha256


def table(repository: str, commit: str, text: str) -> list[Remote]:
    """The files of one repository from lines of 'sha256  path there  place here'."""
    rows = (line.split() for line in text.strip().splitlines())
    return [Remote(place, repository, commit, path, sha256) for sha256, path, place in rows]


def run(description: str, files: list[Remote], arguments: list[str] | None = None) -> int:
    """The command line of a fetching script; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="only verify what is there, obtain nothing"
    )
    parser.add_argument(
        "--out", type=Path, help="data folder (default: data/, or what HANDPOSE_DATA says)"
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
        print(f"{len(files) - len(lacking)} of {len(files)} files are there and whole in {data}")
        return 1 if lacking else 0
    try:
        for file in tqdm(lacking, desc="fetching", unit="file", disable=not lacking):
            fetch(file, data, chosen.server)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(files)} files are there and whole in {data} ({len(lacking)} obtained now)")
    return 0


def fetch(file: Remote, data: Path, server: str = SERVER) -> Path:
    """Obtain one file. Errors: `DataError` naming the address and what went wrong; nothing is left
    behind.
    """
    target, url = data / file.place, file.url(server)
    pooch.get_logger().setLevel(logging.ERROR)
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    try:
        pooch.retrieve(
            url,
            f"sha256:{file.sha256}",
            fname=target.name,
            path=str(target.parent),
            downloader=pooch.HTTPDownloader(timeout=30),
        )
    except requests.RequestException as error:
        _remove_empty(made)
        raise DataError(
            f"{url} cannot be reached ({type(error).__name__}); accepted is a network that reaches "
            f"{server}, or the file put at {target} by hand"
        ) from error
    except ValueError as error:
        _remove_empty(made)
        raise DataError(
            f"{url} sent other bytes than the file whose SHA-256 is {file.sha256}; nothing was"
            " kept, try again"
        ) from error
    except OSError as error:
        _remove_empty(made)
        raise DataError(
            f"{target} cannot be written ({error.strerror or error}); accepted is a data folder"
            " that can be written, set by --out or HANDPOSE_DATA"
        ) from error
    return target


def _remove_empty(folders: list[Path]) -> None:
    """Take back the folders made for a file that did not come, from the deepest up."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
