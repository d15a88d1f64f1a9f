"""The pipeline: which chapters and runs are due, execution of notebooks, checks of pages."""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from handpose_lib import papers
from handpose_lib.io import storage
from handpose_lib.results import claims, records
from handpose_lib.teaching import contents
from pipeline.site import check, execute, site_sources

KEPT = "kept sets"  # the data folder of the book below, named relative to its checkout
# Both import modules that do not load torch, so that the kernels start quickly.
CHAPTERS = {
    "foundations/one": (
        'from handpose_lib import paths\nplace = paths.data() / "nyu"\npaths.__name__, str(place)'
    ),
    "foundations/two": "from handpose_lib.io import provenance\nprovenance.__name__",
}


def write_notebook(path, *sources):
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
    )
    notebook.cells = [
        nbformat.v4.new_code_cell(source, id=f"cell-{number}")
        for number, source in enumerate(sources)
    ]
    nbformat.write(notebook, path)
    return path


# --- incremental builds -------------------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory, project):
    """A book of two executed chapters, beside a copy of the library and the pipeline."""
    root = tmp_path_factory.mktemp("book")
    shutil.copy(project / "Snakefile", root)
    for folder in ("handpose_lib", "pipeline", "profiles"):
        shutil.copytree(
            project / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n- caption: Part\n  chapters:\n"
        + "".join(f"  - file: book/{name}\n" for name in CHAPTERS),
        encoding="utf-8",
    )
    (root / "book").mkdir()
    (root / "book" / "index.md").write_text("# A book\n", encoding="utf-8")
    for name, source in CHAPTERS.items():
        write_notebook(root / "book" / f"{name}.ipynb", source)
    first = execute_chapters(root)
    assert first.returncode == 0, first.stdout + first.stderr
    return root


def snakemake(folder, data, *arguments):
    """Run Snakemake in `folder` with the library there, and with the data folder `data`."""
    return subprocess.run(
        # The profile of the project would leave the rules out of the plan.
        [sys.executable, "-m", "snakemake", "--quiet", "host", "--cores=1", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "HANDPOSE_DATA": str(data)},
        capture_output=True,
        text=True,
    )


def execute_chapters(root, *arguments):
    targets = [f"_build/executed/{name}.ipynb" for name in CHAPTERS]
    return snakemake(root, f"'{KEPT}'", *arguments, *targets)


def due(root):
    """The chapters that would be executed now."""
    plan = execute_chapters(root, "--dry-run")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    return sorted(
        set(re.findall(r"output: _build/executed/(\S+)\.ipynb", plan.stdout + plan.stderr))
    )


def test_nothing_changed_nothing_due(book):
    assert due(book) == []


def test_touching_and_commenting_is_no_change(book):
    module = book / "handpose_lib" / "paths.py"
    module.write_text(module.read_text(encoding="utf-8") + "\n# A remark.\n", encoding="utf-8")
    for path in book.rglob("*.ipynb"):
        if "_build" not in path.parts:
            path.touch()
    assert due(book) == []


@pytest.mark.parametrize(
    "changed, expected",
    [
        ("handpose_lib/paths.py", ["foundations/one"]),
        ("handpose_lib/io/provenance.py", ["foundations/two"]),
        ("handpose_lib/errors.py", ["foundations/one", "foundations/two"]),  # through both
        ("handpose_lib/__init__.py", ["foundations/one", "foundations/two"]),
        ("handpose_lib/skeleton.py", []),
    ],
)
def test_a_changed_module_makes_its_own_chapters_due_and_no_others(book, changed, expected):
    module = book / changed
    before = module.read_text(encoding="utf-8")
    module.write_text(before + "\nCHANGED = True\n", encoding="utf-8")
    try:
        assert due(book) == expected
    finally:
        module.write_text(before, encoding="utf-8")


def test_a_changed_chapter_is_due(book):
    chapter = book / "book" / "foundations" / "one.ipynb"
    before = chapter.read_text(encoding="utf-8")
    chapter.write_text(before.replace("paths.__name__", "paths.__doc__"), encoding="utf-8")
    try:
        assert due(book) == ["foundations/one"]
    finally:
        chapter.write_text(before, encoding="utf-8")


