"""The front pages list every paper, data set and part, and the pages name only files that exist."""

import pkgutil
import re

import pytest

from handpose_lib import dataset_specs, papers, paths
from handpose_lib.results import ledger, records
from handpose_lib.teaching import contents
from pipeline.site import site_sources

PROJECT = paths.project()
README = (PROJECT / "README.md").read_text(encoding="utf-8")
INDEX = (PROJECT / "book" / "index.md").read_text(encoding="utf-8")
PAGES = {page.removeprefix("book/"): part for page, part in contents.pages().items() if part}
TEXTS = sorted(
    path
    for pattern in ("*.md", "*.yml", "*file", ".github/**/*.*", "book/**/*.*")
    for path in PROJECT.glob(pattern)
    if path.is_file()
    and path.suffix in {".md", ".yml", ".ipynb", ".css", ""}
    and path.name != "CHANGELOG.md"  # it names what was moved
    and not {"records", ".ipynb_checkpoints", ".ruff_cache"} & set(path.relative_to(PROJECT).parts)
)
FILE = re.compile(r"(?<![\w./-])(?:handpose_lib|data_scripts|pipeline|tests|book)/[\w./-]*\.\w+")
MODULE = re.compile(r"(?<![\w./-])handpose_lib(?:\.\w+)+")


def named(path):
    return path.relative_to(PROJECT).as_posix()


@pytest.mark.parametrize("name", papers.names())
def test_a_paper_has_its_pages_and_stands_on_the_front_pages(name):
    assert {f"papers/{name}", f"training/train_{name}"} <= set(PAGES)
    for text, link in ((README, f"book/papers/{name}.ipynb"), (INDEX, f"papers/{name}")):
        entry = re.search(rf"\[([^]]+)\]\({link}\)", text.replace("\n", " "))
        assert entry, f"no link to {link}"
        assert papers.title(name) in entry[1]


def test_papers_and_training_notebooks_are_those_of_the_library():
    assert {page.removeprefix("papers/") for page in PAGES if page.startswith("papers/")} == set(
        papers.names()
    )
    assert {
        page.removeprefix("training/train_") for page in PAGES if page.startswith("training/train_")
    } == set(papers.names())


def test_the_front_pages_name_every_part():
    for part in set(PAGES.values()):
        assert f"| {part} |" in README
        assert f"**{part}**" in INDEX


def test_the_front_page_links_every_page_but_the_training_notebooks():
    linked = re.findall(r"\]\(([\w/]+)\)", INDEX)
    # The overview of the API reference links its pages.
    by_other_pages = re.compile(r"training/train_|api/(?!overview)")
    missing = {page for page in PAGES if not by_other_pages.match(page)} - set(linked)
    assert not missing


def test_the_front_page_gets_the_counts_and_the_minutes_of_the_records(tmp_path):
    assert INDEX.count(site_sources.COUNTS) == INDEX.count(site_sources.MINUTES) == 1
    page = tmp_path / "index.md"
    page.write_text(INDEX, encoding="utf-8")
    site_sources.write_counts(page)
    found = [run for kind in records.KINDS for run in records.load_all(kind=kind)]
    summary = ledger.summary(ledger.load(), found)
    text = INDEX.replace(site_sources.COUNTS, summary)
    assert page.read_text(encoding="utf-8") == text.replace(
        site_sources.MINUTES, site_sources.minutes(found)
    )
    seconds = [run["training"]["seconds"] for run in records.find(profile="laptop")]
    ends = [f"{end / 60:.1f}" for end in (min(seconds), max(seconds))]
    assert re.findall(r"\d+\.\d", site_sources.minutes(found)) == ends
    assert "No training" in site_sources.minutes([])


@pytest.mark.parametrize("spec", dataset_specs.SPECS.values(), ids=lambda spec: spec.name)
def test_the_readme_names_every_data_set_and_its_script(spec):
    scripts = [
        stem
        for stem in (spec.name, f"fetch_{spec.name}")
        if (PROJECT / "data_scripts" / f"{stem}.py").exists()
    ]
    assert len(scripts) == 1
    assert f"`{scripts[0]}` ({spec.title})" in README.replace("\n", " ")


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_files_and_modules_that_a_page_names_exist(path):
    text = path.read_text(encoding="utf-8")
    missing = sorted({found for found in FILE.findall(text) if not (PROJECT / found).exists()})
    assert not missing
    for module in set(MODULE.findall(text)):
        pkgutil.resolve_name(module)
