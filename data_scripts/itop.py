"""ITOP: obtain it, and see whether it is all there.

39,795 training and 10,501 test frames of 20 persons, 320×240, from the front and from above, with
15 joints of the body (Haque et al., Towards Viewpoint Invariant 3D Human Pose Estimation, ECCV
2016, which the authors ask to cite). The set can be downloaded freely from
https://zenodo.org/records/3932973; read the terms there.

    python -m data_scripts.itop --obtain                     # the front view, about 9 GB unpacked
    python -m data_scripts.itop --obtain --view top          # the view from above
    python -m data_scripts.itop                              # verify and print a summary
    python -m data_scripts.itop --check                      # the same; name what is missing or
    damaged, tell nothing else
    python -m data_scripts.itop --all                        # decode every frame

It goes to the folder itop/ of the data folder (data/, or what HANDPOSE_DATA says). A download that
breaks off goes on where it stopped when the command is given again. The archive states an MD5 for
each file; it is asked for and held against what came. For the labels of the front view's test part
the MD5 is known here as well. Depth and labels are enough; point clouds and pictures are not
fetched. Optional, reference points: center_train.txt and center_test.txt for ITOP under "Results"
on
https://github.com/mks0601/V2V-PoseNet_RELEASE, in a folder for each view; open the set with
centres=FOLDER.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import requests
import torch

from data_scripts.support import archives, downloads
from data_scripts.support.checking import Inspection, run
from data_scripts.support.command import ended
from handpose_lib import paths
from handpose_lib.datasets import itop
from handpose_lib.errors import DataError
from handpose_lib.io import hdf5, locks

SERVER = "https://zenodo.org"
RECORD = "3932973"
KNOWN = {"ITOP_side_test_labels.h5.gz": "md5:7205b0ba47f76892742ded774754d7a1"}
PACKED, UNPACKED = 8 << 30, 16 << 30
"""More bytes than any of the files has, packed and unpacked."""
LISTING = 1 << 22
"""More bytes than the archive's list of files has."""
KINDS = ("labels", "depth_map")
UNDER_MM = 160.0
"""The joints of a body lie deeper under its surface than those of a hand."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--obtain", action="store_true")
    parser.add_argument("--view", choices=itop.VIEWS, default="front")
    parser.add_argument("--server", default=SERVER)
    parser.add_argument("--root", type=Path)
    chosen, rest = parser.parse_known_args(arguments)
    root = (chosen.root or paths.data() / "itop").resolve()
    if chosen.obtain:
        try:
            obtain(root, chosen.view, chosen.server)
        except DataError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return run(__doc__ or "", "itop", inspect, ["--root", str(root), *rest])


def obtain(root: Path, view: str, server: str = SERVER, pause: float = downloads.PAUSE) -> None:
    """Fetch and unpack the files of a view that are not there and whole. Errors: `DataError`, see
    `downloads.obtain`.
    """
    names = [f"ITOP_{itop.VIEWS[view]}_{part}_{kind}.h5" for part in itop.PARTS for kind in KINDS]
    lacking = [name for name in names if not is_whole(root / name)]
    listed = listing(server) if lacking else {}
    for name in lacking:
        if f"{name}.gz" not in listed:
            raise DataError(
                f"{server}: record {RECORD} lists no {name}.gz; accepted is the record as its page"
                " shows it"
            )
        with locks.held(root / name, "downloading", locks.FOR_EVER):
            if not is_whole(root / name):  # another process may have fetched it meanwhile
                _fetch(root, name, listed, server, pause)


def _fetch(root: Path, name: str, listed: dict[str, str], server: str, pause: float) -> None:
    """Fetch and unpack one file."""
    packed = root / f"{name}.gz"
    url = f"{server}/records/{RECORD}/files/{packed.name}?download=1"
    downloads.obtain(url, packed, listed[packed.name], PACKED, pause)
    archives.gunzip(packed, root / name, UNPACKED)
    if not is_whole(root / name):
        raise DataError(
            f"{root / name}: came whole by its hash and cannot be read; accepted is an HDF5"
            " file of ITOP"
        )
    packed.unlink()


def listing(server: str) -> dict[str, str]:
    """File → hash, as the archive states them. Errors: no answer, an answer that is no list,
    another hash than known here.
    """
    url = f"{server}/api/records/{RECORD}"
    try:
        with requests.get(url, timeout=downloads.TIMEOUT, stream=True) as response:
            response.raise_for_status()
            body = response.raw.read(LISTING, decode_content=True)
        found = {str(file["key"]): str(file["checksum"]) for file in json.loads(body)["files"]}
    except (requests.RequestException, OSError) as error:
        raise DataError(
            f"{url} cannot be reached ({type(error).__name__}); accepted is a network that reaches"
            f" {server}, or the files put in the folder by hand, unpacked"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{url} sent no list of files; accepted is what the archive's page shows, the files put"
            " in the folder by hand, unpacked"
        ) from error
    for name, known in KNOWN.items():
        if found.get(name, known) != known:
            raise DataError(
                f"{url}: {name} has {found[name]}, known here is {known}: the record has changed;"
                " nothing was fetched"
            )
    return found


def is_whole(path: Path) -> bool:
    """Whether a file is there and can be opened as what its name says; that all of it is sound is
    for `inspect`.
    """
    try:
        with hdf5.opened(path, "ITOP") as file:
            hdf5.dataset(file, "id", (None,), "S")
        return True
    except DataError:
        return False


class Place(NamedTuple):
    """An image in a depth file, for messages."""

    path: Path
    row: int

    def __str__(self):
        return f"{self.path}, frame {self.row}"


def inspect(found: Inspection) -> None:
    """Count every file of the views that are there, hold depth against labels, decode a sample of
    each part.
    """
    views = [view for view, side in itop.VIEWS.items() if list(found.root.glob(f"ITOP_{side}_*"))]
    for view in views or ["front"]:
        for part in itop.PARTS:
            stem = f"ITOP_{itop.VIEWS[view]}_{part}"
            labels = found.attempt(itop.read_labels, found.root / f"{stem}_labels.h5")
            if labels is None:
                continue
            valid = labels["is_valid"] > 0
            persons = len({name.split(b"_")[0] for name in labels["id"].tolist()})
            found.count(f"frames of {view} {part}", len(valid), itop.COUNTS[part])
            found.count(f"persons of {view} {part}", persons, itop.PERSONS[part])
            found.count(f"valid frames of {view} {part}", int(valid.sum()))
            look_at(found, f"{view} {part}", found.root / f"{stem}_depth_map.h5", labels, valid)
    for view in views or ["front"]:
        for split in itop.PARTS:
            found.opened("itop", view=view, split=split)


def look_at(
    found: Inspection,
    what: str,
    path: Path,
    labels: dict[str, np.ndarray],
    valid: np.ndarray,
) -> None:
    """Check the depth file at `path` against the labels; `valid` (n,) bool: which frames count."""
    file = found.attempt(hdf5.open, path, "ITOP's depth file")
    if file is None:
        return
    with file:
        data = found.attempt(
            hdf5.dataset, file, "data", (len(valid), itop.CAMERA.height, itop.CAMERA.width), "f"
        )
        if data is None:
            return
        # From above a head hides most of a body: only joints that the labels call visible have to
        # lie on a surface.
        seen = labels["visible_joints"] > 0
        frames = [
            (Place(path, int(row)), torch.from_numpy(labels["joints"][row][seen[row]]))
            for row in (valid & seen.any(1)).nonzero()[0]
        ]
        found.decode(
            what, frames, lambda place: itop.read_depth(data, place.row), itop.CAMERA, UNDER_MM
        )


if __name__ == "__main__":
    sys.exit(ended(main))
