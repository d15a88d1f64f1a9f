"""Verification of a data set in the data folder: counts, missing files, damaged files.

The script of a set has a function `inspect(inspection)`, which passes the files that the set should
have to the `Inspection`. The size and the end of every file are checked. A sample of frames is
decoded, or all with `--all`, and the joints are projected into the images, where they must lie on a
surface.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from tqdm.auto import tqdm

from handpose_lib import datasets, paths
from handpose_lib.camera import Camera, xyz_to_uvd
from handpose_lib.datasets.base import SYNTHETIC
from handpose_lib.errors import DataError, HandPoseError

SAMPLE = 50
"""Frames of each part that are decoded by default."""
NAMED = 50
"""Missing files of a folder that are named; the others are counted."""
UNDER_MM, OVER_MM = 80.0, 15.0
"""A joint counts as on the surface from `UNDER_MM` behind it to `OVER_MM` in front of it, in mm."""
ON_SURFACE = 0.4
"""Minimum share of the joints of a sample on the surface. A hand hides some of its own joints; with
a wrong sign almost none lies on it.
"""
PNG_END = b"IEND\xaeB`\x82"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Place = TypeVar("Place")
"""What names an image in messages: a path, or a path and a row."""


class Inspection:
    """What was found in the folder `root`.

    `faults`: one line for each fault; `rows`: a table of what was counted, found and expected;
    `fingerprint`: that of the set as its loader reads it.
    """

    fingerprint: str | None = None

    def __init__(self, root: Path, sample: int | None):
        self.root, self.sample = root, sample
        self.synthetic = (root / SYNTHETIC).is_file()
        self.faults: list[str] = []
        self.rows: list[tuple[str, str, str]] = []

    def fault(self, text: str) -> None:
        """Add a fault."""
        self.faults.append(text)

    def attempt(
        self,
        function: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **options: Arguments.kwargs,
    ) -> Result | None:
        """Return what the function returns, or add a fault and return None for a `DataError`."""
        try:
            return function(*arguments, **options)
        except DataError as error:
            self.fault(str(error))
            return None

    def count(self, what: str, found: int, expected: int | None = None) -> None:
        """Add a row to the table, and a fault if a real set has not the `expected` number."""
        known = expected is not None and not self.synthetic
        self.rows.append((what, f"{found:,}", f"{expected:,}" if known else ""))
        if known and found != expected:
            self.fault(f"{self.root}: {found:,} {what}; the release has {expected:,}")

    def files(
        self, place: Path, names: Iterable[str], is_whole: Callable[[Path, int], bool] | None = None
    ) -> list[str]:
        """Return the files in the folder `place` that are complete; add a fault for each other one.

        `is_whole(path, bytes)` decides whether a file of that size is complete; by default the
        files are PNG files.
        """
        is_whole = is_whole or ends_as_png
        try:
            with os.scandir(place) as entries:
                there = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except OSError as error:
            self.fault(f"{place}: cannot be listed ({error.strerror})")
            return []
        names = list(names)
        missing = [name for name in names if name not in there]
        for name in missing[:NAMED]:
            self.fault(f"missing: {place / name}")
        if len(missing) > NAMED:
            self.fault(f"missing: {len(missing) - NAMED:,} more files in {place}")
        whole = [name for name in names if name in there and is_whole(place / name, there[name])]
        for name in sorted(set(names) & set(there) - set(whole)):
            self.fault(f"damaged: {place / name} is cut off ({there[name]:,} bytes)")
        return whole

    def decode(
        self,
        what: str,
        frames: Sequence[tuple[Place, torch.Tensor]],
        read: Callable[[Place], np.ndarray],
        camera: Camera,
        under_mm: float = UNDER_MM,
    ) -> None:
        """Read a sample of the images, and check that their joints lie on the surface.

        `frames`: images with their joints (J, 3) mm; `read` returns an image (H, W) in mm.
        """
        if not frames:
            return
        shares, chosen = [], list(_spread(frames, self.sample))
        for path, joints in tqdm(chosen, desc=f"decoding {what}", unit="frame", leave=False):
            depth = self.attempt(read, path)
            if depth is None:
                continue
            if not (depth > 0).any():
                self.fault(f"{path}: nothing is measured in this image")
                continue
            shares.append(on_surface(torch.from_numpy(depth), joints, camera, under_mm))
        if not shares:
            return
        share = torch.stack(shares).mean().item()
        self.rows.append((f"{what}: decoded", f"{len(shares):,}", ""))
        self.rows.append((f"{what}: joints on the surface", f"{share:.0%}", ""))
        if share < ON_SURFACE:
            self.fault(
                f"{self.root}, {what}: only {share:.0%} of the joints lie on a surface of their"
                " image; labels and images do not belong together, or follow another convention"
                " than those of the set"
            )

    def opened(self, name: str, **options: Any) -> None:
        """Add a row with the frames that the loader of the set finds in a split."""
        try:
            frames = datasets.open(name, self.root, **options)
            told = ", ".join(f"{key} {value}" for key, value in frames.protocol.items())
            self.rows.append((told, f"{len(frames):,}", ""))
            self.fingerprint = frames.fingerprint
        except HandPoseError as error:
            if str(error) not in self.faults:
                self.fault(str(error))


def ends_as_png(path: Path, size: int) -> bool:
    """Return whether a file ends with the last chunk of a PNG."""
    if size < len(PNG_END):
        return False
    with open(path, "rb") as file:
        file.seek(size - len(PNG_END))
        return file.read() == PNG_END


def on_surface(
    depth: torch.Tensor, joints: torch.Tensor, camera: Camera, under_mm: float = UNDER_MM
) -> torch.Tensor:
    """Return the share of the joints (J, 3) mm that lie on the surface in the image (H, W) mm."""
    u, v, d = xyz_to_uvd(joints, camera).unbind(-1)
    column, row = u.round().long(), v.round().long()
    inside = (column >= 0) & (column < depth.shape[1]) & (row >= 0) & (row < depth.shape[0])
    seen = depth[row.clamp(0, depth.shape[0] - 1), column.clamp(0, depth.shape[1] - 1)]
    return (inside & (seen > d - under_mm) & (seen < d + OVER_MM)).double().mean()


def run(
    description: str | None,
    name: str,
    inspect: Callable[[Inspection], None],
    arguments: list[str] | None = None,
) -> int:
    """Run the command line of a set's script; return 0 if the set is complete, otherwise 1."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="do not explain where to obtain a missing set"
    )
    parser.add_argument(
        "--root", type=Path, help=f"the set's folder (default: {name}/ in the data folder)"
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=SAMPLE,
        metavar="N",
        help="frames of each part to decode (default: %(default)s)",
    )
    parser.add_argument("--all", action="store_true", help="decode every frame")
    chosen = parser.parse_args(arguments)
    root = (chosen.root or paths.data() / name).resolve()
    if not root.is_dir():
        print(f"no folder: {root}" if root.exists() else f"missing: {root}", file=sys.stderr)
        if description and not chosen.check:
            print(f"\n{description.strip()}", file=sys.stderr)
        return 1
    inspection = Inspection(root, None if chosen.all else max(1, chosen.sample))
    inspect(inspection)
    _print(inspection, name)
    return 1 if inspection.faults else 0


def _print(inspection: Inspection, name: str) -> None:
    kind = f"a synthetic set in the format of {name}" if inspection.synthetic else name
    print(f"{inspection.root}: {kind}, fingerprint {inspection.fingerprint or 'unknown'}")
    width = max((len(what) for what, _, _ in inspection.rows), default=0)
    for what, found, expected in inspection.rows:
        print(f"  {what:<{width}}  {found:>9}{f'  of {expected}' if expected else ''}")
    for fault in inspection.faults:
        print(fault, file=sys.stderr)
    print(
        f"{len(inspection.faults)} faults"
        if inspection.faults
        else "no fault in the files that were checked"
    )


def _spread(frames: Sequence, sample: int | None) -> Iterable:
    """Return `sample` frames, evenly spaced from the first to the last; all of them for None."""
    if sample is None or sample >= len(frames):
        return frames
    return (frames[i * (len(frames) - 1) // max(1, sample - 1)] for i in range(sample))
