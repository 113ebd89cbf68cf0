"""Random numbers that depend on a recipe's seed and on what they are for."""

import hashlib

import torch


def seeded(*parts: int | str) -> torch.Generator:
    """Return a generator whose seed is a hash of all parts, such as a seed, a purpose and a number."""
    plain_parts = tuple(part if isinstance(part, str) else int(part) for part in parts)  # NumPy's numbers have a repr
    digest = hashlib.sha256(repr(plain_parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
