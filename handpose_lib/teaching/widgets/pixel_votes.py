"""JGR-P2O's voting weights: whose word counts for a joint, and what the pixels say."""

import functools

from handpose_lib import prepare
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, choice, count


def picture(method, stage, crops, row=0, joint=0):
    """Left the weights of one joint of frame `row` over its crop, 1 in sum; right each pixel's
    proposal, the larger the more it counts.

    `method` a JGR-P2O with offsets, `stage` what it says of `crops`.
    """
    one, name = crops.index(slice(row, row + 1)), method.skeleton.joints[joint]
    weights = stage.weights[row, joint]
    places = (
        2 * (stage.pixels[row, :2] + stage.offsets[row, :2, joint]).flatten(1) - 1
    )  # (2, h·w) in the view
    image, true = method.encode(one)[0, 0], prepare.to_view(one.joints, one)[0, joint, :2]
    figure, panels = canvas.panels(3.2, 3.2, height=3.2)
    for axes, text in zip(panels, (f"{name}: who is heard", "what they say")):
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
        label="a pixel's word",
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
        f"JGR-P2O's voting weights for the {name} over the crop of a hand, and the places that the"
        " pixels propose"
    )
    return figure


def live(method, stage, crops, row=0, joint=0):
    """Frame and joint of `picture`."""
    controls = {
        "row": count("frame", row, 0, len(crops) - 1),
        "joint": choice(
            "joint", [(name, j) for j, name in enumerate(method.skeleton.joints)], joint
        ),
    }
    return Live(functools.partial(picture, method, stage, crops), controls)
