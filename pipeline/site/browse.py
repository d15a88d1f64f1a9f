"""Opens every page of the built site in a browser and reports what only a browser can show.

    python pipeline/site/browse.py _build/html --report _build/browsed.json

The pages are opened from `file://`, without network, in light and dark colours and in a window as
narrow as a phone's. A page passes if it loads without errors and requests nothing from elsewhere,
its formulas are typeset, its pictures decode, its sliders change them, its 3D figures are drawn,
its texts have enough contrast, no line is cut off, no code, output, table or picture leaves its box
in either window, axe-core finds nothing serious, and the page is not too heavy. The search must
find a term of the book. `page.js` holds the part that runs in the page; `check.py` follows the
links.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from PIL import Image
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    ViewportSize,
)

from handpose_lib.teaching import contents
from pipeline.site import axe, browser

DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
HEAVY = 3_000_000
"""Bytes that a page may load, not counting the files in `_static`, which all pages share."""

HARMLESS = (
    # Sphinx preloads the fonts of its icons. A browser gives a file:// page no fonts, but Font
    # Awesome's script draws the icons.
    "/webfonts/fa-",
    # The request itself is reported, with its address.
    "Failed to load resource",
)
FOUND = "mean shift"
"""A term of the book that the search must find."""
LOADED_WITHIN_S, DRAWN_WITHIN_S = 120, 20
"""Time limits for a busy machine; a page normally needs much less."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("html", type=Path, help="folder of the built site")
    parser.add_argument(
        "--report", type=Path, required=True, help="JSON file to write if no problem is found"
    )
    options = parser.parse_args()
    if not (program := browser.find()):
        sys.exit(f"The pages cannot be browsed: {browser.MISSING}")
    if not (options.html / "index.html").exists():
        sys.exit(f"There is no site in {options.html}: make book builds it")

    if axe.find() is None:
        print(f"The rules of accessibility are not checked: {axe.MISSING}")
    start = time.monotonic()
    names = [f"{page}.html" for page in [*contents.pages(), "search", "genindex"]]
    with browser.opened(program) as chromium:
        problems = [
            *browsed(chromium, options.html, names),
            *front_door(chromium, options.html, names[0]),
            *search(chromium, options.html, FOUND),
        ]
    print(
        f"Browsed {len(names)} pages, light, dark and on a phone, in {time.monotonic() - start:.0f}"
        f" s: {len(problems)} problems"
    )
    if problems:
        print("\n".join(problems), file=sys.stderr)
    else:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(
            json.dumps({"pages": len(names), "problems": problems}, indent=1) + "\n",
            encoding="utf-8",
        )
    return int(bool(problems))


def browsed(chromium: Browser, html: Path, names: list[str]) -> list[str]:
    """Return the problems of these pages of a site, each as `page: problem`."""
    html = html.resolve()
    return [
        f"{name}: {problem}"
        for name in names
        for problem in Visit(chromium, html, html / name).problems
    ]


