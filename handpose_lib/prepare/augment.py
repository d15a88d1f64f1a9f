"""Augmentation: another view of the same windows.

The view is turned, enlarged, moved and stretched; the window and the joints stay as they are.
`view.image`, `view.to_view` and `view.xyz_to_cube` all use the same view, so that image and joints
agree by construction.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import pi, sqrt

import torch

from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops

VALUES = ("rotation", "scale", "translation", "aspect", "zoom")
MODES = ("translation", "rotation", "scale and aspect", "none")


def augment(
    crops: Crops,
    generator: torch.Generator,
    rotation: tuple[float, float] = (-pi, pi),
    scale: tuple[float, float] = (0.9, 1.1),
    translation: float = 10.0,
    aspect: tuple[float, float] = (1.0, 1.0),
    zoom: tuple[float, float] = (1.0, 1.0),
    deviations: Mapping[str, float] | None = None,
    one_at_a_time: bool = False,
    first: int = 0,
) -> Crops:
    """Return a random view of each crop, every value drawn from its range.

    `rotation`: rad in the image plane; `scale`: factor of the cube's side; `translation`: largest
    shift of its centre along each axis, mm; `aspect`: stretch of x against y; `zoom`: factor of the
    hand in the cube, whose side is divided by it. Draws are uniform; those with an entry in
    `deviations` are normal about the middle of the range, with that standard deviation in their own
    unit, and clipped to the range. `one_at_a_time` changes at most one of translation, rotation,
    and sizes (scale, aspect, zoom) per sample, all four cases with equal odds. The draws come from
    a `generator` on the CPU and are the same on every device; sample i takes the i-th seven
    numbers. `first`: number of the first crop in its batch, of which the crops are a part.
    Errors: a range that is empty or not positive where it must be, both a scale and a zoom,
    deviations of anything else or not above 0, a generator elsewhere.
    """
    spread = deviations or {}
    _check(generator, rotation, scale, translation, aspect, zoom, spread)
    draws = torch.rand(first + len(crops), 7, generator=generator, dtype=torch.float32)
    draws = draws[first:].to(crops.cube)
    turned = _between(draws[:, 0], *rotation, spread.get("rotation"))
    if zoom == (1.0, 1.0):
        scaled = _between(draws[:, 1], *scale, spread.get("scale"))
    else:
        scaled = 1 / _between(draws[:, 1], *zoom, spread.get("zoom"))
    stretched = _between(draws[:, 2], *aspect, spread.get("aspect"))
    moved = _between(draws[:, 3:6], -translation, translation, spread.get("translation"))
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


def _between(
    uniform: torch.Tensor, low: float, high: float, deviation: float | None = None
) -> torch.Tensor:
    """Map numbers from [0, 1) to [low, high): uniform, or normal about the middle and clipped."""
    if deviation is None:
        return low + (high - low) * uniform
    normal = torch.erfinv(2 * uniform - 1) * sqrt(2)  # −∞ at 0, which is clipped as well
    return ((low + high) / 2 + deviation * normal).clamp(low, high)


def _check(
    generator: torch.Generator,
    rotation: tuple[float, float],
    scale: tuple[float, float],
    translation: float,
    aspect: tuple[float, float],
    zoom: tuple[float, float],
    spread: Mapping[str, float],
) -> None:
    if generator.device.type != "cpu":
        raise HandPoseError(
            f"augment: a generator on {generator.device}: accepted is one on the CPU, so that the "
            "draws do not depend on the device of the batch"
        )
    if not rotation[0] <= rotation[1]:
        raise HandPoseError(f"augment: rotation {rotation}: accepted is (low, high) in rad")
    for name, (low, high) in (("scale", scale), ("aspect", aspect), ("zoom", zoom)):
        if not 0 < low <= high:
            raise HandPoseError(
                f"augment: {name} {(low, high)}: accepted is (low, high) with 0 < low ≤ high"
            )
    if scale != (1.0, 1.0) and zoom != (1.0, 1.0):
        raise HandPoseError(
            f"augment: scale {scale} and zoom {zoom}: accepted is one of them, as both change the"
            " side of the cube"
        )
    for name, deviation in spread.items():
        one_of("augment: deviation of", name, VALUES)
        if not 0 < deviation < float("inf"):
            raise HandPoseError(f"augment: deviation {deviation} of {name}: accepted is > 0")
    if not 0 <= translation < float("inf"):
        raise HandPoseError(f"augment: translation {translation}: accepted is mm ≥ 0")
