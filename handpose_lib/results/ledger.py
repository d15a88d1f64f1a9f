"""The ledger: every item of the papers, how the book reproduces it, where, and with which records.

An item is an equation, a part of a network, a setting of the training, a row of a table, a figure
or a claim of a paper. `book/tables/ledger.json` lists them under "items", each an object with

    paper, kind, place, item    the paper's module, one of `KINDS`, where it stands, what it is
    state                       one of `STATES`; computed instead where there is a `recipe`
    difference                  what differs and why, or why it is missing
    code                        dotted name of what implements it in the library
    cell                        page and id of the cell that shows it
    recipe                      what the paper prints, as settings of the recipe of profile 'paper'
    trained                     what has to be trained or measured, see `Wanted`

Whether something is trained is never written down: `evidence` looks it up in the records.

    items, found = load(), records.load_all()
    print(table(items, found, "densereg"))    # one row per item, in Markdown
    print(summary(items, found))              # a sentence with the counts
"""

import ast
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module
from math import degrees, isclose
from pathlib import Path
from typing import Any, NamedTuple

from handpose_lib import dataset_specs, papers, paths, skeleton
from handpose_lib.errors import DataError, one_of
from handpose_lib.io.storage import read_json
from handpose_lib.prepare import augment
from handpose_lib.results.records import KINDS as RECORD_KINDS
from handpose_lib.results.records import Record

KINDS = (
    "equation",
    "architecture",
    "decoding",
    "training",
    "data",
    "measure",
    "table",
    "figure",
    "run time",
    "claim",
)
STATES = {"full": "in full", "differs": "differs", "not": "not"}
"""How an item is implemented, and how a page says it."""
REAL, SYNTHETIC, NONE = "real", "synthetic", "none"
"""Which frames the records of an item were made on."""


@dataclass(frozen=True)
class Wanted:
    """The trainings that an item needs, or another record.

    datasets   of the paper's own result; empty for a record of another kind
    variants   of the paper's method, each of which has to be trained
    field      path of the measure in the record, such as 'metrics.per_joint_mm'
    view       of a data set with several, None for any
    read_outs  other decodings of the same run that the record has to keep
    kind       of the record: 'training', or another one of `records.KINDS`
    """

    datasets: tuple[str, ...] = ()
    variants: tuple[str, ...] = ("paper",)
    field: str = "metrics.mean_joint_error_mm"
    view: str | None = None
    read_outs: tuple[str, ...] = ()
    kind: str = "training"


@dataclass(frozen=True)
class Setting:
    """What a paper prints about its training: settings of its recipe for a data set.

    A setting is a field of `papers.method.Recipe`, or 'augmentation.…' or 'config.…'. The unit of
    an augmentation may follow: '_deg', or '_voxels' of the method's input.
    """

    dataset: str
    settings: Mapping[str, Any]

    def deviations(self, paper: str) -> dict[str, tuple[Any, Any]]:
        """Return the settings in which the recipe differs: name → (printed, used)."""
        used = {name: _setting(paper, self.dataset, name) for name in self.settings}
        return {
            name: (printed, used[name])
            for name, printed in self.settings.items()
            if not _equal(printed, used[name])
        }


@dataclass(frozen=True)
class Item:
    """One item of a paper; the fields are those of the file."""

    paper: str
    kind: str
    place: str
    item: str
    stated: str | None = None
    reason: str | None = None
    code: str | None = None
    page: str | None = None
    cell: str | None = None
    recipe: Setting | None = None
    trained: Wanted | None = None

    @property
    def state(self) -> str:
        """A key of `STATES`: as stated, or as the recipe of profile 'paper' decides."""
        if self.recipe is None:
            assert self.stated is not None
            return self.stated
        return "differs" if self.recipe.deviations(self.paper) else "full"

    @property
    def difference(self) -> str:
        """What differs, empty for an item that is reproduced in full."""
        if self.state == "full":
            return ""
        if self.reason or self.recipe is None:
            return self.reason or ""
        return "; ".join(
            f"`{name}` is {_shown(used)}, in the paper {_shown(printed)}"
            for name, (printed, used) in self.recipe.deviations(self.paper).items()
        )


