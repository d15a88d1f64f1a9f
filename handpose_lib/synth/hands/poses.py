"""Poses of the fingers without self-penetration: MSRA's 17 gestures, daily life, free sampling.

    angles = poses.preset("relaxed")             # (20,) rad, the joint angles of `hand.DOF[6:]`
    angles = poses.sample(uniforms, subjects)    # (B, 20) from uniforms (B, UNIFORMS) in [0, 1)
    pose = poses.assemble(angles, position, yaw, pitch, roll)        # (B, 26) for `hand.posed`

MSRA's names are not explained by its authors. Here the figures 1 to 9, I, L and Y are those of
American Sign Language, and T, I, M, R, P in the other names are the fingers that are stretched:
thumb, index, middle, ring and little ("pinky") finger.
"""

import math
from collections.abc import Mapping

import torch

from handpose_lib.errors import HandPoseError, one_of
from handpose_lib.synth.hands import hand
from handpose_lib.synth.hands.contact import penetration
from handpose_lib.synth.hands.hand import DOF, FINGERS, LIMITS, Subject

# Degrees, in the order of the degrees of freedom. A finger: abduction, flexion of its three joints.
_OPEN, _CURLED = (0, 5, 6, 4), (0, 80, 98, 55)
_SPREAD = {
    "index": (10, 4, 5, 3),
    "middle": (0, 3, 5, 3),
    "ring": (7, 4, 5, 3),
    "little": (14, 5, 6, 4),
}
# The thumb: abduction and flexion of its root, flexion of its two other joints. Where it touches a
# finger the angles were fitted on the average hand.
_OUT, _BESIDE = (12, -6, 4, 0), (20, 15, 8, 4)


_Finger = tuple[float, float, float, float]


def _gesture(
    thumb: _Finger,
    index: _Finger = _CURLED,
    middle: _Finger = _CURLED,
    ring: _Finger = _CURLED,
    little: _Finger = _CURLED,
) -> torch.Tensor:
    return torch.tensor([thumb, index, middle, ring, little], dtype=torch.float64).flatten() * (
        math.pi / 180
    )


_V = {"index": (11, 4, 6, 4), "middle": (-7, 4, 6, 4)}
_LITTLE = {"little": (12, 5, 6, 4)}

GESTURES = {
    "1": _gesture((38, 17, 34, 48), index=_OPEN),
    "2": _gesture((42, 28, 41, 49), **_V),
    "3": _gesture(_OUT, **_V),
    "4": _gesture((29, 42, 38, 25), (5, 5, 6, 4), _OPEN, (3, 5, 6, 4), (8, 5, 6, 4)),
    "5": _gesture(_OUT, **_SPREAD),
    "6": _gesture((53, 35, 45, 43), _OPEN, _OPEN, _OPEN, (-3, 61, 36, 20)),
    "7": _gesture((47, 28, 37, 35), (5, 5, 6, 4), _OPEN, (-5, 51, 53, 32), (8, 5, 6, 4)),
    "8": _gesture((39, 18, 28, 27), (5, 5, 6, 4), (1, 56, 52, 32), (2, 5, 6, 4), (8, 5, 6, 4)),
    "9": _gesture((34, 12, 23, 24), (0, 51, 47, 28), _OPEN, (4, 5, 6, 4), (10, 5, 6, 4)),
    "I": _gesture((44, 6, 38, 62), **_LITTLE),
    "IP": _gesture((38, 17, 34, 48), index=(6, 5, 6, 4), **_LITTLE),
    "L": _gesture((4, -12, 0, -5), index=_OPEN),
    "MP": _gesture((31, 5, 28, 62), middle=_OPEN, **_LITTLE),
    "RP": _gesture((44, 6, 38, 62), ring=_OPEN, little=(6, 5, 6, 4)),
    "T": _gesture((10, -2, 0, -8)),
    "TIP": _gesture(_OUT, index=(6, 5, 6, 4), **_LITTLE),
    "Y": _gesture((6, -12, 2, 0), little=(16, 5, 6, 4)),
}
"""Joint angles (20,) in rad of MSRA's 17 gestures, float64."""