def test_a_notebook_finds_the_data_folder_where_snakemake_does(book):
    """Both take a relative path from the checkout, though a notebook runs in its own folder."""
    executed = book / "_build" / "executed" / "foundations" / "one.ipynb"
    (cell,) = nbformat.read(executed, as_version=4).cells
    assert str(book / KEPT / "nyu") in cell.outputs[0].data["text/plain"]


def test_a_real_set_that_comes_or_changes_makes_the_chapters_due_that_look_for_it(book):
    labels = book / KEPT / "nyu" / "train" / "joint_data.mat"
    for folder in (labels.parent, book / KEPT / "icvl" / "Training"):
        folder.mkdir(parents=True)
    (book / KEPT / "icvl" / "Training" / "labels.txt").write_text("for nobody")
    labels.write_bytes(b"labels")
    assert due(book) == ["foundations/one"]
    assert execute_chapters(book).returncode == 0
    # One of 80,000 frames, which are too many to look at.
    (labels.parent / "depth_1_0000001.png").write_bytes(b"a frame")
    assert due(book) == []
    labels.write_bytes(b"other labels")
    assert due(book) == ["foundations/one"]


# --- training runs ------------------------------------------------------------


def due_runs(project, kept, *config):
    """The runs of JGR-P2O that would be trained now, with `kept` for the folder of records."""
    options = ["--dry-run", "--nolock", "runs", "--config", f"records={kept}", *config]
    plan = snakemake(project, kept / "no data", *options)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    return sorted(
        set(re.findall(r"output: _build/trained/jgr_p2o/(\S+)\.[0-9a-f]{12}\b", plan.stdout))
    )


@pytest.fixture
def recorded(project, tmp_path):
    """The committed records of JGR-P2O under 'ablation', with the digest of the present code."""
    kept = tmp_path / "records"
    shutil.copytree(
        project / "book" / "records" / "jgr_p2o" / "ablation", kept / "jgr_p2o" / "ablation"
    )
    for record in records.load_all(kept):
        code = record["code"]
        code["digest"] = records.code_digest(code["modules"], code.get("without", ()))
        storage.write_json(record.folder / "record.json", record)
    return kept


def test_what_is_recorded_is_not_run_again(project, recorded):
    every = {
        f"ablation/{variant}-synthetic-s{seed}"
        for variant in papers.variants("jgr_p2o")
        if variant != "small"
        for seed in claims.SEEDS
    }
    there = {record.key.removeprefix("jgr_p2o/") for record in records.load_all(recorded)}
    assert there and set(due_runs(project, recorded, "profile=ablation")) == every - there


def test_a_run_of_other_code_and_one_without_a_record_are_due(project, recorded):
    before = due_runs(project, recorded, "profile=ablation")
    first, second = (
        recorded / "jgr_p2o" / "ablation" / f"paper-synthetic-s{seed}" / "record.json"
        for seed in (0, 1)
    )
    stale = storage.read_json(first)
    stale["code"]["digest"] = "0" * 64
    storage.write_json(first, stale)
    second.unlink()
    assert set(due_runs(project, recorded, "profile=ablation")) - set(before) == {
        "ablation/paper-synthetic-s0",
        "ablation/paper-synthetic-s1",
    }


def test_each_subject_of_msra_is_held_out_once(project, recorded):
    of_msra = [
        run
        for run in due_runs(project, recorded, "profile=laptop", "datasets=synthetic msra")
        if "/paper-msra-" in run
    ]
    assert of_msra == sorted(
        ["laptop/paper-msra-s0", *(f"laptop/paper-msra-s0-p{subject}" for subject in range(8))]
    )


# --- execution of notebooks ---------------------------------------------------


def run_execute(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["execute.py", *map(str, arguments)])
    return execute.main()


