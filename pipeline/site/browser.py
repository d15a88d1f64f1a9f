"""A headless Chromium with the network off: what opens the built pages, and what prints them."""

import os
import shutil
import subprocess
import sys
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
# 3D figures want WebGL; SwiftShader draws it without a graphics card. Laying out a page with it
# would take five times as long.
OPTIONS = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--disable-gpu-compositing"]


def find() -> str | None:
    """The browser's program: what CHROMIUM names, what the system has, or what playwright
    installed.
    """
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    if installed := next(filter(None, map(shutil.which, NAMES)), None):
        return installed
    # In a process of its own: playwright refuses to start where an event loop runs, as Snakemake's
    # may.
    own = subprocess.run(
        [sys.executable, "-c", OWN], capture_output=True, text=True, check=True
    ).stdout.strip()
    return own if Path(own).exists() else None


@contextmanager
def opened(program: str) -> Browser:
    """The browser, closed again at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()