POSES = {
    **GESTURES,
    "relaxed": _gesture(
        (22, 8, 16, 16), (3, 20, 30, 16), (0, 25, 34, 18), (1, 29, 36, 19), (4, 32, 34, 18)
    ),
    "half closed": _gesture(
        (35, 16, 22, 24), (2, 45, 52, 28), (0, 48, 56, 30), (1, 50, 56, 30), (3, 52, 52, 28)
    ),
    "flat": _gesture(_BESIDE, (-6, 2, 3, 2), (0, 2, 3, 2), (-6, 2, 3, 2), (-12, 2, 3, 2)),
    "spread": _gesture((18, -14, 0, -5), (18, 0, 3, 2), (0, 0, 3, 2), (13, 0, 3, 2), (26, 0, 3, 2)),
    "fist": _gesture((44, 6, 38, 62)),
    "hook": _gesture(_BESIDE, *[(-4, 5, 85, 50)] * 4),
    "claw": _gesture(
        (30, -5, 20, 35), (10, 10, 55, 40), (0, 12, 58, 40), (6, 12, 58, 40), (14, 12, 55, 40)
    ),
    "cup": _gesture(
        (38, 14, 14, 14), (-4, 48, 22, 12), (0, 50, 24, 13), (-4, 52, 24, 13), (-8, 54, 22, 12)
    ),
    "grasp": _gesture(
        (50, 4, 14, 22), (6, 38, 42, 26), (0, 40, 45, 28), (4, 42, 45, 28), (10, 46, 40, 24)
    ),
}
"""The gestures and nine poses of daily life."""

MIX = {"gesture": 0.25, "between": 0.2, "everyday": 0.2, "together": 0.15, "uniform": 0.2}
"""Shares of the families that `sample` draws from: a gesture; a pose between two of `POSES`; a more
or less curled hand, its fingers anywhere from together to spread; fingers held together; every
angle uniform in its limits.
"""

TRIES = 6
_PER_TRY = 24
UNIFORMS = TRIES * _PER_TRY
"""Uniform numbers that `sample` needs for one hand: 24 for each of its attempts to find a pose
without self-penetration.
"""

TOLERANCE_MM = 4.0
"""A sampled pose with a deeper self-penetration is drawn again."""


def preset(name: str) -> torch.Tensor:
    """Return the joint angles (20,) in rad, float64, of one of `POSES`."""
    return POSES[one_of("pose", name, POSES)].clone()


def assemble(
    angles: torch.Tensor,
    position: torch.Tensor,
    yaw: torch.Tensor,
    pitch: torch.Tensor,
    roll: torch.Tensor,
) -> torch.Tensor:
    """Return poses (B, 26) from joint angles (B, 20), wrist position (B, 3) in mm and three angles
    (B,) in rad.
    """
    return torch.cat([position, torch.stack([yaw, pitch, roll], dim=-1), angles], dim=-1)


def sample(
    uniforms: torch.Tensor,
    subjects: Subject,
    mix: Mapping[str, float] = MIX,
    tolerance: float = TOLERANCE_MM,
    gesture: torch.Tensor | str | None = None,
) -> torch.Tensor:
    """Return joint angles (B, 20) in rad, within the limits, as a pure function of `uniforms`.

    `uniforms`: (B, UNIFORMS) in [0, 1). `subjects`: the B hands. `mix`: weights of the families of
    `MIX`. `gesture`: a name of `GESTURES`, or indices (B,) into it, for variations of these instead
    of the mix. A pose whose parts overlap by more than `tolerance` mm is drawn again from the row's
    next uniforms; after `TRIES` attempts the one with the smallest overlap is taken. A row depends
    on no other row. Errors: `HandPoseError` for shapes that do not fit, unknown names and weights
    below 0.
    """
    if uniforms.ndim != 2 or uniforms.shape[1] != UNIFORMS:
        raise HandPoseError(
            f"uniforms have shape {tuple(uniforms.shape)}: accepted is (B, {UNIFORMS})"
        )
    subjects, asked = subjects.to(uniforms), _asked(gesture, uniforms)
    if subjects.palm.shape[:-2] != uniforms.shape[:1]:
        raise HandPoseError(
            f"subjects of shape {tuple(subjects.palm.shape[:-2])}: accepted is ({len(uniforms)},)"
        )
    shares = torch.tensor(
        [mix.get(one_of("family of poses", name, MIX), 0.0) for name in MIX], dtype=torch.float64
    )
    for name in mix:
        one_of("family of poses", name, MIX)
    if not (shares >= 0).all() or not shares.sum() > 0:
        raise HandPoseError(
            f"mix {dict(mix)}: accepted are weights of at least 0 with a sum above 0"
        )
    ends = (shares.cumsum(0) / shares.sum())[:-1].to(uniforms)

    found = _draw(uniforms[:, :_PER_TRY], subjects, ends, asked, 0)
    depth = self_penetration(found, subjects)
    again = (depth > tolerance).nonzero().flatten()
    if len(again):
        # All further attempts at once: a second pass costs less than several small ones.
        number = torch.arange(1, TRIES, device=uniforms.device).repeat(len(again))
        rows = again.repeat_interleave(TRIES - 1)
        person = subjects.index(rows)
        rest = uniforms[again, _PER_TRY:].reshape(-1, _PER_TRY)
        others = _draw(rest, person, ends, None if asked is None else asked[rows], number)
        depths = torch.cat(
            [depth[again, None], self_penetration(others, person).reshape(len(again), -1)], dim=1
        )
        order = torch.arange(TRIES, device=uniforms.device)
        best = torch.where(depths <= tolerance, order, TRIES + depths).argmin(dim=1)
        attempts = torch.cat([found[again, None], others.reshape(len(again), TRIES - 1, -1)], dim=1)
        found[again] = attempts[torch.arange(len(again), device=uniforms.device), best]
    return found


