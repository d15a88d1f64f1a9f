"""The wider world: what each factor promises, and that windows show what whole images show."""

import dataclasses
from typing import Any

import pytest
import torch

from handpose_lib import prepare, synth
from handpose_lib.camera import Camera, depth_to_points, xyz_to_uvd
from handpose_lib.errors import HandPoseError
from handpose_lib.synth import FIELD, SETUPS, WIDE, Distribution, crops, frames, hashing
from handpose_lib.synth.hands import hand as hands
from handpose_lib.synth.scene import depth_camera as film
from handpose_lib.synth.scene import raster, raycast, surroundings
from handpose_lib.synth.scene.raycast import Solids

OFF: dict[str, Any] = dict(
    **dict.fromkeys(("wall", "person", "table", "held", "near", "beside", "tabletop"), 0.0),
    **dict.fromkeys(("box", "second", "border", "sleeve", "dark", "shadow", "rim", "ragged"), 0.0),
    **dict.fromkeys(("flying", "glancing", "dropouts", "grain", "steps", "smoothing"), 0.0),
    **dict.fromkeys(("filling", "strays"), 0.0),
    touching=0.0,
    offset=0.0,
)
ALONE = dataclasses.replace(FIELD, **OFF)
"""Hands of all sizes at all distances, nothing around them, an ideal camera."""
TABLE = dataclasses.replace(ALONE, tabletop=1.0, table_edge=0.0, forearm=0.0)
CAMERA = SETUPS["msra"].camera


def alone(**factors):
    return dataclasses.replace(ALONE, **factors)


def skin(rendered):
    """The spheres of hands without their forearms."""
    return rendered.posed.spheres[:, : hands.SPHERES.index("forearm radial")]


# --- Purity -------------------------------------------------------------------

SCENE = ("tabletop", "box", "second", "sleeve", "wall", "person", "held", "near", "beside")
SENSOR = ("shadow", "rim", "ragged", "flying", "glancing", "smoothing", "filling")
AMOUNTS = {"dropouts": 0.3, "grain": 5.0, "steps": 10.0}


def test_a_frame_and_its_window_have_the_same_bits_alone_and_in_any_batch():
    everything = dataclasses.replace(FIELD, **dict.fromkeys((*SCENE, *SENSOR, "dark"), 0.6))
    indices = [4711, 3, 10**9, 17, 8, 9]
    whole = frames(indices, seed=2, distribution=everything)
    windows = crops(indices, seed=2, distribution=everything, size=64)
    reused = crops(indices, seed=2, distribution=everything, size=64, reuse=4)
    for row, index in enumerate(indices):
        one = frames([index], seed=2, distribution=everything)
        assert torch.equal(one.depth[0], whole.depth[row])
        assert torch.equal(one.centre[0], whole.centre[row])
        for together, reuse in ((windows, 1), (reused, 4)):
            part = crops([index], seed=2, distribution=everything, size=64, reuse=reuse)
            assert torch.equal(part.depth[0], together.depth[row])
            assert torch.equal(part.centre[0], together.centre[row])


@pytest.mark.parametrize("factor", [*SCENE, *SENSOR, "dark", *AMOUNTS, "border", "strays"])
def test_a_factor_changes_nothing_where_it_does_not_happen(factor):
    """At a third of its strength, the frames without it are those of strength 0; labels and hands
    are the same with it, unless it moves them.
    """
    everything = dataclasses.replace(
        ALONE, tabletop=0.5, person=0.7, sleeve=0.7, grain=2.0, offset=0.5
    )
    amount = AMOUNTS.get(factor, 0.34)
    off, on = (
        frames(range(16), 1, distribution=dataclasses.replace(everything, **{factor: strength}))
        for strength in (0.0, amount)
    )
    same = (off.depth == on.depth).flatten(1).all(1)
    if factor not in AMOUNTS:
        assert same.any() or factor == "strays"
    if factor == "strays":
        assert same.all() and not torch.equal(off.centre, on.centre)
    else:
        assert not same.all()
    if factor != "border":
        assert torch.equal(off.joints, on.joints)
        assert torch.equal(off.posed.spheres, on.posed.spheres)
    else:
        assert torch.equal(off.joints[same], on.joints[same])


