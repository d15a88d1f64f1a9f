"""An articulated hand: 26 degrees of freedom, subjects, joints of every skeleton, smooth surface.

    subject = hand.subject(3)
    posed = hand.posed(subject, pose)              # pose (B, 26)
    posed.joints("msra21")                         # (B, 21, 3) mm
    posed.solids()                                 # the surface, for `raycast.depth`

**Frame of the hand.** The wrist is the origin; x points to the thumb's side, y down the forearm, z
out of the back of the hand. It coincides with the camera frame (x right, y down, z forward) for a
right hand that shows its palm to the camera with the fingers up. A left hand is the mirror image x
-> -x, taken in the frame of the hand.

**Surface.** A sphere-mesh: spheres at the joints and in the palm, joined in pairs by round cones
and in triples by wedges (the convex hull of three spheres). A phalanx is a cone and shares its
radii with its neighbours, so that no joint shows a gap; palm, thenar, hypothenar and the webs
between the fingers are wedges, so that no groove opens between the metacarpals.
(Thiery et al., Sphere-Meshes, 2013; Tkach et al., Sphere-Meshes for Real-Time Hand Modeling and
Tracking, 2016.)

Every product is spelled out in element-wise operations: a row has the same bits alone and in any
batch, which batched matrix products do not guarantee.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import torch

from handpose_lib import skeleton as skeletons
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.synth.scene.raycast import Solids, wedge

FINGERS = ("thumb", "index", "middle", "ring", "little")

# Name, lower and upper limit of each degree of freedom: mm, then degrees. The joint angles are
# about the active ranges of motion of clinical goniometry, counted from the straight hand; the
# position is a working space.
_GLOBAL = (
    ("x", -300, 300),
    ("y", -300, 300),
    ("z", 250, 1000),
    ("yaw", -180, 180),
    ("pitch", -90, 90),
    ("roll", -180, 180),
)
_THUMB = (
    ("cmc abduction", -5, 60),
    ("cmc flexion", -15, 45),
    ("mcp flexion", -10, 60),
    ("ip flexion", -15, 80),
)
_FLEXION = (("mcp flexion", -20, 90), ("pip flexion", 0, 105), ("dip flexion", -5, 75))
_ABDUCTION = {"index": (-15, 20), "middle": (-15, 15), "ring": (-15, 15), "little": (-20, 30)}
_TABLE = (
    _GLOBAL
    + tuple((f"thumb {name}", low, high) for name, low, high in _THUMB)
    + tuple(
        (f"{finger} {name}", low, high)
        for finger, limits in _ABDUCTION.items()
        for name, low, high in (("mcp abduction", *limits), *_FLEXION)
    )
)

DOF = tuple(name for name, _, _ in _TABLE)
"""Names of the 26 entries of a pose: position of the wrist (mm), yaw, pitch, roll (rad), 20 joint
angles (rad).

