"""The parameters of pyiqa's metrics, as a hash."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch


def hash_parameters(metric: Any) -> str:
    """Return a hash of all numbers that a metric of pyiqa holds; empty if it holds none.

    Of a metric with networks, these are their weights, and not what was computed from them, which can differ between
    machines. Other metrics, such as NIQE, hold tensors or arrays.
    """
    held = list(_held(metric, {}))
    states = [part.state_dict(keep_vars=True) for part in held if isinstance(part, torch.nn.Module)]
    numbers = [tensor for state in states for tensor in state.values() if isinstance(tensor, torch.Tensor)]
    if not any(isinstance(tensor, torch.nn.Parameter) and tensor.numel() for tensor in numbers):
        numbers += [part for part in held if not isinstance(part, torch.nn.Module)]
    return _hash_all(numbers) if numbers else ""


def hash_state(network: torch.nn.Module) -> str:
    """Return a hash of the parameters, buffers, tensors and arrays that a network holds; empty if it holds none.

    The network may have scored images already. What it holds in tuples or lists may be its last scores.
    """
    numbers: list[torch.Tensor | np.ndarray] = [*network.parameters(), *network.buffers()]
    for module in network.modules():
        numbers += [held for held in vars(module).values() if isinstance(held, torch.Tensor)]
        numbers += [held for held in vars(module).values() if isinstance(held, np.ndarray) and not held.dtype.hasobject]
    return _hash_all(numbers) if numbers else ""


def _hash_all(numbers: Iterable[torch.Tensor | np.ndarray]) -> str:
    with ThreadPoolExecutor() as threads:  # as it takes a second for each GB
        hashes = threads.map(_hash, numbers)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]


def _held(part: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Yield the networks, tensors and arrays that an object holds, each once, and not the parts of networks."""
    if isinstance(part, type | FunctionType | ModuleType) or id(part) in seen:
        return
    seen[id(part)] = part  # which keeps it alive, so that no later object has its id
    has_objects = isinstance(part, np.ndarray) and part.dtype.hasobject
    if isinstance(part, torch.Tensor | np.ndarray) and not has_objects:
        yield part
        return
    if isinstance(part, torch.nn.Module):
        yield part
        seen |= {id(module): module for module in part.modules()}
    for other in _parts(part):
        yield from _held(other, seen)


def _parts(part: Any) -> Iterable[Any]:
    """Return the objects in an object; of a network, those beside its state."""
    if isinstance(part, torch.nn.Module):
        attributes = [(name, held) for module in part.modules() for name, held in vars(module).items()]
        return [held for name, held in attributes if not name.startswith("_")]
    if isinstance(part, Mapping):
        return part.values()
    if isinstance(part, np.ndarray):
        return part.flat
    if isinstance(part, list | tuple):
        return part
    return getattr(part, "__dict__", {}).values()


def _hash(numbers: torch.Tensor | np.ndarray) -> str:
    """Return the SHA-256 of type, shape and numbers."""
    digest = hashlib.sha256(f"{numbers.dtype} {tuple(numbers.shape)}".encode())
    if isinstance(numbers, torch.Tensor):
        numbers = numbers.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()  # NumPy lacks bfloat16
    digest.update(np.ascontiguousarray(numbers).data)
    return digest.hexdigest()
