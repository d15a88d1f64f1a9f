"""Unpacking of `.gz` files from others: limited in size, and complete or not at all."""

import gzip
import zlib
from pathlib import Path

from handpose_lib.errors import DataError
from handpose_lib.io.storage import temporary_file

PIECE = 1 << 20
"""Bytes that are unpacked at a time."""


def gunzip(path: Path, target: Path, limit: int) -> Path:
    """Unpack the `.gz` file at `path` to `target`, and return `target`.

    The bytes go to a hidden file beside `target`, which takes its name when it is complete. At most
    `limit` bytes are written, whatever size the file states.

    Errors: `DataError` naming the file, if it is missing, damaged or larger than `limit`, or if
    `target` cannot be written. Then `target` is as it was, and nothing else is left.
    """
    written = 0
    try:
        with (
            gzip.open(path, "rb") as source,
            temporary_file(target) as partial,
            partial.open("xb") as file,
        ):
            while piece := source.read(PIECE):
                written += len(piece)
                if written > limit:
                    raise DataError(f"{path}: unpacks to more than {limit:,} bytes, the limit")
                file.write(piece)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged ({error}); accepted is a complete .gz file") from error
    except OSError as error:
        raise DataError(
            f"{error.filename or path}: {error.strerror or error}; accepted are a .gz file that can"
            " be read and a folder with room for its content"
        ) from error
    return target
