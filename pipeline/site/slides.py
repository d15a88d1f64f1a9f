"""Makes slides from the pages of the papers: one deck each, without network.

    python pipeline/site/slides.py _build/executed _build/slides

A deck has the text, formulas, figures, tables and self-tests of its page. Headings begin a slide,
and what does not fit below goes onto the next one. Code stays where a cell shows nothing else;
solutions and cells that set the page up are left out. The explanations of self-tests are speaker
notes (press S). Each deck is opened in a browser, if there is one, and must load and typeset
everything from its folder.
"""

import argparse
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from playwright.sync_api import Browser, Request
from traitlets.config import Config

from pipeline.grading import assignment
from pipeline.site import browser, site_sources

REVEAL = "reveal.js@4.6.1"
DIGEST = "1CW0auaXNPmwmvQ7TwpszwVxMi2Xr5cTS3J3EBC/HHgbPF32Dn7aiu/LKWDOGjMbaDwKQiGmfqcoGQ74HUHCMw=="
"""The package's SHA-512 in base 64. A new version needs a new digest: `npm view` prints it."""
LINES = 17
"""Lines of text that a slide holds."""
LEFT_OUT = {"install", "imports", "setup", "key-points-code"}
NO_INPUT = "only-output"
ROLE = re.compile(r"\{(?:term|ref|numref|cite(?::\w+)?)\}`([^`<]*?)\s*(?:<[^>]*>)?`")
DROPDOWN = re.compile(r":::\{dropdown\} (.+)\n((?:(?!:::).*\n)+):::")
BOX = re.compile(
    r"^([`:]{3,4})\{(exercise|admonition|note)\} ?(.*)\n((?::\w+:.*\n)*)", re.MULTILINE
)
LOADED_WITHIN_MS = 120_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("executed", type=Path, help="folder of the executed notebooks")
    parser.add_argument("out", type=Path, help="folder to write, replaced if it exists")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    assets(options.out / "assets")
    decks = []
    for page in sorted((options.executed / "papers").glob("*.ipynb")):
        decks.append(options.out / f"{page.stem}.html")
        decks[-1].write_text(html(deck(nbformat.read(page, as_version=4))), encoding="utf-8")
    if not decks:
        sys.exit(f"There are no executed pages in {options.executed / 'papers'}: make book")
    problems = []
    if program := browser.find():
        with browser.opened(program) as chromium:
            for path in decks:
                count, found = checked(chromium, path)
                problems += [f"{path.name}: {problem}" for problem in found]
                print(f"{path}: {count} slides")
    else:
        print(f"The slides were not opened: {browser.MISSING}")
    print("\n".join(problems), file=sys.stderr)
    return int(bool(problems))


def assets(target: Path) -> None:
    """Put reveal.js, from the npm registry, and MathJax into the folder `target`."""
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        archive = browser.packed(Path(scratch) / "archive", REVEAL)
        with tarfile.open(browser.verified(archive, DIGEST)) as package:
            package.extractall(scratch, filter="data")
        for part in ("dist", "plugin"):
            shutil.copytree(Path(scratch) / "package" / part, target / "reveal" / part)
    script = site_sources.installed("sphinx-mathjax-offline", "tex-svg-full.js")
    site_sources.copy(script, target / "mathjax" / "tex-svg-full.js")


def html(notebook: nbformat.NotebookNode) -> str:
    """Return a deck as HTML."""
    config = Config()
    config.SlidesExporter.extra_template_basedirs = [str(Path(__file__).parent)]
    config.SlidesExporter.template_name = "slides_template"
    config.SlidesExporter.reveal_theme = "white"  # the default one asks a network for its fonts
    config.SlidesExporter.reveal_url_prefix = "assets/reveal"
    config.SlidesExporter.exclude_input_prompt = True
    config.SlidesExporter.exclude_output_prompt = True
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {NO_INPUT}
    return SlidesExporter(config=config).from_notebook_node(notebook)[0]


