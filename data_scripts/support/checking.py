"""Looking through a data set that somebody put in the data folder: what is missing, what is
damaged, what is there.

A script describes its set with a function `inspect(inspection)`, which walks the layout and tells
the `Inspection` what it expects. Every file is listed and its size and end are looked at; a sample
of frames is decoded, or all with `--all`, and the joints are projected into the images, where they
have to lie on a surface.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from tqdm.auto import tqdm

from handpose_lib import datasets, paths
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.errors import DataError, HandPoseError

SAMPLE = 50
"""So many frames of each part are decoded, unless told otherwise."""
NAMED = 50
"""So many missing files of a folder are named; of the others there is a count."""
UNDER_MM, OVER_MM = 80.0, 15.0
"""A joint lies by at most so much under the surface that is seen at its pixel, and hardly over it.
"""
ON_SURFACE = 0.4
"""At least this share of the joints of a sample does. A hand hides some of its own joints; of a
wrong sign, almost none.
"""
PNG_END = b"IEND\xaeB`\x82"


class Inspection:
    """What was found in the folder `root`: `faults`, one line each, and `rows` of a table: what,
    found, expected.
    """

    def __init__(self, root: Path, sample: int | None):
        self.root, self.sample = root, sample
        self.synthetic = (root / datasets.base.SYNTHETIC).is_file()
        self.faults: list[str] = []
        self.rows: list[tuple[str, str, str]] = []

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def attempt(self, function: Callable, *arguments, **options):
        """What the function gives, or None and a fault if it raises a `DataError`."""
        try:
            return function(*arguments, **options)
        except DataError as error:
            self.fault(str(error))
            return None

    def count(self, what: str, found: int, expected: int | None = None) -> None:
        """A row of the table; a fault where a real set has another number than its release."""
        known = expected is not None and not self.synthetic
        self.rows.append((what, f"{found:,}", f"{expected:,}" if known else ""))
        if known and found != expected:
            self.fault(f"{self.root}: {found:,} {what}; the release has {expected:,}")

    def files(
        self, place: Path, names: Iterable[str], is_whole: Callable[[Path, int], bool] | None = None
    ) -> list[str]:
        """Which of the files are there and, by their size and end, whole; the others become faults.

        `is_whole(path, bytes)` tells the latter; without it they are PNG files.
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
        frames: Sequence[tuple[Path, torch.Tensor]],
        read: Callable,
        camera,
        under_mm: float = UNDER_MM,
    ) -> None:
        """Read a sample of the images and see whether the joints (J, 3) mm beside each lie on the
        surface it shows.
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
                " image; labels and images do not belong together, or have another convention than"
                " the set's"
            )

    def opened(self, name: str, **options) -> None:
        """A row for a split as the loader reads it."""
        try:
            frames = datasets.open(name, self.root, **options)
            told = ", ".join(f"{key} {value}" for key, value in frames.protocol.items())
            self.rows.append((told, f"{len(frames):,}", ""))
            self.fingerprint = frames.fingerprint
        except HandPoseError as error:
            if str(error) not in self.faults:
                self.fault(str(error))

    fingerprint: str | None = None


def ends_as_png(path: Path, size: int) -> bool:
    """Whether a file ends as a whole PNG does."""
    if size < len(PNG_END):
        return False
    with open(path, "rb") as file:
        file.seek(size - len(PNG_END))
        return file.read() == PNG_END


def on_surface(
    depth: torch.Tensor, joints: torch.Tensor, camera, under_mm: float = UNDER_MM
) -> torch.Tensor:
    """The share of the joints (J, 3) mm that lie in the image (H, W) mm and just under what is seen
    there.
    """
    u, v, d = xyz_to_uvd(joints, camera).unbind(-1)
    column, row = u.round().long(), v.round().long()
    inside = (column >= 0) & (column < depth.shape[1]) & (row >= 0) & (row < depth.shape[0])
    seen = depth[row.clamp(0, depth.shape[0] - 1), column.clamp(0, depth.shape[1] - 1)]
    return (inside & (seen > d - under_mm) & (seen < d + OVER_MM)).double().mean()


def run(
    description: str,
    name: str,
    inspect: Callable[[Inspection], None],
    arguments: list[str] | None = None,
) -> int:
    """The command line of a set's script; returns its exit code: 0 if the set is there and whole."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="only verify what is there, and name what is not"
    )
    parser.add_argument(
        "--root", type=Path, help=f"the set's folder (default: {name}/ in the data folder)"
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=SAMPLE,
        metavar="N",
        help="frames of each part to decode (%(default)s)",
    )
    parser.add_argument("--all", action="store_true", help="decode every frame")
    chosen = parser.parse_args(arguments)
    root = (chosen.root or paths.data() / name).resolve()
    if not root.is_dir():
        print(f"no folder: {root}" if root.exists() else f"missing: {root}", file=sys.stderr)
        if not chosen.check:
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
        else "whole, as far as it was looked at"
    )


def _spread(frames: Sequence, sample: int | None) -> Iterable:
    """As many as asked for, evenly from the first to the last."""
    if sample is None or sample >= len(frames):
        return frames
    return (frames[i * (len(frames) - 1) // max(1, sample - 1)] for i in range(sample))
