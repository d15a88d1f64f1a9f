"""An articulated person: 27 joint angles, builds, ITOP's 15 joints, and a smooth surface.

    posed = person.posed(person.subjects([3]), angles)    # angles (1, 27) rad, named by `DOF`
    posed.joints                                          # (1, 15, 3) mm in ITOP's order
    posed.solids()                                        # the surface, for `raycast.depth`

**Frame of a segment.** At rest a person stands straight, arms hanging, and faces the front camera:
every segment's frame is then the world's, x to the person's left, y down, z out of the back. The
origin of a segment is the joint at which it turns; `SEGMENTS` says where that is in the frame of
the segment before. The world is the frame of a level camera at the place of the real one.

**Surface.** A sphere-mesh as the hand's (`hand`): spheres fixed to segments, joined in pairs by
round cones and in triples by the convex hull of three spheres, cast by `raycast`.

Mean lengths follow the labels of ITOP's test frames and common anthropometry; every limit is about
the active range of motion of clinical goniometry. Both sides of a person are alike, and a person's
bones are the same in every frame.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch

from handpose_lib import skeleton as skeletons
from handpose_lib.errors import HandPoseError
from handpose_lib.synth.hands.contact import overlap
from handpose_lib.synth.scene.raycast import Solids, wedge

SIDES = {"right": -1.0, "left": 1.0}
"""The person's sides and the sign of their x."""

# --- degrees of freedom -------------------------------------------------------

_TRUNK = (
    ("yaw", -180, 180),
    ("lean", -15, 50),
    ("roll", -15, 15),
    ("spine flexion", -20, 70),
    ("spine bend", -30, 30),
    ("spine twist", -40, 40),
    ("neck flexion", -30, 40),
    ("neck bend", -30, 30),
    ("neck twist", -60, 60),
)
_LIMBS = (
    ("shoulder flexion", -45, 170),
    ("shoulder abduction", 0, 165),
    ("shoulder rotation", -70, 80),
    ("elbow flexion", 0, 145),
    ("hip flexion", -20, 115),
    ("hip abduction", -10, 45),
    ("hip rotation", -35, 40),
    ("knee flexion", 0, 135),
    ("ankle flexion", -40, 25),
)
_TABLE = _TRUNK + tuple(
    (f"{side} {name}", low, high) for side in SIDES for name, low, high in _LIMBS
)

DOF = tuple(name for name, _, _ in _TABLE)
"""Names of the 27 angles of a pose, in rad. Yaw turns the person, 0 faces the front camera and a
quarter turn shows the right side; lean, spine and neck flexion bend forwards; bend is to the left,
twist to the right. Shoulder and hip flexion raise the limb forwards, abduction sideways; rotation
turns the limb inwards; ankle flexion raises the toes.
"""

LIMITS = torch.tensor([(low, high) for _, low, high in _TABLE], dtype=torch.float64) * (
    math.pi / 180
)
"""(27, 2) lowest and highest angle in rad, float64."""

# --- segments -----------------------------------------------------------------

SEGMENTS = MappingProxyType(
    {
        "pelvis": (None, 0, 0, 0),
        "abdomen": ("pelvis", 0, -105, 0),
        "chest": ("abdomen", 0, -145, 0),
        "head": ("chest", 0, -250, 12),
        **{
            f"{side} {name}": (parent.format(side), sign * x, y, z)
            for side, sign in SIDES.items()
            for name, parent, x, y, z in (
                ("upper arm", "chest", 183, -222, 5),
                ("forearm", "{} upper arm", 0, 305, 0),
                ("hand", "{} forearm", 0, 255, 0),
                ("thigh", "pelvis", 105, 0, 0),
                ("shin", "{} thigh", 0, 475, 0),
                ("foot", "{} shin", 0, 415, 0),
            )
        },
    }
)
"""Segment → the one before, and its origin there, x y z in mm of an average adult."""

