"""Self-penetration of a hand: how deep the capsules around its bones overlap."""

import itertools
from functools import lru_cache

import torch

from handpose_lib.synth.hands.hand import CHAINS, FINGERS, SPHERES


def penetration(spheres: torch.Tensor) -> torch.Tensor:
    """Return (B,), mm by which two parts of a hand overlap at most; negative for a distance.

    `spheres`: (B, S, 4) in the order of `hand.SPHERES`, of which palm and fingers count:
    `Hand.spheres`, or what `hand.jointed` returns. Parts are the bones of different fingers, each a
    capsule with the radius of the surface, and those of the palm against the outer bones;
    neighbours by anatomy (first bones near their common web, a metacarpal and its own finger's
    first bone) are left out.
    """
    ends, skipped, first, second = _capsules(spheres.device)
    a, b = spheres[:, ends].unbind(2)
    a = a + skipped.to(spheres) * (b - a)
    return overlap(a[:, first], b[:, first], a[:, second], b[:, second]).amax(-1)


@lru_cache
def _capsules(
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the capsules: spheres at both ends (N, 2), share left out at the first (N, 1), and the
    pairs of capsules to compare, (P,) twice.
    """
    # The first bone of a finger counts from the end of its web on, the palm from below its knuckle.
    capsules = [
        (finger, bone, ends, 0.55 if bone == 0 and finger != "thumb" else 0.0)
        for finger, chain in zip(FINGERS, CHAINS)
        for bone, ends in enumerate(itertools.pairwise(chain))
    ]
    lower = ("thumb", "thumb", "heel", "heel")
    capsules += [("palm", 0, ends, 0.12) for ends in zip(FINGERS[1:], lower)]
    pairs = [
        (i, j)
        for i, (one, bone, *_) in enumerate(capsules)
        for j, (other, other_bone, *_) in enumerate(capsules[:i])
        # Left out: the thumb's metacarpal, which is part of the palm, and the palm with the bones
        # that start in it.
        if one != other
        and ("thumb", 0) not in ((one, bone), (other, other_bone))
        and (one, other_bone) != ("palm", 0)
    ]
    first, second = torch.tensor(pairs, device=device).unbind(-1)
    return (
        torch.tensor(
            [[SPHERES.index(end) for end in ends] for _, _, ends, _ in capsules], device=device
        ),
        torch.tensor([[skipped] for *_, skipped in capsules], device=device),
        first,
        second,
    )


def overlap(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    """Return (...), how deep the tapered capsules ab and cd overlap; negative for a distance.

    Each end is (..., 4), a point and its radius. The radii that count are those at the closest
    points of the two segments.
    Source: Ericson, Real-Time Collision Detection, section 5.1.9.
    """
    u, v, w = (b - a)[..., :3], (d - c)[..., :3], (a - c)[..., :3]
    uu, vv, uv, uw, vw = _dot(u, u), _dot(v, v), _dot(u, v), _dot(u, w), _dot(v, w)
    tiny = torch.finfo(a.dtype).eps
    uu, vv = uu.clamp_min(tiny), vv.clamp_min(tiny)
    s = ((uv * vw - uw * vv) / (uu * vv - uv * uv).clamp_min(tiny)).clamp(0, 1)
    t = ((uv * s + vw) / vv).clamp(0, 1)
    s = ((uv * t - uw) / uu).clamp(0, 1)
    gap = w + s[..., None] * u - t[..., None] * v
    radii = a[..., 3] + s * (b[..., 3] - a[..., 3]) + c[..., 3] + t * (d[..., 3] - c[..., 3])
    return radii - _dot(gap, gap).sqrt()


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]