def test_the_factors_of_the_field_are_off_in_the_other_distributions():
    """Their frames are those of a distribution that sets every new factor to "off" by hand."""
    for name, distribution in synth.DISTRIBUTIONS.items():
        if name != "field":
            assert not distribution.filmed
            for factor in ("tabletop", "box", "second", "border", "sleeve", "strays"):
                assert getattr(distribution, factor) == 0
            assert distribution.hand_size == distribution.hand_thickness == (1.0, 1.0)


# --- Tables -------------------------------------------------------------------


def test_a_hand_that_lies_is_within_the_gap_of_its_table():
    lies = dataclasses.replace(TABLE, touching=1.0)
    rendered = frames(range(24), 3, distribution=lies)
    hand, points = rendered.hand_depth, depth_to_points(rendered.depth, rendered.camera)
    checked = 0
    for row in range(24):
        table = points[row][(rendered.depth[row] > 0) & (hand[row] == 0)]
        middle = rendered.joints[row].mean(0)
        if len(table) < 1000:
            continue
        # The plane through the points that are not the hand's.
        centre = table.double().mean(0)
        _, spread, axes = torch.linalg.svd(table.double() - centre, full_matrices=False)
        normal = axes[2]
        assert spread[2] < 1e-3 * spread[1], "not one plane"
        normal = normal * torch.sign((normal * (middle.double() - centre)).sum())
        spheres = skin(rendered)[row].double()
        gap = ((spheres[:, :3] - centre) * normal).sum(1) - spheres[:, 3]
        if gap.min() > lies.touch_gap[1] + 0.1:
            continue  # a plane that the camera would see edge-on is replaced by another table
        assert gap.min() > lies.touch_gap[0] - 0.1
        checked += 1
    assert checked >= 12


def test_lying_means_flat():
    """The table is at right angles to the direction in which the hand is thinnest."""
    rendered = frames(range(16), 3, distribution=dataclasses.replace(TABLE, touching=1.0))
    gap = torch.linspace(-4, 12, 16)
    planes, seen = surroundings.lying(skin(rendered), gap)
    lowest = (skin(rendered)[..., :3] * planes[:, None, :3]).sum(-1) - skin(rendered)[..., 3]
    distance = lowest.amin(1) - planes[:, 3]
    torch.testing.assert_close(distance[seen], gap[seen], atol=0.01, rtol=0)
    assert (planes[seen, 3] <= -40).all(), "the camera is above the table"
    around = skin(rendered)[..., :3] - skin(rendered)[..., :3].mean(1, keepdim=True)
    thickness = (around * planes[:, None, :3]).sum(-1).square().mean(1)
    ways = torch.nn.functional.normalize(torch.randn(64, 3), dim=1)
    others = (around @ ways.T).square().mean(1)
    assert (thickness[:, None] <= others + 1e-2).all()


def test_a_table_never_hides_the_hand_but_where_it_is_pressed_in():
    rendered = frames(range(24), 3, distribution=dataclasses.replace(TABLE, table_gap=(0, 80)))
    bare = frames(range(24), 3, distribution=dataclasses.replace(TABLE, tabletop=0.0))
    hand = bare.depth > 0
    # A thousandth of the distance for the rounding of float32 planes seen at a slant.
    assert ((rendered.depth - bare.depth)[hand].abs() <= 1e-3 * bare.depth[hand]).all()
    behind = ~hand & (rendered.depth > 0)
    assert behind.flatten(1).any(1).float().mean() > 0.8


def test_the_table_is_seen_from_every_tilt():
    spheres = torch.tensor([0.0, 0.0, 600.0, 80.0]).expand(4000, 1, 4)
    u = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0))
    planes = surroundings.tabletop(spheres, u)
    tilt = torch.rad2deg(torch.acos(-planes[:, 2]))
    assert tilt.max() <= 85.001
    # All directions alike: cos(tilt) is uniform between that of 85 degrees and 1.
    for degrees in (30.0, 60.0):
        share = (1 - torch.cos(torch.deg2rad(torch.tensor(degrees)))) / (1 - 0.0871557)
        assert abs((tilt < degrees).float().mean() - share) < 3 * (0.25 / 4000) ** 0.5
    up = torch.rad2deg(torch.atan2(planes[:, 1], planes[:, 0]))
    assert torch.histc(up, 4, -180, 180).min() > 900


