"""Interactive figures for pages, which need neither a kernel nor a network connection.

* `space` draws points and skeletons as a plotly figure, which readers rotate with the mouse.
* `slider` combines several such figures with a slider.
* `flip_book` combines matplotlib figures with a slider.
* `show` displays a plotly figure: as plotly's own JSON where the front end can draw it
  (JupyterLab, VS Code), and as HTML that loads the book's copy of plotly, `_static/plotly.min.js`,
  on a published page.
"""

import base64
import hashlib
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import torch
from IPython.display import HTML, display
from matplotlib.figure import Figure

from handpose_lib.errors import HandPoseError
from handpose_lib.skeleton import Skeleton
from handpose_lib.teaching import figures
from handpose_lib.teaching.figures import Values

FONT = {"size": 14, "color": "#222222"}
NARROWEST = 480
"""Pixels: the least width of pictures with a slider."""


# --- points in space ------------------------------------------------------------


def space(
    clouds: Values | Mapping[str, Values],
    joints: Values | None = None,
    skeleton: Skeleton | None = None,
    title: str = "",
    alt: str = "",
    height: int = 480,
    size: float = 2.0,
) -> go.Figure:
    """Return a plotly figure of points in space, upright and first seen from the camera.

    `clouds`: points (N, 3) mm, or name → points; `joints`: (J, 3) mm with their `skeleton`. `alt`:
    alternative text. Errors: `HandPoseError` for other shapes, and joints without their skeleton.
    """
    clouds = clouds if isinstance(clouds, Mapping) else {"": clouds}
    figure = go.Figure()
    shown = []
    for (name, points), colour in zip(
        clouds.items(), figures.CYCLE * (1 + len(clouds) // len(figures.CYCLE))
    ):
        shown.append(_points(points, "points"))
        figure.add_trace(
            go.Scatter3d(
                **_xyz(shown[-1]),
                mode="markers",
                name=name,
                showlegend=bool(name),
                marker={
                    "size": size,
                    "color": colour if joints is None else "#8899AA",
                    "opacity": 1.0 if joints is None else 0.35,
                },
                hoverinfo="skip",
            )
        )
    if joints is not None:
        if skeleton is None or len(joints) != len(skeleton):
            raise HandPoseError("joints in space need the skeleton that they belong to")
        shown.append(_points(joints, "joints"))
        figure.add_traces(_bones(shown[-1], skeleton))
    everything = np.concatenate(shown)
    middle, side = (everything.max(0) + everything.min(0)) / 2, np.ptp(everything, axis=0)
    side = np.maximum(side, side.max() / 2) * 1.05
    low, high = middle - side / 2, middle + side / 2
    axes = {
        "backgroundcolor": "#F5F5F5",
        "gridcolor": "#CCCCCC",
        "zerolinecolor": "#CCCCCC",
        "tickfont": {"size": 11},
        "nticks": 6,
    }
    figure.update_layout(
        title={"text": title, "font": {"size": 16}},
        font=FONT,
        paper_bgcolor="white",
        height=height,
        margin={"l": 0, "r": 0, "t": 40 if title else 0, "b": 0},
        legend={"x": 0.01, "y": 0.99},
        meta={"alt": alt or title},
        scene={
            "aspectmode": "manual",
            "aspectratio": dict(zip("xyz", (side / side.max()).tolist())),
            "dragmode": "orbit",
            **{
                f"{a}axis": {**axes, "title": f"{a} (mm)", "range": [float(low[i]), float(high[i])]}
                for i, a in enumerate("xyz")
            },
            # The camera frame has y down and z forward: up is −y, and one looks along +z.
            "camera": {"up": {"x": 0, "y": -1, "z": 0}, "eye": {"x": 0.4, "y": -0.25, "z": -1.5}},
        },
    )
    return figure


def slider(
    steps: Sequence[go.Figure], labels: Sequence[object], name: str = "", alt: str = ""
) -> go.Figure:
    """Return one plotly figure with a slider that selects one of several.

    The first one defines title and axes. Axes in space cover all steps, so that they do not change
    while the slider moves. Errors: `HandPoseError` for no step, and another number of labels.
    """
    if not steps or len(steps) != len(labels):
        raise HandPoseError(
            f"{len(steps)} steps with {len(labels)} labels: accepted is one label for each of at"
            " least one"
        )
    layouts = [_layout(step) for step in steps]
    figure = go.Figure(layout=layouts[0])
    _layout(figure).meta = {"alt": alt or (layouts[0].meta or {}).get("alt", "")}
    owner = []
    for number, step in enumerate(steps):
        for trace in step.data:
            figure.add_trace(trace)
            figure.data[-1].visible = number == 0
            owner.append(number)
    ranges = {axis: [layout.scene[f"{axis}axis"].range for layout in layouts] for axis in "xyz"}
    if all(all(known) for known in ranges.values()):
        ranges = {
            axis: [min(r[0] for r in known), max(r[1] for r in known)]
            for axis, known in ranges.items()
        }
        side = {axis: high - low for axis, (low, high) in ranges.items()}
        figure.update_layout(
            scene={f"{axis}axis": {"range": limits} for axis, limits in ranges.items()}
        )
        figure.update_layout(
            scene_aspectratio={axis: length / max(side.values()) for axis, length in side.items()}
        )
    figure.update_layout(
        sliders=[
            {
                "currentvalue": {"prefix": f"{name} ", "font": FONT},
                "pad": {"t": 20, "b": 10, "l": 20, "r": 20},
                "steps": [
                    {
                        "method": "restyle",
                        "label": str(label),
                        "args": [{"visible": [number == o for o in owner]}],
                    }
                    for number, label in enumerate(labels)
                ],
            }
        ]
    )
    return figure


def show(figure: go.Figure) -> None:
    """Display a plotly figure in a notebook and on the published page."""
    display(
        {
            "application/vnd.plotly.v1+json": json.loads(str(figure.to_json())),
            "text/html": to_html(figure),
        },
        raw=True,
    )


def to_html(figure: go.Figure) -> str:
    """Return the figure as HTML for a page of the book, which has plotly at
    `_static/plotly.min.js`.

    The script is loaded once per page; Sphinx states in each page where `_static` is.
    """
    content, layout = _safe(str(figure.to_json())), _layout(figure)
    name = "plotly-" + hashlib.sha256(content.encode()).hexdigest()[:12]
    label = html.escape((layout.meta or {}).get("alt") or "interactive figure", quote=True)
    style = f"min-height:{layout.height or 450}px;background:white"
    return f"""<div id="{name}" role="figure" aria-label="{label}" style="{style}"></div>
<script>
(function () {{
  const place = document.getElementById("{name}");
  const loaded = () => window.Plotly ? Promise.resolve() : new Promise((done, failed) => {{
    const root = document.documentElement.dataset.content_root;
    const script = document.createElement("script");
    script.src = (root === undefined ? "../../" : root) + "_static/plotly.min.js";
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  }});
  window.plotlyOfTheBook = window.plotlyOfTheBook || loaded();
  const figure = {content};
  figure.config = {{responsive: true, displaylogo: false}};
  const message = "This figure needs _static/plotly.min.js, which could not be loaded.";
  window.plotlyOfTheBook.then(() => window.Plotly.newPlot(place, figure))
    .catch(() => {{ place.textContent = message; }});
}})();
</script>"""


# --- pictures with a slider -----------------------------------------------------


def flip_book(
    pictures: Iterable[Figure],
    labels: Sequence[object],
    name: str = "",
    alt: str = "",
    start: int = 0,
) -> HTML:
    """Return matplotlib figures with a slider, as HTML that needs neither kernel nor library.

    `pictures` may be a generator: each figure is closed as soon as it is converted to a PNG. They
    are shown at the width of the widest one, or of the page where that is less. `labels`: names of
    the pictures, shown beside the slider; `start`: the first one to show. Errors: `HandPoseError`
    for no picture, another number of labels, and an unknown `start`.
    """
    files = [png(picture) for picture in pictures]
    sources = ["data:image/png;base64," + base64.b64encode(file).decode() for file in files]
    if len(sources) != len(labels) or not 0 <= start < len(sources):
        raise HandPoseError(
            f"{len(sources)} pictures, {len(labels)} labels, start {start}: accepted is one label "
            "for each of at least one picture, and the number of one of them"
        )
    name_of_all = "flip-" + hashlib.sha256("".join(sources).encode()).hexdigest()[:12]
    texts = [str(label) for label in labels]
    alts = [f"{alt or name}: {text}" for text in texts]
    shown_alt = html.escape(alts[start], quote=True)
    quoted = html.escape(name, quote=True)
    # At their own width, so that the page neither enlarges nor shrinks the text in them.
    width = max(NARROWEST, *(int.from_bytes(file[16:20], "big") for file in files))  # PNG's header
    return HTML(f"""<div id="{name_of_all}" style="max-width:{width}px">
<img src="{sources[start]}" alt="{shown_alt}" style="width:100%;background:white">
<label style="display:block">{html.escape(name)}
<output>{html.escape(texts[start])}</output><br>
<input type="range" aria-label="{quoted}" min="0" max="{len(sources) - 1}" value="{start}"
style="width:100%"></label>
</div>
<script>
(function () {{
  const book = document.getElementById("{name_of_all}");
  const sources = {_script(sources)};
  const alts = {_script(alts)};
  const labels = {_script(texts)};
  book.querySelector("input").addEventListener("input", event => {{
    const number = Number(event.target.value), picture = book.querySelector("img");
    picture.src = sources[number];
    picture.alt = alts[number];
    book.querySelector("output").textContent = labels[number];
  }});
}})();
</script>""")


def png(figure: Figure, dpi: int = 90, quick: bool = False) -> bytes:
    """Return a matplotlib figure as PNG with a white, opaque background, and close the figure.

    `quick`: compress little, in less time.
    """
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=dpi,
        facecolor="white",
        metadata={"Software": None},
        pil_kwargs={"compress_level": 1} if quick else {},
    )
    plt.close(figure)
    return buffer.getvalue()


