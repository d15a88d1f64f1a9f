"""The depth cameras that many readers have, by name: units and intrinsics from public sources.

    presets.find("d435", 848, 480)              # the Camera of an 848×480 image
    presets.PRESETS["d435"].unit_mm             # what a value of 1 means in its 16-bit images
    presets.from_json("metadata.json", 480, 640)

Every number is that of one device, or of its makers' documents; other devices of the same kind
differ by one or two percent, and so do all lengths across the image. The intrinsics that your own
camera's software prints are better. They must be those of the *depth* stream; a depth image that
was aligned to the colour image has the intrinsics of the colour camera.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handpose_lib import dataset_specs
from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.io.storage import read_json

ASPECT = 0.01
"""Largest relative difference of an image's height from that of the scaled native image."""


@dataclass(frozen=True)
class Preset:
    """A kind of camera.

    title     as its makers write it
    unit_mm   what a value of 1 means in mm in its images of whole numbers
    views     its intrinsics at native resolutions; none if every device has its own, which its
              exports state
    source    where the numbers come from
    """

    title: str
    unit_mm: float
    views: tuple[Camera, ...]
    source: str


def _cropped(camera: Camera, width: int, height: int) -> Camera:
    """Return the camera of the middle part of the image, scaled to the full height."""
    scale = height / camera.height
    return Camera(
        camera.fx * scale,
        camera.fy * scale,
        (camera.u0 + 0.5) * scale - 0.5 - (camera.width * scale - width) / 2,
        (camera.v0 + 0.5) * scale - 0.5,
        width,
        height,
    )


_D415 = Camera(952.828, 952.828, 646.699, 342.637, 1280, 720)
_UNIT = "unit: github.com/realsenseai/librealsense/issues/10663"

PRESETS: Mapping[str, Preset] = {
    "d405": Preset(
        "Intel RealSense D405",
        0.1,
        (Camera(425.008, 425.008, 428.628, 241.712, 848, 480),),
        "github.com/ayadabdalla/phantom-touch, phantomtouch/utils/hw_camera.py; another device with"
        " 426.6 pixels: github.com/realsenseai/realsense-ros/issues/3289; unit:"
        " github.com/realsenseai/librealsense/pull/8946",
    ),
    "d415": Preset(
        "Intel RealSense D415",
        1.0,
        (_D415, _cropped(_D415, 640, 480)),
        "github.com/realsenseai/librealsense/issues/10273; images of 640×480 have the same vertical"
        " field of view (data sheet of the D400 series, table of the fields of view, quoted in"
        f" github.com/bmegli/realsense-network-hardware-video-encoder/issues/14); {_UNIT}",
    ),
    "d435": Preset(
        "Intel RealSense D435, D435i, D435f",
        1.0,
        (
            Camera(637.6, 637.6, 638.3, 370.5, 1280, 720),
            Camera(382.6, 382.6, 319.0, 246.3, 640, 480),
        ),
        "github.com/orlb/MiningRobot, autonomy/vision/calibration.cpp; another device with 384.2"
        " pixels at 640×480 and 424.2 at 848×480:"
        f" github.com/realsenseai/realsense-ros/issues/2788; {_UNIT}",
    ),
    "d455": Preset(
        "Intel RealSense D455",
        1.0,
        (
            Camera(641.5, 641.5, 640.4, 363.8, 1280, 720),
            Camera(384.9, 384.9, 320.2, 242.3, 640, 480),
        ),
        f"github.com/orlb/MiningRobot, autonomy/vision/calibration.cpp; {_UNIT}",
    ),
    "sr300": Preset(
        "Intel RealSense SR300",
        0.125,
        (dataset_specs.preset("hands17"),),
        "the camera of the data set HANDS2017; another device with 473.0 pixels, and the unit:"
        " github.com/realsenseai/librealsense/issues/10838, github.com/LadaOndris/hand-recognition",
    ),
    "sr305": Preset(
        "Intel RealSense SR305",
        0.125,
        (dataset_specs.preset("sr305"),),
        "github.com/LadaOndris/hand-recognition, whose frames this book uses",
    ),
    "kinect_v2": Preset(
        "Microsoft Kinect v2 (Kinect for Xbox One)",
        1.0,
        (Camera(365.456, 365.456, 254.878, 205.395, 512, 424),),
        "Kinect2DepthCameraDefault in github.com/isl-org/Open3D,"
        " cpp/open3d/camera/PinholeCameraIntrinsic.cpp; two devices with 368.1 and 365.4 pixels,"
        " and the unit: github.com/OpenKinect/libfreenect2/issues/41 and 325",
    ),
    "azure_kinect": Preset(
        "Microsoft Azure Kinect, narrow field of view",
        1.0,
        (Camera(503.928, 503.979, 332.064, 325.881, 640, 576),),
        "github.com/panispani/3DReconstruct, pointCloudGen/calib.md; the raw numbers of another"
        " device give 503.9 pixels: github.com/microsoft/Azure-Kinect-Sensor-SDK/issues/1617. The"
        " wide field of view has too much distortion for a pinhole camera: undistort it first",
    ),
    "structure": Preset(
        "Occipital Structure Sensor",
        1.0,
        (Camera(570.924, 570.924, 319.5, 239.5, 640, 480),),
        "metadata of ScanNet's recordings, huggingface.co/datasets/Gen3DF/tennacs_ply; other"
        " devices of ScanNet have up to 577.9 pixels",
    ),
    "truedepth": Preset(
        "Apple TrueDepth, the front camera of an iPhone or iPad",
        1.0,
        (),
        "480×640 or 640×480 pixels, floating metres:"
        " github.com/marek-simonik/record3d/issues/114 and 23. No source gives intrinsics that hold"
        " for all models, and every export states its own: the key K of Record3D's metadata",
    ),
}
"""Every preset by name."""


