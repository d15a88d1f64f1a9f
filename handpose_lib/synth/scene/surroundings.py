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

FAR_MM = 4000.0
"""Planes end here, where no camera for hands measures any more."""


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


def only(present: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Return the cones (B, K, 8) or planes (B, 4) of the rows where `present` (B,) is true.

    The others are moved behind the camera.
    """
    nowhere = part.new_tensor([0.0, 0.0, -1e6, 0.0] * (part.shape[-1] // 4))
    return torch.where(present.reshape(-1, *[1] * (part.ndim - 1)), part, nowhere)


def plane_depth(planes: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Return (B, H, W), the depth in mm of planes (B, 4).

    It is 0 where a ray does not meet the plane, or meets it beyond `FAR_MM`. Errors:
    `HandPoseError` for another shape.
    """
    if planes.ndim != 2 or planes.shape[1] != 4:
        raise HandPoseError(
            f"planes have shape {tuple(planes.shape)}: accepted is (B, 4), [nx, ny, nz, d]"
        )
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


def _below(spheres: torch.Tensor, normal: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
    """Return planes `gap` mm beyond all spheres; the camera stays on their front side."""
    lowest = ((spheres[..., :3] * normal[:, None]).sum(-1) - spheres[..., 3]).amin(1)
    return torch.cat([normal, (lowest - gap).clamp_max(-1.0)[:, None]], dim=-1)


def _between(limits: tuple[float, float], u: torch.Tensor) -> torch.Tensor:
    return limits[0] + (limits[1] - limits[0]) * u
