"""Small figures that are drawn fast: panels at fixed places, outside of pyplot, so that there is
nothing to lay out and to close.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from handpose_lib.teaching import figures

TITLE, GAP, TICKS, LABEL = 0.5, 0.2, 0.65, 0.55
"""Inches: above a panel, between two, left of and below one with numbers at its axes."""


def panels(*widths, height=3.0, numbered=()):
    """A figure and its axes, side by side, `widths` and `height` in inches; `numbered`: which of
    them have ticks and labels.
    """
    lefts, x = [], 0.05
    for place, width in enumerate(widths):
        x += TICKS if place in numbered else 0
        lefts.append(x)
        x += width + GAP
    wide, below = x - GAP + 0.05, LABEL if numbered else 0.05
    high = below + height + TITLE
    figure = Figure(figsize=(wide, high), layout="none", facecolor="white")
    axes = [
        figure.add_axes((left / wide, below / high, width / wide, height / high))
        for left, width in zip(lefts, widths)
    ]
    for place in numbered:
        axes[place].locator_params(nbins=3)  # each tick with its number takes a millisecond
    return figure, axes


def title(axes, text, **look):
    """A title at a fixed place: to find one of its own, matplotlib would lay out every tick."""
    axes.set_title(text, y=1.0, **look)


def words(axes, *named):
    """Pairs of a text and its colour, one below the other at the upper left: in a fifth of the time
    that a legend takes.
    """
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


def crop_image(axes, image):
    """A network's image (S, S) in [−1, 1] as a backdrop, in the coordinates of the view."""
    axes.imshow(
        torch.as_tensor(image).numpy(), cmap="gray_r", vmin=-1.6, vmax=2.2, extent=(-1, 1, 1, -1)
    )
    axes.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1), aspect="equal")


def over(axes, heat, above, high=None):
    """A map (h, w) laid over the backdrop where it is more than `above`; brightest at `high`, or at
    its highest place.
    """
    axes.imshow(
        heat.where(heat > above, torch.nan).numpy(),
        cmap="inferno",
        alpha=0.7,
        extent=(-1, 1, 1, -1),
        vmin=0,
        vmax=high,
    )


def square(axes, middle, half, colour):
    """The outline of a square, or of a rectangle with two halves, around a place (u, v)."""
    (u, v), (across, down) = (torch.as_tensor(pair).expand(2).tolist() for pair in (middle, half))
    axes.add_patch(
        plt.Rectangle(
            (u - across, v - down), 2 * across, 2 * down, fill=False, color=colour, linewidth=2
        )
    )


def true_joint(axes, place):
    """A ring around a true joint (u, v)."""
    for colour, width in (("white", 4), (figures.BLACK, 1.5)):
        axes.plot(
            *torch.as_tensor(place).tolist(),
            "o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=width,
        )