_SIDED = {
    # segment, sphere: x (outwards), y, z, radius in mm, of the average adult
    "upper arm": {"shoulder": (-4, 22, 2, 57), "biceps": (0, 135, -4, 46)},
    "forearm": {"elbow": (0, 0, 2, 39), "forearm": (0, 66, 0, 42), "wrist": (0, 250, 0, 27)},
    "hand": {
        "palm": (0, 12, 0, 24),
        "index": (-2, 90, -29, 13),
        "middle": (-2, 93, -10, 12),
        "ring": (-2, 90, 9, 12),
        "little": (-2, 83, 27, 11),
        "index tip": (-24, 160, -26, 8),
        "middle tip": (-26, 168, -9, 8),
        "ring tip": (-26, 160, 9, 8),
        "little tip": (-22, 138, 25, 7),
        "thumb": (-6, 30, -27, 15),
        "thumb tip": (-16, 92, -52, 9),
    },
    "thigh": {"thigh top": (-4, 40, 4, 85), "thigh": (-4, 200, -4, 75), "knee": (0, 468, -4, 54)},
    "shin": {"calf": (2, 135, 14, 55), "shin": (0, 260, 6, 45), "ankle": (0, 405, 4, 36)},
    "foot": {
        "heel": (0, 46, 30, 32),
        "instep": (-4, 22, -42, 33),
        "ball inner": (-20, 54, -112, 24),
        "ball outer": (26, 56, -98, 22),
        "toe inner": (-16, 61, -162, 17),
        "toe outer": (22, 62, -140, 16),
    },
}
_PAIRED = {
    "pelvis": {"hip": (92, 8, 8, 90), "seat": (62, 52, 40, 84), "belly": (46, -66, -10, 88)},
    "abdomen": {"waist": (56, -48, -2, 86), "navel": (30, -10, -30, 70)},
    "chest": {
        "ribs": (74, -34, 2, 93),
        "upper chest": (90, -142, 8, 82),
        "breast": (68, -92, -34, 68),
    },
    "head": {"ear": (74, -120, 8, 17)},
}
_MIDDLE = {
    "chest": {"nape": (0, -252, 26, 57)},
    "head": {
        "throat": (0, -84, 4, 54),
        "occiput": (0, -158, 30, 77),
        "forehead": (0, -166, -20, 75),
        "jaw": (0, -66, -46, 42),
        "cheeks": (0, -104, -40, 58),
        "nose bridge": (0, -138, -88, 11),
        "nose": (0, -110, -101, 13),
    },
}


_Sphere = tuple[str, float, float, float, float]


def _spheres() -> dict[str, _Sphere]:
    """Return name → segment, x, y, z, radius of every sphere."""
    found: dict[str, _Sphere] = {
        name: (segment, *place)
        for segment, named in _MIDDLE.items()
        for name, place in named.items()
    }
    for side, sign in SIDES.items():
        for named, group in ((_PAIRED, "{1}"), (_SIDED, "{0} {1}")):
            for segment, spheres in named.items():
                for name, (x, y, z, r) in spheres.items():
                    found[f"{side} {name}"] = (group.format(side, segment), sign * x, y, z, r)
    return found


SPHERES = MappingProxyType(_spheres())
"""Name → segment, x, y, z and radius in mm of an average adult, of every sphere of the surface."""

