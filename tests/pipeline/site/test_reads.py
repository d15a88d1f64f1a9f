"""Which records a notebook reads: what its calls name, and everything that cannot be told."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from handpose_lib import papers, paths
from handpose_lib.results import records
from pipeline.site import reads

RESULTS = "from handpose_lib.results import pretrained, records\n"


def notebook(folder, source):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(book, folder / "some.ipynb")
    return folder / "some.ipynb"


@pytest.fixture
def root(tmp_path):
    """Records as far as `reads` looks at them: two variants of each paper, one keeps weights."""

    def write(folder, **facts):
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(facts), encoding="utf-8")

    root = tmp_path / "records"
    for paper in papers.names():
        for profile, variant in (("laptop", "paper"), ("ablation", "row")):
            write(
                root / paper / profile / f"{variant}-synthetic-s0",
                kind="training",
                method=paper,
                variant=variant,
                profile=profile,
                seed=0,
                dataset={"name": "msra", "synthetic": True, "labels": "key"},
                files={"weights": "float16" if profile == "laptop" else None},
            )
    for kind in reads.KINDS:
        write(root / kind, kind=kind)
    (root / "labels").mkdir()
    (root / "labels" / "key.joints").touch()
    return root


def read(folder, root, source):
    """The folders of the records that a notebook of one cell reads."""
    files = reads.files(notebook(folder, source), root)
    found = {file.parent.relative_to(root).as_posix() for file in files}
    assert ("labels" in found) == any("/" in name for name in found)
    return found - {"labels"}


def trainings(root, profile="*", paper="*"):
    return {p.relative_to(root).as_posix() for p in root.glob(f"{paper}/{profile}/*-s0")}


def test_what_a_call_names_restricts_the_records(tmp_path, root):
    def found(call):
        return read(tmp_path, root, RESULTS + call)

    one = trainings(root, paper="densereg")
    assert found('records.find(method="densereg", synthetic=True)') == one
    assert found('records.find(method="densereg", variant="row")') == {
        "densereg/ablation/row-synthetic-s0"
    }
    assert found('records.find(dataset="nyu")') == set()
    assert found('pretrained.load("densereg", "paper")') == {"densereg/laptop/paper-synthetic-s0"}
    assert found('records.load(paths.records() / "stress", "stress")') == {"stress"}
    assert found("records.load(saved.folder)") == set()
    assert found("records.joints(run)") == set()


def test_what_cannot_be_told_counts_as_read(tmp_path, root):
    def found(source):
        return read(tmp_path, root, source)

    everything = trainings(root) | set(reads.KINDS)
    assert found(RESULTS + "records.find(method=key, profile='laptop')") == trainings(
        root, "laptop"
    )
    assert found(RESULTS + "records.find(**wanted)") == trainings(root)
    assert found(RESULTS + "pretrained.load(name)") == trainings(root, "laptop")
    assert found(RESULTS + "pretrained.names()") == trainings(root, "laptop")
    assert found(RESULTS + "list(map(pretrained.load, wanted))") == trainings(root, "laptop")
    for source in (
        "records.load_all(kind=kind)",
        "search = records.find",
        "records.something_new()",
        "from handpose_lib.results import records as kept\nkept.load_all()",
        "from handpose_lib.results.records import find",
        "import handpose_lib.results.records",
        "from handpose_lib.results import ledger\nledger.table()",
    ):
        assert found(RESULTS + source) == everything, source


def test_a_notebook_without_results_reads_none(tmp_path, root):
    assert read(tmp_path, root, "from handpose_lib import camera\ncamera.__name__") == set()


def test_what_the_library_reads_counts(tmp_path, root):
    widget = "from handpose_lib.teaching.widgets import hand_to_pose\nhand_to_pose.show()"
    assert read(tmp_path, root, widget) == trainings(root, "laptop")
    run = "from handpose_lib.runs import Run\nRun('densereg')"
    assert {"centre_refiner", "hand_detector"} <= read(tmp_path, root, run)
    own = "from handpose_lib.own_images import answers\nanswers.trust()"
    kinds = {"hand_detector", "real_hands"}
    assert read(tmp_path, root, own) == kinds


def test_all_kinds_of_records_are_known():
    assert set(reads.KINDS) | {"training"} == set(records.KINDS)


@pytest.mark.parametrize("paper", papers.names())
def test_a_new_ablation_of_one_paper_makes_no_other_paper_s_chapter_due(project, paper):
    """In the committed book: a variant besides the paper's own network is read by the chapter of
    its paper and by pages that compare all papers.
    """
    rows = [
        record
        for record in records.find(method=paper, profile="ablation", dataset="msra")
        if record["variant"] != "paper"
    ]
    assert rows
    for page in sorted((project / "book" / "papers").glob("*.ipynb")):
        files = set(reads.files(page, paths.records()))
        for row in rows:
            assert (row.folder / "record.json" in files) == (page.stem == paper), page.stem
    for page in ("foundations/voxels", "results/side_by_side", "results/rescoring"):
        files = set(reads.files(project / "book" / f"{page}.ipynb", paths.records()))
        assert not any(row.folder / "record.json" in files for row in rows)
    files = set(reads.files(project / "book" / "results" / "claims.ipynb", paths.records()))
    assert all(row.folder / "record.json" in files for row in rows)


def test_no_heavy_library_is_loaded(project):
    """Snakemake asks for every chapter each time."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.site import reads\n"
        "reads.files(Path(sys.argv[1]), Path(sys.argv[2]))\nassert 'torch' not in sys.modules"
    )
    page = Path("book/papers/densereg.ipynb")
    command = [sys.executable, "-c", code, str(page), str(paths.records())]
    assert subprocess.run(command, cwd=project).returncode == 0
