"""Pose files as text: which fields of a line are coordinates, and what the others are.

One frame per line, three numbers per joint. What differs between files is recognised from the whole
file, never from one line:

separators    blanks, tabs, commas, semicolons; a decimal comma where commas cannot be separators
comments      lines that begin with `#`, `%` or `//`, and whatever follows the numbers of a line
header        the names or the numbers of the columns; the number of lines that follow
names         the image of each line, before its numbers
other columns numbers before or after the coordinates: indices, time stamps, scores

A column is no coordinate if it behaves unlike the coordinates of its kind (whole, constant or
rising where they are not), or if the depths, which differ least within a hand, show where the
coordinates begin. What cannot be decided is refused, with the number of the line.
"""

import io
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from handpose_lib.errors import DataError

LINE = 2**16
"""Length of the longest line in bytes: 64 per number for more than 300 joints."""
SAMPLE = 100
"""The separators are recognised in so many lines."""
COMMENTS = ("#", "%", "//")
COLUMNS = 6
"""A header of column numbers has at least so many."""
LEADING = 2
"""At most so many columns of numbers before the coordinates are recognised."""
CLEARLY = 0.6
"""One spread is clearly smaller than another if it is at most this share of it."""

_EMPTY = re.compile(r"[,;]\s*[,;]|^\s*[,;]")
_DECIMAL = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_BRACKETS = str.maketrans("[](){}", "      ")


@dataclass
class _Lines:
    """The lines that are no comments: their numbers one after the other, how many each has, its
    number in the file, its name or None, and the field that ended it, where one did. `digits`: the
    numbers of the first line are written without a point.
    """

    flat: array = field(default_factory=lambda: array("d"))
    counts: array = field(default_factory=lambda: array("q"))
    lines: array = field(default_factory=lambda: array("q"))
    names: list[str | None] = field(default_factory=list)
    stops: dict[int, str] = field(default_factory=dict)
    digits: bool = False

    def drop_first(self) -> None:
        """Remove the first line."""
        self.flat = self.flat[self.counts[0] :]
        self.counts, self.lines, self.names = self.counts[1:], self.lines[1:], self.names[1:]
        self.stops = {row - 1: stop for row, stop in self.stops.items() if row}

    def row(self, row: int) -> array:
        """Return the numbers of one of the first lines."""
        start = sum(self.counts[:row])
        return self.flat[start : start + self.counts[row]]


def parse(
    content: bytes, where: str, joints: tuple[int, ...]
) -> tuple[np.ndarray, list[str] | None, bool]:
    """Return the coordinates (N, J, 3) of a text, the name of each line or None, and whether its
    lines begin with numbers that are no coordinates, which then are their names.

    `joints`: accepted numbers of joints, the usual one first; without them the file decides.
    Errors: `DataError`, which begins with `where` and names the line.
    """
    read = _read(content, where)
    if not read.counts:
        raise DataError(f"{where} holds no frame: one line per frame is needed")
    _drop_header(read)
    if _is_count(read):
        read.drop_first()
    named = _check_names(read, where)
    table, count = _table(read, where, joints)
    first = _first_coordinate(table, count, where, read)
    points = table[:, first : first + 3 * count]
    bad = np.argwhere(~np.isfinite(points))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"{where}, line {read.lines[row]}: '{points[row, column]:f}' is not a finite number"
        )
    names = [name or "" for name in read.names] if named else None
    numbered = not named and first > 0
    if numbered and (len(table) == 1 or not all(map(_constant, table[:, :first].T))):
        names = ["/".join(f"{number:.15g}" for number in row) for row in table[:, :first]]
    return np.ascontiguousarray(points).reshape(len(points), count, 3), names, numbered


# --- lines --------------------------------------------------------------------------


