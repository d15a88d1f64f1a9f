"""A hand to pose: 26 sliders, its depth image, its skeleton, and a trained network's prediction."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import ipywidgets
import torch
from matplotlib.figure import Figure

from handpose_lib import dataset_specs, skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.results import pretrained
from handpose_lib.synth.hands import hand, poses
from handpose_lib.synth.scene import raycast
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, choice, number, tick

RESTING = torch.tensor([0.0, 60.0, 400.0] + [0.0] * 23)
"""A flat hand in the middle of the image, its palm to the camera."""


class PosedLive(Live):
    """A live figure with a menu of gestures, `gesture`."""

    gesture: ipywidgets.Dropdown


def picture(
    pose: torch.Tensor | Sequence[float],
    subject: int = 0,
    camera: str = "msra",
    overlay: bool = True,
    forearm: float = 60.0,
    network: pretrained.Pretrained | None = None,
) -> Figure:
    """Draw the depth image of a posed hand with its skeleton, and a network's prediction, dashed.

    `pose`: (26,) as in `hand.DOF`, mm and rad; `subject`: the number of a person. The network's
    cube sits at the mean of the true joints. Errors: `HandPoseError` for a pose of another shape.
    """
    pose = torch.as_tensor(pose, dtype=torch.float32)
    if pose.shape != (len(hand.DOF),):
        raise HandPoseError(
            f"pose of shape {tuple(pose.shape)}: accepted is ({len(hand.DOF)},), mm and rad as in"
            " hand.DOF"
        )
    lens = dataset_specs.preset(camera)
    posed = hand.posed(hand.subject(subject), pose[None], forearm=forearm)
    depth, joints = raycast.depth(posed.solids(), lens), posed.joints("msra21")
    said, text = None, ""
    if network is not None:
        said = network.joints(depth, lens, joints.mean(1))[0]
        text = f"dashed: {network.record.key}, {(said - joints[0]).norm(dim=-1).mean():.0f} mm off"
    figure, (axes,) = canvas.panels(4.4, height=4.4 * lens.height / lens.width)
    figures.depth_image(
        depth[0], lens, joints[0] if overlay else None, skeleton.get("msra21"), said, axes
    )
    canvas.title(axes, text, fontsize=9)
    return figure


def live(
    pose: torch.Tensor | Sequence[float] | None = None, subject: int = 0, camera: str = "msra"
) -> PosedLive:
    """Return `picture` with sliders for the 26 degrees of freedom, in groups.

    `pose`: (26,), the first one, mm and rad. The menu of gestures sets the twenty angles of the
    fingers; the menu of networks contains those that come with the book. `arguments["pose"]` of the
    result is the present pose.
    """
    pose = RESTING if pose is None else torch.as_tensor(pose, dtype=torch.float32)
    sliders = {}
    for place, name in enumerate(hand.DOF):
        low, high = (hand.LIMITS[place] * _unit(place)).tolist()
        sliders[name] = number(name, float(pose[place]) * _unit(place), low, high)
    gesture = choice(
        "gesture", [("as the sliders say", ""), *((name, name) for name in poses.POSES)]
    )
    others = {
        "network": choice("network", [("none", ""), *((key, key) for key in pretrained.names())]),
        "overlay": tick("skeleton", True),
    }
    groups = ipywidgets.Accordion(
        [ipywidgets.VBox([sliders[name] for name in members]) for members in hand.GROUPS.values()],
        titles=tuple(hand.GROUPS),
        selected_index=3,
    )
    trained = functools.cache(pretrained.load)

    def read(values: dict[str, Any]) -> dict[str, Any]:
        return {
            "pose": torch.tensor(
                [values[name] / _unit(place) for place, name in enumerate(hand.DOF)]
            ),
            "network": trained(values["network"]) if values["network"] else None,
            "overlay": values["overlay"],
        }

    shown = PosedLive(
        functools.partial(picture, subject=subject, camera=camera),
        {**others, **sliders},
        ipywidgets.VBox([gesture, *others.values(), groups]),
        read,
    )
    shown.gesture = gesture

    def show_gesture(change: dict[str, Any]) -> None:
        if change["new"]:
            with shown.together():
                for name, angle in zip(hand.DOF[6:], poses.preset(change["new"]).tolist()):
                    sliders[name].value = math.degrees(angle)

    def forget_gesture(_: object) -> None:
        if not shown.held:
            gesture.value = ""

    gesture.observe(show_gesture, "value")
    for name in hand.DOF[6:]:
        sliders[name].observe(forget_gesture, "value")
    return shown


def _unit(place: int) -> float:
    """Return the factor from the pose to the slider: 1 for mm, degrees per radian for angles."""
    return 1.0 if place < 3 else 180 / math.pi