# A name without a side stands for the sphere of either side; "other x" for the opposite one.
_WEDGES = (
    ("hip", "other hip", "belly"),
    ("seat", "other seat", "hip"),
    ("belly", "other belly", "waist"),
    ("hip", "belly", "waist"),
    ("belly", "waist", "navel"),
    ("navel", "other navel", "belly"),
    ("navel", "other navel", "breast"),
    ("navel", "waist", "ribs"),
    ("waist", "other waist", "ribs"),
    ("ribs", "other ribs", "upper chest"),
    ("upper chest", "other upper chest", "nape"),
    ("breast", "other breast", "upper chest"),
    ("breast", "ribs", "upper chest"),
    ("navel", "ribs", "breast"),
    ("nape", "shoulder", "upper chest"),
    ("shoulder", "upper chest", "ribs"),
    ("hip", "seat", "thigh top"),
    ("seat", "thigh top", "thigh"),
    ("palm", "index", "middle"),
    ("palm", "middle", "ring"),
    ("palm", "ring", "little"),
    ("palm", "thumb", "index"),
    ("ankle", "heel", "instep"),
    ("instep", "ball inner", "ball outer"),
    ("heel", "ball inner", "ball outer"),
    ("instep", "heel", "ball outer"),
    ("instep", "heel", "ball inner"),
    ("ball inner", "ball outer", "toe inner"),
    ("ball outer", "toe inner", "toe outer"),
    ("occiput", "forehead", "jaw"),
    ("forehead", "cheeks", "jaw"),
    ("occiput", "throat", "jaw"),
)
_CHAINS = (
    ("shoulder", "biceps", "elbow", "forearm", "wrist", "palm"),
    ("thigh top", "thigh", "knee", "calf", "shin", "ankle"),
    ("index", "index tip"),
    ("middle", "middle tip"),
    ("ring", "ring tip"),
    ("little", "little tip"),
    ("thumb", "thumb tip"),
    ("nape", "throat"),
    ("throat", "occiput"),
    ("nose bridge", "nose"),
    ("nose", "cheeks"),
    ("ear", "occiput"),
)

_PLACES = {
    "head": ("head", 0, -240, -12),
    "neck": ("head", 0, 0, 0),
    "torso": ("chest", 0, 0, 0),
    **{
        f"{side} {name}": (f"{side} {segment}", *place)
        for side in SIDES
        for name, segment, place in (
            ("shoulder", "upper arm", (0, 0, 0)),
            ("elbow", "forearm", (0, 0, 0)),
            ("hand", "hand", (0, 75, 0)),
            ("hip", "thigh", (0, 0, 0)),
            ("knee", "shin", (0, 0, 0)),
            ("foot", "foot", (0, 42, -45)),
        )
    },
}
JOINTS = MappingProxyType({name: _PLACES[name] for name in skeletons.get("itop15").joints})
"""ITOP's joint → its segment and its place there in mm of an average adult, in ITOP's order."""


