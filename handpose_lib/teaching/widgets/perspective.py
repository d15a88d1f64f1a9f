"""Viewpoint and distance: what perspective makes of one and the same pose, and which crop undoes
how much of it.
"""

import math
from dataclasses import replace

import torch

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
"""The side of the cube in mm, and that of the window and of the network's image in pixels."""


def scene(distance=400.0, aside=0.0, yaw=0.0, pitch=0.0, gesture="5") -> tuple[torch.Tensor, Crops]:
    """The depth image (240, 320) mm of a hand, and its crop.

    The mean of its joints is `distance` mm in front of the camera and `aside` degrees to the right
    of its axis; its pose is one of `poses.POSES`, turned by `yaw` and `pitch` degrees: another
    viewpoint. Errors: a distance that is not above 0, an angle of 90° and more to the side.
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
    shift = wanted - posed.joints(HAND.name).mean(1)
    posed = replace(
        posed,
        keypoints=posed.keypoints + shift,
        spheres=torch.cat((posed.spheres[..., :3] + shift, posed.spheres[..., 3:]), -1),
    )
    depth, joints = raycast.depth(posed.solids(), CAMERA), posed.joints(HAND.name)
    return depth[0], prepare.crop(depth, CAMERA, wanted, CUBE, joints)


def distortion(crops: Crops) -> torch.Tensor:
    """(B,) mm, the mean distance of where the image shows a joint from where it is in the cube,
    across the view.

    Source: the two maps of `prepare.view`; without perspective they are one.
    """
    apart = prepare.to_view(crops.joints, crops) - prepare.xyz_to_cube(crops.joints, crops)
    return apart[..., :2].norm(dim=-1).mean(1) * crops.cube / 2


def picture(distance=400.0, aside=0.0, yaw=0.0, pitch=0.0, gesture="5"):
    """The camera's image, the same number of pixels around the hand, and the same cube around it;
    arguments as of `scene`.

    In the cube, full lines join the joints where the image shows them, dashed ones where they are.
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
    figures.bones(prepare.to_view(crops.joints, crops)[0, :, :2], HAND, cube)
    figures.bones(prepare.xyz_to_cube(crops.joints, crops)[0, :, :2], HAND, cube, "dashed")
    figure.set_label(
        f"a synthetic hand {distance:.0f} mm from the camera and {aside:.0f} degrees aside: its"
        " depth image, a window of fixed pixels and a window of the fixed cube around it, with the"
        " skeleton in the image and, dashed, without perspective"
    )
    return figure


def live():
    """Distance, place in the image, viewpoint and gesture of the hand in `picture`."""
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
