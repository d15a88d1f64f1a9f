"""Where the hands are in a depth image, how sure the detector is, and whether the unit fits.

    found = finding.hands(frame, settings, detector)       # [Found(centre, probability, scale), …]

Three ways lead to a first hand: the detector of the book, the nearest object of a hand's size, and
a pixel that the reader points at. For a further hand, the surroundings of the hands found so far
are taken out of the image, and the detector looks again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from handpose_lib import prepare
from handpose_lib.camera import depth_to_points
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import DepthFrame
from handpose_lib.hand_detection import hand_detector
from handpose_lib.own_images.settings import UNITS, Settings
from handpose_lib.prepare.locate import FAR, NEAR

APART = 110.0
"""Radius in mm of the surroundings of a hand that are taken out before the next one is looked for;
centres of two hands are at least this far apart.
"""
POINTED = 9
"""Side in pixels of the window around a pixel that the reader points at; its nearest surface
counts.
"""
AROUND = 150.0
"""Radius in mm around a point of the reader within which the hand's centre is looked for."""
SURE = 0.95
"""The detector's probability from which a further hand counts."""
SCALES = tuple(2 ** (step / 2) for step in range(-4, 5))
"""Sides of the cubes that are tried to see how large a hand is, relative to the detector's own."""
TENFOLD = math.log(10)
"""The detector must be more certain by so much in log odds, with everything twice as large, to say
that the hand is half as large as it should be.
"""
MISFIT = 1.7
"""Factor from which the size of a hand says that the unit is wrong."""
KNOWN_UNITS = (*UNITS.values(), 0.1, 0.125, 0.25)
"""Units in mm that cameras and programs use."""
FITS = 1.4
"""A unit is suggested if a hand's size would then be right up to this factor."""


@dataclass(frozen=True)
class Found:
    """A hand in an image.

    centre        (3,) mm
    probability   the detector's, that the cube around the centre holds a hand
    scale         how large the hand looks, relative to those that the detector learned from; about
                  1 unless the unit or the focal length is wrong
    """

    centre: torch.Tensor
    probability: float
    scale: float


@torch.inference_mode()
def hands(frame: DepthFrame, settings: Settings, detector: hand_detector.Detector) -> list[Found]:
    """Return the hands of an image, at most `settings.hands` and at least one.

    A further hand counts only if the detector is `SURE` of it and it has a hand's size.
    Errors: `HandPoseError` if nothing is measured where hands are looked for, if the detector finds
    no hand, and for a point outside the image or without a measurement.
    """
    in_range(frame)
    found = [_found(frame, _first(frame, settings, detector), detector)]
    if settings.find == "detector" and found[0].probability < hand_detector.NO_HAND:
        raise HandPoseError(
            f"image {frame.id}: the detector finds no hand, and takes the likeliest place for one"
            f" with a probability of {found[0].probability:.1%}; if there is one, give a point of"
            " it, or find = nearest, or check the unit"
        )
    found[0] = _not_half_as_large(frame, found[0], detector)
    points = depth_to_points(frame.depth[None], frame.camera)[0]
    depth = frame.depth
    while len(found) < settings.hands:
        near = (points - found[-1].centre).norm(dim=-1) < APART
        depth = depth.masked_fill(near, 0)
        rest = replace(frame, depth=depth)
        if not _measured(rest).any():
            break
        further = _found(rest, _detected(rest, detector), detector)
        apart = min((further.centre - known.centre).norm().item() for known in found)
        of_size = 1 / MISFIT < further.scale < MISFIT
        if further.probability < SURE or not of_size or apart < APART:
            break
        found.append(further)
    return found


def in_range(frame: DepthFrame) -> None:
    """Check that something is measured where hands are looked for.

    Errors: `HandPoseError` that says what is measured, and in which unit it would be in range.
    """
    if _measured(frame).any():
        return
    values = frame.depth[frame.depth > 0]
    if not len(values):
        raise HandPoseError(f"image {frame.id}: nothing is measured in any pixel")
    low, high = values.min().item(), values.max().item()
    fitting = [name for name, unit in UNITS.items() if NEAR <= low * unit <= FAR and unit != 1] or [
        f"{unit:g} times the present one" for unit in (0.001, 0.1) if NEAR <= low * unit <= FAR
    ]
    advice = f"is the unit {fitting[0]}?" if fitting else "is the unit right?"
    raise HandPoseError(
        f"image {frame.id}: all that is measured is {low:,.4g} to {high:,.4g} mm away; accepted is"
        f" a hand between {NEAR:g} and {FAR:g} mm: {advice}"
    )