# --- helpers --------------------------------------------------------------------


def _layout(figure: go.Figure) -> Any:
    return figure.layout  # plotly's attributes have no type hints


def _script(value: list[str]) -> str:
    """Return a value as JavaScript."""
    return _safe(json.dumps(value))


def _safe(text: str) -> str:
    """Return JSON that cannot end the script around it."""
    return text.replace("</", "<\\/")


def _points(value: Values, what: str) -> np.ndarray:
    value = torch.as_tensor(value).detach().cpu()
    if value.ndim != 2 or value.shape[1] != 3 or len(value) == 0:
        raise HandPoseError(
            f"{what} of shape {tuple(value.shape)}: accepted is (N, 3) with at least one"
        )
    return value.float().numpy()


def _xyz(points: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(points[:, axis]) for axis, name in enumerate("xyz")}


def _bones(joints: np.ndarray, skeleton: Skeleton) -> list[go.Scatter3d]:
    """Return one line per colour, interrupted between bones, and the joints."""
    paint = figures.colours(skeleton)
    traces = []
    for colour in dict.fromkeys(paint[child] for child, _ in skeleton.bones):
        ends = [
            joints[[parent, child]] for child, parent in skeleton.bones if paint[child] == colour
        ]
        line = np.concatenate(
            [np.concatenate((pair, np.full((1, 3), np.nan, np.float32))) for pair in ends]
        )
        traces.append(
            go.Scatter3d(
                **_xyz(line),
                mode="lines",
                line={"width": 7, "color": colour},
                showlegend=False,
                hoverinfo="skip",
            )
        )
    traces.append(
        go.Scatter3d(
            **_xyz(joints),
            mode="markers",
            text=skeleton.joints,
            hoverinfo="text",
            showlegend=False,
            marker={"size": 4, "color": paint, "line": {"width": 1, "color": "white"}},
        )
    )
    return traces
