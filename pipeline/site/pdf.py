"""The whole book as one page, put together from the pages of the site, and printed from there with
a browser.

    python pipeline/site/pdf.py _build/html _build/pdf

leaves `_build/pdf/html/index.html` and, where there is a Chromium, `_build/pdf/book.pdf`. What
moves on a page stands still on paper: a 3D figure as it is first seen, a flip book at the picture
that it starts with. Solutions are printed open, for on paper nothing can be unfolded and no check
answers; code that the pages fold away is left out. How paper is laid out is said in
`book/_static/book.css`, under `@media print`.

Sphinx's own builder of a single page stops at sphinx-design's cards as soon as sphinx-exercise is
loaded.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page

from pipeline.site import browser, site_sources

# What belongs to one page of many: buttons, search, the way on, the page's own contents.
OF_A_SITE = (
    ".search-button__wrapper, .sidebar-primary-item:has(script), .bd-header-article,"
    " .prev-next-footer, .bd-sidebar-secondary"
)
DRAWN = (
    "plotly-",
    "flip-",
)  # names by which a figure's script finds its place: made from its content
PRINTED_WITHIN_S = 600  # a whole book of formulas and figures, on a machine that may be busy
FOOTER = (
    '<div style="width: 100%; text-align: center; font-size: 8px; color: #555"><span'
    ' class="pageNumber"></span></div>'
)
# A browser keeps 16 canvases for 3D at a time: each figure is drawn once more, by itself, and stays
# as a picture.
STILL = """async () => {
  for (const fold of document.querySelectorAll(".toggle-hidden")) fold.classList.remove("toggle-hidden");
  for (const picture of document.images) picture.loading = "eager";
  await window.MathJax?.startup?.promise;
  await window.plotlyOfTheBook;
  for (const place of document.querySelectorAll(".js-plotly-plot")) {
    const still = new Image(), {data, layout} = place;
    still.src = await Plotly.toImage({data, layout: {...layout, sliders: []}}, {format: "png", width: 720, height: layout.height || 450, scale: 2});
    still.alt = place.getAttribute("aria-label") ?? "";
    Plotly.purge(place);
    place.replaceWith(still);
  }
  await Promise.all([...document.images].map(picture => picture.decode()));
}"""


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("site", type=Path)
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    names = [f"{page}.html" for page in site_sources.toc()]
    page, pdf = options.out / "html" / names[0], options.out / "book.pdf"

    shutil.rmtree(options.out, ignore_errors=True)
    page.parent.mkdir(parents=True)
    for folder in ("_static", "_images"):
        shutil.copytree(options.site / folder, options.out / "html" / folder)
    shutil.copyfile(
        options.site / "index.html", options.out / "html" / "index.html"
    )  # leads to the first page
    page.write_text(one_page(options.site, names), encoding="utf-8")
    print(f"The book as one page: {options.out / 'html' / 'index.html'}")
    if not (program := browser.find()):
        print(f"It cannot be printed as a PDF: {browser.MISSING}")
        return 0
    with browser.opened(program) as chromium:
        pdf.write_bytes(printed(chromium, page))
    print(f"The book as a PDF: {pdf}")
    return 0


def one_page(site: Path, names: list[str]) -> str:
    """The pages as one, in the frame and at the place of the first; links between them lead within
    it.
    """
    site = site.resolve()
    pages = {
        name: BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser")
        for name in names
    }
    book = pages[names[0]]
    for element in book.select(OF_A_SITE):
        element.decompose()
    for name, page in pages.items():
        for element in page.select("article.bd-article [id]"):
            if not element["id"].startswith(DRAWN):
                element["id"] = f"{place(name)}-{element['id']}"
        for attribute in ("href", "src"):
            for element in page.find_all(attrs={attribute: True}):
                element[attribute] = within(
                    element[attribute], site, site / name, site / names[0], names
                )
    first = book.select_one("article.bd-article")
    first["id"] = place(names[0])
    for name in names[1:]:
        article = pages[name].select_one("article.bd-article").extract()
        article["id"] = place(name)
        book.select("article.bd-article")[-1].insert_after(article)
    # What sets the formulas is loaded once, whichever pages ask for it: MathJax loaded twice never
    # gets ready.
    asking = [
        script
        for page in pages.values()
        for script in page.find_all("script")
        if "mathjax" in str(script).lower()
    ]
    maths = dict.fromkeys(map(str, asking))
    for script in asking:
        script.decompose()
    book.head.append(BeautifulSoup("".join(maths), "html.parser"))
    return str(book)


def place(name):
    """What a page is called within the one page."""
    return Path(name).with_suffix("").as_posix().replace("/", "-")


def within(link: str, site: Path, page: Path, book: Path, names: list[str]) -> str:
    """A link of a page, as it must be in the book: to a place in it, or to a file seen from where
    the book lies.
    """
    address, anchor = urldefrag(link)
    if urlparse(address).scheme or urlparse(address).netloc:
        return link
    parts = urlparse(address)
    target = Path(os.path.normpath(page.parent / unquote(parts.path))) if parts.path else page
    if target.is_relative_to(site) and (name := target.relative_to(site).as_posix()) in names:
        return f"#{place(name)}" + (f"-{anchor}" if anchor else "")
    return (
        Path(os.path.relpath(target, book.parent)).as_posix()
        + (f"?{parts.query}" if parts.query else "")
        + (f"#{anchor}" if anchor else "")
    )


def printed(chromium: Browser, path: Path) -> bytes:
    """A page as a PDF on A4, its headings as bookmarks."""
    context = chromium.new_context(
        viewport={"width": 1000, "height": 1400}, color_scheme="light", reduced_motion="reduce"
    )
    context.set_offline(True)
    context.set_default_timeout(PRINTED_WITHIN_S * 1000)
    page = context.new_page()
    page.goto(path.resolve().as_uri())
    stand_still(page)
    return page.pdf(
        format="A4",
        margin={"top": "16mm", "bottom": "18mm", "left": "15mm", "right": "15mm"},
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        outline=True,
        tagged=True,
    )


def stand_still(page: Page) -> None:
    """Waits until a page is all there, opens its solutions and puts pictures in the place of what
    moves.
    """
    page.wait_for_function(
        "[...document.querySelectorAll('[id^=plotly-]')].every(place =>"
        " place.classList.contains('js-plotly-plot'))"
    )
    page.evaluate(STILL)


if __name__ == "__main__":
    sys.exit(main())
