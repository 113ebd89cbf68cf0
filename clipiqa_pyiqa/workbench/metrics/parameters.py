"""The parameters of pyiqa's metrics, as a hash."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from .held_numbers import Numbers, numbers_of_metric, numbers_of_network


def hash_parameters(metric: Any) -> str:
    """Return a hash of all numbers that a metric of pyiqa holds before it has scored; empty if it holds none."""
    return _hash_all(numbers_of_metric(metric))


def hash_state(network: torch.nn.Module) -> str:
    """Return a hash of the numbers of a network that may have scored images already; empty if it holds none."""
    return _hash_all(numbers_of_network(network))


def _hash_all(numbers: Sequence[Numbers]) -> str:
    if not numbers:
        return ""
    with ThreadPoolExecutor() as threads:  # as it takes a second for each GB
        hashes = threads.map(_hash, numbers)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]


def _hash(numbers: Numbers) -> str:
    """Return the SHA-256 of type, shape and numbers."""
    digest = hashlib.sha256(f"{numbers.dtype} {tuple(numbers.shape)}".encode())
    if isinstance(numbers, torch.Tensor):
        numbers = numbers.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()  # NumPy lacks bfloat16
    digest.update(np.ascontiguousarray(numbers).data)
    return digest.hexdigest()
