"""The pre-norm transformer of CLIP's text tower and vision transformers."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import FrozenTensors
from .gradient import is_traced

HEAD_WIDTH = 64
LAYER_NORM_EPS = 1e-5


def quick_gelu(x: Tensor) -> Tensor:
    """Return ``x * sigmoid(1.702 * x)``; ``x`` is overwritten where no gradient needs it."""
    if x.requires_grad or is_traced():
        return x * torch.sigmoid(1.702 * x)
    return x.mul_((1.702 * x).sigmoid_())  # new memory for each product takes most of a CPU's time


class LayerNorm:
    def __init__(self, tensors: FrozenTensors, name: str):
        self.dtype = tensors.wide
        self.weight, self.bias = tensors.widened(f"{name}.weight"), tensors.widened(f"{name}.bias")

    def __call__(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.to(self.dtype), self.weight.shape, self.weight, self.bias, LAYER_NORM_EPS)
        return normed.to(x.dtype)


class Linear:
    def __init__(self, tensors: FrozenTensors, name: str):
        self.weight, self.bias = (tensors.rounded(tensors.raw[f"{name}{part}"]) for part in ("weight", "bias"))

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class AttentionBlock:
    """Residual block ``(N, L, width)``: ``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, tensors: FrozenTensors, name: str, activation: Callable[[Tensor], Tensor]):
        self.activation = activation
        self.norm_1, self.norm_2 = LayerNorm(tensors, f"{name}.ln_1"), LayerNorm(tensors, f"{name}.ln_2")
        self.qkv, self.out = Linear(tensors, f"{name}.attn.in_proj_"), Linear(tensors, f"{name}.attn.out_proj.")
        self.widen, self.narrow = Linear(tensors, f"{name}.mlp.c_fc."), Linear(tensors, f"{name}.mlp.c_proj.")

    def __call__(self, x: Tensor, is_causal: bool = False, queries: int | None = None) -> Tensor:
        """Return the output of all positions; with ``queries=k``, of the first k positions only."""
        normed = self.norm_1(x)
        q, k, v = (_split_heads(part) for part in self.qkv(normed).chunk(3, dim=-1))
        x = x[:, :queries]
        attended = F.scaled_dot_product_attention(q[:, :, :queries], k, v, is_causal=is_causal)
        x = x + self.out(attended.transpose(1, 2).flatten(2))  # (N, heads, L, 64) -> (N, L, width)
        return self._perceptron(x)

    def alone(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        values = F.linear(self.norm_1(x), self.qkv.weight[2 * width :], self.qkv.bias[2 * width :])
        return self._perceptron(x + self.out(values))

    def _perceptron(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.activation(self.widen(self.norm_2(x))))


class Transformer:
    def __init__(self, tensors: FrozenTensors, prefix: str, uses_quick_gelu: bool):
        activation = quick_gelu if uses_quick_gelu else F.gelu
        start = f"{prefix}.resblocks."
        count = len({key[len(start) :].split(".")[0] for key in tensors.raw if key.startswith(start)})
        self.blocks = [AttentionBlock(tensors, f"{start}{i}", activation) for i in range(count)]

    def __call__(self, x: Tensor, is_causal: bool = False, queries: int | None = None) -> Tensor:
        for block in self.blocks[:-1]:
            x = block(x, is_causal)
        return self.blocks[-1](x, is_causal, queries)


def _split_heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2)  # (N, L, width) -> (N, heads, L, 64)
