"""The book without a checkout: installed by a chapter's first cell, executed in an empty folder.

The environment is empty but for the packages on which the book depends; they are those of the
environment that runs the tests, because 1.5 GB need not be copied. A repository of the present
files stands in for the public one, so that no network is needed.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from handpose_lib import paths
from pipeline import chapters

PROJECT = Path(__file__).resolve().parents[2]
CONTENT = ("book", "handpose_lib", "data_scripts", "pipeline")
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
NOTEBOOKS = sorted(
    path for path in (PROJECT / "book").glob("*/*.ipynb") if path.parent.name != "records"
)
HIDDEN = re.compile(r"/(checkpoint|\.[^/]+)/")  # caches of tools and trainings, not committed
FIRST = "foundations/depth_cameras"  # loads little: its cell installs the book
OTHERS = ("results/reproduced", "results/millimetre")  # records, tables, sources; generated files
TRAINING = "training/train_jgr_p2o"


def cell(path, name):
    return next(cell for cell in nbformat.read(path, as_version=4).cells if cell.id == name)


# --- The cell -----------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_begins_with_the_same_cell(path):
    """Right after the title, and before any other code."""
    cells = nbformat.read(path, as_version=4).cells
    assert [c.id for c in cells[:2]] == ["title", "install"]
    expected = cell(NOTEBOOKS[0], "install")
    assert cells[1].source == expected.source and cells[1].metadata == expected.metadata
    assert "remove-cell" in cells[1].metadata.tags  # on the page it would only be in the way


def test_the_cell_does_nothing_where_the_library_is(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it installs"))
    space = {}
    exec(cell(NOTEBOOKS[0], "install").source, space)
    assert paths.SOURCE in cell(NOTEBOOKS[0], "install").source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_that_opens_the_embedded_set_makes_it_first(path):
    """In a checkout the build has made it; a reader who has installed the book has not."""
    code = "\n".join(
        c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"
    )
    opened = re.search(r"open_splits\(\s*\"synthetic\"|\brun\.open_data\(|msra-smoke", code)
    if opened:
        made = code.find("make_synthetic.embedded(")
        assert 0 <= made < opened.start(), "call make_synthetic.embedded before"


# --- The book, installed ------------------------------------------------------


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """An empty environment, an empty folder and home, and a repository at the public address."""
    root = tmp_path_factory.mktemp("outside")
    repository = root / "repository"
    for name in CONTENT:
        ignored = shutil.ignore_patterns("__pycache__", "checkpoint", ".ipynb_checkpoints")
        shutil.copytree(PROJECT / name, repository / name, ignore=ignored)
    for name in (*FILES, "_toc.yml", "_config.yml"):
        shutil.copy(PROJECT / name, repository)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "gc.auto=0"]
    for arguments in (
        ["init", "-q"],
        ["add", "--all"],
        ["commit", "-q", "-m", "The present files"],
    ):
        subprocess.run([*git, *arguments], cwd=repository, check=True)

    venv.create(root / "environment", symlinks=os.name == "posix")
    scheme = {"base": str(root / "environment"), "platbase": str(root / "environment")}
    packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    # A path in a .pth file makes packages importable, but not what their own .pth files name, such
    # as this checkout.
    ours = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (packages / "dependencies.pth").write_text("\n".join(ours), encoding="utf-8")

    (root / "empty").mkdir()
    (root / "home").mkdir()
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("HANDPOSE_", "PYTHON", "XDG_"))
    }
    variables = {
        "HOME": str(root / "home"),
        "USERPROFILE": str(root / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": paths.SOURCE.removeprefix("git+"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's spelling of: no isolation
    }
    python = Path(sysconfig.get_path("scripts", "venv", scheme)) / Path(sys.executable).name
    return SimpleNamespace(root=root, packages=packages, python=python, env=kept | variables)


def start(outside, *arguments):
    """Start Python of the empty environment in the empty folder."""
    return subprocess.Popen(
        [str(outside.python), *map(str, arguments)],
        cwd=outside.root / "empty",
        env=outside.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(*processes):
    """Wait for processes; return what they wrote, and fail with that if one of them failed."""
    said = [process.communicate()[0] for process in processes]
    for process, text in zip(processes, said):
        assert process.returncode == 0, text[-4000:]
    return said


def execute(outside, notebook, *parameters):
    """Start the execution of a notebook, as papermill and JupyterLab would."""
    out = outside.root / "executed" / notebook.name
    out.parent.mkdir(exist_ok=True)
    papermill = ["-m", "papermill", "--kernel", "python3", "--no-progress-bar"]
    return start(outside, *papermill, notebook, out, "--cwd", notebook.parent, *parameters)


def contents(folder):
    return {
        path.relative_to(folder): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def installed(outside):
    """The environment after one chapter, opened on its own, was executed in it."""
    tried = start(outside, "-c", "import handpose_lib")
    assert "No module named 'handpose_lib'" in tried.communicate()[0]
    alone = shutil.copy(PROJECT / "book" / f"{FIRST}.ipynb", outside.root / "empty")
    finished(execute(outside, Path(alone)))
    outside.before = contents(outside.packages)
    return outside


def test_the_first_cell_installs_the_whole_book_and_the_chapter_runs(installed):
    (said,) = finished(start(installed, "-c", "import handpose_lib; print(handpose_lib.__file__)"))
    assert Path(said.strip()).is_relative_to(installed.packages)
    content = installed.packages / "handpose_lib" / "content"
    there = {path.relative_to(content).as_posix() for path in content.rglob("*") if path.is_file()}
    tracked = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "book").rglob("*")
        if path.is_file() and not HIDDEN.search(path.relative_to(PROJECT).as_posix())
    }
    assert there == tracked - {"book/ruff.toml"} | {"_toc.yml", "_config.yml"}


def test_chapters_and_a_training_run_from_an_empty_folder_and_write_only_to_the_user(installed):
    own = installed.root / "empty" / "hand_pose_book"
    tiny = installed.root / "empty" / "tiny"
    made = ["-m", "data_scripts.make_synthetic", "--frames-per-gesture", "1", "--out", tiny]
    finished(start(installed, "-m", "pipeline.chapters", own), start(installed, *made))
    assert {path.stem for path in own.glob("*/*.ipynb")} == {path.stem for path in NOTEBOOKS}

    options = ["-p", "root", tiny, "-p", "epochs", "1"]
    training = execute(installed, own / f"{TRAINING}.ipynb", *options)
    for name in OTHERS:  # beside the training
        finished(execute(installed, own / f"{name}.ipynb"))
    finished(training)
    (record,) = (installed.root / "home").rglob("record.json")
    assert "runs" in record.parts
    assert contents(installed.packages) == installed.before


def test_chapters_of_ones_own_stay_when_they_are_copied_again(tmp_path):
    copied, kept = chapters.copy(tmp_path)
    assert kept == 0 and copied > len(NOTEBOOKS)
    changed, gone = tmp_path / f"{FIRST}.ipynb", tmp_path / f"{TRAINING}.ipynb"
    changed.write_text("my own work", encoding="utf-8")
    gone.unlink()
    assert chapters.copy(tmp_path) == (1, copied - 1)
    assert changed.read_text(encoding="utf-8") == "my own work" and gone.is_file()
