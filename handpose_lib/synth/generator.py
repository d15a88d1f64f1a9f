"""Frames of synthetic hands with their joints, each a pure function of (seed, index).

    rendered = frames(range(64), seed=0, setup="msra", distribution=WIDE)
    rendered.depth, rendered.joints          # (64, 240, 320) mm, (64, 21, 3) mm
    windows = crops(range(64), distribution=FIELD, size=96, reuse=4)

A `Distribution` says what is drawn; each of its fields is a factor with a strength, so that one can
turn one thing on and measure what it buys. `crops` renders the windows around the hands alone,
which takes a fraction of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from handpose_lib.camera import Camera
from handpose_lib.dataset_specs import SPECS
from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.frames import Crops, DepthFrame
from handpose_lib.synth import hashing
from handpose_lib.synth.distributions import DISTRIBUTIONS, FIELD, WIDE, Distribution
from handpose_lib.synth.hands import hand as hands_
from handpose_lib.synth.hands import poses
from handpose_lib.synth.hands.hand import Hand
from handpose_lib.synth.scene import depth_camera, raycast, sensors, surroundings
from handpose_lib.synth.scene import raster as raster_
from handpose_lib.synth.scene.raster import Raster
from handpose_lib.synth.scene.raycast import Solids


@dataclass(frozen=True)
class Setup:
    """A data set's camera and joints, and the distances in mm at which its camera sees hands."""

    camera: Camera
    skeleton: str
    distance: tuple[float, float]


SETUPS = {
    name: Setup(spec.camera, spec.skeleton or "msra21", spec.distance)
    for name, spec in SPECS.items()
    if spec.distance
}
"""What `frames` can imitate: the data sets of hands. Sets without labels get MSRA's joints."""


@dataclass(frozen=True)
class Rendered:
    """B frames.

    depth: (B, H, W) mm as measured, 0 where nothing is. joints: (B, J, 3) mm, the truth. hands:
    "right" or "left".
    centre: (B, 3) mm, a reference point near the mean of the joints (`Distribution.centre_error`).
    posed: the hands behind the frames. hand_depth: (B, H, W) exact depth of hand and forearm where
    nothing hides them.
    """

    depth: torch.Tensor
    joints: torch.Tensor
    centre: torch.Tensor
    camera: Camera
    hands: list[str]
    ids: list[str]
    posed: Hand
    hand_depth: torch.Tensor

    def __len__(self) -> int:
        return len(self.depth)

    @property
    def hand_mask(self) -> torch.Tensor:
        """(B, H, W) bool: measured within 15 mm of the surface of hand and forearm, here or one
        pixel away.
        """
        near, far = sensors.surface_around(self.hand_depth)
        return (
            (self.depth > 0)
            & (self.depth > near - sensors.EDGE_MM)
            & (self.depth < far + sensors.EDGE_MM)
        )

    def frame(self, row: int) -> DepthFrame:
        """One frame as a data set would give it."""
        depth, joints, centre = self.depth[row], self.joints[row], self.centre[row]
        return DepthFrame(depth, self.camera, joints, self.ids[row], self.hands[row], centre)


def frames(
    indices: Iterable[int],
    seed: int = 0,
    setup: str = "msra",
    distribution: Distribution | str = WIDE,
    subjects: Iterable[int] = range(8),
    device: torch.device | str = "cpu",
    gesture: str | None = None,
) -> Rendered:
    """The frames of these indices (whole numbers from 0): each is the same alone, in any batch and
    in any order.

    setup: one of `SETUPS`. distribution: a `Distribution` or the name of one. subjects:
    numbers of the persons (`hand.subject`) to draw from. gesture: a name of `poses.GESTURES` that
    takes the place of the family "gesture" among the poses.
    Raises HandPoseError for unknown names, numbers below 0, no indices or no subjects.
    """
    indices, imitated, d = _asked(indices, setup, distribution)
    camera = imitated.camera
    draw = hashing.Draws(hashing.keys(seed, indices), torch.device(device))

    drawn = _drawn(draw, imitated, d, list(subjects), gesture)
    posed = drawn.posed
    margin = depth_camera.MARGIN if d.filmed else (0, 0)
    raster = raster_.whole(camera, len(indices), posed.spheres, margin)
    view = raster if d.filmed else camera
    hand_depth = _cast(posed.solids(), view)
    exact, clothes = _with_surroundings(draw, view, raster, d, drawn, hand_depth)
    measured = exact
    if d.filmed:
        measured = _filmed(draw, raster, d, exact * _measurable(exact, d.reach), clothes)
        hand_depth, exact, measured = (
            image[:, margin[0] : -margin[0], margin[1] : -margin[1]].contiguous()
            for image in (hand_depth, exact, measured)
        )
    joints = posed.joints(imitated.skeleton)
    return Rendered(
        depth=_measured(draw, camera, d, posed, measured),
        joints=joints,
        centre=_centre(draw, d, joints),
        camera=camera,
        hands=_hands(drawn.side),
        ids=[f"synthetic {setup} {seed} {i}" for i in indices],
        posed=posed,
        hand_depth=torch.where(hand_depth <= exact, hand_depth, 0),
    )


