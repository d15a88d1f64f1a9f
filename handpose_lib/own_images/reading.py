"""Reading depth images of any common kind: PNG, TIFF, NPY and NPZ, in any unit.

    stored = reading.read("depth.png")                 # the values of the file
    read = reading.frame("depth.png", settings)        # read.frame in mm, with its camera
    images, others = reading.images("recording/")      # the files of a folder

In the values, 0, NaN, infinity and 65535 mean that nothing was measured.
"""

import io
import re
import tokenize
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from handpose_lib.camera import Camera
from handpose_lib.errors import DataError, HandPoseError
from handpose_lib.frames import DepthFrame
from handpose_lib.io import png
from handpose_lib.own_images import presets
from handpose_lib.own_images.settings import Settings

SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".npz")
MADE = "_hand"
"""End of the names of the files that `python -m handpose_lib` writes."""
NOTHING = 65535
"""The largest 16-bit number, by which some programs say that nothing was measured."""
MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
"""Pillow's names for one channel of more than 8 bits."""
SIDES, PIXELS, BYTES = (32, 8192), 1 << 24, 1 << 28
"""Shortest and longest side of an image; number of its pixels, and bytes of its file, at most."""
METRES_BELOW = 20.0
"""Floating values with a smaller median are taken for metres: no room is 20 mm deep, and in few
rooms is the wall 20 m away.
"""
_WHAT = "accepted is a depth image: PNG or TIFF with one channel of 16 or 32 bits, NPY or NPZ"


@dataclass(frozen=True)
class Stored:
    """The values of a depth image, in the unit of its file.

    values     (H, W) float32, 0 = not measured
    whole      whether they are whole numbers
    """

    values: np.ndarray
    whole: bool


def images(place: Path) -> tuple[list[Path], list[Path]]:
    """Return the depth images of a file or folder in natural order, and the folder's other files.

    Hidden files, and those that the command of this library has written, count as others.
    Errors: `DataError` for a folder without an image.
    """
    if not place.is_dir():
        return [place], []
    files = sorted((path for path in place.iterdir() if path.is_file()), key=_natural)
    found = [
        path
        for path in files
        if path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and not path.stem.endswith(MADE)
    ]
    if not found:
        raise DataError(
            f"{place}: a folder without a depth image; accepted are files that end in"
            f" {', '.join(SUFFIXES)}"
        )
    return found, [path for path in files if path not in found]


@dataclass(frozen=True)
class Read:
    """A depth image in mm, the length in mm of a value of 1, and a sentence that says both."""

    frame: DepthFrame
    unit_mm: float
    says: str


def frame(path: Path | str, settings: Settings) -> Read:
    """Return a depth image in mm with its camera. The `id` of its frame is the file's name without
    suffix.

    Errors: `DataError` as in `read`, and for an image without a measurement; `HandPoseError` for a
    camera that does not fit.
    """
    path = Path(path)
    stored = read(path)
    height, width = stored.values.shape
    try:
        camera = camera_of(settings, width, height)
    except HandPoseError as error:
        raise HandPoseError(f"{path}: {error}") from error
    if not stored.values.any():
        raise DataError(f"{path}: nothing is measured in any pixel; accepted is a depth image")
    unit = unit_mm(stored, settings)
    depth = torch.from_numpy(stored.values * np.float32(unit))
    hand = "left" if settings.hand == "left" else "right"
    measured = depth[depth > 0]
    says = (
        f"{width}×{height} pixels, {len(measured) / depth.numel():.0%} measured,"
        f" {measured.min():.0f} to {measured.max():.0f} mm"
        f" ({'stated' if settings.unit_mm else 'assumed'} unit: {unit:g} mm)"
    )
    return Read(DepthFrame(depth, camera, id=path.stem, hand=hand), unit, says)


def camera_of(settings: Settings, width: int, height: int) -> Camera:
    """Return the camera of an image of this size. Errors: a size that does not fit the settings."""
    stated = (settings.width or width, settings.height or height)
    if stated != (width, height):
        raise HandPoseError(
            f"parameters width and height: given {stated[0]}×{stated[1]}, but the image has"
            f" {width}×{height} pixels; accepted is its size: leave them out"
        )
    if settings.fx is not None:
        assert settings.u0 is not None and settings.v0 is not None
        return Camera(
            settings.fx, settings.fy or settings.fx, settings.u0, settings.v0, width, height
        )
    if settings.intrinsics is not None:
        return presets.from_json(settings.intrinsics, width, height)
    assert settings.camera is not None  # `settings.check` requires one of the three
    return presets.find(settings.camera, width, height)


def unit_mm(stored: Stored, settings: Settings) -> float:
    """Return the length in mm of a value of 1.

    It is the one in the settings. Without it, whole numbers have the unit of the camera, or 1 mm;
    floating ones are metres if their median is below `METRES_BELOW`, otherwise mm.
    """
    if settings.unit_mm is not None:
        return settings.unit_mm
    if stored.whole:
        return presets.PRESETS[settings.camera].unit_mm if settings.camera else 1.0
    return 1000.0 if np.median(stored.values[stored.values > 0]) < METRES_BELOW else 1.0


