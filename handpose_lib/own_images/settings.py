"""What a reader states about an image of their own, checked before any work.

    given = settings.check({"camera": "d435", "hand": "right"})      # a `Settings`

The chapter and the command share these parameters, under the same names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from handpose_lib import parameters
from handpose_lib.errors import HandPoseError
from handpose_lib.own_images.presets import PRESETS
from handpose_lib.parameters import Choice, Kind, Number, Numbers, Place, Refused, Whole

UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Units by name, in mm."""
EITHER = "either"
SIDES = ("right", "left", EITHER)
FIND = ("detector", "nearest", "point")
MOST_HANDS = 4


@dataclass(frozen=True)
class Unit(Kind):
    """The length of a value of 1: mm, cm, m, or a number of mm, as `float` in mm."""

    def accepts(self) -> str:
        return f"{', '.join(UNITS)}, or a number from 0.0001 to 10000 in mm"

    def convert(self, value: Any) -> float:
        if isinstance(value, str) and (word := value.strip().strip("'\"").lower()) in UNITS:
            return UNITS[word]
        if isinstance(value, str) and re.fullmatch(r"\s*[a-zA-Z]+\s*", value):
            raise Refused("write one of them")
        return Number(0.0001, 10_000, "mm").convert(value)


ACCEPTED: Mapping[str, Kind] = {
    "image": Place("file or folder", empty_is_none=True, none="the frames of the book"),
    "camera": Choice(tuple(PRESETS), none="fx, fy, u0, v0 or intrinsics say it"),
    "intrinsics": Place("file", none="a camera, or fx, fy, u0, v0, says it"),
    "unit_mm": Unit(none="as the camera's files have it"),
    "fx": Number(1, 100_000, "pixels", none="the camera says it"),
    "fy": Number(1, 100_000, "pixels", none="the same as fx"),
    "u0": Number(-100_000, 100_000, "pixels", none="the camera says it"),
    "v0": Number(-100_000, 100_000, "pixels", none="the camera says it"),
    "width": Whole(1, 100_000, none="that of the image"),
    "height": Whole(1, 100_000, none="that of the image"),
    "hand": Choice(SIDES),
    "find": Choice(FIND),
    "point": Numbers(("u", "v"), 0, none="no point is given"),
    "hands": Whole(1, MOST_HANDS),
}
"""Every parameter, and what it accepts."""


@dataclass(frozen=True)
class Settings:
    """What is known about an image, and how its hands are found.

    image        a file or folder; None for the frames of the book
    camera       a name of `presets.PRESETS`
    intrinsics   a JSON file that states them (`presets.from_json`)
    unit_mm      length of a value of 1; None: see `reading.unit_mm`
    fx … v0      intrinsics in pixels, which go before the camera's
    width …      size of the image in pixels, if it is to be checked
    hand         'right', 'left', or 'either': try both
    find         by the 'detector', as the 'nearest' object, or at a 'point'
    point        (u, v), a pixel of the hand
    hands        how many hands to look for
    """

    image: Path | None = None
    camera: str | None = None
    intrinsics: Path | None = None
    unit_mm: float | None = None
    fx: float | None = None
    fy: float | None = None
    u0: float | None = None
    v0: float | None = None
    width: int | None = None
    height: int | None = None
    hand: str = EITHER
    find: str = "detector"
    point: tuple[float, ...] | None = None
    hands: int = 1


def check(given: Mapping[str, Any]) -> Settings:
    """Return the settings; parameters that are not given have the defaults of `Settings`.

    Errors: `HandPoseError` with one line for every parameter that is refused.
    """
    if unknown := [name for name in given if name not in ACCEPTED]:
        raise HandPoseError("\n".join(parameters.unknown_name(name, ACCEPTED) for name in unknown))
    defaults = {field.name: field.default for field in fields(Settings)}
    return together(parameters.check({**defaults, **given}, ACCEPTED))


def together(found: Mapping[str, Any]) -> Settings:
    """Return the settings of checked values, after checking that they fit each other.

    Errors: `HandPoseError` with one line for every contradiction.
    """
    settings, wrong = Settings(**found), []
    numbers = {name: found[name] for name in ("fx", "u0", "v0")}
    stated = [name for name, value in numbers.items() if value is not None]
    if (stated and len(stated) < 3) or (found["fy"] is not None and not stated):
        missing = ", ".join(name for name in numbers if name not in stated)
        wrong.append(
            f"parameters fx, u0, v0: {missing} missing; accepted are all of them (fy is that of fx"
            " if left out), or none with a camera"
        )
    if settings.image is not None and not (stated or settings.camera or settings.intrinsics):
        wrong.append(
            f"parameter camera: none given; accepted is one of {', '.join(PRESETS)}: write the name"
            " of yours, or fx, fy, u0, v0 from its software"
        )
    if settings.find == "point" and settings.point is None:
        wrong.append("parameter point: none given, but find is point; write a pixel (u, v)")
    if settings.find != "point" and settings.point is not None:
        settings = Settings(**{**vars(settings), "find": "point"})
    if settings.point is not None and settings.hands > 1:
        wrong.append(
            f"parameter hands: given {settings.hands}, but a point shows one hand; write 1, or"
            " leave the point out"
        )
    if wrong:
        raise HandPoseError("\n".join(wrong))
    return settings
