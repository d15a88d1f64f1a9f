"""Make a synthetic data set in the file format of a real one, for the same loader to read.

    python -m data_scripts.make_synthetic --size smoke     # MSRA's format: 2,448 frames, seconds
    python -m data_scripts.make_synthetic --size laptop    # 20,043 frames, minutes, about 1 GB
    python -m data_scripts.make_synthetic --format nyu     # format and camera of another set

What each format holds is told in its module of `formats/`. In every set `synthetic.json` holds
everything that determines the content. The folder appears under its name only when it is complete;
made again with the same settings, nothing happens. If several processes make the same set, one
renders it and the others wait.
"""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from tqdm.auto import tqdm

from data_scripts import formats
from data_scripts.support.command import ended
from handpose_lib import openmp, paths, synth
from handpose_lib.datasets.base import SYNTHETIC, read_settings
from handpose_lib.errors import DataError, HandPoseError, one_of
from handpose_lib.io import locks, provenance

SIZES = ("smoke", "laptop")
DISTRIBUTION = "wide_view"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--format",
        choices=formats.names(),
        default="msra",
        help="which set's format, camera and skeleton",
    )
    parser.add_argument("--size", choices=SIZES, default="smoke", help="how many frames")
    parser.add_argument(
        "--frames",
        "--frames-per-gesture",
        type=int,
        metavar="N",
        help="overrides what --size says; what N counts is told at the end of a run",
    )
    parser.add_argument(
        "--distribution",
        choices=synth.DISTRIBUTIONS,
        default=DISTRIBUTION,
        help="what the frames show",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to make (default: synthetic/FORMAT-SIZE in the data folder)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a synthetic set made with other settings"
    )
    chosen = parser.parse_args(arguments)
    target = formats.get(chosen.format)
    out = (chosen.out or paths.data() / "synthetic" / f"{chosen.format}-{chosen.size}").resolve()
    frames = target.sizes[chosen.size] if chosen.frames is None else chosen.frames
    # Exit on SIGTERM like on an error, which removes the unfinished folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        wanted = settings(target, frames, chosen.distribution, chosen.seed)
        made = make(out, wanted, chosen.force)
    except HandPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{out}: {'made' if made else 'already there'}, {target.total(wanted):,} images"
        f" ({frames:,} {target.counted})"
    )
    return 0


def embedded(size: str) -> Path:
    """Return the folder of the embedded set of a size; render it if it is not there.

    A set that is there stays as it is, whatever code made it.
    Errors: an unknown size, no right to write.
    """
    target = formats.get("msra")
    out = paths.data() / "synthetic" / f"{target.name}-{one_of('size', size, SIZES)}"
    if not out.is_dir():
        make(out, settings(target, target.sizes[size], DISTRIBUTION, seed=0))
    return out


def settings(target: formats.Format, frames: int, distribution: str, seed: int) -> dict:
    """Everything that determines the content, as `synthetic.json` keeps it. Errors: a number that
    does not fit.
    """
    if not 1 <= frames <= target.limit:
        raise HandPoseError(
            f"{frames} {target.counted}: accepted are 1 to {target.limit}, as the format's file"
            " names can count"
        )
    drawn = formats.distribution(distribution, target.left, target.changes)
    return {
        "synthetic": True,
        "protocol": target.name,
        **target.facts(frames),
        "hands": "both" if target.left else "right",
        "seed": seed,
        "distribution": {"name": distribution, **dataclasses.asdict(drawn)},
        "code": provenance.digest(code(target.name)),
    }


def code(name: str) -> list[Path]:
    """The files that draw a set in this format. Tests hold those that write and read it back
    to each other.
    """
    module = Path(__file__).resolve().parent / "formats" / f"{name}.py"
    drawing = [
        path
        for path in provenance.imported(module)
        if path.is_relative_to(provenance.ROOT / "synth")
    ]
    return [module, *provenance.closure(drawing)]


def make(out: Path, wanted: dict, force: bool = False) -> bool:
    """Make the set at `out`; False if it is there already. Errors: something else is there, no
    right to write.
    """
    wanted = json.loads(json.dumps(wanted))
    if out.exists() and not _may_replace(out, wanted, force):
        return False
    openmp.warn_if_slow("rendering")
    with locks.held(out, "rendering", locks.FOR_EVER):
        before = out.with_name(f".{out.name}.before")
        if before.exists() and not out.exists():  # killed between the two renamings below
            os.replace(before, out)
        if out.exists() and not _may_replace(out, wanted, force):
            return False  # another process has made it meanwhile
        partial = out.with_name(f".{out.name}.partial")
        try:
            for left in (partial, before):  # what a killed run left
                shutil.rmtree(left, ignore_errors=True)
            partial.mkdir(parents=True)
            write(partial, wanted)
            if out.exists():
                os.replace(out, before)
            os.replace(partial, out)
        except (OSError, RuntimeError) as error:  # the latter: HDF5, where the disk is full
            if before.exists() and not out.exists():
                os.replace(before, out)
            raise DataError(
                f"{out} cannot be written ({getattr(error, 'strerror', None) or error}); accepted"
                " is a folder with room for it, set by --out or HANDPOSE_DATA"
            ) from error
        finally:
            for left in (partial, before) if out.exists() else (partial,):
                shutil.rmtree(left, ignore_errors=True)
    return True


def write(root: Path, wanted: dict) -> None:
    """Render every frame into `root`, in the format's layout, and say what they are in
    `synthetic.json`.
    """
    target = formats.get(wanted["protocol"])
    with tqdm(total=target.total(wanted), desc="rendering", unit="frame", smoothing=0.1) as bar:

        def written(frames: int) -> None:
            bar.update(frames)

        target.write(root, wanted, written)
    text = json.dumps(wanted, indent=1, ensure_ascii=False)
    (root / SYNTHETIC).write_text(text + "\n", encoding="utf-8", newline="\n")


def _may_replace(out: Path, wanted: dict, force: bool) -> bool:
    """Whether what is at `out` has to be made anew. Errors: it is not ours to replace."""
    if not (out / SYNTHETIC).is_file():
        raise DataError(
            f"{out}: is there and has no {SYNTHETIC}; accepted is a new folder or a synthetic set"
        )
    found = read_settings(out)
    if found == wanted:
        return False
    if not force:
        different = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        raise DataError(
            f"{out}: made with other settings ({', '.join(different)}); accepted are the same"
            " settings, another --out, or --force to replace it"
        )
    return True


if __name__ == "__main__":
    sys.exit(ended(main))
