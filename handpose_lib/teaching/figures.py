"""The book's figures, drawn with matplotlib: depth, skeletons, points, heat maps, curves.

Every function takes tensors and draws on `axes`, or on a new figure without them; grids of pictures
make their own figure. They return the Axes (the Figure for grids), on which a chapter can continue
to draw.

Fonts are large enough to read in a column of text. The colours are those of Okabe and Ito, which
colour-blind readers can distinguish. The background is opaque white, so that a figure remains
readable on a dark page. Call `style()` once in a notebook to use these fonts and colours in all of
its plots.

Each function also describes its figure in a sentence: `alt(figure)`. In the book, the alternative
text of a figure is in the metadata of the notebook cell, where MyST-NB reads it:
`{"mystnb": {"image": {"alt": "…"}}}`. The sentence from here is a starting point for it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from handpose_lib import camera as cameras
from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError
from handpose_lib.skeleton import SHADES, Skeleton

Values = torch.Tensor | np.ndarray | Sequence[Any]
"""Numbers that become a tensor."""

# The colours of Okabe and Ito.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":")  # a second cue beside the colour
FINGERS = {"thumb": VERMILION, "index": GREEN, "middle": ORANGE, "ring": SKY, "little": PURPLE}
PALM = "#404040"

STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "legend.fontsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "lines.linewidth": 2,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    "axes.prop_cycle": cycler(color=CYCLE),
}


def style() -> None:
    """Give every later matplotlib figure of this notebook the style of the book."""
    plt.style.use(STYLE)


def alt(figure: Figure) -> str:
    """Return a sentence that describes the figure, from the functions that drew it."""
    return str(figure.get_label())


def colours(skeleton: Skeleton) -> list[str]:
    """Return one colour per joint, by finger (or limb), safe for colour-blind readers."""
    family = {shade: FINGERS[finger] for finger, shades in SHADES.items() for shade in shades}
    return [family.get(colour, PALM) for colour in skeleton.colours]


# --- depth ----------------------------------------------------------------------


def depth_image(
    depth: Values,
    camera: Camera | None = None,
    joints: Values | None = None,
    skeleton: Skeleton | None = None,
    predicted: Values | None = None,
    axes: Axes | None = None,
    title: str = "",
    zoom: int | None = None,
    near: float | None = None,
    far: float | None = None,
    colour_bar: bool = False,
) -> Axes:
    """Draw a depth image in grey: near is light, and white means that nothing was measured.

    `depth`: (H, W) mm. `joints` (J, 3) mm, drawn with solid lines, and `predicted` (J, 3) mm, with
    dashed lines and open circles, need `camera` and `skeleton`. `zoom`: show only the measured
    pixels and this many around them. `near`, `far`: mm, the ends of the grey scale. Errors:
    `HandPoseError` for other shapes, and joints without camera or skeleton.
    """
    axes = _axes(axes, (4.6, 3.6))
    depth = _array(depth, 2, "depth")
    measured = depth > 0
    values = depth[measured] if bool(measured.any()) else depth.new_zeros(1)
    near = float(values.min()) if near is None else near
    far = float(values.max()) if far is None else far
    span = max(far - near, 1.0)
    image = torch.where(measured, depth, torch.full_like(depth, math.nan))
    # The scale ends before white and before black, which are for background and skeleton.
    picture = axes.imshow(
        image.numpy(), cmap="gray_r", vmin=near - 0.25 * span, vmax=far + 0.6 * span
    )
    if colour_bar:
        bar = axes.figure.colorbar(picture, ax=axes, label="depth in mm", shrink=0.85)
        bar.ax.set_ylim(far, near)
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for points, kind in ((joints, "full"), (predicted, "dashed")):
        if points is not None:
            if camera is None or skeleton is None:
                raise HandPoseError("joints on a depth image need camera and skeleton")
            uv = cameras.xyz_to_uvd(_array(points, 2, "joints"), camera)[:, :2]
            bones(uv, skeleton, axes, kind)
    height, width = depth.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    if zoom is not None and measured.any():
        v, u = measured.nonzero().T
        axes.set(
            xlim=(int(u.min()) - zoom - 0.5, int(u.max()) + zoom + 0.5),
            ylim=(int(v.max()) + zoom + 0.5, int(v.min()) - zoom - 0.5),
        )
    what = "depth image of a hand"
    what += " with its skeleton" if joints is not None else ""
    what += " and a predicted skeleton, dashed" if predicted is not None else ""
    return _described(axes, what)


def depth_grid(
    depths: Sequence[torch.Tensor] | torch.Tensor,
    camera: Camera | None = None,
    joints: Sequence[torch.Tensor] | torch.Tensor | None = None,
    skeleton: Skeleton | None = None,
    predicted: Sequence[torch.Tensor] | torch.Tensor | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    zoom: int | None = None,
    size: float = 2.1,
) -> Figure:
    """Draw many depth images, row by row, and return the Figure.

    `depths`: (N, H, W) mm; `joints` and `predicted`: (N, J, 3) mm or None. All share one `camera`.
    `size`: width of one picture in inches.
    """
    depths = [*depths]
    _needs(len(depths) > 0, "a grid of pictures needs at least one")
    height, width = depths[0].shape[-2:]
    figure, grid = _grid(len(depths), columns, size, height / width if zoom is None else 1.0)
    for number, axes in enumerate(grid):
        depth_image(
            depths[number],
            camera,
            None if joints is None else joints[number],
            skeleton,
            None if predicted is None else predicted[number],
            axes,
            titles[number] if titles else "",
            zoom,
        )
    figure.set_label(
        f"{len(depths)} depth images of hands"
        + (" with their skeletons" if joints is not None else "")
    )
    return figure


def bones(points: Values, skeleton: Skeleton, axes: Any, kind: str = "full") -> Any:
    """Draw a skeleton on `axes`, 2D or 3D, and return them.

    `points`: (J, 2) or (J, 3) in the coordinates of `axes`; `kind`: 'full' or 'dashed'. Errors:
    `HandPoseError` for another number of joints than the skeleton has.
    """
    points = _array(points, 2, "joints")
    _needs(
        len(points) == len(skeleton),
        f"{len(points)} joints for {skeleton.name}, which has {len(skeleton)}",
    )
    child, parent = (list(side) for side in zip(*skeleton.bones))
    segments = [*torch.stack((points[parent], points[child]), 1).numpy()]  # each (2, 2 or 3)
    lines = LineCollection if points.shape[1] == 2 else Line3DCollection
    paint, full = colours(skeleton), kind == "full"
    if full:  # a white outline separates bones from the grey of the hand
        axes.add_collection(
            lines(segments, colors="white", linewidths=4, capstyle="round", zorder=3), autolim=False
        )
    axes.add_collection(
        lines(
            segments,
            colors=[paint[joint] for joint in child],
            linewidths=2.2,
            capstyle="round",
            zorder=3.1,
            linestyles="-" if full else (0, (3, 1.5)),
        ),
        autolim=False,
    )
    axes.scatter(
        *points.T.tolist(),
        s=24,
        zorder=4,
        facecolors=paint if full else "white",
        edgecolors="white" if full else paint,
        linewidths=1,
        **({} if points.shape[1] == 2 else {"depthshade": False}),
    )
    return axes


# --- points ---------------------------------------------------------------------

# matplotlib has no type hints for 3D axes.


def point_cloud(
    points: Values,
    joints: Values | None = None,
    skeleton: Skeleton | None = None,
    axes: Any = None,
    title: str = "",
    colour: str = BLUE,
    view: tuple[float, float] = (12, -70),
    size: float = 1.5,
) -> Any:
    """Draw points (N, 3) mm in space, upright and seen from near the camera; return the 3D axes.

    `axes`: 3D, or None for a new figure. `view`: elevation and azimuth in degrees, (0, −90) is the
    camera's own view. Errors: `HandPoseError` for joints without a skeleton.
    """
    if axes is None:
        axes = plt.figure(figsize=(4.6, 4.4)).add_subplot(projection="3d")
    shown = [_upright(_array(points, 2, "points"))]
    axes.scatter(
        *shown[0].T.tolist(),
        s=size,
        color=colour,
        alpha=0.5 if joints is None else 0.25,
        linewidths=0,
    )
    if joints is not None:
        if skeleton is None:
            raise HandPoseError("joints in a point cloud need a skeleton")
        shown.append(_upright(_array(joints, 2, "joints")))
        bones(shown[1], skeleton, axes)
    everything = torch.cat(shown)
    low, high = everything.amin(0), everything.amax(0)
    # The box of a flat hand is wide enough for its ticks.
    side = (high - low).clamp_min((high - low).max().clamp_min(1) / 2)
    middle = (low + high) / 2
    limits = torch.stack((middle - side / 2, middle + side / 2), 1).tolist()
    axes.set_box_aspect(side.tolist(), zoom=0.8)
    axes.set(
        title=title,
        xlabel="x (mm)",
        ylabel="z (mm)",
        zlabel="−y (mm)",
        **{f"{name}lim": limit for name, limit in zip("xyz", limits)},
    )
    axes.tick_params(labelsize=8)
    axes.locator_params(nbins=4)
    axes.view_init(*view)
    return _described(
        axes,
        f"point cloud of {len(points)} points" + (" with a skeleton" if joints is not None else ""),
    )


def voxels(
    volume: Values, axes: Any = None, title: str = "", view: tuple[float, float] = (14, -62)
) -> Any:
    """Draw the filled voxels of `volume`, upright and seen from near the camera.

    `volume`: (D, H, W) of 0 and 1, stored [z][y][x]; near voxels are lighter. `axes` and `view`: as
    in `point_cloud`. Returns the 3D axes.
    """
    if axes is None:
        axes = plt.figure(figsize=(4.6, 4.4)).add_subplot(projection="3d")
    # x to the right, z away, −y up
    filled = _array(volume, 3, "volume").permute(2, 0, 1).flip(2) > 0
    faces, at = _faces(filled)
    away = at[:, 1] - at[:, 1].min() if len(at) else at[:, 1]
    paint = plt.get_cmap("cividis_r")(
        (0.1 + 0.8 * away / away.amax().clamp_min(1)).numpy() if len(at) else []
    )
    axes.add_collection3d(
        Poly3DCollection(
            faces.numpy(),
            facecolors=paint,
            edgecolors="#00000022",
            linewidths=0.2,
            shade=len(at) > 0,
        )
    )
    across, deep, high = filled.shape
    axes.set_box_aspect(filled.shape, zoom=1.0)
    axes.set(
        title=title,
        xlabel="x",
        ylabel="z",
        zlabel="−y",
        xlim=(0, across),
        ylim=(0, deep),
        zlim=(0, high),
        xticks=[],
        yticks=[],
        zticks=[],
    )
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.labelpad = -12
    axes.view_init(*view)
    return _described(axes, f"{int(filled.sum())} filled voxels of {filled.numel()}")


def _faces(filled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sides of the filled cells (X, Y, Z) next to an empty one.

    Corners are (F, 4, 3), their cells (F, 3).
    """
    padded, sides = torch.nn.functional.pad(filled, (1,) * 6), []
    square = torch.tensor(((0, 0), (1, 0), (1, 1), (0, 1)))
    for axis in range(3):
        for side in (0, 1):
            beyond = padded.roll(1 - 2 * side, axis)[1:-1, 1:-1, 1:-1]
            at = (filled & ~beyond).nonzero()
            corner = torch.full((4, 3), side)
            # counter-clockwise, seen from outside
            corner[:, (axis + 1) % 3], corner[:, (axis + 2) % 3] = (
                square if side else square.flip(0)
            ).T
            sides.append((at[:, None] + corner, at))
    corners, cells = (torch.cat(parts) for parts in zip(*sides))
    return corners, cells


