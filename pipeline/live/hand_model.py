"""Describes the synthetic hand as JSON values, from which the live page poses and draws it.

    hand_model.described()

Every number is read off the Python objects, or off hands that the library poses. The spheres that
follow from others, which are the webs between the fingers, the ball of the thumb and the forearm,
are linear in the spheres of palm and fingers: their matrix is solved from posed hands.
"""

import math
from typing import Any

import torch

from handpose_lib import skeleton as skeletons
from handpose_lib.camera import Camera
from handpose_lib.own_images import presets
from handpose_lib.synth import SETUPS
from handpose_lib.synth.hands import hand, poses

SKELETON = "msra21"
"""Joints that the networks of the page predict."""
SETUP = "msra"
"""Whose camera the page imitates."""
SUBJECTS = 9
"""Persons that the page offers; the last one is the held-out person."""
FOREARM = 80.0
"""Length of the visible forearm in mm."""
SMALLEST = 1e-8
"""Entries of the matrix below this are rounding errors of zeros."""
FIXED = len(hand.PALM) + 3 * len(hand.FINGERS)
"""Number of spheres of palm and fingers, which come first; the derived ones follow."""


def described() -> dict[str, Any]:
    """Return the hand, its poses, its joints and the cameras, as JSON values.

    Angles are in rad and lengths in mm.

    dof          name and limits of each degree of freedom, in the order of a pose
    poses        name → 20 joint angles; gestures: the names of MSRA's gestures
    subjects     palm (8, 4), bones (5, 3) and radii (5, 4) of each person
    fan, twist, outwards, pronation, inside
                 constants of the fingers' kinematics; the sphere in a tip lies `inside` radii
                 before the tip of the skin
    derived      rows of [[index, factor], …]: spheres that are linear in the vectors of `samples`
    pairs, triples
                 round cones and wedges, as indices of spheres
    joints       name, parent and index among the keypoints of each joint; colours as [r, g, b]
    camera       of the rendered images, and distance, the range in which its set shows hands
    cameras      those that readers have: name → title, unit in mm, and the views' intrinsics
    """
    skeleton = skeletons.get(SKELETON)
    pairs, triples, _ = hand.mesh(torch.device("cpu"))
    setup = SETUPS[SETUP]
    return {
        "dof": [
            {"name": name, "low": low, "high": high}
            for name, (low, high) in zip(hand.DOF, hand.LIMITS.tolist(), strict=True)
        ],
        "fingers": list(hand.FINGERS),
        "palm": list(hand.PALM),
        "poses": {name: angles.tolist() for name, angles in poses.POSES.items()},
        "gestures": list(poses.GESTURES),
        "subjects": [
            {
                name: getattr(hand.subject(number).to(torch.float64), name).tolist()
                for name in ("palm", "bones", "radii")
            }
            for number in range(SUBJECTS)
        ],
        "fan": list(hand.FAN),
        "twist": twists(),
        "outwards": list(hand.OUTWARDS),
        "pronation": pronation(),
        "inside": inside(),
        "derived": derived(),
        "pairs": pairs.tolist(),
        "triples": triples.tolist(),
        "joints": [
            {"name": name, "parent": parent, "keypoint": keypoint, "colour": list(colour)}
            for name, parent, keypoint, colour in zip(
                skeleton.joints,
                skeleton.parents,
                keypoints(),
                skeleton.colours,
                strict=True,
            )
        ],
        "camera": camera(setup.camera),
        "distance": list(setup.distance),
        "cameras": {
            name: {
                "title": preset.title,
                "unit": preset.unit_mm,
                "views": [camera(view) for view in preset.views],
            }
            for name, preset in presets.PRESETS.items()
            if preset.views
        },
    }


def camera(of: Camera) -> dict[str, Any]:
    """Return the fields of a camera."""
    return {name: getattr(of, name) for name in ("fx", "fy", "u0", "v0", "width", "height")}