class Visit:
    """Opens one page; `problems` then lists what is wrong with it."""

    def __init__(self, chromium: Browser, html: Path, path: Path):
        self.address, self.root = path.as_uri(), html.as_uri() + "/"
        self.problems: list[str] = []
        self.loaded = {self.address}
        if not path.exists():
            self.problems.append("the page is not there")
            return
        context = chromium.new_context(viewport=DESK, color_scheme="light", reduced_motion="reduce")
        context.set_offline(True)
        context.set_default_timeout(LOADED_WITHIN_S * 1000)
        context.add_init_script(path=Path(__file__).with_name("page.js"))
        page = context.new_page()
        self._listen(page)
        try:
            page.goto(self.address)
            self.problems += self._inspected(page)
        except Error as error:
            self.problems.append(f"the browser gives up: {error.message.splitlines()[0]}")
        context.close()
        if (weight := self._weight()) > HEAVY:
            self.problems.append(
                f"the page weighs {weight / 1e6:.1f} MB without the files that all pages share;"
                f" accepted are {HEAVY / 1e6:.0f}"
            )

    def _listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._error(error.message))
        page.on("request", self._requested)
        page.on("requestfailed", self._failed)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._error(message.text)

    def _error(self, text: str) -> None:
        if not any(known in text for known in HARMLESS):
            self.problems.append(f"an error in the console: {text.splitlines()[0]}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.root, "data:", "blob:")):
            self.problems.append(f"it asks for something from elsewhere: {request.url}")
        self.loaded.add(request.url.split("?")[0])

    def _failed(self, request: Request) -> None:
        # `reader.pictures` reports pictures, `_requested` what is elsewhere.
        if (
            request.url.startswith(self.root)
            and request.resource_type != "image"
            and not any(known in request.url for known in HARMLESS)
        ):
            self.problems.append(f"it cannot load {request.url.removeprefix(self.root)}")

    def _inspected(self, page: Page) -> Iterator[str]:
        page.evaluate("reader.settle()")
        yield from self._drawn(page)
        for question in ("formulas", "pictures", "sliders", "cut", "boxes"):
            yield from page.evaluate(f"reader.{question}()")
        if script := axe.find():
            yield from axe.problems(page, script)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate("reader.rest()")
            yield from (f"{scheme}: {problem}" for problem in page.evaluate("reader.contrasts()"))
        page.set_viewport_size(PHONE)
        page.evaluate("reader.rest()")
        for question in ("sideways", "boxes"):
            yield from (f"phone: {problem}" for problem in page.evaluate(f"reader.{question}()"))

    def _drawn(self, page: Page) -> Iterator[str]:
        """Plotly's figures are drawn, and change when their sliders move."""
        until(lambda: not page.evaluate("reader.undrawn()"))
        yield from page.evaluate("reader.undrawn()")
        for figure in page.locator(".js-plotly-plot").all():
            name = figure.get_attribute("aria-label") or "a figure"
            figure.scroll_into_view_if_needed()
            if figure.locator("canvas").count() and not until(
                lambda figure=figure: colours(seen(figure, ".main-svg")) > 2
            ):
                yield f"nothing is drawn in space: {name}"
            for rail in figure.locator(".slider-rail-touch-rect").all():
                first, box = seen(figure), rail.bounding_box()
                assert box is not None, "a rail that plotly has drawn has a box"
                page.mouse.click(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
                if not until(lambda figure=figure, first=first: seen(figure) != first):
                    yield f"a slider of plotly does not change the picture: {name}"

    def _weight(self) -> int:
        files = [
            Path(unquote(urlparse(address).path))
            for address in self.loaded
            if address.startswith(self.root)
        ]
        return sum(
            file.stat().st_size for file in files if "_static" not in file.parts and file.is_file()
        )


def seen(figure: Locator, hidden: str = ".slider-container, .modebar-container") -> Image.Image:
    """Return a screenshot of a figure without its controls."""
    picture = figure.screenshot(style=f"{hidden} {{ visibility: hidden !important }}")
    return Image.open(io.BytesIO(picture)).convert("RGB")


def colours(picture: Image.Image) -> int:
    """Return the number of different colours in a picture."""
    return len(picture.getcolors(picture.width * picture.height) or [])


def until(true: Callable[[], bool]) -> bool:
    """Wait for a condition; return False if it is not met within `DRAWN_WITHIN_S` seconds."""
    end = time.monotonic() + DRAWN_WITHIN_S
    while not (done := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return done


def front_door(chromium: Browser, html: Path, first: str) -> Iterator[str]:
    """Yield a problem if `index.html` does not lead to the first page."""
    page = chromium.new_page()
    page.goto((html.resolve() / "index.html").as_uri())
    try:
        page.wait_for_url((html.resolve() / first).as_uri(), timeout=DRAWN_WITHIN_S * 1000)
    except Error:
        yield f"index.html: it does not lead to {first}"
    page.close()


def search(chromium: Browser, html: Path, words: str) -> Iterator[str]:
    """Yield a problem if the search finds no page with `words`.

    From `file://` the results have no excerpts: the search would fetch them from the pages, which
    a browser forbids there.
    """
    page = chromium.new_page()
    page.goto((html.resolve() / "search.html").as_uri() + "?q=" + words.replace(" ", "+"))
    try:
        page.wait_for_selector("#search-results li a", timeout=DRAWN_WITHIN_S * 1000)
    except Error:
        yield f"search.html: it does not find '{words}'"
    page.close()


if __name__ == "__main__":
    sys.exit(main())
