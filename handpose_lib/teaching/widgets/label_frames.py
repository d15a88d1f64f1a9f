"""A labelling tool: click the joints of a hand on large pictures of depth images.

    tool = label_frames.LabelFrames(frames, "labels.json")       # the last line of a cell
    tool.labels                                                  # as in `evaluation.labels`

Works with the frames of any data set and of a reader's own camera
(`datasets.sr305.read_depth_image`). A first click in a frame, on the whole image, chooses the part
that shows the hand; every further click places the chosen joint, and the next one is chosen.
"""

import base64
import copy
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets

from handpose_lib.errors import HandPoseError
from handpose_lib.evaluation import labels as label_files
from handpose_lib.evaluation.labels import KINDS, SKELETON, Label, Labels
from handpose_lib.frames import DepthFrame
from handpose_lib.teaching import figures, label_pictures
from handpose_lib.teaching.widgets.live import choice
from handpose_lib.teaching.widgets.pages import png

WHOLE_ZOOM, ZOOM = 1, 8
"""Pixels of the picture per pixel of the depth image: of a whole image, and of a window."""
REACH_MM = 130.0
"""The window reaches so far around the first click, at the depth measured there."""


class LabelFrames(ipywidgets.VBox):
    """Label the joints of `frames` and save them to the JSON file `path`.

    A file that is there is continued. Controls: `frame`, `style` and `joint` are menus; `kind` says
    what the next click means; the buttons are `window` (choose the part of the image anew),
    `remove` (the label of the chosen joint), `undo`, `next`, and `save`. `click(x, y)` is what a
    click on the picture does; `u`, `v` and `place` do the same by keyboard. `labels`: the present
    labels. Errors: `HandPoseError` for no frames, and two frames with one id; as of
    `evaluation.labels.read` for a damaged file.
    """

    def __init__(
        self,
        frames: Sequence[DepthFrame],
        path: Path | str,
        dataset: str = "own frames",
        labelled_by: str = "",
    ):
        self.path, self._frames = Path(path), {frame.id: frame for frame in frames}
        if not self._frames or len(self._frames) < len(frames):
            raise HandPoseError(
                f"{len(frames)} frames with {len(self._frames)} ids: accepted is at least one,"
                " each with an id of its own"
            )
        there = self.path.exists()
        self.labels = label_files.read(self.path) if there else Labels(dataset, labelled_by)
        self._before: list[Labels] = []
        self.frame = choice("frame", self._frames)
        self.style = choice("picture", label_pictures.STYLES)
        self.joint = choice("joint", SKELETON.joints)
        self.kind = choice("a click means", KINDS)
        self.window, self.remove, self.undo, self.next, self.save = (
            ipywidgets.Button(description=text)
            for text in ("choose window", "remove label", "undo", "next frame", "save")
        )
        self.image = Clicks(self.click)
        self.u, self.v = (ipywidgets.FloatText(description=name) for name in "uv")
        self.place = ipywidgets.Button(description="place at (u, v)")
        self.place.on_click(self._type)
        self.which = ipywidgets.Image(format="png", layout={"width": "300px"})
        self.message = ipywidgets.HTML()
        for menu in (self.frame, self.style, self.joint):
            menu.observe(self._draw, "value")
        self.window.on_click(self._forget_window)
        self.remove.on_click(self._remove)
        self.undo.on_click(self._undo)
        self.next.on_click(self._next)
        self.save.on_click(self._save)
        buttons = ipywidgets.HBox([self.window, self.remove, self.undo, self.next, self.save])
        menus = [self.frame, self.style, self.joint, self.kind]
        column = ipywidgets.VBox([*menus, self.which, self.u, self.v, self.place])
        super().__init__([buttons, self.message, ipywidgets.HBox([self.image, column])])
        self._draw()

    @property
    def _id(self) -> str:
        return str(self.frame.value)

    @property
    def _joint(self) -> str:
        return str(self.joint.value)

    def click(self, x: float, y: float) -> None:
        """Handle a click at (x, y) of the shown picture, in its pixels from the upper left."""
        box, zoom = self._view()
        self.at(*label_pictures.pixel(box, x, y, zoom))

    def at(self, u: float, v: float) -> None:
        """Choose the window around the pixel (u, v), or place the chosen joint there."""
        frame = self._frames[self._id]
        if not (0 <= u <= frame.camera.width - 1 and 0 <= v <= frame.camera.height - 1):
            return
        self._remember()
        if frame.id not in self.labels.windows:
            self.labels.windows[frame.id] = _around(frame, u, v)
            self._draw()
            return
        marks = self.labels.frames.setdefault(frame.id, {})
        marks[self._joint] = Label(u, v, str(self.kind.value))
        place = SKELETON.joints.index(self._joint)
        if place + 1 < len(SKELETON):
            self.joint.value = SKELETON.joints[place + 1]  # draws
        else:
            self._draw()

    def _view(self) -> tuple[label_pictures.Window, int]:
        frame = self._frames[self._id]
        box = self.labels.windows.get(frame.id)
        if box is None:
            return (0, 0, frame.camera.width, frame.camera.height), WHOLE_ZOOM
        return label_pictures.clipped(frame, box), ZOOM

    def _draw(self, _: object = None) -> None:
        frame = self._frames[self._id]
        (box, zoom), marks = self._view(), self.labels.frames.get(frame.id, {})
        figure = label_pictures.picture(frame, box, marks, str(self.style.value), zoom, self._joint)
        self.image.show(png(figure, label_pictures.DPI, quick=True), figures.alt(figure))
        self.which.value = png(
            label_pictures.figure_of_joints(self._joint, frame.hand), label_pictures.DPI
        )
        self._tell(
            "click the middle of the hand"
            if frame.id not in self.labels.windows
            else f"{len(marks)} of {len(SKELETON)} joints; next: {self._joint}"
        )

    def _type(self, _: object = None) -> None:
        self.at(float(self.u.value or 0), float(self.v.value or 0))

    def _tell(self, text: str) -> None:
        self.message.value = html.escape(text)

    def _remember(self) -> None:
        self._before.append(copy.deepcopy(self.labels))

    def _forget_window(self, _: object = None) -> None:
        self._remember()
        self.labels.windows.pop(self._id, None)
        self._draw()

    def _remove(self, _: object = None) -> None:
        self._remember()
        self.labels.frames.get(self._id, {}).pop(self._joint, None)
        self._draw()

    def _undo(self, _: object = None) -> None:
        if self._before:
            self.labels = self._before.pop()
            self._draw()

    def _next(self, _: object = None) -> None:
        names = [*self._frames]
        self.joint.value = SKELETON.joints[0]
        self.frame.value = names[(names.index(self._id) + 1) % len(names)]

    def _save(self, _: object = None) -> None:
        try:
            label_files.write(self.path, self.labels)
            self._tell(f"{len(self.labels)} labels saved to {self.path}")
        except (HandPoseError, OSError) as error:
            self._tell(str(error))


