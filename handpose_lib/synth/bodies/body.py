"""Synthetic frames of people in the views of ITOP, each a pure function of (seed, index).

    from handpose_lib.synth import body
    rendered = body.frames(range(64), seed=0, view="front")
    rendered.depth, rendered.joints          # (64, 240, 320) mm, (64, 15, 3) mm

A person (`person`) performs one of 15 actions in a room and is seen by a structured-light camera
from the front or from the ceiling. Within an action the moment, the side, the extent and every
angle vary from frame to frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from handpose_lib.camera import Camera, xyz_to_uvd
from handpose_lib.dataset_specs import CAMERAS
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import DepthFrame
from handpose_lib.synth import hashing
from handpose_lib.synth.bodies import person
from handpose_lib.synth.bodies.person import DOF, SIDES, Body, Subject
from handpose_lib.synth.hashing import Draws
from handpose_lib.synth.scene import raycast, sensors, surroundings

CAMERA = CAMERAS["itop"]
VIEWS = ("front", "top")
TRIES = 4
"""Attempts to find a moment of an action without self-penetration."""
TOUCH_MM = 15.0
"""Two parts of a person may overlap by this depth."""
SURFACE_MM = 130.0
"""No joint lies deeper under the skin; a surface that is nearer to the camera by more hides it."""
BASELINE_MM = 75.0
"""Distance from camera to projector."""

_Swings = Mapping[str, float | tuple[float, float]]


def _action(
    still: Mapping[str, float] | None = None, swing: _Swings | None = None
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return an action: degrees at rest, and the extents of swings in degrees with their phases in
    turns.
    """
    return dict(still or {}), {
        name: value if isinstance(value, tuple) else (value, 0.0)
        for name, value in (swing or {}).items()
    }


def _both(**angles: float) -> dict[str, float]:
    """Return the same angles for both sides; names with _ for blanks."""
    return {
        f"{side} {name.replace('_', ' ')}": value
        for side in SIDES
        for name, value in angles.items()
    }


_HANG = _both(
    shoulder_abduction=9, shoulder_flexion=3, elbow_flexion=14, hip_abduction=4, knee_flexion=3
)
_STRIDE = {
    "right hip flexion": (26, 0.0),
    "left hip flexion": (26, 0.5),
    "right knee flexion": (22, 0.25),
    "left knee flexion": (22, 0.75),
    "right shoulder flexion": (24, 0.5),
    "left shoulder flexion": (24, 0.0),
    "spine twist": (6, 0.0),
}

ACTIONS = MappingProxyType(
    {
        "stand": _action(_HANG, {"spine bend": 4, "neck twist": 25}),
        "walk": _action({**_HANG, **_both(knee_flexion=24, elbow_flexion=28)}, _STRIDE),
        "march": _action(
            {**_HANG, **_both(hip_flexion=22, knee_flexion=38, elbow_flexion=70)},
            {name: (1.6 * size, phase) for name, (size, phase) in _STRIDE.items()},
        ),
        "wave": _action(
            {
                **_HANG,
                "right shoulder abduction": 95,
                "right shoulder rotation": -60,
                "right elbow flexion": 85,
            },
            {"right elbow flexion": 30, "right shoulder abduction": 12},
        ),
        "clap": _action(
            {
                **_HANG,
                **_both(
                    shoulder_flexion=62,
                    shoulder_abduction=16,
                    elbow_flexion=52,
                    shoulder_rotation=22,
                ),
            },
            _both(shoulder_abduction=16, elbow_flexion=12),
        ),
        "raise arms": _action(
            {**_HANG, **_both(shoulder_flexion=90, elbow_flexion=20)}, _both(shoulder_flexion=72)
        ),
        "spread arms": _action(
            {**_HANG, **_both(shoulder_abduction=75, elbow_flexion=12)},
            _both(shoulder_abduction=40),
        ),
        "hands on hips": _action(
            {
                **_HANG,
                **_both(
                    shoulder_abduction=48,
                    elbow_flexion=92,
                    shoulder_rotation=52,
                    shoulder_flexion=-12,
                ),
            },
            {"spine twist": 22, "spine bend": 10},
        ),
        "punch": _action(
            {
                **_HANG,
                **_both(shoulder_flexion=48, elbow_flexion=88, shoulder_abduction=12),
                "spine flexion": 8,
            },
            {
                "right shoulder flexion": 34,
                "right elbow flexion": (62, 0.5),
                "left elbow flexion": 16,
                "spine twist": (18, 0.5),
            },
        ),
        "kick": _action(
            {
                **_HANG,
                "right hip flexion": 28,
                "right knee flexion": 32,
                "left shoulder flexion": 20,
                "spine flexion": 4,
            },
            {"right hip flexion": 46, "right knee flexion": (26, 0.6), "left shoulder flexion": 24},
        ),
        "bow": _action(
            {**_HANG, "spine flexion": 30, "lean": 14, **_both(shoulder_flexion=28)},
            {"spine flexion": 28, "lean": 14, **_both(shoulder_flexion=22)},
        ),
        "lean sideways": _action(
            {**_HANG, "right shoulder abduction": 70, "left shoulder abduction": 24},
            {"spine bend": 28, "right shoulder abduction": (48, 0.0), "roll": 5},
        ),
        "twist": _action(
            {**_HANG, **_both(shoulder_abduction=72, elbow_flexion=58)},
            {"spine twist": 38, "neck twist": 18},
        ),
        "squat": _action(
            {
                **_HANG,
                **_both(
                    hip_flexion=50,
                    knee_flexion=62,
                    shoulder_flexion=55,
                    ankle_flexion=14,
                    hip_abduction=12,
                ),
                "spine flexion": 12,
                "lean": 8,
            },
            {
                **_both(hip_flexion=44, knee_flexion=54, shoulder_flexion=26, ankle_flexion=10),
                "lean": 8,
            },
        ),
        "lunge": _action(
            {
                **_HANG,
                "right hip flexion": 42,
                "right knee flexion": 44,
                "left hip flexion": -8,
                "left knee flexion": 34,
                "left ankle flexion": -10,
            },
            {"right hip flexion": 26, "right knee flexion": 30, "left knee flexion": 18},
        ),
    }
)
"""Action → degrees at rest, and swings (degrees, phase in turns) by degree of freedom. Half of the
frames show the mirrored pose.
"""