def keypoints() -> list[int]:
    """Return for each joint of the skeleton its index among the keypoints of a hand."""
    posed = _bent({"index pip flexion": 0.7, "thumb ip flexion": 0.4})
    apart = torch.cdist(posed.joints(SKELETON)[0], posed.keypoints[0])
    assert (apart.amin(1) == 0).all(), "every joint is a keypoint"
    return apart.argmin(1).tolist()


def twists() -> list[float]:
    """Return the turn of each finger's plane of flexion about its own axis, in rad."""
    return [_twist(finger, {}) for finger in hand.FINGERS]


def pronation() -> float:
    """Return the turn of the thumb about its own axis, relative to the flexion of its root."""
    flexion = 0.25
    turned = _twist("thumb", {"thumb cmc flexion": flexion}, hand.FAN[0] - flexion)
    return (turned - _twist("thumb", {})) / flexion


def _twist(finger: str, angles: dict[str, float], direction: float | None = None) -> float:
    """Return the twist c of a finger whose base is Rz(a) Ry(c), a its `direction`.

    A bone that is bent by a right angle points to minus the image of z,
    -(cos a sin c, sin a sin c, cos c).
    """
    number = hand.FINGERS.index(finger)
    a = hand.FAN[number] if direction is None else direction
    posed = _bent({f"{finger} mcp flexion": math.pi / 2, **angles})
    # The first joint of the thumb that is called mcp is its second one.
    joint = 4 * number + (1 if finger == "thumb" else 0)
    bone = posed.keypoints[0, joint] - posed.keypoints[0, joint + 1]
    x, y, z = (bone / bone.norm()).tolist()
    return math.atan2(math.cos(a) * x + math.sin(a) * y, z)


def inside() -> float:
    """Return how many radii the sphere in a finger's tip lies before the tip of the skin."""
    posed = _bent({})
    tip = posed.keypoints[0, 4 * hand.FINGERS.index("middle") + 3]
    sphere = posed.spheres[0, hand.SPHERES.index("middle 3")]
    return float((tip - sphere[:3]).norm() / sphere[3])


def _bent(angles: dict[str, float]) -> hand.Hand:
    """Return a hand in its own frame, straight but for the given angles in rad."""
    pose = torch.zeros(1, len(hand.DOF), dtype=torch.float64)
    for name, angle in angles.items():
        pose[0, hand.DOF.index(name)] = angle
    return hand.posed(hand.subject(0).to(torch.float64), pose)


def derived() -> list[list[list[float]]]:
    """Return the matrix of the derived spheres as sparse rows: one for x, y, z and radius of each.

    The entries of a row are the index in a vector of `samples`, and a factor. Errors:
    `AssertionError` if the spheres are not linear in it.
    """
    vectors, spheres = samples(600)
    matrix = torch.linalg.lstsq(vectors, spheres, driver="gelsd").solution.T
    vectors, spheres = samples(200, seed=1)
    assert torch.allclose(vectors @ matrix.T, spheres, rtol=0, atol=1e-6), "they are not linear"
    return [
        [[index, factor] for index, factor in enumerate(row) if abs(factor) > SMALLEST]
        for row in matrix.tolist()
    ]


def samples(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return vectors (B, 4 · 20 + 4 · 8 + 1) and derived spheres (B, 4 S) of random hands.

    A vector holds the 5 · 4 joints of the fingers and the 8 spheres of the palm, x y z and radius
    each, and a one. The hands are in their own frame, and of shapes that no person has, so that
    nothing depends on the proportions of persons.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    subject = hand.Subject(
        100 * random(count, len(hand.PALM), 4), 10 + 50 * random(count, 5, 3), random(count, 5, 4)
    )
    pose = torch.zeros(count, len(hand.DOF), dtype=torch.float64)
    pose[:, 6:] = random(count, len(hand.DOF) - 6)
    posed = hand.posed(subject, pose, forearm=FOREARM)
    chains = torch.cat(
        [posed.keypoints[:, :20], subject.radii.flatten(1)[..., None]], -1
    )  # five fingers of four joints
    palm, one = subject.palm.flatten(1), torch.ones(count, 1, dtype=torch.float64)
    return torch.cat([chains.flatten(1), palm, one], 1), posed.spheres[:, FIXED:].flatten(1)
