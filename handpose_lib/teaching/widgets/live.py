"""Figures with controls in a running notebook: `Live`, and the controls."""

import contextlib
import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from handpose_lib.errors import HandPoseError
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets.pages import png

DPI = 72
"""Lower than on a page, because a figure is drawn at every move of a slider."""


class Live(ipywidgets.HBox):
    """Controls beside a figure: `picture(**values)` is drawn again whenever one of them changes.

    `picture`: a pure function that returns a matplotlib figure. `controls`: ipywidgets by the names
    of its arguments. `panel`: the widget that holds them; by default they are in a column. `read`:
    converts the controls' values by name to the arguments of `picture`; by default they are equal.
    The message of a `HandPoseError` of `picture` is shown above the last figure. `arguments` are
    those of the last figure; `held` is true while drawing is suspended (`together`).
    """

    def __init__(
        self,
        picture: Callable[..., Figure],
        controls: Mapping[str, Any],
        panel: ipywidgets.Widget | None = None,
        read: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
    ):
        self.controls, self.arguments = controls, {}
        self._picture, self._read, self.held = picture, read, False
        self.image = ipywidgets.Image(
            format="png", layout={"object_fit": "contain", "max_width": "100%"}
        )
        self.message = ipywidgets.HTML()
        panel = panel or ipywidgets.VBox([*controls.values()])
        super().__init__(
            [panel, ipywidgets.VBox([self.message, self.image])],
            layout={"flex_flow": "row wrap", "grid_gap": "16px"},
        )
        for control in controls.values():
            control.observe(self.draw, "value")
        self.draw()

    def draw(self, _: object = None) -> None:
        """Draw the figure for the present values; `_` is the change of a control."""
        if self.held:
            return
        others = plt.get_fignums()
        try:
            arguments = self._read({name: control.value for name, control in self.controls.items()})
            figure = self._picture(**arguments)
            self.image.tooltip = figures.alt(figure)
            self.image.value = png(figure, dpi=DPI, quick=True)
            self.arguments, self.message.value = arguments, ""
        except HandPoseError as error:
            self.message.value = html.escape(str(error))
        finally:
            for number in set(plt.get_fignums()) - set(others):  # figures left by an error
                plt.close(number)

    @contextlib.contextmanager
    def together(self) -> "Iterator[Live]":
        """Change several controls and draw only once: `with live.together(): ...`."""
        self.held = True
        try:
            yield self
        finally:
            self.held = False
        self.draw()

    def close(self) -> None:
        """Close all widgets of the figure, with their layouts and styles."""
        for widget in list(_inside(self, set())):
            widget.unobserve_all()
            ipywidgets.Widget.close(widget)


def number(
    name: str, value: float, low: float, high: float, step: float = 1, digits: int = 0
) -> ipywidgets.FloatSlider:
    """Return a slider for a number."""
    return ipywidgets.FloatSlider(
        float(value),
        min=low,
        max=high,
        step=step,
        description=name,
        readout_format=f".{digits}f",
        style={"description_width": "150px"},
        layout={"width": "380px"},
    )


def count(name: str, value: int, low: int, high: int) -> ipywidgets.IntSlider:
    """Return a slider for a whole number."""
    return ipywidgets.IntSlider(
        int(value),
        min=low,
        max=high,
        description=name,
        style={"description_width": "150px"},
        layout={"width": "380px"},
    )


def choice(name: str, options: Iterable[Any], value: Any = None) -> ipywidgets.Dropdown:
    """Return a menu; `options` are values, or pairs of a text and a value.

    `value`: the one that is chosen, by default the first.
    """
    options = [*options]
    first = options[0][1] if isinstance(options[0], tuple) else options[0]
    return ipywidgets.Dropdown(
        options=options,
        value=first if value is None else value,
        description=name,
        style={"description_width": "150px"},
        layout={"width": "380px"},
    )


def tick(name: str, value: bool) -> ipywidgets.Checkbox:
    """Return a check box."""
    return ipywidgets.Checkbox(bool(value), description=name, indent=False)


def _inside(
    widget: ipywidgets.Widget, known: set[ipywidgets.Widget]
) -> Iterator[ipywidgets.Widget]:
    """Yield every widget below one, then the widget itself: children, layouts, styles."""
    if widget in known:
        return
    known.add(widget)
    for value in [*widget.trait_values().values()]:
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, ipywidgets.Widget):
                yield from _inside(part, known)
    yield widget
