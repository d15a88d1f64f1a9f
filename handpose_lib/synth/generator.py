"""Frames of synthetic hands with their joints, each a pure function of (seed, index).

    rendered = frames(range(64), seed=0, setup="msra", distribution=WIDE)
    rendered.depth, rendered.joints          # (64, 240, 320) mm, (64, 21, 3) mm

A `Distribution` says what is drawn; each of its fields is a switch with a strength, so that one can
turn one thing on and measure what it buys. `WIDE` is what networks for real images are trained on.
It has what clean renderings lack: hands in every direction of the image, views from behind and
along the fingers, the in-between poses of daily life, forearms of any length or none, both hands,
surroundings, and what sensors do to them. `MSRA_LIKE` shows the gestures of MSRA's set, cut out
clean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from handpose_lib.camera import Camera
from handpose_lib.dataset_specs import SPECS
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import DepthFrame
from handpose_lib.synth import hashing
from handpose_lib.synth.hands import hand as hands_
from handpose_lib.synth.hands import poses
from handpose_lib.synth.hands.hand import Hand
from handpose_lib.synth.scene import raycast, sensors, surroundings
from handpose_lib.synth.scene.raycast import Solids


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

DISTRIBUTIONS = MappingProxyType({"wide": WIDE, "wide_view": WIDE_VIEW, "msra_like": MSRA_LIKE})
"""The distributions by name."""


@dataclass(frozen=True)
class Setup:
    """A data set's camera and joints, and the distances in mm at which its camera sees hands."""

    camera: Camera
    skeleton: str
    distance: tuple[float, float]


SETUPS = {
    name: Setup(spec.camera, spec.skeleton or "msra21", spec.distance)
    for name, spec in SPECS.items()
    if spec.distance
}
"""What `frames` can imitate: the data sets of hands. Sets without labels get MSRA's joints."""


@dataclass(frozen=True)
class Rendered:
    """B frames.

    depth: (B, H, W) mm as measured, 0 where nothing is. joints: (B, J, 3) mm, the truth. hands:
    "right" or "left".
    centre: (B, 3) mm, a reference point near the mean of the joints (`Distribution.centre_error`).
    posed: the hands behind the frames. hand_depth: (B, H, W) exact depth of hand and forearm where
    nothing hides them.
    """

    depth: torch.Tensor
    joints: torch.Tensor
    centre: torch.Tensor
    camera: Camera
    hands: list[str]
    ids: list[str]
    posed: Hand
    hand_depth: torch.Tensor

    def __len__(self) -> int:
        return len(self.depth)

    @property
    def hand_mask(self) -> torch.Tensor:
        """(B, H, W) bool: measured within 15 mm of the surface of hand and forearm, here or one
        pixel away.
        """
        near, far = sensors.surface_around(self.hand_depth)
        return (
            (self.depth > 0)
            & (self.depth > near - sensors.EDGE_MM)
            & (self.depth < far + sensors.EDGE_MM)
        )

    def frame(self, row: int) -> DepthFrame:
        """One frame as a data set would give it."""
        depth, joints, centre = self.depth[row], self.joints[row], self.centre[row]
        return DepthFrame(depth, self.camera, joints, self.ids[row], self.hands[row], centre)


def frames(
    indices: Iterable[int],
    seed: int = 0,
    setup: str = "msra",
    distribution: Distribution | str = WIDE,
    subjects: Iterable[int] = range(8),
    device: torch.device | str = "cpu",
    gesture: str | None = None,
) -> Rendered:
    """The frames of these indices (whole numbers from 0): each is the same alone, in any batch and
    in any order.

    setup: one of `SETUPS`. distribution: a `Distribution` or the name of one. subjects:
    numbers of the persons (`hand.subject`) to draw from. gesture: a name of `poses.GESTURES` that
    takes the place of the family "gesture" among the poses.
    Raises HandPoseError for unknown names, numbers below 0, no indices or no subjects.
    """
    imitated = SETUPS[one_of("setup", setup, SETUPS)]
    if not isinstance(distribution, Distribution):
        distribution = DISTRIBUTIONS[one_of("distribution", distribution, DISTRIBUTIONS)]
    indices = list(indices)
    if not indices:
        raise HandPoseError(
            "no indices: accepted is a sequence of at least one whole number from 0"
        )
    draw = hashing.Draws(hashing.keys(seed, indices), torch.device(device))

    posed, side = _posed(draw, imitated, distribution, list(subjects), gesture)
    hand_depth = raycast.depth(posed.solids(), imitated.camera)
    exact = _with_surroundings(draw, imitated.camera, distribution, posed, side, hand_depth)
    visible = torch.where(hand_depth <= exact, hand_depth, 0)
    joints = posed.joints(imitated.skeleton)
    return Rendered(
        depth=_measured(draw, imitated.camera, distribution, posed, exact),
        joints=joints,
        centre=joints.mean(1)
        + distribution.centre_error * draw.normal("centre error", 3).to(joints),
        camera=imitated.camera,
        hands=["left" if s < 0 else "right" for s in side.tolist()],
        ids=[f"synthetic {setup} {seed} {i}" for i in indices],
        posed=posed,
        hand_depth=visible,
    )


