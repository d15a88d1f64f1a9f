"""Checks for the chapter on the hand."""

import torch

from handpose_lib import skeleton as skeletons
from handpose_lib.teaching.checks import (
    Student,
    check,
    equal,
    exercise,
    holds,
    normal,
    require,
    shaped,
    uniform,
)

__all__ = ["check", "require"]


@exercise("bone_lengths", chapter="the_hand")
def bone_lengths(student: Student, generator: torch.Generator) -> None:
    """bone_lengths(joints (B, J, 3), parents) -> (B, number of bones) mm, in the order of the
    children.
    """
    for name in ("msra21", "nyu14"):  # NYU's root comes last, MSRA's first
        skeleton = skeletons.get(name)
        joints = uniform(generator, (4, len(skeleton), 3), -90, 90)
        child, parent = (list(side) for side in zip(*skeleton.bones))
        bones = joints[:, child] - joints[:, parent]
        lengths = student(joints, skeleton.parents)
        shaped(
            lengths,
            (4, len(skeleton) - 1),
            "the result",
            f"{name} has {len(skeleton)} joints; its root has no bone",
        )
        root = joints[:, [skeleton.root]]
        equal(
            lengths,
            bones.norm(dim=-1),
            f"the lengths of {name} are wrong",
            "a bone joins a joint with its parent",
            mistakes={
                "that is the squared length": bones.square().sum(-1),
                "measure to the parent, not to the root": (joints[:, child] - root).norm(dim=-1),
                "the parent of joint j is parents[j], not the joint before it in the list": (
                    joints.diff(dim=1).norm(dim=-1)
                ),
                "a length is the root of a sum of squares, not a sum of absolute values": (
                    bones.abs().sum(-1)
                ),
                "a bone has three coordinates: include z": bones[..., :2].norm(dim=-1),
            },
        )
    turn = torch.linalg.qr(normal(generator, (3, 3))).Q
    moved = joints @ turn.T + uniform(generator, (3,), -500, 500)
    equal(
        student(moved, skeleton.parents), lengths, "turning and moving the hand changes its bones"
    )


@exercise("bend_finger", chapter="the_hand")
def bend_finger(student: Student, generator: torch.Generator) -> None:
    """bend_finger(lengths (3,), angles (3,) rad) -> joints (4, 2) mm: knuckle at the origin,
    straight along +x.
    """
    lengths = uniform(generator, (3,), 15, 45)
    zero = torch.zeros(3, dtype=torch.float64)
    straight = torch.stack(
        (torch.cat((zero[:1], lengths.cumsum(0))), torch.zeros(4, dtype=torch.float64)), 1
    )
    joints = student(lengths, zero)
    shaped(joints, (4, 2), "the finger", "three bones join four joints, the knuckle first")
    equal(joints[0], straight[0], "the knuckle is not at the origin", "start the chain at (0, 0)")
    equal(
        joints,
        straight,
        "without bending, the finger is not straight along x",
        mistakes={
            "each bone starts where the one before it ends: accumulate the positions": torch.stack(
                (torch.cat((zero[:1], lengths)), torch.zeros(4, dtype=torch.float64)), 1
            ),
        },
    )
    angles = uniform(generator, (3,), 0.2, 1.1)

    def chain(directions):
        bones = lengths[:, None] * torch.stack((directions.cos(), directions.sin()), 1)
        return torch.cat((torch.zeros(1, 2, dtype=torch.float64), bones.cumsum(0)))

    joints = student(lengths, angles)
    shaped(joints, (4, 2), "the finger")
    equal(
        (joints[1:] - joints[:-1]).norm(dim=1),
        lengths,
        "bending changes the length of a bone",
        "a bone is its length times (cos, sin) of one angle",
    )
    equal(
        joints,
        chain(angles.cumsum(0)),
        "the bent finger is wrong",
        "the direction of a bone is the sum of all angles before and at its own joint",
        mistakes={
            "each angle is measured from the bone before it: directions accumulate": chain(angles),
            "positive angles bend towards +y": chain(-angles.cumsum(0)),
            "the angles are in radians already": chain(torch.deg2rad(angles).cumsum(0)),
            "the first angle turns the first bone as well": chain(
                torch.cat((zero[:1], angles[:2])).cumsum(0)
            ),
        },
    )


@exercise("to_msra", chapter="the_hand")
def to_msra(student: Student, generator: torch.Generator) -> None:
    """to_msra(joints (B, 21, 3) in HANDS2017's order) -> the same joints in MSRA's order."""
    source, target = skeletons.get("hands17_21"), skeletons.get("msra21")
    order = [source.index(name) for name in target.joints]
    inverse = [target.index(name) for name in source.joints]
    joints = uniform(generator, (5, 21, 3), -100, 100)
    result = student(joints)
    shaped(result, (5, 21, 3), "the result", "permute the joint axis, which is the second one")
    thumb_first = [
        0,
        *(
            source.index(f"{finger} {part}")
            for finger in ("thumb", "index", "middle", "ring", "little")
            for part in ("mcp", "pip", "dip", "tip")
        ),
    ]
    holds(
        torch.equal(result.double().sort(dim=1).values, joints.sort(dim=1).values),
        "some joints are missing or appear twice",
        "every one of the 21 joints appears exactly once",
    )
    equal(
        result,
        joints[:, order],
        "a joint is at the place of another joint",
        "look the names up: index(name)",
        mistakes={
            "that is the inverse permutation: entry j must be the number of MSRA's joint j"
            " in HANDS2017": joints[:, inverse],
            "in MSRA the thumb comes last": joints[:, thumb_first],
            "the order has not changed: MSRA's joints are sorted by finger": joints,
        },
    )
