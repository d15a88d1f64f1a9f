"""Augmentation: another view of the same windows.

The view is turned, enlarged, moved and stretched; the window and the joints stay as they are.
`view.image`, `view.to_view` and `view.xyz_to_cube` all use the same view, so that image and joints
agree by construction.
"""

from dataclasses import replace
from math import pi

import torch

from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops

MODES = ("translation", "rotation", "scale and aspect", "none")


def augment(
    crops: Crops,
    generator: torch.Generator,
    rotation: tuple[float, float] = (-pi, pi),
    scale: tuple[float, float] = (0.9, 1.1),
    translation: float = 10.0,
    aspect: tuple[float, float] = (1.0, 1.0),
    one_at_a_time: bool = False,
) -> Crops:
    """Return a random view of each crop, every value drawn uniformly from its range.

    `rotation`: rad in the image plane; `scale`: factor of the cube's side; `translation`: largest
    shift of its centre along each axis, mm; `aspect`: stretch of x against y. `one_at_a_time`
    changes at most one of translation, rotation, and scale with aspect per sample, all four cases
    with equal odds, as the code of JGR-P2O does. The draws come from a `generator` on the CPU and
    are the same on every device; sample i takes the i-th seven numbers.
    Errors: a range that is empty or not positive where it must be, a generator elsewhere.
    """
    _check(generator, rotation, scale, translation, aspect)
    draws = torch.rand(len(crops), 7, generator=generator, dtype=torch.float32).to(crops.cube)
    turned = _between(draws[:, 0], *rotation)
    scaled = _between(draws[:, 1], *scale)
    stretched = _between(draws[:, 2], *aspect)
    moved = _between(draws[:, 3:6], -translation, translation)
    if one_at_a_time:
        mode = (draws[:, 6] * len(MODES)).floor()
        moved = moved * (mode == 0)[:, None]
        turned = turned * (mode == 1)
        scaled, stretched = (
            torch.where(mode == 2, value, torch.ones_like(value)) for value in (scaled, stretched)
        )
    return replace(
        crops,
        rotation=crops.rotation + turned,
        cube=crops.cube * scaled,
        centre=crops.centre + moved,
        aspect=crops.aspect * stretched,
    )


def _between(uniform: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Map numbers from [0, 1) to [low, high)."""
    return low + (high - low) * uniform


def _check(
    generator: torch.Generator,
    rotation: tuple[float, float],
    scale: tuple[float, float],
    translation: float,
    aspect: tuple[float, float],
) -> None:
    if generator.device.type != "cpu":
        raise HandPoseError(
            f"augment: a generator on {generator.device}: accepted is one on the CPU, so that the "
            "draws do not depend on the device of the batch"
        )
    if not rotation[0] <= rotation[1]:
        raise HandPoseError(f"augment: rotation {rotation}: accepted is (low, high) in rad")
    for name, (low, high) in (("scale", scale), ("aspect", aspect)):
        if not 0 < low <= high:
            raise HandPoseError(
                f"augment: {name} {(low, high)}: accepted is (low, high) with 0 < low ≤ high"
            )
    if not 0 <= translation < float("inf"):
        raise HandPoseError(f"augment: translation {translation}: accepted is mm ≥ 0")