# --- persons ------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """The build of persons: factors of each segment's lengths and radii.

    `scale`: (..., SEGMENTS, 3); `girth`: (..., SEGMENTS).
    """

    scale: torch.Tensor
    girth: torch.Tensor

    def to(self, *args: Any, **kwargs: Any) -> Subject:
        """Return the same persons on another device or in another dtype."""
        return Subject(self.scale.to(*args, **kwargs), self.girth.to(*args, **kwargs))


_BUILD = {
    "size": (0.90, 1.06),
    "trunk": (0.96, 1.04),
    "arms": (0.95, 1.05),
    "legs": (0.95, 1.05),
    "shoulders": (0.90, 1.06),
    "hips": (0.93, 1.06),
    "girth": (0.84, 1.16),
    "belly": (0.86, 1.18),
    "head": (0.95, 1.05),
}
_JITTER = 0.02


def subject(index: int, seed: int = 0) -> Subject:
    """Return the body of person number `index`, a pure function of (index, seed).

    The tensors have no batch axis. Persons differ in size, in the length of trunk, arms and legs,
    in the breadth of shoulders and hips, in girth, and by 2 % in every segment, the same on both
    sides. Errors: `HandPoseError` for an index that is not a whole number from 0.
    """
    if not isinstance(index, int) or index < 0:
        raise HandPoseError(f"person {index!r}: accepted are whole numbers from 0")
    draw = random.Random(f"body of person {index}, seed {seed}").uniform
    build = {name: draw(*limits) for name, limits in _BUILD.items()}
    jitter = {}
    rows, girths = [], []
    for segment in SEGMENTS:
        part = segment.removeprefix("right ").removeprefix("left ")
        size = build["size"] * jitter.setdefault(part, draw(1 - _JITTER, 1 + _JITTER))
        thick = build["girth"] * build["size"]
        if part in ("pelvis", "abdomen", "chest"):
            broad = build["shoulders"] if part == "chest" else build["hips"]
            deep = thick * (build["belly"] if part == "abdomen" else 1.0)
            rows.append((build["size"] * broad, size * build["trunk"], deep))
            girths.append(0.5 * (deep + build["size"] * broad))
        elif part in ("head", "hand", "foot"):
            alike = build["size"] ** 0.5 * build["head"] if part == "head" else size
            rows.append((alike, alike, alike))
            girths.append(alike)
        else:
            longer = build["arms"] if part in ("upper arm", "forearm") else build["legs"]
            rows.append((thick, size * longer, thick))
            girths.append(thick)
    return Subject(torch.tensor(rows), torch.tensor(girths))


def subjects(indices: Iterable[int], seed: int = 0) -> Subject:
    """Return a batch of persons. Errors: `HandPoseError` for none."""
    numbers = [int(i) for i in indices]
    if not numbers:
        raise HandPoseError("no persons: accepted is a sequence of at least one number")
    known = {i: subject(i, seed) for i in set(numbers)}
    return Subject(
        torch.stack([known[i].scale for i in numbers]),
        torch.stack([known[i].girth for i in numbers]),
    )


# --- posing -------------------------------------------------------------------


@dataclass(frozen=True)
class Body:
    """B persons, mm.

    `spheres`: (B, S, 4) centre and radius in the order of `SPHERES`; `joints`: (B, 15, 3) in ITOP's
    order.
    """

    spheres: torch.Tensor
    joints: torch.Tensor

    def __len__(self) -> int:
        return len(self.spheres)

    def solids(self) -> Solids:
        """Return the surface as primitives of the ray caster."""
        pairs, triples = _mesh(self.spheres.device)
        _, flats = wedge(self.spheres[:, triples])
        return Solids(self.spheres[:, pairs].flatten(2), flats.flatten(1, 2))

    def moved(self, shift: torch.Tensor) -> Body:
        """Return the same persons moved by `shift` (B, 3) mm."""
        return self.mapped(lambda points: points + shift[:, None])

    def turned(self, turn: torch.Tensor) -> Body:
        """Return the same persons after a rotation `turn` (B, 3, 3)."""
        return self.mapped(lambda points: rotate(turn, points))

    def mapped(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Body:
        """Return the persons after a rigid motion: `function` maps points (B, N, 3) mm."""
        return Body(
            torch.cat([function(self.spheres[..., :3]), self.spheres[..., 3:]], -1),
            function(self.joints),
        )


def posed(persons: Subject, angles: torch.Tensor) -> Body:
    """Return persons in the given poses (forward kinematics); the origin is between the hips.

    `persons`: B or one. `angles`: (B, 27) rad, named by `DOF`. Errors: `HandPoseError` for a shape
    that does not fit.
    """
    if angles.ndim != 2 or angles.shape[1] != len(DOF) or not angles.is_floating_point():
        raise HandPoseError(
            f"angles are {angles.dtype} {tuple(angles.shape)}: accepted is a float tensor (B,"
            f" {len(DOF)})"
        )
    persons = persons.to(angles)
    if persons.scale.ndim > 2 and len(persons.scale) != len(angles):
        raise HandPoseError(
            f"{len(persons.scale)} persons for {len(angles)} poses: accepted are one or as many"
        )
    scale, girth = persons.scale.expand(len(angles), -1, -1), persons.girth.expand(len(angles), -1)
    number = {name: i for i, name in enumerate(SEGMENTS)}
    turns, origins = _turns(angles), {}
    for name, (parent, *offset) in SEGMENTS.items():
        offset = angles.new_tensor(offset) * (
            scale[:, number[parent]] if parent else 0.0
        ) + angles.new_zeros(len(angles), 3)
        origins[name] = (
            offset
            if parent is None
            else origins[parent] + rotate(turns[parent], offset[:, None])[:, 0]
        )

    def place(segments, points):
        rows = torch.tensor([number[name] for name in segments], device=angles.device)
        turn, origin = (
            torch.stack([turns[s] for s in segments], 1),
            torch.stack([origins[s] for s in segments], 1),
        )
        local = angles.new_tensor(points)[None] * scale[:, rows]
        return (
            rotate(turn.flatten(0, 1), local.flatten(0, 1)[:, None])[:, 0].reshape(local.shape)
            + origin,
            rows,
        )

    centres, rows = place([s for s, *_ in SPHERES.values()], [p[:3] for _, *p in SPHERES.values()])
    radii = angles.new_tensor([r for *_, r in SPHERES.values()]) * girth[:, rows]
    joints, _ = place([s for s, *_ in JOINTS.values()], [p for _, *p in JOINTS.values()])
    return Body(torch.cat([centres, radii[..., None]], -1), joints)


def penetration(body: Body) -> torch.Tensor:
    """Return (B,), mm by which arms, legs, trunk and head overlap; negative for a distance."""
    ends, first, second = _capsules(body.spheres.device)
    a, b = body.spheres[:, ends].unbind(2)
    return overlap(a[:, first], b[:, first], a[:, second], b[:, second]).amax(-1)


def clamp(angles: torch.Tensor) -> torch.Tensor:
    """Return the pose (..., 27) with every angle moved into its limits."""
    low, high = LIMITS.to(angles).unbind(-1)
    return torch.minimum(torch.maximum(angles, low), high)


def _turns(angles: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return segment → (B, 3, 3), the rotation from its frame to the world's."""
    angle = dict(zip(DOF, angles.unbind(-1)))
    turns = {
        "pelvis": product(
            axis_rotation("y", angle["yaw"]),
            axis_rotation("x", angle["lean"]),
            axis_rotation("z", angle["roll"]),
        )
    }
    half = product(
        *(
            axis_rotation(axis, 0.5 * angle[f"spine {name}"])
            for axis, name in (("y", "twist"), ("z", "bend"), ("x", "flexion"))
        )
    )
    turns["abdomen"] = product(turns["pelvis"], half)
    turns["chest"] = product(turns["abdomen"], half)
    turns["head"] = product(
        turns["chest"],
        axis_rotation("y", angle["neck twist"]),
        axis_rotation("z", angle["neck bend"]),
        axis_rotation("x", angle["neck flexion"]),
    )
    for side, sign in SIDES.items():
        mine = {name: angle[f"{side} {name}"] for name, *_ in _LIMBS}
        for limb, joint, parent in (("upper arm", "shoulder", "chest"), ("thigh", "hip", "pelvis")):
            turns[f"{side} {limb}"] = product(
                turns[parent],
                axis_rotation("z", -sign * mine[f"{joint} abduction"]),
                axis_rotation("x", -mine[f"{joint} flexion"]),
                axis_rotation("y", sign * mine[f"{joint} rotation"]),
            )
        turns[f"{side} forearm"] = product(
            turns[f"{side} upper arm"], axis_rotation("x", -mine["elbow flexion"])
        )
        turns[f"{side} hand"] = turns[f"{side} forearm"]
        turns[f"{side} shin"] = product(
            turns[f"{side} thigh"], axis_rotation("x", mine["knee flexion"])
        )
        turns[f"{side} foot"] = product(
            turns[f"{side} shin"], axis_rotation("x", -mine["ankle flexion"])
        )
    return turns


