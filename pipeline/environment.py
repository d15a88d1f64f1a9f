"""Install the environment of the book into the running Python, every file checked by its hash.

    python -m venv .venv
    .venv/bin/python -m pipeline.environment                   the book and its tests
    .venv/bin/python -m pipeline.environment bench cluster     and what else is named
    .venv/bin/python -m pipeline.environment --cpu             with the small CPU build of torch
    .venv/bin/python -m pipeline.environment --lock            write the lists of hashes anew

The folder `requirements` lists every package with the hashes of its files, for Linux, macOS and
Windows. They agree with `constraints.txt`, which states the versions. `make` installs this way.

One package may lack a match: torch. PyTorch's own indexes offer builds for one kind of device,
such as `2.13.0+cpu`, which the lists do not contain. Such a build is installed without a check of
its hash: with `--cpu`, and where pip is set up to find one. All other packages are always checked.

`--unverified` installs by `constraints.txt` alone, for an index that builds packages itself.
"""

import argparse
import importlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "requirements"
CONSTRAINTS = PROJECT / "constraints.txt"
EXTRAS = ("bench", "cluster")
"""What can be installed besides the book and its tests."""
LISTS = ("build", "torch", "cuda", "book", *EXTRAS)
"""The files of `requirements`, in the order in which they are installed."""
HEADER = (
    "# Written by `python -m pipeline.environment --lock`. Versions stand in constraints.txt.\n"
)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST = "3.11"
PLATFORMS = (
    "x86_64-manylinux_2_40",
    "aarch64-manylinux_2_40",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
)
"""For which files must exist, as uv names them."""
PYTHONS = ("3.11", "3.12", "3.13")
SOURCES = ("connection-pool",)
"""Packages that offer no wheel: they are built from their source, which has a hash as well."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("extras", nargs="*", metavar="extra", help=" or ".join(EXTRAS))
    parser.add_argument("--cpu", action="store_true", help="install PyTorch's CPU build")
    parser.add_argument("--lock", action="store_true", help="write the lists of hashes anew")
    parser.add_argument("--unverified", action="store_true", help="install without hashes")
    chosen = parser.parse_args()
    if unknown := set(chosen.extras) - set(EXTRAS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; accepted: {', '.join(EXTRAS)}")
    try:
        if chosen.lock:
            lock()
        elif chosen.unverified:
            wanted = ",".join(("book", "dev", *chosen.extras))
            pip("install", "-c", str(CONSTRAINTS), "-e", f"{PROJECT}[{wanted}]")
        else:
            install(chosen.extras, chosen.cpu)
    except subprocess.CalledProcessError as error:
        if not chosen.lock:
            print(
                "The installation failed; pip says why above. If the package index offers files"
                " with other hashes because it builds them itself, install without hashes:"
                " python -m pipeline.environment --unverified",
                file=sys.stderr,
            )
        return error.returncode
    return 0


# --- installing ---------------------------------------------------------------


def install(extras: Sequence[str] = (), cpu: bool = False) -> None:
    """Install the lists, torch first, then the project itself.

    `cpu`: torch is the CPU build, from PyTorch's own index.
    Errors: `subprocess.CalledProcessError` if a file cannot be had or has another hash.
    """
    hashed("build")
    install_torch(cpu)
    if "+" not in metadata_version("torch"):
        hashed("cuda")  # a build with a local version brings its own, or needs none
    for name in ("book", *extras):
        hashed(name)
    pip("install", "--no-deps", "--no-build-isolation", "-e", str(PROJECT))


def hashed(name: str) -> None:
    """Install a list. A package that is built from source is built with the tools of `build`."""
    listed = str(FOLDER / f"{name}.txt")
    pip("install", "--no-deps", "--no-build-isolation", "--require-hashes", "-r", listed)


def install_torch(cpu: bool) -> None:
    """Install PyPI's build of torch, or another one if it is wanted or pip is set up to find it."""
    version = pinned(CONSTRAINTS)["torch"]
    if cpu:
        pip("install", "--no-deps", "--index-url", CPU_INDEX, f"torch=={version}+cpu")
    elif build := special_build("torch", version):
        print(f"pip finds torch {build}: it is installed without a check of its hash", flush=True)
        pip("install", "--no-deps", f"torch=={build}")
    else:
        hashed("torch")


def special_build(name: str, version: str) -> str | None:
    """Return the version with a local part, such as 2.13.0+cpu, that pip would prefer, if any.

    PyPI has none: they come from an index or folder that the user has told pip about.
    """
    asked = [sys.executable, "-m", "pip", "index", "versions", name]
    told = subprocess.run(asked, capture_output=True, text=True).stdout
    (line,) = re.findall("^Available versions: (.*)$", told, re.MULTILINE) or [""]
    return next((found for found in line.split(", ") if found.startswith(f"{version}+")), None)