def test_a_table_ends_at_straight_edges():
    plane = torch.tensor([[0.0, 0.0, -1.0, -500.0]])
    grid = raster.whole(CAMERA, 1, plane, (0, 0))
    depth = surroundings.plane_depth(plane, grid)
    u = torch.tensor([[0.0, 0.2, 0.1, 0.3, 0.05]])
    cut = surroundings.ending(depth, plane, grid, torch.tensor([[20.0, -10.0, 450.0]]), u)
    points = depth_to_points(cut[0], CAMERA)[cut[0] > 0]
    sides = sorted(
        float(x) for x in (*points[:, :2].amax(0), *points[:, :2].neg().amax(0)) if x < 1e3
    )
    assert ((cut == depth) | (cut == 0)).all()
    # Distances 60 + 1400 u^2 from (20, -10), on some axis each; a pixel is 500 / 241 mm wide.
    low, high = points[:, :2].amin(0), points[:, :2].amax(0)
    foot = torch.tensor([20.0, -10.0])
    found = torch.cat([foot - low, high - foot]).sort().values
    wanted = (60 + 1400 * u[0, 1:].square()).sort().values
    assert len(sides) == 4
    torch.testing.assert_close(found[:2], wanted[:2], atol=500 / 241, rtol=0)


# --- Objects, clothes, other hands --------------------------------------------


@pytest.mark.parametrize("factor", SCENE)
def test_joints_are_the_true_ones_whatever_is_around(factor):
    bare = frames(range(8), 5, distribution=alone(forearm=1.0))
    shown = frames(range(8), 5, distribution=alone(forearm=1.0, **{factor: 1.0}))
    assert torch.equal(bare.joints, shown.joints)
    # What is around hides the hand or fills the background, and changes nothing else.
    changed = shown.depth != bare.depth
    assert ((bare.depth == 0) | (shown.depth < bare.depth))[changed].all()
    assert changed.flatten(1).any(1).float().mean() > 0.6


def test_the_other_hand_is_as_far_as_its_gap():
    far = frames(range(12), 5, distribution=alone(second=1.0, second_gap=(60.0, 60.0)))
    bare = frames(range(12), 5, distribution=alone())
    for row in range(12):
        other = depth_to_points(far.depth[row], CAMERA)[far.depth[row] != bare.depth[row]]
        spheres = skin(far)[row]
        apart = (torch.cdist(other, spheres[:, :3]) - spheres[:, 3]).min() if len(other) else 1e3
        # Both lie on different sides of a slab of 60 mm; only its forearm, which starts behind
        # its hand, is not bound by it.
        assert apart > 59


def test_a_box_stands_on_the_table_and_does_not_touch_the_hand():
    rendered = frames(range(6), 5, distribution=alone())
    spheres, u = skin(rendered), torch.rand(6, 5, generator=torch.Generator().manual_seed(1))
    normal = torch.nn.functional.normalize(torch.tensor([[0.3, -0.7, -0.4]]), dim=1).expand(6, 3)
    faces = surroundings.box(spheres, normal, u)
    corners = faces.flatten(1, 2)
    lowest = ((spheres[..., :3] * normal[:, None]).sum(-1) - spheres[..., 3]).amin(1)
    foot = (corners * normal[:, None]).sum(-1).amin(1)
    torch.testing.assert_close(foot, lowest, atol=0.05, rtol=0)
    # Closed and convex: all corners lie on one side of each face.
    for face in faces.unbind(1):
        out = torch.linalg.cross(face[:, 1] - face[:, 0], face[:, 2] - face[:, 0])
        height = ((corners - face[:, None, 0]) * out[:, None]).sum(-1)
        height = height / out.norm(dim=1, keepdim=True)
        assert ((height.amax(1) < 0.05) | (height.amin(1) > -0.05)).all()
    assert len(corners[0].round(decimals=2).unique(dim=0)) == 8
    image = raycast.depth(Solids(torch.zeros(6, 0, 8), faces), CAMERA)
    assert (image > 0).any()