# --- The hand -----------------------------------------------------------------


def _posed(
    draw: hashing.Draws, imitated: Setup, d: Distribution, subjects: list[int], gesture: str | None
) -> tuple[Hand, torch.Tensor]:
    """The hands (B) in front of the camera, and +1 for right, -1 for left."""
    if not subjects:
        raise HandPoseError("no subjects: accepted is a sequence of at least one number")
    chosen = (draw("subject")[:, 0] * len(subjects)).long().clamp_max(len(subjects) - 1)
    person = hands_.subjects([subjects[i] for i in chosen.tolist()]).to(draw.device)
    side = torch.where(draw.happens("left", d.left), -1.0, 1.0)
    angles = _angles(draw, d, person, gesture)

    yaw, roll = (
        torch.deg2rad(draw.between("yaw", d.yaw)),
        torch.deg2rad(draw.between("in-plane", d.in_plane)),
    )
    pitch = torch.deg2rad(
        (draw.between("pitch", d.pitch) + draw.between("pitch again", d.pitch)) / 2
    )
    length = draw.between("forearm length", d.forearm_length) * draw.happens("forearm", d.forearm)
    # A forearm that points at the camera is cut off before it hides the hand: z of the image of the
    # hand's y axis.
    towards = -torch.sin(pitch)
    length = torch.minimum(length, 70 / towards.clamp_min(1e-3)).clamp_min(0)
    wrist = torch.deg2rad((2 * draw("wrist", 2) - 1) * torch.tensor(d.wrist, device=draw.device))

    start = torch.zeros(len(angles), 3, device=draw.device)
    posed = hands_.posed(
        person,
        poses.assemble(angles, start, yaw, pitch, roll),
        forearm=length,
        hand=side,
        girth=draw.between("forearm girth", d.forearm_girth),
        wrist=wrist,
    )
    return posed.moved(_position(draw, imitated, d) - posed.joints("msra21").mean(1)), side


def _angles(draw: hashing.Draws, d: Distribution, person, gesture: str | None) -> torch.Tensor:
    """(B, 20) joint angles."""
    if gesture is None:
        return poses.sample(draw("angles", poses.UNIFORMS), person, d.poses)
    asked = poses.sample(draw("angles", poses.UNIFORMS), person, gesture=gesture)
    others = {name: weight for name, weight in d.poses.items() if name != "gesture"}
    total = sum(d.poses.values())
    if sum(others.values()) == 0:
        return asked
    other = poses.sample(draw("other angles", poses.UNIFORMS), person, others)
    shows = draw.happens("gesture", d.poses.get("gesture", 0.0) / total)
    return torch.where(shows[:, None], asked, other)


def _position(draw: hashing.Draws, imitated: Setup, d: Distribution) -> torch.Tensor:
    """(B, 3) where the mean of the joints is."""
    camera = imitated.camera
    z = draw.between("distance", d.distance or imitated.distance)
    stray = d.offset * (2 * draw("offset", 2) - 1)
    sides = ((camera.u0, camera.width, camera.fx), (camera.v0, camera.height, camera.fy))
    place = []
    for i, (middle, size, focal) in enumerate(sides):
        # The hand, about 100 mm around its middle, stays in the image where there is room for it.
        room = (z * size / (2 * focal) - 100).clamp_min(0)
        place.append(z * (size / 2 - middle) / focal + stray[:, i] * room)
    return torch.stack([*place, z], dim=-1)


# --- What is around it --------------------------------------------------------


