"""Viewpoint and distance: how perspective changes the image of one pose, and which crops correct
it.
"""

import math

import torch
from matplotlib.figure import Figure

from handpose_lib import camera as cameras
from handpose_lib import dataset_specs, prepare, skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.synth.hands import hand, poses
from handpose_lib.synth.scene import raycast
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, choice, number

CAMERA, HAND, CUBE, WINDOW = dataset_specs.preset("msra"), skeleton.get("msra21"), 250.0, 96
"""`CUBE`: its side in mm; `WINDOW`: side of the window and of the network's image in pixels."""


def scene(
    distance: float = 400.0,
    aside: float = 0.0,
    yaw: float = 0.0,
    pitch: float = 0.0,
    gesture: str = "5",
) -> tuple[torch.Tensor, Crops]:
    """Return the depth image (240, 320) mm of a hand, and its crop.

    The mean of its joints is `distance` mm in front of the camera and `aside` degrees to the right
    of its axis. Its pose is one of `poses.POSES`, turned by `yaw` and `pitch` degrees, which is
    another viewpoint. Errors: `HandPoseError` for a distance that is not above 0, and an angle of
    90° or more to the side.
    """
    if not 0 < distance < math.inf or not -90 < aside < 90:
        raise HandPoseError(
            f"distance {distance} mm, {aside}° aside: accepted are a distance above 0 and angles"
            " between −90° and 90°"
        )
    turn = [torch.tensor([math.radians(angle)]) for angle in (yaw, pitch, 0.0)]
    angles, wanted = (
        poses.preset(gesture).float()[None],
        torch.tensor([[distance * math.tan(math.radians(aside)), 0.0, distance]]),
    )
    posed = hand.posed(
        hand.subject(0), poses.assemble(angles, torch.zeros(1, 3), *turn), forearm=40.0
    )
    posed = posed.moved(wanted - posed.joints(HAND.name).mean(1))
    depth, joints = raycast.depth(posed.solids(), CAMERA), posed.joints(HAND.name)
    return depth[0], prepare.crop(depth, CAMERA, wanted, CUBE, joints)


def distortion(crops: Crops) -> torch.Tensor:
    """Return (B,), the mean displacement of joints in the image by perspective, in mm.

    It is the distance across the view between the two maps of `prepare.view`, which are equal
    without perspective.
    """
    apart = canvas.joints_in_view(crops) - canvas.joints_in_cube(crops)
    return apart[..., :2].norm(dim=-1).mean(1) * crops.cube / 2


def picture(
    distance: float = 400.0,
    aside: float = 0.0,
    yaw: float = 0.0,
    pitch: float = 0.0,
    gesture: str = "5",
) -> Figure:
    """Draw the camera's image, a window of fixed pixels, and a crop of a fixed cube.

    Arguments as in `scene`. In the crop, solid lines connect the joints as the image shows them,
    dashed ones as they are in the cube.
    """
    depth, crops = scene(distance, aside, yaw, pitch, gesture)
    middle = cameras.xyz_to_uvd(crops.centre[0], CAMERA)[:2]
    half = CAMERA.fx * CUBE / 2 / crops.centre[0, 2]
    figure, (left, window, cube) = canvas.panels(2.93, 2.2, 2.2, height=2.2)
    figures.depth_image(depth, axes=left)
    canvas.title(left, f"at {distance:.0f} mm")
    left.spines[:].set_visible(True)
    canvas.square(left, middle, WINDOW / 2, figures.BLUE)
    canvas.square(left, middle, half, figures.VERMILION)
    figures.depth_image(depth, axes=window)
    canvas.title(window, f"blue: {WINDOW} pixels")
    u, v = middle.tolist()
    window.set(xlim=(u - WINDOW / 2, u + WINDOW / 2), ylim=(v + WINDOW / 2, v - WINDOW / 2))
    canvas.crop_image(cube, prepare.image(crops, WINDOW)[0, 0])
    canvas.title(cube, f"red: {CUBE:.0f} mm; off by {distortion(crops)[0]:.1f} mm")
    figures.bones(canvas.joints_in_view(crops)[0, :, :2], HAND, cube)
    figures.bones(canvas.joints_in_cube(crops)[0, :, :2], HAND, cube, "dashed")
    figure.set_label(
        f"a synthetic hand {distance:.0f} mm from the camera and {aside:.0f} degrees aside: its"
        " depth image, a window of fixed pixels and a window of the fixed cube around it, with the"
        " skeleton in the image and, dashed, without perspective"
    )
    return figure


def live() -> Live:
    """Return `picture` with controls for distance, position, viewpoint and gesture of the hand."""
    return Live(
        picture,
        {
            "distance": number("distance (mm)", 400, 300, 1500, 10),
            "aside": number("aside (°)", 0, -25, 25),
            "yaw": number("yaw (°)", 0, -180, 180),
            "pitch": number("pitch (°)", 0, -90, 90),
            "gesture": choice("pose", poses.POSES, "5"),
        },
    )
