"""Lays out what Jupyter Book reads: the pages, the executed notebooks, the scripts of MathJax and
plotly.

    python pipeline/site/site_sources.py _build/executed _build/source

Executed notebooks are never put into `book/`, so a build leaves the working tree as it was.
"""

import json
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

import yaml

BOOK = Path("book")
# What the pages load instead of asking a CDN: package, file, place below the site's _static.
SCRIPTS = [
    ("plotly", "plotly.min.js", "plotly.min.js"),
    ("sphinx-mathjax-offline", "tex-svg-full.js", "mathjax/tex-svg-full.js"),
]


def main(executed: Path, source: Path) -> None:
    shutil.rmtree(source, ignore_errors=True)
    for name in ("_config.yml", "_toc.yml", "book/references.bib"):
        place(Path(name), source / name)
    places = places_in_book()
    for page in toc():
        notebook = executed / f"{page.removeprefix('book/')}.ipynb"
        if notebook.exists():
            place(notebook, source / f"{page}.ipynb")
            write_place(source / f"{page}.ipynb", places[page])
        else:
            place(Path(f"{page}.md"), source / f"{page}.md")
    shutil.copytree(BOOK / "_static", source / BOOK / "_static")  # pictures, as the pages name them
    shutil.copytree(
        BOOK / "_static", source / "_static"
    )  # styles, where Jupyter Book looks for them
    for package, name, target in SCRIPTS:
        place(installed(package, name), source / "vendor" / "_static" / target)


def toc() -> list[str]:
    """Every page of the book, in reading order, without its ending."""
    return [contents()["root"], *places_in_book()]


def places_in_book() -> dict[str, str]:
    """Where each page stands: 'Foundations, 5 of 8'."""
    return {
        page["file"]: f"{part['caption']}, {number} of {len(part['chapters'])}"
        for part in contents()["parts"]
        for number, page in enumerate(part["chapters"], 1)
    }


def contents() -> dict:
    return yaml.safe_load(Path("_toc.yml").read_text(encoding="utf-8"))


def write_place(notebook: Path, where: str) -> None:
    """Put a page's place in the book under its title."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    title, *rest = "".join(content["cells"][0]["source"]).split("\n")
    content["cells"][0]["source"] = "\n".join([title, "", f"*{where}*", *rest])
    notebook.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def installed(package: str, name: str) -> Path:
    """A file that an installed package brings along."""
    return Path(next(file.locate() for file in distribution(package).files if file.name == name))


def place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
