"""Resumable downloads of large files, verified by their hash.

    downloads.obtain(url, target, "md5:…", limit=8 << 30)

The bytes go to `target` with `.part` appended. If the connection breaks, this or a later call
continues from there. If the server cannot continue, or its file has changed, the download starts
again. pooch hashes the complete file and renames it; a file with the wrong hash is removed. If
several processes want the same file, one downloads it and the others wait.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pooch
import requests
import urllib3
from pooch.typing import Downloader
from tqdm.auto import tqdm

from handpose_lib.errors import DataError
from handpose_lib.io import locks

PIECE = 1 << 20
"""Bytes that are received at a time."""
ATTEMPTS = 8
"""Connections in a row without new bytes after which a download is given up."""
PAUSE = 2.0
"""Seconds before the second attempt; the pause doubles before each further one."""
TIMEOUT = 30
"""Seconds without an answer after which a connection is given up."""


def obtain(
    url: str, target: Path, hash: str, limit: int, pause: float = PAUSE, progress: bool = True
) -> Path:
    """Download `url` to `target`, unless a file with that hash is there, and return `target`.

    `hash`: as pooch writes it, 'md5:…'; `limit`: the most bytes that are accepted; `pause`: seconds
    before the second attempt.
    Errors: `DataError` naming the address, if it cannot be reached, refuses, sends more than
    `limit` bytes, or sends a file with another hash. Then `target` does not exist, and its `.part`
    only if a later call can continue from it.
    """
    part, note = _beside(target)
    pooch.get_logger().setLevel(logging.ERROR)

    def download(address: str, output_file: str, _: pooch.Pooch | None) -> None:
        resume(address, part, limit, pause, progress)
        part.replace(output_file)
        note.unlink(missing_ok=True)

    try:
        with locks.held(target, "downloading", locks.FOR_EVER):
            # pooch's protocol fixes names of parameters that it passes by position.
            downloader = cast(Downloader, download)
            folder = str(target.parent)
            pooch.retrieve(url, hash, fname=target.name, path=folder, downloader=downloader)
    except requests.RequestException as error:
        raise DataError(
            f"{url} cannot be obtained ({_short(error)}); accepted is a network that reaches it (a"
            f" later run continues from here), or the file placed at {target} by hand"
        ) from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{url} sent other bytes than the file with the hash {hash}; nothing was kept, try"
            " again"
        ) from error
    except OSError as error:
        raise DataError(
            f"{target} cannot be written ({error.strerror or error}); accepted is a folder with"
            " room for it, set by --out or HANDPOSE_DATA"
        ) from error
    return target


def resume(url: str, part: Path, limit: int, pause: float = PAUSE, progress: bool = True) -> None:
    """Download `url` to `part`, continuing after broken connections until it is complete.

    Errors: `requests.RequestException` after `ATTEMPTS` connections in a row without new bytes, or
    at once if the server refuses; `DataError` for more than `limit` bytes.
    """
    idle, wait, most = 0, pause, _size(part)
    while True:
        try:
            if _receive(url, part, limit, progress):
                return
        except requests.HTTPError as error:
            # An error of the client, such as 404, would come again.
            if error.response is not None and error.response.status_code < 500:
                raise
            failure = error
        except requests.RequestException as error:
            failure = error
        else:
            failure = requests.ConnectionError("the connection broke")
        # Progress is more bytes than ever before: a server may make each attempt start again.
        idle, most = (0, _size(part)) if _size(part) > most else (idle + 1, most)
        if idle >= ATTEMPTS:
            raise failure
        if idle:
            time.sleep(wait)
            wait *= 2


def _receive(url: str, part: Path, limit: int, progress: bool) -> bool:
    """Receive what one connection sends; return whether the file is complete."""
    have, note = _size(part), part.with_name(f"{part.name}.version")
    validator = note.read_text(encoding="ascii") if have and note.is_file() else None
    # Without a validator, the server's file may be another one than that of these bytes.
    wanted = {"Range": f"bytes={have}-", "If-Range": validator} if validator else {}
    with requests.get(
        url, headers={"Accept-Encoding": "identity", **wanted}, stream=True, timeout=TIMEOUT
    ) as response:
        if response.status_code == 416:  # the server's file is shorter than these bytes
            _forget(part, note)
            return False
        response.raise_for_status()
        partial = response.status_code == 206
        continues = partial and response.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        if partial and not continues:
            _forget(part, note)
            return False
        start = have if continues else 0
        length = _length(response.headers)
        if start + length > limit:
            _forget(part, note)
            raise DataError(
                f"{url} announces {start + length:,} bytes; accepted are up to {limit:,}"
            )
        if not continues:
            _remember(note, response.headers)
        received = _store(response, url, part, note, start, start + length, limit, progress)
        return received == length if length else True


def _store(
    response: requests.Response,
    url: str,
    part: Path,
    note: Path,
    start: int,
    total: int,
    limit: int,
    progress: bool,
) -> int:
    """Append the bytes of a response to `part`; return their number."""
    received = 0
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(
            total=total or None,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=part.stem,
            disable=not progress,
        ) as bar,
    ):
        # The hash is that of the server's file, so a Content-Encoding is not undone.
        for piece in _pieces(response.raw.stream(PIECE, decode_content=False)):
            received += len(piece)
            if start + received > limit:
                _forget(part, note)
                raise DataError(
                    f"{url} sends more than {limit:,} bytes; accepted is the file that the set is"
                    " known to need"
                )
            file.write(piece)
            bar.update(len(piece))
    return received


def _pieces(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what the connection sends. Errors: `requests.ConnectionError` when it breaks."""
    while True:
        try:
            piece = next(stream, b"")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise requests.ConnectionError(f"the connection broke: {_short(error)}") from error
        if not piece:
            return
        yield piece


def _length(headers: Mapping[str, str]) -> int:
    """Return the number of bytes that the server announces, or 0 if it announces none."""
    stated = headers.get("Content-Length", "").strip()
    return int(stated) if stated.isdigit() else 0


def _remember(note: Path, headers: Mapping[str, str]) -> None:
    """Store what identifies this version of the file: a strong ETag, or the date of its change."""
    etag = headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    if validator.isascii() and validator:
        note.write_text(validator, encoding="ascii")
    else:
        note.unlink(missing_ok=True)


def _beside(target: Path) -> tuple[Path, Path]:
    part = target.with_name(f"{target.name}.part")
    return part, part.with_name(f"{part.name}.version")


def _forget(part: Path, note: Path) -> None:
    part.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
