"""Large pictures of a hand in a depth image, on which joints can be labelled to half a pixel.

    figure = label_pictures.picture(frame, window, marks, style="relief")
    label_pictures.figure_of_joints()            # which joint is which

Two styles show the same window: "relief" is the surface lit from the upper left, in which fingers,
creases and edges are seen; "depth" shows distances in colours, with contour lines every 4 mm. Both
have a grid every 10 pixels, with the coordinates of the depth image at all four sides.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter, median_filter

from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.evaluation.labels import SKELETON, Label
from handpose_lib.frames import DepthFrame
from handpose_lib.synth.hands import hand as hands
from handpose_lib.teaching import figures

STYLES = ("relief", "depth")
DPI = 72
MARGIN = 0.55
"""Inches around the picture, for the coordinates."""
HAND_MM = 150.0
"""What lies farther behind the nearest surface of a window does not belong to the hand."""
CONTOUR_MM = 4.0
_LIGHT = (-0.5, -0.6, 0.65)
_NO_LAYOUT: Any = "none"  # a value that the type hints of `Figure` lack

Window = tuple[int, int, int, int]


def window(frame: DepthFrame, marks: Mapping[str, Label], margin: int = 15) -> Window:
    """Return (left, top, right, bottom) in pixels: the labels and `margin` around them.

    It is the whole image if there are no labels.
    """
    if not marks:
        return 0, 0, frame.camera.width, frame.camera.height
    u, v = [mark.u for mark in marks.values()], [mark.v for mark in marks.values()]
    around = (min(u) - margin, min(v) - margin, max(u) + margin, max(v) + margin)
    return clipped(frame, tuple(round(side) for side in around))


def clipped(frame: DepthFrame, box: tuple[int, ...]) -> Window:
    """Return the part of a window that lies in the image. Errors: `HandPoseError` for none."""
    left, top = max(0, box[0]), max(0, box[1])
    right, bottom = min(frame.camera.width, box[2]), min(frame.camera.height, box[3])
    if not (left < right - 1 and top < bottom - 1):
        raise HandPoseError(
            f"window {tuple(box)}: accepted is (left, top, right, bottom) with at least 2×2 pixels"
            f" of the image of {frame.camera.width}×{frame.camera.height}"
        )
    return left, top, right, bottom


def picture(
    frame: DepthFrame,
    box: Window,
    marks: Mapping[str, Label] | None = None,
    style: str = "relief",
    zoom: int = 8,
    chosen: str | None = None,
) -> Figure:
    """Return a figure of a window (left, top, right, bottom) of a frame, with its labels.

    `zoom`: pixels of the picture per pixel of the depth image. A cross is a surface label, a ring
    one inside; `chosen` is drawn larger. A pixel (u, v) of the image lies at the same coordinates
    of the axes. Errors: `HandPoseError` for an unknown style, and a window outside the image.
    """
    one_of("style", style, STYLES)
    left, top, right, bottom = clipped(frame, box)
    size = ((right - left) * zoom / DPI, (bottom - top) * zoom / DPI)
    full = (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN)
    figure = Figure(figsize=full, dpi=DPI, layout=_NO_LAYOUT, facecolor="white")
    place = (MARGIN / full[0], MARGIN / full[1], size[0] / full[0], size[1] / full[1])
    axes = figure.add_axes(place)
    depth, smooth = _hand(frame.depth[top:bottom, left:right])
    extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
    if style == "relief":
        axes.imshow(
            _relief(depth, smooth, frame),
            cmap="gray",
            vmin=0,
            vmax=1,
            extent=extent,
            interpolation="bicubic",
        )
    elif np.isfinite(depth).any():
        near, far = np.nanpercentile(depth, (1, 99))
        axes.imshow(depth, cmap="turbo", vmin=near, vmax=far, extent=extent)
        levels = np.arange(near // CONTOUR_MM, far // CONTOUR_MM + 1) * CONTOUR_MM
        across, down = np.arange(left, right), np.arange(top, bottom)
        if len(levels) > 1:
            axes.contour(across, down, smooth, levels=levels, colors="black", linewidths=0.6)
    step = 10 if zoom >= 4 else 50
    axes.set(
        xticks=range(-(-left // step) * step, right, step),
        yticks=range(-(-top // step) * step, bottom, step),
        xlim=extent[:2],
        ylim=extent[2:],
    )
    axes.tick_params(labelsize=11, labeltop=True, labelright=True, top=True, right=True)
    axes.grid(color="#30C0C0" if style == "relief" else "white", linewidth=0.5, alpha=0.6)
    if marks:
        _labels(axes, marks, chosen)
    figure.set_label(
        f"{style} of the hand in frame {frame.id}"
        + (f" with {len(marks)} labelled joints" if marks else "")
    )
    return figure


def pixel(box: Window, x: float, y: float, zoom: int = 8) -> tuple[float, float]:
    """Return the pixel (u, v) of the depth image at a place of the picture of `picture`.

    `x`, `y`: in pixels of the picture from its upper left corner; `box`: as clipped to the image.
    """
    return (
        box[0] - 0.5 + (x - MARGIN * DPI) / zoom,
        box[1] - 0.5 + (y - MARGIN * DPI) / zoom,
    )


def figure_of_joints(chosen: str | None = None, hand: str = "right") -> Figure:
    """Return a small drawing of an open hand, its palm to the camera, with the joints' names."""
    person = hands.subject(0)
    points = hands.posed(person, _spread(), hand=hand).joints(SKELETON.name)[0, :, :2]
    figure = Figure(figsize=(4.4, 4.6), dpi=DPI, layout=_NO_LAYOUT, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
    figures.bones(points, SKELETON, axes)
    for joint, (x, y) in zip(SKELETON.joints, points.tolist()):
        axes.text(
            x + 2.5,
            y,
            joint,
            fontsize=8,
            va="center",
            zorder=5,
            fontweight="bold" if joint == chosen else "normal",
            bbox={"facecolor": "#FFE08A" if joint == chosen else "white", "alpha": 0.8, "pad": 0.6}
            | {"edgecolor": "none"},
        )
    low, high = points.amin(0), points.amax(0)
    axes.set_xlim(float(low[0]) - 12, float(high[0]) + 42)
    axes.set_ylim(float(high[1]) + 12, float(low[1]) - 12)
    figure.set_label("an open hand with the names of its 21 joints")
    return figure


def _spread() -> torch.Tensor:
    pose = torch.zeros(1, len(hands.DOF))
    for name, degrees in (
        ("index mcp abduction", 8),
        ("ring mcp abduction", 8),
        ("little mcp abduction", 16),
        ("thumb cmc abduction", 10),
    ):
        pose[0, hands.DOF.index(name)] = np.deg2rad(degrees)
    pose[0, 2] = 500.0
    return pose


def _hand(window_depth: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the depth (h, w) mm of what is near in a window, NaN elsewhere, and a smoothed one."""
    depth = window_depth.double().numpy()
    measured = depth > 0
    if not measured.any():
        return np.full_like(depth, np.nan), np.full_like(depth, np.nan)
    near = np.percentile(depth[measured], 1)
    mine = measured & (depth < near + HAND_MM)
    filled = median_filter(np.where(mine, depth, 0.0), 3)
    # a mean over the measured pixels alone: others have no weight
    weight = gaussian_filter((mine & (filled > 0)).astype(float), 0.7)
    smooth = gaussian_filter(np.where(mine, filled, 0.0), 0.7) / np.maximum(weight, 1e-6)
    return np.where(mine, depth, np.nan), np.where(mine, smooth, np.nan)


def _relief(depth: np.ndarray, smooth: np.ndarray, frame: DepthFrame) -> np.ndarray:
    """Return the brightness (h, w) in [0, 1] of a matt surface lit from the upper left."""
    if not np.isfinite(depth).any():
        return np.zeros_like(depth)
    scale = frame.camera.fx / np.nanmedian(depth)  # pixels per mm
    down, across = np.gradient(smooth)
    normal = np.stack((-across * scale, -down * scale, np.ones_like(across)), -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.asarray(_LIGHT) / np.linalg.norm(_LIGHT)
    return np.nan_to_num(0.15 + 0.85 * np.clip(normal @ light, 0, 1), nan=0.0)


def _labels(axes: Any, marks: Mapping[str, Label], chosen: str | None) -> None:
    paint = dict(zip(SKELETON.joints, figures.colours(SKELETON)))
    for members in SKELETON.fingers.values():
        chain = [SKELETON.joints[j] for j in (SKELETON.root, *members)]
        line = [(marks[joint].u, marks[joint].v) for joint in chain if joint in marks]
        if len(line) > 1:
            axes.plot(*zip(*line), color=paint[chain[-1]], linewidth=1.4)
    for joint, mark in marks.items():
        large = joint == chosen
        for colour, width in (("white", 3.0), (paint[joint], 1.6)):
            axes.plot(
                mark.u,
                mark.v,
                "+" if mark.kind == "surface" else "o",
                color=colour,
                markerfacecolor="none",
                markersize=18 if large else 11,
                markeredgewidth=width,
            )
        axes.annotate(
            joint,
            (mark.u, mark.v),
            xytext=(7, 4),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold" if large else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.65, "pad": 0.5},
        )