def test_a_failing_cell_fails_and_leaves_no_result(tmp_path, monkeypatch, capsys):
    notebook = write_notebook(tmp_path / "bad.ipynb", "x = 1", "x / 0", "x = 2")
    output = tmp_path / "out" / "bad.ipynb"
    assert run_execute(monkeypatch, notebook, output, "--threads", 1) == 1
    assert not output.exists()
    assert output.with_suffix(".unfinished.ipynb").exists()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_notebook_runs_in_its_own_folder_with_its_parameters(tmp_path, monkeypatch):
    source = (
        "import os, pathlib\nprint(pathlib.Path.cwd().name, seed + 1, rate, name,"
        " os.environ['OMP_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'],"
        " os.environ.get('MALLOC_MMAP_MAX_'))"
    )
    notebook = write_notebook(tmp_path / "somewhere" / "good.ipynb", source)
    output = tmp_path / "out.ipynb"
    parameters = ["-p", "seed", 3, "-p", "rate", 0.5, "-p", "name", "small"]
    options = ["--threads", 1, "--training", *parameters]
    assert run_execute(monkeypatch, notebook, output, *options) == 0
    printed = nbformat.read(output, as_version=4).cells[-1].outputs[0].text
    assert printed.split() == ["somewhere", "4", "0.5", "small", "1", "PASSIVE", "0"]


