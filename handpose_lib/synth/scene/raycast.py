"""Exact depth images of solids made of spheres: batched ray casting of round cones and triangles.

`depth(solids, camera)` casts one ray through every pixel centre and returns the depth z (not the
distance) of the nearest surface. Two primitives are enough for a smooth hand:

* a **round cone**, the convex hull of two spheres: a phalanx, a forearm;
* a **triangle**: with three round cones it closes the convex hull of three spheres (`wedge`): a
  palm without grooves, the web between two fingers.

A ray is X = z d with d = (x, y, 1), so that its parameter is the depth. Everything is easier in the
nearness q = 1 / z. A plane n.X = n.v is met at q = n.d / n.v, a linear function of the pixel. The
lateral surface of a round cone with the middle m of its axis, the unit axis n, the length L, the
mean radius r, and the angle with sine s = (r_a - r_b) / L and cosine c is where

    |X - m|^2 - (N.X - E)^2 = r^2,   |N.X - E| <= L c / 2,   N = n / c,   E = N.m + r s / c.    (1)

Divided by z^2 this is k0 q^2 - 2 k1 q + k2 = 0 with

    k2 = d.d - (N.d)^2,   k1 = (m - E N).d,   k0 = m.m - E^2 - r^2,                             (2)

and the ray enters at the root

    q = (k1 + sqrt(k1^2 - k0 k2)) / k0 = l + sign(k0) sqrt(h),   h = l^2 - k2 / k0,             (3)

the sum of a linear function of the pixel and the root of a quadratic one. A sphere is the case
N = 0, E = 0.

The image is cut into tiles of 8 x 8 pixels, and each tile keeps the primitives that come near it.
There l and h are polynomials in the place of the pixel in its tile. Their coefficients are worked
out in float64, once for each primitive and tile; the 64 values then have the size of what they
describe, and float32 suffices for them. (With the camera as origin of a float32 calculation, h
would be the small difference of large numbers.)

All operations on the way are correctly rounded one by one, and the z-buffer keeps a maximum of q:
the depth of a frame has the same bits alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError

TILE = 8


@dataclass(frozen=True, init=False)
class Solids:
    """A union of round cones and triangles, one scene per row, in mm in the camera frame.

    `cones`: (B, N, 8), [ax, ay, az, ra, bx, by, bz, rb], the convex hull of sphere a and sphere b;
    a single sphere is a cone with a = b. `triangles`: (B, T, 3, 3), three corners each, seen from
    both sides; None for none. `label`: (N + T,) int, a part number for each primitive, cones first;
    None for zeros. Errors: `HandPoseError` for shapes that do not fit.
    """

    cones: torch.Tensor
    triangles: torch.Tensor
    label: torch.Tensor

    def __init__(
        self,
        cones: torch.Tensor,
        triangles: torch.Tensor | None = None,
        label: torch.Tensor | None = None,
    ) -> None:
        if cones.ndim != 3 or cones.shape[-1] != 8:
            raise HandPoseError(f"cones have shape {tuple(cones.shape)}: accepted is (B, N, 8)")
        if triangles is None:
            triangles = cones.new_zeros(len(cones), 0, 3, 3)
        if triangles.ndim != 4 or triangles.shape[0] != len(cones) or triangles.shape[2:] != (3, 3):
            raise HandPoseError(
                f"triangles have shape {tuple(triangles.shape)}: accepted is ({len(cones)}, T,"
                " 3, 3)"
            )
        count = cones.shape[1] + triangles.shape[1]
        if label is None:
            label = torch.zeros(count, dtype=torch.int64, device=cones.device)
        if label.shape != (count,):
            raise HandPoseError(
                f"label has shape {tuple(label.shape)}: accepted is ({count},), one per primitive"
            )
        object.__setattr__(self, "cones", cones)
        object.__setattr__(self, "triangles", triangles)
        object.__setattr__(self, "label", label)

    def __len__(self) -> int:
        return len(self.cones)

    def index(self, rows: torch.Tensor | slice) -> Solids:
        """Return the scenes of `rows` (a tensor of indices or a slice)."""
        return Solids(self.cones[rows], self.triangles[rows], self.label)

    def to(self, *args: Any, **kwargs: Any) -> Solids:
        """Return the same scenes on another device or in another dtype; labels stay integers."""
        cones = self.cones.to(*args, **kwargs)
        return Solids(cones, self.triangles.to(*args, **kwargs), self.label.to(cones.device))


def join(parts: Sequence[Solids]) -> Solids:
    """Return one union of several, scene by scene; the order of `parts` orders the primitives."""
    cones, triangles = [p.cones for p in parts], [p.triangles for p in parts]
    labels = [p.label[: p.cones.shape[1]] for p in parts] + [
        p.label[p.cones.shape[1] :] for p in parts
    ]
    return Solids(torch.cat(cones, 1), torch.cat(triangles, 1), torch.cat(labels))


def wedge(spheres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the convex hull of three spheres as primitives of `Solids`.

    `spheres`: (..., 3, 4), [x, y, z, r] in mm. Returns cones (..., 3, 8) and triangles
    (..., 2, 3, 3).

    Its surface is made of three round cones and two triangles, which lie in the planes that touch
    all three spheres. A plane with the unit normal n touches them where n.c_i + r_i is the same for
    all i; its triangle has the corners c_i + r_i n. No such plane exists where one sphere lies
    within the hull of the others or where the centres are in line: the cones alone are the hull
    then, and the triangles shrink to a point inside the first sphere.
    """
    if spheres.shape[-2:] != (3, 4):
        raise HandPoseError(f"spheres have shape {tuple(spheres.shape)}: accepted is (..., 3, 4)")
    centre, radius = spheres[..., :3], spheres[..., 3:]
    cones = torch.cat([spheres, spheres.roll(-1, dims=-2)], dim=-1)

    u, v = centre[..., 1, :] - centre[..., 0, :], centre[..., 2, :] - centre[..., 0, :]
    p, q = radius[..., 0, :] - radius[..., 1, :], radius[..., 0, :] - radius[..., 2, :]
    k = _cross(u, v)
    area = _dot(k, k)
    # n = (p (v x k) + q (k x u)) / k.k is the part of the normal in the plane of the centres
    # (n.u = p, n.v = q); the rest of its unit length points along +k or -k.
    safe = area.clamp_min(torch.finfo(area.dtype).tiny)
    flat = (p * _cross(v, k) + q * _cross(k, u)) / safe
    rest = 1 - _dot(flat, flat)
    # Centres count as in line where the sine between two sides is below 1e-4.
    exists = (area > 1e-8 * _dot(u, u) * _dot(v, v)) & (rest > 0)
    up = k * (rest.clamp_min(0) / safe).sqrt()
    corners = [centre + radius * (flat + side * up)[..., None, :] for side in (1, -1)]
    triangles = torch.stack([corners[0], corners[1].flip(-2)], dim=-3)
    return cones, torch.where(exists[..., None, None], triangles, centre[..., None, :1, :])


