"""Numbers in the prose of the book: a result comes from a record or from a paper's table, never
from a keyboard.
"""

import json
import re

import nbformat
import pytest

from handpose_lib import paths

CHAPTERS = sorted(
    path
    for part in ("papers", "results")
    for path in (paths.project() / "book" / part).glob("*.ipynb")
)
RESULT = re.compile(
    r"(?<![\w.,])(\d+\.\d+)(?=\s*\**\s*(?:mm\b|%|\\%|\\,\s*(?:\\text|\\mathrm)\{\s*mm|percent|points))"
)
"""A decimal number of millimetres or percent. Whole numbers are lengths of cubes, thresholds,
shares as a paper rounds them.
"""

ALLOWED = {
    ("structure_aware_hourglass", "0.3"): "what the paper's text gives for its read-out",
    (
        "structure_aware_hourglass",
        "3.8",
    ): "mean distance of a place in a voxel of 8 mm from its middle, which a cell computes",
    ("claims", "2.5"): "the ends of an interval of 95 %",
    ("claims", "97.5"): "the ends of an interval of 95 %",
}
"""(chapter, number): why it may be typed."""


def numbers(value):
    """Every number in a JSON value."""
    if isinstance(value, dict):
        return {n for part in value.values() for n in numbers(part)}
    if isinstance(value, list):
        return {n for part in value for n in numbers(part)}
    return (
        {float(value)} if isinstance(value, (int, float)) and not isinstance(value, bool) else set()
    )


PRINTED = {
    n
    for path in (paths.project() / "book" / "tables").glob("*.json")
    if path.stem != "ledger"  # no printed table: `results.ledger` reads it
    for n in numbers(json.loads(path.read_text(encoding="utf-8"))["tables"])
}


def orphans(chapter, text):
    """The numbers of a text that come from nowhere."""
    return [
        found
        for found in RESULT.findall(text)
        if float(found) not in PRINTED and (chapter, found) not in ALLOWED
    ]


def prose(path):
    """Text and alternative texts of a chapter, by cell."""
    for cell in nbformat.read(path, as_version=4).cells:
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        yield cell.id, cell.source if cell.cell_type == "markdown" else alt


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_result_is_typed(path):
    found = {cell: left for cell, text in prose(path) if (left := orphans(path.stem, text))}
    assert not found, (
        f"{found}: print a result from its record, or name its source in the paper's tables"
    )


@pytest.mark.parametrize(
    "text, number",
    [
        ("The error falls to 12.34 mm.", "12.34"),
        ("in **12.34** mm", "12.34"),
        ("a share of 56.78 %", "56.78"),
        ("of 56.78% of frames", "56.78"),
        (r"$12.34\,\text{mm}$", "12.34"),
    ],
)
def test_a_typed_result_is_found(text, number):
    assert orphans("claims", text) == [number]


@pytest.mark.parametrize(
    "text",
    [
        "8.29 mm on NYU",
        "cubes of 250 mm",
        "within 20 mm",
        "version 12.34",
        "σ = 1.7 voxels",
        "the 2.5 % and 97.5 % quantiles",
    ],
)
def test_what_is_no_typed_result_passes(text):
    assert orphans("claims", text) == []


def test_every_exception_is_used():
    used = {
        (path.stem, found)
        for path in CHAPTERS
        for _, text in prose(path)
        for found in RESULT.findall(text)
    }
    assert set(ALLOWED) <= used
