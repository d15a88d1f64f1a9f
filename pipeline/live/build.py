"""Builds the live page's files: classic scripts, which a browser loads from `file://` as well.

    python -m pipeline.live.build network jgr_p2o _build/live/networks/jgr_p2o.js
    python -m pipeline.live.build page _build/live/page

A network's script holds its ONNX model, that of the hand detector both models. The page's folder
holds

    hand.js        the hand, the networks and the constants of the detector, as JSON
    live.js        the page's own code
    live.css       its style
    tiff.js        what reads TIFF files; loaded with the first one
    runtime.js     ONNX Runtime Web
    wasm.js        its WebAssembly binary
    licences.txt   the licences of the packages in these scripts

Binaries are compressed by gzip and written in base 64, because a script may contain only text.
"""

import argparse
import base64
import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.live import DETECTOR, MODELS, NETWORKS, detector, hand_model, networks, toolchain

GLOBAL = "handLive"
"""The one name that all scripts share."""
SCRIPTS = ("live", "runtime", "tiff")
"""Scripts that are bundled from modules of the same names."""
PACKAGE = re.compile(r"/node_modules/((?:@[^/]+/)?[^/]+)/")
"""The name of an npm package in the path of one of its files."""
RUNTIME = ("onnxruntime-web", "onnxruntime-common")
"""npm packages of the WebAssembly binary, which are bundled in one file already."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    one = tasks.add_parser("network", help="export one network")
    one.add_argument("name", choices=MODELS)
    one.add_argument("out", type=Path, help="script to write")
    every = tasks.add_parser("page", help="bundle the page's code and the runtime")
    every.add_argument("out", type=Path, help="folder to write, replaced if it exists")
    options = parser.parse_args(arguments)
    if options.task == "network":
        write(options.out, network(options.name))
    else:
        page(options.out)
    return 0


def network(name: str) -> str:
    """Return the script that holds a network's ONNX model, or those of the detector."""
    if name == DETECTOR:
        return models(
            {f"{name}_{part}": one for part, one in detector.exported(detector.open()).items()}
        )
    return models({name: networks.exported(networks.open(name))})


def models(exported: Mapping[str, bytes]) -> str:
    """Return the script that holds ONNX models under their names."""
    return "".join(data(f"models.{name}", content) for name, content in exported.items())


def page(out: Path, names: Sequence[str] = NETWORKS) -> None:
    """Write the page's folder, all files or none. `names`: the networks that it offers."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".page-", dir=out.parent) as folder:
        place = Path(folder) / "page"
        place.mkdir()
        known = {
            "model": hand_model.described(),
            "networks": [networks.described(networks.open(name)) for name in names],
            "detector": detector.described(),
        }
        write(place / "hand.js", f"globalThis.{GLOBAL} = {json.dumps({**known, 'models': {}})};\n")
        packages = bundle(place)
        binary = toolchain.modules() / RUNTIME[0] / "dist" / "ort-wasm-simd-threaded.wasm"
        write(place / "wasm.js", data("wasm", binary.read_bytes()))
        write(place / "licences.txt", licences(packages | set(RUNTIME)))
        shutil.copyfile(toolchain.PAGE / "src" / "live.css", place / "live.css")
        shutil.rmtree(out, ignore_errors=True)
        place.replace(out)


def bundle(place: Path) -> set[str]:
    """Write the bundled scripts. Returns the names of the npm packages whose code is in them.

    Errors: `SystemExit` with esbuild's message.
    """
    packages = set()
    with toolchain.workspace() as source:
        inputs = source / "inputs.json"
        for name in SCRIPTS:
            answer = toolchain.run(
                "esbuild/bin/esbuild",
                source / "src" / f"{name}.js",
                "--bundle",
                "--minify",
                "--format=iife",
                "--platform=browser",
                "--target=es2022",
                # The runtime looks for its files beside the module that it is no longer.
                '--define:import.meta.url="file:///runtime.js"',
                "--legal-comments=none",
                "--log-level=warning",
                f"--metafile={inputs}",
                f"--outfile={place.resolve() / f'{name}.js'}",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if answer.returncode:
                raise SystemExit(f"esbuild cannot bundle {name}.js:\n{answer.stdout}")
            (written,) = json.loads(inputs.read_text(encoding="utf-8"))["outputs"].values()
            packages |= {
                found[1]
                for path, share in written["inputs"].items()
                if share["bytesInOutput"] and (found := PACKAGE.search(path))
            }
    return packages


def data(place: str, content: bytes) -> str:
    """Return a script that stores bytes under a name of `GLOBAL`."""
    packed = gzip.compress(content, 9, mtime=0)
    return f'globalThis.{GLOBAL}.{place} = "{base64.b64encode(packed).decode()}";\n'


def licences(packages: Iterable[str]) -> str:
    """Return the licences of npm packages."""
    found = []
    for name in sorted(packages):
        folder = toolchain.modules() / name
        about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        texts = [
            file.read_text(encoding="utf-8")
            for file in sorted(folder.iterdir())
            if file.name.lower().startswith(("license", "licence"))
        ]
        title = f"{name} {about['version']}, licence {about['license']}"
        found.append("\n\n".join([title, *texts]).strip())
    return f"\n\n{'-' * 80}\n\n".join(found) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file, whole or not at all, and the folder that it goes to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
