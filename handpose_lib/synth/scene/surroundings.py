"""Surroundings of a hand: wall, person behind it, table, object near it or held, touching surface.

Each part of a scene is a function of the hand and of uniform random numbers (B, n) in [0, 1), so
that a scene is as reproducible as its frame. Flat parts are planes: (B, 4) [nx, ny, nz, d] with
the unit normal n towards the camera and n.p = d on the plane. All others are round cones for
`raycast.depth`. Parts that a frame lacks lie behind the camera (`only`), where they are not drawn.

    scene = raycast.join([posed.solids(), Solids(person(posed.spheres, u))])
    image = merge(raycast.depth(scene, camera), plane_depth(table(posed.spheres, v), camera))
"""

from __future__ import annotations

import math

import torch

from handpose_lib.camera import Camera, pixel_grid
from handpose_lib.errors import HandPoseError
from handpose_lib.synth.scene.raster import Raster

FAR_MM = 4000.0
"""Planes end here, where no camera for hands measures any more."""


_GRAZING = math.sin(math.radians(5))
_CAMERA_ABOVE_MM = 40.0


def wall(
    spheres: torch.Tensor,
    u: torch.Tensor,
    gap: tuple[float, float] = (60.0, 600.0),
    tilt: float = 0.6,
) -> torch.Tensor:
    """Return planes (B, 4) behind hands of `spheres` (B, S, 4), `gap` mm behind their farthest
    point.

    `tilt`: largest angle in rad between the wall and the image plane. `u`: (B, 3).
    """
    normal = _tilted(tilt * u[:, 0], 2 * math.pi * u[:, 1])
    return _below(spheres, normal, _between(gap, u[:, 2]))


def table(
    spheres: torch.Tensor,
    u: torch.Tensor,
    gap: tuple[float, float] = (0.0, 60.0),
    tilt: float = 1.25,
) -> torch.Tensor:
    """Return planes (B, 4) below the hands, `gap` mm under their lowest point.

    A table is seen at any angle up to `tilt` rad from above. Hand and camera are on the same side
    of it, so that it never hides the hand. `u`: (B, 3).
    """
    normal = _tilted(tilt * u[:, 0].sqrt(), 2 * math.pi * u[:, 1])
    return _below(spheres, normal, _between(gap, u[:, 2]))


def person(
    spheres: torch.Tensor, u: torch.Tensor, gap: tuple[float, float] = (60.0, 450.0)
) -> torch.Tensor:
    """Return round cones (B, 8, 8): chest, shoulders, upper arms, neck and head of a person behind
    the hand.

    The chest begins `gap` mm behind the mean depth of the hand and is roughly upright in the image.
    `u`: (B, 7).
    """
    middle = spheres[..., :3].mean(1)
    size = 0.85 + 0.3 * u[:, 0]
    lean, turn = 0.5 * (u[:, 1] - 0.5), 1.6 * (u[:, 2] - 0.5)
    aside, above = 500 * (u[:, 3] - 0.5), 500 * (u[:, 4] - 0.65)
    chest = middle + torch.stack([aside, above, _between(gap, u[:, 5]) + 115 * size], dim=-1)
    back = 0.6 * (u[:, 6] - 0.3)
    cones = spheres.new_tensor(_PERSON)
    ends = torch.stack([cones[:, :4], cones[:, 4:]], dim=1)[None] * size[:, None, None, None]
    x, y, z, r = ends.unbind(-1)
    (cl, sl), (ct, st), (cb, sb) = (
        (torch.cos(a)[:, None, None], torch.sin(a)[:, None, None]) for a in (lean, turn, back)
    )
    x, z = x * ct + z * st, z * ct - x * st  # turned about the spine
    y, z = y * cb - z * sb, z * cb + y * sb  # leaning towards the camera or back
    x, y = x * cl - y * sl, y * cl + x * sl  # leaning to a side
    points = torch.stack([x, y, z], dim=-1) + chest[:, None, None]
    return torch.cat([points, r[..., None]], dim=-1).flatten(2)


# x, y, z, radius in mm of both ends, from the middle of the chest; y points down.
_PERSON = (
    (-75.0, -60.0, 0.0, 105.0, -60.0, 420.0, 10.0, 120.0),
    (75.0, -60.0, 0.0, 105.0, 60.0, 420.0, 10.0, 120.0),
    (0.0, -20.0, -10.0, 105.0, 0.0, 420.0, 0.0, 125.0),
    (-165.0, -130.0, 10.0, 55.0, 165.0, -130.0, 10.0, 55.0),
    (-190.0, -120.0, 10.0, 52.0, -240.0, 190.0, 30.0, 42.0),
    (190.0, -120.0, 10.0, 52.0, 240.0, 190.0, 30.0, 42.0),
    (0.0, -150.0, 10.0, 52.0, 0.0, -260.0, 0.0, 55.0),
    (0.0, -270.0, -15.0, 72.0, 0.0, -330.0, -5.0, 88.0),
)


