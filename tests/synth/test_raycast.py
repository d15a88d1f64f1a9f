"""The ray caster agrees with an independent signed-distance tracer and keeps its laws."""

import math

import pytest
import torch

from handpose_lib.camera import Camera
from handpose_lib.dataset_specs import CAMERAS, preset
from handpose_lib.errors import HandPoseError
from handpose_lib.synth.hands import hand
from handpose_lib.synth.scene import raycast
from handpose_lib.synth.scene.raycast import Solids, wedge

CAMERA = Camera(120.0, 118.0, 79.0, 61.0, 160, 120)


# --- The oracle ---------------------------------------------------------------
# Sphere tracing in float64. It shares no formula with the ray caster.


def hulls_of_two(p, a, b):
    """Signed distance (N, K) of points p (N, 3) from the hulls of the spheres a, b (K, 4): the
    least, over the spheres between them, of the distance from their surface. It is convex along the
    axis, and least where its slope is 0.
    """
    axis = b[:, :3] - a[:, :3]
    length = axis.norm(dim=1)
    unit = axis / length.clamp_min(1e-12)[:, None]
    from_a = p[:, None] - a[:, :3]
    q = (from_a * unit).sum(-1)
    height = (from_a - q[..., None] * unit).norm(dim=-1)
    slope = (b[:, 3] - a[:, 3]) / length.clamp_min(1e-12)
    best = q + slope * height / (1 - slope**2).clamp_min(1e-12).sqrt()
    best = torch.where(
        slope.abs() < 1, torch.minimum(best.clamp_min(0), length), length * (slope > 0)
    )
    return (height**2 + (q - best) ** 2).sqrt() - (a[:, 3] + slope * best)


def hull_of_three(p, a, b, c):
    """The same over the triangle of centres: the minimum is inside it or on one of its sides."""
    sides = hulls_of_two(p, torch.stack([a, b, c]), torch.stack([b, c, a])).amin(1)
    frame, _ = torch.linalg.qr(torch.stack([b[:3] - a[:3], c[:3] - a[:3]], dim=1))
    corners = torch.stack([frame.T @ (s[:3] - a[:3]) for s in (a, b, c)])
    edges = (corners[1:] - corners[0]).T
    if torch.linalg.det(edges).abs() < 1e-9:
        return sides
    growth = torch.linalg.solve(edges.T, torch.stack([b[3] - a[3], c[3] - a[3]]))
    if growth.norm() >= 1:
        return sides
    q = (p - a[:3]) @ frame
    height = ((p - a[:3]) - q @ frame.T).norm(dim=1)
    s = q + growth * (height / (1 - growth @ growth).sqrt())[:, None]
    weight = torch.linalg.solve(edges, s.T)
    inside = (weight >= 0).all(0) & (weight.sum(0) <= 1)
    value = (height**2 + (q - s).square().sum(1)).sqrt() - (a[3] + s @ growth)
    return torch.where(inside, value, sides)


def sheets(p, triangles):
    """Distance (N, K) of points p (N, 3) from flat triangles (K, 3, 3)."""
    edges = []
    for i in range(3):
        start, side = triangles[:, i], triangles[:, (i + 1) % 3] - triangles[:, i]
        share = ((p[:, None] - start) * side).sum(-1) / (side * side).sum(-1).clamp_min(1e-12)
        edges.append((p[:, None] - start - share.clamp(0, 1)[..., None] * side).norm(dim=-1))
    u, v = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    det = (uu * vv - uv * uv).clamp_min(1e-12)
    w = p[:, None] - triangles[:, 0]
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    s, t = (vv * wu - uv * wv) / det, (uu * wv - uv * wu) / det
    above = (w - s[..., None] * u - t[..., None] * v).norm(dim=-1)
    inside = (s >= 0) & (t >= 0) & (s + t <= 1) & (det > 1e-9)
    return torch.where(inside, above, torch.stack(edges).amin(0))


