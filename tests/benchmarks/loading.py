"""How many crops per second does training receive from a data set's own files and from the cache?

    python tests/benchmarks/loading.py                   # a minute on two CPU cores

Prints a table and the same as JSON. The frames are synthetic, in MSRA's format. Three sources give
the same batches: `files`, read and cut each time; `packed`, from the cache; `kept`, windows in
memory. They take turns, and the median of the rounds counts. `computed` counts the seconds that the
process computed in all its threads, so that a busy machine hides nothing; `clock` those on the
wall, with as many threads as the machine has cores.

Stated: the packed cache feeds at least 2,000 crops per second on two cores.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import torch

from data_scripts import make_synthetic
from handpose_lib import datasets, training
from handpose_lib.datasets import msra
from handpose_lib.training import crop_cache

CUBES, BATCH, ROUNDS = (240.0, 250.0, 260.0), 32, 5
STATED = 2000
"""Crops per second on two cores."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1088, help="frames of the set")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        found = loading(folder, chosen.frames)
    finally:
        shutil.rmtree(folder)
    print(table(found))
    print(json.dumps(found, indent=1))
    return 0


def loading(folder: Path, frames: int) -> dict:
    data = stored_frames(folder / "msra", frames)
    clock = time.process_time()
    source = crop_cache.Packed(data, CUBES, path=folder / "packed")
    packing = time.process_time() - clock
    sources = {
        "files": training.Stored(data, CUBES, memory=0),
        "packed": source,
        "kept": training.Stored(data, CUBES),
    }
    for _ in sources["kept"].sweep():
        pass
    same = all(
        torch.equal(sources[name].batch(3, BATCH).depth, sources["packed"].batch(3, BATCH).depth)
        for name in sources
    )
    if not same:
        raise SystemExit("the sources give different batches")
    steps = max(2, len(data) // BATCH)
    rounds = [
        {
            name: crops_per_second(s, steps if name != "files" else max(2, steps // 4))
            for name, s in sources.items()
        }
        for _ in range(ROUNDS)
    ]
    return {
        "frames": len(data),
        "batch": BATCH,
        "threads": workers(),
        "bytes_per_crop": sum(path.stat().st_size for path in (folder / "packed").iterdir())
        / len(data),
        "packing_crops_per_second_computed": len(data) / packing,
        **{
            f"{name}_crops_per_second_{kind}": median(r[name][kind] for r in rounds)
            for name in sources
            for kind in ("computed", "clock")
        },
        "packed_over_files": median(
            r["packed"]["computed"] / r["files"]["computed"] for r in rounds
        ),
        "stated_crops_per_second": STATED,
    }


def crops_per_second(source, steps: int) -> dict:
    """Batches of shuffled frames, made by all cores at once."""
    clock, computed = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers()) as pool:
        for crops in pool.map(lambda step: source.batch(step, BATCH), range(steps)):
            assert len(crops) == BATCH
    return {
        "computed": steps * BATCH / (time.process_time() - computed),
        "clock": steps * BATCH / (time.perf_counter() - clock),
    }


def workers() -> int:
    return min(2, os.cpu_count() or 1)


def stored_frames(root: Path, count: int) -> datasets.Dataset:
    """`count` or a few more training frames in MSRA's format."""
    each = -(-count // (8 * len(msra.GESTURES)))
    with contextlib.redirect_stdout(sys.stderr):
        make_synthetic.main(["--frames", str(each), "--out", str(root)])
    return datasets.open("msra", root)


def table(found: dict) -> str:
    lines = [
        (
            f"{found['frames']:,} frames in batches of {found['batch']}, {found['threads']}"
            f" threads, {found['bytes_per_crop'] / 1024:.1f} KiB per packed crop"
        ),
        f"{'crops per second':24}{'computed':>12}{'clock':>12}",
    ]
    lines += [
        f"{name:24}{found[f'{name}_crops_per_second_computed']:12,.0f}{found[f'{name}_crops_per_second_clock']:12,.0f}"
        for name in ("files", "packed", "kept")
    ]
    lines.append(f"{'packing':24}{found['packing_crops_per_second_computed']:12,.0f}")
    lines.append(
        f"packed over files: {found['packed_over_files']:.1f} times; stated are {STATED:,} on two"
        " cores"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
