"""The pre-norm transformer of CLIP's text tower and vision transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import rounded

HEAD_WIDTH = 64
LAYER_NORM_EPS = 1e-5


def quick_gelu(x: Tensor) -> Tensor:
    """Return OpenAI's approximation of GELU."""
    return x * torch.sigmoid(1.702 * x)


class LayerNorm:
    """Layer normalisation over the last axis, in fp32 or wider."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, device: torch.device, dtype: torch.dtype):
        self.dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self.weight = tensors[f"{name}.weight"].to(device, self.dtype)
        self.bias = tensors[f"{name}.bias"].to(device, self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.to(self.dtype), self.weight.shape, self.weight, self.bias, LAYER_NORM_EPS)
        return normed.to(x.dtype)


class Linear:
    def __init__(self, weight: Tensor, bias: Tensor, device: torch.device, dtype: torch.dtype):
        self.weight, self.bias = rounded(weight, dtype, device), rounded(bias, dtype, device)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class AttentionBlock:
    """Residual attention block: ``x + attention(norm(x))``, then ``x + mlp(norm(x))``; x is ``(N, L, width)``."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        name: str,
        activation: Callable[[Tensor], Tensor],
        device: torch.device,
        dtype: torch.dtype,
    ):
        def linear(layer: str, infix: str = ".") -> Linear:
            weight, bias = (tensors[f"{name}.{layer}{infix}{kind}"] for kind in ("weight", "bias"))
            return Linear(weight, bias, device, dtype)

        self.activation = activation
        self.norm_1 = LayerNorm(tensors, f"{name}.ln_1", device, dtype)
        self.norm_2 = LayerNorm(tensors, f"{name}.ln_2", device, dtype)
        self.qkv, self.out = linear("attn.in_proj", "_"), linear("attn.out_proj")
        self.widen, self.narrow = linear("mlp.c_fc"), linear("mlp.c_proj")

    def __call__(self, x: Tensor, is_causal: bool = False, queries: int | None = None) -> Tensor:
        """Return the output; with ``queries=k`` only that of the first k positions, which attend to all."""
        normed = self.norm_1(x)
        q, k, v = (_split_heads(part) for part in self.qkv(normed).chunk(3, dim=-1))
        x = x[:, :queries]
        attended = F.scaled_dot_product_attention(q[:, :, :queries], k, v, is_causal=is_causal)
        x = x + self.out(attended.transpose(1, 2).flatten(2))  # (N, heads, L, 64) -> (N, L, width)
        return self._perceptron(x)

    def alone(self, x: Tensor) -> Tensor:
        """Return the output where each position attends only to itself."""
        width = x.shape[-1]
        values = F.linear(self.norm_1(x), self.qkv.weight[2 * width :], self.qkv.bias[2 * width :])
        return self._perceptron(x + self.out(values))

    def _perceptron(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.activation(self.widen(self.norm_2(x))))


class Transformer:
    """A stack of :class:`AttentionBlock`."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        prefix: str,
        uses_quick_gelu: bool,
        device: torch.device,
        dtype: torch.dtype,
    ):
        activation = quick_gelu if uses_quick_gelu else F.gelu
        start = f"{prefix}.resblocks."
        count = len({key[len(start) :].split(".")[0] for key in tensors if key.startswith(start)})
        self.blocks = [AttentionBlock(tensors, f"{start}{i}", activation, device, dtype) for i in range(count)]

    def __call__(self, x: Tensor, is_causal: bool = False, queries: int | None = None) -> Tensor:
        """Return the output; with ``queries=k`` only that of the first k positions."""
        for block in self.blocks[:-1]:
            x = block(x, is_causal)
        return self.blocks[-1](x, is_causal, queries)


def _split_heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2)  # (N, L, width) -> (N, heads, L, 64)
