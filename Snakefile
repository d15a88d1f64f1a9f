"""The pipeline: data -> training notebooks -> records -> chapters -> site.

    snakemake --cores all site                            the book, in _build/html
    snakemake --cores all runs --config profile=laptop    the training runs that the tables read, each
                                                          a rule: for a cluster. `make runs` trains
                                                          them in their order on one machine

A chapter is executed again when its text, the code that it imports (`provenance.closure`), its data
or the records that it reads changed, and no other is. What counts is content: digests stand in
`params`, so that touching a file, or checking out another branch and coming back, triggers nothing.
Only one build runs in a folder, and a killed one continues: `pipeline/site/build_lock.py`.
The same file runs on a cluster: `snakemake runs --workflow-profile profiles/slurm`, or
`profiles/kubernetes`.
"""

import functools
import hashlib
import os
import sys
from pathlib import Path

from snakemake.settings.types import ExecMode

from handpose_lib import paths
from handpose_lib.io import provenance
from handpose_lib.teaching import contents
from pipeline import live
from pipeline.site import browser, build_lock, reads


workdir: workflow.basedir


BOOK = Path("book")
BUILD, DATA = (Path(os.path.relpath(place)) for place in (paths.build(), paths.data()))
EXECUTED = BUILD / "executed"
LIVE = BUILD / "live"

PAGES = [f"{page}.md" for page in contents.pages() if Path(f"{page}.md").exists()]
NOTEBOOKS = [page.removeprefix("book/") for page in contents.pages() if f"{page}.md" not in PAGES]
TRAINING = [name for name in NOTEBOOKS if Path(name).name.startswith("train_")]
METHODS = [Path(name).name.removeprefix("train_") for name in TRAINING]
CHAPTERS = [name for name in NOTEBOOKS if name not in TRAINING]

SYNTHESIS = [
    "data_scripts/make_synthetic.py",
    "data_scripts/formats/__init__.py",
    "data_scripts/formats/msra.py",
]
DATASET = DATA / "synthetic" / "msra-{size}"
SMOKE_RUN = BUILD / "runs" / "{method}" / "smoke" / "paper-synthetic-s0"

PROFILES = config.get("profile", "").split()  # none named: those of the queue
DEVICE = config.get("device", "auto")
DATASETS = config.get("datasets", "synthetic").split()
RECORDS = Path(config.get("records", BOOK / "records"))
PYTHON = f'"{sys.executable}"'
BROWSER = browser.find()

# Each job takes one thread, and as many run side by side as there are cores: two threads that share
# a small network take longer than one. Waiting threads sleep, so that others can compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


onstart:
    if workflow.exec_mode == ExecMode.DEFAULT:  # not in the processes of its jobs
        build_lock.hold(BUILD)


# ---------------------------------------------------------------------- what a result depends on


def library(*roots):
    """The files of the library that notebooks, scripts or modules use."""
    return provenance.closure(roots)


def uses(notebook, *modules):
    """Does a notebook use one of these modules or packages of the library?"""
    folders = [provenance.ROOT / module for module in modules]
    return any(path.with_suffix("") == folder or folder in path.parents for path in library(notebook) for folder in folders)


