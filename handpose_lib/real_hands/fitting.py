"""Explain measured points by the synthetic hand: its pose, position, size and thickness.

    found = fitting.fit(crops, joints)       # joints (B, 21, 3) mm: what a network predicts
    found.joints, found.distance_mm          # (B, 21, 3) mm, (B,) mm

The hand starts where the network puts it. A few steps of Levenberg and Marquardt then minimise

* the distances from the measured points to the surface, in closed form: round cones and wedges;
* how far a bone lies outside the silhouette, where the camera has seen what is behind the hand;
* the distances from the joints to those of the network, joint angles beyond their limits, fingers
  that penetrate one another, and the deviation from a hand of mean size.

A fit follows what it starts from: a finger that begins at the wrong finger's points stays there.
`Fit.distance_mm`, the distance that remains, tells good fits from bad ones.
Sources: Tkach et al., Sphere-Meshes for Real-Time Hand Modeling and Tracking, 2016, for distances
and silhouette; Wan et al., Self-supervised 3D Hand Pose Estimation Through Training by Fitting,
CVPR 2019, for what a fit can teach a network.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from scipy.ndimage import distance_transform_edt
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from handpose_lib import skeleton
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.synth import hand as hands
from handpose_lib.synth import poses
from handpose_lib.synth.hands.contact import penetration

SKELETON = "msra21"
POINTS = 256
"""Measured points per frame to which a hand is fitted."""
STEPS = (6, 10)
"""Steps of the solver: to the network's joints alone, then to everything."""
ACCEPTED_MM = 2.5
"""A fit is accepted if the distance that remains is at most so many mm. The record of the network
says what this is worth on rendered frames.
"""
NEAR = 30.0
"""Distance in mm from the surface up to which a measured point can belong to the hand."""
POINT_MM, SILHOUETTE_MM, JOINT_MM = 6.0, 8.0, 25.0
"""Standard deviations of the distances of points, of bones to the silhouette, and of joints to
those of the network.
"""
LIMIT_RAD, OVERLAP_MM, SHAPE = 0.1, 3.0, 0.08
"""Standard deviations of angles beyond a limit, of the depth of a self-penetration, and of the
logarithms of size and thickness.
"""
SEEN_BEHIND = 15.0
"""A pixel whose depth lies so many mm behind the surface of a bone shows what is behind it."""
FOREARM = 80.0
"""Length in mm of the forearm that takes the points of the arm; it explains no joint."""
ANGLES = 20
SHAPES = 2
LOCAL = ANGLES + SHAPES
"""Parameters of the hand in its own frame; three of rotation and three of position follow."""


@dataclass(frozen=True)
class Fit:
    """Fitted hands.

    joints        (B, 21, 3) mm in the camera frame
    angles        (B, 20) rad, in the order of `hand.DOF[6:]`
    size          (B,) and thickness (B,), relative to the mean hand
    distance_mm   (B,) mean distance between the measured points near the hand and its surface,
                  each at most `NEAR`; before_mm: the same of the hand that only follows the network
    """

    joints: torch.Tensor
    angles: torch.Tensor
    size: torch.Tensor
    thickness: torch.Tensor
    distance_mm: torch.Tensor
    before_mm: torch.Tensor

    @property
    def accepted(self) -> torch.Tensor:
        """(B,) bool: the distance that remains is at most `ACCEPTED_MM`."""
        return self.distance_mm <= ACCEPTED_MM


