"""The checks of the exercises: right answers pass, however they are written, and typical mistakes
meet the fitting hint.
"""

import math

import pytest
import torch

from handpose_lib import errors, skeleton
from handpose_lib.teaching import checks
from handpose_lib.teaching.checks import depth_cameras, rendering_depth, the_hand

SEEDS = range(12)


# -- right answers: looped and vectorised -------------------------------------------------------


def back_project_vectorised(depth, fx, fy, u0, v0):
    v = torch.arange(depth.shape[0], dtype=depth.dtype)[:, None]
    u = torch.arange(depth.shape[1], dtype=depth.dtype)
    return torch.stack(((u - u0) * depth / fx, (v - v0) * depth / fy, depth), -1)


def back_project_looped(depth, fx, fy, u0, v0):
    points = torch.zeros(*depth.shape, 3)  # float32 although the depth is float64: that is fine
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = float(depth[v, u])
            points[v, u] = torch.tensor([(u - u0) * z / fx, (v - v0) * z / fy, z])
    return points


def crop_camera_vectorised(camera, left, top, scale):
    shift = torch.tensor([left, top], dtype=camera.dtype)
    return torch.cat((camera[:2] * scale, (camera[2:] - shift + 0.5) * scale - 0.5))


def crop_camera_by_edges(camera, left, top, scale):
    """The principal point follows from where the two edges of one pixel land."""
    fx, fy, u0, v0 = camera.tolist()
    edge = (u0 - left) * scale + (scale - 1) / 2, (v0 - top) * scale + (scale - 1) / 2
    return torch.tensor([fx * scale, fy * scale, *edge])


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


def sphere_depth_vectorised(rays, centre, radius):
    a, b, c = (rays * rays).sum(1), rays @ centre, centre @ centre - radius**2
    inside = b * b - a * c
    t = (b - inside.clamp_min(0).sqrt()) / a
    return torch.where((inside > 0) & (t > 0), t, torch.zeros_like(t))


def sphere_depth_looped(rays, centre, radius):
    """From the foot of the perpendicular, half a chord back."""
    depth = []
    for ray in rays:
        unit = ray / ray.norm()
        foot = unit @ centre
        gap = float((centre - foot * unit).norm())
        reach = float(foot) - math.sqrt(max(radius**2 - gap**2, 0))
        depth.append(reach * float(unit[2]) if gap < radius and reach > 0 else 0.0)
    return torch.tensor(depth)


def nearest_vectorised(a, b):
    far = torch.full_like(a, math.inf)
    result = torch.minimum(torch.where(a > 0, a, far), torch.where(b > 0, b, far))
    return torch.where(result.isinf(), torch.zeros_like(a), result)


def nearest_looped(a, b):
    result = torch.zeros_like(a)
    for v in range(a.shape[0]):
        for u in range(a.shape[1]):
            seen = [float(depth[v, u]) for depth in (a, b) if depth[v, u] > 0]
            result[v, u] = min(seen) if seen else 0
    return result


def quantise_vectorised(depth, focal, baseline, step):
    disparity = torch.round(focal * baseline / depth.clamp_min(1) / step) * step
    return torch.where(
        depth > 0, focal * baseline / disparity.clamp_min(step), torch.zeros_like(depth)
    )


def quantise_looped(depth, focal, baseline, step):
    result = depth.clone()
    for place in (depth > 0).nonzero().tolist():
        steps = round(focal * baseline / float(depth[tuple(place)]) / step)
        result[tuple(place)] = focal * baseline / (steps * step)
    return result


RIGHT = [
    ("back_project", back_project_vectorised),
    ("back_project", back_project_looped),
    ("crop_camera", crop_camera_vectorised),
    ("crop_camera", crop_camera_by_edges),
    ("bone_lengths", bone_lengths_vectorised),
    ("bone_lengths", bone_lengths_looped),
    ("bend_finger", bend_finger_vectorised),
    ("bend_finger", bend_finger_looped),
    ("to_msra", to_msra_vectorised),
    ("to_msra", to_msra_looped),
    ("sphere_depth", sphere_depth_vectorised),
    ("sphere_depth", sphere_depth_looped),
    ("nearest", nearest_vectorised),
    ("nearest", nearest_looped),
    ("quantise_disparity", quantise_vectorised),
    ("quantise_disparity", quantise_looped),
]


@pytest.mark.parametrize(("name", "function"), RIGHT, ids=[f"{f.__name__}" for _, f in RIGHT])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_answer_passes(name, function, seed):
    verdict = checks.check(name, function, seed)
    assert verdict, verdict
    assert str(verdict) == f"✔ {name}: right, every law holds."


def test_every_exercise_of_these_chapters_has_two_right_answers():
    for chapter in ("depth_cameras", "the_hand", "rendering_depth"):
        for name in checks.names(chapter):
            assert len([function for known, function in RIGHT if known == name]) >= 2, name