_JITTER = {
    "shoulder": 8.0,
    "elbow": 9.0,
    "neck": 8.0,
}  # standard deviations in degrees; the others 3
_LATERAL = ("yaw", "roll", "spine bend", "spine twist", "neck bend", "neck twist")


@dataclass(frozen=True)
class Rendered:
    """B frames.

    depth       (B, 240, 320) mm as measured, 0 for missing pixels
    joints      (B, 15, 3) mm, the true joints
    centre      (B, 3) mm, a reference point near the mean of the joints
    persons     (B,) numbers of the persons
    actions     B names
    ids         B names
    valid       (B,) bool, at most three joints are outside the image
    visible     (B, 15) bool, the camera sees the surface over the joint
    body_depth  (B, 240, 320) mm, exact depth of the person
    """

    depth: torch.Tensor
    joints: torch.Tensor
    centre: torch.Tensor
    camera: Camera
    persons: torch.Tensor
    actions: list[str]
    ids: list[str]
    valid: torch.Tensor
    visible: torch.Tensor
    body_depth: torch.Tensor

    def __len__(self) -> int:
        return len(self.depth)

    @property
    def parts(self) -> torch.Tensor:
        """Number of the joint nearest to the surface of the person at each pixel.

        (B, 240, 320) int8, −1 where there is no person.
        """
        u, v, _ = xyz_to_uvd(self.joints, self.camera).unbind(-1)
        rows = torch.arange(self.camera.height, device=u.device)[:, None, None]
        columns = torch.arange(self.camera.width, device=u.device)[:, None]
        found = []
        for u_i, v_i, z_i, image in zip(u, v, self.joints[..., 2], self.body_depth):
            pixel = z_i / self.camera.fx
            apart = (
                ((columns - u_i) * pixel).square()
                + ((rows - v_i) * pixel).square()
                + (image[..., None] - z_i).square()
            )
            found.append(torch.where(image > 0, apart.argmin(-1), -1).to(torch.int8))
        return torch.stack(found)

    def frame(self, row: int) -> DepthFrame:
        """Return one frame in the form in which data sets return it."""
        return DepthFrame(
            self.depth[row], self.camera, self.joints[row], self.ids[row], centre=self.centre[row]
        )