Positive flexion bends towards the palm. Positive abduction of a finger moves it away from the
middle finger (the middle finger: to the thumb's side), of the thumb out of the plane of the palm;
positive flexion of the thumb's root moves it across the palm.
"""

_UNIT = torch.tensor([1.0] * 3 + [math.pi / 180] * 23, dtype=torch.float64)
LIMITS = (
    torch.tensor([(low, high) for _, low, high in _TABLE], dtype=torch.float64) * _UNIT[:, None]
)
"""(26, 2) lowest and highest value of each degree of freedom, mm and rad, float64."""

GROUPS = {
    "position": DOF[:3],
    "orientation": DOF[3:6],
    **{finger: tuple(name for name in DOF if name.split()[0] == finger) for finger in FINGERS},
}
"""The degrees of freedom as groups of sliders."""

PARTS = ("forearm", "palm", *FINGERS)
"""The parts of the surface, in the order of their labels."""

WRIST_LIMITS = torch.tensor([(-60, 60), (-20, 30)], dtype=torch.float64) * (math.pi / 180)
"""(2, 2) lowest and highest flexion and deviation of the wrist, rad. The wrist is not a degree of
freedom: the scene chooses it.
"""

SKELETONS = ("msra21", "nyu14", "icvl16", "hands17_21", "dexycb21")
"""The skeletons that `Hand.joints` can return."""


# --- subjects -----------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """The shape of a person's hand, in mm; one, or a batch with a leading axis on every tensor.

    `palm`: (..., 8, 4) centre and radius of the spheres fixed to the palm, in the order of `PALM`.
    `bones`: (..., 5, 3) lengths of metacarpal, proximal and distal bone of the thumb, and of
    proximal, middle and distal phalanx of the fingers; the distal one reaches to the tip of the
    skin. `radii`: (..., 5, 4) radius of each finger at its three joints and at its tip.
    """

    palm: torch.Tensor
    bones: torch.Tensor
    radii: torch.Tensor

    def to(self, *args: Any, **kwargs: Any) -> Subject:
        """Return the same subject on another device or in another dtype."""
        return Subject(**{f.name: getattr(self, f.name).to(*args, **kwargs) for f in fields(self)})

    def index(self, rows: torch.Tensor | slice) -> Subject:
        """Return the subjects of `rows` (a tensor of indices or a slice) of a batch."""
        return Subject(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def scaled(self, size: torch.Tensor, thickness: torch.Tensor) -> Subject:
        """Return the subjects with all lengths times `size` (...), and their thickness, which is
        every radius and the z of the palm, times `thickness` (...) as well.
        """
        size, thick = size[..., None, None], (size * thickness)[..., None, None]
        flat = torch.cat([self.palm[..., :2] * size, self.palm[..., 2:] * thick], -1)
        return Subject(flat, self.bones * size, self.radii * thick)

    @property
    def length(self) -> torch.Tensor:
        """Length (...) in mm from the wrist to the tip of the straight middle finger."""
        return -self.palm[..., PALM.index("middle"), 1] + self.bones[..., 2, :].sum(-1)


PALM = (*FINGERS, "heel", "wrist radial", "wrist ulnar")
"""The spheres fixed to the palm: the five roots of the fingers (thumb: its saddle joint), the heel
of the hand on the side of the little finger, and the two sides of the wrist.
"""

# x, y, z, radius in mm of an average adult hand, 186 mm long and 84 mm broad.
_PALM = (
    (20.0, -22.0, -5.0, 15.5),
    (29.0, -89.0, 0.0, 12.0),
    (8.0, -92.0, 2.0, 12.2),
    (-13.0, -86.0, 1.5, 11.8),
    (-31.0, -76.0, -1.5, 10.8),
    (-18.5, -17.0, -4.0, 15.5),
    (11.3, 10.0, -1.5, 16.6),
    (-11.3, 10.0, -1.5, 16.6),
)
# Buryanov and Kotiuk, Proportions of Hand Segments, 2010: mean lengths of the bones; to the last
# one the thickness of the soft tissue at the tip is added.
_BONES = (
    (46.2, 31.6, 21.7 + 5.7),
    (39.8, 22.4, 15.8 + 3.8),
    (44.6, 26.3, 17.4 + 4.0),
    (41.4, 25.7, 17.3 + 4.0),
    (32.7, 18.1, 16.0 + 3.7),
)
_RADII = (
    (15.5, 12.8, 10.8, 8.4),
    (12.0, 9.8, 8.5, 7.0),
    (12.2, 10.0, 8.7, 7.2),
    (11.8, 9.5, 8.3, 6.9),
    (10.8, 8.5, 7.4, 6.2),
)

# Ranges from which a subject's proportions are drawn. Subject 8, the ninth, is the held-out subject
# and lies outside all of them: a small palm with long, slender fingers and a short thumb.
_PROPORTIONS = {
    "size": (0.90, 1.06),
    "breadth": (0.95, 1.06),
    "fingers": (0.95, 1.05),
    "thumb": (0.95, 1.06),
    "thickness": (0.92, 1.10),
    "tips": (0.94, 1.05),
}
_HELD_OUT = {
    "size": 0.87,
    "breadth": 0.92,
    "fingers": 1.10,
    "thumb": 0.92,
    "thickness": 0.86,
    "tips": 1.09,
}
_JITTER = 0.03


def subject(index: int, seed: int = 0) -> Subject:
    """Return the hand of person number `index`, a pure function of (index, seed).

    The tensors are float32 and have no batch axis. Persons differ in size, breadth of the palm,
    length of the fingers and the thumb relative to the palm, thickness, taper, and by 3 % in every
    single bone. Number 8 lies outside the range of all others in each of the first six.
    Errors: `HandPoseError` for an index that is not a whole number from 0.
    """
    if not isinstance(index, int) or index < 0:
        raise HandPoseError(f"subject {index!r}: accepted are whole numbers from 0")
    # Seeding with text is documented to be stable: the same person on every machine.
    draw = random.Random(f"hand of subject {index}, seed {seed}").uniform
    chosen = {name: draw(*limits) for name, limits in _PROPORTIONS.items()}
    if index == 8:
        chosen = _HELD_OUT
    size, thick = chosen["size"], chosen["thickness"] * chosen["size"]

    palm = torch.tensor(_PALM, dtype=torch.float64)
    palm = palm * torch.tensor([size * chosen["breadth"], size, thick, thick], dtype=torch.float64)
    jitter = torch.tensor(
        [[draw(1 - _JITTER, 1 + _JITTER) for _ in range(3)] for _ in FINGERS], dtype=torch.float64
    )
    longer = torch.tensor([chosen["thumb"]] + [chosen["fingers"]] * 4, dtype=torch.float64)
    bones = torch.tensor(_BONES, dtype=torch.float64) * jitter * longer[:, None] * size
    taper = torch.tensor([1, 1, chosen["tips"] ** 0.5, chosen["tips"]], dtype=torch.float64)
    radii = torch.tensor(_RADII, dtype=torch.float64) * taper * thick
    return Subject(palm.float(), bones.float(), radii.float())


def subjects(indices: Iterable[int] | torch.Tensor, seed: int = 0) -> Subject:
    """Return a batch of subjects, on the device of `indices` if that is a tensor.

    `indices`: B whole numbers. Errors: `HandPoseError` for none.
    """
    device = indices.device if isinstance(indices, torch.Tensor) else None
    numbers = indices.tolist() if isinstance(indices, torch.Tensor) else list(indices)
    known = {i: subject(i, seed) for i in set(numbers)}
    if not numbers:
        raise HandPoseError("no subjects: accepted is a sequence of at least one number")
    return Subject(
        **{
            f.name: torch.stack([getattr(known[i], f.name) for i in numbers]).to(device)
            for f in fields(Subject)
        }
    )


# --- posing -------------------------------------------------------------------


@dataclass(frozen=True)
class Hand:
    """B hands in the camera frame, mm.

    `spheres`: (B, S, 4) centre and radius of every sphere, in the order of `SPHERES`. `keypoints`:
    (B, 24, 3), four of each finger from root to tip, then wrist, its two sides, and the palm.
    """

    spheres: torch.Tensor
    keypoints: torch.Tensor

    def __len__(self) -> int:
        return len(self.spheres)

    def joints(self, skeleton: str = "msra21") -> torch.Tensor:
        """Return (B, J, 3) mm, the joints of a skeleton (one of `SKELETONS`) in its own order.

        The thumb's first joint of MSRA and HANDS2017 is its saddle joint at the wrist; ICVL's and
        NYU's root of the thumb is the next one. Their "mid" is the middle joint of a finger and the
        last one of the thumb. NYU's two points at the wrist are its ulnar and its radial side.
        """
        return self.keypoints[:, _keypoints(one_of("skeleton of the hand", skeleton, SKELETONS))]

    def moved(self, shift: torch.Tensor) -> Hand:
        """Return the same hands moved by `shift` (B, 3) mm."""
        return self.mapped(lambda points: points + shift[:, None])

    def mapped(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Hand:
        """Return the hands after a rigid motion: `function` maps points (B, N, 3) mm."""
        spheres = torch.cat([function(self.spheres[..., :3]), self.spheres[..., 3:]], dim=-1)
        return Hand(spheres, function(self.keypoints))

    def solids(self) -> Solids:
        """Return the surface as primitives of the ray caster, labelled by `PARTS`."""
        pairs, triples, labels = mesh(self.spheres.device)
        # Of a wedge only the triangles: its edges are shared with its neighbours and listed once
        # among the cones.
        _, flats = wedge(self.spheres[:, triples])
        return Solids(self.spheres[:, pairs].flatten(2), flats.flatten(1, 2), labels)


def posed(
    subject: Subject,
    pose: torch.Tensor,
    forearm: torch.Tensor | float | None = None,
    hand: str | torch.Tensor = "right",
    girth: torch.Tensor | float = 1.0,
    wrist: torch.Tensor | None = None,
) -> Hand:
    """Return a batch of hands in the given poses (forward kinematics).

    `subject`: one subject or a batch of B. `pose`: (B, 26), entries named by `DOF`. `forearm`:
    visible length in mm, a number or (B,); 0 or None for none. `hand`: "right", "left", or a tensor
    (B,) of +1 for right and -1 for left hands. `girth`: thickness of the forearm relative to that
    of the hand, a number or (B,). `wrist`: (B, 2) rad by which the hand is flexed and deviated to
    the thumb's side relative to the forearm; None for straight. It moves the forearm, never a
    joint. All computation is in the dtype and on the device of `pose`.
    Errors: `HandPoseError` for shapes that do not fit.
    """
    if pose.ndim != 2 or pose.shape[-1] != len(DOF) or not pose.is_floating_point():
        raise HandPoseError(
            f"pose is {pose.dtype} {tuple(pose.shape)}: accepted is a float tensor (B, {len(DOF)})"
        )
    spheres, chains = _jointed(subject, pose[:, 6:])
    palm = spheres[:, : len(PALM)]
    thick = palm[:, PALM.index("wrist radial"), 3] / _PALM[PALM.index("wrist radial")][3]
    spheres = torch.cat(
        [
            spheres,
            _webs(chains, thick),
            _ball_of_the_thumb(chains, palm, thick),
            _forearm(palm, forearm, girth, wrist),
        ],
        dim=1,
    )
    keypoints = torch.cat([chains[..., :3].flatten(1, 2), _palm_points(palm)], dim=1)

    turn, mirror = rotation(pose[:, 3], pose[:, 4], pose[:, 5]), _mirror(hand, pose)
    spheres = torch.cat(
        [_place(spheres[..., :3], mirror, turn, pose[:, :3]), spheres[..., 3:]], dim=-1
    )
    return Hand(spheres, _place(keypoints, mirror, turn, pose[:, :3]))


def jointed(subject: Subject, angles: torch.Tensor) -> torch.Tensor:
    """Return (B, 23, 4), the spheres of palm and fingers in the frame of a right hand.

    They are the first of `SPHERES`. `angles`: (B, 20) rad, a pose without its position and
    orientation.
    """
    return _jointed(subject, angles)[0]


def rotation(yaw: torch.Tensor, pitch: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    """Return (..., 3, 3), the orientation of a hand: R = Rz(roll) Rx(pitch) Ry(yaw), angles in rad.

    Yaw turns the hand about its long axis (half a turn shows its back), pitch tips the fingers
    towards the camera, roll turns the result in the image plane, so that a roll of the pose is a
    rotation of the picture about the wrist.
    """
    (cy, sy), (cp, sp), (cr, sr) = ((torch.cos(a), torch.sin(a)) for a in (yaw, pitch, roll))
    rows = (
        (cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy),
        (sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy),
        (-cp * sy, sp, cp * cy),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def orientation(rotation: torch.Tensor) -> torch.Tensor:
    """Return (..., 3), yaw, pitch and roll of a rotation (..., 3, 3).

    This is the inverse of `rotation` for |pitch| < 90 degrees.
    """
    yaw = torch.atan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    pitch = torch.asin(rotation[..., 2, 1].clamp(-1, 1))
    roll = torch.atan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    return torch.stack([yaw, pitch, roll], dim=-1)


def clamp(pose: torch.Tensor) -> torch.Tensor:
    """Return the pose (..., 26) with every entry moved into its limits."""
    low, high = LIMITS.to(pose).unbind(-1)
    return torch.minimum(torch.maximum(pose, low), high)


# --- from the pose to the spheres ---------------------------------------------

# The direction in which each finger leaves the palm when straight, rad from -y to the thumb's side,
# and the turn of its plane of flexion about its own axis, which makes the fingers of a fist point
# to the root of the thumb.
FAN = tuple(math.radians(a) for a in (45.0, 4.0, 0.0, -4.0, -9.0))
_TWIST = tuple(math.radians(a) for a in (50.0, 4.0, 0.0, -5.0, -10.0))
# Abduction moves index and middle finger to the thumb's side (+), ring and little finger away from
# it.
OUTWARDS = (0.0, 1.0, 1.0, -1.0, -1.0)
# The more the thumb opposes the fingers, the more its pulp turns to face theirs
# (pronation of the saddle joint).
_PRONATION = 0.5


def _jointed(subject: Subject, angles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the spheres of `jointed`, and the chains of joints (B, 5, 4, 4) with radii."""
    subject = subject.to(angles)
    if subject.palm.ndim > 2 and len(subject.palm) != len(angles):
        raise HandPoseError(
            f"{len(subject.palm)} subjects for {len(angles)} poses: accepted are one or as many"
        )
    palm, bones, radii = (
        t.expand(len(angles), -1, -1) for t in (subject.palm, subject.bones, subject.radii)
    )
    chains, tips = _fingers(palm, bones, radii, angles)
    return (
        torch.cat([palm, torch.cat([chains[:, :, 1:3], tips[:, :, None]], 2).flatten(1, 2)], dim=1),
        chains,
    )


def _fingers(
    palm: torch.Tensor, bones: torch.Tensor, radii: torch.Tensor, angles: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return chains of joints (B, 5, 4, 4) with radii, hand frame, and spheres in the tips
    (B, 5, 4).

    A finger's base is R = Rz(a) Rx(e) Ry(c): a and e give its direction, c turns its plane of
    flexion, in which its bones lie. With the flexion phi summed up to a bone, the direction of the
    bone is -cos(phi) R y - sin(phi) R z.
    """
    thumb, fingers = angles[:, :4], angles[:, 4:].reshape(-1, 4, 4)
    outwards, fan, twist = (angles.new_tensor(v) for v in (OUTWARDS, FAN, _TWIST))
    a = torch.cat([fan[:1] - thumb[:, 1:2], fan[1:] + outwards[1:] * fingers[..., 0]], dim=1)
    e = torch.cat([thumb[:, :1], torch.zeros_like(fingers[..., 0])], dim=1)
    c = twist + torch.cat(
        [_PRONATION * (thumb[:, :1] + thumb[:, 1:2]), torch.zeros_like(fingers[..., 0])], dim=1
    )
    along, out = _base(a, e, c)

    flexed = torch.cat([torch.zeros_like(thumb[:, :1]), thumb[:, 2:]], dim=1)
    phi = torch.cat([flexed[:, None], fingers[..., 1:]], dim=1).cumsum(-1)[..., None]
    direction = -torch.cos(phi) * along[:, :, None] - torch.sin(phi) * out[:, :, None]
    joint = palm[:, :5, :3]
    joints = [joint]
    for bone in range(3):
        joint = joint + bones[:, :, bone, None] * direction[:, :, bone]
        joints.append(joint)
    # The tip of the skeleton lies just under the skin: 0.15 of the radius before the pole of the
    # last sphere.
    inside = joint - 0.85 * radii[:, :, 3:] * direction[:, :, 2]
    return (
        torch.cat([torch.stack(joints, dim=2), radii[..., None]], dim=-1),
        torch.cat([inside, radii[:, :, 3:]], dim=-1),
    )


def _base(a: torch.Tensor, e: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images of the y and the z axis under Rz(a) Rx(e) Ry(c), each (..., 3)."""
    (ca, sa), (ce, se), (cc, sc) = ((torch.cos(t), torch.sin(t)) for t in (a, e, c))
    y = torch.stack([-sa * ce, ca * ce, se], dim=-1)
    z = torch.stack([ca * sc + sa * cc * se, sa * sc - ca * cc * se, cc * ce], dim=-1)
    return y, z


def _webs(chains: torch.Tensor, thick: torch.Tensor) -> torch.Tensor:
    """Return (B, 4, 4), spheres in the skin between neighbouring fingers.

    They follow the first bones of both fingers.
    """
    root, following = chains[:, :, 0], chains[:, :, 1, :3]
    half = root[..., :3] + 0.42 * (following - root[..., :3])
    between = 0.5 * (half[:, 1:4] + half[:, 2:5])
    # Nearer to the palm than to the back, where the skin slopes down from the knuckles.
    between = between + between.new_tensor([0.0, 0.0, -2.5]) * thick[:, None, None]
    radius = 0.29 * (root[:, 1:4, 3:] + root[:, 2:5, 3:])
    # The web of the thumb is a hollow line from its second joint to the root of the index finger.
    thumb = 0.24 * root[:, 0, :3] + 0.38 * following[:, 0] + 0.38 * root[:, 1, :3]
    thumb = torch.cat([thumb, 0.7 * chains[:, 0, 1, 3:]], dim=-1)
    return torch.cat([torch.cat([between, radius], dim=-1), thumb[:, None]], dim=1)


def _ball_of_the_thumb(
    chains: torch.Tensor, palm: torch.Tensor, thick: torch.Tensor
) -> torch.Tensor:
    """Return (B, 2, 4), the sphere of the thenar and its foot.

    The thenar is half-way along the thumb's metacarpal and towards the palm; its flank slopes down
    to its foot inside the palm.
    """
    root, second = chains[:, 0, 0, :3], chains[:, 0, 1, :3]
    x, y, z, radius = _THENAR
    centre = root + 0.45 * (second - root) + root.new_tensor([x, y, z]) * thick[:, None]
    foot = 0.5 * palm[:, PALM.index("middle")] + 0.5 * palm[:, PALM.index("heel")]
    foot = foot * foot.new_tensor([1.0, 1.0, 1.0, 0.8])
    return torch.stack([torch.cat([centre, (radius * thick)[:, None]], dim=-1), foot], dim=1)


_THENAR = (-8.0, 2.0, -1.0, 15.0)


def _forearm(
    palm: torch.Tensor,
    length: torch.Tensor | float | None,
    girth: torch.Tensor | float,
    wrist: torch.Tensor | None,
) -> torch.Tensor:
    """Return (B, 4, 4), the radial and ulnar sphere of two sections of the forearm.

    The sections lie at 0.4 and at all of its length. A section is a flattened circle, the hull of
    two equal spheres, and widens smoothly with the distance. The pairs of all sections stay
    parallel, however the wrist bends: so each flat side between two sections is one plane.
    """
    sides = palm[:, [PALM.index("wrist radial"), PALM.index("wrist ulnar")]]
    length = _column(0.0 if length is None else length, palm, "forearm length").clamp_min(0.0)
    girth = _column(girth, palm, "girth")
    bend = palm.new_zeros(len(palm), 2) if wrist is None else wrist.to(palm)
    if bend.shape != (len(palm), 2):
        raise HandPoseError(f"wrist has shape {tuple(bend.shape)}: accepted is ({len(palm)}, 2)")
    # The forearm's axis is the image of y: flexing the hand moves its elbow to the side of the
    # palm.
    along, _ = _base(bend[:, 1], -bend[:, 0], torch.zeros_like(bend[:, 0]))
    sections = []
    for share in (0.4, 1.0):
        distance = (share * length)[:, None]
        s = (distance / _ELBOW).clamp(0, 1)
        wide = 1 + (_ELBOW_WIDTH * girth[:, None] - 1) * s * s * (3 - 2 * s)
        centre = 0.5 * (sides[:, 0, :3] + sides[:, 1, :3]) + along * distance
        apart = 0.5 * (sides[:, 0, :3] - sides[:, 1, :3]) * wide
        radius = sides[:, 0, 3:] * wide
        sections += [
            torch.cat([centre + apart, radius], -1),
            torch.cat([centre - apart, radius], -1),
        ]
    return torch.stack(sections, dim=1)


# Distance in mm from the wrist to the thickest place, and its width relative to the wrist's.
_ELBOW, _ELBOW_WIDTH = 220.0, 1.65


def _palm_points(palm: torch.Tensor) -> torch.Tensor:
    """Return (B, 4, 3), wrist, its ulnar and its radial side, and the centre of the palm."""
    origin = torch.zeros_like(palm[:, 0, :3])
    side = palm[:, PALM.index("wrist radial")]
    x = torch.stack([side[:, 0] + 0.5 * side[:, 3], origin[:, 0], origin[:, 0]], dim=-1)
    knuckles = palm[:, 1, :3] + palm[:, 2, :3] + palm[:, 3, :3] + palm[:, 4, :3]
    return torch.stack([origin, -x, x, 0.14 * knuckles], dim=1)


def _place(
    points: torch.Tensor, mirror: torch.Tensor, turn: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """Return points (B, N, 3) of the frame of the right hand in that of the camera.

    They are mirrored for a left hand, turned, then shifted.
    """
    x, y, z = points.unbind(-1)
    x = x * mirror[:, None]
    return torch.stack(
        [
            x * turn[:, i, :1] + y * turn[:, i, 1:2] + z * turn[:, i, 2:] + shift[:, i : i + 1]
            for i in range(3)
        ],
        dim=-1,
    )


def _mirror(hand: str | torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    if isinstance(hand, str):
        return pose.new_full(
            (len(pose),), {"right": 1.0, "left": -1.0}[one_of("hand", hand, ("right", "left"))]
        )
    if hand.shape != (len(pose),):
        raise HandPoseError(
            f"hand has shape {tuple(hand.shape)}: accepted is ({len(pose)},), +1 right and -1 left"
        )
    return hand.to(pose)


def _column(value: torch.Tensor | float, like: torch.Tensor, name: str) -> torch.Tensor:
    column = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    if column.ndim > 1 or column.numel() not in (1, len(like)):
        raise HandPoseError(
            f"{name} has shape {tuple(column.shape)}: accepted are one number and ({len(like)},)"
        )
    return column.expand(len(like))


# --- surface and skeletons ----------------------------------------------------

SPHERES = (
    *PALM,
    *(f"{finger} {level}" for finger in FINGERS for level in (1, 2, 3)),
    *("web index", "web middle", "web ring", "web thumb"),
    *("thenar", "thenar foot"),
    *("forearm radial", "forearm ulnar", "elbow radial", "elbow ulnar"),
)
"""Names of the spheres of a hand: "index" is the root of the index finger, "index 3" the sphere in
its tip.
"""

CHAINS = tuple((finger, f"{finger} 1", f"{finger} 2", f"{finger} 3") for finger in FINGERS)
"""The spheres along each finger, from its root to its tip."""

_WEDGES = (
    # the palm, from the knuckles to the wrist
    ("index", "middle", "thumb"),
    ("middle", "ring", "thumb"),
    ("ring", "heel", "thumb"),
    ("ring", "little", "heel"),
    ("thumb", "heel", "wrist radial"),
    ("heel", "wrist ulnar", "wrist radial"),
    # webs
    ("index", "middle", "web index"),
    ("middle", "ring", "web middle"),
    ("ring", "little", "web ring"),
    # the thumb's web and its ball
    ("thumb", "thumb 1", "web thumb"),
    ("thumb", "web thumb", "index"),
    ("thumb", "thumb 1", "thenar"),
    ("thumb 1", "web thumb", "thenar"),
    ("thumb", "thenar", "thenar foot"),
    ("web thumb", "thenar", "thenar foot"),
    # the forearm
    ("wrist radial", "wrist ulnar", "forearm radial"),
    ("wrist ulnar", "forearm radial", "forearm ulnar"),
    ("forearm radial", "forearm ulnar", "elbow radial"),
    ("forearm ulnar", "elbow radial", "elbow ulnar"),
)
# Edges that need no cone: the diagonals of the forearm's flat sides, and three that lie deep in the
# palm.
_SEAMS = (
    {"wrist ulnar", "forearm radial"},
    {"forearm ulnar", "elbow radial"},
    {"thumb", "thenar foot"},
    {"thumb", "web thumb"},
    {"web thumb", "thenar"},
)


@lru_cache
def mesh(device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return cones (N, 2) and wedges (T, 3) as indices of spheres, and the labels (N + 2 T,) of
    cones and triangles.
    """
    pairs = [
        pair
        for finger, *rest in CHAINS
        for pair in zip((finger, *rest), rest)
        if pair != ("thumb", "thumb 1")
    ]
    for a, b, c in _WEDGES:
        for edge in ((a, b), (b, c), (a, c)):
            if set(edge) not in [*map(set, pairs), *_SEAMS]:
                pairs.append(edge)
    number = {name: i for i, name in enumerate(SPHERES)}
    labels = [_part(pair) for pair in pairs] + [
        _part(triple) for triple in _WEDGES for _ in range(2)
    ]
    return (
        torch.tensor([[number[n] for n in pair] for pair in pairs], device=device),
        torch.tensor([[number[n] for n in triple] for triple in _WEDGES], device=device),
        torch.tensor([PARTS.index(label) for label in labels], device=device),
    )


def _part(spheres: tuple[str, ...]) -> str:
    """Return the part of a cone or wedge: a finger beyond its root, the forearm beyond the wrist,
    otherwise the palm.
    """
    last = spheres[-1].split()
    if last[0] in ("forearm", "elbow"):
        return "forearm"
    return last[0] if len(spheres) == 2 and last[0] in FINGERS and last[-1].isdigit() else "palm"


_LEVELS = {"mcp": 0, "pip": 1, "dip": 2, "tip": 3}
_THREE_LEVELS = {
    "thumb": {"root": 1, "mid": 2, "tip": 3},
    "finger": {"root": 0, "mid": 1, "tip": 3},
}


@lru_cache
def _keypoints(name: str) -> list[int]:
    """Return for each joint of a skeleton its index among the 24 keypoints of a hand."""
    found = []
    for joint in skeletons.get(name).joints:
        finger, _, level = joint.partition(" ")
        if finger not in FINGERS:
            found.append(20 + ("wrist", "wrist back", "wrist radial", "palm").index(joint))
        elif name in ("msra21", "hands17_21", "dexycb21"):
            found.append(4 * FINGERS.index(finger) + _LEVELS[level])
        else:
            levels = _THREE_LEVELS["thumb" if finger == "thumb" else "finger"]
            found.append(4 * FINGERS.index(finger) + levels[level])
    if name == "nyu14":
        # NYU's plain "wrist" is the other side of the wrist, not its middle.
        found[found.index(20)] = 22
    return found