def depth(
    solids: Solids, camera: Camera | torch.Tensor, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """Return the depth images of `solids`, (B, H, W) in mm, 0 where a ray meets nothing.

    `camera`: a Camera, or intrinsics [fx, fy, u0, v0] as a tensor (4,) or (B, 4), which require
    `size`, (H, W) in pixels; None for the camera's own. Only surfaces that a ray enters in front of
    the camera (z > 0) count. float64 solids are cast in float64. Errors: `HandPoseError` for
    primitives that are not finite, or a radius below 0.
    """
    lens, (height, width) = _lens(solids, camera, size)
    if len(solids) == 0:
        return solids.cones.new_zeros(0, height, width)
    grid = _Grid(lens, -(-height // TILE), -(-width // TILE))
    lists = [
        _near_tiles(_BODY, _bodies(solids.cones), grid),
        _near_tiles(_SPHERE, _spheres(solids.cones), grid),
        _near_tiles(_TRIANGLE, _triangles(solids.triangles), grid),
    ]
    return _image(lists, grid, len(solids), solids.cones)[:, :height, :width]


# --- primitives ---------------------------------------------------------------
# Each kind has a test whether a primitive may be visible in a tile ("no" is always right), the
# coefficients of its polynomials in a tile, and the nearness q at which the rays of the tile enter
# it. The primitives are along the last axis. A miss is below 0 or nan. Conditions are many times
# as slow as arithmetic, so the distance by which a ray misses is multiplied by `_FAR` and
# subtracted.

_FAR = 1e30


class _Kind(NamedTuple):
    near: Callable[..., torch.Tensor]
    local: Callable[..., torch.Tensor]
    enter: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _enter_body(rows: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
    sign, edge, a, ax, ay = rows[9:]
    q = _larger_root(rows[:9], i, j, sign)
    # |N.d - q E| <= q L c / 2, both sides divided by L c / 2.
    beyond = (a + ax * i + ay * j).sub_(edge * q).abs_().sub_(q).clamp_min_(0)
    return q.sub_(beyond, alpha=_FAR)


def _enter_sphere(rows: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
    return _larger_root(rows, i, j)


def _enter_triangle(rows: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
    q, *edges = ((rows[k] + rows[k + 1] * i) + rows[k + 2] * j for k in (0, 3, 6, 9))
    for edge in edges[1:]:
        torch.minimum(edges[0], edge, out=edges[0])
    return q.sub_(edges[0].neg_().clamp_min_(0), alpha=_FAR)


def _larger_root(
    rows: torch.Tensor, i: torch.Tensor, j: torch.Tensor, sign: torch.Tensor | None = None
) -> torch.Tensor:
    """Return Eq. 3 for the pixels (i, j) from the centre of a tile; nan for a miss."""
    linear, lx, ly, h, hx, hy, hxx, hxy, hyy = rows
    square = (hxx * i + (hx + hxy * j)).mul_(i).add_(h + (hy + hyy * j) * j)
    # The square root of a negative number takes 50 times as long as its reciprocal square root
    # (MKL).
    root = torch.rsqrt(square).mul_(square)
    root = root if sign is None else root.mul_(sign)
    return root.add_(torch.add(linear + lx * i, ly * j, out=square))


def _local_body(
    rows: torch.Tensor, x: torch.Tensor, y: torch.Tensor, dx: torch.Tensor, dy: torch.Tensor
) -> torch.Tensor:
    px, py, pz, over, nx, ny, nz, sign, edge, half = rows
    a = [nx * x + ny * y + nz, nx * dx, ny * dy]
    root = _local_root(px, py, pz, over, nx, ny, a[0], x, y, dx, dy)
    return torch.stack([*root, sign, edge, *(v / half for v in a)])


def _local_sphere(
    rows: torch.Tensor, x: torch.Tensor, y: torch.Tensor, dx: torch.Tensor, dy: torch.Tensor
) -> torch.Tensor:
    px, py, pz, over = rows
    none = torch.zeros_like(x)
    return torch.stack(_local_root(px, py, pz, over, none, none, none, x, y, dx, dy))


def _local_root(
    px: torch.Tensor,
    py: torch.Tensor,
    pz: torch.Tensor,
    over: torch.Tensor,
    nx: torch.Tensor,
    ny: torch.Tensor,
    a: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    dx: torch.Tensor,
    dy: torch.Tensor,
) -> list[torch.Tensor]:
    """Return the coefficients of linear = p.d and of h = linear^2 - over (d.d - (N.d)^2).

    They hold around the pixel (x, y), where a = N.d.
    """
    linear = px * x + py * y + pz
    return [
        linear,
        px * dx,
        py * dy,
        linear * linear - over * (x * x + y * y + 1 - a * a),
        2 * dx * (linear * px - over * (x - a * nx)),
        2 * dy * (linear * py - over * (y - a * ny)),
        dx * dx * (px * px - over * (1 - nx * nx)),
        2 * dx * dy * (px * py + over * nx * ny),
        dy * dy * (py * py - over * (1 - ny * ny)),
    ]


def _local_triangle(
    rows: torch.Tensor, x: torch.Tensor, y: torch.Tensor, dx: torch.Tensor, dy: torch.Tensor
) -> torch.Tensor:
    return torch.cat(
        [torch.stack([a * x + b * y + c, a * dx, b * dy]) for a, b, c in rows.split(3)]
    )


# The tests take the ray z d through the centre of the tile, and half of the tile's side at z = 1,
# `reach`. A point X seen in the tile at depth z differs from z d by at most z reach in x and in y:
# by no more than z reach (|q_x| + |q_y|) along any unit vector q.


def _near_body(
    rows: torch.Tensor, x: torch.Tensor, y: torch.Tensor, reach: torch.Tensor
) -> torch.Tensor:
    # A ray comes near the lateral surface if it comes near to the axis, and if what it passes of an
    # infinite cylinder, wider by the tile, is not all beyond one of the ends. tau: where along the
    # axis it is nearest.
    mx, my, mz, nx, ny, nz, middle, half, radius, far = rows
    mdx, mdy, mdz = my - mz * y, mz * x - mx, mx * y - my * x  # m x d
    ndx, ndy, ndz = ny - nz * y, nz * x - nx, nx * y - ny * x  # n x d
    nn = ndx * ndx + ndy * ndy + ndz * ndz
    mn = mdx * ndx + mdy * ndy + mdz * ndz
    nn = nn.clamp_min_(1e-9)
    tau = mn.div_(nn).neg_()
    px, py, pz = mdx + tau * ndx, mdy + tau * ndy, mdz + tau * ndz
    square = (px * px + py * py + pz * pz) / (x * x + y * y + 1)
    grown = far * reach
    limit = (
        radius + grown * (ndx.abs() + ndy.abs()) * nn.rsqrt()
    )  # n x d points from one to the other
    room = (radius + grown * 2**0.5).square_().sub_(square).clamp_min_(0)
    passed = (nx * x + ny * y + nz).abs_() * (room / nn).sqrt_() + grown * (nx.abs() + ny.abs())
    return (square <= limit * limit) & ((tau - middle).abs_() <= half + passed)


def _near_sphere(
    rows: torch.Tensor, x: torch.Tensor, y: torch.Tensor, reach: torch.Tensor
) -> torch.Tensor:
    cx, cy, cz, r = rows
    px, py = cy - cz * y, cz * x - cx
    pz = x * px + y * py  # c x d = (px, py, -pz)
    limit = r + (cz + r) * reach * 2**0.5
    return px * px + py * py + pz * pz <= limit * limit * (x * x + y * y + 1)


def _near_triangle(
    rows: torch.Tensor, x: torch.Tensor, y: torch.Tensor, reach: torch.Tensor
) -> torch.Tensor:
    near = torch.ones_like(x, dtype=torch.bool)
    for i in (0, 3, 6):
        near &= (
            rows[i] * x
            + rows[i + 1] * y
            + rows[i + 2]
            + (rows[i].abs() + rows[i + 1].abs()) * reach
            >= 0
        )
    return near


_BODY = _Kind(_near_body, _local_body, _enter_body)
_SPHERE = _Kind(_near_sphere, _local_sphere, _enter_sphere)
_TRIANGLE = _Kind(_near_triangle, _local_triangle, _enter_triangle)


class _Primitives(NamedTuple):
    """B scenes with K primitives of a kind.

    `near`: (B, K, C) numbers for the test, in the dtype of the solids. `local`: (B, K, D) float64
    numbers for the coefficients. `extent`: (B, K, 4) lowest and highest x, lowest and highest y of
    the rays that may meet it.
    """

    near: torch.Tensor
    local: torch.Tensor
    extent: torch.Tensor


def _spheres(cones: torch.Tensor) -> _Primitives:
    both = torch.cat([cones[..., :4], cones[..., 4:]], dim=1)
    # Neighbouring cones share spheres. One of those that are the same in every scene is enough.
    _, group = both[0].unique(dim=0, return_inverse=True)
    number = torch.arange(len(group), device=group.device)
    first = torch.full_like(group, len(group)).scatter_reduce_(0, group, number, "amin")[group]
    same = (both == both[:, first]).all(-1).all(0)
    both = both[:, ~same | (first == number)]
    centre, r = both[..., :3].double(), both[..., 3:].double()
    k0 = _dot(centre, centre) - r * r
    # From inside of a sphere its surface is not entered.
    extent = torch.where(k0 > 0, _sphere_extent(both), _NOWHERE.to(both))
    over = 1 / k0
    return _Primitives(both, torch.cat([centre * over, over], -1), extent)


def _bodies(cones: torch.Tensor) -> _Primitives:
    exact = cones.double()
    a, ra, b, rb = exact[..., :3], exact[..., 3:4], exact[..., 4:7], exact[..., 7:]
    axis = b - a
    length = _dot(axis, axis).sqrt()
    # Where one sphere swallows the other there is no lateral surface. Below c = 0.01 its height is
    # under a hundredth of the length and the spheres hide it.
    swallowed = (ra - rb).abs() >= length * 0.99995
    length = length.masked_fill(swallowed, 1)
    sine = ((ra - rb) / length).masked_fill(swallowed, 0)
    cosine = (1 - sine * sine).sqrt()
    m, n, r, half = (a + b) / 2, axis / length, (ra + rb) / 2, length * cosine / 2
    far = torch.maximum(a[..., 2:] + ra, b[..., 2:] + rb)
    near = torch.cat([m, n, r * sine, half * cosine, torch.maximum(ra, rb), far], -1)

    n = n / cosine
    e = _dot(n, m) + r * sine / cosine
    k0 = _dot(m, m) - e * e - r * r
    over = 1 / torch.where(
        k0.abs() > 1e-9, k0, 1e-9
    )  # 0 where the camera is on the surface, which it cannot see
    local = torch.cat([(m - e * n) * over, over, n, over.sign(), e / half, half], -1)

    ends = torch.stack([_sphere_extent(cones[..., :4]), _sphere_extent(cones[..., 4:])])
    low, high = ends.amin(0), ends.amax(0)
    extent = torch.stack([low[..., 0], high[..., 1], low[..., 2], high[..., 3]], dim=-1)
    # One end behind the camera: what lies between has no bound. Both: there is nothing to see.
    extent = torch.where((a[..., 2:] > ra) & (b[..., 2:] > rb), extent, _EVERYWHERE.to(extent))
    return _Primitives(
        near.to(cones), local, torch.where(swallowed | (far <= 0), _NOWHERE.to(extent), extent)
    )


def _triangles(triangles: torch.Tensor) -> _Primitives:
    v = triangles.double().unbind(-2)
    normal = _cross(v[1] - v[0], v[2] - v[0])
    volume = _dot(normal, v[0])
    # A ray is inside where it passes all three edges on the same side; the sign makes that side
    # positive.
    edges = torch.cat([volume.sign() * _cross(v[i], v[(i + 1) % 3] - v[i]) for i in range(3)], -1)
    edge_on = volume == 0
    local = torch.cat([normal / volume.masked_fill(edge_on, 1), edges], -1)
    z = triangles[..., 2]
    x, y = triangles[..., 0] / z, triangles[..., 1] / z
    extent = torch.stack([x.amin(-1), x.amax(-1), y.amin(-1), y.amax(-1)], dim=-1)
    extent = torch.where((z > 0).all(-1, keepdim=True), extent, _EVERYWHERE.to(extent))
    extent = torch.where(edge_on | (z <= 0).all(-1, keepdim=True), _NOWHERE.to(extent), extent)
    return _Primitives(edges.to(triangles), local, extent)


_NOWHERE = torch.tensor([torch.inf, -torch.inf, torch.inf, -torch.inf])
_EVERYWHERE = -_NOWHERE


def _sphere_extent(sphere: torch.Tensor) -> torch.Tensor:
    """Return (..., 4), lowest and highest x = X/Z and y = Y/Z of the spheres (..., 4)."""
    x, y, z, r = sphere.unbind(-1)
    room = z * z - r * r
    sides = []
    for c in (x, y):
        spread = r * (c * c + room).clamp_min(0).sqrt()
        sides += [(c * z - spread) / room, (c * z + spread) / room]
    extent = torch.stack(sides, dim=-1)
    # A sphere around the camera fills the view; one behind it is not seen.
    extent = torch.where((z > r)[..., None], extent, _EVERYWHERE.to(extent))
    return torch.where((z + r <= 0)[..., None], _NOWHERE.to(extent), extent)


# --- tiles --------------------------------------------------------------------


class _Grid(NamedTuple):
    """The tiles of B images, numbered frame by frame and row by row.

    `lens`: (F, 4) intrinsics; F is 1 if all images share them.
    """

    lens: torch.Tensor
    rows: int
    columns: int

    def place(self, tile: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return frame, row and column of tiles."""
        frame = _quotient(tile, self.rows * self.columns)
        inside = tile - frame * (self.rows * self.columns)
        row = _quotient(inside, self.columns)
        return frame, row, inside - row * self.columns

    def rays(
        self, frame: torch.Tensor, row: torch.Tensor, column: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return x, y of the rays through the centres of P tiles, and dx, dy from pixel to pixel.

        Each is (P,) or (1,).
        """
        lens = (
            self.lens.to(dtype)
            if len(self.lens) == 1
            else self.lens.to(dtype).index_select(0, frame)
        )
        fx, fy, u0, v0 = lens.unbind(-1)
        middle = (TILE - 1) / 2
        return (
            (column * TILE + (middle - u0)) / fx,
            (row * TILE + (middle - v0)) / fy,
            1 / fx,
            1 / fy,
        )


class _Near(NamedTuple):
    """The P pairs of a primitive and a tile in which it may be visible, ordered by turn.

    Turn k holds the k-th primitive of every tile that has one. The tile with most primitives comes
    first, so that turn k holds the first `turns[k]` of the tiles.
    """

    kind: _Kind
    local: torch.Tensor  # (C, P) coefficients of each primitive in its tile
    tile: torch.Tensor  # (A,) numbers of the tiles
    turns: list[int]


def _near_tiles(kind: _Kind, primitives: _Primitives, grid: _Grid) -> _Near:
    near, local, extent = primitives
    lens = grid.lens[:, None]
    limit = extent.new_tensor([grid.columns, grid.rows])
    # A thousandth of a pixel for the rounding of x and y.
    low = ((extent[..., 0::2] * lens[..., :2] + lens[..., 2:] - 1e-3) / TILE).floor().clamp_min(0)
    high = ((extent[..., 1::2] * lens[..., :2] + lens[..., 2:] + 1e-3) / TILE).floor() + 1
    wide, tall = (torch.minimum(high, limit) - low).clamp_min(0).flatten(0, 1).int().unbind(-1)
    left, top = torch.minimum(low, limit).flatten(0, 1).int().unbind(-1)

    # The tiles of each primitive's rectangle, row by row.
    count = wide * tall
    primitive = torch.repeat_interleave(count.long())
    frame = _quotient(
        torch.arange(len(count), dtype=torch.int32, device=count.device), max(extent.shape[1], 1)
    )
    start = count.cumsum(0, dtype=torch.int32) - count
    frame, top, left, wide, start = torch.stack([frame, top, left, wide, start]).index_select(
        1, primitive
    )
    inside = torch.arange(len(primitive), dtype=torch.int32, device=count.device) - start
    down = _quotient(inside, wide)
    row, column = top + down, left + inside - down * wide

    x, y, dx, dy = grid.rays(frame, row, column, near.dtype)
    # One per cent more, for rounding.
    reach = (TILE - 1) / 2 * 1.01 * torch.maximum(dx, dy)
    keep = kind.near(
        near.flatten(0, 1).T.contiguous().index_select(1, primitive), x, y, reach
    ).nonzero()[:, 0]
    tile = ((frame * grid.rows + row) * grid.columns + column).index_select(0, keep)
    primitive, place, tile, turns = _by_turn(primitive.index_select(0, keep), tile)

    rays = grid.rays(*grid.place(tile.index_select(0, place)), torch.float64)
    local = kind.local(local.flatten(0, 1).T.contiguous().index_select(1, primitive), *rays)
    return _Near(kind, local.to(near), tile, turns)


def _by_turn(
    primitive: torch.Tensor, tile: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[int]]:
    """Return the pairs ordered by turn: their primitives (P,), the indices of their tiles, the
    tiles (A,), and how many pairs each turn has.
    """
    tile, order = tile.sort(stable=True)
    tile, group, count = tile.unique_consecutive(return_inverse=True, return_counts=True)
    turn = torch.arange(len(group), device=tile.device) - (count.cumsum(0) - count).index_select(
        0, group
    )
    busiest = count.argsort(descending=True, stable=True)
    place = torch.empty_like(busiest).index_copy_(
        0, busiest, torch.arange(len(busiest), device=tile.device)
    )
    place = place.index_select(0, group)
    turns = turn.bincount()
    target = (turns.cumsum(0) - turns).index_select(0, turn) + place
    primitive = torch.empty_like(primitive).index_copy_(0, target, primitive.index_select(0, order))
    place = torch.empty_like(place).index_copy_(0, target, place)
    return primitive, place, tile.index_select(0, busiest), turns.tolist()


def _nearest(near: _Near) -> torch.Tensor:
    """Return (A, 64), the largest q at the pixels of each tile, 0 where there is none."""
    local = near.local
    nearest = local.new_zeros(TILE * TILE, len(near.tile))
    i = torch.arange(TILE, dtype=local.dtype, device=local.device)[:, None] - (TILE - 1) / 2
    j = i[:, None]
    step = _rays_per_step(local.device) // TILE**2
    ends = torch.tensor(near.turns).cumsum(0).tolist()
    turn = 0
    for start in range(0, local.shape[1], step):
        stop = min(start + step, local.shape[1])
        q = near.kind.enter(local[:, start:stop], i, j).view(TILE * TILE, -1).nan_to_num_(0.0)
        while start < stop:
            upto = min(stop, ends[turn])
            first = start - (ends[turn] - near.turns[turn])
            part = nearest[:, first : first + upto - start]
            torch.maximum(part, q[:, : upto - start], out=part)
            start, q = upto, q[:, upto - start :]
            turn += upto == ends[turn]
    return nearest.T.contiguous()


def _rays_per_step(device: torch.device) -> int:
    """Return how many rays to compute at once.

    On a CPU, the data of one step should fit into the caches; a GPU needs few, large steps.
    """
    return 1 << 22 if device.type != "cpu" else torch.get_num_threads() << 16


def _image(lists: Sequence[_Near], grid: _Grid, frames: int, like: torch.Tensor) -> torch.Tensor:
    """Return the depth (B, rows * 8, columns * 8) of all pairs; 0 where there is nothing."""
    touched = torch.zeros(frames * grid.rows * grid.columns, dtype=torch.bool, device=like.device)
    for near in lists:
        touched[near.tile.long()] = True
    active = touched.nonzero()[:, 0]
    slot = touched.cumsum(0) - 1
    nearest = like.new_zeros(len(active), TILE * TILE)
    for near in lists:
        rows, found = slot.index_select(0, near.tile), _nearest(near)
        nearest.index_copy_(0, rows, torch.maximum(nearest.index_select(0, rows), found, out=found))
    depth = nearest.reciprocal_().nan_to_num_(posinf=0.0)
    frame, row, column = grid.place(active)
    line = (frame * grid.rows + row)[:, None] * TILE + torch.arange(TILE, device=active.device)
    image = like.new_zeros(frames * grid.rows * TILE * grid.columns, TILE)
    image.index_copy_(0, (line * grid.columns + column[:, None]).flatten(), depth.view(-1, TILE))
    return image.view(frames, grid.rows * TILE, grid.columns * TILE)


def _lens(
    solids: Solids, camera: Camera | torch.Tensor, size: tuple[int, int] | None
) -> tuple[torch.Tensor, tuple[int, int]]:
    cones, triangles = solids.cones, solids.triangles
    if not (cones.isfinite().all() and triangles.isfinite().all()):
        raise HandPoseError(
            "solids with a number that is not finite: accepted are mm in the camera frame"
        )
    if (cones[..., 3::4] < 0).any():
        raise HandPoseError("solids with a radius below 0: accepted are radii in mm, 0 for a point")
    if isinstance(camera, Camera):
        size = size or (camera.height, camera.width)
        camera = camera.intrinsics(cones)
    elif size is None:
        raise HandPoseError("intrinsics without an image size: give size=(height, width)")
    if (
        camera.shape[-1:] != (4,)
        or camera.ndim > 2
        or (camera.ndim == 2 and len(camera) not in (1, len(cones)))
    ):
        raise HandPoseError(
            f"intrinsics have shape {tuple(camera.shape)}: accepted is (4,) or ({len(cones)}, 4)"
        )
    return camera.reshape(-1, 4).to(cones), size


def _quotient(a: torch.Tensor, b: torch.Tensor | int) -> torch.Tensor:
    """Return a // b of whole numbers from 0.

    It is exact below 2^50 and many times as fast as the division of integers.
    """
    return ((a.double() + 0.5) / b).to(a.dtype)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # Spelled out, since the order of a sum over an axis may depend on the shape of the tensor.
    p = a * b
    return p[..., 0:1] + p[..., 1:2] + p[..., 2:3]


def _cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # Spelled out, since a fused kernel may round an element differently at the end of a tensor.
    ax, ay, az = a.unbind(-1)
    bx, by, bz = b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)