def frames(
    indices: Iterable[int],
    seed: int = 0,
    view: str = "front",
    subjects: Iterable[int] = range(16),
    action: str | None = None,
    clean: bool = False,
    centre_error: float = 30.0,
    device: torch.device | str = "cpu",
) -> Rendered:
    """Return the frames of these indices (whole numbers from 0).

    Each frame is the same alone, in any batch and in any order. `view`: 'front' or 'top'; both show
    the same scene of (seed, index). `subjects`: numbers of the persons (`person.subject`) to draw
    from. `action`: one of `ACTIONS`, any by default. `clean`: the exact depth of the person,
    without room and sensor. `centre_error`: standard deviation in mm of the reference point along
    each axis. Errors: `HandPoseError` for unknown names, numbers below 0, no indices or no
    subjects.
    """
    one_of("view", view, VIEWS)
    indices, subjects = list(indices), list(subjects)
    if not indices or not subjects:
        raise HandPoseError(
            "no indices or no subjects: accepted are sequences of at least one whole number from 0"
        )
    draw = Draws(hashing.keys(seed, indices), torch.device(device))
    names = list(ACTIONS) if action is None else [one_of("action", action, ACTIONS)]
    actions = [names[i] for i in _pick(draw("action"), len(names))]
    persons = [subjects[i] for i in _pick(draw("subject"), len(subjects))]

    in_room = _performing(draw, persons, actions)
    seen, planes = _seen(draw, in_room, view)
    body_depth = raycast.depth(seen.solids(), CAMERA)
    depth = body_depth if clean else _measured(draw, body_depth, planes)
    u, v, d = xyz_to_uvd(seen.joints, CAMERA, check=False).unbind(-1)
    inside = (u >= 0) & (u <= CAMERA.width - 1) & (v >= 0) & (v <= CAMERA.height - 1) & (d > 0)
    return Rendered(
        depth=depth,
        joints=seen.joints,
        centre=seen.joints.mean(1) + centre_error * draw.normal("centre error", 3).to(seen.joints),
        camera=CAMERA,
        persons=torch.tensor(persons),
        actions=actions,
        ids=[f"synthetic itop {view} {seed} {i}" for i in indices],
        valid=inside.sum(1) >= len(person.JOINTS) - 3,
        visible=inside & _on_the_near_side(body_depth, u, v, d),
        body_depth=body_depth,
    )


# --- the person ---------------------------------------------------------------


def _performing(draw: Draws, persons: list[int], actions: list[str]) -> Body:
    """Return the persons in a moment of their actions.

    Their feet are on the floor, y = 0, and the middle of their hips is at x = z = 0.
    """
    who = person.subjects(persons).to(draw.device)
    angles = _tried(draw, who, _still_and_swing(actions, draw.device))
    body = person.posed(who, angles)
    lowest = (body.spheres[..., 1] + body.spheres[..., 3]).amax(1)
    return body.moved(
        torch.stack([torch.zeros_like(lowest), -lowest, torch.zeros_like(lowest)], -1)
    )


_Table = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _still_and_swing(actions: list[str], device: torch.device | str) -> _Table:
    """Return angles at rest and extents of swings in rad, and phases in turns, (B, 27) each."""
    table = torch.zeros(3, len(actions), len(DOF))
    for row, action in enumerate(actions):
        still, swing = ACTIONS[action]
        for name, value in still.items():
            table[0, row, DOF.index(name)] = math.radians(value)
        for name, (value, phase) in swing.items():
            table[1, row, DOF.index(name)], table[2, row, DOF.index(name)] = (
                math.radians(value),
                phase,
            )
    still, swing, phase = table.to(device).unbind(0)
    return still, swing, phase