def held(
    palm: torch.Tensor, u: torch.Tensor, radius: tuple[float, float] = (6.0, 38.0)
) -> torch.Tensor:
    """Return a round cone (B, 1, 8): a rod, a bottle or a ball in the hand.

    `palm`: (B, 3, 3) a point on the skin of the palm, the direction that the palm faces, and the
    direction of the row of knuckles, along which objects are held. `u`: (B, 5).
    """
    point, out, along = palm.unbind(1)
    thick = _between(radius, u[:, :1])
    # A third of the things are balls; the others are up to 180 mm long.
    half = (90 * (1.5 * u[:, 1:2] - 0.5).clamp_min(0)).clamp_min(0)
    fingers = torch.linalg.cross(along, out)
    axis = along + 0.8 * (u[:, 2:3] - 0.5) * fingers + 0.4 * (u[:, 3:4] - 0.5) * out
    axis = axis / axis.square().sum(-1, keepdim=True).sqrt()
    centre = point + thick * out + 25 * (u[:, 4:5] - 0.3) * fingers
    taper = 0.75 + 0.25 * u[:, 2:3]
    return torch.cat([centre - half * axis, thick, centre + half * axis, thick * taper], dim=-1)[
        :, None
    ]


def beside(
    spheres: torch.Tensor, u: torch.Tensor, radius: tuple[float, float] = (20.0, 90.0)
) -> torch.Tensor:
    """Return a round cone (B, 1, 8) that touches the hand at about its depth: an arm, a knee, a
    cup.

    In the image it begins where the hand ends in a random direction, or covers up to 12 mm of that
    end. `u`: (B, 6).
    """
    middle = spheres[..., :3].mean(1)
    angle = 2 * math.pi * u[:, 0]
    aside = torch.stack([torch.cos(angle), torch.sin(angle)], dim=-1)
    # The silhouette in mm at the depth of the middle, so that perspective does not open a gap.
    flat = spheres[..., :3] * (middle[:, None, 2:] / spheres[..., 2:3])
    reach = ((flat - middle[:, None])[..., :2] * aside[:, None]).sum(-1) + spheres[..., 3]
    thick = _between(radius, u[:, 1])
    away = reach.amax(1) + thick - 12 * u[:, 2]
    centre = middle + torch.cat([aside * away[:, None], 80 * (u[:, 3:4] - 0.35)], dim=-1)
    half = 20 + 200 * u[:, 4]
    slope = 1.2 * (u[:, 5] - 0.5)
    axis = torch.stack([-aside[:, 1], aside[:, 0], slope], dim=-1) * half[:, None]
    return torch.cat([centre - axis, thick[:, None], centre + axis, 0.85 * thick[:, None]], dim=-1)[
        :, None
    ]


def near(
    spheres: torch.Tensor, u: torch.Tensor, radius: tuple[float, float] = (8.0, 45.0)
) -> torch.Tensor:
    """Return a round cone (B, 1, 8): a ball or a rod of up to 160 mm close to the hand.

    It does not touch the hand. `u`: (B, 7).
    """
    middle = spheres[..., :3].mean(1)
    turn, rise = 2 * math.pi * u[:, 0], 2 * u[:, 1] - 1
    level = (1 - rise * rise).sqrt()
    away = torch.stack([torch.cos(turn) * level, torch.sin(turn) * level, rise], dim=-1)
    reach = (((spheres[..., :3] - middle[:, None]) * away[:, None]).sum(-1) + spheres[..., 3]).amax(
        1
    )
    thick = _between(radius, u[:, 2])
    half = 80 * u[:, 3:4] * (u[:, 3:4] > 0.3)
    axis = u[:, 4:7] - 0.5
    # At right angles to the way to the hand, so that its length cannot reach back.
    axis = axis - (axis * away).sum(-1, keepdim=True) * away
    axis = axis / axis.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-6)
    centre = middle + away * (reach + thick * (1.1 + u[:, 4]))[:, None]
    ends = [centre - half * axis, thick[:, None], centre + half * axis, thick[:, None]]
    return torch.cat(ends, dim=-1)[:, None]


