"""Image encoding as one operation for ``torch.compile``, which then need not look inside: ``fullgraph=True`` works.

Nothing in a tower gains from being traced, and finding a tower cannot be. The operation names its CLIP by a number that
holds in this process; what ``torch.export`` writes for others is traced through instead.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from .gradient import groups
from .model import FrozenCLIP, check_size, numbered


def is_compiled() -> bool:
    """Whether ``torch.compile`` follows this, not ``torch.export``."""
    is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)
    return torch.compiler.is_dynamo_compiling() and not is_exporting()


def encode(x: Tensor, clip: FrozenCLIP, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    """What ``clip``'s tower of that dtype makes of images ``(N, 3, H, W)``: ``(N, D)``, differentiable once."""
    return _encode(x, clip.number, clip.features, dtype, pos_embedding)


@torch.library.custom_op("clipiqa_pyiqa::encode", mutates_args=())
def _encode(x: Tensor, number: int, features: int, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    tower = numbered(number).image_tower(x.device, dtype)
    check_size(x, tower, pos_embedding)
    with torch.no_grad():
        return tower(x, pos_embedding)


@_encode.register_fake
def _(x: Tensor, number: int, features: int, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    return x.new_empty((x.shape[0], features), dtype=torch.promote_types(dtype, torch.float32))


@torch.library.custom_op("clipiqa_pyiqa::encode_backward", mutates_args=())
def _encode_backward(x: Tensor, upstream: Tensor, number: int, dtype: torch.dtype, pos_embedding: str) -> Tensor:
    tower = numbered(number).image_tower(x.device, dtype)

    def gradient() -> Tensor:
        gradients, done = [], 0
        for part in x.split([len(group) for group in groups(x.detach().requires_grad_())]):  # flat in memory
            leaf = part.detach().requires_grad_()
            own = upstream[done : (done := done + len(part))]
            gradients.append(torch.autograd.grad(tower(leaf, pos_embedding), leaf, own)[0])
        return torch.cat(gradients).contiguous()

    with ThreadPoolExecutor(1) as other:  # in this thread the inside of an operation runs below autograd
        return other.submit(gradient).result()


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
