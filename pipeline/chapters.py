"""Copies the chapters into a folder of one's own, to read and change them there.

    python -m pipeline.chapters hand_pose_book
    jupyter lab hand_pose_book

For readers who installed the library without a checkout. A file that is there already stays as it
is, so that the command can be repeated after an update: new chapters come, one's own work stays.
"""

import argparse
import shutil
import sys
from pathlib import Path

from handpose_lib import paths
from handpose_lib.errors import DataError
from handpose_lib.teaching import contents


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path("hand_pose_book"),
        help="where to (default: %(default)s)",
    )
    chosen = parser.parse_args(arguments)
    try:
        copied, kept = copy(chosen.folder)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{chosen.folder.resolve()}: {copied} files copied, {kept} were there and stay")
    return 0


def copy(folder: Path) -> tuple[int, int]:
    """Copy all pages and their pictures; return how many files were copied, and how many stay.

    Errors: a page is missing, or the folder cannot be written to.
    """
    book = paths.existing(paths.project() / "book")
    pages = [paths.existing(page_file(page)) for page in contents.pages()]
    copied = kept = 0
    for source in [*pages, *sorted((book / "_static").iterdir())]:
        target = folder / source.relative_to(book)
        if target.exists():
            kept += 1
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            copied += 1
    return copied, kept


def page_file(page: str) -> Path:
    """Return the file of a page of the table of contents."""
    text = paths.project() / f"{page}.md"
    return text if text.is_file() else paths.project() / f"{page}.ipynb"


if __name__ == "__main__":
    sys.exit(main())
