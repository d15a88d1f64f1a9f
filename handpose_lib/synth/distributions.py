"""What the synthetic frames show: a `Distribution`, whose fields are factors, and named ones.

`WIDE` has what clean renderings lack: hands in every direction of the image, views from behind and
along the fingers, the in-between poses of daily life, forearms of any length or none, both hands,
surroundings, and what sensors do to them. `FIELD` has what real scenes have besides: hands that lie
on a table, another hand, children's hands, sleeves, the border of the image, depth that is missing
where real cameras miss it, and reference points with the errors of a detector. `MSRA_LIKE` shows
the gestures of MSRA's set, cut out clean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.synth.hands import poses
from handpose_lib.synth.scene import sensors


@dataclass(frozen=True)
class Distribution:
    """What is drawn. Angles in degrees, lengths in mm, pairs are lowest and highest, shares are
    probabilities.

    poses: weights of the families of `poses.MIX`.
    in_plane, yaw, pitch: of `hand.rotation`; in-plane is its roll. Pitch is drawn more often near
    its middle.
    left: share of left hands.
    distance: of the hand from the camera; None for what suits the camera of the setup.
    offset: how far the hand strays from the middle of the image, as a share of the room there is.
    forearm: share of frames that show one; forearm_length, and forearm_girth against that of the
    hand.
    wrist: greatest flexion and greatest deviation of the hand against the forearm.
    wall, person, table, held, near, beside: shares of frames with each of `surroundings`; behind,
    below: their gaps.
    sensors: weights of `sensors.SENSORS`; strength: of the sensor.
    holes: greatest share of the image without measurement; missing: share of frames with a lost
    part of a finger.
    smear: share of frames with smeared edges; coarse: greatest step of the depth, in a third of the
    frames.
    reach: farthest depth that is measured.
    centre_error: standard deviation along each axis by which the reference point of a frame misses
    the mean of its joints. It stands for a network that locates the hand, such as the one whose
    centres papers read from a file.

    The factors of `FIELD`; each is off at 0, and sizes at (1, 1):

    tabletop: share of frames with a flat table behind the hand, seen by the camera from above, from
    beside or from below; table_gap: mm between it and the nearest surface of hand and forearm.
    touching: share of these tables on which the flat of the hand lies; touch_gap: mm between the
    table and the surface of the hand, negative where the skin is pressed in. flattened: share of
    the hands that lie whose fingers are stretched along the table.
    table_edge: share of these tables that end near the hand.
    box: share of frames with a box beside the hand, on the table if there is one.
    second: share of frames with the other hand of the person near by; second_gap: mm between both.
    hand_size, hand_thickness: factors of all lengths of a subject, and of its thickness.
    border: share of frames with a border of the image close to the hand; border_distance: mm from
    the border to the mean of the joints, at its depth.
    sleeve: share of the forearms that are sleeved. dark: share of frames in which clothes, which
    are sleeves and the body behind, reflect too little light to be measured.
    shadow: share of frames with the shadow of the projector beside near edges; baseline: mm from
    the camera to the projector. rim: share of frames in which the pixels behind an edge, next to
    it, are lost. ragged: share of frames with frayed edges. flying: share of frames with pixels
    between both surfaces of an edge. glancing: share of frames without depth where a surface is
    seen at a glancing angle. dropouts: greatest share of the pixels that is lost in patches.
    grain: greatest standard deviation of the noise in mm at a distance of 1 m; it grows with the
    square of the distance. steps: greatest quantisation step in mm at 1 m; it grows alike.
    smoothing, filling: shares of frames that the camera's software smooths between edges, and whose
    holes it fills.
    strays: share of frames whose reference point strays further; stray_reach: greatest distance in
    mm from the mean of the joints.
    """

    poses: Mapping[str, float] = field(default_factory=lambda: dict(poses.MIX))
    in_plane: tuple[float, float] = (-180.0, 180.0)
    yaw: tuple[float, float] = (-180.0, 180.0)
    pitch: tuple[float, float] = (-85.0, 85.0)
    left: float = 0.5
    distance: tuple[float, float] | None = None
    offset: float = 0.6
    forearm: float = 0.85
    forearm_length: tuple[float, float] = (5.0, 300.0)
    forearm_girth: tuple[float, float] = (0.8, 1.25)
    wrist: tuple[float, float] = (45.0, 15.0)
    wall: float = 0.2
    person: float = 0.25
    table: float = 0.25
    held: float = 0.1
    near: float = 0.15
    beside: float = 0.12
    behind: tuple[float, float] = (60.0, 600.0)
    below: tuple[float, float] = (0.0, 60.0)
    sensors: Mapping[str, float] = field(
        default_factory=lambda: {"ideal": 0.1, "time of flight": 0.45, "structured light": 0.45}
    )
    strength: tuple[float, float] = (0.3, 1.5)
    holes: float = 0.03
    missing: float = 0.1
    smear: float = 0.2
    coarse: float = 4.0
    reach: float = 1500.0
    centre_error: float = 8.0
    tabletop: float = 0.0
    table_gap: tuple[float, float] = (-4.0, 80.0)
    touching: float = 0.0
    touch_gap: tuple[float, float] = (-4.0, 12.0)
    flattened: float = 0.0
    table_edge: float = 0.0
    box: float = 0.0
    second: float = 0.0
    second_gap: tuple[float, float] = (-10.0, 120.0)
    hand_size: tuple[float, float] = (1.0, 1.0)
    hand_thickness: tuple[float, float] = (1.0, 1.0)
    border: float = 0.0
    border_distance: tuple[float, float] = (20.0, 110.0)
    sleeve: float = 0.0
    dark: float = 0.0
    shadow: float = 0.0
    baseline: tuple[float, float] = (15.0, 60.0)
    rim: float = 0.0
    ragged: float = 0.0
    flying: float = 0.0
    glancing: float = 0.0
    dropouts: float = 0.0
    grain: float = 0.0
    steps: float = 0.0
    smoothing: float = 0.0
    filling: float = 0.0
    strays: float = 0.0
    stray_reach: float = 30.0

    def __post_init__(self) -> None:
        for name in (
            "left",
            "offset",
            "forearm",
            "wall",
            "person",
            "table",
            "held",
            "near",
            "beside",
            "holes",
            "missing",
            "smear",
            *_SHARES,
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise HandPoseError(
                    f"{name} {getattr(self, name)}: accepted is a share between 0 and 1"
                )
        for name in (
            "in_plane",
            "yaw",
            "pitch",
            "forearm_length",
            "forearm_girth",
            "behind",
            "below",
            "strength",
            "distance",
            "table_gap",
            "touch_gap",
            "second_gap",
            "hand_size",
            "hand_thickness",
            "border_distance",
            "baseline",
        ):
            limits = getattr(self, name)
            if limits is not None and not (
                len(limits) == 2 and -math.inf < limits[0] <= limits[1] < math.inf
            ):
                raise HandPoseError(
                    f"{name} {limits}: accepted are two numbers, the lower one first"
                )
        for name in self.sensors:
            one_of("sensor", name, sensors.SENSORS)
        if not (all(w >= 0 for w in self.sensors.values()) and sum(self.sensors.values()) > 0):
            raise HandPoseError(
                f"sensors {dict(self.sensors)}: accepted are weights of at least 0, one above 0"
            )
        if not 0 <= self.centre_error < math.inf:
            raise HandPoseError(f"centre_error {self.centre_error}: accepted are mm ≥ 0")
        for name in ("grain", "steps", "stray_reach"):
            if not 0 <= getattr(self, name) < math.inf:
                raise HandPoseError(f"{name} {getattr(self, name)}: accepted are mm ≥ 0")
        for name in ("hand_size", "hand_thickness", "border_distance", "baseline"):
            if not getattr(self, name)[0] > 0:
                raise HandPoseError(f"{name} {getattr(self, name)}: accepted are numbers above 0")

    @property
    def filmed(self) -> bool:
        """Whether a factor of `scene.depth_camera` is on."""
        return any(getattr(self, name) > 0 for name in (*_OF_CAMERA, "grain", "steps", "dropouts"))


_OF_CAMERA = ("dark", "shadow", "rim", "ragged", "flying", "glancing", "smoothing", "filling")
_SHARES = (
    *(
        "tabletop",
        "touching",
        "flattened",
        "table_edge",
        "box",
        "second",
        "border",
        "sleeve",
        "strays",
    ),
    *("dropouts", *_OF_CAMERA),
)


_NO_SURROUNDINGS: dict[str, Any] = dict(
    wall=0.0, person=0.0, table=0.0, held=0.0, near=0.0, beside=0.0
)
_NO_DAMAGE: dict[str, Any] = dict(
    sensors={"ideal": 1.0}, holes=0.0, missing=0.0, smear=0.0, coarse=0.0
)

WIDE = Distribution()
"""The default for training: everything on."""

WIDE_VIEW = replace(
    WIDE,
    in_plane=(-90.0, 90.0),
    yaw=(-60.0, 60.0),
    pitch=(-60.0, 60.0),
    left=0.0,
    forearm_length=(5.0, 100.0),
    strength=(0.2, 0.8),
    missing=0.0,
    smear=0.0,
    coarse=0.0,
    **_NO_SURROUNDINGS,
)
"""What a network can learn in minutes: all poses, a wide range of views, right hands cut out as in
MSRA's files, and the noise and holes of a good sensor.
"""

MSRA_LIKE = Distribution(
    poses={"gesture": 1.0},
    in_plane=(-45.0, 45.0),
    yaw=(-60.0, 60.0),
    pitch=(-50.0, 50.0),
    left=0.0,
    offset=0.3,
    forearm=1.0,
    forearm_length=(5.0, 40.0),
    forearm_girth=(0.95, 1.1),
    wrist=(20.0, 10.0),
    **_NO_SURROUNDINGS,
    **_NO_DAMAGE,
)
"""Clean, cut out, right hands that show MSRA's gestures in moderate views."""

FIELD = replace(
    WIDE,
    distance=(250.0, 1200.0),
    forearm=0.9,
    forearm_length=(100.0, 330.0),
    forearm_girth=(0.75, 1.4),
    table=0.0,
    held=0.2,
    near=0.15,
    beside=0.15,
    **_NO_DAMAGE,
    centre_error=4.0,
    tabletop=0.5,
    touching=0.5,
    flattened=0.6,
    table_edge=0.5,
    box=0.15,
    second=0.15,
    hand_size=(0.7, 1.15),
    hand_thickness=(0.85, 1.2),
    border=0.125,
    sleeve=0.4,
    dark=0.25,
    shadow=0.6,
    rim=0.5,
    ragged=0.8,
    flying=0.6,
    glancing=0.6,
    dropouts=0.02,
    grain=4.0,
    steps=5.0,
    smoothing=0.5,
    filling=0.3,
    strays=1 / 3,
)
"""What real scenes have. Networks for real depth images are trained on it."""

DISTRIBUTIONS = MappingProxyType(
    {"wide": WIDE, "wide_view": WIDE_VIEW, "msra_like": MSRA_LIKE, "field": FIELD}
)
"""The distributions by name."""