# --- inputs and outputs of networks ---------------------------------------------


def heat_maps(
    heat: Values,
    image: torch.Tensor | None = None,
    names: Sequence[str] | None = None,
    columns: int = 5,
    size: float = 1.9,
) -> Figure:
    """Draw heat maps (J, h, w), one picture per joint, over the network's `image` (S, S).

    The image is in [−1, 1]. `size`: width of one picture in inches. Returns the Figure.
    """
    heat = _array(heat, 3, "heat maps")
    figure, grid = _grid(len(heat), columns, size)
    for number, axes in enumerate(grid):
        _crop(axes, image)
        axes.imshow(
            heat[number].numpy(),
            cmap="inferno",
            alpha=1.0 if image is None else 0.6,
            extent=(-1, 1, 1, -1),
            interpolation="nearest",
        )
        axes.set_title(names[number] if names else "", fontsize=10)
    figure.set_label(f"heat maps of {len(heat)} joints over the crop")
    return figure


def offset_field(
    offsets: Values,
    image: torch.Tensor | None = None,
    weight: Values | None = None,
    axes: Axes | None = None,
    title: str = "",
    step: int = 2,
    scale: float = 1.0,
) -> Axes:
    """Draw arrows from pixels towards a joint, over the network's `image` (S, S) in [−1, 1].

    `offsets`: (2 or 3, h, w) in normalised coordinates of the cube; a third component, towards or
    away from the camera, colours the arrows. `weight`: (h, w), arrows only where it is above 0.
    `step`: distance between arrows in pixels. `scale`: factor of the length of the arrows. Errors:
    `HandPoseError` for other shapes.
    """
    offsets = _array(offsets, 3, "offsets")
    _needs(
        offsets.shape[0] in (2, 3),
        f"offsets {tuple(offsets.shape)}: accepted are (2, h, w) and (3, h, w)",
    )
    axes = _axes(axes, (4.2, 4.0))
    _crop(axes, image)
    height, width = offsets.shape[1:]
    # Pixel k of a crop lies at (k + 1/2) 2 / size − 1.
    x = (torch.arange(width) + 0.5) * 2 / width - 1
    y = (torch.arange(height) + 0.5) * 2 / height - 1
    chosen = torch.zeros(height, width, dtype=torch.bool)
    chosen[step // 2 :: step, step // 2 :: step] = True
    if weight is not None:
        chosen &= _array(weight, 2, "weight") > 0
    v, u = chosen.nonzero().T
    dx, dy = offsets[0, v, u] * scale, offsets[1, v, u] * scale
    arrows: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.006}
    if len(offsets) == 3:
        quiver = axes.quiver(
            x[u].numpy(),
            y[v].numpy(),
            dx.numpy(),
            dy.numpy(),
            offsets[2, v, u].numpy(),
            cmap="cividis",
            **arrows,
        )
        axes.figure.colorbar(quiver, ax=axes, label="offset along z", shrink=0.8)
    else:
        axes.quiver(x[u].numpy(), y[v].numpy(), dx.numpy(), dy.numpy(), color=BLUE, **arrows)
    axes.set_title(title)
    return _described(axes, "field of offsets: arrows from pixels of the crop towards a joint")