def content(*paths):
    """A digest of files, and of every file below folders. What is not there counts as empty."""
    state = hashlib.sha256()
    for path in map(Path, paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                state.update(file.as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return state.hexdigest()


@functools.cache
def label_files():
    """Data set -> glob of its label files, which tell the release. Its frames are too many to list."""
    from handpose_lib import dataset_specs  # loads torch: only where a notebook needs it

    return {name: dataset_specs.get(name).labels for name in dataset_specs.LABELLED}


def real_data(notebook):
    """Names and sizes of the real data that a notebook, or the library under it, names."""
    texts = [path.read_text(encoding="utf-8") for path in [Path(notebook), *library(notebook)]]
    folders = [DATA / name for name in ("real_frames", "published") if any(f'"{name}' in text for text in texts)]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    # The library names every set: what counts is whether the notebook itself looks for one.
    own = texts[0].replace('\\"', '"') if "paths.data()" in texts[0] else ""
    sets = [DATA / name for name in label_files() if f'"{name}"' in own and (DATA / name).is_dir()] if own else []
    files += [file for place in sets for file in place.glob(label_files()[place.name])]
    return sorted([*map(str, sets), *(f"{file} {file.stat().st_size}" for file in files)])


def ingredients(notebook):
    """Everything that decides what a notebook shows, apart from what the pipeline makes for it."""
    recorded = [content(*reads.files(Path(notebook), BOOK / "records"), BOOK / "tables")] if uses(notebook, "results") else []
    asked = [content("_toc.yml", *(BOOK / f"{name}.ipynb" for name in NOTEBOOKS))] if uses(notebook, "teaching/contents") else []
    # The ledger names lines of the library and sections of all pages.
    listed = [content("_config.yml", *sorted(Path("handpose_lib").rglob("*.py")), *BOOK.rglob("*.ipynb"))] if uses(notebook, "results/ledger") else []
    return [content(notebook), provenance.digest(library(notebook)), *recorded, *asked, *listed, *real_data(notebook)]


def made_before(wildcards):
    """What the pipeline makes for a chapter: the embedded data, and the smoke runs."""
    notebook = BOOK / f"{wildcards.chapter}.ipynb"
    data = dataset("smoke") if uses(notebook, "datasets") else []
    runs = expand(SMOKE_RUN, method=METHODS) if "paths.build()" in notebook.read_text(encoding="utf-8") else []
    return data + runs


def dataset(size):
    return expand(DATASET, size=size)


# Snakemake compares a parameter with that of the last run only if it is a function of the wildcards
# alone: the path of the notebook is made from them, not taken from the rule's input.
def ingredients_of_chapter(wildcards):
    return ingredients(BOOK / f"{wildcards.chapter}.ipynb")


def ingredients_of_smoke_run(wildcards):
    return ingredients(BOOK / "training" / f"train_{wildcards.method}.ipynb")


def from_notebook(path, input):
    """A path as the notebook sees it from its own folder: the page then names no machine."""
    return Path(os.path.relpath(path, Path(input.notebook).parent)).as_posix()


# ---------------------------------------------------------------------- the book


wildcard_constraints:
    chapter="|".join(CHAPTERS),
    method="|".join(METHODS),
    profile="[^/]+",
    seed="[0-9]+",
    held="(-p[0-9])?",
    code="[0-9a-f]+",
    dataset="[a-z0-9]+",
    variant="[a-z0-9_]+",
    size="smoke|laptop",
    network="|".join(live.MODELS),


rule site:
    """The book, checked, and browsed where there is a browser."""
    input:
        BUILD / "checked.json",
        BUILD / "browsed.json" if BROWSER else [],
    params:
        missing=f"The pages are checked, but were not opened in a browser: {browser.MISSING}",
    shell:
        ":" if BROWSER else "echo {params.missing:q}"


rule data:
    """Embedded data, in the MSRA set's own file format."""
    output:
        directory(DATASET),
    params:
        code=lambda wildcards: provenance.digest([*SYNTHESIS, *library(*SYNTHESIS)]),
    priority: 2  # the trainings wait for it
    shell:
        "{PYTHON} data_scripts/make_synthetic.py --size {wildcards.size}"


rule smoke:
    """A training notebook at profile smoke: one minute, and the page of the site."""
    input:
        dataset("smoke"),
        "pipeline/site/execute.py",
        notebook=ancient(BOOK / "training" / "train_{method}.ipynb"),
    output:
        run=directory(SMOKE_RUN),
        notebook=EXECUTED / "training" / "train_{method}.ipynb",
    params:
        ingredients=ingredients_of_smoke_run,
        out=lambda wildcards, input, output: from_notebook(output.run, input),
    priority: 1  # they take longest
    shell:
        "{PYTHON} pipeline/site/execute.py {input.notebook} {output.notebook:q} --training --threads {threads}"
        " -p profile smoke -p out {params.out:q}"


rule chapter:
    input:
        made_before,
        "pipeline/site/execute.py",
        notebook=ancient(BOOK / "{chapter}.ipynb"),
    output:
        EXECUTED / "{chapter}.ipynb",
    params:
        ingredients=ingredients_of_chapter,
    threads: 1
    shell:
        "{PYTHON} pipeline/site/execute.py {input.notebook} {output:q} --threads {threads}"


def kept_networks(*names):
    """A digest of the weights that the live page shows, and of their records."""
    weights = [path for name in names for path in sorted((BOOK / "records" / name).rglob("weights.safetensors"))]
    return content(*weights, *(path.with_name("record.json") for path in weights))


rule live_network:
    """A network of the live page, or its hand detector, as ONNX in a script."""
    output:
        LIVE / "networks" / "{network}.js",
    params:
        code=lambda wildcards: [content(*live.EXPORT), provenance.digest(library(*live.EXPORT))],
        weights=lambda wildcards: kept_networks(wildcards.network),
    shell:
        "{PYTHON} -m pipeline.live.build network {wildcards.network} {output:q}"


rule live_page:
    """The live page's own code, the hand, and the runtime of its networks."""
    output:
        directory(LIVE / "page"),
    params:
        code=lambda wildcards: [content(*live.SOURCES), provenance.digest(library(*live.EXPORT))],
        weights=lambda wildcards: kept_networks(*live.NETWORKS),
    shell:
        "{PYTHON} -m pipeline.live.build page {output:q}"


rule pages:
    """The site, from the executed chapters; a warning is an error."""
    input:
        expand(EXECUTED / "{name}.ipynb", name=NOTEBOOKS),
        expand(LIVE / "networks" / "{network}.js", network=live.MODELS),
        LIVE / "page",
        PAGES,
        "_config.yml",
        "_toc.yml",
        "pipeline/site/site_sources.py",
        "pipeline/site/docstrings.py",
        sorted(Path("handpose_lib").rglob("*.py")),  # their docstrings are the API reference
        BOOK / "references.bib",
        sorted(path for path in (BOOK / "_static").rglob("*") if path.is_file()),
    output:
        BUILD / "html" / "index.html",
    shell:
        "{PYTHON} pipeline/site/site_sources.py {EXECUTED:q} {BUILD:q}/source --live {LIVE:q} && "
        '{PYTHON} -c "from jupyter_book.cli.main import main; main()" build {BUILD:q}/source'
        # Jupyter Book writes into a folder `_build` of its own choice: only its pages are kept.
        " --path-output {BUILD:q}/site -W -n --keep-going --all --quiet && "
        '{PYTHON} -c "import os, shutil, sys; shutil.rmtree(sys.argv[2], True); os.replace(*sys.argv[1:])"'
        " {BUILD:q}/site/_build/html {BUILD:q}/html"


rule check:
    """Find what Sphinx does not: error outputs, bad LaTeX, dead links, missing alt texts, CDNs."""
    input:
        BUILD / "html" / "index.html",
        expand("pipeline/site/{name}", name=["check.py", "formulas.cjs", "site_sources.py"]),
    output:
        BUILD / "checked.json",
    shell:
        "{PYTHON} pipeline/site/check.py {BUILD:q}/html {EXECUTED:q} --report {output:q}"


rule browse:
    """What only a browser sees: formulas, sliders, 3D figures, contrast, phones, the search."""
    input:
        BUILD / "checked.json",
        BUILD / "html" / "index.html",
        expand("pipeline/site/{name}", name=["browse.py", "browser.py", "axe.py", "page.js"]),
    output:
        BUILD / "browsed.json",
    shell:
        "{PYTHON} pipeline/site/browse.py {BUILD:q}/html --report {output:q}"


# ---------------------------------------------------------------------- on paper


rule pdf:
    """The book as one page and, where there is a browser to print it, as a PDF."""
    input:
        BUILD / "html" / "index.html",
        expand("pipeline/site/{name}", name=["pdf.py", "browser.py"]),
    output:
        directory(BUILD / "pdf"),
    params:
        browser=lambda wildcards: BROWSER,  # once there is one, the PDF is due
    shell:
        "{PYTHON} pipeline/site/pdf.py {BUILD:q}/html {output:q}"


rule slides:
    """A deck for the page of each paper, opened in the browser where there is one."""
    input:
        expand(EXECUTED / "papers" / "{method}.ipynb", method=METHODS),
        "pipeline/site/slides.py",
        expand("pipeline/site/slides_template/{name}", name=["conf.json", "index.html.j2"]),
    output:
        directory(BUILD / "slides"),
    shell:
        "{PYTHON} pipeline/site/slides.py {EXECUTED:q} {output:q}"


# ---------------------------------------------------------------------- the grid of training runs


# What a rule does in seconds is not worth a place in a cluster's queue.
localrules:
    site,
    pages,
    check,
    browse,
    pdf,
    training_data,
    runs,
    record,


def grid(wildcards):
    """All runs that are due, as the queue plans them. On a cluster, their order does not matter."""
    from handpose_lib.datasets import splits
    from handpose_lib.errors import one_of
    from pipeline.experiments import train_queue

    for name in DATASETS:
        one_of("data set", name, splits.NAMES)
    return [
        BUILD / "recorded" / f"{job.key}.{train_queue.code(job.paper)[:12]}"
        for job in train_queue.planned(RECORDS, profiles=PROFILES or train_queue.STANDARD, datasets=DATASETS)
    ]


KEY = "{method}/{profile}/{variant}-{dataset}-s{seed}{held}"


@functools.cache
def rates():
    from pipeline.experiments import train_queue

    return train_queue.rates_of(RECORDS, DEVICE)


def asked(name):
    """What a run asks of a cluster, as a function of its wildcards."""

    def of_run(wildcards):
        from pipeline.experiments import train_queue

        job = train_queue.Job.named(KEY.format(**wildcards))
        return train_queue.needs(job, rates(), DEVICE)[name]

    return of_run


rule training_data:
    """What has to be there before the queue starts: the embedded data."""
    input:
        dataset("smoke" if PROFILES == ["smoke"] else "laptop") if "synthetic" in DATASETS else [],


rule runs:
    input:
        grid,


rule run:
    """One training run: its output is the folder of its record, predictions and weights.

    The folder of the training itself is no output, because Snakemake would empty it before a run:
    an interrupted run continues from its checkpoint, where the computers share their disk.
    """
    input:
        lambda wildcards: dataset("smoke" if wildcards.profile == "smoke" else "laptop") if wildcards.dataset == "synthetic" else [],
    output:
        temp(directory(BUILD / "trained" / f"{KEY}.{{code}}")),
    params:
        key=KEY,
    threads: asked("threads")
    resources:
        gpu=asked("gpu"),
        mem_mb=asked("mem_mb"),
        runtime=asked("runtime"),
    shell:
        "{PYTHON} -m pipeline.experiments.train_queue"
        " --one {params.key} --device {DEVICE} --records {output:q}"


rule record:
    """The record of a run, moved to the records of the book; whether it is due, the records tell."""
    input:
        rules.run.output,
    output:
        temp(touch(BUILD / "recorded" / f"{KEY}.{{code}}")),
    params:
        key=KEY,
    shell:
        "{PYTHON} -m pipeline.experiments.train_queue"
        " --one {params.key} --trained {input:q} --records {RECORDS:q}"