def test_a_sleeve_is_thicker_than_its_forearm_and_leaves_the_hand_alone():
    bare = frames(range(12), 5, distribution=alone(forearm=1.0, forearm_length=(150, 300)))
    worn = frames(
        range(12), 5, distribution=alone(forearm=1.0, forearm_length=(150, 300), sleeve=1.0)
    )
    changed = worn.depth != bare.depth
    assert changed.flatten(1).any(1).float().mean() > 0.8
    assert (worn.depth[changed & (bare.depth > 0)] < bare.depth[changed & (bare.depth > 0)]).all()
    without = alone(forearm=0.0)
    same = frames(range(4), 5, distribution=dataclasses.replace(without, sleeve=1.0))
    assert torch.equal(same.depth, frames(range(4), 5, distribution=without).depth)


def test_dark_clothes_lose_depth_and_nothing_else_does():
    dressed = alone(forearm=1.0, forearm_length=(150, 300), sleeve=1.0, person=1.0)
    lit, unlit = (
        frames(range(12), 5, distribution=dataclasses.replace(dressed, dark=share))
        for share in (0.0, 1.0)
    )
    bare = frames(range(12), 5, distribution=alone(forearm=1.0, forearm_length=(150, 300)))
    gone = (unlit.depth == 0) & (lit.depth > 0)
    assert torch.equal(unlit.depth[~gone], lit.depth[~gone])
    cloth = lit.depth != bare.depth
    assert (gone <= cloth).all(), "skin is not lost"
    assert gone[cloth].float().mean() > 0.7


def test_sizes_scale_the_hand():
    plain = frames(range(8), 5, distribution=alone(hand_size=(1, 1), hand_thickness=(1, 1)))
    small = frames(range(8), 5, distribution=alone(hand_size=(0.7, 0.7), hand_thickness=(1, 1)))
    thick = frames(range(8), 5, distribution=alone(hand_size=(1, 1), hand_thickness=(1.2, 1.2)))
    one, other = (
        (r.joints[:, 6:9] - r.joints[:, 5:8]).norm(dim=2) for r in (plain, small)
    )  # the bones of the middle finger
    torch.testing.assert_close(other, 0.7 * one, atol=1e-3, rtol=1e-4)
    fingers = slice(len(hands.PALM), len(hands.PALM) + 15)
    radii = (r.posed.spheres[:, fingers, 3] for r in (plain, thick))
    first, second = radii
    torch.testing.assert_close(second, 1.2 * first)


# --- Borders and reference points ---------------------------------------------


def test_the_border_is_as_near_as_it_says():
    near = alone(border=1.0, border_distance=(40.0, 40.0), offset=0.6)
    rendered = frames(range(24), 5, distribution=near)
    middle = rendered.joints.mean(1)
    uv = xyz_to_uvd(middle, CAMERA)[:, :2]
    size = torch.tensor([CAMERA.width, CAMERA.height])
    to_border = torch.cat([uv + 0.5, size - 0.5 - uv], 1) * (middle[:, 2:] / CAMERA.fx)
    # One of the four is 40 mm away, the hand's middle is inside, and some of its joints are not.
    # A thousandth for float32.
    assert ((to_border - 40).abs().amin(1) < 0.05).all()
    assert (to_border > 0).all()
    uvd = xyz_to_uvd(rendered.joints, CAMERA)
    outside = ((uvd[..., :2] < -0.5) | (uvd[..., :2] >= size - 0.5)).any(-1)
    assert outside.any(1).float().mean() > 0.5 and not outside.all(1).any()
    share = frames(range(400), 5, distribution=alone(border=0.125)).joints.mean(1)
    far = frames(range(400), 5, distribution=alone()).joints.mean(1)
    moved = (share != far).any(1).float().mean()
    assert abs(moved - 0.125) < 3 * (0.125 * 0.875 / 400) ** 0.5


def test_reference_points_stray_as_those_of_a_detector():
    law = alone(centre_error=3.0, strays=1 / 3, stray_reach=30.0)
    miss = []
    for start in range(0, 600, 200):
        rendered = crops(range(start, start + 200), 5, distribution=law, size=32)
        assert rendered.joints is not None
        miss.append((rendered.centre - rendered.joints.mean(1)).norm(dim=1))
    miss = torch.cat(miss)
    assert miss.max() <= 30.0
    # Two thirds: normal with 3 mm along each axis, below 12 mm but for one in a thousand.
    # One third: uniform up to 30 mm, above 12 mm in 60 %.
    share = 0.2
    assert abs((miss > 12).float().mean() - share) < 3 * (share * (1 - share) / 600) ** 0.5 + 0.001


