"""Describes the synthetic hand as JSON values, from which the live page poses and draws it.

    hand_model.described()

Every number is read off the Python objects. The spheres that follow from others, which are the
webs between the fingers, the ball of the thumb and the forearm, are linear in the spheres of palm
and fingers: their matrix is the Jacobian of the library's own functions.
"""

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
SMALLEST = 1e-9
"""Entries of the matrix below this are rounding errors of zeros."""


def described() -> dict[str, Any]:
    """Return the hand, its poses, its joints and the cameras, as JSON values.

    Angles are in rad and lengths in mm.

    dof          name and limits of each degree of freedom, in the order of a pose
    poses        name → 20 joint angles; gestures: the names of MSRA's gestures
    subjects     palm (8, 4), bones (5, 3) and radii (5, 4) of each person
    fan, twist, outwards, pronation, inside
                 constants of the fingers' kinematics; the sphere in a tip lies `inside` radii
                 before the tip of the skin
    derived      rows of [[index, factor], …]: spheres that are linear in `_vector`
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
        "twist": list(hand._TWIST),
        "outwards": list(hand.OUTWARDS),
        "pronation": hand._PRONATION,
        "inside": inside(),
        "derived": derived(),
        "pairs": pairs.tolist(),
        "triples": triples.tolist(),
        "joints": [
            {"name": name, "parent": parent, "keypoint": keypoint, "colour": list(colour)}
            for name, parent, keypoint, colour in zip(
                skeleton.joints,
                skeleton.parents,
                hand._keypoints(SKELETON),
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


def inside() -> float:
    """Return how many radii the sphere in a finger's tip lies before the tip of the skin."""
    subject = hand.subject(0).to(torch.float64)
    posed = hand.posed(subject, torch.zeros(1, len(hand.DOF), dtype=torch.float64))
    tip = posed.keypoints[0, 4 * hand.FINGERS.index("middle") + 3]
    sphere = posed.spheres[0, hand.SPHERES.index("middle 3")]
    return float((tip - sphere[:3]).norm() / sphere[3])


def derived() -> list[list[list[float]]]:
    """Return the matrix of the derived spheres, (4 S, 4 · 20 + 4 · 8 + 1), as sparse rows.

    A row belongs to x, y, z or the radius of a sphere. Its entries are the index in the vector of
    `_vector`, and a factor. Errors: `AssertionError` if the spheres are not linear in it.
    """
    generator = torch.Generator().manual_seed(0)
    start = _vector(0)
    matrix = torch.func.jacrev(_spheres)(start)
    rest = _spheres(start) - matrix @ start
    for number in range(1, SUBJECTS):
        other = _vector(number)
        other = other + torch.randn(other.shape, generator=generator, dtype=other.dtype)
        found = matrix @ other + rest
        assert torch.allclose(found, _spheres(other), rtol=0, atol=1e-6), "spheres are not linear"
    whole = torch.cat([matrix, rest[:, None]], 1)
    return [
        [[index, factor] for index, factor in enumerate(row) if abs(factor) > SMALLEST]
        for row in whole.tolist()
    ]


def _vector(number: int) -> torch.Tensor:
    """Return what the derived spheres depend on, of a person with straight fingers.

    These are the 5 · 4 joints of the fingers and the 8 spheres of the palm, x y z and radius each.
    """
    subject = hand.subject(number).to(torch.float64)
    angles = torch.zeros(1, len(hand.DOF) - 6, dtype=torch.float64)
    spheres, chains = hand._jointed(subject, angles)
    return torch.cat([chains.flatten(), spheres[0, : len(hand.PALM)].flatten()])


def _spheres(vector: torch.Tensor) -> torch.Tensor:
    """Return the derived spheres, (4 S,), as `hand.posed` computes them."""
    chains, palm = vector[:80].view(1, 5, 4, 4), vector[80:].view(1, len(hand.PALM), 4)
    radial = hand.PALM.index("wrist radial")
    thick = palm[:, radial, 3] / hand._PALM[radial][3]
    parts = (
        hand._webs(chains, thick),
        hand._ball_of_the_thumb(chains, palm, thick),
        hand._forearm(palm, FOREARM, 1.0, None),
    )
    return torch.cat(parts, 1).flatten()