# -- typical mistakes ---------------------------------------------------------------------------


def grid(depth):
    v, u = torch.meshgrid(*(torch.arange(n, dtype=depth.dtype) for n in depth.shape), indexing="ij")
    return u, v


def back_project_with(x, y):
    def function(depth, fx, fy, u0, v0):
        u, v = grid(depth)
        return torch.stack(
            (x(u, v, depth, fx, fy, u0, v0), y(u, v, depth, fx, fy, u0, v0), depth), -1
        )

    return function


def right_x(u, v, z, fx, fy, u0, v0):
    return (u - u0) * z / fx


def right_y(u, v, z, fx, fy, u0, v0):
    return (v - v0) * z / fy


def changes_input(depth, fx, fy, u0, v0):
    depth += 0.0001
    return back_project_vectorised(depth, fx, fy, u0, v0)


def along_the_ray(depth, fx, fy, u0, v0):
    points = back_project_vectorised(depth, fx, fy, u0, v0)
    return torch.where(
        depth[..., None] > 0,
        torch.nn.functional.normalize(points, dim=-1) * depth[..., None],
        points,
    )


def crop_with(half=0.5, sign=-1, late=False, focal=True):
    def function(camera, left, top, scale):
        shift = torch.tensor([left, top], dtype=camera.dtype) * sign
        point = camera[2:] * scale + shift if late else (camera[2:] + shift + half) * scale - half
        return torch.cat((camera[:2] * (scale if focal else 1), point))

    return function


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


def sphere_with(root=-1, normalise=True, miss=True, clamp=True, ahead=True, length=False):
    def function(rays, centre, radius):
        a = rays.square().sum(1) if normalise else torch.ones(len(rays), dtype=rays.dtype)
        b, c = rays @ centre, centre.square().sum() - radius**2
        inside = b.square() - a * c
        t = (b + root * (inside.clamp_min(0) if clamp else inside).sqrt()) / a
        seen = (inside > 0) if miss else torch.ones_like(inside, dtype=torch.bool)
        seen = seen & (t > 0) if ahead else seen
        t = t * a.sqrt() if length else t
        return torch.where(seen, t, torch.zeros_like(t)) if clamp else t

    return function


def quantise_with(rounding, multiply=True):
    def function(depth, focal, baseline, step):
        disparity = rounding(focal * baseline / depth.clamp_min(1) / step) * (
            step if multiply else 1
        )
        return torch.where(
            depth > 0, focal * baseline / disparity.clamp_min(step), torch.zeros_like(depth)
        )

    return function


