"""Tables that show the results of a paper beside ours, which come from records.

A column never mixes results on real and on synthetic frames. The tables of a paper are in
`book/tables/<method>.json`:

    {"method": "jgr_p2o", "paper": "<key in references.bib>", "source": "...",
     "results": {"NYU": {"table": "5", "row": "JGR-P2O"}, ...},
     "tables": {"1": {"title": "Graph structures", "dataset": "NYU",
                      "rows": [{"label": "skeleton graph", "variant": "paper", "error_mm": 8.29,
                                "parameters": "1.37M"}, ...],
                      "claims": [{"text": "...", "better": "paper", "worse": "parameterised",
                                  "differs": ["network.reasoning"]}]}}}

A table of results on several data sets has `columns` instead of `dataset`, and its rows have one
entry per data set (`"nyu": 8.29`). Every other entry of a row is a plain fact. Numbers are shown
with the digits that the file has: those of the paper. `results` names, for each data set, the table
and the row with the paper's own result. A row about another decoding of variant 'paper' names it in
`read_out`, null for the decoding that the run itself scores. A claim names the facts of
`comparison.facts` in which its two variants differ. `compare` adds our column, and `claims` tests
each of the paper's claims on our trainings:

    table = compare(load("jgr_p2o"), "1", records.load_all(), profile="laptop")
    table                                                      # in a notebook: the table
    table.value("skeleton graph", "NYU, printed")              # a number
    table.value("skeleton graph", table.ours)                  # ours
    claims(load("jgr_p2o"), "1", records.load_all(), profile="laptop")
"""

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from handpose_lib import paths
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.evaluation import statistics
from handpose_lib.io.storage import read_json
from handpose_lib.results import comparison, records

MISSING = "–"
STALE = "†"


class Printed(float):
    """A number of a printed table: a float that is shown with the digits of its source.

    `str`, and a format without digits, give '10.60' for 10.60 and '10.6' for 10.6.
    """

    _text: str

    def __new__(cls, text: str):
        number = super().__new__(cls, text)
        number._text = text
        return number

    def __str__(self):
        return self._text

    __repr__ = __str__


@dataclass(frozen=True)
class Source:
    """The data set of the numbers in a column; the fingerprint tells synthetic sets apart."""

    dataset: str
    synthetic: bool
    fingerprint: str | None = None

    def __str__(self) -> str:
        return f"{'synthetic ' if self.synthetic else ''}{self.dataset}"


@dataclass(frozen=True)
class Cell:
    """One entry: its number (None for text) and its text; `stale` if the code changed since."""

    value: float | None
    text: str
    stale: bool = False


@dataclass
class Column:
    """One column. All its results are on one data set."""

    name: str
    source: Source | None = None
    cells: dict[str, Cell] = field(default_factory=dict)

    def add(self, row: str, cell: Cell, source: Source | None) -> None:
        """Put a cell into a row. Errors: a result on other data than the column's."""
        if source != self.source:
            raise HandPoseError(
                f"column {self.name!r} holds results on {_named(self.source)}: "
                f"{row!r} on {_named(source)} does not belong there"
            )
        self.cells[row] = cell


