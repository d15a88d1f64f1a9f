"""Answers to the exercises of the chapter on cropping."""

import math

import torch


def half_extent(fx, fy, cube, z):
    return torch.tensor([fx, fy], dtype=torch.float64) * cube / 2 / z


def normalise_depth(depth, centre, cube):
    z = ((depth - centre) / (cube / 2)).clamp(-1, 1)
    return torch.where(depth == 0, torch.ones_like(z), z)


def turned(q, angle):
    x, y = q.unbind(-1)
    return torch.stack(
        (math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y), -1
    )


def view_point(uv, centre, half, rotation):
    return turned((uv - centre) / half, rotation)


def background_left_in_front(depth, centre, cube):
    return ((depth - centre) / (cube / 2)).clamp(-1, 1)


def not_clamped(depth, centre, cube):
    z = (depth - centre) / (cube / 2)
    return torch.where(depth == 0, torch.ones_like(z), z)


RIGHT = [
    ("half_extent", half_extent),
    ("normalise_depth", normalise_depth),
    ("view_point", view_point),
]

WRONG = [
    ("half_extent", lambda *a: 2 * half_extent(*a), "whole side"),
    ("half_extent", lambda fx, fy, c, z: half_extent(fx, fy, c, 1 / z), "divide by the depth"),
    ("half_extent", lambda fx, fy, c, z: half_extent(fy, fx, c, z), "fx belongs to u"),
    ("half_extent", lambda fx, fy, c, z: fx * c / 2 / z, "not a tensor"),
    ("normalise_depth", lambda d, z, c: normalise_depth(d, z, 2 * c), "divide by cube / 2"),
    ("normalise_depth", lambda d, z, c: -normalise_depth(d, z, c), "near must be negative"),
    ("normalise_depth", lambda d, z, c: d / (c / 2), "subtract the depth of the centre"),
    ("normalise_depth", background_left_in_front, "deal with it before clamping"),
    ("normalise_depth", not_clamped, "clamp the result"),
    ("view_point", lambda uv, c, h, a: uv / h - c, "subtract the centre before dividing"),
    ("view_point", lambda uv, c, h, a: view_point(uv, c, h, -a), "the other way round"),
    ("view_point", lambda uv, c, h, a: turned(uv - c, a) / h, "divide by half first"),
    ("view_point", lambda uv, c, h, a: (turned(uv, a) - c) / h, "about the centre of the cube"),
]
