"""Builds the live page's files: classic scripts, which a browser loads from `file://` as well.

    python -m pipeline.live.build network jgr_p2o _build/live/networks/jgr_p2o.js
    python -m pipeline.live.build page _build/live/page

A network's script holds its ONNX model. The page's folder holds

    hand.js        the hand and the networks, as JSON
    live.js        the page's own code
    live.css       its style
    runtime.js     ONNX Runtime Web
    wasm.js        its WebAssembly binary
    licences.txt   the licences of the packages in these scripts

Binaries are compressed by gzip and written in base 64, because a script may contain only text.
"""

import argparse
import base64
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.live import NETWORKS, hand_model, networks, toolchain

GLOBAL = "handLive"
"""The one name that all scripts share."""
PACKAGES = ("onnxruntime-web", "onnxruntime-common", "fast-png", "iobuffer", "fflate")
"""npm packages of which code is in the scripts."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    one = tasks.add_parser("network", help="export one network")
    one.add_argument("name", choices=NETWORKS)
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
    """Return the script that holds a network's ONNX model."""
    return model(name, networks.exported(networks.open(name)))


def model(name: str, exported: bytes) -> str:
    """Return the script that holds an ONNX model."""
    return data(f"models.{name}", exported)


def page(out: Path, names: Sequence[str] = NETWORKS) -> None:
    """Write the page's folder, all files or none. `names`: the networks that it offers."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".page-", dir=out.parent) as folder:
        place = Path(folder) / "page"
        place.mkdir()
        known = {
            "model": hand_model.described(),
            "networks": [networks.described(networks.open(name)) for name in names],
        }
        write(place / "hand.js", f"globalThis.{GLOBAL} = {json.dumps({**known, 'models': {}})};\n")
        bundle(place)
        binary = toolchain.modules() / "onnxruntime-web" / "dist" / "ort-wasm-simd-threaded.wasm"
        write(place / "wasm.js", data("wasm", binary.read_bytes()))
        write(place / "licences.txt", licences())
        shutil.copyfile(toolchain.PAGE / "src" / "live.css", place / "live.css")
        shutil.rmtree(out, ignore_errors=True)
        place.replace(out)


def bundle(place: Path) -> None:
    """Write `live.js` and `runtime.js`. Errors: `SystemExit` with esbuild's message."""
    with toolchain.workspace() as source:
        for name in ("live", "runtime"):
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
                f"--outfile={place.resolve() / f'{name}.js'}",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if answer.returncode:
                raise SystemExit(f"esbuild cannot bundle {name}.js:\n{answer.stdout}")


def data(place: str, content: bytes) -> str:
    """Return a script that stores bytes under a name of `GLOBAL`."""
    packed = gzip.compress(content, 9, mtime=0)
    return f'globalThis.{GLOBAL}.{place} = "{base64.b64encode(packed).decode()}";\n'


def licences() -> str:
    """Return the licences of the packages whose code is in the scripts."""
    found = []
    for name in PACKAGES:
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