def self_penetration(angles: torch.Tensor, subjects: Subject) -> torch.Tensor:
    """Return (B,), the depth in mm of the self-penetration of hands with joint angles (B, 20)."""
    return penetration(hand.jointed(subjects, angles))


def together(angles: torch.Tensor, subjects: Subject) -> torch.Tensor:
    """Return the joint angles (B, 20) with the fingers adducted until their neighbours touch.

    Solved for straight fingers, at the last joint of index, ring and little finger: there
    root + length sin(angle) is one sum of radii away from the axis of the neighbour on the middle
    finger's side.
    """
    return _with_abductions(angles, _touching(subjects.to(angles)).expand(len(angles), -1))


# --- families -----------------------------------------------------------------

_LOW, _HIGH = LIMITS[6:].unbind(-1)
_ABDUCTIONS = [DOF.index(f"{finger} mcp abduction") - 6 for finger in FINGERS[1:]]
_GESTURE_NOISE, _BETWEEN_NOISE, _DAILY_NOISE, _LIFT = (
    math.radians(degrees) for degrees in (9.0, 6.0, 12.0, 2.5)
)


def _asked(gesture: torch.Tensor | str | None, uniforms: torch.Tensor) -> torch.Tensor | None:
    """Return indices (B,) into `GESTURES`, or None for the mix."""
    if gesture is None:
        return None
    if isinstance(gesture, str):
        gesture = torch.full(
            (len(uniforms),), list(GESTURES).index(one_of("gesture", gesture, GESTURES))
        )
    if gesture.shape != uniforms.shape[:1] or gesture.is_floating_point():
        wanted = f"accepted are ({len(uniforms)},) whole numbers"
        raise HandPoseError(f"gesture is {gesture.dtype} {tuple(gesture.shape)}: {wanted}")
    return gesture.to(uniforms.device)