def tabletop(
    spheres: torch.Tensor, u: torch.Tensor, gap: tuple[float, float] = (-4.0, 80.0)
) -> torch.Tensor:
    """Return planes (B, 4) behind the hands, at any tilt at which the camera sees them.

    All directions of the half-space count alike, down to 5 degrees between plane and optical axis:
    the camera is above, beside or below. `gap`: mm between the plane and the nearest sphere;
    negative where that is pressed in. `u`: (B, 3).
    """
    normal = _tilted(torch.acos(1 - (1 - _GRAZING) * u[:, 0]), 2 * math.pi * u[:, 1])
    return _below(spheres, normal, _between(gap, u[:, 2]), _CAMERA_ABOVE_MM)


def lying(spheres: torch.Tensor, gap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return planes (B, 4) on which the hands lie flat, and whether the camera sees them, (B,).

    A plane is at right angles to the direction in which the centres of the spheres (B, S, 4) vary
    least, on the side of the hand that the camera does not see, `gap` (B,) mm from the nearest
    sphere. It counts as seen where the camera is at least 40 mm above it.
    """
    centres = spheres[..., :3].double()
    middle = centres.mean(1)
    around = centres - middle[:, None]
    spread = (around[:, :, :, None] * around[:, :, None]).sum(1)
    normal = torch.linalg.eigh(spread).eigenvectors[:, :, 0]
    towards = (normal * middle).sum(-1, keepdim=True)
    normal = torch.where(towards > 0, -normal, normal).to(spheres)
    plane = _below(spheres, normal, gap, 0.0)
    return plane, plane[:, 3] <= -_CAMERA_ABOVE_MM


def ending(
    depth: torch.Tensor, planes: torch.Tensor, raster: Raster, middle: torch.Tensor, u: torch.Tensor
) -> torch.Tensor:
    """Return the depth (B, H, W) of planes (B, 4) within a rectangle, 0 beyond its edges.

    The rectangle lies in the plane at a random angle; its edges are 60 to 1,460 mm from the foot of
    `middle` (B, 3), half of them within 410 mm. `u`: (B, 5).
    """
    normal = planes[:, :3]
    foot = middle - ((middle * normal).sum(-1, keepdim=True) - planes[:, 3:]) * normal
    x, y = raster.rays()
    inside = torch.ones_like(depth)
    for number, side in enumerate(_across(normal, 2 * math.pi * u[:, 0])):
        a, b, c = (side[:, i, None, None] for i in range(3))
        along = (a * x + (b * y + c)) * depth - (side * foot).sum(-1)[:, None, None]
        low, high = (60 + 1400 * u[:, k, None, None].square() for k in (1 + number, 3 + number))
        inside *= (along > -low) & (along < high)
    return depth * inside


def sleeve(sections: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Return round cones (B, 9, 8), the sleeve of a forearm.

    `sections`: (B, 3, 2, 4), the two spheres of each of the forearm's sections from the wrist to
    the elbow; the middle one lies at 0.4 of its length. The sleeve begins anywhere between the
    wrist and 0.8 of the forearm, ends beyond it, is 3 to 15 mm thick, and has folds. `u`: (B, 6).
    """
    begin = 0.8 * u[:, :1]
    stations = begin + (1.5 - begin) * torch.linspace(0, 1, 4).to(u)
    share = (stations / 0.4).clamp_max(1)[..., None, None]
    rest = ((stations - 0.4) / 0.6).clamp_min(0)[..., None, None]
    wrist, middle, elbow = sections[:, None].unbind(2)
    at = wrist + share * (middle - wrist) + rest * (elbow - middle)
    thick = 3 + 12 * u[:, 1:2] + 5 * (u[:, 2:6] - 0.5)
    at = torch.cat([at[..., :3], at[..., 3:] + thick[:, :, None, None]], -1)
    three = torch.cat([at, at.mean(2, keepdim=True)], 2)
    return torch.cat([three[:, :-1], three[:, 1:]], -1).flatten(1, 2)


def box(
    spheres: torch.Tensor,
    normal: torch.Tensor,
    u: torch.Tensor,
    half: tuple[float, float] = (12.0, 110.0),
) -> torch.Tensor:
    """Return the triangles (B, 12, 3, 3) of a box beside the hand: a book, a screen, a packet.

    Two faces are at right angles to `normal` (B, 3), on whose far side it reaches as far as the
    hand: on a table with this normal both stand alike. `half`: of its sides, mm. It does not touch
    the hand. `u`: (B, 5).
    """
    middle = spheres[..., :3].mean(1)
    first, second = _across(normal, 2 * math.pi * u[:, 0])
    sides = half[0] + (half[1] - half[0]) * u[:, 1:4].square()

    def reach(way: torch.Tensor) -> torch.Tensor:
        return (
            ((spheres[..., :3] - middle[:, None]) * way[:, None]).sum(-1) + spheres[..., 3]
        ).amax(1)

    centre = (
        middle
        + first * (reach(first) + sides[:, 0] + 60 * u[:, 4])[:, None]
        + normal * (sides[:, 2] - reach(-normal))[:, None]
    )
    axes = torch.stack([first, second, normal], 1) * sides[..., None]
    return centre[:, None, None] + (_BOX.to(u)[None, ..., None] * axes[:, None, None]).sum(3)


def _box() -> torch.Tensor:
    """Return (12, 3, 3), two triangles on each face of the cube [-1, 1]^3."""
    found = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            corners = torch.empty(4, 3)
            corners[:, axis] = sign
            corners[:, (axis + 1) % 3] = torch.tensor([-1.0, 1.0, 1.0, -1.0])
            corners[:, (axis + 2) % 3] = torch.tensor([-1.0, -1.0, 1.0, 1.0])
            found += [corners[[0, 1, 2]], corners[[0, 2, 3]]]
    return torch.stack(found)


_BOX = _box()


def only(present: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Return the cones (B, K, 8) or planes (B, 4) of the rows where `present` (B,) is true.

    The others are moved behind the camera.
    """
    nowhere = part.new_tensor([0.0, 0.0, -1e6, 0.0] * (part.shape[-1] // 4))
    return torch.where(present.reshape(-1, *[1] * (part.ndim - 1)), part, nowhere)


def plane_depth(planes: torch.Tensor, camera: Camera | Raster) -> torch.Tensor:
    """Return (B, H, W), the depth in mm of planes (B, 4) in the image of a camera or on a raster.

    It is 0 where a ray does not meet the plane, or meets it beyond `FAR_MM`. Errors:
    `HandPoseError` for another shape.
    """
    if planes.ndim != 2 or planes.shape[1] != 4:
        raise HandPoseError(
            f"planes have shape {tuple(planes.shape)}: accepted is (B, 4), [nx, ny, nz, d]"
        )
    if isinstance(camera, Raster):
        x, y = camera.rays()
    else:
        u, v = pixel_grid(camera.height, camera.width, planes).unbind(-1)
        x, y = (u[:1] - camera.u0) / camera.fx, (v[:, :1] - camera.v0) / camera.fy
    nx, ny, nz, d = planes[:, :, None, None].unbind(1)
    # 1 / z = n.(x, y, 1) / d: below 0 where a ray goes away from the plane.
    nearness = nx / d * x + (ny / d * y + nz / d)
    seen = torch.gt(nearness, 1 / FAR_MM, out=torch.empty_like(nearness))
    return nearness.clamp_min_(1 / FAR_MM).reciprocal_().mul_(seen)


def merge(first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Return the smallest depth of several images at each pixel, where 0 means nothing."""
    nearest = _distant(first)
    for other in others:
        torch.minimum(nearest, _distant(other), out=nearest)
    return nearest.mul_(torch.lt(nearest, _DISTANT_MM, out=torch.empty_like(nearest)))


_DISTANT_MM = 1e9


def _distant(depth: torch.Tensor) -> torch.Tensor:
    """Return a copy of the image in which missing pixels are far away."""
    return torch.eq(depth, 0, out=torch.empty_like(depth)).mul_(_DISTANT_MM).add_(depth)


def _tilted(angle: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Return (B, 3), unit normals towards the camera, turned by `angle` in a `direction` of the
    image.
    """
    sine = torch.sin(angle)
    return torch.stack(
        [sine * torch.cos(direction), sine * torch.sin(direction), -torch.cos(angle)], dim=-1
    )


def _across(normal: torch.Tensor, angle: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two directions (B, 3) at right angles to the normal and to each other, turned by
    `angle` (B,).
    """
    # Any direction at right angles to the normal: that of the axis furthest from it.
    axis = torch.eye(3).to(normal)[normal.abs().argmin(1)]
    first = torch.linalg.cross(normal, axis)
    first = first / first.square().sum(-1, keepdim=True).sqrt()
    second = torch.linalg.cross(normal, first)
    c, s = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    return c * first + s * second, c * second - s * first


def _below(
    spheres: torch.Tensor, normal: torch.Tensor, gap: torch.Tensor, height: float = 1.0
) -> torch.Tensor:
    """Return planes `gap` mm beyond all spheres, or further, so that the camera stays at least
    `height` mm before them.
    """
    lowest = ((spheres[..., :3] * normal[:, None]).sum(-1) - spheres[..., 3]).amin(1)
    return torch.cat([normal, (lowest - gap).clamp_max(-height)[:, None]], dim=-1)


def _between(limits: tuple[float, float], u: torch.Tensor) -> torch.Tensor:
    return limits[0] + (limits[1] - limits[0]) * u
