"""DenseReg's fields, the votes computed from them, and the steps of mean shift."""

import functools
from dataclasses import replace

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from handpose_lib import prepare
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.nets.mean_shift import mean_shift
from handpose_lib.papers.densereg import DenseReg, StackOutput
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, choice, count, number

SEEN = 0.05
"""Points with a larger 3D heat have a colour and an arrow."""


def path(
    votes: torch.Tensor,
    weights: torch.Tensor,
    sigma: float = 40.0,
    steps: int = 10,
    start: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return (steps + 1, 3) mm, the start and the positions after each step of mean shift.

    `start`: (3,), by default the densest vote. `votes` (K, 3) mm, `weights` (K,) and `sigma` in mm
    as in `nets.mean_shift`, which returns the last position. Errors: `HandPoseError` for other
    shapes.
    """
    if votes.ndim != 2 or weights.shape != votes.shape[:1]:
        raise HandPoseError(
            f"votes of shape {tuple(votes.shape)} with weights {tuple(weights.shape)}: accepted are"
            " (K, 3) and (K,)"
        )
    way = [mean_shift(votes, weights, sigma, 0, start)]
    for _ in range(steps):
        way.append(mean_shift(votes, weights, sigma, 1, way[-1]))
    return torch.stack(way)


def at_the_edge(votes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return (3,), the rightmost vote among those (K, 3) with a tenth of the largest weight."""
    heavy = votes[weights >= weights.max() / 10]
    return heavy[heavy[:, 0].argmax()]


def picture(
    method: DenseReg,
    stage: StackOutput,
    crops: Crops,
    row: int = 0,
    joint: int = 0,
    candidates: int = 30,
    sigma: float = 15.0,
    step: int = 10,
) -> Figure:
    """Draw the fields around one joint of frame `row`, and `step` steps of mean shift.

    `stage`: output of `method` for `crops` (or its targets). Left: the 3D heat map over the crop,
    and the directions of the points near the joint. Right, in mm from the centre of the cube:
    `candidates` votes, with areas that grow with their weights, and the path of mean shift, with
    the kernel of `sigma` mm around its end. It starts at the edge of the votes.
    """
    one, rows = crops.index(slice(row, row + 1)), slice(row, row + 1)
    stage = stage._replace(
        **{name: value[rows] for name, value in stage._asdict().items() if value is not None}
    )
    votes, weights = (
        t[0, joint] for t in method.votes(stage, one, replace(method.config, candidates=candidates))
    )
    way = path(votes, weights, sigma, step, at_the_edge(votes, weights))
    true = (canvas.joints_in_cube(one) * (one.cube / 2)[:, None, None])[0, joint]

    assert stage.heat3d is not None and stage.vectors is not None, "the variant has 3D maps"
    figure, (left, right) = canvas.panels(3.0, 3.0, height=3.0, numbered=(1,))
    image = prepare.image(one, method.config.size)[0, 0]
    canvas.crop_image(left, image)
    canvas.over(left, stage.heat3d[0, joint], SEEN, 1)
    figures.offset_field(
        stage.vectors[0, joint, :2],
        weight=(stage.heat3d[0, joint] > SEEN) & (stage.depth[0, 0] >= 0),
        axes=left,
        step=1,
        scale=0.14,
    )
    left.collections[-1].set_facecolor("white")  # arrows over the dark colours of small heat
    canvas.title(left, f"{method.skeleton.joints[joint]}: S and directions V")
    canvas.true_joint(left, canvas.joints_in_view(one)[0, joint, :2])
    right.scatter(
        *votes[:, :2].T.tolist(),
        s=(20 + 120 * weights / weights.max().clamp_min(1e-6)).tolist(),
        color=figures.BLUE,
        alpha=0.5,
        linewidths=0,
    )
    right.plot(*way[:, :2].T.tolist(), "-o", color=figures.VERMILION, markersize=4)
    u, v = way[-1, :2].tolist()
    right.add_patch(Circle((u, v), sigma, fill=False, color=figures.VERMILION, linewidth=1))
    right.plot(*true[:2].tolist(), "x", color=figures.BLACK, markersize=11, markeredgewidth=3)
    x, y = true[:2].tolist()
    canvas.title(right, f"step {step}: {(way[-1] - true).norm():.1f} mm from the joint")
    right.set(
        xlabel="x (mm)",
        ylabel="y (mm)",
        aspect="equal",
        xlim=(x - 60, x + 60),
        ylim=(y + 60, y - 60),
    )
    canvas.words(
        right,
        ("● votes", figures.BLUE),
        ("● mean shift", figures.VERMILION),
        ("× true joint", figures.BLACK),
    )
    figure.set_label(
        f"DenseReg's 3D heat map and directions for the {method.skeleton.joints[joint]} over the"
        f" crop of a hand; {candidates} votes for it and {step} steps of mean shift"
    )
    return figure


def live(method: DenseReg, stage: StackOutput, crops: Crops, row: int = 0, joint: int = 0) -> Live:
    """Return `picture` with controls for frame, joint, votes, kernel and step."""
    controls = {
        "row": count("frame", row, 0, len(crops) - 1),
        "joint": choice(
            "joint", [(name, j) for j, name in enumerate(method.skeleton.joints)], joint
        ),
        "candidates": count("votes", 30, 1, 60),
        "sigma": number("σ (mm)", 15, 3, 80),
        "step": count("step", 0, 0, 20),
    }
    return Live(functools.partial(picture, method, stage, crops), controls)