def _read(content: bytes, where: str) -> _Lines:
    """Return the lines of a text without its comments."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # as a Windows console writes
        content = content.decode("utf-16", errors="replace").encode()
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    split = _Splitter(content)
    read = _Lines()
    for number, line in enumerate(io.BytesIO(content), start=1):
        if len(line) > LINE:
            raise DataError(
                f"{where}, line {number}: {len(line):,} bytes; accepted are at most {LINE:,}, one"
                " frame per line"
            )
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}, line {number}: cannot be read as text ({error.reason})"
            ) from None
        fields = split(text)
        if fields is None:
            raise DataError(
                f"{where}, line {number}: an empty field between two separators; accepted is a"
                " number in every field"
            )
        if not fields or fields[0].startswith(COMMENTS):
            continue
        _append(read, fields, number)
    return read


def _append(read: _Lines, fields: list[str], number: int) -> None:
    """Append the fields of one line."""
    lead = 0
    while lead < len(fields) and _number(fields[lead]) is None:
        lead += 1
    name = " ".join(fields[:lead]).replace("\\", "/") if lead else None
    del fields[:lead]
    if any("_" in one for one in fields):  # Python reads 1_0 as 10
        end = next(i for i, one in enumerate(fields) if "_" in one)
        read.stops[len(read.counts)] = fields[end]
        del fields[end:]
    before = len(read.flat)
    try:
        read.flat.extend(map(float, fields))
    except ValueError:  # a field that is not a number ends the row; those before it are kept
        read.stops[len(read.counts)] = fields[len(read.flat) - before]
    if lead > 1 and len(read.flat) == before:
        read.stops.setdefault(len(read.counts), (name or "").partition(" ")[2])
    if not read.counts:
        read.digits = all(one.isdigit() for one in fields)
    read.counts.append(len(read.flat) - before)
    read.lines.append(number)
    read.names.append(name)


class _Splitter:
    """Splits lines into fields, with the separators of the first lines of a text.

    Returns None for a line with an empty field.
    """

    def __init__(self, content: bytes):
        lines = [line for line in _first_lines(content) if not line.startswith(COMMENTS)]
        self.header = lines[0] if lines else ""
        self.decimal = _has_decimal_commas(lines)
        self.brackets = bool(lines) and all(line[0] in "[({" for line in lines)
        self.quotes = any('"' in line for line in lines)

    def __call__(self, text: str) -> list[str] | None:
        if self.quotes:
            text = text.replace('"', "")
        if self.brackets:
            text = text.translate(_BRACKETS)
        if "," not in text and ";" not in text:
            return text.split()
        text = text.rstrip(" ,;\t\r\n")
        if self.decimal:
            text = re.sub(r",(?=\s|$)", " ", text).replace(",", ".")
        if _EMPTY.search(text):
            if text.strip() != self.header.rstrip(" ,;\t") and not text.lstrip().startswith(
                COMMENTS
            ):
                return None
            text = text.lstrip(" ,;")
        return text.replace(",", " ").replace(";", " ").split()


def _first_lines(content: bytes) -> Iterator[str]:
    """Yield the first lines that are not empty, without the blanks around them."""
    found = 0
    for line in io.BytesIO(content[: SAMPLE * LINE]):
        if len(line) <= LINE and (text := line.decode("utf-8-sig", errors="replace").strip()):
            yield text
            found += 1
            if found == SAMPLE:
                return


def _has_decimal_commas(lines: list[str]) -> bool:
    """Return whether commas are decimal signs: other separators stand between the numbers, and no
    number has a point or a second comma.
    """
    decimal = False
    for line in lines:
        parts = [part.rstrip(",") for part in re.split(r"[\s;]+", line)]
        parts = [part for part in parts if re.fullmatch(r"[-+.,\deE]+", part)]
        with_comma = [part for part in parts if "," in part]
        if len(parts) < 3 or not with_comma:
            continue
        if any("." in part for part in parts) or not all(map(_DECIMAL.fullmatch, with_comma)):
            return False
        decimal = True
    return decimal


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


# --- what is no frame -----------------------------------------------------------------


def _drop_header(read: _Lines) -> None:
    """Remove the first lines if they name or number the columns."""
    frames = any(count >= 3 for count in read.counts)
    while frames and len(read.counts) > 1:
        name, other = read.names[0], read.names[1]
        if read.counts[0] == 0 and name is not None and not _alike(name, other):
            read.drop_first()
            continue
        numbers = read.row(0)
        if (
            read.digits
            and len(numbers) >= COLUMNS
            and _are_columns(numbers)
            and not _are_columns(read.row(1))
            and read.counts[1] in (len(numbers), len(numbers) + 1)
            and not (name is not None and _alike(name, other))
        ):
            read.drop_first()
        return


def _alike(name: str, other: str | None) -> bool:
    """Return whether two names can be those of images of one set."""
    if other is None:
        return False
    one, two = name.split()[0], other.split()[0]
    kinds = [re.sub(r"\d+", "0", text) for text in (one, two)]
    suffix = PurePosixPath(one).suffix
    return kinds[0] == kinds[1] or (suffix != "" and suffix == PurePosixPath(two).suffix)


def _are_columns(numbers: array) -> bool:
    """Return whether numbers are 0, 1, 2, … or 1, 2, 3, …: those of columns, no coordinates."""
    return len(numbers) > 0 and any(
        all(number == start + i for i, number in enumerate(numbers)) for start in (0, 1)
    )


def _is_count(read: _Lines) -> bool:
    """Return whether the first line is the number of lines that follow, as in MSRA's labels."""
    return (
        len(read.counts) > 1
        and read.names[0] is None
        and read.counts[0] == 1
        and read.flat[0] == len(read.counts) - 1
    )