def axis_rotation(axis: str, angle: torch.Tensor) -> torch.Tensor:
    """Return (B, 3, 3), the rotation by `angle` (B,) rad about the axis 'x', 'y' or 'z'."""
    c, s, none, one = (
        torch.cos(angle),
        torch.sin(angle),
        torch.zeros_like(angle),
        torch.ones_like(angle),
    )
    rows = {
        "x": ((one, none, none), (none, c, -s), (none, s, c)),
        "y": ((c, none, s), (none, one, none), (-s, none, c)),
        "z": ((c, -s, none), (s, c, none), (none, none, one)),
    }[axis]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


# Products are spelled out: a row has the same bits alone and in any batch, which batched matrix
# products do not guarantee.


def product(first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Return the matrix product of rotations (B, 3, 3), from left to right."""
    for other in others:
        x, y, z = (first[..., :, i : i + 1] * other[..., i : i + 1, :] for i in range(3))
        first = x + y + z
    return first


def rotate(turn: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return points (B, N, 3) after the rotation `turn` (B, 3, 3)."""
    x, y, z = (points[..., i : i + 1] * turn[:, None, :, i] for i in range(3))
    return x + y + z


@lru_cache
def _mesh(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cones (N, 2) and wedges (T, 3) as indices of spheres."""
    number = {name: i for i, name in enumerate(SPHERES)}
    triples, pairs = {}, {}
    for side, other in (("right", "left"), ("left", "right")):

        def full(name, side=side, other=other):
            name, own = (
                (name.removeprefix("other "), other) if name.startswith("other ") else (name, side)
            )
            return name if name in number else f"{own} {name}"

        for names in _WEDGES:
            triples[frozenset(map(full, names))] = tuple(number[full(name)] for name in names)
        for chain in _CHAINS:
            pairs |= {
                frozenset((full(a), full(b))): (number[full(a)], number[full(b)])
                for a, b in itertools.pairwise(chain)
            }
    for a, b, c in triples.values():
        names = list(SPHERES)
        pairs |= {
            frozenset((names[i], names[j])): (i, j)
            for i, j in ((a, b), (b, c), (a, c))
            if frozenset((names[i], names[j])) not in pairs
        }
    return torch.tensor(list(pairs.values()), device=device), torch.tensor(
        list(triples.values()), device=device
    )


@lru_cache
def _capsules(device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return capsules (N, 2) as indices of spheres, and the pairs of them that must stay apart.

    The pairs are indices of capsules, (P,) twice.
    """
    number = {name: i for i, name in enumerate(SPHERES)}
    parts = {
        "head": [("occiput", "jaw")],
        "trunk": [
            ("right waist", "left waist"),
            ("right ribs", "left ribs"),
            ("right hip", "left hip"),
            ("right breast", "left breast"),
        ],
    }
    for side in SIDES:
        parts[f"{side} arm"] = [
            (f"{side} forearm", f"{side} wrist"),
            (f"{side} wrist", f"{side} middle tip"),
        ]
        parts[f"{side} leg"] = [
            (f"{side} thigh", f"{side} knee"),
            (f"{side} calf", f"{side} ankle"),
            (f"{side} heel", f"{side} toe inner"),
        ]
    flat = [(part, ends) for part, capsules in parts.items() for ends in capsules]
    pairs = [
        (i, j)
        for i, (one, _) in enumerate(flat)
        for j, (two, _) in enumerate(flat[:i])
        if one != two and frozenset((one.split()[-1], two.split()[-1])) in _APART
    ]
    ends = torch.tensor([[number[name] for name in capsule] for _, capsule in flat], device=device)
    first, second = torch.tensor(pairs, device=device).unbind(-1)
    return ends, first, second


# The limits of their joints keep trunk, head and legs apart.
_APART = {
    frozenset(pair)
    for pair in (("arm", "trunk"), ("arm", "head"), ("arm", "leg"), ("arm", "arm"), ("leg", "leg"))
}