def find(name: str, width: int, height: int) -> Camera:
    """Return the camera `name` for an image of this size.

    A native resolution is taken as it stands; any other image is taken as a native one that was
    scaled. Errors: an unknown name, a camera without intrinsics, and an image of another shape than
    all native ones, which was cropped: the message names what to state instead.
    """
    preset = PRESETS[one_of("camera", name, PRESETS)]
    if not preset.views:
        raise HandPoseError(
            f"camera {name}: every device has its own intrinsics; state fx, fy, u0, v0, or the"
            " JSON file of the export that holds them"
        )
    for view in preset.views:
        if (view.width, view.height) == (width, height):
            return view
    for view in preset.views:
        scale = width / view.width
        rest = height - scale * view.height
        if abs(rest) <= ASPECT * height:
            return _scaled(view, scale, width, height)
    sizes = " and ".join(f"{view.width}×{view.height}" for view in preset.views)
    raise HandPoseError(
        f"camera {name}: an image of {width}×{height} pixels has another shape than its native"
        f" {sizes}, so it was cropped or turned; state fx, fy, u0, v0 of this image"
    )


def from_json(path: Path | str, width: int, height: int) -> Camera:
    """Return the camera that a JSON file of an export states, for an image of this size.

    Accepted are the keys `fx`, `fy` and `u0`, `v0` (or `cx`, `cy`, or `ppx`, `ppy`), a matrix as
    `K`, `intrinsic_matrix` or `camera_matrix` (three rows, or nine numbers row by row or column by
    column), and optionally the size to which they belong as `width`, `height` (or `w`, `h`).
    Errors: `DataError` for a file that is no JSON object, `HandPoseError` for missing or impossible
    numbers, and for a size of another shape than the image's.
    """
    stated = read_json(Path(path))
    numbers = _stated(stated)
    if numbers is None:
        raise HandPoseError(
            f"{path}: no intrinsics; accepted are the keys fx, fy, u0, v0 (or cx, cy, or ppx, ppy),"
            " or a matrix K, intrinsic_matrix or camera_matrix"
        )
    own = [_first(stated, names) for names in (("width", "w"), ("height", "h"))]
    if not all(isinstance(side, int | float) and side >= 1 for side in own):
        return Camera(*numbers, width, height)
    view = Camera(*numbers, int(own[0]), int(own[1]))
    scale = width / view.width
    if abs(height - scale * view.height) > ASPECT * height:
        raise HandPoseError(
            f"{path}: intrinsics of {view.width}×{view.height} pixels, but the image has"
            f" {width}×{height}; accepted is the file of this image"
        )
    return _scaled(view, scale, width, height)


def _scaled(view: Camera, scale: float, width: int, height: int) -> Camera:
    """Return the camera of the scaled image; the centre of the first pixel is (0, 0)."""
    rest = height - scale * view.height
    return Camera(
        scale * view.fx,
        scale * view.fy,
        scale * (view.u0 + 0.5) - 0.5,
        scale * (view.v0 + 0.5) - 0.5 + rest / 2,
        width,
        height,
    )


def _stated(stated: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Return fx, fy, u0, v0 of a JSON object; None if it does not state them."""
    matrix = _first(stated, ("K", "intrinsic_matrix", "camera_matrix"))
    if isinstance(matrix, list):
        flat = [n for row in matrix for n in (row if isinstance(row, list) else [row])]
        if len(flat) != 9 or not all(_is_number(n) for n in flat):
            return None
        # The last row of the matrix is 0, 0, 1: the places of its zeros tell the order.
        row_by_row = isinstance(matrix[0], list) or (flat[6] == 0 and flat[7] == 0)
        u0, v0 = (flat[2], flat[5]) if row_by_row else (flat[6], flat[7])
        return flat[0], flat[4], u0, v0
    found = [
        _first(stated, names)
        for names in (("fx",), ("fy",), ("u0", "cx", "ppx"), ("v0", "cy", "ppy"))
    ]
    if not all(_is_number(n) for n in found):
        return None
    return found[0], found[1], found[2], found[3]


def _first(stated: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((stated[name] for name in names if name in stated), None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