WARNINGS = """import logging, os, subprocess, warnings
warnings.warn("from Python")
logging.getLogger("some.library").warning("from a logger")
os.write(2, b"from C")
subprocess.run(["sh", "-c", "echo from a program >&2"])
print("a result")"""
TURKISH = {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"PYTHONWARNINGS": "default"},
        {"PYTHONWARNINGS": "error"},
        {"LC_ALL": "C"},
        TURKISH,
    ],
    ids=str,
)
def test_what_libraries_warn_about_is_told_but_not_published(
    tmp_path, monkeypatch, capfd, variables
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    profile = tmp_path / "profile_default" / "startup"
    profile.mkdir(parents=True)
    (profile / "00.py").write_text("print('the startup file of the user')")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = write_notebook(tmp_path / "loud.ipynb", WARNINGS, "print('Ağrı, ıI, 3,5 → 0.5')")
    output = tmp_path / "out.ipynb"
    assert run_execute(monkeypatch, notebook, output, "--threads", 1) == 0
    assert list(check.notebook_problems(output)) == []
    outputs = [cell.outputs for cell in nbformat.read(output, as_version=4).cells]
    assert [[o.text for o in each] for each in outputs] == [
        ["a result\n"],
        ["Ağrı, ıI, 3,5 → 0.5\n"],
    ]
    told = capfd.readouterr().err
    for source in ("cell 'cell-0'", "from Python", "from a logger", "from C", "from a program"):
        assert source in told


def test_a_training_on_a_login_node_of_a_cluster_says_nothing_of_srun(
    tmp_path, monkeypatch, project
):
    """Lightning warns where a program of this name is on the PATH."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    notebook = write_notebook(
        tmp_path / "train.ipynb",
        "import shutil, torch\nfrom handpose_lib.training import loop\nshutil.which('srun')",
        "fabric = loop._fabric(torch.device('cpu'), '32-true')\nfabric.world_size",
    )
    output = tmp_path / "out.ipynb"
    assert run_execute(monkeypatch, notebook, output, "--threads", 1) == 0
    assert list(check.notebook_problems(output)) == []
    found, made = (cell.outputs for cell in nbformat.read(output, as_version=4).cells)
    assert [o.data["text/plain"] for o in found] == [repr(str(srun))]
    assert [o.data["text/plain"] for o in made] == ["1"]


# --- checks of pages ----------------------------------------------------------

GOOD = """<html><body><img src="plot.png" alt="a falling curve">
<span class="math">\\(a_1^2\\)</span>
<a href="#here">here</a><p id="here"></p><a href="other.html?q=1#there">there</a>
<a href="https://example.org">elsewhere</a></body></html>"""


def report_on(tmp_path, monkeypatch, capsys, page, outputs=()):
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "html" / "other.html").write_text('<p id="there">Other words.</p>')
    (tmp_path / "html" / "plot.png").write_bytes(b"")
    path = write_notebook(tmp_path / "executed" / "page.ipynb", "1 + 1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].execution_count = 1
    notebook.cells[0].outputs = list(outputs)
    nbformat.write(notebook, path)
    places = [str(tmp_path / name) for name in ("html", "executed", "report.json")]
    monkeypatch.setattr(sys, "argv", ["check.py", *places[:2], "--report", places[2]])
    return check.main(), capsys.readouterr().err


def test_a_good_page_passes(tmp_path, monkeypatch, capsys):
    assert report_on(tmp_path, monkeypatch, capsys, GOOD) == (0, "")
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "notebooks": 1,
        "pages": 2,
        "formulas": 1,
        "pictures": 1,
        "problems": [],
    }


@pytest.mark.parametrize(
    "planted, words",
    [
        ('<script src="https://cdn.example.org/x.js"></script>', "loaded from the network"),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', "loaded from the network"),
        ("<script>load('https://unpkg.com/thebe')</script>", "names a CDN"),
        ('<img src="plot.png">', "without alt text"),
        ('<img src="plot.png" alt="../_images/abc.png">', "without alt text"),
        ('<a href="gone.html">x</a>', "a dead link: gone.html"),
        ('<a href="#gone">x</a>', "an anchor that is not there: #gone"),
        ('<a href="other.html#gone">x</a>', "an anchor that is not there: other.html#gone"),
        ('<div class="cell_output">Traceback (most recent call last)</div>', "Traceback"),
        ('<span class="math">\\(\\frac{1}{\\)</span>', "Missing close brace"),
        ('<span class="math">\\(\\nonsense\\)</span>', "MathJax cannot typeset"),
    ],
)
def test_a_planted_problem_is_found(tmp_path, monkeypatch, capsys, planted, words):
    status, said = report_on(
        tmp_path, monkeypatch, capsys, GOOD.replace("</body>", planted + "</body>")
    )
    assert status == 1 and words in said and len(said.splitlines()) == 1
    assert not (tmp_path / "report.json").exists()


def test_a_published_warning_is_found(tmp_path, monkeypatch, capsys):
    warning = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: beware")
    status, said = report_on(tmp_path, monkeypatch, capsys, GOOD, [warning])
    assert status == 1 and "written to stderr: 'UserWarning: beware'" in said


def test_a_stored_error_is_found(tmp_path, monkeypatch, capsys):
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
    status, said = report_on(tmp_path, monkeypatch, capsys, GOOD, [error])
    assert status == 1 and "left an error: ValueError: no" in said


# --- sources of the site ------------------------------------------------------


def test_a_page_says_where_in_the_book_it_stands(tmp_path):
    positions = site_sources.positions()
    assert list(positions) == list(contents.pages())
    assert positions["book/index"] == ""
    assert positions["book/foundations/depth_cameras"].startswith("Foundations, 1 of ")
    notebook = write_notebook(tmp_path / "page.ipynb", "1 + 1")
    content = nbformat.read(notebook, as_version=4)
    content.cells.insert(0, nbformat.v4.new_markdown_cell("# Title\n\nText.", id="title"))
    nbformat.write(content, notebook)
    site_sources.write_position(notebook, "Part, 2 of 3")
    after = nbformat.read(notebook, as_version=4)
    assert after.cells[0].source == "# Title\n\n*Part, 2 of 3*\n\nText."
    assert after.cells[1:] == content.cells[1:]


def test_figures_and_tables_get_captions(tmp_path):
    picture = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0K"})
    table = nbformat.v4.new_output(
        "execute_result", {"text/markdown": "A\n\n| a |\n|---|\n| 1 |\nB"}
    )
    alt = {"mystnb": {"image": {"alt": "A hand from above."}}}
    cells = [
        nbformat.v4.new_code_cell("", outputs=[picture], metadata=alt),
        nbformat.v4.new_code_cell("", outputs=[picture], metadata={**alt, "caption": "A hand."}),
        nbformat.v4.new_code_cell("", outputs=[table], metadata={"caption": "Ones."}),
        nbformat.v4.new_code_cell("", outputs=[table]),
    ]
    path = tmp_path / "page.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    site_sources.write_captions(path)
    first, second, third, fourth = nbformat.read(path, as_version=4).cells
    assert first.metadata.mystnb.figure.caption == "A hand from above."
    assert second.metadata.mystnb == {**alt["mystnb"], "figure": {"caption": "A hand."}}
    written = re.sub(r"\s+", " ", third.outputs[0].data["text/markdown"])
    assert written == "A ````{table} Ones. | a | |---| | 1 | ```` B"
    assert fourth.outputs == [table]
