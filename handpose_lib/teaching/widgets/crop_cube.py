"""The cube around a hand: its size and its position."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from handpose_lib import prepare, skeleton
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.frames import Crops
from handpose_lib.synth import Rendered
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, number


def moved(
    rendered: Rendered,
    centre: torch.Tensor,
    side: float = 240.0,
    offset: Sequence[float] = (0.0, 0.0, 0.0),
) -> Crops:
    """Return the crops of `rendered` frames in cubes of `side` mm around `centre` + `offset`.

    `centre`: (B, 3) mm; `offset`: x, y, z in mm.
    """
    centre = centre + torch.as_tensor(offset, dtype=centre.dtype)
    return prepare.crop(
        rendered.depth, rendered.camera, centre, side, rendered.joints, rendered.hands, rendered.ids
    )


def outside(crops: Crops) -> torch.Tensor:
    """Return (B,), the share of each frame's joints that lie outside the view."""
    return (canvas.joints_in_view(crops).abs() > 1).any(-1).double().mean(1)


def picture(
    rendered: Rendered,
    centre: torch.Tensor,
    side: float = 240.0,
    offset: Sequence[float] = (0.0, 0.0, 0.0),
    row: int = 0,
    size: int = 96,
    joints: str = "msra21",
) -> Figure:
    """Draw the cube of frame `row` in the camera's image, and the input of a network.

    The input has `size` pixels along a side; other arguments as in `moved`. The share of joints
    outside is that of all frames.
    """
    crops, bones = moved(rendered, centre, side, offset), skeleton.get(joints)
    one, lens = crops.index(slice(row, row + 1)), rendered.camera
    figure, (left, right) = canvas.panels(3.6, 2.8, height=2.8)
    figures.depth_image(rendered.depth[row], axes=left)
    canvas.title(left, f"cube of {side:.0f} mm")
    left.spines[:].set_visible(True)
    half = torch.tensor((lens.fx, lens.fy)) * one.cube / 2 / one.centre[0, 2]
    canvas.square(left, xyz_to_uvd(one.centre[0], lens)[:2], half, figures.VERMILION)
    canvas.crop_image(right, prepare.image(one, size)[0, 0])
    canvas.title(
        right,
        f"{outside(crops).mean():.1%} of all joints lie outside;\none pixel is {side / size:.1f} mm"
        " wide",
    )
    figures.bones(canvas.joints_in_view(one)[0, :, :2], bones, right)
    figure.set_label(
        f"a synthetic hand with the square of a cube of {side:.0f} mm around it, and the network's"
        " view of that cube with the skeleton"
    )
    return figure


def live(rendered: Rendered, centre: torch.Tensor, row: int = 0) -> Live:
    """Return `picture` with controls for side and position of the cube, and the frame."""
    controls = {
        "side": number("side (mm)", 240, 100, 400, 10),
        **{axis: number(f"{axis} off by (mm)", 0, -100, 100, 5) for axis in "xyz"},
        "row": number("frame", row, 0, len(rendered) - 1),
    }

    def read(values: dict[str, Any]) -> dict[str, Any]:
        return {
            "side": values["side"],
            "offset": [values[axis] for axis in "xyz"],
            "row": int(values["row"]),
        }

    return Live(functools.partial(picture, rendered, centre), controls, read=read)
