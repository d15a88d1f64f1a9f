"""The checks of the chapter on real depth images: right answers pass, each typical mistake gets its
hint.
"""

import math

import pytest
import torch

from handpose_lib.teaching import checks
from handpose_lib.teaching.checks import real_depth_image


def focal_length(pixels, degrees):
    return pixels / 2 / math.tan(math.radians(degrees) / 2)


def below_surface(depth, u, v, z):
    seen = depth[v.round().long(), u.round().long()]
    return torch.where(seen > 0, z - seen, torch.nan)


def disagreement(views):
    return (views - views.mean(0)).norm(dim=-1).mean(0)


RIGHT = {"focal_length": focal_length, "below_surface": below_surface, "disagreement": disagreement}

WRONG = [
    ("focal_length", lambda p, d: p / 2 / math.tan(d / 2), "radians"),
    ("focal_length", lambda p, d: p / 2 / math.tan(math.radians(d)), "half of the angle"),
    ("focal_length", lambda p, d: 2 * focal_length(p, d), "halve the image"),
    ("focal_length", lambda p, d: p / 2 * math.tan(math.radians(d) / 2), "divide by it"),
    ("below_surface", lambda d, u, v, z: -below_surface(d, u, v, z), "must be positive"),
    (
        "below_surface",
        lambda d, u, v, z: below_surface(d, v, u.clamp(max=39), z),
        "rows come first",
    ),
    ("below_surface", lambda d, u, v, z: z - d[v.long(), u.long()], "nearest pixel"),
    ("below_surface", lambda d, u, v, z: z - d[v.round().long(), u.round().long()], "nan"),
    ("disagreement", lambda x: (x - x.mean(0)).mean(0).norm(dim=-1), "before the mean"),
    ("disagreement", lambda x: (x - x.mean(0)).square().sum(-1).mean(0), "not squared"),
    ("disagreement", lambda x: (x - x.mean(0)).norm(dim=-1).mean(1), "one number per joint"),
    ("disagreement", lambda x: (x - x.mean(0)).square().sum(-1).mean(0).sqrt(), "root mean square"),
    ("disagreement", lambda x: x.norm(dim=-1).mean(0), "mean distance of the views"),
]


def test_every_exercise_of_the_chapter_is_tested():
    assert checks.names("real_depth_image") == sorted(RIGHT)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_passes(name, seed):
    verdict = real_depth_image.check(name, RIGHT[name], seed=seed)
    assert verdict, str(verdict)


@pytest.mark.parametrize("name, function, hint", WRONG)
def test_a_mistake_gets_its_hint(name, function, hint):
    verdict = real_depth_image.check(name, function, seed=1)
    assert not verdict
    assert hint in str(verdict)
