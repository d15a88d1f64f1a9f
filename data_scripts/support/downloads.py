"""Downloading large files: what breaks off goes on where it stopped, and nothing passes for whole
that is not.

    downloads.obtain(url, target, md5="…", size=…)

The bytes go to `target` with `.part` at its end. A connection that breaks off is taken up again
from there, by this run or a later one; a server that cannot continue, or whose file has changed
meanwhile, starts afresh. pooch hashes the whole and renames it; a wrong hash removes it.
"""

import logging
import time
from pathlib import Path

import pooch
import requests
import urllib3
from tqdm.auto import tqdm

from handpose_lib.errors import DataError

PIECE = 1 << 20
ATTEMPTS = 8
"""Connections in a row that bring nothing new before a download is given up."""
PAUSE = 2.0
"""Seconds before the second attempt; twice as many before each further one."""
TIMEOUT = 30


def obtain(
    url: str, target: Path, hash: str, limit: int, pause: float = PAUSE, progress: bool = True
) -> Path:
    """Download `url` to `target`, unless the file with that hash is there. `hash` is as pooch
    writes it, 'md5:…'.

    At most `limit` bytes. Errors: `DataError` naming the address: not reached, refused, longer than
    `limit`, other bytes than the hash's; `target` is then not there, and a `.part` beside it only
    if it can be continued.
    """
    target = Path(target)
    part, note = _beside(target)
    pooch.get_logger().setLevel(logging.ERROR)

    def download(address: str, output_file: str, _) -> None:
        resume(address, part, limit, pause, progress)
        part.replace(output_file)
        note.unlink(missing_ok=True)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(url, hash, fname=target.name, path=str(target.parent), downloader=download)
    except requests.RequestException as error:
        raise DataError(
            f"{url} cannot be obtained ({_short(error)}); accepted is a network that reaches it,"
            f" and a later run goes on where this one stopped, or the file put at {target} by hand"
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
    """Bring `part` to its full length, however often the connection breaks off."""
    idle, wait, most = 0, pause, _size(part)
    while True:
        try:
            if _receive(url, part, limit, progress):
                return
        except requests.HTTPError as error:
            if error.response.status_code < 500:  # asking again would bring the same answer
                raise
            failure = error
        except requests.RequestException as error:
            failure = error
        else:
            failure = requests.ConnectionError("the connection broke off")
        # A server that lets everything start over and over brings nothing new either.
        idle, most = (0, _size(part)) if _size(part) > most else (idle + 1, most)
        if idle >= ATTEMPTS:
            raise failure
        if idle:
            time.sleep(wait)
            wait *= 2


def _receive(url: str, part: Path, limit: int, progress: bool) -> bool:
    """One connection; whether the file is complete after it."""
    have, note = _size(part), part.with_name(f"{part.name}.version")
    validator = note.read_text(encoding="ascii") if have and note.is_file() else None
    # Without a validator nobody knows whether these bytes belong to the file that is there now.
    wanted = {"Range": f"bytes={have}-", "If-Range": validator} if validator else {}
    with requests.get(
        url, headers={"Accept-Encoding": "identity", **wanted}, stream=True, timeout=TIMEOUT
    ) as response:
        if (
            response.status_code == 416
        ):  # asked for more than there is: the beginning is not of this file
            _forget(part, note)
            return False
        response.raise_for_status()
        goes_on = response.status_code == 206 and response.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {have}-")
        if response.status_code == 206 and not goes_on:
            _forget(part, note)
            return False
        start = have if goes_on else 0
        length = _length(response.headers)
        if start + length > limit:
            _forget(part, note)
            raise DataError(
                f"{url} would bring {start + length:,} bytes; accepted are up to {limit:,}"
            )
        if not goes_on:
            _remember(note, response.headers)
        received = _store(response, url, part, note, start, start + length, limit, progress)
        return received == length if length else True


def _store(
    response, url: str, part: Path, note: Path, start: int, total: int, limit: int, progress: bool
) -> int:
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
        # Raw bytes: what is stored is what the server has, whatever it says about an encoding.
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


def _pieces(stream):
    """What comes over the line; when it breaks off, an error of requests."""
    while True:
        try:
            piece = next(stream, b"")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise requests.ConnectionError(f"the connection broke off: {_short(error)}") from error
        if not piece:
            return
        yield piece


def _length(headers) -> int:
    """How many bytes the server announces; 0 where it does not say."""
    stated = headers.get("Content-Length", "").strip()
    return int(stated) if stated.isdigit() else 0


def _remember(note: Path, headers) -> None:
    """What tells one version of a file from another: a strong ETag, or the date of its last change."""
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
