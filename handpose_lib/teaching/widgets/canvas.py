"""Small figures that are drawn fast: panels at fixed places, without pyplot.

They need no automatic layout, and need not be closed.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from handpose_lib import prepare
from handpose_lib.frames import Crops
from handpose_lib.teaching import figures

TITLE, GAP, TICKS, LABEL = 0.5, 0.2, 0.65, 0.55
"""Inches: above a panel, between two, left of and below one with numbers at its axes."""
_NO_LAYOUT: Any = "none"  # a value that the type hints of `Figure` lack


def panels(
    *widths: float, height: float = 3.0, numbered: Collection[int] = ()
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, side by side, `widths` and `height` in inches.

    `numbered`: indices of those with ticks and labels.
    """
    lefts: list[float] = []
    x = 0.05
    for place, width in enumerate(widths):
        x += TICKS if place in numbered else 0
        lefts.append(x)
        x += width + GAP
    wide, below = x - GAP + 0.05, LABEL if numbered else 0.05
    high = below + height + TITLE
    figure = Figure(figsize=(wide, high), layout=_NO_LAYOUT, facecolor="white")
    axes = [
        figure.add_axes((left / wide, below / high, width / wide, height / high))
        for left, width in zip(lefts, widths)
    ]
    for place in numbered:
        axes[place].locator_params(nbins=3)  # each tick with its number takes a millisecond
    return figure, axes


def title(axes: Axes, text: str, **look: Any) -> None:
    """Draw a title at a fixed place; to find one, matplotlib would lay out every tick."""
    axes.set_title(text, y=1.0, **look)


def words(axes: Axes, *named: tuple[str, str]) -> None:
    """Draw pairs of a text and its colour at the upper left, in a fifth of the time of a legend."""
    for row, (text, colour) in enumerate(named):
        axes.text(
            0.03,
            0.96 - 0.08 * row,
            text,
            color=colour,
            transform=axes.transAxes,
            va="top",
            fontsize=10,
        )


def joints_in_view(crops: Crops) -> torch.Tensor:
    """Return the joints of crops with labels in the coordinates of the view, (B, J, 3)."""
    assert crops.joints is not None, "the frames of figures have labels"
    return prepare.to_view(crops.joints, crops)


def joints_in_cube(crops: Crops) -> torch.Tensor:
    """Return the joints of crops with labels in the coordinates of the cube, (B, J, 3)."""
    assert crops.joints is not None, "the frames of figures have labels"
    return prepare.xyz_to_cube(crops.joints, crops)


def crop_image(axes: Axes, image: torch.Tensor) -> None:
    """Draw a network's image (S, S) in [−1, 1] as a background, in the coordinates of the view."""
    axes.imshow(
        torch.as_tensor(image).numpy(), cmap="gray_r", vmin=-1.6, vmax=2.2, extent=(-1, 1, 1, -1)
    )
    axes.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1), aspect="equal")


def over(axes: Axes, heat: torch.Tensor, above: float, high: float | None = None) -> None:
    """Draw a map (h, w) over the background where it is above `above`.

    It is brightest at `high`, by default at its maximum.
    """
    axes.imshow(
        heat.where(heat > above, torch.nan).numpy(),
        cmap="inferno",
        alpha=0.7,
        extent=(-1, 1, 1, -1),
        vmin=0,
        vmax=high,
    )


def square(
    axes: Axes,
    middle: torch.Tensor | Sequence[float],
    half: torch.Tensor | float,
    colour: str,
) -> None:
    """Draw the outline of a square around (u, v), or of a rectangle if `half` has two entries."""
    (u, v), (across, down) = (torch.as_tensor(pair).expand(2).tolist() for pair in (middle, half))
    axes.add_patch(
        Rectangle(
            (u - across, v - down), 2 * across, 2 * down, fill=False, color=colour, linewidth=2
        )
    )


def true_joint(axes: Axes, place: torch.Tensor | Sequence[float]) -> None:
    """Draw a ring around a true joint (u, v)."""
    for colour, width in (("white", 4), (figures.BLACK, 1.5)):
        axes.plot(
            *torch.as_tensor(place).tolist(),
            "o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=width,
        )