@dataclass
class Evidence:
    """The records of an item: those on the paper's data set, and those on synthetic frames."""

    real: list[Record] = field(default_factory=list)
    synthetic: list[Record] = field(default_factory=list)
    complete: bool = False
    """Whether the real ones are trainings of profile 'paper' of all variants on all data sets."""

    @property
    def frames(self) -> str:
        """One of `REAL`, `SYNTHETIC` and `NONE`."""
        return REAL if self.real else SYNTHETIC if self.synthetic else NONE


class Section(NamedTuple):
    """A section of a page: its title, and the anchor of its heading."""

    title: str
    anchor: str


# --- The items ----------------------------------------------------------------


def load(path: Path | None = None) -> list[Item]:
    """Return all items, in the order of the file (None: the book's).

    Errors: `DataError` for a field that is missing, unknown or of an unknown value.
    """
    path = path or paths.existing(paths.project() / "book" / "tables" / "ledger.json")
    listed = read_json(path).get("items")
    if not isinstance(listed, list):
        raise DataError(f"{path}: accepted is an object with a list of items")
    return [_item(entry, f"{path}: item {n}") for n, entry in enumerate(listed, 1)]


def _item(entry: dict[str, Any], where: str) -> Item:
    known = {"paper", "kind", "place", "item", "state", "difference", "code", "cell"}
    known |= {"recipe", "trained"}
    if unknown := sorted(set(entry) - known):
        raise DataError(f"{where}: unknown field {unknown[0]!r}; accepted are {sorted(known)}")
    for name in ("paper", "kind", "place", "item"):
        if not entry.get(name):
            raise DataError(f"{where}: {name!r} is missing or empty")
    try:
        one_of("paper", entry["paper"], papers.names())
        one_of("kind", entry["kind"], KINDS)
        if ("state" in entry) == ("recipe" in entry):
            raise DataError("accepted is either a state or a recipe that decides it")
        state = entry.get("state")
        if state is not None:
            one_of("state", state, STATES)
            if (state == "full") == ("difference" in entry):
                raise DataError("a difference belongs to every state but 'full'")
        wanted = None
        if "trained" in entry:
            options: dict[str, Any] = entry["trained"]
            plain: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in options.items()
            }
            wanted = Wanted(**plain)
            one_of("kind of record", wanted.kind, RECORD_KINDS)
        recipe = Setting(**entry["recipe"]) if "recipe" in entry else None
        cell = entry.get("cell", {"page": None, "id": None})
        return Item(
            *(entry[name] for name in ("paper", "kind", "place", "item")),
            stated=state,
            reason=entry.get("difference"),
            code=entry.get("code"),
            page=cell["page"],
            cell=cell["id"],
            recipe=recipe,
            trained=wanted,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{where}, {entry['item']!r}: {error}") from error


# --- What the recipes say -----------------------------------------------------


@cache
def _setting(paper: str, dataset: str, name: str) -> Any:
    """Return a setting of the paper's own training as a plain value."""
    recipe = papers.recipe(paper, dataset, "paper")
    group, _, key = name.rpartition(".")
    module = import_module(f"{papers.__name__}.{paper}")
    config = module.Config(**{**module.VARIANTS["paper"].config, **recipe.network})
    if group == "config":
        return _plain(getattr(config, one_of("field", key, _names(config))))
    if group != "augmentation":
        return _plain(getattr(recipe, one_of("field of a recipe", name, _names(recipe))))
    key, _, unit = key.partition("_") if key.endswith(("_deg", "_voxels")) else (key, "", "")
    default = inspect.signature(augment).parameters[key].default
    value = _plain(recipe.augmentation.get(key, default))
    if unit == "deg":
        return [degrees(number) for number in value]
    return value * config.size / recipe.cube_test if unit == "voxels" else value


def _names(instance: Any) -> list[str]:
    return [one.name for one in fields(instance)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _equal(printed: Any, used: Any) -> bool:
    if isinstance(printed, list) and isinstance(used, list):
        return len(printed) == len(used) and all(map(_equal, printed, used))
    if isinstance(printed, int | float) and isinstance(used, int | float):
        return isclose(printed, used, rel_tol=1e-6)
    return printed == used


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- What the records say -----------------------------------------------------


def evidence(item: Item, found: Iterable[Record]) -> Evidence | None:
    """Return the records of an item, None if it needs none.

    `found`: records of all kinds. A record on synthetic frames counts for a paper's result on any
    data set of hands, those on synthetic bodies for ITOP alone; they are kept apart.
    """
    wanted, result = item.trained, Evidence()
    if wanted is None:
        return None
    covered = set()
    for record in found:
        if record["kind"] != wanted.kind:
            continue
        if wanted.kind != "training":
            result.synthetic.append(record)
        elif _fits(item.paper, wanted, record):
            if record["dataset"]["synthetic"]:
                result.synthetic.append(record)
            else:
                result.real.append(record)
                if record["profile"] == "paper":
                    covered.add((record["variant"], record.dataset_name))
    result.complete = wanted.kind == "training" and covered >= {
        (variant, name) for variant in wanted.variants for name in wanted.datasets
    }
    return result


def _fits(paper: str, wanted: Wanted, record: Record) -> bool:
    same = record["method"] == paper and record["variant"] in wanted.variants
    if not same or _value(record, wanted.field) is None:
        return False
    if not set(wanted.read_outs) <= set(record["files"].get("read_outs", ())):
        return False
    if wanted.view not in (None, record["protocol"].get("view")):
        return False
    if record.dataset_name in wanted.datasets:
        return True
    return record["dataset"]["synthetic"] and any(
        _hands(name) == _hands(record["dataset"]["name"]) for name in wanted.datasets
    )


def _value(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _hands(dataset: str) -> bool:
    """Return whether a data set shows hands, not bodies."""
    name = dataset_specs.get(dataset).skeleton
    return name is not None and bool(skeleton.get(name).fingers)


def counts(items: Sequence[Item], found: Sequence[Record]) -> dict[str, int]:
    """Return the number of items by state, and of those to train by the frames of their records.

    Keys: 'items', those of `STATES`, 'to train', `REAL`, `SYNTHETIC` and `NONE`, and 'as printed'
    for what was trained with profile 'paper' on all of the paper's data sets.
    """
    states = [item.state for item in items]
    proofs = [proof for item in items if (proof := evidence(item, found)) is not None]
    frames = [proof.frames for proof in proofs]
    return {
        "items": len(items),
        **{state: states.count(state) for state in STATES},
        "to train": len(proofs),
        **{kind: frames.count(kind) for kind in (REAL, SYNTHETIC, NONE)},
        "as printed": sum(proof.complete for proof in proofs),
    }


# --- Where it stands ----------------------------------------------------------


def source(name: str) -> tuple[str, int]:
    """Return the file in the project and the line where a dotted name is defined.

    Errors: `DataError` if the library has no such name.
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        base = paths.code().joinpath(*parts[:end])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                line = _line(ast.parse(path.read_text(encoding="utf-8")), parts[end:])
                if line:
                    return path.relative_to(paths.code()).as_posix(), line
    raise DataError(f"{name!r} is defined nowhere in the library")


def _line(tree: ast.AST, names: Sequence[str]) -> int:
    """Return the line of the definition, 0 if there is none."""
    if not names:
        return getattr(tree, "lineno", 1)
    for node in getattr(tree, "body", ()):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        known = {getattr(t, "id", getattr(t, "name", None)) for t in targets}
        if names[0] in known:
            return _line(node, names[1:])
    return 0


def section(page: str, cell: str) -> Section:
    """Return the section of a page in which a cell stands; `page` is below `book`.

    Errors: `DataError` if the page has no such cell.
    """
    title, anchor = "", ""
    for cell_id, kind, text in _cells(page):
        if kind == "markdown":
            plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
            headings = re.findall(r"^#{1,3} (.+)$", plain, re.MULTILINE)
            if headings:
                title = re.sub(r"[*`]", "", headings[0 if cell_id == cell else -1]).strip()
                anchor = _anchor(title)
        if cell_id == cell:
            return Section(title, anchor)
    raise DataError(f"book/{page}.ipynb has no cell {cell!r}")


@cache
def _cells(page: str) -> list[tuple[str, str, str]]:
    """Return (id, type, text) of the cells of a page."""
    content = read_json(paths.existing(paths.project() / "book" / f"{page}.ipynb"))
    return [(c["id"], c["cell_type"], "".join(c["source"])) for c in content["cells"]]


def _anchor(title: str) -> str:
    """Return the anchor that Sphinx gives a heading."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-").lstrip("0123456789-")


@cache
def repository() -> tuple[str, str]:
    """Return the address of the repository and its branch, as the site's configuration says."""
    text = paths.existing(paths.project() / "_config.yml").read_text(encoding="utf-8")
    found = re.search(r"^repository:\n  url: (\S+)\n  branch: (\S+)", text, re.MULTILINE)
    if found is None:
        raise DataError("_config.yml names no repository with url and branch")
    return found[1], found[2]


# --- What the pages show ------------------------------------------------------


def table(items: Iterable[Item], found: Sequence[Record], paper: str) -> str:
    """Return the items of a paper as a table in Markdown, each with links to code, cell, records.

    Its links lead from a page in a folder of the book, such as `book/results/reproduced`.
    """
    lines = ["| item | state | where | trained |", "|---|---|---|---|"]
    for item in items:
        if item.paper == paper:
            state = STATES[item.state] + (f": {item.difference}" if item.difference else "")
            where = "; ".join(filter(None, (_code_link(item), _cell_link(item)))) or "–"
            lines.append(
                f"| {item.place}: {item.item} | {state} | {where} | {_trained(item, found)} |"
            )
    return "\n".join(lines) + "\n"


def overview(items: Sequence[Item], found: Sequence[Record]) -> str:
    """Return the counts per paper as a table in Markdown."""
    lines = [
        "| | items | in full | differs | not | to train | on real frames | synthetic only | none |",
        "|---|" + "---:|" * 8,
    ]
    groups = {papers.title(name): [i for i in items if i.paper == name] for name in papers.names()}
    for title, group in {**groups, "**all**": items}.items():
        number = counts(group, found)
        keys = ("items", *STATES, "to train", REAL, SYNTHETIC, NONE)
        lines.append(f"| {title} | " + " | ".join(str(number[key]) for key in keys) + " |")
    return "\n".join(lines) + "\n"


def summary(items: Sequence[Item], found: Sequence[Record]) -> str:
    """Return two sentences with the counts of all items."""
    n = counts(items, found)
    return (
        f"The papers have {n['items']} items: equations, parts of networks, settings, rows of"
        f" tables, figures and claims. The book implements {n['full']} of them in full,"
        f" {n['differs']} with a stated difference, and {n['not']} not. Of the {n['to train']} that"
        f" need a training or a measurement, {n[REAL]} have a record on real frames,"
        f" {n[SYNTHETIC]} on **synthetic** frames only, and {n[NONE]} none."
    )


def _code_link(item: Item) -> str:
    if item.code is None:
        return ""
    path, line = source(item.code)
    url, branch = repository()
    short = ".".join(item.code.split(".")[2:])
    return f"[`{short}`]({url}/blob/{branch}/{path}#L{line})"


def _cell_link(item: Item) -> str:
    if item.page is None or item.cell is None:
        return ""
    title, anchor = section(item.page, item.cell)
    return f'<a href="../{item.page}.html#{anchor}">{title}</a>'


def _trained(item: Item, found: Sequence[Record]) -> str:
    proof = evidence(item, found)
    if proof is None:
        return "nothing to train"
    wanted = item.trained
    assert wanted is not None
    titles = [dataset_specs.get(name).title for name in wanted.datasets]
    texts = [f"{', '.join(titles)}: not yet"] if titles and not proof.real else []
    for name, group in (("real", proof.real), ("**synthetic**", proof.synthetic)):
        by_folder: dict[Path, int] = {}
        for record in group:
            folder = record.folder if record["kind"] != "training" else record.folder.parent
            by_folder[folder] = by_folder.get(folder, 0) + 1
        texts += [f"{name}: {_record_link(folder, n)}" for folder, n in by_folder.items()]
    return "; ".join(texts)


def _record_link(folder: Path, number: int) -> str:
    url, branch = repository()
    place = folder.relative_to(paths.project()).as_posix()
    text = f"`{folder.name}`" + (f", {number} runs" if number > 1 else "")
    return f"[{text}]({url}/tree/{branch}/{place})"
