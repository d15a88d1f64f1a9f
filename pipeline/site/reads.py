"""Which committed records a notebook reads, so that a new record makes only its readers due.

    files(Path("book/papers/densereg.ipynb"), Path("book/records"))      sorted paths

The notebook is parsed, not executed. What its calls name as constants restricts the records:

    records.find(method="densereg", profile=any_profile)    records with that method
    pretrained.load("densereg")                             those of the paper that keep weights
    records.load(paths.records() / "stress")                the record of that kind

Whatever cannot be told from the code counts as read: a field given by a variable, a function that
is not listed here, `records.load_all`. No library is loaded.
"""

import ast
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from handpose_lib.io import provenance

KINDS = ("hand_detector", "centre_refiner", "real_hands", "stress", "transfer")
"""Folders of records that are named by their kind."""
READERS = ("records", "pretrained", "ledger")
"""Modules of `handpose_lib.results` that open records; others are given them."""
HARMLESS = {
    "records": {"is_stale", "joints", "predictions", "labels", "ids", "load_weights", "Record"},
    "pretrained": {"Pretrained"},
    "ledger": set(),
}
"""What does not open records but those that it is given."""
# Modules of the library that open records for a notebook that names them, and which.
LIBRARY = {
    "hand_to_pose": "weights",
    "located": ("hand_detector", "centre_refiner"),
    "network": ("real_hands",),
    "worlds": ("real_hands",),
    "predictions": ("hand_detector", "real_hands"),
}

Facts = dict[str, Any]
Test = Callable[[Facts], bool]


def files(notebook: Path, root: Path) -> list[Path]:
    """Return the files of all records below `root` that a notebook reads, sorted."""
    tests = wanted(notebook)
    found: set[Path] = set()
    for path in sorted(root.rglob("record.json")):
        facts = _facts(path, path.stat().st_mtime_ns)
        if any(test(facts) for test in tests):
            found |= {file for file in path.parent.rglob("*") if file.is_file()}
            if labels := facts.get("labels"):
                found |= set((root / "labels").glob(f"{labels}.*"))
    return sorted(file for file in found if "checkpoint" not in file.parts)


def wanted(notebook: Path) -> list[Test]:
    """Return tests of a record's facts: the notebook reads the records that pass one of them."""
    tree = provenance.parse(notebook)
    names, tests = _imported(tree)
    own = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    kinds = {kind for kind in KINDS if kind in own}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    library = {path.stem for path in provenance.closure(notebook)}
    for module, what in LIBRARY.items():
        if what == "weights":
            tests += [_keeps_weights] * (module in used)
        elif module in library:
            kinds |= set(what) - {"weights"}
            tests += [_keeps_weights] * ("weights" in what)
    tests += [_equal(kind=kind) for kind in sorted(kinds)]

    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = names.get(node.value.id)
            if module and node.attr not in HARMLESS[module]:
                tests += _read_by(module, node.attr, calls.get(id(node)))
    return tests


def _read_by(module: str, function: str, call: ast.Call | None) -> list[Test]:
    """Return which records a use of a function of a module of `READERS` opens."""
    if module == "records" and function == "load":
        return []  # by a path: of a kind, whose name is in the notebook, or of a run of its own
    if module == "records" and function == "find" and call:
        given = {word.arg: _constant(word.value) for word in call.keywords}
        fields = {name: value for name, value in given.items() if name and value is not None}
        return [_equal(kind="training", **fields)]
    if module == "pretrained" and function == "load" and call and call.args:
        name = _constant(call.args[0])
        return [lambda facts: _keeps_weights(facts) and name in (None, facts["method"])]
    if module == "pretrained" and function in ("load", "names"):
        return [_keeps_weights]
    return [_every]


def _imported(tree: ast.AST) -> tuple[dict[str, str], list[Test]]:
    """Return local name → module of `READERS`, and `_every` if a notebook imports from inside."""
    package, names, tests = "handpose_lib.results", {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            names |= {a.asname or a.name: a.name for a in node.names if a.name in READERS}
        inside = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            inside = [alias.name for alias in node.names]
        if any(name in [f"{package}.{reader}" for reader in READERS] for name in inside):
            tests.append(_every)
    return names, tests


def _constant(node: ast.AST) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _equal(**fields: Any) -> Test:
    return lambda facts: all(facts.get(name) == value for name, value in fields.items())


def _every(facts: Facts) -> bool:
    return True


def _keeps_weights(facts: Facts) -> bool:
    return facts["kind"] == "training" and bool(facts["weights"])


@cache
def _facts(path: Path, state: int) -> Facts:
    """Return what `records.find` can search by, and what else decides who reads a record."""
    record = json.loads(path.read_text(encoding="utf-8"))
    facts = {"kind": record["kind"], "weights": None}
    if record["kind"] == "training":
        facts |= {name: record[name] for name in ("method", "variant", "profile", "seed")}
        facts |= {"dataset": record["dataset"]["name"], "synthetic": record["dataset"]["synthetic"]}
        facts |= {"labels": record["dataset"]["labels"], "weights": record["files"]["weights"]}
    return facts