def trace(distance, camera, far=900.0):
    """Depth (H, W) by sphere tracing; `distance` is a function of points (N, 3)."""
    u, v = torch.meshgrid(torch.arange(camera.width), torch.arange(camera.height), indexing="xy")
    u, v = u.double().flatten(), v.double().flatten()
    ray = torch.stack(
        [(u - camera.u0) / camera.fx, (v - camera.v0) / camera.fy, torch.ones_like(u)], -1
    )
    z, length = torch.zeros(len(ray), dtype=torch.float64), ray.norm(dim=1)
    result = torch.zeros_like(z)
    active = torch.arange(len(ray))
    for _ in range(400):
        d = distance(ray[active] * z[active, None])
        z[active] += d / length[active]
        hit = d < 1e-5
        result[active[hit]] = z[active[hit]]
        active = active[~hit & (z[active] < far)]
        if not len(active):
            break
    return result.reshape(camera.height, camera.width)


def distance_from(solids):
    """The least distance from any cone or triangle of the first scene."""
    cones, triangles = solids.cones[0].double(), solids.triangles[0].double()

    def distance(p):
        both = [hulls_of_two(p, cones[:, :4], cones[:, 4:])] + (
            [sheets(p, triangles)] if len(triangles) else []
        )
        return torch.cat(both, 1).amin(1)

    return distance


def assert_same(depth, truth):
    common = (depth > 0) & (truth > 0)
    error = (depth.double() - truth)[common].abs()
    assert common.sum() > 300
    assert error.median() < 0.05
    assert (error < 0.5).double().mean() > 0.999
    # The two may disagree on a hit only where a ray grazes the silhouette.
    assert ((depth > 0) != (truth > 0)).sum() <= 0.002 * common.sum() + 1


def scene(seed, chains=4, size=3):
    draw = torch.Generator().manual_seed(seed)
    centre = (
        torch.tensor([0.0, 0.0, 320.0]) + (torch.rand(chains, size, 3, generator=draw) - 0.5) * 160
    )
    radius = 4 + 22 * torch.rand(chains, size, 1, generator=draw)
    return torch.cat([centre, radius], -1)


# --- Correctness --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_round_cones_agree_with_the_tracer(seed):
    spheres = scene(seed, chains=6, size=2)
    solids = Solids(spheres.reshape(1, 6, 8))
    assert_same(raycast.depth(solids, CAMERA)[0], trace(distance_from(solids), CAMERA))


@pytest.mark.parametrize("seed", range(4))
def test_hull_of_three_spheres_agrees_with_the_tracer(seed):
    spheres = scene(seed, chains=3)
    cones, triangles = wedge(spheres)
    solids = Solids(cones.reshape(1, -1, 8), triangles.reshape(1, -1, 3, 3))
    truth = trace(
        lambda p: torch.stack([hull_of_three(p, *t) for t in spheres.double()]).amin(0), CAMERA
    )
    assert_same(raycast.depth(solids, CAMERA)[0], truth)


