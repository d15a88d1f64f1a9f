"""The walls of the house: imports go down only, no circle anywhere, and the front door is light."""

import ast
import graphlib
import subprocess
import sys

import pytest

from handpose_lib.io import provenance

EVERYTHING = {path.stem for path in provenance.ROOT.iterdir()}
FLOORS = [
    {"errors", "paths", "camera", "skeleton", "frames", "dataset_specs", "openmp", "parameters"},
    {"io"},
    {"synth", "datasets"},
    {"prepare", "nets"},
    {"evaluation"},
    {"papers"},
    {"training"},
    {"results", "published"},
    {"hand_detection"},
    {"real_hands"},
    {"runs", "own_images"},
    {"teaching"},
    {"__main__"},
]
# On these floors a room may call its neighbour; on the others rooms know nothing of each other.
OPEN_FLOORS = {0}
# Walls that are not a matter of height: what a room must not know, though it lies below.
FORBIDDEN = {
    "nets": EVERYTHING - {"errors"},  # networks know no hands
    "prepare": {"datasets", "synth"},  # frames come from outside
    "papers": {"datasets", "synth"},  # a method is given crops
    "training": {"papers", "nets"},  # it is given a method
}
PROJECT = provenance.ROOT.parent
PACKAGES = ("handpose_lib", "data_scripts", "pipeline")
MODULES = sorted(
    path for path in provenance.ROOT.rglob("*.py") if path != provenance.ROOT / "__init__.py"
)


def name(path):
    return path.relative_to(provenance.ROOT).as_posix()


def room(path):
    return path.relative_to(provenance.ROOT).parts[0].removesuffix(".py")


def floor(path):
    return next(number for number, rooms in enumerate(FLOORS) if room(path) in rooms)


def test_every_room_has_its_floor():
    assert sorted({room(path) for path in MODULES} - set().union(*FLOORS)) == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_down_only(path):
    for other in provenance.imported(path) - {provenance.ROOT / "__init__.py"}:
        if room(other) == room(path):
            continue
        allowed = floor(other) < floor(path) or (
            floor(other) == floor(path) and floor(path) in OPEN_FLOORS
        )
        assert allowed, f"{name(path)} imports {name(other)}, which lies on the same floor or above"
        assert room(other) not in FORBIDDEN.get(room(path), ()), (
            f"{name(path)} must not know {name(other)}"
        )


def test_no_circle():
    """Between modules. An `__init__` is left out: it names its members, and they its path."""
    modules = [path for path in MODULES if path.name != "__init__.py"]
    graph = {
        path: {other for other in top_level_imports(path) if other in modules} for path in modules
    }
    graphlib.TopologicalSorter(graph).prepare()


def top_level_imports(path):
    return provenance.imported(path) - {path}


OURS = [
    *MODULES,
    *(
        path
        for name in ("data_scripts", "pipeline")
        for path in sorted(PROJECT.glob(f"{name}/**/*.py"))
    ),
]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_private_names_stay_in_their_module(path):
    tree, modules = provenance.parse(path), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGES):
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert not private, f"{path}:{node.lineno} imports {private} of {node.module}"
            modules |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            assert not (private and node.value.id in modules), (
                f"{path}:{node.lineno} uses {node.value.id}.{node.attr}"
            )


def test_the_front_door_is_light():
    """Importing the package loads none of its rooms and no torch."""
    script = (
        "import sys, handpose_lib; print(sorted(m for m in sys.modules if"
        " m.startswith(('handpose_lib.', 'torch'))))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=provenance.ROOT.parent,
    )
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_library_prints_nothing_and_names_no_device(path):
    command = path.name == "__main__.py"  # it is no library: printing is its work
    for node in ast.walk(provenance.parse(path)):
        if isinstance(node, ast.Call):
            called = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            assert command or not (called == "print" and isinstance(node.func, ast.Name)), (
                f"{name(path)}:{node.lineno} prints"
            )
            assert called != "cuda" or not isinstance(node.func, ast.Attribute), (
                f"{name(path)}:{node.lineno} calls .cuda()"
            )
            # Processes of one training pass on what one of them has pickled itself, as Python's own
            # `multiprocessing` does. No file and nothing from elsewhere is unpickled.
            own = name(path) == "training/group.py"
            assert own or not is_pickle(node), (
                f"{name(path)}:{node.lineno} reads or writes a pickle"
            )


def is_pickle(call):
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and (function.value.id, function.attr)
        in {
            ("torch", "save"),
            ("torch", "load"),
            ("pickle", "dump"),
            ("pickle", "load"),
            ("pickle", "dumps"),
            ("pickle", "loads"),
        }
    )


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(provenance.parse(path)), f"{name(path)} has no docstring"
