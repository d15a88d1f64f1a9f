"""Sensor noise against error: what a depth camera does to a frame, and what a trained network then
says.
"""

import functools

import torch

from handpose_lib import skeleton
from handpose_lib.errors import one_of
from handpose_lib.evaluation import metrics
from handpose_lib.synth import hashing
from handpose_lib.synth.scene import sensors
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, choice, count, number

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""At which the curve is measured; 1 is a camera as one meets it."""

SEED = 3
"""Of the noise."""


def measured(rendered, sensor="time of flight", strength=1.0, rows=slice(None)):
    """The exact depth of the hands of `rendered` frames (B, H, W) mm as `sensor` measures it, one
    of `sensors.SENSORS`; itself at strength 0.

    `rows`: of some frames only, which have the same noise alone and among all.
    """
    sense = sensors.SENSORS[one_of("sensor", sensor, sensors.SENSORS)]
    return sense(
        rendered.hand_depth[rows],
        rendered.camera,
        hashing.keys(SEED, range(len(rendered)))[rows],
        strength,
    )


def roughness(clean, noisy):
    """(B,) mm: the root of the mean square by which depth (B, H, W) differs where both have
    measured something.
    """
    both = (clean > 0) & (noisy > 0)
    squares = ((noisy - clean).square() * both).sum((1, 2)) / both.sum((1, 2)).clamp_min(1)
    return squares.sqrt()


def curve(rendered, sensor="time of flight", network=None, strengths=STRENGTHS):
    """(S,) mm: over `strengths`, the mean joint error of a `network` (`pretrained.Pretrained`), or
    without one the mean roughness of the depth.
    """
    values = []
    for strength in strengths:
        depth = measured(rendered, sensor, strength)
        if network is None:
            values.append(roughness(rendered.hand_depth, depth).mean())
        else:
            values.append(
                metrics.mean_joint_error(_said(network, rendered, depth), rendered.joints)
            )
    return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in values])


def picture(
    rendered,
    sensor="time of flight",
    strength=1.0,
    network=None,
    row=0,
    known=None,
    strengths=STRENGTHS,
):
    """Frame `row` as measured, with the true skeleton and dashed the network's; beside it `curve`,
    with the present strength marked.

    `known`: the curve, where it was computed before.
    """
    known = curve(rendered, sensor, network, strengths) if known is None else known
    one, bones = slice(row, row + 1), skeleton.get("msra21")
    depth = measured(rendered, sensor, strength, one)
    said = None if network is None else _said(network, rendered, depth, one)[0]
    figure, (left, right) = canvas.panels(3.0, 3.4, height=3.0, numbered=(1,))
    # The grey scale is that of the clean frame, so that flying pixels cannot change it.
    clean = rendered.hand_depth[row]
    figures.depth_image(
        depth[0],
        rendered.camera,
        rendered.joints[row] if network else None,
        bones,
        said,
        left,
        zoom=8,
        near=float(clean[clean > 0].min()),
        far=float(clean.max()),
    )
    canvas.title(left, f"{sensor}, strength {strength:.1f}")
    right.plot(strengths, known.tolist(), "-o", color=figures.BLUE, markersize=4)
    right.axvline(strength, color=figures.VERMILION, linewidth=1.5, linestyle="--")
    right.set(
        xlabel="strength of the sensor",
        ylim=(0, 1.1 * max(float(known.max()), 1e-3)),
        xlim=(-0.1, max(strengths) + 0.1),
    )
    canvas.title(
        right,
        f"{'joint error' if network else 'roughness of the depth'} (mm),\nmean of"
        f" {len(rendered.joints)} synthetic frames",
    )
    right.grid(True)
    figure.set_label(
        f"a synthetic hand as {sensor} of strength {strength:.1f} measures it, and a curve of the"
        " error over the strength"
    )
    return figure


def live(rendered, network=None):
    """Sensor, strength and frame of `picture`; a curve is computed when its sensor is first chosen."""
    once = functools.cache(lambda sensor: curve(rendered, sensor, network))
    controls = {
        "sensor": choice("sensor", sensors.SENSORS, "time of flight"),
        "strength": number("strength", 1, 0, max(STRENGTHS), 0.1, 1),
        "row": count("frame", 0, 0, len(rendered) - 1),
    }

    def read(values):
        return {**values, "known": once(values["sensor"])}

    return Live(functools.partial(picture, rendered, network=network), controls, read=read)


def _said(network, rendered, depth, rows=slice(None)):
    """(B, J, 3) mm, in cubes around the true means, so that only what the network sees changes."""
    return network.joints(
        depth, rendered.camera, rendered.joints[rows].mean(1), rendered.hands[rows]
    )
