"""Data sets on disk, read through one interface.

    frames = open("msra", split="test", subject=8)
    frames[0]            # a DepthFrame: depth in mm, camera, joints in mm in the camera frame
    frames.joints()      # (N, J, 3) mm, without reading images

Each loader converts its set's own convention once, when it reads, into the camera frame of the
book. The facts of the sets are in `handpose_lib.dataset_specs`. A synthetic set is written in the
real set's format and read by the same code; its `synthetic` is True.
"""

from collections.abc import Callable
from pathlib import Path

from handpose_lib.datasets.base import Dataset
from handpose_lib.datasets.dexycb import DexYcb
from handpose_lib.datasets.hands17 import Hands17
from handpose_lib.datasets.icvl import Icvl
from handpose_lib.datasets.itop import Itop
from handpose_lib.datasets.msra import Msra
from handpose_lib.datasets.nyu import Nyu
from handpose_lib.datasets.sr305 import Sr305, read_depth_image
from handpose_lib.errors import one_of

__all__ = ["DATASETS", "Dataset", "open", "read_depth_image"]

DATASETS: dict[str, Callable[..., Dataset]] = {
    "msra": Msra,
    "nyu": Nyu,
    "icvl": Icvl,
    "hands17": Hands17,
    "itop": Itop,
    "dexycb": DexYcb,
    "sr305": Sr305,
}


def open(name: str, root: Path | str | None = None, **options) -> Dataset:
    """Open a data set by name; `options` are those of its class (split, subject, …).

    `root` is its folder, otherwise the place of the set in `paths.data()`. Errors: an unknown name,
    a missing folder, files that are not what the format promises (`DataError`, naming the file).
    """
    return DATASETS[one_of("data set", name, DATASETS)](root, **options)
