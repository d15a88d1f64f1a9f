"""Random numbers without a state: each is a function of the seed, a purpose and a number."""

import hashlib

import torch


def mix(seed: int, purpose: str, number: int) -> int:
    """63 bits that look random, decided by (seed, purpose, number) and by nothing else."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """A generator on the CPU, seeded by `mix`: the same numbers wherever the batch lives."""
    return torch.Generator().manual_seed(mix(seed, purpose, number))