def metadata_version(name: str) -> str:
    """Return the version of a package that may have been installed a moment ago."""
    importlib.invalidate_caches()
    return metadata.version(name)


def pip(*arguments: str) -> None:
    command, *rest = arguments
    subprocess.run([sys.executable, "-m", "pip", command, "--quiet", *rest], check=True)


# --- writing the lists --------------------------------------------------------


def lock() -> None:
    """Write the lists with uv, and check that each platform finds a file of each package."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    book = [*project["project"]["dependencies"], *extras["book"], *extras["dev"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uv = obtain_uv(folder)
        everything = [*book, *(line for extra in EXTRAS for line in extras[extra])]
        everything += project["build-system"]["requires"]
        whole = resolve(uv, folder, everything, CONSTRAINTS)
        same = folder / "same.txt"
        lines = [entry.splitlines()[0].removesuffix(" \\") for entry in whole]
        same.write_text("\n".join(lines) + "\n", encoding="utf-8")

        lists: dict[str, list[str]] = {
            "build": resolve(uv, folder, project["build-system"]["requires"], same)
        }
        lists["torch"] = [entry for entry in whole if name_of(entry) == "torch"]
        lists["cuda"] = [entry for entry in whole if is_cuda(entry)]
        for extra, wanted in {"book": [], **{extra: extras[extra] for extra in EXTRAS}}.items():
            before = {name_of(entry) for entries in lists.values() for entry in entries}
            if extra in EXTRAS:  # each extra is a list of its own
                before -= {name_of(e) for other in EXTRAS for e in lists.get(other, [])}
            found = resolve(uv, folder, [*book, *wanted], same)
            lists[extra] = [entry for entry in found if name_of(entry) not in before]
        FOLDER.mkdir(exist_ok=True)
        for name, entries in lists.items():
            (FOLDER / f"{name}.txt").write_text(HEADER + "".join(entries), encoding="utf-8")
        for platform in PLATFORMS:
            for python in PYTHONS:
                check_files(uv, folder, platform, python)
                print(f"{platform}, Python {python}: each package has a file", flush=True)


def obtain_uv(folder: Path) -> str:
    """Return the program uv, installed into a throw-away environment."""
    venv.create(folder / "uv", with_pip=True)
    binaries = folder / "uv" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    return str(binaries / "uv")


def resolve(uv: str, folder: Path, wanted: Iterable[str], constraints: Path) -> list[str]:
    """Return the packages that these requirements need on any platform, with their hashes."""
    source = folder / "wanted.in"
    source.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    options = ["--universal", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
    options += ["--python-version", OLDEST, "--system-certs", "--no-config"]
    done = subprocess.run(
        [uv, "pip", "compile", *options, "-c", constraints, source],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    return entries_of(done.stdout)


def check_files(uv: str, folder: Path, platform: str, python: str) -> None:
    """Errors: `subprocess.CalledProcessError` if a package has no file for this platform."""
    subprocess.run(
        [
            *(uv, "pip", "install", "--dry-run", "--quiet", "--no-deps", "--require-hashes"),
            *("--target", folder / "nowhere", "--system-certs", "--no-config"),
            *("--python-platform", platform, "--python-version", python),
            *("--only-binary", ":all:"),
            *(word for name in SOURCES for word in ("--no-binary", name)),
            *(word for name in LISTS for word in ("-r", FOLDER / f"{name}.txt")),
        ],
        check=True,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
    )


def is_cuda(entry: str) -> bool:
    """Tell whether only the CUDA build of torch needs this package."""
    return name_of(entry).startswith(("nvidia-", "cuda-")) or name_of(entry) == "triton"


# --- reading the lists --------------------------------------------------------


def entries_of(text: str) -> list[str]:
    """Return the packages of a list: each is a line with its hashes on the lines after it."""
    return re.findall(r"^[\w.-]+==.*\n(?:    --hash=.*\n)*", text, re.MULTILINE)


def name_of(entry: str) -> str:
    """Return the name of a package, in the form that compares equal."""
    return re.sub(r"[-_.]+", "-", entry.split("==")[0]).lower()


def pinned(path: Path) -> Mapping[str, str]:
    """Return the version of each package that a file of pins names."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name_of(line): line.split("==")[1].split()[0] for line in lines if "==" in line[:80]}


if __name__ == "__main__":
    sys.exit(main())