def _draw(
    u: torch.Tensor,
    subjects: Subject,
    ends: torch.Tensor,
    asked: torch.Tensor | None,
    number: torch.Tensor | int,
) -> torch.Tensor:
    """Return one attempt, angles (B, 20) from uniforms (B, 24).

    Every family is computed and one of them chosen. `number`: of the attempt, (B,); a gesture's
    thumb is raised further with each attempt, so that it leaves the fingers.
    """
    low, high = _LOW.to(u), _HIGH.to(u)
    family = (u[:, :1] >= ends).sum(-1) if asked is None else torch.zeros_like(asked)
    each = u[:, 4:]
    noise = 2 * each - 1
    shut = _touching(subjects)

    gestures = torch.stack(list(GESTURES.values())).to(u)
    gesture = (
        gestures[_pick(u[:, 1], len(gestures)) if asked is None else asked] + _GESTURE_NOISE * noise
    )
    gesture[:, 0] += number * _LIFT

    known = torch.stack(list(POSES.values())).to(u)
    first, second, blend = (
        known[_pick(u[:, 1], len(known))],
        known[_pick(u[:, 2], len(known))],
        u[:, 3:4],
    )
    between = first + blend * (second - first) + _BETWEEN_NOISE * noise

    # From stretched over relaxed to a fist; the fingers from held together to spread.
    curl, open_ = u[:, 1:2], u[:, 2:3]
    stretched, fist = (POSES[name].to(u) for name in ("5", "fist"))
    spread = POSES["spread"].to(u)[_ABDUCTIONS]
    daily = _with_abductions(
        stretched + curl * (fist - stretched), shut + open_ * (1 - 0.7 * curl) * (spread - shut)
    )
    daily = daily + _DAILY_NOISE * noise * (0.3 + 0.7 * open_)

    # One flexion for each row of joints, as of a flat, cupped or bowed hand; the thumb anywhere in
    # its range.
    rows = (
        torch.stack([u[:, 1], u[:, 2], 0.8 * u[:, 2]], dim=-1)
        * u.new_tensor([75.0, 80.0, 55.0])
        * (math.pi / 180)
    )
    bent = torch.cat([torch.zeros_like(rows[:, :1]), rows], dim=-1).repeat(1, 4)
    thumb = (low + each * (high - low))[:, :4]
    closed = (
        _with_abductions(torch.cat([thumb, bent], dim=-1), shut)
        + 0.25 * _GESTURE_NOISE * noise * u[:, 3:4]
    )

    free = low + each * (high - low)
    chosen = torch.stack([gesture, between, daily, closed, free])
    found = chosen[family, torch.arange(len(u), device=u.device)]
    return torch.minimum(torch.maximum(found, low), high)


def _pick(u: torch.Tensor, count: int) -> torch.Tensor:
    """Return whole numbers below `count` from uniforms, also for a `u` that rounds up to 1."""
    return (u * count).long().clamp_max(count - 1)


def _with_abductions(angles: torch.Tensor, abductions: torch.Tensor) -> torch.Tensor:
    angles = angles.clone()
    angles[:, _ABDUCTIONS] = abductions
    return angles


def _touching(subjects: Subject) -> torch.Tensor:
    """Return (B, 4) or (1, 4), abductions in rad at which straight neighbouring fingers touch."""
    palm, bones, radii = (
        t if t.ndim > 2 else t[None] for t in (subjects.palm, subjects.bones, subjects.radii)
    )
    x, y = palm[:, :5, 0], palm[:, :5, 1]
    reach = bones[..., 0] + bones[..., 1]
    still = torch.zeros_like(x[:, 0])
    slopes = {2: still}
    for finger, neighbour, side in ((1, 2, 1.0), (3, 2, -1.0), (4, 3, -1.0)):
        along = y[:, neighbour] - y[:, finger] + reach[:, finger]
        thick = radii[:, finger, 2] + _radius(radii[:, neighbour], bones[:, neighbour], along)
        axis = x[:, neighbour] + slopes[neighbour] * along
        slopes[finger] = (
            (axis + side * (thick - _PRESSED) - x[:, finger]) / reach[:, finger]
        ).clamp(-0.5, 0.5)
    angles = torch.asin(torch.stack([slopes[1], slopes[2], slopes[3], slopes[4]], dim=-1))
    outwards = angles.new_tensor(hand.OUTWARDS[1:])
    found = (angles - angles.new_tensor(hand.FAN[1:])) * outwards
    return torch.minimum(
        torch.maximum(found, _LOW[_ABDUCTIONS].to(found)), _HIGH[_ABDUCTIONS].to(found)
    )


_PRESSED = 0.6  # mm by which the skin of touching fingers yields


def _radius(radii: torch.Tensor, bones: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """Return (B,), the radius of a finger at the distance `along` (B,) from its root.

    `radii`: (B, 4); `bones`: (B, 3), of which the first two count.
    """
    first = (along / bones[:, 0]).clamp(0, 1)
    second = ((along - bones[:, 0]) / bones[:, 1]).clamp(0, 1)
    return radii[:, 0] + first * (radii[:, 1] - radii[:, 0]) + second * (radii[:, 2] - radii[:, 1])