def _check_names(read: _Lines, where: str) -> bool:
    """Return whether each line begins with a name. Errors: some do, or some names have blanks."""
    words = [0 if name is None else len(name.split()) for name in read.names]
    usual = Counter(words).most_common(1)[0][0]
    if Counter(words)[words[0]] == Counter(words)[usual]:
        usual = words[0]
    odd = next((row for row, count in enumerate(words) if count != usual), None)
    if odd is None:
        return usual > 0
    line, name = read.lines[odd], (read.names[odd] or "")[:40]
    others = f"the other {words.count(usual):,}" if words.count(usual) > 1 else "the other"
    if usual == 0:
        raise DataError(
            f"{where}, line {line}: {name!r} is not a finite number, and {others} lines begin with"
            " one; accepted are image names on all lines or on none, and # before a comment"
        )
    if name and words[odd] > usual:
        extra = " ".join((read.names[odd] or "").split()[usual:])
        raise DataError(f"{where}, line {line}: {extra[:40]!r} is not a finite number")
    raise DataError(
        f"{where}, line {line}: begins with {repr(name) if name else 'no image name'}, unlike"
        f" {others} lines; accepted are image names on all lines or on none"
    )


# --- columns --------------------------------------------------------------------------


def _table(read: _Lines, where: str, joints: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Return the numbers of all lines (N, C), and how many joints they hold."""
    counts, lines = np.frombuffer(read.counts, np.int64), read.lines
    sizes = Counter(read.counts)
    usual = sizes.most_common(1)[0][0]
    usual = int(counts[0]) if sizes[counts[0]] == sizes[usual] else usual
    like = lines[int(np.argmax(counts == usual))]
    fitting = [number for number in joints if usual >= 3 * number]
    count = min(fitting, key=lambda number: usual - 3 * number) if fitting else (joints or (0,))[0]
    count = count or usual // 3
    short = np.flatnonzero(counts < max(3 * count, 3))
    odd = np.flatnonzero(counts != usual)
    if len(short) and joints and len(sizes) == 2 and counts[0] == 1 and len(odd) == 1:
        raise DataError(
            f"{where}, line {lines[0]}: states {read.flat[0]:.15g} lines, but"
            f" {len(counts) - 1:,} follow"
        )
    if len(short):
        row = int(short[0])
        if row in read.stops:
            raise DataError(
                f"{where}, line {lines[row]}: {read.stops[row][:40]!r} is not a finite number"
            )
        if not joints and usual < 3:
            raise DataError(
                f"{where}, line {lines[row]}: {counts[row]} numbers, where a joint needs 3"
            )
        hint = ""
        if joints and usual == 3 and count > 1 and len(odd) == 0 and len(counts) % count == 0:
            hint = ": it seems to be one joint; accepted is one frame per line"
        elif joints and usual == 2 * count and len(odd) == 0:
            hint = ": it seems to have 2 numbers per joint; accepted are 3"
        elif row == len(counts) - 1 and len(odd) == 1 and len(counts) > 2:
            hint = ": the last line seems to be cut off"
        needs = f"{count} joints need {3 * count}" if joints else f"line {like} has {usual}"
        raise DataError(f"{where}, line {lines[row]}: {counts[row]} numbers, where {needs}{hint}")
    if len(odd):
        row = int(odd[0])
        raise DataError(
            f"{where}, line {lines[row]}: {counts[row]} numbers, where line {like} has {usual}"
        )
    more = usual - 3 * count
    if joints and more == count > 1:
        raise DataError(
            f"{where}: every line has {usual} numbers, 4 for each of {count} joints; accepted are 3"
        )
    if joints and more == 3 * count > 3:
        raise DataError(
            f"{where}: every line has {usual} numbers, 6 for each of {count} joints, or commas are"
            " both separators and decimal signs; accepted are 3 numbers per joint"
        )
    if more and more % 3 == 0:
        raise DataError(
            f"{where}: every line has the numbers of {usual // 3} joints, where {count} joints need"
            f" {3 * count}"
        )
    return np.frombuffer(read.flat).reshape(len(counts), usual), count


def _first_coordinate(table: np.ndarray, count: int, where: str, read: _Lines) -> int:
    """Return the column of the first coordinate: how many numbers precede the joints.

    `table` (N, C); `count`: the number of joints. Errors: it cannot be decided.
    """
    more = table.shape[1] - 3 * count
    if more == 0:
        return 0
    leading = min(more, LEADING)
    votes = {_by_depth(table, count, leading), _by_behaviour(table, count, leading)} - {None}
    if not votes:
        votes = {_by_nearness(table, count, leading)} - {None}
    if len(votes) != 1:
        raise DataError(
            f"{where}, line {read.lines[0]}: {table.shape[1]} numbers, where {count} joints need"
            f" {3 * count}: it is not clear whether the first or the last numbers of the lines are"
            " coordinates; remove those that are not"
        )
    return int(next(iter(votes)) or 0)


def _by_depth(table: np.ndarray, count: int, leading: int) -> int | None:
    """Return the first coordinate by the depths: the third of the joints' coordinates, which
    differs least within a frame, relative to itself. None if that is not clear.
    """
    if count < 4:
        return None
    spreads = []
    for kind in range(3):  # the same columns, whichever is the first coordinate
        columns = table[:, 3 + kind : 3 * count - 3 + kind : 3]
        with np.errstate(all="ignore"):
            middle = np.abs(np.median(columns, axis=1))
            spread = np.median(columns.std(axis=1) / middle)
        spreads.append(spread if np.isfinite(spread) else np.inf)
    least, second = np.argsort(spreads)[:2]
    if not spreads[least] <= CLEARLY * spreads[second]:
        return None
    first = (int(least) + 1) % 3
    return first if first <= leading else None


def _by_behaviour(table: np.ndarray, count: int, leading: int) -> int | None:
    """Return the first coordinate by what the columns do that are candidates.

    Of a number before the joints and the one that is as far behind them one is no coordinate. None
    if no pair differs.
    """
    belongs = []
    for i in range(leading):
        others = table[:, 3 + i : 3 * count + i - 2 : 3]
        before, behind = _oddness(table[:, i], others), _oddness(table[:, 3 * count + i], others)
        belongs.append(None if before == behind else before < behind)
    return _begin(belongs)


def _by_nearness(table: np.ndarray, count: int, leading: int) -> int | None:
    """Return the first coordinate by which of each pair is nearer to the others of its kind."""
    belongs: list[bool | None] = []
    for i in range(leading):
        others = table[:, 3 + i : 3 * count + i - 2 : 3]
        if others.shape[1] == 0:
            return None
        middle = np.median(others, axis=1)
        before = np.median(np.abs(table[:, i] - middle))
        behind = np.median(np.abs(table[:, 3 * count + i] - middle))
        if not min(before, behind) <= CLEARLY * max(before, behind):
            return None
        belongs.append(bool(before < behind))
    return _begin(belongs)


def _begin(belongs: list[bool | None]) -> int | None:
    """Return how many columns precede the coordinates, from whether each belongs to them."""
    fitting = [
        first
        for first in range(len(belongs) + 1)
        if all(belongs[i] in (None, i >= first) for i in range(len(belongs)))
    ]
    return fitting[0] if len(fitting) == 1 else None


def _oddness(column: np.ndarray, others: np.ndarray) -> int:
    """Return in how many ways a column (N,) behaves unlike coordinates of one kind (N, K): whole
    numbers, a constant, or steadily rising where they are not.
    """
    odd = 0
    for behaves in (_whole, _constant, _rising):
        if behaves(column) and not any(behaves(other) for other in others.T):
            odd += 1
    return odd


def _whole(column: np.ndarray) -> bool:
    return bool((column == np.round(column)).all())


def _constant(column: np.ndarray) -> bool:
    return len(column) > 1 and bool((column == column[0]).all())


def _rising(column: np.ndarray) -> bool:
    return len(column) > 3 and bool((np.diff(column) > 0).all())
