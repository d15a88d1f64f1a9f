"""axe-core, the rules of accessibility that `browse.py` applies to every page.

`obtain` fetches it from the npm registry into the virtual environment; `python -m
pipeline.site.browser`, which `make book` runs, calls it.
"""

import os
import sys
import tarfile
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from pipeline.site import browser

VERSION = "4.14.1"
PACKAGE = f"axe-core@{VERSION}"
DIGEST = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""The package's SHA-512 in base 64. A new version needs a new digest: `npm view` prints it."""
MISSING = f"{PACKAGE} is not here: `python -m pipeline.site.browser` obtains it from npm"
GRAVE = ("serious", "critical")
"""The impacts that no page of the book may have."""
RUN = """async () => (await axe.run(document, {
  // To preload is to fetch the style sheets, which a browser forbids at file://.
  resultTypes: ["violations"], preload: false,
  // `page.js` checks these itself, in all windows and for formulas and sliders as well.
  rules: Object.fromEntries(["color-contrast", "image-alt", "label", "scrollable-region-focusable"]
    .map(id => [id, {enabled: false}])),
})).violations.map(({id, impact, help, nodes}) =>
  ({id, impact, help, times: nodes.length, first: nodes[0].html.slice(0, 120)}))"""


def find() -> Path | None:
    """Return the path of the script, or None if `obtain` has not fetched it."""
    kept = folder() / "axe.min.js"
    return kept if kept.exists() else None


def folder() -> Path:
    """Return the folder of axe-core inside the virtual environment."""
    return Path(sys.prefix) / f"axe-core-{VERSION}"


def obtain() -> Path:
    """Fetch the npm package into `folder()` and return the path of the script.

    Errors: `SystemExit` with one line if npm fails or the package is not the one of `DIGEST`.
    """
    place = folder()
    with tempfile.TemporaryDirectory(prefix=".axe-", dir=place.parent) as scratch:
        archive = browser.packed(Path(scratch) / "archive", PACKAGE)
        with tarfile.open(browser.verified(archive, DIGEST)) as package:
            package.extractall(scratch, filter="data")
        try:
            os.replace(Path(scratch) / "package", place)
        except OSError:
            if not (place / "axe.min.js").exists():  # otherwise another process was faster
                raise
    return place / "axe.min.js"


def problems(page: Page, script: Path) -> list[str]:
    """Return the serious and critical findings on an open page, one line for each rule."""
    page.add_script_tag(path=script)
    return [
        f"{found['help']} ({found['id']}, {found['impact']}), {found['times']} times:"
        f" {found['first']}"
        for found in page.evaluate(RUN)
        if found["impact"] in GRAVE
    ]