DEGENERATE = {
    "one sphere swallows both others": [[0, 0, 300, 60], [10, 5, 300, 20], [-20, 0, 310, 10]],
    "one sphere swallows another": [[0, 0, 300, 40], [10, 5, 300, 20], [90, 0, 310, 10]],
    "in line, the largest in the middle": [[-60, 0, 300, 10], [0, 0, 300, 40], [60, 0, 300, 12]],
    "in line, the smallest in the middle": [[-60, 0, 300, 30], [0, 0, 300, 10], [60, 0, 300, 25]],
    "a small one inside the cone of the others": [
        [-60, 0, 300, 30],
        [0, 6, 300, 5],
        [60, 0, 300, 25],
    ],
    "the same sphere three times": [[0, 0, 300, 30]] * 3,
    "points": [[-60, 0, 300, 0], [50, 40, 300, 0], [60, -50, 330, 0]],
    "a needle of a triangle": [[-60, 0, 300, 20], [0, 0.01, 300, 20], [60, 0, 300, 20]],
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_wedges(name):
    spheres = torch.tensor(DEGENERATE[name], dtype=torch.float32)
    cones, triangles = wedge(spheres)
    assert triangles.isfinite().all()
    solids = Solids(cones[None], triangles[None])
    truth = trace(lambda p: hull_of_three(p, *spheres.double()), CAMERA)
    assert_same(raycast.depth(solids, CAMERA)[0], truth)


def test_touching_planes_touch():
    """Every corner of a wedge's triangle lies on its sphere, and its plane touches all three
    spheres from outside.
    """
    spheres = scene(5, chains=50).double()
    _, triangles = wedge(spheres)
    a, b, c = triangles.unbind(-2)
    normal = torch.linalg.cross(b - a, c - a)
    exists = normal.norm(dim=-1) > 1e-9
    assert exists.float().mean() > 0.5
    normal = normal / normal.norm(dim=-1, keepdim=True)
    height = ((spheres[:, None, :, :3] - triangles[:, :, :1]) * normal[:, :, None]).sum(-1)
    assert torch.allclose(
        height[exists], -spheres[:, None, :, 3].expand(-1, 2, -1)[exists], atol=1e-9
    )


@pytest.mark.parametrize("view", [(0.2, 0.1, 0.4), (1.9, 1.0, -2.0)])
def test_hand_agrees_with_the_tracer(view):
    """Every rendered pixel lies on the posed surface."""
    pose = torch.zeros(1, 26)
    pose[:, :3] = torch.tensor([5.0, 20.0, 330.0])
    pose[:, 3:6] = torch.tensor(view)
    pose[:, 6:] = 0.4 * hand.LIMITS[6:, 1].float() * torch.linspace(0.2, 1, 20)
    solids = hand.posed(hand.subject(2), pose, forearm=60.0).solids()
    camera = Camera(55.0, 55.0, 36.0, 26.0, 72, 54)
    assert_same(raycast.depth(solids, camera)[0], trace(distance_from(solids), camera))


def test_sphere_on_the_axis_has_the_depth_of_its_pole():
    solids = Solids(torch.tensor([[[0.0, 0, 400, 30, 0, 0, 400, 30]]]))
    camera = Camera(200.0, 200.0, 20.0, 10.0, 41, 21)
    assert float(raycast.depth(solids, camera)[0, 10, 20]) == pytest.approx(370.0, abs=1e-4)


def test_triangle_is_the_plane_through_its_corners_from_both_sides():
    corners = torch.tensor([[-80.0, -60, 300], [90, -50, 360], [0, 80, 330]], dtype=torch.float64)
    both = Solids(
        torch.zeros(2, 0, 8, dtype=torch.float64), torch.stack([corners, corners.flip(0)])[:, None]
    )
    front, back = raycast.depth(both, CAMERA)
    assert torch.equal(front > 0, back > 0) and (front > 0).sum() > 1000
    v, u = (front > 0).nonzero().double().unbind(1)
    point = torch.stack(
        [(u - CAMERA.u0) / CAMERA.fx, (v - CAMERA.v0) / CAMERA.fy, torch.ones_like(u)], 1
    )
    point = point * front[front > 0, None]
    normal = torch.linalg.cross(corners[1] - corners[0], corners[2] - corners[0])
    assert ((point - corners[0]) @ (normal / normal.norm())).abs().max() < 1e-9


# --- Culling and tiles --------------------------------------------------------


def test_tiles_lose_nothing(monkeypatch):
    """A primitive offered to every tile of the image gives the same picture as one offered to its
    own tiles.
    """
    poses = torch.zeros(3, 26)
    poses[:, 2] = torch.tensor([150.0, 330.0, 900.0])
    poses[:, 3:6] = torch.tensor([[0.3, 0.1, 0.0], [2.0, 1.2, 0.7], [-1.0, -0.8, 2.5]])
    solids = hand.posed(hand.subject(1), poses, forearm=150.0).solids()
    culled = raycast.depth(solids, CAMERA)

    def everywhere(rows, x, y, reach):
        return torch.ones_like(x, dtype=torch.bool)

    for name in ("_BODY", "_SPHERE", "_TRIANGLE"):
        monkeypatch.setattr(raycast, name, getattr(raycast, name)._replace(near=everywhere))
    monkeypatch.setattr(
        raycast, "_sphere_extent", lambda s: raycast._EVERYWHERE.to(s).expand(*s.shape[:-1], 4)
    )
    assert torch.equal(raycast.depth(solids, CAMERA), culled)


def test_a_cone_that_runs_past_the_camera():
    """A forearm that begins behind the camera is cut off there and hides nothing in front."""
    cone = [150.0, 60, -200, 30, 20, 10, 400, 20]
    solids = Solids(torch.tensor([[cone]]))
    depth = raycast.depth(solids, CAMERA)[0]
    # Start beside the camera's eye, which is outside of the cone.
    assert_same(depth, trace(distance_from(solids), CAMERA))
    behind = Solids(torch.tensor([[[0.0, 0, -300, 50, 20, 0, -200, 50]]]))
    assert raycast.depth(behind, CAMERA).abs().max() == 0


def test_image_sizes_that_are_no_multiple_of_a_tile():
    solids = Solids(scene(3, chains=6, size=2).reshape(1, 6, 8))
    whole = raycast.depth(solids, CAMERA.intrinsics(), size=(120, 160))
    part = raycast.depth(solids, CAMERA.intrinsics(), size=(77, 101))
    assert part.shape == (1, 77, 101) and torch.equal(part, whole[:, :77, :101])


# --- Batches ------------------------------------------------------------------


def hands(count):
    draw = torch.Generator().manual_seed(0)
    low, high = hand.LIMITS.float().unbind(1)
    pose = low + (high - low) * torch.rand(count, 26, generator=draw)
    pose[:, :3] = torch.tensor([0.0, 40.0, 380.0]) + 60 * torch.rand(count, 3, generator=draw)
    return hand.posed(
        hand.subjects(range(count)), pose, forearm=torch.linspace(0, 200, count)
    ).solids()


def test_same_bits_alone_and_in_any_batch():
    solids = hands(13)
    together = raycast.depth(solids, preset("msra"))
    for size in (1, 3, 8):
        parts = [
            raycast.depth(solids.index(slice(i, i + size)), preset("msra"))
            for i in range(0, 13, size)
        ]
        assert torch.equal(torch.cat(parts), together)
    shuffled = torch.randperm(13, generator=torch.Generator().manual_seed(1))
    assert torch.equal(raycast.depth(solids.index(shuffled), preset("msra")), together[shuffled])


def test_each_scene_may_have_its_own_lens():
    lenses = torch.stack([camera.intrinsics() for camera in CAMERAS.values()])
    solids = hands(len(lenses))
    together = raycast.depth(solids, lenses, size=(240, 320))
    for i in range(len(lenses)):
        assert torch.equal(
            raycast.depth(solids.index(slice(i, i + 1)), lenses[i], size=(240, 320))[0], together[i]
        )


def test_float64_is_kept_and_float32_is_close_to_it():
    solids = hands(6)
    single, double = (
        raycast.depth(solids, preset("msra")),
        raycast.depth(solids.to(torch.float64), preset("msra")),
    )
    assert double.dtype == torch.float64
    error = (single - double)[(single > 0) & (double > 0)].abs()
    # A depth of 400 mm has a spacing of 3e-5 mm; a grazing ray multiplies it.
    assert error.median() < 1e-4 and error.quantile(0.999) < 0.05
    assert ((single > 0) != (double > 0)).float().mean() < 1e-4


def test_joined_solids_are_the_nearer_of_both():
    one, two = hands(2).index(slice(0, 1)), hands(2).index(slice(1, 2))
    both = raycast.join([one, two])
    assert both.triangles is not None and both.label is not None
    assert both.cones.shape[1] + both.triangles.shape[1] == len(both.label)
    a, b = (raycast.depth(s, preset("msra")) for s in (one, two))
    nearer = torch.where((a > 0) & ((b == 0) | (a < b)), a, b)
    assert torch.equal(raycast.depth(both, preset("msra")), nearer)


def test_nothing_is_an_empty_image():
    assert raycast.depth(Solids(torch.zeros(2, 0, 8)), CAMERA).abs().max() == 0
    assert raycast.depth(Solids(torch.zeros(0, 4, 8)), CAMERA).shape == (0, 120, 160)


# --- Bad input ----------------------------------------------------------------


def test_bad_input_names_itself():
    good = torch.tensor([[[0.0, 0, 300, 30, 0, 0, 350, 30]]])
    cases = [
        (lambda: Solids(torch.zeros(1, 2, 7)), "cones"),
        (lambda: Solids(good, torch.zeros(2, 1, 3, 3)), "triangles"),
        (lambda: Solids(good, label=torch.zeros(2)), "label"),
        (lambda: wedge(torch.zeros(2, 4)), "spheres"),
        (lambda: raycast.depth(Solids(good * math.nan), CAMERA), "not finite"),
        (lambda: raycast.depth(Solids(-good), CAMERA), "radius below 0"),
        (lambda: raycast.depth(Solids(good), CAMERA.intrinsics()), "size"),
        (lambda: raycast.depth(Solids(good), torch.zeros(3, 4), size=(8, 8)), "intrinsics"),
    ]
    for call, message in cases:
        with pytest.raises(HandPoseError, match=message):
            call()