# --- What the camera loses, and why -------------------------------------------

KEY = hashing.keys(7, range(2))
GRID = raster.whole(CAMERA, 2, torch.zeros(1), (0, 0))
FULL = torch.ones(2)


def post(near=400.0, far=600.0):
    """Upright posts of 40 pixels before a wall, two alike."""
    scene = torch.full((2, CAMERA.height, CAMERA.width), far)
    scene[:, 60:180, 140:180] = near
    return scene


def around_the_post(width):
    """Pixels at most `width` pixels from the outline of the posts."""
    inside = (post() == 400.0).float()[:, None]
    grown = torch.nn.functional.max_pool2d(inside, 2 * width + 1, 1, width)
    shrunk = -torch.nn.functional.max_pool2d(-inside, 2 * width + 1, 1, width)
    return (grown - shrunk)[:, 0] > 0


def test_shadows_lie_beside_near_edges_only():
    for baseline in (40.0, -40.0):
        seen = film.shadow(post(), GRID, torch.full((2,), baseline))
        lost = seen == 0
        width = CAMERA.fx * 40.0 * (1 / 400 - 1 / 600)
        columns = torch.arange(CAMERA.width)
        beside = (
            (columns < 140) & (columns >= 140 - width - 1)
            if baseline > 0
            else (columns >= 180) & (columns < 180 + width + 1)
        )
        assert (lost[:, 60:180] <= beside).all() and not lost[:, :60].any()
        assert lost[:, 60:180].float().sum(-1).min() >= int(width) - 1
    seen = film.shadow(post(), GRID, torch.zeros(2))
    assert torch.equal(seen, post())


def test_errors_at_edges_stay_at_edges():
    edge = {1: around_the_post(1), 2: around_the_post(2), film.FRAY: around_the_post(film.FRAY)}
    rim = film.rim(post(), GRID, KEY, FULL)
    assert (((rim == 0) & (post() == 400)).sum()) == 0, "only the far side is lost"
    assert ((rim == 0) <= edge[2]).all() and (rim == 0)[
        edge[1] & (post() == 600)
    ].float().mean() > 0.5
    ragged = film.ragged(post(), GRID, KEY, FULL)
    assert ((ragged != post()) <= edge[film.FRAY]).all() and (ragged != post()).any()
    assert ((ragged == 400) | (ragged == 600)).all()
    flying = film.flying(post(), GRID, KEY, 0.6 * FULL)
    changed = flying != post()
    assert (changed <= edge[1]).all() and changed.any()
    assert (flying[changed] >= 400).all() and (flying[changed] <= 400 + film.FLYING_MM).all()


@pytest.mark.parametrize("tangent, lost", [(1.0, False), (3.0, False), (6.0, True), (8.0, True)])
def test_glancing_surfaces_are_lost_from_the_limit_on(tangent, lost):
    slope = torch.tensor([[tangent, 0.0, -1.0]]) / (tangent**2 + 1) ** 0.5
    plane = torch.cat([slope, torch.tensor([[-450.0]]) / (tangent**2 + 1) ** 0.5], 1)
    image = surroundings.plane_depth(plane, CAMERA)
    grid = raster.whole(CAMERA, 1, plane, (0, 0))
    # Around the optical axis, where the tangent against the image plane is that of the plane.
    part = film.glancing(image, grid, torch.tensor([4.5]))[0, 100:140, 155:165]
    assert ((part == 0) == lost).all()
    assert torch.equal(film.glancing(post(), GRID, torch.full((2,), 4.5)), post())