def crops(
    indices: Iterable[int],
    seed: int = 0,
    setup: str = "msra",
    distribution: Distribution | str = FIELD,
    subjects: Iterable[int] = range(8),
    device: torch.device | str = "cpu",
    gesture: str | None = None,
    cube: float = 250.0,
    size: int | None = None,
    margin: float = 1.45,
    reuse: int = 1,
) -> Crops:
    """The windows of these frames around their reference points; nothing else is rendered.

    cube: its side in mm, margin: window over cube. size: None for the camera's own pixels: the
    windows are those that `prepare.crop` cuts out of `frames`. A number: pixels along the side of
    the cube; a camera with finer pixels is replaced by one with these. reuse: so many frames in a
    row show one rendered hand, turned in the image plane, each with surroundings, errors of the
    camera and a reference point of its own. Frame i shows the hand of frame i // reuse.
    Other arguments as of `frames`, whose distributions are accepted if the errors of their camera
    are those of `scene.depth_camera` or none. Raises HandPoseError for others, for numbers that
    are not positive, and for `reuse` without `size`.
    """
    indices, imitated, d = _asked(indices, setup, distribution)
    _check_crops(d, cube, size, margin, reuse)
    device = torch.device(device)
    draw = hashing.Draws(hashing.keys(seed, indices), device)
    numbers = sorted({i // reuse for i in indices})
    place = {number: row for row, number in enumerate(numbers)}
    which = torch.tensor([place[i // reuse] for i in indices], device=device)
    hand_draw = hashing.Draws(hashing.keys(seed, numbers), device)
    hands = _drawn(hand_draw, imitated, d, list(subjects), gesture)
    drawn, turn = hands.index(which), torch.zeros(len(indices), device=device)
    if reuse > 1:
        turn = _turn(draw, imitated.camera, d, drawn)
        drawn = drawn.turned(turn)

    joints = drawn.posed.joints(imitated.skeleton)
    centre = _centre(draw, d, joints)
    if not (centre[:, 2] > 0).all():
        raise HandPoseError("crops: a reference point behind the camera; accepted are z > 0 mm")
    grid = _windows(imitated.camera, centre, cube, size, margin)
    if reuse > 1:
        assert size is not None
        middle = hands.posed.joints(imitated.skeleton).mean(1)
        hand_depth = _turned_depth(
            hands, middle, imitated.camera, grid, cube, size, margin, which, turn
        )
    else:
        hand_depth = _cast(drawn.posed.solids(), grid.raster)
    exact, clothes = _with_surroundings(draw, grid.raster, grid.raster, d, drawn, hand_depth)
    depth = exact * _measurable(exact, d.reach)
    if d.filmed:
        depth = _filmed(draw, grid.raster, d, depth, clothes)
    return Crops(
        depth=grid.cut(depth),
        origin=grid.origin,
        camera=grid.camera,
        centre=centre,
        cube=torch.full_like(centre[:, 0], cube),
        rotation=torch.zeros_like(centre[:, 0]),
        aspect=torch.ones_like(centre[:, 0]),
        mirror=drawn.side.to(centre),
        joints=joints,
        ids=[f"synthetic {setup} {seed} {i}" for i in indices],
    )


def _asked(
    indices: Iterable[int], setup: str, distribution: Distribution | str
) -> tuple[list[int], Setup, Distribution]:
    imitated = SETUPS[one_of("setup", setup, SETUPS)]
    if not isinstance(distribution, Distribution):
        distribution = DISTRIBUTIONS[one_of("distribution", distribution, DISTRIBUTIONS)]
    indices = list(indices)
    if not indices:
        raise HandPoseError(
            "no indices: accepted is a sequence of at least one whole number from 0"
        )
    return indices, imitated, distribution


def _hands(side: torch.Tensor) -> list[str]:
    return ["left" if s < 0 else "right" for s in side.tolist()]


def _centre(draw: hashing.Draws, d: Distribution, joints: torch.Tensor) -> torch.Tensor:
    """(B, 3) a reference point near the mean of the joints."""
    middle = joints.mean(1)
    centre = middle + d.centre_error * draw.normal("centre error", 3).to(joints)
    if d.strays > 0:
        way = draw.normal("stray", 3).to(joints)
        way = way / way.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-6)
        stray = middle + d.stray_reach * draw("stray distance") * way
        centre = torch.where(draw.happens("strays", d.strays)[:, None], stray, centre)
    return centre


# --- The hand -----------------------------------------------------------------


@dataclass(frozen=True)
class _Drawn:
    """B hands in front of the camera: person, +1 for right and -1 for left, the angle in rad of
    `hand.rotation` in the image plane, whether there is a tabletop, whether the hand lies on it,
    and whether a border of the image is near.
    """

    posed: Hand
    person: hands_.Subject
    side: torch.Tensor
    roll: torch.Tensor
    tabletop: torch.Tensor
    lies: torch.Tensor
    border: torch.Tensor

    def index(self, rows: torch.Tensor) -> _Drawn:
        hand = Hand(self.posed.spheres[rows], self.posed.keypoints[rows])
        rest = (self.side, self.roll, self.tabletop, self.lies, self.border)
        return _Drawn(hand, self.person.index(rows), *(value[rows] for value in rest))

    def turned(self, angle: torch.Tensor) -> _Drawn:
        """The same hands turned by (B,) rad about the optical axis."""
        c, s = torch.cos(angle)[:, None], torch.sin(angle)[:, None]

        def turn(points: torch.Tensor) -> torch.Tensor:
            x, y, z = points.unbind(-1)
            return torch.stack([c * x - s * y, s * x + c * y, z], -1)

        return replace(self, posed=self.posed.mapped(turn), roll=self.roll + angle)


def _drawn(
    draw: hashing.Draws, imitated: Setup, d: Distribution, subjects: list[int], gesture: str | None
) -> _Drawn:
    if not subjects:
        raise HandPoseError("no subjects: accepted is a sequence of at least one number")
    chosen = (draw("subject")[:, 0] * len(subjects)).long().clamp_max(len(subjects) - 1)
    person = hands_.subjects([subjects[i] for i in chosen.tolist()]).to(draw.device)
    if (d.hand_size, d.hand_thickness) != ((1.0, 1.0), (1.0, 1.0)):
        person = person.scaled(
            draw.between("hand size", d.hand_size), draw.between("hand thickness", d.hand_thickness)
        )
    side = torch.where(draw.happens("left", d.left), -1.0, 1.0)
    angles = _angles(draw, d, person, gesture)

    yaw, roll = (
        torch.deg2rad(draw.between("yaw", d.yaw)),
        torch.deg2rad(draw.between("in-plane", d.in_plane)),
    )
    pitch = torch.deg2rad(
        (draw.between("pitch", d.pitch) + draw.between("pitch again", d.pitch)) / 2
    )
    length = draw.between("forearm length", d.forearm_length) * draw.happens("forearm", d.forearm)
    # A forearm that points at the camera is cut off before it hides the hand: z of the image of the
    # hand's y axis.
    towards = -torch.sin(pitch)
    length = torch.minimum(length, 70 / towards.clamp_min(1e-3)).clamp_min(0)
    wrist = torch.deg2rad((2 * draw("wrist", 2) - 1) * torch.tensor(d.wrist, device=draw.device))
    tabletop = draw.happens("tabletop", d.tabletop)
    lies = tabletop & draw.happens("touching", d.touching)
    if lies.any():
        stretched = lies & draw.happens("flattened", d.flattened)
        angles = torch.where(stretched[:, None], _stretched(draw, angles, person), angles)
        # The forearm leaves the table on the side from which the camera looks.
        palm_shown = torch.where(torch.cos(yaw) > 0, 1.0, -1.0)
        raised = torch.stack([wrist[:, 0].abs() * palm_shown, wrist[:, 1]], 1)
        wrist = torch.where(lies[:, None], raised, wrist)

    start = torch.zeros(len(angles), 3, device=draw.device)
    posed = hands_.posed(
        person,
        poses.assemble(angles, start, yaw, pitch, roll),
        forearm=length,
        hand=side,
        girth=draw.between("forearm girth", d.forearm_girth),
        wrist=wrist,
    )
    border = draw.happens("border", d.border)
    place = _position(draw, imitated, d)
    if border.any():
        place = torch.where(border[:, None], _at_border(draw, imitated.camera, d, place), place)
    posed = posed.moved(place - posed.joints("msra21").mean(1))
    return _Drawn(posed, person, side, roll, tabletop, lies, border)


def _angles(draw: hashing.Draws, d: Distribution, person, gesture: str | None) -> torch.Tensor:
    """(B, 20) joint angles."""
    if gesture is None:
        return poses.sample(draw("angles", poses.UNIFORMS), person, d.poses)
    asked = poses.sample(draw("angles", poses.UNIFORMS), person, gesture=gesture)
    others = {name: weight for name, weight in d.poses.items() if name != "gesture"}
    total = sum(d.poses.values())
    if sum(others.values()) == 0:
        return asked
    other = poses.sample(draw("other angles", poses.UNIFORMS), person, others)
    shows = draw.happens("gesture", d.poses.get("gesture", 0.0) / total)
    return torch.where(shows[:, None], asked, other)


def _stretched(draw: hashing.Draws, angles: torch.Tensor, person: hands_.Subject) -> torch.Tensor:
    """(B, 20) the angles with most of the flexion taken away, fingers together to spread."""
    flat, spread = (poses.POSES[name].to(angles) for name in ("flat", "spread"))
    shut, open_ = poses.together(flat.expand(len(angles), -1), person), draw("fingers apart")
    straight = shut + open_ * (spread - shut)
    return straight + 0.3 * draw("flexion left").square() * (angles - straight)


def _position(draw: hashing.Draws, imitated: Setup, d: Distribution) -> torch.Tensor:
    """(B, 3) where the mean of the joints is."""
    camera = imitated.camera
    z = draw.between("distance", d.distance or imitated.distance)
    stray = d.offset * (2 * draw("offset", 2) - 1)
    place = []
    for i, (middle, size, focal) in enumerate(_sides(camera)):
        # The hand, about 100 mm around its middle, stays in the image where there is room for it.
        room = (z * size / (2 * focal) - 100).clamp_min(0)
        place.append(z * (size / 2 - middle) / focal + stray[:, i] * room)
    return torch.stack([*place, z], dim=-1)


def _sides(camera: Camera) -> tuple[tuple[float, int, float], ...]:
    return (camera.u0, camera.width, camera.fx), (camera.v0, camera.height, camera.fy)


def _at_border(
    draw: hashing.Draws, camera: Camera, d: Distribution, place: torch.Tensor
) -> torch.Tensor:
    """(B, 3) the places moved so that one border of the image is a drawn distance away."""
    number = (4 * draw("which border")[:, 0]).long().clamp_max(3)
    distance = draw.between("border distance", d.border_distance)
    x, y, z = place.unbind(-1)
    moved = []
    for old, (middle, size, focal) in zip((x, y), _sides(camera)):
        # Pixels are squares around their centres: the image ends half a pixel beyond the last one.
        first, last = (z * (end - middle) / focal for end in (-0.5, size - 0.5))
        moved += [(old, first + distance), (old, last - distance)]
    x = torch.where(number == 0, moved[0][1], torch.where(number == 1, moved[1][1], x))
    y = torch.where(number == 2, moved[2][1], torch.where(number == 3, moved[3][1], y))
    return torch.stack([x, y, z], -1)


# --- What is around it --------------------------------------------------------


def _cast(solids: Solids, view: Camera | Raster) -> torch.Tensor:
    if isinstance(view, Camera):
        return raycast.depth(solids, view)
    return raycast.depth(solids, view.lens, view.size)


def _with_surroundings(
    draw: hashing.Draws,
    view: Camera | Raster,
    raster: Raster,
    d: Distribution,
    drawn: _Drawn,
    hand_depth: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(B, H, W) exact depth of everything, and 1 where it is that of dark clothes, or None.

    `view`: the camera of whole images, or the same as `raster`.
    """
    posed, spheres = drawn.posed, drawn.posed.spheres

    def on(rows: torch.Tensor) -> Camera | Raster:
        return view if isinstance(view, Camera) else view.index(rows)

    things = [
        (d.person, "person", lambda u: surroundings.person(spheres, u, d.behind), 7),
        (d.held, "held", lambda u: surroundings.held(_palm(posed, drawn.side), u), 5),
        (d.near, "near", lambda u: surroundings.near(spheres, u), 7),
        (d.beside, "beside", lambda u: surroundings.beside(spheres, u), 6),
        (d.sleeve, "sleeve", lambda u: _sleeve(spheres, u), 6),
    ]
    cones = {
        name: surroundings.only(draw.happens(name, share), make(draw(f"the {name}", count)))
        for share, name, make, count in things
        if share > 0
    }
    flats = [
        (d.wall, "wall", lambda u: surroundings.wall(spheres, u, d.behind)),
        (d.table, "table", lambda u: surroundings.table(spheres, u, d.below)),
    ]
    exact = hand_depth.clone()
    clothes = [cones[name] for name in ("person", "sleeve") if name in cones]
    unlit = draw.happens("dark", d.dark).nonzero()[:, 0]
    worn = None
    if clothes and len(unlit):
        # Dark clothes are cast apart, so that one knows where they are.
        worn = _cast(Solids(torch.cat(clothes, 1)[unlit]), on(unlit))
        for name in ("person", "sleeve"):
            if name in cones:
                lit = torch.ones(len(exact), dtype=torch.bool, device=exact.device)
                lit[unlit] = False
                cones[name] = surroundings.only(lit, cones[name])
        exact[unlit] = surroundings.merge(exact[unlit], worn)
    tables = _tabletop(draw, d, drawn) if d.tabletop > 0 or d.box > 0 else None
    parts = [Solids(part) for part in cones.values()]
    parts += [
        part for part in (_other_hands(draw, d, drawn), _boxes(draw, d, spheres, tables)) if part
    ]
    if parts:
        every = raycast.join(parts)
        present = (every.cones[:, :, 2] > 0).any(1) | (every.triangles[..., 2] > 0).any(-1).any(-1)
        rows = present.nonzero()[:, 0]
        if len(rows):
            exact[rows] = surroundings.merge(exact[rows], _cast(every.index(rows), on(rows)))
    for share, name, make in flats:
        rows = draw.happens(name, share).nonzero()[:, 0]
        planes = make(draw(f"the {name}", 3))
        for part in rows.split(_step(exact)):
            exact[part] = surroundings.merge(
                exact[part], surroundings.plane_depth(planes[part], on(part))
            )
    rows = drawn.tabletop.nonzero()[:, 0]
    if tables is not None and len(rows):
        ends = draw.happens("table edge", d.table_edge)
        middle, u = posed.joints("msra21").mean(1), draw("the edges", 5)
        for part in rows.split(_step(exact)):
            depth = surroundings.plane_depth(tables[part], on(part))
            if ends[part].any():
                cut = surroundings.ending(
                    depth, tables[part], raster.index(part), middle[part], u[part]
                )
                depth = torch.where(ends[part, None, None], cut, depth)
            exact[part] = surroundings.merge(exact[part], depth)

    if worn is None:
        return exact, None
    marked = torch.zeros_like(exact)
    marked[unlit] = ((worn > 0) & (worn <= exact[unlit])).to(exact)
    return exact, marked


def _tabletop(draw: hashing.Draws, d: Distribution, drawn: _Drawn) -> torch.Tensor:
    """(B, 4) the planes of tables, those on which a hand lies among them."""
    spheres = drawn.posed.spheres
    planes = surroundings.tabletop(spheres, draw("the tabletop", 3), d.table_gap)
    skin = spheres[:, : hands_.SPHERES.index("forearm radial")]
    flat, seen = surroundings.lying(skin, draw.between("touch gap", d.touch_gap))
    return torch.where((drawn.lies & seen)[:, None], flat, planes)


def _sleeve(spheres: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """(B, 9, 8) the sleeve, behind the camera where there is no forearm."""
    sections = [
        [hands_.SPHERES.index(f"{name} {side}") for side in ("radial", "ulnar")]
        for name in ("wrist", "forearm", "elbow")
    ]
    forearm = spheres[:, sections]
    length = (forearm[:, 2].mean(1) - forearm[:, 0].mean(1))[:, :3].square().sum(-1).sqrt()
    return surroundings.only(length > _SHORT_MM, surroundings.sleeve(forearm, u))


_SHORT_MM = 30.0
"""A shorter forearm shows no sleeve."""


def _other_hands(draw: hashing.Draws, d: Distribution, drawn: _Drawn) -> Solids | None:
    """The surfaces of the other hands of B persons, behind the camera where none is shown."""
    rows = draw.happens("second", d.second).nonzero()[:, 0]
    if not len(rows):
        return None
    part = hashing.Draws(draw.key[rows.cpu().numpy()], draw.device)
    return _spread(_other_hand(part, d, drawn.index(rows)).solids(), rows, len(draw.key))


def _boxes(
    draw: hashing.Draws, d: Distribution, spheres: torch.Tensor, tables: torch.Tensor | None
) -> Solids | None:
    """Boxes beside B hands, on the table if there is one; behind the camera where none is shown."""
    rows = draw.happens("box", d.box).nonzero()[:, 0]
    if tables is None or not len(rows):
        return None
    skin = spheres[rows, : hands_.SPHERES.index("forearm radial")]
    faces = surroundings.box(skin, tables[rows, :3], draw("the box", 5)[rows])
    return _spread(Solids(faces.new_zeros(len(rows), 0, 8), faces), rows, len(draw.key))


def _spread(solids: Solids, rows: torch.Tensor, count: int) -> Solids:
    """The scenes as those of `rows` among `count`; those of the others lie behind the camera."""
    nowhere = solids.cones.new_tensor([0.0, 0.0, -1e6])
    cones = torch.cat([nowhere, nowhere.new_zeros(1)]).repeat(2)
    cones = cones.expand(count, solids.cones.shape[1], 8).clone()
    triangles = nowhere.expand(count, *solids.triangles.shape[1:]).clone()
    cones[rows], triangles[rows] = solids.cones, solids.triangles
    return Solids(cones, triangles, solids.label)


def _other_hand(draw: hashing.Draws, d: Distribution, drawn: _Drawn) -> Hand:
    """The other hand of the person, its fingers towards the first one, its forearm away from it."""
    count = len(drawn.side)
    angles = poses.sample(draw("second angles", poses.UNIFORMS), drawn.person, d.poses)
    way, u = 2 * torch.pi * draw("second way")[:, 0], draw("second view", 6)
    rise = 0.8 * (u[:, 0] - 0.5)
    level = (1 - rise * rise).sqrt()
    away = torch.stack([torch.cos(way) * level, torch.sin(way) * level, rise], -1)
    # At roll 0 the fingers point up in the image, along -y.
    roll = torch.atan2(-torch.cos(way), torch.sin(way)) + 2.4 * (u[:, 1] - 0.5)
    yaw, pitch = 2 * torch.pi * u[:, 2], 1.6 * (u[:, 3] - 0.5)
    start = torch.zeros(count, 3, device=draw.device)
    other = hands_.posed(
        drawn.person,
        poses.assemble(angles, start, yaw, pitch, roll),
        forearm=300 * u[:, 4],
        hand=-drawn.side,
        girth=0.8 + 0.4 * u[:, 5],
    )
    skin = hands_.SPHERES.index("forearm radial")

    def reach(hand: Hand, towards: torch.Tensor) -> torch.Tensor:
        spheres = hand.spheres[:, :skin]
        return ((spheres[..., :3] * towards[:, None]).sum(-1) + spheres[..., 3]).amax(1)

    middle = drawn.posed.joints("msra21").mean(1)
    far = reach(drawn.posed, away) - (middle * away).sum(-1)
    apart = far + reach(other, -away) + draw.between("second gap", d.second_gap)
    return other.moved(middle + apart[:, None] * away)


def _palm(posed: Hand, side: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) a point on the skin of the palm, the direction it faces, and the direction of the
    knuckles' row.
    """
    wrist, index, middle, little = posed.joints("msra21")[:, [0, 1, 5, 13]].unbind(1)
    out = torch.linalg.cross(index - wrist, little - wrist) * side[:, None]
    along = index - little
    out, along = (v / v.square().sum(-1, keepdim=True).sqrt() for v in (out, along))
    return torch.stack([0.35 * wrist + 0.65 * middle + 16 * out, out, along], dim=1)


# --- Windows ------------------------------------------------------------------


@dataclass(frozen=True)
class _Windows:
    """Windows of `side` pixels of `camera` (B, 4), their first pixel `origin` (B, 2); rendered on
    `raster`, which is wider. `held`: (B, side, side), 1 for pixels of the image and the window.
    """

    camera: torch.Tensor
    origin: torch.Tensor
    side: int
    raster: Raster
    held: torch.Tensor

    def cut(self, depth: torch.Tensor) -> torch.Tensor:
        top, left = (int(n) for n in (self.origin[0] - self.raster.anchor[0]).flip(0))
        return depth[:, top : top + self.side, left : left + self.side] * self.held


def _windows(
    camera: Camera, centre: torch.Tensor, cube: float, size: int | None, margin: float
) -> _Windows:
    lens = camera.intrinsics(centre).expand(len(centre), 4)
    # Pixels are squares around their centres.
    first = centre.new_full((len(centre), 2), -0.5)
    last = first + centre.new_tensor([camera.width, camera.height])
    reach = (lens[:, :2].amax(1) * cube * (margin / 2) / centre[:, 2]).ceil()
    if size is None:
        side = 8 * math.ceil((2 * int(reach.max()) + 1) / 8)
    else:
        side = 8 * math.ceil(margin * size / 8)
        # A coarser camera at the same place, where this one has more pixels than are asked for.
        scale = ((side // 2 - 1) / reach).clamp_max(1)[:, None]
        lens, first, last = lens * scale, first * scale, last * scale
        reach = reach.clamp_max(side // 2 - 1)
    middle = (lens[:, :2] * centre[:, :2] / centre[:, 2:] + lens[:, 2:]).round()
    origin = middle - side // 2
    # Multiples of 8 around the middle: the tiles of the ray caster lie alike in every batch.
    half = 8 * math.ceil(side / 16)
    rows, columns = depth_camera.MARGIN if size is None else _COARSE_MARGIN
    raster = raster_.placed(
        lens,
        middle - half - middle.new_tensor([columns, rows]),
        (2 * (half + rows), 2 * (half + columns)),
    )
    places = torch.arange(side, dtype=lens.dtype, device=lens.device) - side // 2
    inside = [
        (places.abs() <= reach[:, None])
        & (places + middle[:, axis, None] >= first[:, axis, None])
        & (places + middle[:, axis, None] < last[:, axis, None])
        for axis in (0, 1)
    ]
    held = (inside[1][:, :, None] & inside[0][:, None]).to(centre)
    return _Windows(lens, origin, side, raster, held)


_COARSE_MARGIN = (8, 16)
"""Rows and columns around the windows of a coarser camera, whose shadows are narrower."""


def _turn(draw: hashing.Draws, camera: Camera, d: Distribution, drawn: _Drawn) -> torch.Tensor:
    """(B,) rad about the optical axis by which a reused hand is turned.

    The first of some draws that keeps the hand as far from the border as it was, or 100 mm; 0 if
    there is none, and where the border is near on purpose.
    """
    low, high = (math.radians(a) for a in d.in_plane)
    turns = low + (high - low) * draw("turn", 12) - drawn.roll[:, None]
    turns = torch.cat([turns, torch.zeros_like(turns[:, :1])], 1)
    x, y, z = drawn.posed.joints("msra21").mean(1)[:, :, None].unbind(1)
    c, s = torch.cos(turns), torch.sin(turns)
    rooms = []
    for place, (middle, size, focal) in zip((c * x - s * y, s * x + c * y), _sides(camera)):
        first, last = (z * (end - middle) / focal for end in (-0.5, size - 0.5))
        rooms.append(torch.minimum(place - first, last - place))
    room = torch.minimum(*rooms)
    fits = (room >= room[:, -1:].clamp_max(100.0)) & ~drawn.border[:, None]
    fits[:, -1] = True
    return turns.gather(1, fits.to(torch.uint8).argmax(1, keepdim=True))[:, 0]


def _turned_depth(
    hands: _Drawn,
    middle: torch.Tensor,
    camera: Camera,
    grid: _Windows,
    cube: float,
    size: int,
    margin: float,
    which: torch.Tensor,
    turn: torch.Tensor,
) -> torch.Tensor:
    """(B, H, W) depth of the hands `which` on the windows' raster, each cast once.

    A turn about the optical axis keeps every depth; each pixel takes the nearest one of the image
    that was cast.
    """
    once = _windows(camera, middle, cube, size, margin)
    # Wide enough for every turn of a raster whose reference point strays by `_STRAY_MM`.
    stray = _STRAY_MM * grid.side / (margin * cube)
    half = 8 * math.ceil((math.hypot(*grid.raster.size) / 2 + 1.2 * stray) / 8)
    base = raster_.placed(once.camera, once.origin + once.side // 2 - half, (2 * half, 2 * half))
    depth = _cast(hands.posed.solids(), base)
    x, y = grid.raster.rays()
    c, s = torch.cos(turn)[:, None, None], torch.sin(turn)[:, None, None]
    fx, fy, u0, v0 = base.lens[which][:, :, None, None].unbind(1)
    column = (((c * fx) * x + u0) + (s * fx) * y).round_()
    row = (((-s * fy) * x + v0) + (c * fy) * y).round_()
    # Rows and columns outside are clamped to a frame of zeros.
    framed, width = torch.nn.functional.pad(depth, (1, 1, 1, 1)), 2 * half + 2
    start = (which * width**2 + width + 1)[:, None, None]
    place = row.clamp_(-1, 2 * half).long().mul_(width).add_(column.clamp_(-1, 2 * half).long())
    return framed.flatten().take(place.add_(start))


_STRAY_MM = 45.0


def _check_crops(d: Distribution, cube: float, size: int | None, margin: float, reuse: int) -> None:
    on = [name for name, weight in d.sensors.items() if weight > 0 and name != "ideal"]
    on += [name for name in ("holes", "missing", "smear", "coarse") if getattr(d, name) > 0]
    if on:
        raise HandPoseError(
            f"crops with {', '.join(on)}: accepted are distributions without errors of whole images"
            " (sensor 'ideal', and holes, missing, smear and coarse 0), such as 'field'"
        )
    for name, value in (("cube", cube), ("size", size), ("margin", margin), ("reuse", reuse)):
        if value is not None and not 0 < value < math.inf:
            raise HandPoseError(f"{name} {value}: accepted are numbers above 0")
    if reuse > 1 and size is None:
        raise HandPoseError(
            f"reuse {reuse} at the camera's own pixels: accepted with a size, such as 96 pixels"
        )


# --- What the camera makes of it ----------------------------------------------


def _filmed(
    draw: hashing.Draws,
    raster: Raster,
    d: Distribution,
    depth: torch.Tensor,
    clothes: torch.Tensor | None,
) -> torch.Tensor:
    """(B, H, W) exact depth up to the reach of the camera, with the errors of
    `scene.depth_camera`; the images are overwritten.
    """
    film = depth_camera

    def some(name: str) -> torch.Tensor:
        return draw.happens(name, getattr(d, name)) * draw.between(f"{name} amount", (0.3, 1.0))

    baseline = draw.between("baseline", d.baseline) * draw.happens("shadow", d.shadow)
    baseline = torch.where(draw.happens("projector left", 0.5), -baseline, baseline)
    mode = 1.0 + (draw("filling mode")[:, 0] < 0.5)
    amounts = {
        "glancing": draw.happens("glancing", d.glancing)
        * torch.tan(torch.deg2rad(draw.between("glancing angle", _GLANCING))),
        "ragged": some("ragged"),
        "shadow": baseline,
        "rim": some("rim"),
        # Squared: most frames have few.
        "dropouts": d.dropouts * draw("dropouts amount")[:, 0].square(),
        "grain": d.grain * draw("grain amount")[:, 0].square(),
        "steps": d.steps * draw("steps amount")[:, 0].square(),
        "flying": 0.6 * some("flying"),
        "smoothing": some("smoothing"),
        "filling": mode * draw.happens("filling", d.filling),
    }
    for rows in torch.arange(len(depth), device=depth.device).split(_step(depth)):
        key, images = draw.key[rows.cpu().numpy()], depth[rows]
        if clothes is not None:
            amount = draw.between("dark amount", (0.3, 1.0))[rows]
            images = film.dark(images, clothes[rows], raster.index(rows), key, amount)
        for name, amount in amounts.items():
            hit = amount[rows].nonzero()[:, 0]
            if len(hit) == len(rows):
                images = _ERRORS[name](images, amount[rows], raster.index(rows), key)
            elif len(hit):
                part = amount[rows][hit], raster.index(rows[hit]), key[hit.cpu().numpy()]
                images[hit] = _ERRORS[name](images[hit], *part)
        depth[rows] = images.mul_(_measurable(images, d.reach))
    return depth


def _measurable(depth: torch.Tensor, reach: float) -> torch.Tensor:
    """1 where the depth is within reach, else 0."""
    return torch.le(depth, reach, out=torch.empty_like(depth))


_GLANCING = (72.0, 84.0)
"""Lowest and highest angle in degrees from which on a surface is not measured."""

_ERRORS: dict[str, Callable[..., torch.Tensor]] = {
    "ragged": lambda depth, amount, raster, key: depth_camera.ragged(depth, raster, key, amount),
    "shadow": lambda depth, amount, raster, key: depth_camera.shadow(depth, raster, amount),
    "rim": lambda depth, amount, raster, key: depth_camera.rim(depth, raster, key, amount),
    "glancing": lambda depth, amount, raster, key: depth_camera.glancing(depth, raster, amount),
    "dropouts": lambda depth, amount, raster, key: depth_camera.dropouts(
        depth, raster, key, amount
    ),
    "grain": lambda depth, amount, raster, key: depth_camera.grain(depth, raster, key, amount),
    "steps": lambda depth, amount, raster, key: depth_camera.steps(depth, amount),
    "flying": lambda depth, amount, raster, key: depth_camera.flying(depth, raster, key, amount),
    "smoothing": lambda depth, amount, raster, key: depth_camera.smoothing(depth, amount),
    "filling": lambda depth, amount, raster, key: depth_camera.filling(depth, amount),
}


# --- What the sensor makes of it ----------------------------------------------


def _step(images: torch.Tensor) -> int:
    """How many images at once: on a processor, what one step touches should stay in its caches."""
    return len(images) if images.device.type != "cpu" else max(1, (1 << 18) // images[0].numel())


def _measured(
    draw: hashing.Draws, camera: Camera, d: Distribution, posed: Hand, exact: torch.Tensor
) -> torch.Tensor:
    names = [name for name, weight in d.sensors.items() if weight > 0]
    ends = torch.tensor([d.sensors[name] for name in names], dtype=torch.float64).cumsum(0)
    which = (draw("sensor").double() * ends[-1] >= ends[:-1].to(draw.device)).sum(-1)
    damage = _Damage(
        strength=draw.between("strength", d.strength),
        smear=draw.happens("smear", d.smear).float(),
        coarse=d.coarse * draw("coarse step")[:, 0] * draw.happens("coarse", 1 / 3),
        # Squared: most frames have few holes.
        holes=d.holes * draw("holes share")[:, 0].square(),
        points=_lost_points(draw, posed),
        radius=draw.between("missing size", (6.0, 16.0))[:, None]
        * draw.happens("missing", d.missing)[:, None],
    )
    depth = exact.clone()
    for number, name in enumerate(names):
        for rows in (which == number).nonzero()[:, 0].split(_step(exact)):
            key = draw.key[rows.cpu().numpy()]
            depth[rows] = _sense(
                sensors.SENSORS[name], d, camera, exact[rows], key, damage.index(rows)
            )
    return depth


@dataclass(frozen=True)
class _Damage:
    strength: torch.Tensor
    smear: torch.Tensor
    coarse: torch.Tensor
    holes: torch.Tensor
    points: torch.Tensor
    radius: torch.Tensor

    def index(self, rows: torch.Tensor) -> _Damage:
        return _Damage(**{name: value[rows] for name, value in vars(self).items()})


def _sense(
    sensor, d: Distribution, camera: Camera, depth: torch.Tensor, key: np.ndarray, damage: _Damage
) -> torch.Tensor:
    depth = sensors.within(depth, 0.0, d.reach)
    if damage.smear.any():
        depth = sensors.mix_edges(
            depth, hashing.split(key, "smear"), share=damage.smear, blend=0.45
        )
    depth = sensor(depth, camera, key, damage.strength)
    if damage.holes.any():
        depth = sensors.holes(depth, key, damage.holes)
    if damage.radius.any():
        depth = sensors.missing(depth, camera, damage.points, damage.radius)
    if damage.coarse.any():
        depth = sensors.quantise(depth, damage.coarse)
    return depth


def _lost_points(draw: hashing.Draws, posed: Hand) -> torch.Tensor:
    """(B, 1, 3) a place on an outer bone of a finger."""
    joints = posed.joints("msra21")
    finger = (draw("lost finger")[:, 0] * 5).long().clamp_max(4)
    rows = torch.arange(len(joints), device=joints.device)
    tip, before = joints[rows, 4 * finger + 4], joints[rows, 4 * finger + 3]
    return (tip + draw("lost place") * (before - tip))[:, None]
