"""Sensor noise and its effect on the error of a trained network."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from handpose_lib import skeleton
from handpose_lib.errors import one_of
from handpose_lib.evaluation import metrics
from handpose_lib.results.pretrained import Pretrained
from handpose_lib.synth import Rendered, hashing
from handpose_lib.synth.scene import sensors
from handpose_lib.teaching import figures
from handpose_lib.teaching.widgets import canvas
from handpose_lib.teaching.widgets.live import Live, choice, count, number

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Strengths at which the curve is computed; 1 stands for a typical camera."""

SEED = 3
"""Seed of the noise."""


def measured(
    rendered: Rendered,
    sensor: str = "time of flight",
    strength: float = 1.0,
    rows: slice = slice(None),
) -> torch.Tensor:
    """Return the depth (B, H, W) mm of the hands of `rendered` frames as `sensor` measures it.

    `sensor`: one of `sensors.SENSORS`. `rows`: some frames only, which have the same noise as among
    all frames. Errors: `HandPoseError` for an unknown sensor.
    """
    sense = sensors.SENSORS[one_of("sensor", sensor, sensors.SENSORS)]
    return sense(
        rendered.hand_depth[rows],
        rendered.camera,
        hashing.keys(SEED, range(len(rendered)))[rows],
        strength,
    )


def roughness(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Return (B,), the root mean square difference in mm of depth (B, H, W) that both measure."""
    both = (clean > 0) & (noisy > 0)
    squares = ((noisy - clean).square() * both).sum((1, 2)) / both.sum((1, 2)).clamp_min(1)
    return squares.sqrt()


def curve(
    rendered: Rendered,
    sensor: str = "time of flight",
    network: Pretrained | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> torch.Tensor:
    """Return (S,) mm over `strengths`: the mean joint error of a network.

    Without a network it is the mean roughness of the depth.
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
    rendered: Rendered,
    sensor: str = "time of flight",
    strength: float = 1.0,
    network: Pretrained | None = None,
    row: int = 0,
    known: torch.Tensor | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Figure:
    """Draw frame `row` as measured, with the true skeleton and the network's, dashed, and `curve`.

    The present strength is marked in the curve. `known`: the curve, if it was computed before.
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


def live(rendered: Rendered, network: Pretrained | None = None) -> Live:
    """Return `picture` with controls for sensor, strength and frame.

    The curve of a sensor is computed when the sensor is first chosen.
    """
    once = functools.cache(lambda sensor: curve(rendered, sensor, network))
    controls = {
        "sensor": choice("sensor", sensors.SENSORS, "time of flight"),
        "strength": number("strength", 1, 0, max(STRENGTHS), 0.1, 1),
        "row": count("frame", 0, 0, len(rendered) - 1),
    }

    def read(values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "known": once(values["sensor"])}

    return Live(functools.partial(picture, rendered, network=network), controls, read=read)


def _said(
    network: Pretrained, rendered: Rendered, depth: torch.Tensor, rows: slice = slice(None)
) -> torch.Tensor:
    """Return (B, J, 3) mm, predictions in cubes around the true means, which noise cannot move."""
    return network.joints(
        depth, rendered.camera, rendered.joints[rows].mean(1), rendered.hands[rows]
    )