@dataclass
class Table:
    """Rows by label and columns by name; notebooks show it as a table."""

    title: str
    rows: list[str]
    columns: list[Column]
    ours: str | None = None
    """Name of the column with our results."""

    def value(self, row: str, column: str) -> float:
        """Return the number in a cell. Errors: no such row or column, or no number there."""
        cell = self._cell(
            one_of("row", row, self.rows), one_of("column", column, [c.name for c in self.columns])
        )
        if cell.value is None:
            raise HandPoseError(f"no number in row {row!r}, column {column!r} of {self.title!r}")
        return cell.value

    def markdown(self) -> str:
        """Return the table in Markdown, with its title above and its notes below."""
        lines = [
            f"**{self.title}**",
            "",
            "| |" + "".join(f" {c.name} |" for c in self.columns),
            "|---|" + "---:|" * len(self.columns),
        ]
        lines += [
            f"| {row} |" + "".join(f" {self._text(row, c.name)} |" for c in self.columns)
            for row in self.rows
        ]
        return "\n".join(lines + [f"\n{note}" for note in self.notes()]) + "\n"

    def notes(self) -> list[str]:
        """Return the notes below the table: synthetic frames, runs of earlier code."""
        sources = [
            f"{c.name}: results on {c.source} frames."
            for c in self.columns
            if c.source and c.source.synthetic
        ]
        stale = any(cell.stale for c in self.columns for cell in c.cells.values())
        return sources + ([f"{STALE} from a run of earlier code."] if stale else [])

    def _repr_html_(self) -> str:
        escape = html.escape
        head = "".join(f"<th>{escape(c.name)}</th>" for c in self.columns)
        body = "".join(
            f"<tr><th scope='row'>{escape(row)}</th>"
            + "".join(f"<td>{escape(self._text(row, c.name))}</td>" for c in self.columns)
            + "</tr>"
            for row in self.rows
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return (
            f"<table class='table'><caption>{escape(self.title)}</caption>"
            f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"
        )

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _cell(self, row: str, column: str) -> Cell:
        return next(c for c in self.columns if c.name == column).cells.get(row, Cell(None, MISSING))

    def _text(self, row: str, column: str) -> str:
        cell = self._cell(row, column)
        return cell.text + (STALE if cell.stale else "")


def load(method: str, folder: Path | str | None = None) -> dict[str, Any]:
    """Return the tables that a paper printed, from `<folder>/<method>.json` (None: the book's).

    Errors: `DataError` if the file is missing or broken.
    """
    path = Path(folder or paths.existing(paths.project() / "book" / "tables")) / f"{method}.json"
    read_json(path)
    paper = json.loads(path.read_text(encoding="utf-8"), parse_float=Printed)
    for name in ("method", "paper", "tables"):
        if name not in paper:
            raise DataError(
                f"{path}: {name!r} is missing; accepted is an object with method, paper, tables"
            )
    for name, table in paper["tables"].items():
        if "title" not in table or not ("dataset" in table or "columns" in table):
            raise DataError(
                f"{path}: table {name!r} needs a title and a dataset, or columns named by data sets"
            )
        for row in table.get("rows", ()):
            lacking = [key for key in ("label", *_results(table)) if key not in row]
            if lacking:
                raise DataError(
                    f"{path}: table {name!r}, row {row.get('label', row)!r} has no {lacking[0]!r}"
                )
        for claim in table.get("claims", ()):
            lacking = [key for key in ("text", "better", "worse", "differs") if key not in claim]
            if lacking:
                raise DataError(
                    f"{path}: table {name!r}, claim {claim.get('text', claim)!r} has no"
                    f" {lacking[0]!r}"
                )
    return paper


def own_error(paper: Mapping[str, Any], dataset: str) -> float | None:
    """Return the mean joint error in mm that a paper prints for its method, None without one.

    `dataset`: a name as in `results` of its file, such as 'NYU'.
    """
    if dataset not in paper["results"]:
        return None
    result = paper["results"][dataset]
    table = _table(paper, result["table"])
    row = next(row for row in table["rows"] if row["label"] == result["row"])
    return next(row[key] for key, name in _results(table).items() if name == dataset)


def printed(paper: Mapping[str, Any], name: str) -> Table:
    """Return a table as the paper printed it: results in mm on real data, then plain facts."""
    table = _table(paper, name)
    results = _results(table)
    known = ("label", "variant", "read_out", *results)
    facts = [key for key in table["rows"][0] if key not in known]
    columns = []
    for key in [*results, *facts]:
        source = Source(results[key], synthetic=False) if key in results else None
        column = Column(f"{source}, printed" if source else key, source)
        for row in table["rows"]:
            column.add(row["label"], printed_cell(row.get(key)), source)
        if any(cell.text != MISSING for cell in column.cells.values()):
            columns.append(column)
    return Table(table["title"], [row["label"] for row in table["rows"]], columns)


def compare(
    paper: Mapping[str, Any],
    name: str,
    found: Iterable[records.Record],
    *,
    profile: str,
    label: str = "ours",
) -> Table:
    """Return a paper's table with our column: the mean joint error of the records of a profile.

    Several seeds are shown as mean ± standard deviation with their number.
    Errors: records on different data.
    """
    found = list(found)
    table = printed(paper, name)
    ours = None
    for row in _table(paper, name)["rows"]:
        read_out = row.get("read_out")
        variant = row.get("variant", "paper" if "read_out" in row else None)
        runs = _runs(paper, found, profile, variant)
        if read_out is not None:
            runs = [run for run in runs if read_out in run["metrics"].get("read_outs_mm", ())]
        if runs:
            source = _source(runs[0])
            ours = ours or Column(f"{label}, {source}, {profile}", source)
            for run in runs:
                ours.add(row["label"], over_seeds(runs, read_out), _source(run))
    if ours:
        table.columns.append(ours)
        table.ours = ours.name
    return table


@dataclass(frozen=True)
class Claim:
    """A paper's claim that one variant is better than another, asked of our trainings of both.

    `decision` is None without trainings of both, and if records of earlier code differ in more than
    the claim names; `reason` then says which. `better`, `worse`: number of trainings.
    """

    text: str
    better: int
    worse: int
    decision: statistics.Decision | None
    reason: str = ""

    @property
    def margin_mm(self) -> float | None:
        """By how much the variant is better on average, None without a decision."""
        return self.decision.effect.mean if self.decision else None

    @property
    def verdict(self) -> str:
        """The verdict of `evaluation.statistics.decide`."""
        return self.decision.verdict if self.decision else statistics.UNDECIDED

    def __str__(self) -> str:
        if self.decision is None:
            return f"{self.text}: **{self.verdict}**, {self.reason}."
        return f"{self.text}: {self.decision}."


def claims(
    paper: Mapping[str, Any],
    name: str,
    found: Iterable[records.Record],
    *,
    profile: str,
    measure: comparison.Measure | None = None,
) -> list[Claim]:
    """Return the claims of a table, each decided by `comparison.decide` from a profile's trainings.

    `measure`: what is compared instead of the mean joint error, as of `comparison.decide`.
    Errors: `HandPoseError` for trainings that differ in more than the claim names.
    """
    answers, found = [], list(found)
    for claim in _table(paper, name).get("claims", ()):
        better, worse = (_runs(paper, found, profile, claim[side]) for side in ("better", "worse"))
        decision, reason = comparison.ask(worse, better, differs=claim["differs"], measure=measure)
        answers.append(Claim(claim["text"], len(better), len(worse), decision, reason))
    return answers


def runs(found: Iterable[records.Record], title: str = "What to expect") -> Table:
    """Return a table of trainings: hardware, minutes, error, and the error over the baselines'.

    Each row is the mean over seeds. Errors: runs on different data.
    """
    groups: dict[tuple[str, str, str], list[records.Record]] = {}
    for run in found:
        groups.setdefault((run["profile"], run["variant"], run["device"]["name"]), []).append(run)
    if not groups:
        return Table(f"{title}: no run is recorded yet", [], [])
    source = _source(next(iter(groups.values()))[0])
    error = Column(f"error on {source}, mm", source)
    knn, pose = Column("error / 5-NN", source), Column("error / mean pose", source)
    hardware, took = Column("hardware"), Column("minutes")
    for (profile, variant, name), group in groups.items():
        row = f"{profile}, {variant}" + (f", {name}" if len({k[2] for k in groups}) > 1 else "")
        device, text = group[0]["device"], name
        if device["type"] == "cpu":
            text += f", {device['threads']} thread{'s' * (device['threads'] > 1)}"
        hardware.add(row, Cell(None, text), None)
        took.add(row, minutes(group), None)
        for run in group:
            error.add(row, over_seeds(group), _source(run))
        for column, key in ((knn, "knn5_mm"), (pose, "mean_pose_mm")):
            column.add(
                row,
                _number(mean(run.error_mm / run["baselines"][key] for run in group), "{:.2f}"),
                source,
            )
    return Table(title, [*took.cells], [hardware, took, error, knn, pose], error.name)


def minutes(group: Iterable[records.Record]) -> Cell:
    """Return the fastest and the slowest wall time of repeated trainings, in minutes.

    Other work on the machine slows a training down. The fastest time therefore says most about the
    method, and the slowest is what a reader should expect.
    """
    each = [run["training"]["seconds"] / 60 for run in group]
    ends = list(dict.fromkeys(f"{end:.1f}" for end in (min(each), max(each))))
    return Cell(min(each), " to ".join(ends))


def summary(record: records.Record, thresholds: Iterable[int] = (10, 20, 30, 50)) -> Table:
    """Return a table of one run: its error, the baselines, and the share of good frames.

    `thresholds`: mm, of those in the record.
    """
    source, measures = _source(record), record["metrics"]
    column = Column(f"{source}, {record['protocol']['split']}", source)
    values = {
        "mean joint error, mm": record.error_mm,
        **{
            f"{name}, mm": record["baselines"][key]
            for name, key in (
                ("mean pose at the centre", "mean_pose_mm"),
                ("nearest neighbour", "knn1_mm"),
                ("five nearest neighbours", "knn5_mm"),
            )
        },
        **{
            f"worst joint within {t} mm, % of frames": (
                100 * measures["success_rate_worst"][measures["thresholds_mm"].index(t)]
            )
            for t in thresholds
        },
    }
    for row, value in values.items():
        column.add(row, _number(value, "{:.1f}"), source)
    return Table(
        f"{record['method']}, {record['variant']}, {record['profile']}",
        [*values],
        [column],
        column.name,
    )


def over_seeds(runs: list[records.Record], read_out: str | None = None) -> Cell:
    """Return the mean joint error of runs that differ by their seed.

    Several are shown as mean ± standard deviation (number of seeds). `read_out`: the name of a
    decoding that all runs keep, None for the one that each scores.
    """
    errors = [
        run.error_mm if read_out is None else run["metrics"]["read_outs_mm"][read_out]
        for run in runs
    ]
    text = f"{mean(errors):.2f}" + (
        f" ± {stdev(errors):.2f} ({len(errors)} seeds)" if len(errors) > 1 else ""
    )
    return Cell(mean(errors), text, any(map(records.is_stale, runs)))


def _table(paper: Mapping[str, Any], name: str) -> dict[str, Any]:
    return paper["tables"][one_of(f"table of {paper['paper']}", name, paper["tables"])]


def _results(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of a row that hold results in mm, and the data set of each."""
    if "dataset" in table:
        return {"error_mm": table["dataset"]}
    return {name.lower(): name for name in table["columns"]}


def _runs(
    paper: Mapping[str, Any], found: list[records.Record], profile: str, variant: str | None
) -> list[records.Record]:
    wanted = (paper["method"], profile, variant)
    return [run for run in found if (run["method"], run["profile"], run["variant"]) == wanted]


def _source(run: records.Record) -> Source:
    data = run["dataset"]
    return Source(data["name"], data["synthetic"], data["fingerprint"])


def printed_cell(value: Any) -> Cell:
    """Return an entry of a printed table with the digits that its file has; None is missing."""
    if value is None:
        return Cell(None, MISSING)
    return Cell(float(value) if isinstance(value, (int, float)) else None, str(value))


def _number(value: float, form: str) -> Cell:
    return Cell(float(value), form.format(value))


def _named(source: Source | None) -> str:
    return "no data set" if source is None else f"{source} ({source.fingerprint or 'as printed'})"
