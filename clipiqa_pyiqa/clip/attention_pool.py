"""CLIP's attention pooling, without a projection of each position."""

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .frozen_tensors import FrozenTensors
from .gradient import needs_gradient
from .tracing import is_traced, untraced

HEAD_WIDTH = 64


class AttentionPool:
    """CLIP's pooling of ``(N, C, h, w)`` to ``(N, D)``, in fp32 or wider (Radford et al., ICML 2021, Sec. 2.4).

    The mean is the only query, so positions need no key or value projection.
    """

    def __init__(self, tensors: FrozenTensors):
        self.dtype = tensors.feature_dtype

        def load(name: str) -> Tensor:
            return tensors.read(f"visual.attnpool.{name}")

        self.positional_embedding = load("positional_embedding")
        self.q_weight = load("q_proj.weight")
        self.q_bias = load("q_proj.bias")
        self.k_weight = load("k_proj.weight").unflatten(0, (-1, HEAD_WIDTH))  # (heads, 64, C)
        self.v_weight = load("v_proj.weight").unflatten(0, (-1, HEAD_WIDTH))
        self.v_bias = load("v_proj.bias")
        self.c_weight = load("c_proj.weight")
        self.c_bias = load("c_proj.bias")

    def __call__(self, x: Tensor, pos_embedding: str) -> Tensor:
        if x.device.type == "cpu" and not (is_traced() or needs_gradient(x)):
            return torch.cat([self._pool(image, pos_embedding) for image in x.split(1)])
        return self._pool(x, pos_embedding)

    def dense(self, x: Tensor, pos_embedding: str) -> Tensor:
        """Return the value projection of each position, ``(N, D, h, w)`` (MaskCLIP: Zhou, Loy, Dai, ECCV 2022)."""
        x = x.to(self.dtype)
        height, width = x.shape[2:]
        if pos_embedding == "interpolate":
            positions = resize_rows(self.positional_embedding, height * width + 1)[1:]  # row 0 is the mean's
            x = x + positions.T.unflatten(1, (height, width))
        weight, bias = self._value_of_itself
        return F.conv2d(x, weight[:, :, None, None], bias)

    @cached_property
    def _value_of_itself(self) -> tuple[Tensor, Tensor]:
        """Value and output projection as one layer, weight and bias, for positions that attend to themselves."""
        with untraced():
            tensors = self.v_weight.flatten(0, 1), self.v_bias, self.c_weight, self.c_bias
            values, shift, out, bias = (tensor.cpu().double() for tensor in tensors)  # no float64 on some devices
            return (out @ values).to(self.v_bias), (out @ shift + bias).to(self.v_bias)

    def _pool(self, x: Tensor, pos_embedding: str) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2).to(self.dtype)  # (N, C, h, w) -> (N, hw, C)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)  # (N, hw + 1, C)
        if pos_embedding == "interpolate":
            tokens = tokens + resize_rows(self.positional_embedding, tokens.shape[1])
        query = F.linear(tokens[:, 0], self.q_weight, self.q_bias) * HEAD_WIDTH**-0.5
        query = query.unflatten(1, (-1, HEAD_WIDTH))  # (N, heads, 64)
        query = torch.einsum("nhd,hdc->nhc", query, self.k_weight)  # the key projection, applied to the query
        weights = (query @ tokens.transpose(1, 2)).softmax(dim=-1)  # (N, heads, hw + 1)
        pooled = weights @ tokens  # (N, heads, C)
        values = torch.einsum("nhc,hdc->nhd", pooled, self.v_weight).flatten(1) + self.v_bias
        return F.linear(values, self.c_weight, self.c_bias)


def resize_rows(embedding: Tensor, rows: int) -> Tensor:
    """Return ``embedding`` resized to ``(rows, C)``, bicubic over the whole matrix as in the official code."""
    return F.interpolate(embedding[None, None], size=(rows, embedding.shape[1]), mode="bicubic")[0, 0]