def test_the_share_of_dropouts_is_the_one_that_was_asked_for():
    flat = torch.full((2, CAMERA.height, CAMERA.width), 500.0)
    found = torch.stack(
        [film.dropouts(flat, GRID, hashing.keys(seed, range(2)), 0.05 * FULL) for seed in range(24)]
    )
    # 48 windows of a sheet whose groups are 14 pixels wide: about 200 independent places each.
    assert abs((found == 0).float().mean() - 0.05) < 3 * (0.05 / (48 * 200)) ** 0.5
    assert torch.equal(film.dropouts(flat, GRID, KEY, 0 * FULL), flat)


@pytest.mark.parametrize("distance", [300.0, 600.0, 1200.0])
def test_noise_and_steps_grow_with_the_square_of_the_distance(distance):
    flat = torch.full((2, CAMERA.height, CAMERA.width), distance)
    noise = film.grain(flat, GRID, KEY, 3.0 * FULL) - flat
    wanted = 3.0 * (distance / 1000) ** 2
    assert 0.85 * wanted < noise.std() < 1.15 * wanted
    ramp = flat + torch.linspace(-20, 20, CAMERA.width)
    coarse = film.steps(ramp, 5.0 * FULL)
    step = 5.0 * (distance / 1000) ** 2
    levels = coarse.unique().diff()
    # Between its lowest and its highest depth the ramp's own step changes by 4 * 20 / distance.
    assert ((levels - step).abs() <= step * 5 * 20 / distance).all()
    assert (coarse - ramp).abs().max() <= 0.51 * step * (1 + 3 * 20 / distance)
    assert torch.equal(film.steps(ramp, 0 * FULL), ramp)


def test_smoothing_keeps_edges_and_calms_surfaces():
    noisy = film.grain(post(), GRID, KEY, 4.0 * FULL)
    calm = film.smoothing(noisy, FULL)
    inner = ~around_the_post(2)
    assert (calm - post())[inner].std() < 0.8 * (noisy - post())[inner].std()
    # A mean of noisy values lies between them: nothing comes across the edge of 200 mm.
    assert (calm - post()).abs().max() <= (noisy - post()).abs().max() + 1e-3
    assert torch.equal(film.smoothing(noisy, 0 * FULL), noisy)


def test_strong_smoothing_melts_a_low_step_and_weak_smoothing_keeps_it():
    step = post(near=580.0)
    weak, strong = (film.smoothing(step, amount * FULL) for amount in (0.3, 1.0))
    torch.testing.assert_close(weak, step)
    changed = (strong - step).abs() > 1e-3
    assert changed.any() and (changed <= around_the_post(film.PASSES)).all()
    assert ((strong >= 579.999) & (strong <= 600.001)).all()


def test_errors_reach_no_further_than_their_margin():
    """The sum over all errors; a shadow reaches along the rows alone."""
    rows = film.FRAY + 2 + 1 + 1 + film.PASSES + film.RUN
    assert rows <= film.MARGIN[0] and rows + film.SHADOW <= film.MARGIN[1]


def test_filling_changes_holes_only():
    holes = film.dropouts(post(), GRID, KEY, 0.05 * FULL)
    for mode in (1.0, 2.0):
        filled = film.filling(holes, mode * FULL)
        assert torch.equal(filled[holes > 0], holes[holes > 0])
        assert (filled == 0).sum() < (holes == 0).sum()
        assert torch.equal(filled[filled > 0], filled[filled > 0].clamp(400, 600))
    wide = torch.zeros(2, CAMERA.height, CAMERA.width)
    wide[:, 60:180, 140:180] = 400.0
    run = film.filling(wide, FULL)
    assert (run > 0).sum(2).max() == 40 + film.RUN, "drawn out by so many pixels on the right"
    assert torch.equal(film.filling(wide, 2 * FULL), wide), "a silhouette is no hole"
    assert torch.equal(film.filling(holes, 0 * FULL), holes)


def test_no_depth_comes_from_nothing_but_by_filling():
    """Errors of the camera lose or move depth of the scene; they put none into empty places, but
    for frayed edges and filled holes.
    """
    exact = frames(range(8), 5, distribution=alone(person=1.0))
    shown = frames(
        range(8),
        5,
        distribution=alone(
            person=1.0, grain=4.0, steps=5.0, **dict.fromkeys(("shadow", "rim", "flying"), 1.0)
        ),
    )
    assert ((shown.depth > 0) <= (exact.depth > 0)).all()


# --- Windows ------------------------------------------------------------------