def read(path: Path | str) -> Stored:
    """Return the values of a depth image.

    A PNG or TIFF has one channel of 16 or 32 bits; an NPY holds one array (H, W) of numbers; an NPZ
    holds one such array, or several of which one is called `depth`. An axis of length 1 is left
    out. Nothing is unpickled.
    Errors: `DataError` that names the file, what it holds, and what is accepted.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = file.read(BYTES + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; {_WHAT}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {_WHAT}") from error
    if len(content) > BYTES:
        raise DataError(f"{path}: more than {BYTES >> 20} MiB; {_WHAT}")
    if content.startswith(b"\x93NUMPY"):
        values = _array(path, content)
    elif content.startswith(b"PK"):
        values = _archive(path, content)
    else:
        values = _picture(path, content)
    return _checked(path, values)


# --- formats --------------------------------------------------------------------


def _picture(path: Path, content: bytes) -> np.ndarray:
    """Return the values of a PNG or TIFF."""
    try:
        # Decoders pass over damage where they can.
        if content[:1] == png.SIGNATURE[:1] and (fault := png.damage(content)):
            raise ValueError(fault)
        with Image.open(io.BytesIO(content), formats=("PNG", "TIFF")) as picture:
            mode, (width, height), pages = picture.mode, picture.size, _pages(picture)
            if mode in MODES and pages == 1:
                _size(path, height, width)
                return np.asarray(picture)
    except DataError:
        raise
    except png.FAULTS as error:
        short = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a readable image ({short}); {_WHAT}") from error
    if pages != 1:
        raise DataError(f"{path}: an image of {pages} pages; accepted is one page a file")
    bits = "8 bits or fewer a channel" if mode in ("1", "L", "P") else f"kind {mode}"
    raise DataError(f"{path}: a picture of {bits}, which holds no depth in mm; {_WHAT}")


def _pages(picture: Image.Image) -> int:
    return int(getattr(picture, "n_frames", 1))


def _array(path: Path, content: bytes) -> np.ndarray:
    """Return the array of an NPY, after its header said that it is small enough."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = read_header(stream)
        if kind.hasobject:
            raise ValueError("it holds Python objects")
        _size(path, *_flat(path, shape))
        stream.seek(0)
        return np.load(stream, allow_pickle=False)
    except DataError:
        raise
    except (*png.FAULTS, EOFError, tokenize.TokenError, RecursionError) as error:
        short = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a readable NPY ({short}); {_WHAT}") from error


def _archive(path: Path, content: bytes) -> np.ndarray:
    """Return the array of an NPZ: the only one of two axes, or the one called `depth`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            names = [info.filename.removesuffix(".npy") for info in members]
            if len(members) != 1 and names.count("depth") != 1:
                raise DataError(
                    f"{path}: an archive with the arrays {', '.join(names) or 'none'}; accepted is"
                    " one array, or several of which one is called depth"
                )
            member = members[0 if len(members) == 1 else names.index("depth")]
            if member.file_size > BYTES:
                raise DataError(f"{path}: an array of more than {BYTES >> 20} MiB; {_WHAT}")
            return _array(path, archive.read(member))
    except DataError:
        raise
    except (zipfile.BadZipFile, *png.FAULTS, NotImplementedError, RuntimeError, EOFError) as error:
        short = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a readable NPZ ({short}); {_WHAT}") from error


# --- checks ---------------------------------------------------------------------


def _checked(path: Path, values: np.ndarray) -> Stored:
    """Return the values as float32, with 0 where nothing was measured."""
    if values.dtype.kind not in "uif" or values.dtype.itemsize == 1:
        raise DataError(
            f"{path}: an array of {values.dtype}; accepted are numbers of 16, 32 or 64 bits"
        )
    whole = values.dtype.kind != "f"
    values = values.reshape(_flat(path, values.shape))
    nothing = ~np.isfinite(values)
    if not (values.dtype.kind == "f" and values.dtype.itemsize == 2):  # which cannot hold it
        nothing |= values == NOTHING
    with np.errstate(over="ignore"):
        values = np.where(nothing, 0, values).astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: values above {np.finfo(np.float32).max:g}; accepted is depth")
    if (values < 0).any():
        share = float((values < 0).mean())
        raise DataError(
            f"{path}: {share:.0%} of the values are negative; accepted is depth along an axis that"
            " points away from the camera, with 0, NaN, infinity or 65535 where nothing was"
            " measured"
        )
    return Stored(values, whole)


def _flat(path: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of an array whose other axes have the length 1."""
    long = [side for side in shape if side != 1]
    if len(long) != 2 or len(shape) > 4:
        raise DataError(
            f"{path}: an array of shape {tuple(shape)}; accepted is one depth image (H, W)"
        )
    return long[0], long[1]


def _size(path: Path, height: int, width: int) -> None:
    if not (SIDES[0] <= min(height, width) and max(height, width) <= SIDES[1]) or (
        height * width > PIXELS
    ):
        raise DataError(
            f"{path}: {width}×{height} pixels; accepted are sides from {SIDES[0]} to {SIDES[1]} and"
            f" at most {PIXELS:,} pixels"
        )


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key by which 9 comes before 10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