def _with_surroundings(
    draw: hashing.Draws,
    camera: Camera,
    d: Distribution,
    posed: Hand,
    side: torch.Tensor,
    hand_depth: torch.Tensor,
) -> torch.Tensor:
    """(B, H, W) exact depth of everything."""
    spheres = posed.spheres
    things = [
        (d.person, "person", lambda u: surroundings.person(spheres, u, d.behind), 7),
        (d.held, "held", lambda u: surroundings.held(_palm(posed, side), u), 5),
        (d.near, "near", lambda u: surroundings.near(spheres, u), 7),
        (d.beside, "beside", lambda u: surroundings.beside(spheres, u), 6),
    ]
    cones = [
        surroundings.only(draw.happens(name, share), make(draw(f"the {name}", count)))
        for share, name, make, count in things
        if share > 0
    ]
    flats = [
        (d.wall, "wall", lambda u: surroundings.wall(spheres, u, d.behind)),
        (d.table, "table", lambda u: surroundings.table(spheres, u, d.below)),
    ]
    exact = hand_depth.clone()
    if cones:
        cones = torch.cat(cones, dim=1)
        rows = (cones[:, :, 2] > 0).any(1).nonzero()[:, 0]
        exact[rows] = surroundings.merge(exact[rows], raycast.depth(Solids(cones[rows]), camera))
    for share, name, make in flats:
        rows = draw.happens(name, share).nonzero()[:, 0]
        planes = make(draw(f"the {name}", 3))
        for part in rows.split(_step(exact)):
            exact[part] = surroundings.merge(
                exact[part], surroundings.plane_depth(planes[part], camera)
            )
    return exact


def _palm(posed: Hand, side: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) a point on the skin of the palm, the direction it faces, and the direction of the
    knuckles' row.
    """
    wrist, index, middle, little = posed.joints("msra21")[:, [0, 1, 5, 13]].unbind(1)
    out = torch.linalg.cross(index - wrist, little - wrist) * side[:, None]
    along = index - little
    out, along = (v / v.square().sum(-1, keepdim=True).sqrt() for v in (out, along))
    return torch.stack([0.35 * wrist + 0.65 * middle + 16 * out, out, along], dim=1)


# --- What the sensor makes of it ----------------------------------------------


def _step(images: torch.Tensor) -> int:
    """How many images at once: on a processor, what one step touches should stay in its caches."""
    return len(images) if images.device.type != "cpu" else max(1, (1 << 18) // images[0].numel())


def _measured(
    draw: hashing.Draws, camera: Camera, d: Distribution, posed: Hand, exact: torch.Tensor
) -> torch.Tensor:
    names = [name for name, weight in d.sensors.items() if weight > 0]
    ends = torch.tensor([d.sensors[name] for name in names], dtype=torch.float64).cumsum(0)
    which = (draw("sensor").double() * ends[-1] >= ends[:-1].to(draw.device)).sum(-1)
    damage = _Damage(
        strength=draw.between("strength", d.strength),
        smear=draw.happens("smear", d.smear).float(),
        coarse=d.coarse * draw("coarse step")[:, 0] * draw.happens("coarse", 1 / 3),
        # Squared: most frames have few holes.
        holes=d.holes * draw("holes share")[:, 0].square(),
        points=_lost_points(draw, posed),
        radius=draw.between("missing size", (6.0, 16.0))[:, None]
        * draw.happens("missing", d.missing)[:, None],
    )
    depth = exact.clone()
    for number, name in enumerate(names):
        for rows in (which == number).nonzero()[:, 0].split(_step(exact)):
            key = draw.key[rows.cpu().numpy()]
            depth[rows] = _sense(
                sensors.SENSORS[name], d, camera, exact[rows], key, damage.index(rows)
            )
    return depth


@dataclass(frozen=True)
class _Damage:
    strength: torch.Tensor
    smear: torch.Tensor
    coarse: torch.Tensor
    holes: torch.Tensor
    points: torch.Tensor
    radius: torch.Tensor

    def index(self, rows: torch.Tensor) -> _Damage:
        return _Damage(**{name: value[rows] for name, value in vars(self).items()})


def _sense(
    sensor, d: Distribution, camera: Camera, depth: torch.Tensor, key: np.ndarray, damage: _Damage
) -> torch.Tensor:
    depth = sensors.within(depth, 0.0, d.reach)
    if damage.smear.any():
        depth = sensors.mix_edges(
            depth, hashing.split(key, "smear"), share=damage.smear, blend=0.45
        )
    depth = sensor(depth, camera, key, damage.strength)
    if damage.holes.any():
        depth = sensors.holes(depth, key, damage.holes)
    if damage.radius.any():
        depth = sensors.missing(depth, camera, damage.points, damage.radius)
    if damage.coarse.any():
        depth = sensors.quantise(depth, damage.coarse)
    return depth


def _lost_points(draw: hashing.Draws, posed: Hand) -> torch.Tensor:
    """(B, 1, 3) a place on an outer bone of a finger."""
    joints = posed.joints("msra21")
    finger = (draw("lost finger")[:, 0] * 5).long().clamp_max(4)
    rows = torch.arange(len(joints), device=joints.device)
    tip, before = joints[rows, 4 * finger + 4], joints[rows, 4 * finger + 3]
    return (tip + draw("lost place") * (before - tip))[:, None]
