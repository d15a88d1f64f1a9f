"""A headless Chromium without network, which opens the built pages and prints them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
)
MISSING = (
    "no Chromium on this machine: install chromium or google-chrome, or run "
    "`python -m playwright install chromium`, or name the program in the variable CHROMIUM"
)
OWN = (
    "from playwright.sync_api import sync_playwright\nwith sync_playwright() as p:"
    " print(p.chromium.executable_path)"
)
# 3D figures need WebGL, which SwiftShader draws without a graphics card. With SwiftShader in the
# compositor, the layout of a page would take five times as long.
OPTIONS = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--disable-gpu-compositing"]


def find() -> str | None:
    """Return the path of the browser, or None if there is none.

    The variable CHROMIUM comes first, then a browser of the system, then playwright's own.
    """
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    if installed := next(filter(None, map(shutil.which, NAMES)), None):
        return installed
    # Playwright does not start where an event loop runs, and Snakemake may run one.
    own = subprocess.run(
        [sys.executable, "-c", OWN], capture_output=True, text=True, check=True
    ).stdout.strip()
    return own if Path(own).exists() else None


@contextmanager
def opened(program: str) -> Iterator[Browser]:
    """Start the browser, and close it at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()