def likely_unit(unit: float, scale: float) -> float | None:
    """Return the unit in mm that explains a hand of this scale; None if the present one may be
    right, or if none of `KNOWN_UNITS` explains it.
    """
    if max(scale, 1 / scale) < MISFIT:
        return None
    nearest = min(KNOWN_UNITS, key=lambda other: abs(math.log(other / (unit / scale))))
    rest = nearest / (unit / scale)
    return nearest if max(rest, 1 / rest) <= FITS else None


@torch.inference_mode()
def scale_of(frame: DepthFrame, centre: torch.Tensor, detector: hand_detector.Detector) -> float:
    """Return how large the hand at `centre` (3,) mm looks, relative to those of the training.

    The detector scores cubes of all `SCALES`. A hand twice as large fills a cube twice as large in
    the same way, so that the scores peak at the scale of the hand. The result is the geometric mean
    of the scales, each weighted with its odds.
    """
    logs = torch.tensor(SCALES).log2()
    odds = torch.stack(
        [_odds(frame, centre, hand_detector.CUBE * scale, detector) for scale in SCALES]
    )
    return 2.0 ** (odds.softmax(0) * logs).sum().item()


# --- one hand -------------------------------------------------------------------


def _first(frame: DepthFrame, settings: Settings, detector: hand_detector.Detector) -> torch.Tensor:
    """Return the centre (3,) mm of the hand that the settings ask for."""
    if settings.find == "detector":
        return _detected(frame, detector)
    if settings.find == "point":
        assert settings.point is not None
        frame = _around(frame, *settings.point)
    return prepare.locate(frame.depth[None], frame.camera, "outline", ids=[frame.id])[0]


def _detected(frame: DepthFrame, detector: hand_detector.Detector) -> torch.Tensor:
    return prepare.locate(frame.depth[None], frame.camera, detector=detector)[0]


def _around(frame: DepthFrame, u: float, v: float) -> DepthFrame:
    """Return the frame with nothing but the surroundings of a pixel."""
    column, row = round(u), round(v)
    height, width = frame.depth.shape
    if not (0 <= column < width and 0 <= row < height):
        raise HandPoseError(
            f"parameter point: given ({u:g}, {v:g}), outside the image of {width}×{height} pixels;"
            " accepted is a pixel (u to the right, v down) of the hand"
        )
    half = POINTED // 2
    window = frame.depth[
        max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1
    ]
    if not (window > 0).any():
        raise HandPoseError(
            f"parameter point: given ({u:g}, {v:g}), where nothing is measured; accepted is a pixel"
            " of the hand"
        )
    z = window[window > 0].min()
    at = torch.stack(
        (
            (column - frame.camera.u0) * z / frame.camera.fx,
            (row - frame.camera.v0) * z / frame.camera.fy,
            z,
        )
    )
    points = depth_to_points(frame.depth[None], frame.camera)[0]
    return replace(frame, depth=frame.depth.masked_fill((points - at).norm(dim=-1) > AROUND, 0))


def _found(frame: DepthFrame, centre: torch.Tensor, detector: hand_detector.Detector) -> Found:
    odds = _odds(frame, centre, hand_detector.CUBE, detector)
    return Found(centre, odds.sigmoid().item(), scale_of(frame, centre, detector))


def _not_half_as_large(frame: DepthFrame, found: Found, detector: hand_detector.Detector) -> Found:
    """Return what was found; if the hand seems half as large as it should be, with that scale.

    In a scene that is too small the detector settles on a part of it that fills its cube, whose
    size tells nothing. With everything twice as large it finds the hand.
    """
    twice = replace(frame, depth=2 * frame.depth, centre=None)
    if not _measured(twice).any():
        return found
    centre = _detected(twice, detector)
    gain = _odds(twice, centre, hand_detector.CUBE, detector) - torch.logit(
        torch.tensor(found.probability), 1e-6
    )
    if gain < TENFOLD:
        return found
    return replace(found, scale=min(found.scale, scale_of(twice, centre, detector) / 2))


def _odds(
    frame: DepthFrame, centre: torch.Tensor, cube: float, detector: hand_detector.Detector
) -> torch.Tensor:
    """Return the log odds () that a cube holds a hand."""
    cameras = frame.camera.intrinsics(frame.depth)[None]
    return detector.odds(frame.depth[None], cameras, centre[None], cube)[0]


def _measured(frame: DepthFrame) -> torch.Tensor:
    return (frame.depth >= NEAR) & (frame.depth <= FAR)


def nearest_other(frame: DepthFrame, found: Sequence[Found]) -> float | None:
    """Return how far the nearest object of a hand's size is from all hands found, in mm.

    None if it is one of them. A person or a thing in front of the hand is such an object.
    """
    centre = prepare.locate(frame.depth[None], frame.camera, "outline", ids=[frame.id])[0]
    apart = min((centre - one.centre).norm().item() for one in found)
    return apart if apart > APART else None
