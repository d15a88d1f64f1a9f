"""Random numbers without a state: each is a function of the seed, a purpose and a number."""

import hashlib

import torch


def mix(seed: int, purpose: str, number: int) -> int:
    """Return 63 pseudo-random bits, a function of (seed, purpose, number) alone."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """Return a generator on the CPU, seeded by `mix`: the same numbers for every device."""
    return torch.Generator().manual_seed(mix(seed, purpose, number))
