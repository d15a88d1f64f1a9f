"""Pictures of a reader's own depth image: the answer over the image, in space, and a pixel picker.

own_image.overlay(answer)          # a matplotlib figure
own_image.space(answer, 0)         # a plotly figure of the first hand, which can be turned
own_image.picker(frame)            # click on the hand, and read the pixel
"""

import base64
import hashlib
from typing import Any

import matplotlib.pyplot as plt
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from handpose_lib.camera import depth_to_points, xyz_to_uvd
from handpose_lib.frames import DepthFrame
from handpose_lib.own_images import predictions
from handpose_lib.own_images.answers import Answer
from handpose_lib.own_images.predictions import Hand
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import pages

DEEP = 240.0
"""Depth in mm around the hands that has its own greys; what is farther is dark."""
POINTS = 6000
"""Number of points in space at most."""


def overlay(answer: Answer) -> Figure:
    """Return the image with the skeletons of all hands, and beside it each hand enlarged."""
    columns = 1 + len(answer.hands)
    figure, panels = plt.subplots(
        1,
        columns,
        figsize=(4.8 + 3.6 * len(answer.hands), 3.9),
        width_ratios=(4, *[3] * len(answer.hands)),
    )
    whole, *enlarged = panels
    _image(whole, answer)
    whole.set_title(answer.frame.id)
    for number, (hand, axes) in enumerate(zip(answer.hands, enlarged), start=1):
        middle, half = _window(answer, hand)
        for one in (whole, axes):
            figures.bones(_pixels(answer, hand), predictions.skeleton(), one)
        whole.add_patch(
            Rectangle(
                (middle[0] - half, middle[1] - half),
                2 * half,
                2 * half,
                fill=False,
                color=figures.ORANGE,
                linewidth=1.5,
            )
        )
        _image(axes, answer)
        axes.set(
            xlim=(middle[0] - half, middle[0] + half),
            ylim=(middle[1] + half, middle[1] - half),
            title=f"hand {number}: {hand.side}" + ("" if hand.decided else " (a guess)"),
        )
    figure.set_label(
        f"depth image with {len(answer.hands)} predicted hand skeletons, each also enlarged"
    )
    return figure


def space(answer: Answer, number: int = 0) -> Any:
    """Return the points of a hand and its skeleton as a plotly figure, which readers turn.

    `number`: of the hand, from 0.
    """
    hand = answer.hands[number]
    points = depth_to_points(answer.frame.depth[None], answer.frame.camera)[0]
    near = (answer.frame.depth > 0) & (
        (points - hand.found.centre).abs().amax(-1) <= predictions.cube() / 2
    )
    shown = points[near]
    shown = shown[:: -(-len(shown) // POINTS)]
    return pages.space(
        shown,
        hand.joints,
        predictions.skeleton(),
        title=f"{answer.frame.id}, hand {number + 1}",
        alt="measured points of the hand and the predicted skeleton; drag to turn them",
    )


def picker(frame: DepthFrame) -> HTML:
    """Return the image as HTML that shows the pixel on which a reader clicks.

    It needs no kernel. The line below the image is what the cell of the parameters takes.
    """
    height, width = frame.depth.shape
    figure = plt.figure(figsize=(width / 100, height / 100), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    _grey(axes, frame.depth, frame.depth[frame.depth > 0])
    axes.set_axis_off()
    picture = base64.b64encode(pages.png(figure, dpi=100)).decode()
    name = "pick-" + hashlib.sha256(picture.encode()).hexdigest()[:12]
    return HTML(f"""<div id="{name}" style="max-width:640px;position:relative">
<img src="data:image/png;base64,{picture}" alt="the depth image; click on the hand"
style="width:100%;cursor:crosshair;background:white">
<output style="display:block;font-family:monospace">click on the hand</output></div>
<script>
(function () {{
  const place = document.getElementById("{name}"), image = place.querySelector("img");
  image.addEventListener("click", event => {{
    const box = image.getBoundingClientRect();
    const u = Math.floor((event.clientX - box.left) / box.width * {width});
    const v = Math.floor((event.clientY - box.top) / box.height * {height});
    place.querySelector("output").textContent = `point = (${{u}}, ${{v}})`;
  }});
}})();
</script>""")


# --- helpers --------------------------------------------------------------------


def _image(axes: Axes, answer: Answer) -> None:
    """Draw the depth image with its greys around the hands."""
    depths = torch.stack([hand.found.centre[2] for hand in answer.hands])
    _grey(axes, answer.frame.depth, torch.cat((depths - DEEP / 2, depths + DEEP / 2)))


def _grey(axes: Axes, depth: torch.Tensor, values: torch.Tensor) -> None:
    near, far = values.min().item(), values.max().item()
    figures.depth_image(
        torch.where(depth > 0, depth.clamp(near, far), 0), axes=axes, near=near, far=far
    )


def _pixels(answer: Answer, hand: Hand) -> torch.Tensor:
    return xyz_to_uvd(hand.joints, answer.frame.camera)[:, :2]


def _window(answer: Answer, hand: Hand) -> tuple[tuple[float, float], float]:
    """Return middle and half side in pixels of a window around the cube and the skeleton."""
    camera, centre = answer.frame.camera, hand.found.centre
    middle = xyz_to_uvd(centre, camera)[:2]
    reach = camera.fx * predictions.cube() / 2 / centre[2]
    half = torch.maximum(reach, 1.05 * (_pixels(answer, hand) - middle).abs().max())
    return (middle[0].item(), middle[1].item()), half.item()
