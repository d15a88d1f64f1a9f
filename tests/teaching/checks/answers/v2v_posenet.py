"""Answers to the exercises of the chapter on V2V-PoseNet."""

import torch
import torch.nn.functional as F

from handpose_lib import skeleton
from handpose_lib.evaluation.viewpoint import PALMS, yaw_pitch
from handpose_lib.papers.v2v_posenet import from_output_voxels


def authors_decode(m, centre, cube, size, by=lambda m, size: (2 * m + 0.5) / size):
    return centre + cube * (by(m, size) - 0.5)


def librarys_decode(m, centre, cube, size):
    return centre + cube / 2 * from_output_voxels(m.double(), size, "authors")


def two_losses(found, target):
    square = (found - target) ** 2
    return square.sum((1, 2, 3, 4)).mean(), square.mean()


def losses_by_torch(found, target):
    return F.mse_loss(found, target, reduction="sum") / len(found), F.mse_loss(found, target)


def frames_per_second(prepare_ms, forward_ms, read_out_ms, networks):
    return 1000 / (prepare_ms + networks * (forward_ms + read_out_ms))


def rate_by_seconds(prepare_ms, forward_ms, read_out_ms, networks):
    seconds = prepare_ms / 1000
    for _ in range(networks):
        seconds += (forward_ms + read_out_ms) / 1000
    return torch.tensor(seconds, dtype=torch.float64).reciprocal()


def palm_pitch(wrist, knuckle):
    way = wrist - knuckle
    return torch.asin(way[:, 2] / way.norm(dim=1))


def pitch_by_atan2(wrist, knuckle):
    x, y, z = (wrist - knuckle).unbind(-1)
    return torch.atan2(z, torch.hypot(x, y))


def librarys_pitch(wrist, knuckle):
    """Of hands whose knuckles lie on a line, at a right angle to the way to the wrist."""
    hand, y = skeleton.get("msra21"), F.normalize(wrist - knuckle, dim=-1)
    across = torch.linalg.cross(y, torch.tensor([0.3, 0.5, 0.7], dtype=y.dtype).expand_as(y))
    joints = wrist[:, None].repeat(1, len(hand), 1)
    for name, step in zip(PALMS["msra21"][1:], (3, 1, -1, -3)):
        joints[:, hand.index(name)] = knuckle + step * across
    return yaw_pitch(joints, hand)[:, 1]


RIGHT = [
    ("authors_decode", authors_decode),
    ("authors_decode", librarys_decode),
    ("two_losses", two_losses),
    ("two_losses", losses_by_torch),
    ("frames_per_second", frames_per_second),
    ("frames_per_second", rate_by_seconds),
    ("palm_pitch", palm_pitch),
    ("palm_pitch", pitch_by_atan2),
    ("palm_pitch", librarys_pitch),
]

WRONG = [
    (
        "authors_decode",
        lambda *a: authors_decode(*a, by=lambda m, size: (2 * m + 1) / size),
        "port",
    ),
    ("authors_decode", lambda *a: authors_decode(*a, by=lambda m, size: 2 * m / size), "corner"),
    (
        "authors_decode",
        lambda *a: authors_decode(*a, by=lambda m, size: (m + 0.5) / size),
        "input voxel 2m is meant",
    ),
    (
        "authors_decode",
        lambda m, c, cube, size: authors_decode(m, 0 * c, cube, size),
        "add the centre",
    ),
    (
        "authors_decode",
        lambda m, c, cube, size: authors_decode(m, c, 2 * cube, size),
        "half its side",
    ),
    ("two_losses", lambda f, t: two_losses(f, t)[::-1], "order"),
    ("two_losses", lambda f, t: two_losses(f, t)[0], "two numbers"),
    (
        "two_losses",
        lambda f, t: (F.mse_loss(f, t, reduction="sum"), F.mse_loss(f, t)),
        "average over the frames",
    ),
    (
        "two_losses",
        lambda f, t: ((f - t).square().sum((2, 3, 4)).mean(), F.mse_loss(f, t)),
        "joints as well",
    ),
    (
        "two_losses",
        lambda f, t: (two_losses(f, t)[0], (f - t).square().mean((2, 3, 4)).sum()),
        "as well as voxels",
    ),
    (
        "two_losses",
        lambda f, t: ((f - t).abs().sum() / len(f), (f - t).abs().mean()),
        "square the differences",
    ),
    ("two_losses", lambda f, t: tuple(value.sqrt() for value in two_losses(f, t)), "no root"),
    ("frames_per_second", lambda p, f, r, n: 1000 / (n * (p + f + r)), "prepare them once"),
    ("frames_per_second", lambda p, f, r, n: 1000 / (p + n * f + r), "must be decoded"),
    ("frames_per_second", lambda p, f, r, n: 1000 / (p + f + r), "one network"),
    ("frames_per_second", lambda p, f, r, n: 1 / (p + n * (f + r)), "milliseconds"),
    ("frames_per_second", lambda p, f, r, n: (p + n * (f + r)) / 1000, "inverse"),
    ("palm_pitch", lambda w, k: -palm_pitch(w, k), "smaller z"),
    ("palm_pitch", lambda w, k: palm_pitch(w, k).rad2deg(), "radians"),
    ("palm_pitch", lambda w, k: palm_pitch(w, k).sin(), "the sine of it"),
    ("palm_pitch", lambda w, k: torch.pi / 2 - palm_pitch(w, k), "camera's axis"),
    ("palm_pitch", lambda w, k: torch.atan2((w - k)[:, 2], (w - k)[:, 1]), "the picture is turned"),
    ("palm_pitch", lambda w, k: torch.atan(palm_pitch(w, k).sin()), "where the sine comes from"),
]
