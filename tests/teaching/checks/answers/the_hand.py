"""Answers to the exercises of the chapter on the hand."""

import math

import torch

from handpose_lib import skeleton


def bone_lengths_vectorised(joints, parents):
    child = [j for j, parent in enumerate(parents) if parent >= 0]
    return (joints[:, child] - joints[:, [parents[j] for j in child]]).norm(dim=-1)


def bone_lengths_looped(joints, parents):
    rows = []
    for frame in joints:
        rows.append(
            [
                math.dist(frame[j].tolist(), frame[p].tolist())
                for j, p in enumerate(parents)
                if p != -1
            ]
        )
    return torch.tensor(rows)


def bend_finger_vectorised(lengths, angles):
    direction = angles.cumsum(0)
    steps = lengths[:, None] * torch.stack((direction.cos(), direction.sin()), 1)
    return torch.cat((torch.zeros(1, 2), steps.cumsum(0)))


def bend_finger_looped(lengths, angles):
    joints, direction = [(0.0, 0.0)], 0.0
    for length, angle in zip(lengths.tolist(), angles.tolist()):
        direction += angle
        x, y = joints[-1]
        joints.append((x + length * math.cos(direction), y + length * math.sin(direction)))
    return torch.tensor(joints)


MSRA, HANDS17 = skeleton.get("msra21"), skeleton.get("hands17_21")


def to_msra_vectorised(joints):
    return joints[:, [HANDS17.index(name) for name in MSRA.joints]]


def to_msra_looped(joints):
    result = torch.empty_like(joints)
    for place, name in enumerate(HANDS17.joints):
        result[:, MSRA.index(name)] = joints[:, place]
    return result


def bones_with(measure):
    def function(joints, parents):
        child = [j for j, parent in enumerate(parents) if parent >= 0]
        return measure(joints[:, child] - joints[:, [parents[j] for j in child]])

    return function


def finger_with(directions):
    def function(lengths, angles):
        turned = directions(angles)
        steps = lengths[:, None] * torch.stack((turned.cos(), turned.sin()), 1)
        return torch.cat((torch.zeros(1, 2), steps.cumsum(0)))

    return function


def shrinking_finger(lengths, angles):
    turned = angles.cumsum(0)
    steps = lengths[:, None] * torch.stack((turned.cos(), turned.cos() * turned.sin()), 1)
    return torch.cat((torch.zeros(1, 2), steps.cumsum(0)))


RIGHT = [
    ("bone_lengths", bone_lengths_vectorised),
    ("bone_lengths", bone_lengths_looped),
    ("bend_finger", bend_finger_vectorised),
    ("bend_finger", bend_finger_looped),
    ("to_msra", to_msra_vectorised),
    ("to_msra", to_msra_looped),
]


WRONG = [
    ("bone_lengths", bones_with(lambda bones: bones.square().sum(-1)), "squared"),
    ("bone_lengths", bones_with(lambda bones: bones.abs().sum(-1)), "sum of squares"),
    ("bone_lengths", bones_with(lambda bones: bones[..., :2].norm(dim=-1)), "include z"),
    (
        "bone_lengths",
        lambda joints, parents: (joints[:, 1:] - joints[:, :-1]).norm(dim=-1),
        "joint before it",
    ),
    (
        "bone_lengths",
        lambda joints, parents: (joints[:, 1:] - joints[:, :1]).norm(dim=-1),
        "not to the root",
    ),
    (
        "bone_lengths",
        lambda joints, parents: (joints - joints[:, list(parents)]).norm(dim=-1),
        "root has no bone",
    ),
    ("bend_finger", finger_with(lambda angles: angles), "directions accumulate"),
    ("bend_finger", finger_with(lambda angles: -angles.cumsum(0)), "towards +y"),
    ("bend_finger", finger_with(lambda angles: torch.deg2rad(angles.cumsum(0))), "radians already"),
    (
        "bend_finger",
        finger_with(lambda angles: torch.cat((torch.zeros(1), angles[:2])).cumsum(0)),
        "first bone as well",
    ),
    ("bend_finger", shrinking_finger, "(cos, sin)"),
    (
        "bend_finger",
        lambda lengths, angles: torch.stack((lengths.cumsum(0), lengths * 0), 1),
        "knuckle first",
    ),
    ("to_msra", lambda joints: joints, "the order has not changed"),
    ("to_msra", lambda joints: joints[:, [MSRA.index(name) for name in HANDS17.joints]], "inverse"),
    ("to_msra", lambda joints: joints[:, [0] * 21], "exactly once"),
    (
        "to_msra",
        lambda joints: to_msra_vectorised(joints)[:, [0, *range(17, 21), *range(1, 17)]],
        "thumb comes last",
    ),
    ("to_msra", lambda joints: to_msra_vectorised(joints)[:, :16], "joint axis"),
]