# --- curves and bars ------------------------------------------------------------


def success_curve(
    rates: Values | Mapping[str, Values],
    thresholds: Values,
    by: str = "worst",
    axes: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw success rates over thresholds: one curve (T,), or name → (T,), shares in [0, 1].

    `by`: 'worst' or 'mean', the joint error that decides about a frame. It is part of the label of
    the axis, because the literature uses one name for these two curves. Errors: `HandPoseError` for
    another `by`.
    """
    axes = _axes(axes, (5.4, 3.6))
    _needs(by in ("worst", "mean"), f"success judged by {by!r}: accepted are 'worst' and 'mean'")
    for (name, rate), look in zip(_named(rates), _looks()):
        axes.plot(_list(thresholds), [100 * value for value in _list(rate)], label=name, **look)
    judged = "whose worst joint is" if by == "worst" else "whose mean joint error is"
    axes.set(
        title=title,
        xlabel="threshold t (mm)",
        ylabel=f"frames {judged}\nwithin t (%)",
        ylim=(0, 101),
        xlim=(0, None),
    )
    axes.grid(True)
    _legend(axes, rates)
    return _described(axes, f"success rate over the threshold, judged by the {by} joint error")


def joint_bars(
    errors: Values | Mapping[str, Values],
    names: Sequence[str],
    axes: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw the mean error of each joint, (J,) mm, or name → (J,); `names` are the joints'."""
    axes = _axes(axes, (max(5.4, 0.38 * len(names)), 3.6))
    entries = _named(errors)
    width = 0.8 / len(entries)
    for number, ((name, error), colour) in enumerate(zip(entries, CYCLE)):
        places = [joint + (number + 0.5) * width - 0.4 for joint in range(len(names))]
        axes.bar(
            places,
            _list(error),
            width,
            label=name,
            color=colour,
            hatch=("", "//", "..", "xx")[number % 4],
            edgecolor="white",
        )
    # The legend is between the title and the bars.
    axes.set_title(title, pad=30 if len(entries) > 1 else None)
    axes.set(ylabel="mean error (mm)")
    axes.set_xticks(
        range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=10
    )
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    _legend(axes, errors, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return _described(axes, "mean error of each joint")


def training_curve(
    curves: Values | Mapping[str, Values],
    baselines: Mapping[str, float] | None = None,
    axes: Axes | None = None,
    title: str = "",
    x: str = "epoch",
    y: str = "error (mm)",
    logarithmic: bool = False,
) -> Axes:
    """Draw values over epochs.

    `curves`: name → values; `baselines`: name → one value, drawn as a grey dashed line.
    """
    axes = _axes(axes, (5.4, 3.6))
    for (name, values), look in zip(_named(curves), _looks()):
        axes.plot(range(1, len(values) + 1), _list(values), label=name, **look)
    for name, value in (baselines or {}).items():
        axes.axhline(float(value), color="#666666", linewidth=1.2, linestyle=(0, (6, 3)))
        axes.annotate(
            name,
            (1.0, float(value)),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=10,
            color="#444444",
        )
    axes.set(title=title, xlabel=x, ylabel=y, yscale="log" if logarithmic else "linear")
    axes.locator_params(axis="x", integer=True)
    if not logarithmic:
        axes.set_ylim(bottom=0)
    axes.grid(True)
    _legend(axes, curves)
    return _described(axes, f"{y} over {x}")


# --- helpers --------------------------------------------------------------------


def _axes(axes: Axes | None, size: tuple[float, float]) -> Axes:
    if axes is not None:
        return axes
    return plt.subplots(figsize=size, layout="constrained", facecolor="white")[1]


def _grid(number: int, columns: int, size: float, aspect: float = 1.0) -> tuple[Figure, list[Axes]]:
    """Return a figure of `number` pictures and their axes.

    Each picture is `size` inches wide and `aspect` times as high.
    """
    _needs(number > 0, "a grid of pictures needs at least one")
    columns = min(columns, number)
    rows = math.ceil(number / columns)
    title = 0.3  # inches
    height = aspect * size + title
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(size * columns, height * rows),
        squeeze=False,
        layout="none",
        facecolor="white",
        gridspec_kw={
            "left": 0.01,
            "right": 0.99,
            "wspace": 0.04,
            "bottom": 0.0,
            "top": 1 - title / (height * rows),
            "hspace": title / (aspect * size),
        },
    )
    for axes in grid.flat:
        axes.set_axis_off()
    return figure, [*grid.flat][:number]


def _crop(axes: Axes, image: torch.Tensor | None) -> None:
    """Draw the network's image as a background, in normalised coordinates."""
    if image is not None:
        image = _array(image[0] if image.ndim == 3 else image, 2, "image")
        axes.imshow(image.numpy(), cmap="gray_r", vmin=-1.6, vmax=2.2, extent=(-1, 1, 1, -1))
    axes.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1), aspect="equal")


