"""The cube around a hand: how large it is, and where it sits."""

import functools

import torch

from handpose_lib import prepare, skeleton
from handpose_lib.camera import xyz_to_uvd
from handpose_lib.frames import Crops
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, number


def moved(rendered, centre, side=240.0, offset=(0.0, 0.0, 0.0)) -> Crops:
    """The crops of `rendered` frames (`synth.Rendered`) in cubes of `side` mm, `offset` mm
    (x, y, z) off their `centre` (B, 3) mm.
    """
    centre = centre + torch.as_tensor(offset, dtype=centre.dtype)
    return prepare.crop(
        rendered.depth, rendered.camera, centre, side, rendered.joints, rendered.hands, rendered.ids
    )


def outside(crops: Crops) -> torch.Tensor:
    """(B,) share of each frame's joints that the view does not hold."""
    return (prepare.to_view(crops.joints, crops).abs() > 1).any(-1).double().mean(1)


def picture(rendered, centre, side=240.0, offset=(0.0, 0.0, 0.0), row=0, size=96, joints="msra21"):
    """The cube of frame `row` in the camera's image, and what a network of `size` pixels sees of
    it; other arguments as of `moved`.

    The share of joints outside counts over all frames.
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
    figures.bones(prepare.to_view(one.joints, one)[0, :, :2], bones, right)
    figure.set_label(
        f"a synthetic hand with the square of a cube of {side:.0f} mm around it, and the network's"
        " view of that cube with the skeleton"
    )
    return figure


def live(rendered, centre, row=0):
    """Side and place of the cube, and the frame, of `picture`."""
    controls = {
        "side": number("side (mm)", 240, 100, 400, 10),
        **{axis: number(f"{axis} off by (mm)", 0, -100, 100, 5) for axis in "xyz"},
        "row": number("frame", row, 0, len(rendered) - 1),
    }

    def read(values):
        return {
            "side": values["side"],
            "offset": [values[axis] for axis in "xyz"],
            "row": int(values["row"]),
        }

    return Live(functools.partial(picture, rendered, centre), controls, read=read)