def deck(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a page as a notebook whose cells say on which slide they are."""
    made, used = [], LINES
    for cell, height in shown(assignment.outside_solutions(notebook.cells)):
        heading = cell.cell_type == "markdown" and re.match(r"##? ", cell.source)
        kind = "slide" if heading else "subslide" if used + height > LINES else "-"
        used = height if kind != "-" else used + height
        cell.metadata["slideshow"] = {"slide_type": kind}
        made.append(cell)
        if notes := cell.metadata.pop("notes", ""):
            said = nbformat.v4.new_markdown_cell(notes)
            said.metadata["slideshow"] = {"slide_type": "notes"}
            made.append(said)
    return nbformat.v4.new_notebook(cells=made)


def shown(cells: Iterator[nbformat.NotebookNode]) -> Iterator[tuple[nbformat.NotebookNode, float]]:
    """Yield the cells that a deck shows, with their height in lines."""
    for cell in cells:
        if cell.cell_type == "markdown":
            text, notes = plain(cell.source)
            for n, part in enumerate(split(text)):
                made = nbformat.v4.new_markdown_cell(part)
                made.metadata["notes"] = notes if n == 0 else ""
                yield made, sum(len(line) / 95 + 0.7 for line in part.split("\n") if line.strip())
        elif cell.id not in LEFT_OUT and "remove-output" not in cell.metadata.get("tags", []):
            outputs = [output for output in cell.get("outputs", []) if of_a_slide(output)]
            made = nbformat.v4.new_code_cell(cell.source, outputs=outputs)
            if outputs:
                made.metadata["tags"] = [NO_INPUT]
                yield made, max(map(lines_of, outputs))
            elif not cell.get("outputs") and "hide-input" not in cell.metadata.get("tags", []):
                yield made, 0.6 * cell.source.count("\n") + 1


def of_a_slide(output: nbformat.NotebookNode) -> bool:
    """Return whether a deck shows an output: not what needs plotly, nor a mere value."""
    data = output.get("data", {})
    return "plotly.min.js" not in data.get("text/html", "") and set(data) != {"text/plain"}


def lines_of(output: nbformat.NotebookNode) -> float:
    """Return the height of an output in lines."""
    data = output.get("data", {})
    if {"image/png", "text/html", "image/svg+xml"} & set(data):
        return LINES - 3
    text = data.get("text/markdown") or output.get("text") or ""
    return 0.8 * text.count("\n") + 2


def split(text: str) -> Iterator[str]:
    """Yield a long text in parts that fit onto a slide, divided between paragraphs."""
    part: list[str] = []
    for paragraph in re.split(r"\n{2,}", text):
        if part and sum(map(len, part)) + len(paragraph) > 95 * (LINES - 5):
            yield "\n\n".join(part)
            part = []
        part.append(paragraph)
    if part:
        yield "\n\n".join(part)


def plain(text: str) -> tuple[str, str]:
    """Return a text of the book in plain Markdown, and the notes of its speaker.

    Boxes become paragraphs with a title, citations and links to other pages their text, and the
    choices of a self-test a list, whose explanations are the notes.
    """
    notes = "\n\n".join(f"{title}: {said.strip()}" for title, said in DROPDOWN.findall(text))
    text = DROPDOWN.sub(lambda found: f"* {found[1]}", text)
    text = re.sub(r"\{cite(?::\w+)?\}`[^`]*`", "", text)
    text = ROLE.sub(r"\1", text)

    def title(found: re.Match[str]) -> str:
        name = {"exercise": "Exercise: ", "note": "Note"}.get(found[2], "")
        return f"**{name}{found[3]}**\n\n"

    text = re.sub(r"^[`:]{3,4}$", "", BOX.sub(title, text), flags=re.MULTILINE)
    return re.sub(r"\[([^]]+)\]\([^)]*\.ipynb[^)]*\)", r"\1", text).strip(), notes


def checked(chromium: Browser, path: Path) -> tuple[int, list[str]]:
    """Return the number of slides of a deck, and what a browser without network finds wrong."""
    problems: list[str] = []
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_offline(True)
    context.set_default_timeout(LOADED_WITHIN_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(error.message))

    def requested(request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            problems.append(f"it asks for something from elsewhere: {request.url}")

    page.on("request", requested)
    page.on("requestfailed", lambda request: problems.append(f"it cannot load {request.url}"))
    page.goto(path.resolve().as_uri())
    page.wait_for_function("window.Reveal?.isReady() && window.MathJax?.startup?.promise")
    page.evaluate("MathJax.startup.promise")
    count = page.evaluate("Reveal.getTotalSlides()")
    wrong = page.locator("mjx-merror, [data-mml-node='merror']").count()
    if wrong:
        problems.append(f"{wrong} formulas are in error")
    for n in page.evaluate(
        "Reveal.getSlides().flatMap((slide, n) => slide.innerText.trim()"
        " || slide.querySelector('img, svg, canvas') || slide.textContent.trim() ? [] : [n + 1])"
    ):
        problems.append(f"slide {n} is empty")
    context.close()
    return count, problems


if __name__ == "__main__":
    sys.exit(main())
