"""Joins the pages of the site to one page, and prints it with a browser.

    python pipeline/site/pdf.py _build/html _build/pdf

writes `_build/pdf/html/index.html` and, where there is a Chromium, `_build/pdf/book.pdf`. On paper
a 3D figure is shown from its first direction, and a flip book at its first picture. Solutions are
printed open; code that the pages fold away is left out. `book/_static/book.css` holds the layout,
under `@media print`.

Sphinx's own builder of a single page fails on sphinx-design's cards if sphinx-exercise is loaded.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, Page

from handpose_lib.teaching import contents
from pipeline.site import browser

# What only a site of many pages needs: buttons, search, links to the next page, contents of a page.
OF_A_SITE = (
    ".search-button__wrapper, .sidebar-primary-item:has(script), .bd-header-article,"
    " .prev-next-footer, .bd-sidebar-secondary"
)
DRAWN = ("plotly-", "flip-")  # ids by which the scripts of figures find them: unique in the book
PRINTED_WITHIN_S = 600  # for a whole book of formulas and figures on a busy machine
FOOTER = (
    '<div style="width: 100%; text-align: center; font-size: 8px; color: #555"><span'
    ' class="pageNumber"></span></div>'
)
# A browser keeps at most 16 canvases for 3D, so each figure is drawn again and kept as a picture.
STILL = """async () => {
  for (const fold of document.querySelectorAll("details.sd-dropdown")) fold.open = true;
  for (const fold of document.querySelectorAll(".toggle-hidden")) {
    fold.classList.remove("toggle-hidden");
  }
  for (const picture of document.images) picture.loading = "eager";
  await window.MathJax?.startup?.promise;
  await window.plotlyOfTheBook;
  for (const place of document.querySelectorAll(".js-plotly-plot")) {
    const still = new Image(), {data, layout} = place;
    const size = {width: 720, height: layout.height || 450, scale: 2};
    still.src = await Plotly.toImage(
      {data, layout: {...layout, sliders: []}}, {format: "png", ...size});
    still.alt = place.getAttribute("aria-label") ?? "";
    Plotly.purge(place);
    place.replaceWith(still);
  }
  await Promise.all([...document.images].map(picture => picture.decode()));
}"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("site", type=Path, help="folder of the built site")
    parser.add_argument("out", type=Path, help="folder to write, replaced if it exists")
    options = parser.parse_args()
    names = [f"{page}.html" for page in contents.pages()]
    page, pdf = options.out / "html" / names[0], options.out / "book.pdf"

    shutil.rmtree(options.out, ignore_errors=True)
    page.parent.mkdir(parents=True)
    for folder in ("_static", "_images"):
        shutil.copytree(options.site / folder, options.out / "html" / folder)
    # index.html leads to the first page.
    shutil.copyfile(options.site / "index.html", options.out / "html" / "index.html")
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
    """Return the HTML of one page with the articles of all; links between them stay in the page.

    The page has the frame of the first page and belongs at its path.
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
            if not str(element["id"]).startswith(DRAWN):
                element["id"] = f"{place(name)}-{element['id']}"
        for attribute in ("href", "src"):
            for element in page.select(f"[{attribute}]"):
                element[attribute] = within(
                    str(element[attribute]), site, site / name, site / names[0], names
                )
    article_of(book)["id"] = place(names[0])
    for name in names[1:]:
        article = article_of(pages[name]).extract()
        article["id"] = place(name)
        book.select("article.bd-article")[-1].insert_after(article)
    # MathJax is loaded once, whichever pages need it: loaded twice, it never becomes ready.
    scripts = [
        script
        for page in pages.values()
        for script in page.find_all("script")
        if "mathjax" in str(script).lower()
    ]
    maths = dict.fromkeys(map(str, scripts))
    for script in scripts:
        script.decompose()
    assert book.head is not None, "Sphinx writes a head into every page"
    book.head.append(BeautifulSoup("".join(maths), "html.parser"))
    return str(book)


def article_of(page: BeautifulSoup) -> Tag:
    """Return the element that holds the text of a page."""
    article = page.select_one("article.bd-article")
    assert article is not None, "the theme writes one article into every page"
    return article


def place(name: str) -> str:
    """Return the id that a page has within the one page."""
    return Path(name).with_suffix("").as_posix().replace("/", "-")


def within(link: str, site: Path, page: Path, book: Path, names: list[str]) -> str:
    """Return a link of `page` as it must be in `book`.

    A link to one of the pages `names` leads to its id in `book`, one to a file to its relative
    path, and one to another site stays.
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
    """Return a page as a PDF on A4, with its headings as bookmarks."""
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
    """Wait until a page is complete, open its solutions and replace moving figures by pictures."""
    page.wait_for_function(
        "[...document.querySelectorAll('[id^=plotly-]')].every(place =>"
        " place.classList.contains('js-plotly-plot'))"
    )
    page.evaluate(STILL)


if __name__ == "__main__":
    sys.exit(main())