@torch.inference_mode(False)  # it would switch off the derivatives that the solver needs
@torch.no_grad()
def fit(crops: Crops, joints: torch.Tensor, steps: tuple[int, int] = STEPS) -> Fit:
    """Return the hands that explain the points of `crops`, started at `joints` (B, 21, 3) mm.

    Errors: `HandPoseError` for joints of another shape or that are not finite.
    """
    if joints.shape != (len(crops), 21, 3) or not bool(torch.isfinite(joints).all()):
        raise HandPoseError(
            f"joints of shape {tuple(joints.shape)}: accepted are finite mm of shape"
            f" ({len(crops)}, 21, 3), those of {SKELETON}"
        )
    target = joints.clone().double()
    state = start(target, crops.mirror.double())
    state = _solve(state, target, None, steps[0])
    seen = _seen(crops, state)
    before = _remaining(state, seen)
    state = _solve(state, target, seen, steps[1])
    shape = state.local[:, ANGLES:].exp()
    return Fit(
        joints=posed(state)[1].to(joints),
        angles=state.local[:, :ANGLES].to(joints),
        size=shape[:, 0].to(joints),
        thickness=shape[:, 1].to(joints),
        distance_mm=_remaining(state, seen).to(joints),
        before_mm=before.to(joints),
    )


# --- The hand, and how it moves with its parameters ---------------------------


class _State(NamedTuple):
    """local (B, 22): angles in rad, logarithms of size and thickness. turn (B, 3, 3), place (B, 3)
    mm, mirror (B,) ±1.
    """

    local: torch.Tensor
    turn: torch.Tensor
    place: torch.Tensor
    mirror: torch.Tensor

    def moved(self, step: torch.Tensor) -> "_State":
        """The state after a step (B, 28) of the solver."""
        turn = _rotation(step[:, LOCAL : LOCAL + 3]) @ self.turn
        return self._replace(
            local=self.local + step[:, :LOCAL], turn=turn, place=self.place + step[:, LOCAL + 3 :]
        )

    def chosen(self, other: "_State", better: torch.Tensor) -> "_State":
        """`other` in the rows that are `better`, else this one."""
        pick = [
            torch.where(better.view(-1, *[1] * (a.ndim - 1)), b, a) for a, b in zip(self, other)
        ]
        return _State(*pick)