def _around(frame: DepthFrame, u: float, v: float) -> label_pictures.Window:
    """Return the window around the hand at (u, v)."""
    depth = frame.depth[round(v), round(u)].item() or float(frame.depth[frame.depth > 0].median())
    reach = round(REACH_MM * frame.camera.fx / depth)
    return label_pictures.clipped(
        frame, (round(u) - reach, round(v) - reach, round(u) + reach, round(v) + reach)
    )


class Clicks(ipywidgets.VBox):
    """A picture that reports clicks: `heard(x, y)`, in its own pixels from the upper left.

    ipywidgets has no clicks on images. The picture's `onclick` writes the place into a hidden text
    field, as a keyboard would, and the kernel observes that field. `field.value` is "x y time".
    """

    def __init__(self, heard: Callable[[float, float], None]):
        self._heard = heard
        self.picture = ipywidgets.HTML()
        self.field = ipywidgets.Text(layout={"display": "none"})
        self.field.add_class(_FIELD)
        self.field.observe(self._clicked, "value")
        super().__init__([self.picture, self.field])
        self.add_class(_PICTURE)

    def show(self, content: bytes, alt: str) -> None:
        """Show a PNG, at the size of its pixels."""
        source = base64.b64encode(content).decode()
        self.picture.value = (
            f'<img src="data:image/png;base64,{source}" alt="{html.escape(alt, quote=True)}"'
            f' style="max-width:none;cursor:crosshair" onclick="{html.escape(_ONCLICK)}">'
        )

    def _clicked(self, change: dict[str, Any]) -> None:
        words = str(change["new"]).split()
        try:
            x, y = (float(word) for word in words[:2])
        except ValueError:
            return  # the empty field
        self._heard(x, y)


_FIELD, _PICTURE = "label-click", "label-picture"
_ONCLICK = f"""
const shown = this.getBoundingClientRect();
const x = (event.clientX - shown.left) * this.naturalWidth / shown.width;
const y = (event.clientY - shown.top) * this.naturalHeight / shown.height;
const field = this.closest('.{_PICTURE}').querySelector('.{_FIELD} input');
field.value = x.toFixed(1) + ' ' + y.toFixed(1) + ' ' + Date.now();
field.dispatchEvent(new Event('input', {{bubbles: true}}));
"""