WRONG = [
    ("back_project", lambda *given: None, "return"),
    ("back_project", changes_input, "in place"),
    ("back_project", lambda depth, fx, fy, u0, v0: depth, "new last axis"),
    ("back_project", lambda depth: depth, "called with"),
    (
        "back_project",
        back_project_with(lambda u, v, *r: right_x(v, u, *r), lambda u, v, *r: right_y(v, u, *r)),
        "u counts columns",
    ),
    (
        "back_project",
        back_project_with(
            lambda u, v, z, fx, fy, u0, v0: u * z / fx, lambda u, v, z, fx, fy, u0, v0: v * z / fy
        ),
        "subtract the principal point",
    ),
    (
        "back_project",
        back_project_with(
            lambda u, v, *r: right_x(u + 1, v, *r), lambda u, v, *r: right_y(u, v + 1, *r)
        ),
        "from zero",
    ),
    (
        "back_project",
        back_project_with(
            lambda u, v, *r: right_x(u + 0.5, v, *r), lambda u, v, *r: right_y(u, v + 0.5, *r)
        ),
        "(0, 0)",
    ),
    ("back_project", back_project_with(right_x, lambda *g: -right_y(*g)), "y points down"),
    (
        "back_project",
        back_project_with(right_x, lambda u, v, z, fx, fy, u0, v0: (v - v0) * z / fx),
        "by fy",
    ),
    (
        "back_project",
        back_project_with(
            lambda u, v, z, fx, fy, u0, v0: (u - u0) / fx,
            lambda u, v, z, fx, fy, u0, v0: (v - v0) / fy,
        ),
        "multiply by z",
    ),
    ("back_project", along_the_ray, "optical axis"),
    (
        "back_project",
        lambda depth, *given: (
            back_project_vectorised(depth, *given)
            + (depth == 0)[..., None] * torch.tensor([1.0, 0, 0])
        ),
        "nothing is added",
    ),
    ("crop_camera", crop_with(sign=1), "subtract"),
    ("crop_camera", crop_with(half=0.0), "half a pixel"),
    ("crop_camera", crop_with(late=True), "cut first"),
    ("crop_camera", crop_with(focal=False), "focal lengths are in pixels"),
    (
        "crop_camera",
        lambda camera, left, top, scale: torch.cat(
            (camera[:2] * scale, camera[2:] - torch.tensor([left, top]))
        ),
        "principal point scales",
    ),
    (
        "crop_camera",
        lambda camera, left, top, scale: crop_with()(camera, top, left, scale),
        "left goes with u",
    ),
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
    ("to_msra", lambda joints: joints, "nothing has changed"),
    ("to_msra", lambda joints: joints[:, [MSRA.index(name) for name in HANDS17.joints]], "inverse"),
    ("to_msra", lambda joints: joints[:, [0] * 21], "exactly once"),
    (
        "to_msra",
        lambda joints: to_msra_vectorised(joints)[:, [0, *range(17, 21), *range(1, 17)]],
        "thumb comes last",
    ),
    ("to_msra", lambda joints: to_msra_vectorised(joints)[:, :16], "joint axis"),
    ("sphere_depth", sphere_with(root=1), "back of the sphere"),
    ("sphere_depth", sphere_with(normalise=False), "length 1"),
    ("sphere_depth", sphere_with(length=True), "its z"),
    ("sphere_depth", sphere_with(miss=False), "must give 0"),
    ("sphere_depth", sphere_with(clamp=False), "clamp it"),
    ("sphere_depth", sphere_with(ahead=False), "behind the camera"),
    ("nearest", torch.minimum, "not measured, not very near"),
    ("nearest", torch.maximum, "minimum, not maximum"),
    ("nearest", lambda a, b: torch.where(b > 0, b, a), "only where it is nearer"),
    ("nearest", lambda a, b: torch.where(a > 0, a, b), "only where it is nearer"),
    (
        "nearest",
        lambda a, b: torch.minimum(
            a.where(a > 0, a * 0 + math.inf), b.where(b > 0, b * 0 + math.inf)
        ),
        "back into 0",
    ),
    ("quantise_disparity", quantise_with(torch.floor), "not down"),
    ("quantise_disparity", quantise_with(torch.ceil), "not up"),
    ("quantise_disparity", quantise_with(torch.round, multiply=False), "multiply by step"),
    (
        "quantise_disparity",
        lambda depth, focal, baseline, step: (depth / step).round() * step,
        "not the depth",
    ),
    ("quantise_disparity", lambda depth, *given: depth.clone(), "nothing was rounded"),
    (
        "quantise_disparity",
        lambda depth, focal, baseline, step: (
            focal * baseline / ((focal * baseline / depth.clamp_min(1) / step).round() * step)
        ),
        "apart",
    ),
]


@pytest.mark.parametrize(
    ("name", "function", "hint"), WRONG, ids=[f"{name}-{hint}" for name, _, hint in WRONG]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_typical_mistake_meets_its_hint(name, function, hint, seed):
    verdict = checks.check(name, function, seed)
    assert not verdict
    assert hint in verdict.hint, str(verdict)
    assert "\n" not in str(verdict)


# -- the framework ------------------------------------------------------------------------------


def test_inputs_are_fresh_each_time_and_repeat_with_a_seed():
    seen = []

    def spy(depth, *given):
        seen.append(depth.clone())
        return depth

    verdict = checks.check("back_project", spy)
    checks.check("back_project", spy)
    checks.check("back_project", spy, verdict.seed)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_checking_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    checks.check("bone_lengths", bone_lengths_vectorised)
    assert torch.equal(before, torch.get_rng_state())


def test_an_exception_of_the_reader_becomes_a_verdict_in_one_line():
    def broken(depth, *given):
        raise RuntimeError("first line\nsecond line")

    verdict = checks.check("back_project", broken)
    assert "RuntimeError: first line" in verdict.law and "second" not in str(verdict)
    assert "(7, 11)" in verdict.hint


def test_require_passes_the_right_and_raises_on_the_wrong():
    assert checks.require("nearest", nearest_vectorised)
    with pytest.raises(AssertionError, match=r"not very near.*seed \d+"):
        checks.require("nearest", torch.minimum)


def test_the_text_on_the_page_is_the_line_itself():
    assert repr(checks.check("nearest", nearest_looped)) == "✔ nearest: right, every law holds."


def test_an_unknown_exercise_names_the_known_ones():
    with pytest.raises(errors.HandPoseError, match="unknown exercise 'back_projekt'.*back_project"):
        checks.check("back_projekt", back_project_vectorised)


def test_a_name_is_taken_once():
    with pytest.raises(
        errors.HandPoseError, match="already taken by the chapter 'rendering_depth'"
    ):
        checks.exercise("nearest", chapter="elsewhere")(lambda student, generator: None)


@pytest.mark.parametrize("thing", [3, None, torch.zeros(2)])
def test_handing_in_something_that_is_no_function(thing):
    assert "not a function" in checks.check("nearest", thing).law


@pytest.mark.parametrize("module", [depth_cameras, the_hand, rendering_depth])
def test_a_chapter_s_module_hands_the_two_calls_on(module):
    assert module.check is checks.check and module.require is checks.require
