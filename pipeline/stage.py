"""Lays out what Jupyter Book reads: the pages, the executed notebooks, the scripts of MathJax and plotly.

    python pipeline/stage.py _build/executed _build/source

Executed notebooks are never put into `book/`, so a build leaves the working tree as it was.
"""

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
    for page in toc():
        notebook = executed / f"{page.removeprefix('book/')}.ipynb"
        if notebook.exists():
            place(notebook, source / f"{page}.ipynb")
        else:
            place(Path(f"{page}.md"), source / f"{page}.md")
    shutil.copytree(BOOK / "_static", source / BOOK / "_static")  # pictures, as the pages name them
    shutil.copytree(BOOK / "_static", source / "_static")  # styles, where Jupyter Book looks for them
    for package, name, target in SCRIPTS:
        place(installed(package, name), source / "vendor" / "_static" / target)


def toc() -> list[str]:
    """Every page of the book, in reading order, without its ending."""
    contents = yaml.safe_load(Path("_toc.yml").read_text(encoding="utf-8"))
    return [contents["root"]] + [page["file"] for part in contents["parts"] for page in part["chapters"]]


def installed(package: str, name: str) -> Path:
    """A file that an installed package brings along."""
    return Path(next(file.locate() for file in distribution(package).files if file.name == name))


def place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
