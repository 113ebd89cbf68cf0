"""The numbers that metrics and networks hold: weights, other tensors, and arrays."""

from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

Numbers = torch.Tensor | np.ndarray


def numbers_of_metric(metric: Any) -> list[Numbers]:
    """Return the numbers that a metric of pyiqa holds before it has scored.

    Of a metric with networks, these are their weights, and not what was computed from them, which can differ between
    machines. Other metrics, such as NIQE, hold tensors or arrays.
    """
    held = list(_held(metric, {}))
    states = [part.state_dict(keep_vars=True) for part in held if isinstance(part, torch.nn.Module)]
    numbers: list[Numbers] = [
        tensor for state in states for tensor in state.values() if isinstance(tensor, torch.Tensor)
    ]
    if any(isinstance(tensor, torch.nn.Parameter) and tensor.numel() for tensor in numbers):
        return numbers
    return numbers + [part for part in held if not isinstance(part, torch.nn.Module)]


def numbers_of_network(network: torch.nn.Module) -> list[Numbers]:
    """Return the parameters, buffers, tensors and arrays that a network holds.

    The network may have scored images already. What it holds in tuples or lists may be its last scores, and is left
    out.
    """
    numbers: list[Numbers] = [*network.parameters(), *network.buffers()]
    for module in network.modules():
        numbers += [held for held in vars(module).values() if isinstance(held, torch.Tensor)]
        numbers += [held for held in vars(module).values() if isinstance(held, np.ndarray) and not held.dtype.hasobject]
    return numbers


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
