"""Exact depth images of solids made of spheres: batched ray casting of round cones and triangles.

`depth(solids, camera)` casts one ray through every pixel centre and returns the depth z (not the
distance) of the nearest surface. Two primitives are enough for a smooth hand:

* a **round cone**, the convex hull of two spheres: a phalanx, a forearm;
* a **triangle**: with three round cones it closes the convex hull of three spheres (`wedge`): a palm
  without grooves, the web between two fingers.

How a ray meets a round cone. Let the ray be X(z) = z d with d = (x, y, 1), so that its parameter is
the depth. Measure from the middle m of the axis, with the origin of the ray moved to the plane
z = m_z: o = (m_z x - m_x, m_z y - m_y, 0). What remains are numbers of the size of the cone, so that
float32 suffices. With the unit axis n, the length L, the mean radius r, and the angle whose sine is
s = (r_a - r_b) / L and whose cosine is c, the lateral surface is where

    |X|^2 - (N.X - r s/c)^2 = r^2,   N = n / c,   |N.X - r s/c| <= L c / 2,                       (1)

a quadratic w t^2 + 2 ... with the coefficients

    K2 = d.d - (N.d)^2,   K1 = o.d - (N.d) e,   K0 = o.o - r^2 - e^2,   e = N.o - r s/c,          (2)

entered at t = -(K1 + sqrt(K1^2 - K0 K2)) / K2. The two spheres are the case N = 0. Every one of
d.d, N.d, o.d, o.o and e is a function of x plus a function of y, so that inside a tile of 8 x 8
pixels only 8 + 8 values of each are computed.

Only +, -, *, / and sqrt are used, each correctly rounded on its own, and the z-buffer keeps a minimum:
the depth of a frame has the same bits alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..camera import Camera
from ..errors import HandPoseError

TILE = 8
# Rays per step: what one step touches should stay in the second-level cache of a processor core;
# a GPU wants few, large steps.
RAYS_PER_STEP = {"cpu": 1 << 17, "cuda": 1 << 22}


@dataclass(frozen=True)
class Solids:
    """A union of round cones and triangles, one scene per row, in mm in the camera frame.

    cones: (B, N, 8), [ax, ay, az, ra, bx, by, bz, rb], the convex hull of sphere a and sphere b. A single
        sphere is a cone with a = b.
    triangles: (B, T, 3, 3), three corners each, seen from both sides; None for none.
    label: (N + T,) int, a part number for each primitive, cones first; None for zeros.

    Raises HandPoseError for shapes that do not fit.
    """

    cones: Tensor
    triangles: Tensor | None = None
    label: Tensor | None = None

    def __post_init__(self) -> None:
        cones, triangles, label = self.cones, self.triangles, self.label
        if cones.ndim != 3 or cones.shape[-1] != 8:
            raise HandPoseError(f"cones have shape {tuple(cones.shape)}: accepted is (B, N, 8)")
        if triangles is None:
            triangles = cones.new_zeros(len(cones), 0, 3, 3)
            object.__setattr__(self, "triangles", triangles)
        if triangles.ndim != 4 or triangles.shape[0] != len(cones) or triangles.shape[2:] != (3, 3):
            raise HandPoseError(f"triangles have shape {tuple(triangles.shape)}: accepted is ({len(cones)}, T, 3, 3)")
        count = cones.shape[1] + triangles.shape[1]
        if label is None:
            object.__setattr__(self, "label", torch.zeros(count, dtype=torch.int64, device=cones.device))
        elif label.shape != (count,):
            raise HandPoseError(f"label has shape {tuple(label.shape)}: accepted is ({count},), one per primitive")

    def __len__(self) -> int:
        return len(self.cones)

    def index(self, rows) -> Solids:
        """The scenes of `rows` (a tensor of indices or a slice)."""
        return Solids(self.cones[rows], self.triangles[rows], self.label)

    def to(self, *args, **kwargs) -> Solids:
        """The same scenes on another device or in another dtype; labels stay integers."""
        cones = self.cones.to(*args, **kwargs)
        return Solids(cones, self.triangles.to(*args, **kwargs), self.label.to(cones.device))


def join(parts: Sequence[Solids]) -> Solids:
    """One union of several, scene by scene; the order of `parts` orders the primitives."""
    cones, triangles = [p.cones for p in parts], [p.triangles for p in parts]
    labels = [p.label[: p.cones.shape[1]] for p in parts] + [p.label[p.cones.shape[1] :] for p in parts]
    return Solids(torch.cat(cones, 1), torch.cat(triangles, 1), torch.cat(labels))


def wedge(spheres: Tensor) -> tuple[Tensor, Tensor]:
    """The convex hull of three spheres as primitives of `Solids`.

    spheres: (..., 3, 4), [x, y, z, r] in mm. Returns cones (..., 3, 8) and triangles (..., 2, 3, 3).

    Its surface is made of three round cones and two triangles, which lie in the planes that touch all
    three spheres. A plane with the unit normal n touches them where n.c_i + r_i is the same for all i;
    its triangle has the corners c_i + r_i n. No such plane exists where one sphere lies within the hull
    of the others or where the centres are in line: the cones alone are the hull then, and the triangles
    shrink to a point inside the first sphere.
    """
    if spheres.shape[-2:] != (3, 4):
        raise HandPoseError(f"spheres have shape {tuple(spheres.shape)}: accepted is (..., 3, 4)")
    centre, radius = spheres[..., :3], spheres[..., 3:]
    cones = torch.cat([spheres, spheres.roll(-1, dims=-2)], dim=-1)

    u, v = centre[..., 1, :] - centre[..., 0, :], centre[..., 2, :] - centre[..., 0, :]
    p, q = radius[..., 0, :] - radius[..., 1, :], radius[..., 0, :] - radius[..., 2, :]
    k = _cross(u, v)
    area = _dot(k, k)
    # n = (p (v x k) + q (k x u)) / k.k is the part of the normal in the plane of the centres (n.u = p, n.v = q);
    # the rest of its unit length points along +k or -k.
    safe = area.clamp_min(torch.finfo(area.dtype).tiny)
    flat = (p * _cross(v, k) + q * _cross(k, u)) / safe
    rest = 1 - _dot(flat, flat)
    # Centres count as in line where the sine between two sides is below 1e-4.
    exists = (area > 1e-8 * _dot(u, u) * _dot(v, v)) & (rest > 0)
    up = k * (rest.clamp_min(0) / safe).sqrt()
    corners = [centre + radius * (flat + side * up)[..., None, :] for side in (1, -1)]
    triangles = torch.stack([corners[0], corners[1].flip(-2)], dim=-3)
    return cones, torch.where(exists[..., None, None], triangles, centre[..., None, :1, :])


def depth(solids: Solids, camera: Camera | Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """The depth images of `solids`: (B, H, W) in mm, 0 where a ray meets nothing.

    camera: a Camera, or intrinsics [fx, fy, u0, v0] as a tensor (4,) or (B, 4); `size` is then required.
    size: (H, W) in pixels; None for the camera's own.
    Only what a ray enters in front of the camera (z > 0) counts. float64 solids are cast in float64.
    Raises HandPoseError for primitives that are not finite, or a radius below 0.
    """
    lens, (height, width) = _lens(solids, camera, size)
    if len(solids) == 0:
        return solids.cones.new_zeros(0, height, width)
    rays = _Rays.through_pixels(lens, height, width)
    lists = [
        _near_tiles(_BODY, _bodies(solids.cones), rays),
        _near_tiles(_SPHERE, _spheres(solids.cones), rays),
        _near_tiles(_TRIANGLE, _triangles(solids.triangles), rays),
    ]
    return _z_buffer(lists, rays, len(solids))[:, :height, :width]


# ---------------------------------------------------------------------------------------------------
# Primitives. Each kind has rows of numbers per primitive, a test whether it comes near the ray through
# the centre of a tile (never wrong with "no"), and the depth at which rays enter it (far away or nan
# for a miss: conditions that put a number in place of another are many times slower than arithmetic).
# x and y broadcast against each other; the primitives are along the last axis.

_FAR = 1e30

class _Kind(NamedTuple):
    near: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    enter: Callable[[Tensor, Tensor, Tensor], Tensor]
    near_rows: slice = slice(None)
    enter_rows: slice = slice(None)


def _enter_body(rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    nx, ny, nz, r, shift, half, mx, my, mz = rows
    ox, oy = mz * x - mx, mz * y - my
    along = nx * x + (ny * y + nz)  # N.d
    e = nx * ox + (ny * oy - shift)
    k2 = (along * along).sub_(x * x + (y * y + 1))  # Eq. 2, with the sign of K2 turned
    k1 = (x * ox + y * oy).sub_(along * e)
    k0 = (ox * ox + (oy * oy - r * r)).sub_(e * e)
    t = _first_root(k2, k1, k0)
    beyond = e.add_(along.mul_(t)).abs_().sub_(half).clamp_min_(0)
    return t.add_(mz).add_(beyond, alpha=_FAR)


def _enter_sphere(rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    cx, cy, cz, r = rows
    ox, oy = cz * x - cx, cz * y - cy
    k2 = -x * x - (y * y + 1)
    k1 = x * ox + y * oy
    k0 = ox * ox + (oy * oy - r * r)
    return _first_root(k2, k1, k0).add_(cz)


def _enter_triangle(rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    inside = rows[0] * x + (rows[1] * y + rows[2])
    for i in (3, 6):
        torch.minimum(inside, rows[i] * x + (rows[i + 1] * y + rows[i + 2]), out=inside)
    beyond = inside.neg_().clamp_min_(0)
    return (rows[12] / (rows[9] * x + (rows[10] * y + rows[11]))).add_(beyond, alpha=_FAR)


def _first_root(k2: Tensor, k1: Tensor, k0: Tensor) -> Tensor:
    """t = (K1 + sqrt(K1^2 + K0 k2)) / k2 with k2 = -K2; nan for a miss. Overwrites k1 and k0."""
    square = (k1 * k1).add_(k0.mul_(k2))
    # The square root of a negative number takes 50 times as long as its reciprocal square root (MKL).
    return square.mul_(square.rsqrt()).add_(k1).div_(k2)


def _near_body(rows: Tensor, x: Tensor, y: Tensor, reach: Tensor) -> Tensor:
    # The distance of the line z d from the axis of the cone: that of m + tau n at its best tau.
    mx, my, mz, nx, ny, nz, half, radius, far = rows
    mdx, mdy, mdz = my - mz * y, mz * x - mx, mx * y - my * x  # m x d
    ndx, ndy, ndz = ny - nz * y, nz * x - nx, nx * y - ny * x  # n x d
    nn = ndx * ndx + ndy * ndy + ndz * ndz
    mn = mdx * ndx + mdy * ndy + mdz * ndz
    tau = (-mn / nn.clamp_min(1e-9)).clamp(-half, half)
    px, py, pz = mdx + tau * ndx, mdy + tau * ndy, mdz + tau * ndz
    limit = radius + far * reach
    return px * px + py * py + pz * pz <= limit * limit * (x * x + y * y + 1)


def _near_sphere(rows: Tensor, x: Tensor, y: Tensor, reach: Tensor) -> Tensor:
    cx, cy, cz, r = rows
    px, py = cy - cz * y, cz * x - cx
    pz = x * px + y * py  # c x d = (px, py, -pz)
    limit = r + (cz + r) * reach
    return px * px + py * py + pz * pz <= limit * limit * (x * x + y * y + 1)


def _near_triangle(rows: Tensor, x: Tensor, y: Tensor, reach: Tensor) -> Tensor:
    near = torch.ones_like(x, dtype=torch.bool)
    for i in (0, 3, 6):
        near &= rows[i] * x + rows[i + 1] * y + rows[i + 2] + (rows[i].abs() + rows[i + 1].abs()) * reach >= 0
    return near


_BODY = _Kind(_near_body, _enter_body, slice(6, 15), slice(0, 9))
_SPHERE = _Kind(_near_sphere, _enter_sphere)
_TRIANGLE = _Kind(_near_triangle, _enter_triangle, slice(0, 9))


class _Primitives(NamedTuple):
    """rows: (B, K, C) numbers for `enter` and `near`. extent: (B, K, 4) least and greatest x, least and greatest y."""

    rows: Tensor
    extent: Tensor


def _spheres(cones: Tensor) -> _Primitives:
    both = torch.cat([cones[..., :4], cones[..., 4:]], dim=1)
    # Neighbouring cones share spheres. One of those that are the same in every scene is enough.
    _, group = both[0].unique(dim=0, return_inverse=True)
    first = torch.full_like(group, len(group)).scatter_reduce_(0, group, torch.arange(len(group), device=group.device), "amin")
    same = (both == both[:, first[group]]).all(-1).all(0)
    keep = ~same | (first[group] == torch.arange(len(group), device=group.device))
    both = both[:, keep]
    return _Primitives(both, _sphere_extent(both))


def _bodies(cones: Tensor) -> _Primitives:
    a, ra, b, rb = cones[..., :3], cones[..., 3:4], cones[..., 4:7], cones[..., 7:]
    axis = b - a
    length = _dot(axis, axis).sqrt()
    # Where one sphere swallows the other there is no lateral surface. Below c = 0.01 its height is
    # under a hundredth of the length and the spheres hide it.
    swallowed = (ra - rb).abs() >= length * 0.99995
    length = length.masked_fill(swallowed, 1)
    sine = ((ra - rb) / length).masked_fill(swallowed, 0)
    cosine = (1 - sine * sine).sqrt()
    unit, r = axis / length, (ra + rb) / 2
    half = (length * cosine / 2).masked_fill(swallowed, -1)  # no point is within -1 mm of the middle
    rows = [unit / cosine, r, r * sine / cosine, half, (a + b) / 2]
    rows += [unit, length / 2, torch.maximum(ra, rb), torch.maximum(a[..., 2:] + ra, b[..., 2:] + rb)]
    ends = torch.stack([_sphere_extent(cones[..., :4]), _sphere_extent(cones[..., 4:])])
    low, high = ends.amin(0), ends.amax(0)
    extent = torch.stack([low[..., 0], high[..., 1], low[..., 2], high[..., 3]], dim=-1)
    # One end behind the camera: what lies between has no bound. Both: there is nothing to see.
    extent = torch.where((a[..., 2:] > ra) & (b[..., 2:] > rb), extent, _EVERYWHERE.to(extent))
    hidden = swallowed | ((a[..., 2:] + ra <= 0) & (b[..., 2:] + rb <= 0))
    return _Primitives(torch.cat(rows, -1), torch.where(hidden, _NOWHERE.to(extent), extent))


def _triangles(triangles: Tensor) -> _Primitives:
    v = triangles.unbind(-2)
    normal = _cross(v[1] - v[0], v[2] - v[0])
    volume = _dot(normal, v[0])
    # A ray is inside where it passes all three edges on the same side; the sign makes that side positive.
    sign = volume.sign()
    edges = [sign * _cross(v[i], v[(i + 1) % 3] - v[i]) for i in range(3)]
    rows = torch.cat([*edges, sign * normal, volume.abs()], -1)
    z = triangles[..., 2]
    x, y = triangles[..., 0] / z, triangles[..., 1] / z
    extent = torch.stack([x.amin(-1), x.amax(-1), y.amin(-1), y.amax(-1)], dim=-1)
    extent = torch.where((z > 0).all(-1, keepdim=True), extent, _EVERYWHERE.to(extent))
    return _Primitives(rows, torch.where((volume == 0) | (z <= 0).all(-1, keepdim=True), _NOWHERE.to(extent), extent))


_NOWHERE = torch.tensor([torch.inf, -torch.inf, torch.inf, -torch.inf])
_EVERYWHERE = -_NOWHERE


def _sphere_extent(sphere: Tensor) -> Tensor:
    """(..., 4) least and greatest x = X/Z and y = Y/Z of the spheres (..., 4)."""
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


# ---------------------------------------------------------------------------------------------------
# Tiles


class _Rays(NamedTuple):
    """x: (8, F * columns) and y: (8, F * rows) of the pixels of each tile; F is 1 where all scenes share a lens."""

    x: Tensor
    y: Tensor
    lens: Tensor
    columns: int
    rows: int

    @classmethod
    def through_pixels(cls, lens: Tensor, height: int, width: int) -> _Rays:
        """lens: (F, 4). Images are padded to whole tiles on the right and at the bottom."""
        sides = []
        for axis, pixels in enumerate((width, height)):
            tiles = -(-pixels // TILE)
            place = torch.arange(tiles * TILE, dtype=lens.dtype, device=lens.device)
            ray = (place - lens[:, 2 + axis, None]) / lens[:, axis, None]
            sides.append((ray.reshape(-1, TILE).T.contiguous(), tiles))
        return cls(sides[0][0], sides[1][0], lens, sides[0][1], sides[1][1])

    def place(self, tile: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frame, row and column of tiles numbered through the batch."""
        frame = tile // (self.rows * self.columns)
        inside = tile - frame * (self.rows * self.columns)
        row = inside // self.columns
        return frame, row, inside - row * self.columns

    def of_tiles(self, tile: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: (8, P), y: (8, P) of P tiles, and the size of a pixel at z = 1, (P,) or (1,)."""
        frame, row, column = self.place(tile)
        pixel = 1 / self.lens[:, :2].amin(-1)
        if len(self.lens) > 1:
            row, column, pixel = row + frame * self.rows, column + frame * self.columns, pixel[frame]
        return self.x.index_select(1, column), self.y.index_select(1, row), pixel


class _Near(NamedTuple):
    """The P pairs of a primitive and a tile that it may touch, in the order of their turn at the tile.

    The busiest tile comes first, so that turn k holds the first `turns[k]` of the tiles.
    """

    kind: _Kind
    table: Tensor  # (C, B K) numbers of the primitives
    primitive: Tensor  # (P,) column of the table
    place: Tensor  # (P,) index into `tile`
    tile: Tensor  # (A,) number of the tile in the batch
    turns: list[int]


def _near_tiles(kind: _Kind, primitives: _Primitives, rays: _Rays) -> _Near:
    rows, extent = primitives
    lens = rays.lens[:, None]
    limit = extent.new_tensor([rays.columns, rays.rows])
    # A thousandth of a pixel for the rounding of x and y.
    low = ((extent[..., 0::2] * lens[..., :2] + lens[..., 2:] - 1e-3) / TILE).floor().clamp_min(0)
    high = ((extent[..., 1::2] * lens[..., :2] + lens[..., 2:] + 1e-3) / TILE).floor() + 1
    size = (torch.minimum(high, limit) - low).clamp_min(0).flatten(0, 1).int()
    wide, left, top = size[:, 0], *torch.minimum(low, limit).flatten(0, 1).int().unbind(-1)

    # Columns of the table and tiles of each primitive's rectangle, row by row.
    count = size[:, 0] * size[:, 1]
    primitive = torch.repeat_interleave(count.long())
    table = rows.flatten(0, 1).T.contiguous()
    first = (torch.arange(len(count), dtype=torch.int32, device=count.device) // max(extent.shape[1], 1) * rays.rows + top) * rays.columns
    start = count.cumsum(0, dtype=torch.int32) - count
    index = torch.stack([first + left, start, wide], dim=1).index_select(0, primitive)
    inside = torch.arange(len(primitive), dtype=torch.int32, device=count.device) - index[:, 1]
    down = inside // index[:, 2]
    tile = index[:, 0] + down * (rays.columns - index[:, 2]) + inside

    x, y, pixel = rays.of_tiles(tile)
    centre = [(side[TILE // 2 - 1] + side[TILE // 2]) / 2 for side in (x, y)]
    reach = (TILE - 1) / 2 * 2**0.5 * 1.01 * pixel
    keep = kind.near(table[kind.near_rows].index_select(1, primitive), *centre, reach).nonzero()[:, 0]
    return _Near(kind, table[kind.enter_rows], *_by_turn(primitive.index_select(0, keep), tile.index_select(0, keep)))


def _by_turn(primitive: Tensor, tile: Tensor) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    tile, order = tile.sort(stable=True)
    tile, group, count = tile.unique_consecutive(return_inverse=True, return_counts=True)
    turn = torch.arange(len(group), device=tile.device) - (count.cumsum(0) - count).index_select(0, group)
    busiest = count.argsort(descending=True, stable=True)
    place = torch.empty_like(busiest).index_copy_(0, busiest, torch.arange(len(busiest), device=tile.device))
    place = place.index_select(0, group)
    turns = turn.bincount()
    target = (turns.cumsum(0) - turns).index_select(0, turn) + place
    primitive = torch.empty_like(primitive).index_copy_(0, target, primitive.index_select(0, order))
    return primitive, torch.empty_like(place).index_copy_(0, target, place), tile.index_select(0, busiest), turns.tolist()


def _nearest(near: _Near, rays: _Rays) -> Tensor:
    """(A, 64) the nearest depth in each tile, infinite or far away where there is none."""
    nearest = rays.x.new_full((TILE * TILE, len(near.tile)), torch.inf)
    across, down, _ = rays.of_tiles(near.tile)
    step = RAYS_PER_STEP.get(nearest.device.type, RAYS_PER_STEP["cuda"]) // TILE**2
    ends = torch.tensor(near.turns).cumsum(0).tolist()
    turn = 0
    for start in range(0, len(near.place), step):
        stop = min(start + step, len(near.place))
        place = near.place[start:stop]
        x, y = across.index_select(1, place), down.index_select(1, place)
        rows = near.table.index_select(1, near.primitive[start:stop])
        z = near.kind.enter(rows, x[None], y[:, None]).view(TILE * TILE, -1)
        z = torch.threshold_(z, 0, torch.inf).nan_to_num_(torch.inf, torch.inf)
        done = start
        while done < stop:
            upto = min(stop, ends[turn])
            first = done - (ends[turn] - near.turns[turn])
            part = nearest[:, first : first + upto - done]
            torch.minimum(part, z[:, done - start : upto - start], out=part)
            done = upto
            turn += upto == ends[turn]
    return nearest.T.contiguous()


def _z_buffer(lists: Sequence[_Near], rays: _Rays, frames: int) -> Tensor:
    """The nearest depth (B, rows * 8, columns * 8) of all pairs; 0 where there is none."""
    touched = torch.zeros(frames * rays.rows * rays.columns, dtype=torch.bool, device=rays.x.device)
    for near in lists:
        touched[near.tile.long()] = True
    active = touched.nonzero()[:, 0]
    slot = touched.cumsum(0) - 1
    nearest = rays.x.new_full((len(active), TILE * TILE), torch.inf)
    for near in lists:
        rows = slot[near.tile.long()]
        nearest[rows] = torch.minimum(nearest[rows], _nearest(near, rays))
    nearest.masked_fill_(nearest > _FAR * 1e-12, 0)
    frame, row, column = rays.place(active)
    line = (frame * rays.rows + row)[:, None] * TILE + torch.arange(TILE, device=active.device)
    image = rays.x.new_zeros(frames * rays.rows * TILE * rays.columns, TILE)
    image.index_copy_(0, (line * rays.columns + column[:, None]).flatten(), nearest.view(-1, TILE))
    return image.view(frames, rays.rows * TILE, rays.columns * TILE)


def _lens(solids: Solids, camera: Camera | Tensor, size: tuple[int, int] | None) -> tuple[Tensor, tuple[int, int]]:
    cones, triangles = solids.cones, solids.triangles
    if not (cones.isfinite().all() and triangles.isfinite().all()):
        raise HandPoseError("solids with a coordinate or radius that is not finite: accepted are mm in the camera frame")
    if (cones[..., 3::4] < 0).any():
        raise HandPoseError("solids with a radius below 0: accepted are radii in mm, 0 for a point")
    if isinstance(camera, Camera):
        size = size or (camera.height, camera.width)
        camera = camera.intrinsics(cones)
    elif size is None:
        raise HandPoseError("intrinsics without an image size: give size=(height, width)")
    if camera.shape[-1:] != (4,) or camera.ndim > 2 or (camera.ndim == 2 and len(camera) not in (1, len(cones))):
        raise HandPoseError(f"intrinsics have shape {tuple(camera.shape)}: accepted is (4,) or ({len(cones)}, 4)")
    return camera.reshape(-1, 4).to(cones), size


def _dot(a: Tensor, b: Tensor) -> Tensor:
    # Spelled out, since the order of a sum over an axis may depend on the shape of the tensor.
    p = a * b
    return p[..., 0:1] + p[..., 1:2] + p[..., 2:3]


def _cross(a: Tensor, b: Tensor) -> Tensor:
    # Spelled out, since a fused kernel may round an element differently at the end of a tensor.
    ax, ay, az = a.unbind(-1)
    bx, by, bz = b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)