def _rotation(vector: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (B, 3, 3) of rotation vectors (B, 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.matrix_exp(skew)


@lru_cache
def _mean_hand() -> hands.Subject:
    """The mean of 64 persons."""
    many = hands.subjects(range(100, 164))
    return hands.Subject(*(getattr(many, n).double().mean(0) for n in ("palm", "bones", "radii")))


def _own_frame(local: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spheres (B, S, 4) and joints (B, 21, 3) of right hands in their own frames."""
    mean = _mean_hand()
    many = hands.Subject(
        *(getattr(mean, n).expand(len(local), -1, -1) for n in ("palm", "bones", "radii"))
    )
    shape = local[:, ANGLES:].exp()
    pose = torch.cat([torch.zeros_like(local[:, :6]), local[:, :ANGLES]], 1)
    found = hands.posed(many.scaled(shape[:, 0], shape[:, 1]), pose, forearm=FOREARM)
    return found.spheres, found.joints(SKELETON)


def _placed(points: torch.Tensor, state: _State) -> torch.Tensor:
    """Points (B, N, 3) of right hands in their own frames, in that of the camera."""
    return _turned(points, state) + state.place[:, None]


def _turned(points: torch.Tensor, state: _State) -> torch.Tensor:
    mirrored = torch.cat([points[..., :1] * state.mirror[:, None, None], points[..., 1:]], -1)
    return mirrored @ state.turn.transpose(1, 2)


def posed(state: _State) -> tuple[torch.Tensor, torch.Tensor]:
    """Spheres (B, S, 4) and joints (B, 21, 3) in the camera frame."""
    spheres, joints = _own_frame(state.local)
    return (
        torch.cat([_placed(spheres[..., :3], state), spheres[..., 3:]], -1),
        _placed(joints, state),
    )


class _Moves(NamedTuple):
    """Spheres (B, S, 4), joints (B, 21, 3), overlap (B, 1), and their derivatives by the 28
    parameters, in a last axis.
    """

    spheres: torch.Tensor
    joints: torch.Tensor
    overlap: torch.Tensor
    d_spheres: torch.Tensor
    d_joints: torch.Tensor
    d_overlap: torch.Tensor


def moves(state: _State) -> _Moves:
    count = len(state.local)
    # One row per frame and parameter, each with its own direction: one pass gives all derivatives.
    rows = state.local.repeat_interleave(LOCAL, 0)
    directions = torch.eye(LOCAL, dtype=rows.dtype).repeat(count, 1)
    with dual_level():
        spheres, joints = _own_frame(make_dual(rows, directions))
        overlap = penetration(spheres)
        parts = [unpack_dual(value) for value in (spheres, joints, overlap)]
    values = [value.primal[::LOCAL] for value in parts]
    slopes = []
    for value in parts:
        assert value.tangent is not None  # all three depend on the parameters
        slopes.append(value.tangent.unflatten(0, (count, LOCAL)).movedim(1, -1))

    own, moved = [values[0][..., :3], values[1]], []
    for points, slope in zip(own, (slopes[0][:, :, :3], slopes[1])):
        here = _turned(points, state)
        # Turning by a small vector w moves a point by w × p.
        zero, (x, y, z) = torch.zeros_like(here[..., 0]), here.unbind(-1)
        by_turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))
        by_local = torch.stack([_turned(s, state) for s in slope.unbind(-1)], -1)
        by_place = torch.eye(3, dtype=here.dtype).expand(*here.shape, 3)
        moved.append(torch.cat([by_local, by_turn, by_place], -1))
    rest = slopes[0].new_zeros(*slopes[0].shape[:2], 1, 6)
    d_radii = torch.cat([slopes[0][:, :, 3:], rest], -1)
    placed = torch.cat([_placed(own[0], state), values[0][..., 3:]], -1)
    return _Moves(
        placed,
        _placed(own[1], state),
        values[2][:, None],
        torch.cat([moved[0], d_radii], 2),
        moved[1],
        torch.cat([slopes[2], slopes[2].new_zeros(count, 6)], -1)[:, None],
    )


def start(joints: torch.Tensor, mirror: torch.Tensor) -> _State:
    """A relaxed hand of mean size, laid on the joints' palm."""
    count = len(joints)
    angles = poses.preset("relaxed").expand(count, ANGLES)
    state = _State(
        torch.cat([angles, angles.new_zeros(count, SHAPES)], 1),
        torch.eye(3, dtype=joints.dtype).expand(count, 3, 3),
        joints.new_zeros(count, 3),
        mirror,
    )
    palm = _palm()
    source = _turned(_own_frame(state.local)[1][:, palm], state)
    goal = joints[:, palm]
    a, b = source - source.mean(1, keepdim=True), goal - goal.mean(1, keepdim=True)
    # The rotation that maps the one onto the other best (Kabsch).
    left, _, right = torch.linalg.svd(b.transpose(1, 2) @ a)
    sign = torch.linalg.det(left @ right)
    flip = torch.diag_embed(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1))
    turn = left @ flip @ right
    place = goal.mean(1) - (source.mean(1)[:, None] @ turn.transpose(1, 2))[:, 0]
    return state._replace(turn=turn, place=place)


@lru_cache
def _palm() -> list[int]:
    """The joints that are fixed to the palm."""
    found = skeleton.get(SKELETON)
    return [found.joints.index(name) for name in found.palm]


# --- What was measured --------------------------------------------------------


class _Seen(NamedTuple):
    """points (B, M, 3) mm, valid (B, M); the window: depth (B, S, S) mm, nearest (B, S, S, 2) the
    pixel (u, v) of the silhouette next to each pixel, camera (B, 4), origin (B, 2).
    """

    points: torch.Tensor
    valid: torch.Tensor
    depth: torch.Tensor
    nearest: torch.Tensor
    camera: torch.Tensor
    origin: torch.Tensor


def _seen(crops: Crops, state: _State) -> _Seen:
    """Points in the cube and near the hand as it starts; the silhouette that they form."""
    size = crops.depth.shape[-1]
    camera, origin = crops.camera.double(), crops.origin.double()
    v, u = torch.meshgrid(*(torch.arange(size, dtype=torch.float64),) * 2, indexing="ij")
    depth = crops.depth.double()
    x, y = (
        (grid + origin[:, i, None, None] - camera[:, 2 + i, None, None])
        / camera[:, i, None, None]
        * depth
        for i, grid in enumerate((u, v))
    )
    cloud = torch.stack([x, y, depth], -1).flatten(1, 2)
    centre, half = crops.centre.double(), crops.cube.double() / 2
    inside = (cloud[..., 2] > 0) & ((cloud - centre[:, None]).abs() < half[:, None, None]).all(-1)
    spheres = posed(state)[0]
    points, valid, nearest = [], [], []
    for row in range(len(crops)):
        numbers = inside[row].nonzero()[:, 0]
        part = cloud[row : row + 1, numbers].float(), spheres[row : row + 1].float()
        near = distances(*part).distance[0] < NEAR
        mask = torch.zeros(size * size, dtype=torch.bool)
        mask[numbers[near]] = True
        # Every n-th pixel in the order of the image, from right to left for left hands: the points
        # spread evenly over the hand, and those of a mirrored image are the mirrored points.
        numbers = numbers[near]
        if crops.mirror[row] < 0:
            numbers = numbers[(numbers + size - 1 - 2 * (numbers % size)).argsort()]
        chosen = torch.linspace(0, max(len(numbers) - 1, 0), POINTS).round().long()
        enough = len(numbers) > 0
        points.append(cloud[row, numbers[chosen]] if enough else cloud.new_zeros(POINTS, 3))
        valid.append(torch.full((POINTS,), enough))
        image = ~mask.unflatten(0, (size, size)).numpy()
        if enough:
            found: Any = distance_transform_edt(image, return_distances=False, return_indices=True)
            nearest.append(torch.from_numpy(found[::-1].copy()).long().movedim(0, -1))
        else:
            nearest.append(torch.stack([u, v], -1).long())
    return _Seen(
        torch.stack(points), torch.stack(valid), depth, torch.stack(nearest), camera, origin
    )


# --- Distances to the surface -------------------------------------------------


class _Distance(NamedTuple):
    """distance (B, M) mm, negative inside; normal (B, M, 3); the spheres (B, M, 3) whose hull is
    nearest and their weights (B, M, 3); forearm (B, M): whether that is the forearm.
    """

    distance: torch.Tensor
    normal: torch.Tensor
    spheres: torch.Tensor
    weights: torch.Tensor
    forearm: torch.Tensor


@lru_cache
def _primitives() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs (N, 2) and triples (T, 3) of spheres, and (N + T,) whether they are the forearm."""
    pairs, triples, _ = hands.mesh(torch.device("cpu"))
    first = hands.SPHERES.index("forearm radial")
    arm = torch.cat([(pairs >= first).any(1), (triples >= first).any(1)])
    return pairs, triples, arm


def distances(points: torch.Tensor, spheres: torch.Tensor) -> _Distance:
    """The nearest primitive of points (B, M, 3), and its distance in closed form.

    A round cone or a wedge is the union of the spheres between its own. The sphere nearest to a
    point is not at the foot of its perpendicular: it is shifted towards growing radii by h s /
    sqrt(1 - s²), where h is the length of the perpendicular and s the slope of the radius.
    """
    pairs, triples, arm = _primitives()
    # About the middle of the hand, so that squares lose no digits.
    middle = spheres[:, :1, :3].clone()
    spheres = torch.cat([spheres[..., :3] - middle, spheres[..., 3:]], -1)
    points = points - middle
    squares = _dot(points, points)[..., None]

    a, b = spheres[:, pairs].unbind(-2)
    axis = b[..., :3] - a[..., :3]
    length = _dot(axis, axis).sqrt().clamp_min(1e-6)
    along = axis / length[..., None]
    slope = ((b[..., 3] - a[..., 3]) / length).clamp(-0.95, 0.95)
    foot = points @ along.mT - _dot(a[..., :3], along)[:, None]
    away = squares - 2 * points @ a[..., :3].mT + _dot(a[..., :3], a[..., :3])[:, None]
    h = (away - foot.square()).clamp_min(1e-12)
    shift = h.sqrt() * (slope / (1 - slope.square()).sqrt())[:, None]
    t = ((foot + shift) / length[:, None]).clamp(0, 1)
    gaps = (h + (foot - t * length[:, None]).square()).sqrt() - torch.lerp(
        a[:, None, :, 3], b[:, None, :, 3], t
    )

    p, q, r = spheres[:, triples].unbind(-2)
    e, f = q[..., :3] - p[..., :3], r[..., :3] - p[..., :3]
    ee, ef, ff = _dot(e, e), _dot(e, f), _dot(f, f)
    area = (ee * ff - ef.square()).clamp_min(1e-6)
    to_e, to_f = (
        (ff[..., None] * e - ef[..., None] * f) / area[..., None],
        (ee[..., None] * f - ef[..., None] * e) / area[..., None],
    )  # dual to e and f: their products with a vector are its coordinates
    by_e, by_f = q[..., 3] - p[..., 3], r[..., 3] - p[..., 3]
    uphill = to_e * by_e[..., None] + to_f * by_f[..., None]  # where the radius grows
    steep = _dot(uphill, uphill).clamp(0, 0.9)
    x, y = (points @ d.mT - _dot(p[..., :3], d)[:, None] for d in (to_e, to_f))
    away = squares - 2 * points @ p[..., :3].mT + _dot(p[..., :3], p[..., :3])[:, None]
    inside = x.square() * ee[:, None] + 2 * x * y * ef[:, None] + y.square() * ff[:, None]
    h = (away - inside).clamp_min(1e-12).sqrt()
    shift = h / (1 - steep).sqrt()[:, None]
    x, y = x + shift * _dot(uphill, to_e)[:, None], y + shift * _dot(uphill, to_f)[:, None]
    flat = shift - (p[..., 3][:, None] + x * by_e[:, None] + y * by_f[:, None])
    flat = flat.masked_fill((x < 0) | (y < 0) | (x + y > 1), torch.inf)

    distance, which = torch.cat([gaps, flat], -1).min(-1)
    at = which[..., None]
    zero = torch.zeros_like(t)
    second, third = torch.cat([t, x], -1).gather(-1, at), torch.cat([zero, y], -1).gather(-1, at)
    weights = torch.cat([1 - second - third, second, third], -1)
    numbers = torch.cat([torch.cat([pairs, pairs[:, :1]], 1), triples])[which]
    rows = torch.arange(len(points))[:, None, None]
    centre = (weights[..., None] * spheres[rows, numbers][..., :3]).sum(-2)
    normal = points - centre
    normal = normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return _Distance(distance, normal, numbers, weights, arm[which])


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Products of vectors (..., 3)."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _remaining(state: _State, seen: _Seen) -> torch.Tensor:
    """(B,) mean distance in mm of the measured points, each at most `NEAR`."""
    found = distances(seen.points, posed(state)[0])
    counted = seen.valid & ~found.forearm
    distance = found.distance.abs().clamp_max(NEAR) * counted
    mean = distance.sum(1) / counted.sum(1).clamp_min(1)
    return torch.where(counted.any(1), mean, NEAR)


# --- The solver ---------------------------------------------------------------


def _solve(state: _State, target: torch.Tensor, seen: _Seen | None, steps: int) -> _State:
    """Levenberg and Marquardt, each frame with a damping of its own."""
    damping = torch.full((len(target),), 1e-2, dtype=target.dtype)
    residuals, slopes = _system(state, target, seen)
    cost = residuals.square().sum(1)
    for _ in range(steps):
        normal = slopes.transpose(1, 2) @ slopes
        normal = normal + torch.diag_embed(
            damping[:, None] * normal.diagonal(dim1=1, dim2=2) + 1e-6
        )
        step = -torch.linalg.solve(normal, slopes.transpose(1, 2) @ residuals[..., None])[..., 0]
        tried = state.moved(step)
        new_residuals, new_slopes = _system(tried, target, seen)
        new_cost = new_residuals.square().sum(1)
        better = new_cost < cost
        state = state.chosen(tried, better)
        residuals = torch.where(better[:, None], new_residuals, residuals)
        slopes = torch.where(better[:, None, None], new_slopes, slopes)
        cost = torch.where(better, new_cost, cost)
        damping = torch.where(better, damping / 5, damping * 8).clamp(1e-6, 1e6)
    return state


def _system(
    state: _State, target: torch.Tensor, seen: _Seen | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Residuals (B, R) in standard deviations and their derivatives (B, R, 28)."""
    now = moves(state)
    parts = [
        (
            (now.joints - target).flatten(1) / (JOINT_MM if seen else 1.0),
            now.d_joints.flatten(1, 2) / (JOINT_MM if seen else 1.0),
        ),
        *_priors(state, now),
    ]
    if seen is not None:
        parts += [_to_surface(now, seen), _to_silhouette(now, seen)]
    return torch.cat([r for r, _ in parts], 1), torch.cat([s for _, s in parts], 1)


def _priors(state: _State, now: _Moves) -> list[tuple[torch.Tensor, torch.Tensor]]:
    angles, shape = state.local[:, :ANGLES], state.local[:, ANGLES:]
    low, high = hands.LIMITS[6:].unbind(-1)
    beyond = angles - torch.minimum(torch.maximum(angles, low), high)
    eye = torch.eye(LOCAL + 6, dtype=angles.dtype)
    outside = (beyond != 0).to(angles)
    overlap = now.overlap.clamp_min(0)
    return [
        (beyond / LIMIT_RAD, outside[..., None] * eye[:ANGLES] / LIMIT_RAD),
        (shape / SHAPE, (eye[ANGLES:LOCAL] / SHAPE).expand(len(shape), -1, -1)),
        (overlap / OVERLAP_MM, now.d_overlap * (now.overlap > 0)[..., None] / OVERLAP_MM),
    ]


def _to_surface(now: _Moves, seen: _Seen) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances of the measured points; a point far from the hand loses its weight (Geman and
    McClure), and those of the forearm have none.
    """
    found = distances(seen.points, now.spheres)
    rows = torch.arange(len(found.spheres))[:, None, None]
    slope = (now.d_spheres[rows, found.spheres] * found.weights[..., None, None]).sum(2)
    slope = -(found.normal[..., None] * slope[:, :, :3]).sum(2) - slope[:, :, 3]
    far = (found.distance / (NEAR / 2)).square()
    weight = (seen.valid & ~found.forearm) / (1 + far) / POINT_MM
    # So that the number of points does not matter.
    weight = weight * (64 / POINTS) ** 0.5
    return found.distance * weight, slope * weight[..., None]


def _to_silhouette(now: _Moves, seen: _Seen) -> tuple[torch.Tensor, torch.Tensor]:
    """How far spheres lie beside the silhouette, where the camera has seen what is behind them."""
    first = hands.SPHERES.index("forearm radial")
    spheres, slopes = now.spheres[:, :first], now.d_spheres[:, :first]
    x, y, z = spheres[..., :3].unbind(-1)
    z = z.clamp_min(1.0)
    size = seen.depth.shape[-1]
    scale = seen.camera[:, None, :2] / z[..., None]  # pixels per mm
    uv = torch.stack([x, y], -1) * scale + (seen.camera[:, 2:] - seen.origin)[:, None]
    pixel = uv.round().long()
    within = ((pixel >= 0) & (pixel < size)).all(-1)
    pixel = pixel.clamp(0, size - 1)
    rows = torch.arange(len(uv))[:, None]
    depth = seen.depth[rows, pixel[..., 1], pixel[..., 0]]
    goal = seen.nearest[rows, pixel[..., 1], pixel[..., 0]]
    through = within & (depth > z - spheres[..., 3] + SEEN_BEHIND)
    off = (uv - goal) / scale
    weight = (through & ((pixel - goal).abs().amax(-1) > 0)) / SILHOUETTE_MM
    residual = (off * weight[..., None]).flatten(1)
    slope = slopes[:, :, :2] * weight[..., None, None]
    return residual, slope.flatten(1, 2)
