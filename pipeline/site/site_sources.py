"""Collects the files that Jupyter Book reads: pages, executed notebooks, styles and scripts.

    python pipeline/site/site_sources.py _build/executed _build/source

Executed notebooks are never written into `book/`, so a build leaves the working tree as it was. The
counts on the front page are computed from the ledger and the records.
"""

import argparse
import json
import re
import shutil
import sys
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path

from handpose_lib import paths
from handpose_lib.results import ledger, records, tables
from handpose_lib.teaching import contents

# The places of the front page that give way to the counts of the ledger and to measured times.
COUNTS = "<!-- counts of what is reproduced -->"
MINUTES = "<!-- minutes of the laptop trainings -->"

# A table in Markdown: its head, the line below it, and its rows.
TABLE = re.compile(r"^\|.*\|[ \t]*\n\|[-:| ]+\|[ \t]*\n(?:\|.*(?:\n|\Z))+", re.MULTILINE)

# The pages load these files from the site instead of from a CDN:
# (package, file in the package, place below the site's _static).
SCRIPTS = [
    ("plotly", "plotly.min.js", "plotly.min.js"),
    ("sphinx-mathjax-offline", "tex-svg-full.js", "mathjax/tex-svg-full.js"),
]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("executed", type=Path, help="folder of the executed notebooks")
    parser.add_argument("source", type=Path, help="folder to write, replaced if it exists")
    parser.add_argument("--live", type=Path, help="folder of the live page's scripts")
    options = parser.parse_args(arguments)
    collect(options.executed, options.source)
    if options.live:
        collect_live(options.live, options.source)
    return 0


def collect(executed: Path, source: Path) -> None:
    """Write the folder `source`, from which Jupyter Book builds the site."""
    project = paths.project()
    shutil.rmtree(source, ignore_errors=True)
    for name in ("_config.yml", "_toc.yml", "book/references.bib"):
        copy(project / name, source / name)
    for page, position in positions().items():
        notebook = executed / f"{page.removeprefix('book/')}.ipynb"
        if notebook.exists():
            copy(notebook, source / f"{page}.ipynb")
            write_position(source / f"{page}.ipynb", position)
            write_captions(source / f"{page}.ipynb")
        else:
            copy(project / f"{page}.md", source / f"{page}.md")
            write_counts(source / f"{page}.md")
    # The pages refer to pictures in book/_static; Jupyter Book looks for styles in _static.
    for target in ("book/_static", "_static"):
        shutil.copytree(project / "book" / "_static", source / target)
    for package, name, target in SCRIPTS:
        copy(installed(package, name), source / "vendor" / "_static" / target)


def collect_live(live: Path, source: Path) -> None:
    """Copy the scripts of the live page, and of its networks, to where its page loads them."""
    target = source / "vendor" / "_static" / "live"
    # Snakemake leaves a hidden file in a folder that it makes.
    shutil.copytree(live / "page", target, ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(live / "networks", target / "networks")


def positions() -> dict[str, str]:
    """Return the position of each page in the book, such as 'Foundations, 5 of 8'.

    The position of the first page, which belongs to no part, is empty.
    """
    pages = contents.pages()
    sizes, counted = Counter(pages.values()), Counter()
    found = {}
    for page, part in pages.items():
        counted[part] += 1
        found[page] = f"{part}, {counted[part]} of {sizes[part]}" if part else ""
    return found


def write_position(notebook: Path, position: str) -> None:
    """Write the position of a page in the book under its title."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    title, *rest = "".join(content["cells"][0]["source"]).split("\n")
    content["cells"][0]["source"] = "\n".join([title, "", f"*{position}*", *rest])
    notebook.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_captions(notebook: Path) -> None:
    """Give the figures and tables of an executed notebook captions, which Sphinx numbers.

    A table has the `caption` of its cell's metadata. A figure has it as well, or else its
    alternative text: both say what is to be seen.
    """
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        options, outputs = cell["metadata"].get("mystnb", {}), cell.get("outputs", [])
        given = cell["metadata"].get("caption", "")
        caption = given or options.get("image", {}).get("alt", "")
        pictures = [output for output in outputs if "image/png" in output.get("data", {})]
        if caption and len(pictures) == 1:
            cell["metadata"]["mystnb"] = {"figure": {"caption": caption}, **options}
        elif given:
            for data in (output.get("data", {}) for output in outputs):
                if "text/markdown" in data:
                    data["text/markdown"] = with_caption("".join(data["text/markdown"]), given)
    notebook.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def with_caption(text: str, caption: str) -> str:
    """Return a text in Markdown with a caption for its first table, if it has one."""
    return TABLE.sub(
        lambda found: f"\n````{{table}} {caption}\n\n{found[0].rstrip()}\n````\n\n", text, count=1
    )


def write_counts(page: Path) -> None:
    """Write what the records say in place of `COUNTS` and `MINUTES` of a page, if it has them."""
    text = page.read_text(encoding="utf-8")
    if COUNTS in text or MINUTES in text:
        found = [run for kind in records.KINDS for run in records.load_all(kind=kind)]
        text = text.replace(COUNTS, ledger.summary(ledger.load(), found))
        text = text.replace(MINUTES, minutes(found))
        page.write_text(text, encoding="utf-8")


def minutes(found: list[records.Record]) -> str:
    """Return a sentence with the wall times of the recorded trainings of profile 'laptop'."""
    runs = [r for r in found if r["kind"] == "training" and r["profile"] == "laptop"]
    if not runs:
        return "No training with profile `laptop` is recorded."
    return f"Those recorded with profile `laptop` took {tables.minutes(runs).text} minutes."


def installed(package: str, name: str) -> Path:
    """Return the path of the file called `name` in an installed package."""
    files = distribution(package).files or []
    return Path(str(next(file.locate() for file in files if file.name == name)))


def copy(source: Path, target: Path) -> None:
    """Copy a file and create the folder that it goes to."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    sys.exit(main())
