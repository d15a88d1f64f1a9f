"""JGR-P2O's voting weights and the proposals of the pixels."""

import functools

from matplotlib.figure import Figure

from handpose_lib.frames import Crops
from handpose_lib.papers.jgr_p2o import JGRP2O, StackOutput
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, choice, count


def picture(
    method: JGRP2O, stage: StackOutput, crops: Crops, row: int = 0, joint: int = 0
) -> Figure:
    """Draw the voting weights of one joint of frame `row`, and the proposal of each pixel.

    Left: the weights over the crop, with sum 1. Right: the proposals, with areas that grow with
    their weights. `stage`: output of `method`, which predicts offsets, for `crops`.
    """
    assert stage.weights is not None and stage.offsets is not None, "outputs, not targets"
    one, name = crops.index(slice(row, row + 1)), method.skeleton.joints[joint]
    weights = stage.weights[row, joint]
    places = (
        2 * (stage.pixels[row, :2] + stage.offsets[row, :2, joint]).flatten(1) - 1
    )  # (2, h·w) in the view
    image, true = method.encode(one)[0, 0], canvas.joints_in_view(one)[0, joint, :2]
    figure, panels = canvas.panels(3.2, 3.2, height=3.2)
    for axes, text in zip(panels, (f"{name}: voting weights", "votes of the pixels")):
        canvas.crop_image(axes, image)
        canvas.title(axes, text)
    left, right = panels
    canvas.over(left, weights, float(weights.max()) / 100)
    right.scatter(
        *places.tolist(),
        s=(200 * weights.flatten() / weights.max()).tolist(),
        color=figures.SKY,
        alpha=0.7,
        linewidths=0,
        label="vote of a pixel",
    )
    right.plot(
        *(2 * stage.joints[row, joint, :2] - 1).tolist(),
        "x",
        color=figures.VERMILION,
        markersize=11,
        markeredgewidth=3,
        label="weighted mean",
    )
    canvas.true_joint(right, true)
    right.plot(
        [],
        [],
        "o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=figures.BLACK,
        label="true joint",
    )
    right.legend(loc="lower left", fontsize=9, frameon=True)
    figure.set_label(
        f"JGR-P2O's voting weights for the {name} over the crop of a hand, and the positions that"
        " the pixels propose"
    )
    return figure


def live(method: JGRP2O, stage: StackOutput, crops: Crops, row: int = 0, joint: int = 0) -> Live:
    """Return `picture` with controls for frame and joint."""
    controls = {
        "row": count("frame", row, 0, len(crops) - 1),
        "joint": choice(
            "joint", [(name, j) for j, name in enumerate(method.skeleton.joints)], joint
        ),
    }
    return Live(functools.partial(picture, method, stage, crops), controls)