def _tried(draw: Draws, who: Subject, table: _Table) -> torch.Tensor:
    """Return (B, 27), the angles of the first attempt without self-penetration, or of the best."""

    def attempt(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        angles = _moment(draw, table, f"try {number}")
        return angles, person.penetration(person.posed(who, angles)).clamp_min(TOUCH_MM)

    best, depth = attempt(0)
    for number in range(1, TRIES):
        angles, deep = attempt(number)
        better = deep < depth
        best = torch.where(better[:, None], angles, best)
        depth = torch.where(better, deep, depth)
    return best


def _moment(draw: Draws, table: _Table, name: str) -> torch.Tensor:
    """Return (B, 27), the angles at a random moment of the actions."""
    still, swing, phase = table
    turn = 2 * math.pi * (draw(f"moment, {name}") + phase)
    spread = [next((s for joint, s in _JITTER.items() if joint in dof), 3.0) for dof in DOF]
    noise = draw.normal(f"jitter, {name}", len(DOF)).to(still) * torch.deg2rad(
        still.new_tensor(spread)
    )
    angles = still + swing * draw.between("extent", (0.6, 1.15))[:, None] * torch.sin(turn) + noise
    angles = _free_arms(draw, angles, name)
    mirrored = torch.where(draw.happens("other side", 0.5)[:, None], _mirrored(angles), angles)
    # Most people face the camera within some degrees; the others have any orientation.
    around = draw.happens("turns round", 0.12)
    yaw = torch.where(
        around,
        math.pi * (2 * draw("turn")[:, 0] - 1),
        math.radians(18) * draw.normal("yaw", 1)[:, 0].to(angles),
    )
    return person.clamp(torch.cat([yaw[:, None], mirrored[:, 1:]], 1))


def _free_arms(draw: Draws, angles: torch.Tensor, name: str) -> torch.Tensor:
    """Return the angles, with random angles of the arms in a fifth of the frames."""
    arm = torch.tensor(
        [dof.split()[-2] in ("shoulder", "elbow") if " " in dof else False for dof in DOF],
        device=angles.device,
    )
    low, high = person.LIMITS.to(angles).unbind(-1)
    anywhere = low + (high - low) * draw(f"free arms, {name}", len(DOF)).to(angles)
    return torch.where(draw.happens("arms are free", 0.2)[:, None] & arm, anywhere, angles)


def _mirrored(angles: torch.Tensor) -> torch.Tensor:
    """Return the mirrored pose: left and right exchanged."""
    other = [
        DOF.index(dof.replace("right", "?").replace("left", "right").replace("?", "left"))
        for dof in DOF
    ]
    sign = angles.new_tensor([-1.0 if dof in _LATERAL else 1.0 for dof in DOF])
    return angles[:, other] * sign


# --- camera and room ----------------------------------------------------------


def _seen(draw: Draws, body: Body, view: str) -> tuple[Body, torch.Tensor]:
    """Return the persons in the camera frame, and floor and wall as planes (B, 2, 4)."""
    high, far = (
        draw.between("camera height", (1150.0, 1350.0)),
        draw.between("distance", (2550.0, 3250.0)),
    )
    # A few stand at the edge of the scene, partly outside the image.
    aside = torch.where(draw.happens("at the edge", 0.03), 1900.0, 350.0) * (
        2 * draw("aside")[:, 0] - 1
    )
    zero, one = torch.zeros_like(high), torch.ones_like(high)
    tilt = math.radians(3) * (2 * draw("tilt")[:, 0] - 1)
    if view == "front":
        turn = person.axis_rotation("x", tilt)
        placed = body.moved(torch.stack([aside, high, far], -1))
        floor, wall = torch.stack([zero, -one, zero], -1), torch.stack([zero, zero, -one], -1)
        points = (
            torch.stack([zero, high, far], -1),
            torch.stack([zero, zero, far + draw.between("wall", (450.0, 900.0))], -1),
        )
    else:
        up = draw.between("ceiling", (2850.0, 3250.0))
        down = torch.stack(
            [
                torch.stack([one, zero, zero], -1),
                torch.stack([zero, zero, -one], -1),
                torch.stack([zero, one, zero], -1),
            ],
            -2,
        )
        turn = person.product(person.axis_rotation("x", tilt), down)
        placed = body.moved(torch.stack([aside, up, 500 * (2 * draw("ahead")[:, 0] - 1)], -1))
        floor, wall = torch.stack([zero, -one, zero], -1), torch.stack([zero, zero, -one], -1)
        points = torch.stack([zero, up, zero], -1), torch.stack([zero, zero, 1e5 * one], -1)
    normals = person.rotate(turn, torch.stack([floor, wall], 1))
    offset = (normals * person.rotate(turn, torch.stack(points, 1))).sum(-1, keepdim=True)
    return placed.turned(turn), torch.cat([normals, offset], -1)


def _measured(draw: Draws, body_depth: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
    floor, wall = (surroundings.plane_depth(planes[:, i], CAMERA) for i in range(2))
    scene = surroundings.merge(body_depth, floor, wall)
    strength = draw.between("strength", (0.3, 1.0))
    measured = sensors.structured_light(scene, CAMERA, draw.key, strength, BASELINE_MM)
    return sensors.holes(measured, draw.key, 0.02 * draw("holes")[:, 0].square())


def _on_the_near_side(
    body_depth: torch.Tensor, u: torch.Tensor, v: torch.Tensor, d: torch.Tensor
) -> torch.Tensor:
    """Return (B, 15), whether the surface at the pixel of a joint is the one over the joint."""
    rows = torch.arange(len(u), device=u.device)[:, None]
    column, line = (
        u.round().long().clamp(0, CAMERA.width - 1),
        v.round().long().clamp(0, CAMERA.height - 1),
    )
    surface = body_depth[rows, line, column]
    return (surface > d - SURFACE_MM) & (surface > 0)


def _pick(uniform: torch.Tensor, count: int) -> list[int]:
    return (uniform[:, 0] * count).long().clamp_max(count - 1).tolist()