def cut(rendered, cube=250.0):
    return prepare.crop(
        rendered.depth,
        rendered.camera,
        rendered.centre,
        cube,
        rendered.joints,
        rendered.hands,
        rendered.ids,
    )


@pytest.mark.parametrize("setup", ["msra", "nyu"])
def test_windows_are_the_crops_of_the_whole_images(setup):
    """At the camera's own pixels. The ray caster's tiles lie elsewhere, so float32 rounds
    differently: a depth may move by 1e-5 of itself, and a pixel on an outline or a quantised or
    thresholded one may fall to the other side, which is allowed for one in 500.
    """
    distribution = dataclasses.replace(FIELD, distance=(400.0, 900.0))
    wanted = cut(frames(range(10), 5, setup, distribution))
    found = crops(range(10), 5, setup, distribution)
    for name in ("origin", "camera", "centre", "cube", "mirror", "joints"):
        assert torch.equal(getattr(found, name), getattr(wanted, name)), name
    assert found.ids == wanted.ids and found.depth.shape == wanted.depth.shape
    away = (found.depth - wanted.depth).abs() > 0.02
    assert away.float().mean() < 1 / 500
    assert ((found.depth > 0) & (wanted.depth > 0)).flatten(1).any(1).all()


def test_a_coarser_window_shows_the_nearest_pixels_of_the_scene():
    """With an ideal camera, a pixel of the coarse window is the scene's depth along its own ray.

    Where nothing counts as infinitely far, it lies within the range of the fine pixels around that
    ray, and half a millimetre: a fingertip of 4 mm radius rises by 0.25 mm between two pixels of
    2 mm. One in 1,000 may meet a tip or a gap that lies between the fine pixels.
    """
    distribution = alone(offset=0.5, person=0.5, border=0.5)
    fine, coarse = (crops(range(10), 5, "nyu", distribution, size=size) for size in (None, 64))
    assert coarse.depth.shape[1:] == (96, 96)
    assert torch.equal(fine.centre, coarse.centre)
    # The outermost four pixels are left out: middles are rounded to other pixels.
    grid = torch.arange(4, coarse.depth.shape[-1] - 4, dtype=torch.float32)
    scale = fine.camera[:, 0] / coarse.camera[:, 0]
    assert (scale > 1.5).any()
    for i in range(10):
        places = [
            (coarse.origin[i, k] + grid - coarse.camera[i, 2 + k]) * scale[i]
            + fine.camera[i, 2 + k]
            - fine.origin[i, k]
            for k in (0, 1)
        ]
        u, v = (p.round().long() for p in places)
        inside = (u >= 1) & (u < fine.depth.shape[2] - 1), (v >= 1) & (v < fine.depth.shape[1] - 1)
        part = coarse.depth[i, 4:-4, 4:-4][inside[1]][:, inside[0]]
        near = torch.stack(
            [
                fine.depth[i][v[inside[1]] + dv][:, u[inside[0]] + du]
                for dv in (-1, 0, 1)
                for du in (-1, 0, 1)
            ]
        )
        part, near = (x.masked_fill(x == 0, torch.inf) for x in (part, near))
        between = (part >= near.amin(0) - 0.5) & (part <= near.amax(0) + 0.5)
        assert between.float().mean() > 0.999


def test_the_border_of_the_image_is_the_border_of_the_windows():
    distribution = alone(border=1.0, wall=1.0, border_distance=(20, 60))
    found = crops(range(12), 5, distribution=distribution, size=64)
    side = torch.arange(found.depth.shape[-1])
    scale = CAMERA.fx / found.camera[:, 0]
    for i in range(12):
        u, v = (
            (found.origin[i, k] + side - found.camera[i, 2 + k]) * scale[i] + middle
            for k, middle in enumerate((CAMERA.u0, CAMERA.v0))
        )
        # Half a coarse pixel around the border is left out.
        reach = float(scale[i])
        beyond = ((v < -reach) | (v > CAMERA.height + reach))[:, None] | (
            (u < -reach) | (u > CAMERA.width + reach)
        )[None]
        assert beyond.any() and (found.depth[i][beyond] == 0).all()


