"""Image encoding as one custom operation, so that ``torch.compile`` works with ``fullgraph=True``."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from .gradient import groups
from .model import FrozenCLIP, by_number, check_size


def is_compiled() -> bool:
    """Return whether ``torch.compile``, not ``torch.export``, traces."""
    is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)
    return torch.compiler.is_dynamo_compiling() and not is_exporting()


def encode(x: Tensor, clip: FrozenCLIP, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    return _encode(x, clip.number, clip.width, dtype, pos_embedding)


@torch.library.custom_op("clipiqa_pyiqa::encode", mutates_args=())
def _encode(x: Tensor, number: int, width: int, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    tower = by_number[number].image_tower(x.device, dtype)
    check_size(x, tower, pos_embedding)
    with torch.no_grad():
        return tower(x, pos_embedding)


@_encode.register_fake
def _(x: Tensor, number: int, width: int, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    return x.new_empty((x.shape[0], width), dtype=torch.promote_types(dtype, torch.float32))


@torch.library.custom_op("clipiqa_pyiqa::encode_backward", mutates_args=())
def _encode_backward(x: Tensor, upstream: Tensor, number: int, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    tower = by_number[number].image_tower(x.device, dtype)

    def gradient() -> Tensor:
        gradients, done = [], 0
        for group in groups(x.detach().requires_grad_()):  # so that memory does not grow with the batch
            leaf = group.detach().requires_grad_()
            part = upstream[done : (done := done + len(leaf))]
            gradients.append(torch.autograd.grad(tower(leaf, pos_embedding), leaf, part)[0])
        return torch.cat(gradients).contiguous()

    with ThreadPoolExecutor(1) as thread:  # in a thread, since autograd is off inside a custom operation
        return thread.submit(gradient).result()


@_encode_backward.register_fake
def _(x: Tensor, upstream: Tensor, number: int, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.number, _, ctx.dtype, ctx.pos_embedding = inputs
    ctx.save_for_backward(x)


def _pull_back(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
    (x,) = ctx.saved_tensors
    return _encode_backward(x, upstream, ctx.number, ctx.dtype, ctx.pos_embedding), None, None, None, None


_encode.register_autograd(_pull_back, setup_context=_keep)