def _upright(xyz: torch.Tensor) -> torch.Tensor:
    """Return points of the camera frame (y down, z forward) in matplotlib's axes, whose third one
    points up.
    """
    return torch.stack((xyz[:, 0], xyz[:, 2], -xyz[:, 1]), 1)


def _looks() -> Iterator[dict[str, Any]]:
    """Yield the colour and dashes of one curve after the other."""
    return (
        {"color": CYCLE[i % len(CYCLE)], "linestyle": DASHES[i % len(DASHES)]} for i in range(1000)
    )


def _named(values: Values | Mapping[str, Values]) -> list[tuple[str, Values]]:
    """Return pairs (name, values) of a dictionary, or of one entry without a name."""
    return list(values.items()) if isinstance(values, Mapping) else [("", values)]


def _legend(axes: Axes, values: Values | Mapping[str, Values], **place: Any) -> None:
    if isinstance(values, Mapping) and values:
        axes.legend(**place)


def _array(value: Values, axes: int, what: str) -> torch.Tensor:
    """Return a detached float64 tensor on the CPU after checking its number of axes."""
    value = torch.as_tensor(value).detach().cpu()
    _needs(value.ndim == axes, f"{what} of shape {tuple(value.shape)}: accepted are {axes} axes")
    return value.to(torch.float64)


def _list(values: Values) -> list[float]:
    return torch.as_tensor(values, dtype=torch.float64).detach().cpu().tolist()


def _needs(condition: bool, message: str) -> None:
    if not condition:
        raise HandPoseError(message)


def _described(axes: Any, sentence: str) -> Any:
    """Add the sentence to the description of the figure; return the axes."""
    figure = axes.figure
    known = figure.get_label()
    if sentence not in known:
        figure.set_label(f"{known}; {sentence}" if known else sentence)
    return axes
