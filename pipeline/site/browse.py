"""Opens every page of the built site in a browser, as a reader does: what no look at the files can
tell.

    python pipeline/site/browse.py _build/html --report _build/browsed.json

From `file://` and with the network off, light, dark, and in a window as wide as a phone: pages load
without errors and fetch nothing from elsewhere, formulas are set, pictures decode, sliders change
them, 3D figures are drawn, links lead somewhere, texts stand out from their ground, nothing is
wider than the window, no page is heavy, and search finds. What the browser is asked stands in
page.js.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

from PIL import Image
from playwright.sync_api import Browser, Error, Page

from pipeline.site import browser, site_sources

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HEAVY = 5_000_000
"""Bytes that a page may weigh with all that it loads, apart from what all pages share in `_static`.
"""

HARMLESS = {
    # Sphinx asks for the fonts of its icons ahead of time; a browser gives a file:// page no fonts,
    # and the icons are drawn by a script.
    "/webfonts/fa-": "icons are drawn by Font Awesome's script",
    # What could not be loaded is named by its address, from the request itself.
    "Failed to load resource": "named by its address",
}
# Texts that may be pale, each with its reason.
PALE = {}
FOUND = "mean shift"
# On a machine that is busy with other work; nothing waits that long when all is well.
LOADED_WITHIN_S, DRAWN_WITHIN_S = 120, 20


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("html", type=Path)
    arguments.add_argument("--report", type=Path, required=True)
    options = arguments.parse_args()
    if not (program := browser.find()):
        sys.exit(f"The pages cannot be browsed: {browser.MISSING}")
    if not (options.html / "index.html").exists():
        sys.exit(f"There is no site in {options.html}: make book builds it")

    start = time.monotonic()
    names = [f"{page}.html" for page in [*site_sources.toc(), "search", "genindex"]]
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
    """The problems of these pages of a site, each as `page: problem`."""
    html = html.resolve()
    visits = {name: Visit(chromium, html, html / name) for name in names}
    problems = [
        f"{name}: {problem}" for name, visit in visits.items() for problem in visit.problems
    ]
    places = {visit.address: visit.places for visit in visits.values()}
    return problems + [
        f"{name}: {problem}"
        for name, visit in visits.items()
        for problem in dead_links(visit, places)
    ]


class Visit:
    """One page, looked at from all sides.

    `problems`; `links` and `places`: the addresses that it links to, and the names in it that a
    link can lead to.
    """

    def __init__(self, chromium: Browser, html: Path, path: Path):
        self.address, self.root = path.as_uri(), html.as_uri() + "/"
        self.problems, self.links, self.places, self.loaded = [], [], set(), {self.address}
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
            self.problems += self._looked_at(page)
        except Error as error:
            self.problems.append(f"the browser gives up: {error.message.splitlines()[0]}")
        context.close()
        if (weight := self._weight()) > HEAVY:
            self.problems.append(
                f"the page weighs {weight / 1e6:.1f} MB with what only pages like it load, accepted"
                f" are {HEAVY / 1e6:.0f}"
            )

    def _listen(self, page: Page) -> None:
        page.on("console", lambda message: message.type == "error" and self._said(message.text))
        page.on("pageerror", lambda error: self._said(error.message))
        page.on("request", lambda request: self._asked_for(request.url))
        page.on("requestfailed", lambda request: self._failed(request))

    def _said(self, text):
        if not any(known in text for known in HARMLESS):
            self.problems.append(f"an error in the console: {text.splitlines()[0]}")

    def _asked_for(self, address):
        if not address.startswith((self.root, "data:", "blob:")):
            self.problems.append(f"it asks for something from elsewhere: {address}")
        self.loaded.add(address.split("?")[0])

    def _failed(self, request):
        # Pictures are looked at one by one; what is elsewhere has been named.
        if (
            request.url.startswith(self.root)
            and request.resource_type != "image"
            and not any(known in request.url for known in HARMLESS)
        ):
            self.problems.append(f"it cannot load {request.url.removeprefix(self.root)}")

    def _looked_at(self, page: Page) -> Iterator[str]:
        page.evaluate("reader.settle()")
        yield from self._drawn(page)
        for question in ("formulas", "pictures", "sliders"):
            yield from page.evaluate(f"reader.{question}()")
        leads = page.evaluate("reader.links()")
        self.links, self.places = leads["to"], set(leads["places"])
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate("reader.rest()")
            yield from (
                f"{scheme}: {problem}"
                for problem in page.evaluate("pale => reader.contrasts(pale)", list(PALE))
            )
        page.set_viewport_size(PHONE)
        page.evaluate("reader.rest()")
        yield from (f"phone: {problem}" for problem in page.evaluate("reader.sideways()"))

    def _drawn(self, page: Page) -> Iterator[str]:
        """Plotly's figures: drawn, and different at the two ends of their sliders."""
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
                page.mouse.click(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
                if not until(lambda: seen(figure) != first):  # noqa: B023
                    yield f"a slider of plotly does not change the picture: {name}"

    def _weight(self):
        files = [
            Path(unquote(urlparse(address).path))
            for address in self.loaded
            if address.startswith(self.root)
        ]
        return sum(
            file.stat().st_size for file in files if "_static" not in file.parts and file.is_file()
        )


def seen(figure, hidden=".slider-container, .modebar-container") -> Image.Image:
    """What a figure shows, without its controls."""
    picture = figure.screenshot(style=f"{hidden} {{ visibility: hidden !important }}")
    return Image.open(io.BytesIO(picture)).convert("RGB")


def colours(picture):
    return len(picture.getcolors(picture.width * picture.height))


def until(true) -> bool:
    """Waits for something to become true; False if it takes too long."""
    end = time.monotonic() + DRAWN_WITHIN_S
    while not (done := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return done


def dead_links(visit: Visit, places: dict[str, set[str]]) -> Iterator[str]:
    for link in dict.fromkeys(visit.links):
        address, place = urldefrag(link)
        if not address.startswith("file:"):
            continue
        address = address.split("?")[0]
        if not Path(unquote(urlparse(address).path)).exists():
            yield f"a dead link: {link.removeprefix(visit.root)}"
        elif place and address in places and unquote(place) not in places[address]:
            yield f"a link to a place that is not there: {link.removeprefix(visit.root)}"


def front_door(chromium: Browser, html: Path, first: str) -> Iterator[str]:
    """`index.html` leads to the first page."""
    page = chromium.new_page()
    page.goto((html.resolve() / "index.html").as_uri())
    try:
        page.wait_for_url((html.resolve() / first).as_uri(), timeout=DRAWN_WITHIN_S * 1000)
    except Error:
        yield f"index.html: it does not lead to {first}"
    page.close()


def search(chromium: Browser, html: Path, words: str) -> Iterator[str]:
    """Searching for words that the book has finds pages.

    From `file://` the list comes without excerpts: those are fetched from the pages, which a
    browser forbids there.
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
