"""A pure picture behind controls, in a running notebook: `Live`, and the controls that the book's
figures are made of.
"""

import contextlib
import html

import ipywidgets
import matplotlib.pyplot as plt

from handpose_lib.errors import HandPoseError
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets.pages import png

DPI = 72
"""Coarser than on a page: what is drawn at every move of a slider should be there at once."""


class Live(ipywidgets.HBox):
    """Controls beside the picture that they turn: `picture(**values)` is drawn again whenever one
    of them changes.

    `picture`: a pure function that returns a matplotlib figure. `controls`: ipywidgets by the names
    of its arguments.
    `panel`: the widget that holds them, if not one below the other. `read`: from the controls'
    values by name to the arguments of `picture`, where they are not the same. What `picture`
    refuses with a `HandPoseError` stands as text above the last picture. `arguments` is what was
    drawn last; `held`, whether it waits (`together`).
    """

    def __init__(self, picture, controls, panel=None, read=dict):
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

    def draw(self, _=None):
        """Draw the picture for the present values; `_` is the change that asks for it."""
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
            for number in set(plt.get_fignums()) - set(others):  # what an error left behind
                plt.close(number)

    @contextlib.contextmanager
    def together(self):
        """Change several controls, and draw once: `with live.together(): ...`."""
        self.held = True
        try:
            yield self
        finally:
            self.held = False
        self.draw()

    def close(self):
        """Dispose of the figure: every widget that it is made of, their layouts and styles
        included.
        """
        for widget in list(_inside(self, set())):
            widget.unobserve_all()
            ipywidgets.Widget.close(widget)


def number(name, value, low, high, step=1, digits=0):
    """A slider for a number."""
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


def count(name, value, low, high):
    """A slider for a whole number."""
    return ipywidgets.IntSlider(
        int(value),
        min=low,
        max=high,
        description=name,
        style={"description_width": "150px"},
        layout={"width": "380px"},
    )


def choice(name, options, value=None):
    """A menu; `options` are values, or pairs of a text and a value. The first one is chosen if
    `value` is None.
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


def tick(name, value):
    """A box to tick."""
    return ipywidgets.Checkbox(bool(value), description=name, indent=False)


def _inside(widget, known):
    """The widget and every one below it: children, layouts, styles."""
    if widget in known:
        return
    known.add(widget)
    for value in [*widget.trait_values().values()]:
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, ipywidgets.Widget):
                yield from _inside(part, known)
    yield widget
