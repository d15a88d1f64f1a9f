"""The closure follows imports, and the digest depends on code alone."""

import json

import pytest

from handpose_lib import papers
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.io import provenance

FILES = {
    "__init__.py": '"""The library."""\n',
    "ground.py": "import math\n",
    "middle.py": "from . import ground\n",
    "top.py": "def late():\n    from .middle import anything\n",
    "lonely.py": "",
    "rooms/__init__.py": (
        "from importlib import import_module\n\ndef create(name):\n    return import_module(name)\n"
    ),
    "rooms/red.py": "from ..middle import something\n",
    "rooms/blue.py": "from .. import ground\n",
    "wing/__init__.py": "from .east import door\n",
    "wing/east.py": "",
    "wing/west.py": "from . import east\n",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    root = tmp_path / provenance.PACKAGE
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(provenance, "ROOT", root)
    return root


def names(library, roots):
    return {path.relative_to(library).as_posix() for path in provenance.closure(roots)}


def script(tmp_path, text, name="chapter.py"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "statement, expected",
    [
        ("import math", set()),
        ("from handpose_lib import ground", {"ground.py"}),
        ("from handpose_lib.ground import thing", {"ground.py"}),
        ("import handpose_lib.middle as m", {"middle.py", "ground.py"}),
        ("def f():\n    from handpose_lib.top import late", {"top.py", "middle.py", "ground.py"}),
        (
            "from handpose_lib import rooms",
            {"rooms/__init__.py", "rooms/red.py", "rooms/blue.py", "middle.py", "ground.py"},
        ),
        ("from handpose_lib import wing", {"wing/__init__.py", "wing/east.py"}),
        (
            "from handpose_lib.wing import west",
            {"wing/__init__.py", "wing/east.py", "wing/west.py"},
        ),
    ],
)
def test_closure_follows_every_form_of_import(library, tmp_path, statement, expected):
    always = {"__init__.py"} if expected else set()
    assert names(library, script(tmp_path, statement)) == expected | always


def test_closure_of_a_module_contains_the_module(library):
    assert names(library, "handpose_lib.middle") == {"__init__.py", "middle.py", "ground.py"}


def test_closure_of_several_roots_is_the_union(library):
    both = names(library, ["handpose_lib.lonely", "handpose_lib.ground"])
    assert both == names(library, "handpose_lib.lonely") | names(library, "handpose_lib.ground")


def test_packages_left_out_take_along_what_only_they_import(library, tmp_path):
    (library / "wing" / "east.py").write_text("from .. import lonely, ground\n", encoding="utf-8")
    root = script(tmp_path, "from handpose_lib import wing, ground\n")
    whole = {path.relative_to(library).as_posix() for path in provenance.closure(root)}
    rest = provenance.closure(root, [f"{provenance.PACKAGE}.wing"])
    assert {path.relative_to(library).as_posix() for path in rest} == whole - {
        "wing/__init__.py",
        "wing/east.py",
        "lonely.py",
    }


def test_closure_survives_a_circle(library):
    (library / "ground.py").write_text("from . import middle\n", encoding="utf-8")
    assert names(library, "handpose_lib.ground") == {"__init__.py", "middle.py", "ground.py"}


def test_closure_reads_notebooks_and_passes_over_magics(library, tmp_path):
    cells = [
        {"cell_type": "markdown", "source": "from handpose_lib import lonely"},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "!ls\n", "from handpose_lib import ground"],
        },
    ]
    notebook = script(tmp_path, json.dumps({"cells": cells}), "chapter.ipynb")
    assert names(library, notebook) == {"__init__.py", "ground.py"}


@pytest.mark.parametrize(
    "change", ["# why\nx = f(1)\n", "x = f(\n    1)\n", '"""Words."""\nx = f(1)\n']
)
def test_digest_is_blind_to_comments_layout_and_docstrings(tmp_path, change):
    before = provenance.digest(script(tmp_path, "x = f(1)\n"))
    assert provenance.digest(script(tmp_path, change)) == before


@pytest.mark.parametrize(
    "change", ["x = f(2)\n", "x = f(1.0)\n", "x = f('1')\n", "y = f(1)\n", "x = f(1)\nx = f(1)\n"]
)
def test_digest_sees_code(tmp_path, change):
    before = provenance.digest(script(tmp_path, "x = f(1)\n"))
    assert provenance.digest(script(tmp_path, change)) != before


def test_digest_does_not_depend_on_order(library):
    files = provenance.closure("handpose_lib.rooms")
    assert provenance.digest(files) == provenance.digest(reversed(files))


def test_digest_does_not_depend_on_the_folder_of_the_project(library, tmp_path, monkeypatch):
    here = provenance.digest(provenance.closure("handpose_lib.rooms"))
    moved = tmp_path / "elsewhere" / provenance.PACKAGE
    moved.parent.mkdir()
    library.rename(moved)
    monkeypatch.setattr(provenance, "ROOT", moved)
    assert provenance.digest(provenance.closure("handpose_lib.rooms")) == here


def test_the_real_library_counts_every_method_for_the_lazy_papers_package():
    files = names(provenance.ROOT, "handpose_lib.papers")
    assert {f"papers/{name}.py" for name in (*papers.names(), "method")} | {"errors.py"} <= files
    assert not {name for name in files if name.startswith("training/")}


@pytest.mark.parametrize(
    "root, error, words",
    [
        ("handpose_lib.attic", HandPoseError, "unknown module 'handpose_lib.attic'"),
        ("nowhere.py", DataError, "cannot read"),
    ],
)
def test_bad_roots_are_named(root, error, words):
    with pytest.raises(error, match=words):
        provenance.closure(root)


def test_broken_files_are_named(tmp_path):
    with pytest.raises(DataError, match="broken.py is not a Python file"):
        provenance.digest(script(tmp_path, "def (", "broken.py"))