def test_reused_hands_are_turned_and_seen_anew():
    distribution = alone(strays=1.0)
    once = crops(range(0, 24, 4), 5, distribution=distribution, size=96, reuse=4)
    first = crops(range(6), 5, distribution=distribution, size=96)
    later = crops(range(24), 5, distribution=distribution, size=96, reuse=4)
    assert torch.equal(once.depth, later.depth[::4])
    joints, original = later.joints, first.joints
    assert joints is not None and original is not None
    original = original.repeat_interleave(4, 0)
    # Turned about the optical axis: depths and distances between joints are kept.
    torch.testing.assert_close(joints[..., 2], original[..., 2])
    torch.testing.assert_close(
        torch.cdist(joints, joints), torch.cdist(original, original), atol=0.02, rtol=1e-4
    )
    angle = torch.atan2(*(joints[:, 9] - joints[:, 0])[:, :2].unbind(1))
    assert len(angle.round(decimals=3).unique()) > 18
    assert len(later.centre.round(decimals=3).unique(dim=0)) == 24
    # The pictures belong to the joints: no surface is seen that lies behind a joint, at its own
    # pixel or at one next to it, since an outline may pass a tip by a pixel.
    uv = (xyz_to_uvd(joints, later.camera)[..., :2] - later.origin[:, None]).round().long()
    size = later.depth.shape[-1]
    inside = ((uv >= 1) & (uv < size - 1)).all(-1)
    rows = torch.arange(24)[:, None].expand_as(inside)
    nearest = -torch.nn.functional.max_pool2d(
        -later.depth.masked_fill(later.depth == 0, 1e6)[:, None], 3, 1, 1
    )
    shown = nearest[rows[inside], 0, uv[..., 1][inside], uv[..., 0][inside]]
    assert inside.float().mean() > 0.9
    assert (shown - joints[..., 2][inside] < 9).float().mean() > 0.99


def test_a_reused_hand_without_a_turn_is_the_rendered_one():
    """Nearest pixels: within the range of the direct rendering's pixels around it."""
    distribution = alone(in_plane=(30.0, 30.0), centre_error=0.0)
    direct = crops(range(6), 5, distribution=distribution, size=96)
    reused = crops(range(0, 12, 2), 5, distribution=distribution, size=96, reuse=2)
    torch.testing.assert_close(direct.joints, reused.joints)
    high = torch.nn.functional.max_pool2d(direct.depth[:, None], 3, 1, 1)[:, 0]
    low = -torch.nn.functional.max_pool2d(-direct.depth[:, None], 3, 1, 1)[:, 0]
    within = (reused.depth >= low - 0.05) & (reused.depth <= high + 0.05)
    assert within.float().mean() > 0.999


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: crops([0], distribution=WIDE), "time of flight.*field"),
        (lambda: crops([0], cube=0.0), "cube 0.0"),
        (lambda: crops([0], size=0), "size 0"),
        (lambda: crops([0], reuse=0), "reuse 0"),
        (lambda: crops([0], reuse=2), "with a size"),
        (lambda: crops([]), "no indices"),
        (lambda: Distribution(tabletop=1.5), "tabletop 1.5"),
        (lambda: Distribution(hand_size=(0.0, 1.0)), "hand_size"),
        (lambda: Distribution(touch_gap=(5.0, -5.0)), "touch_gap"),
        (lambda: Distribution(steps=-1.0), "steps"),
    ],
)
def test_bad_input_names_itself(call, message):
    with pytest.raises(HandPoseError, match=message):
        call()


def test_other_cameras_may_have_other_focal_lengths():
    """Columns and rows of pixels that are not square keep their own lengths."""
    camera = Camera(300.0, 200.0, 100.0, 80.0, 200, 160)
    grid = raster.whole(camera, 1, torch.zeros(1), (4, 6))
    x, y = grid.rays()
    assert x.shape == (1, 1, 212) and y.shape == (1, 168, 1)
    assert float(x[0, 0, 106]) == 0.0 and float(y[0, 84, 0]) == 0.0
    torch.testing.assert_close(float(x[0, 0, 107]), 1 / 300, atol=1e-8, rtol=0)
    torch.testing.assert_close(float(y[0, 85, 0]), 1 / 200, atol=1e-8, rtol=0)
