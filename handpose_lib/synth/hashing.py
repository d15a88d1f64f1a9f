"""Stateless random numbers: functions of (seed, index, name) and of nothing else.

With a sequential generator, frame 4711 depends on the 4711 frames before it. Here every frame has a
key, a hash of seed and index, and every random quantity ("forearm length") has a name; its value is
a hash of both. So a frame is the same alone, in any batch and in any order.

The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number
Generators, 2014), exact in the wrapping arithmetic of 64-bit integers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from handpose_lib.errors import HandPoseError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keys(seed: int, indices: Iterable[int]) -> np.ndarray:
    """Return (B,) uint64, one key for each index."""
    numbers = np.asarray([int(i) for i in indices], dtype=np.int64)
    if (numbers < 0).any() or int(seed) < 0:
        lowest = numbers.min(initial=0)
        raise HandPoseError(
            f"seed {seed} with indices from {lowest}: accepted are whole numbers from 0"
        )
    start = np.uint64(int(seed) & 0xFFFFFFFFFFFFFFFF)
    return _mix(_mix(np.full(1, start) + _GOLDEN) + numbers.astype(np.uint64) * _GOLDEN)


def uniform(key: np.ndarray, name: str, count: int = 1) -> torch.Tensor:
    """Return (B, count) float32 in [0, 1), multiples of 2^-24."""
    return torch.from_numpy(
        (_words(key, name, count) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    )


@dataclass(frozen=True)
class Draws:
    """The random quantities of frames with these keys, as tensors on a device."""

    key: np.ndarray
    device: torch.device

    def __call__(self, name: str, count: int = 1) -> torch.Tensor:
        """Return (B, count), uniform in [0, 1)."""
        return uniform(self.key, name, count).to(self.device)

    def normal(self, name: str, count: int) -> torch.Tensor:
        """Return (B, count) from the standard normal distribution, cut at five standard
        deviations.
        """
        return torch.special.ndtri(uniform(self.key, name, count).double().clamp_min(3e-7)).to(
            self.device
        )

    def between(self, name: str, limits: tuple[float, float]) -> torch.Tensor:
        """Return (B,), uniform between the limits."""
        return limits[0] + (limits[1] - limits[0]) * self(name)[:, 0]

    def happens(self, name: str, share: float) -> torch.Tensor:
        """Return (B,) bool, true in a share of the frames."""
        return self(name)[:, 0] < share


def split(key: np.ndarray, name: str) -> np.ndarray:
    """Return (B,) uint64, the keys of a part of each frame with random quantities of its own."""
    return _words(key, name, 1)[:, 0]


def noise(
    key: np.ndarray,
    name: str,
    size: Sequence[int],
    like: torch.Tensor,
    smooth: float = 0.0,
    anchor: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return (B, H, W) standard normal noise, correlated over `smooth` pixels.

    `size`: (H, W). The noise has the dtype and the device of `like`. Each frame receives its own
    window of one large periodic sheet of noise: drawing every pixel anew would take longer than
    rendering it. Windows of two frames may overlap. `anchor`: (B, 2) whole numbers, the pixel
    (u, v) of a larger image that is the first one here: its noise is continued.
    """
    height, width = size
    sheet = _sheet(float(smooth), -(-max(size) // 64) * 64, like.dtype, like.device)
    corners = (_words(key, name, 2) % np.uint64(_SHEET)).astype(np.int64)
    if anchor is not None:
        corners = (corners + anchor.flip(1).cpu().numpy()) % _SHEET
    corners = corners.tolist()
    if not corners:
        return like.new_zeros(0, height, width)
    return torch.stack([sheet[v : v + height, u : u + width] for v, u in corners])


_SHEET = 1024
"""Side in pixels of the periodic sheet of noise."""


@lru_cache(maxsize=24)
def _sheet(smooth: float, margin: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    word = _words(np.zeros(1, dtype=np.uint64), "sheet", 2 * _SHEET**2)[0]
    u = ((word >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    # Box and Muller: two uniform numbers make a normal one.
    white = np.sqrt(-2 * np.log(u[0::2])) * np.cos(2 * np.pi * u[1::2])
    white = white.reshape(_SHEET, _SHEET)
    if smooth > 0:
        # A Gaussian filter of the periodic sheet, by its transfer function.
        f = np.fft.fftfreq(_SHEET)
        transfer = np.exp(-2 * (np.pi * smooth) ** 2 * (f[:, None] ** 2 + f[None, :] ** 2))
        white = np.fft.ifft2(np.fft.fft2(white) * transfer).real
        white = (white - white.mean()) / white.std()
    return torch.from_numpy(np.pad(white, (0, margin), mode="wrap")).to(device=device, dtype=dtype)


def _words(key: np.ndarray, name: str, count: int) -> np.ndarray:
    """Return (B, count) uint64 random numbers."""
    stream = np.uint64(zlib.crc32(name.encode()))
    place = (np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)[None]
    return _mix(_mix(key + (stream << np.uint64(20)))[:, None] + place)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
