"""Depth images from an Intel SR305, without joints, and a reader's own depth image.

19 frames of a hand before a person, 640×480, 16-bit PNG in units of 0.125 mm, from the repository
LadaOndris/hand-recognition (MIT licence); both recordings show a right hand. They are obtained by
`python -m data_scripts.fetch_sr305`.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from handpose_lib import paths
from handpose_lib.camera import Camera
from handpose_lib.dataset_specs import SPECS
from handpose_lib.datasets.base import Dataset, folder
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.frames import DepthFrame
from handpose_lib.io import png

UNIT_MM = 0.125
DEPTH_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
"""Pillow's names for one channel of more than 8 bits; an 8-bit picture holds no depth in mm."""


class Sr305(Dataset):
    """The frames in `root`/<recording>/<number>.png, in order. Errors: see `datasets.open`."""

    name = "sr305"
    camera = SPECS["sr305"].camera
    skeleton = None

    def __init__(self, root: Path | str | None = None):
        place = paths.data() / "real_frames" / "sr305" if root is None else root
        self.root = folder(
            Path(place), "sr305", "the frames that `python -m data_scripts.fetch_sr305` obtains"
        )
        self._paths = sorted(
            # some systems leave hidden files beside the real ones, named ._ and so on
            (path for path in self.root.glob("*/*.png") if not path.name.startswith(".")),
            key=lambda path: (path.parent.name, len(path.stem), path.stem),
        )
        if not self._paths:
            raise DataError(
                f"{self.root}: no */*.png; accepted are the frames that `python -m"
                " data_scripts.fetch_sr305` obtains"
            )
        self.protocol = {"joints": "none"}

    def __len__(self) -> int:
        return len(self._paths)

    def _frame(self, i: int) -> DepthFrame:
        path = self._paths[i]
        frame = read_depth_image(path, UNIT_MM, self.camera)
        frame.id = f"{path.parent.name}/{path.stem}"
        return frame

    def _label_digest(self) -> str:
        content = hashlib.sha256()
        for path in self._paths:
            content.update(f"{path.parent.name}/{path.name}\n".encode())
            content.update(path.read_bytes())
        return content.hexdigest()


def read_depth_image(
    path: Path | str, unit_mm: float, camera: Camera, hand: str = "right"
) -> DepthFrame:
    """A depth image of your own: one channel of 16 or 32 bits (PNG, TIFF), 0 = not measured.

    `unit_mm` is what a value of 1 means in mm; `camera` must be that of the image. Errors: a
    missing file, a file that is no such image, a size that is not the camera's, a unit that is not
    positive.
    """
    if not 0 < unit_mm < float("inf"):
        raise HandPoseError(
            f"unit of {unit_mm} mm: accepted is a number above 0, such as 1 or 0.125"
        )
    values = None
    try:
        with open(path, "rb") as file:
            fault = (
                png.damage(file.read(png.BYTES + 1))
                if file.peek(1)[:1] == png.SIGNATURE[:1]
                else None
            )
        if fault:  # decoders pass over damage where they can
            raise ValueError(fault)
        with Image.open(path, formats=("PNG", "TIFF")) as picture:
            mode, size = picture.mode, picture.size
            if mode in DEPTH_MODES and size == (camera.width, camera.height):
                values = np.asarray(picture).astype(np.float32)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; accepted is the path of a depth image") from error
    except png.FAULTS as error:
        short = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: not a readable image ({short}); accepted is a whole PNG or TIFF file"
        ) from error
    if mode not in DEPTH_MODES:
        raise DataError(
            f"{path}: a picture of mode {mode!r}; accepted is one channel of 16 or 32 bits"
        )
    if values is None:
        raise DataError(
            f"{path}: {size[0]}×{size[1]} pixels, but the camera's image is "
            f"{camera.width}×{camera.height}; accepted is the camera that took the image"
        )
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise DataError(
            f"{path}: NaN, infinite or negative depth; accepted are values ≥ 0, 0 = not measured"
        )
    return DepthFrame(
        torch.from_numpy(values * np.float32(unit_mm)), camera, id=Path(path).stem, hand=hand
    )
