"""The table of contents of the book, as `_toc.yml` lists it."""

import re

from handpose_lib import paths

__all__ = ["pages"]


def pages() -> dict[str, str]:
    """Return every page of the book in reading order, with the part that it belongs to.

    A page is named like its file, without the ending: `book/foundations/depth_cameras`. The first
    page belongs to no part: its value is the empty string.
    Errors: `DataError` if the file is missing.
    """
    found, part = {}, ""
    for key, value in re.findall(
        r"^\s*-?\s*(root|caption|file): *(.+?) *$",
        paths.existing(paths.project() / "_toc.yml").read_text(encoding="utf-8"),
        re.MULTILINE,
    ):
        if key == "caption":
            part = value
        else:
            found[value] = part
    return found
