"""Random numbers that depend on a recipe's seed and on what they are for."""

import hashlib
from typing import Any

import torch


def seeded(*parts: Any) -> torch.Generator:
    """Return a generator whose seed is a hash of all parts, such as a seed, a purpose and a number."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
