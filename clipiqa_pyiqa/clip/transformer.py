"""CLIP's transformers: the layers of the text tower, and vision transformers for images of any size."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .arithmetic import FrozenTensors, means_and_deviations
from .gradient import CPU_GROUP_PIXELS, is_traced
from .resnet import HEAD_WIDTH, resize_rows, rounded_pixels


def quick_gelu(x: Tensor) -> Tensor:
    """Return ``x * sigmoid(1.702 * x)``; ``x`` is overwritten where no gradient needs it."""
    if x.requires_grad or is_traced():
        return x * torch.sigmoid(1.702 * x)
    return x.mul_((1.702 * x).sigmoid_())  # new memory for each product takes most of a CPU's time


class LayerNorm:
    """Layer normalisation in fp32 or wider; the output has the dtype of the input."""

    def __init__(self, tensors: FrozenTensors, name: str):
        self.weight = tensors.read(f"{name}.weight")
        self.bias = tensors.read(f"{name}.bias")

    def __call__(self, x: Tensor) -> Tensor:
        weight = self.weight
        return F.layer_norm(x.to(weight.dtype), weight.shape, weight, self.bias).to(x.dtype)


class AttentionBlock:
    """Residual block ``(N, L, width)``: ``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, tensors: FrozenTensors, name: str, activation: Callable[[Tensor], Tensor]):
        self.activation = activation
        self.norm_1 = LayerNorm(tensors, f"{name}.ln_1")
        self.norm_2 = LayerNorm(tensors, f"{name}.ln_2")
        self.qkv, self.out = (tensors.linear(f"{name}.attn.{part}") for part in ("in_proj_", "out_proj."))
        self.widen, self.narrow = (tensors.linear(f"{name}.mlp.{part}") for part in ("c_fc.", "c_proj."))

    def __call__(self, x: Tensor, is_causal: bool = False, queries: int | None = None) -> Tensor:
        """Return the output of all positions; with ``queries=k``, of the first k positions only."""
        joint = F.linear(self.norm_1(x), *self.qkv).unflatten(-1, (-1, HEAD_WIDTH))  # (N, L, 3 heads, 64)
        q, k, v = joint.transpose(1, 2).chunk(3, dim=1)  # (N, heads, L, 64) each
        x = x[:, :queries]
        attended = F.scaled_dot_product_attention(q[:, :, :queries], k, v, is_causal=is_causal)
        x = x + F.linear(attended.transpose(1, 2).flatten(2), *self.out)  # (N, heads, L, 64) -> (N, L, width)
        return self._perceptron(x)

    def alone(self, x: Tensor) -> Tensor:
        """Return the output of positions of which each attends only to itself."""
        value_layer = [part[2 * x.shape[-1] :] for part in self.qkv]  # queries and keys come before it
        values = F.linear(self.norm_1(x), *value_layer)
        return self._perceptron(x + F.linear(values, *self.out))

    def _perceptron(self, x: Tensor) -> Tensor:
        hidden = self.activation(F.linear(self.norm_2(x), *self.widen))
        return x + F.linear(hidden, *self.narrow)


class Transformer:
    """The residual blocks of a transformer, ``(N, L, width)``."""

    def __init__(self, tensors: FrozenTensors, prefix: str, has_quick_gelu: bool):
        activation = quick_gelu if has_quick_gelu else F.gelu
        start = f"{prefix}.resblocks."
        count = len({key[len(start) :].split(".")[0] for key in tensors.checkpoint if key.startswith(start)})
        self.blocks = [AttentionBlock(tensors, f"{start}{i}", activation) for i in range(count)]

    def __call__(self, x: Tensor, is_causal: bool = False) -> Tensor:
        for block in self.blocks:
            x = block(x, is_causal)
        return x


class VisionTransformer:
    """Frozen network of an image tower: normalised pixels ``(N, 3, H, W)`` to features.

    H and W are at least one patch; incomplete patches are dropped. A place is a patch; in the last block a patch
    attends only to itself (MaskCLIP).
    Source: Radford et al., ICML 2021, Sec. 2.4; Wang et al., AAAI 2023, Table 2.
    """

    group_pixels = 3 * CPU_GROUP_PIXELS  # it needs less memory per pixel than the other networks
    has_normalisation = False

    def __init__(self, tensors: FrozenTensors, has_quick_gelu: bool):
        self.dtype = tensors.dtype
        self.arithmetic_dtype = tensors.arithmetic_dtype

        def load(name: str) -> Tensor:
            return tensors.read_rounded(f"visual.{name}")

        self.patch_weight = load("conv1.weight")
        self.class_embedding = load("class_embedding")
        self.positional_embedding = load("positional_embedding")
        self.norm_before = LayerNorm(tensors, "visual.ln_pre")
        self.norm_after = LayerNorm(tensors, "visual.ln_post")
        self.transformer = Transformer(tensors, "visual.transformer", has_quick_gelu)
        self.projection = load("proj")
        self.patch = self.patch_weight.shape[-1]

    def encode(self, x: Tensor, pos_embedding: str, *parts: str) -> list[Tensor]:
        """Return what is asked of images, not normalised: see :class:`~clipiqa_pyiqa.clip.model.Encoder`.

        The statistics of stages are means and deviations of channels after each quarter of the blocks.
        """
        tokens = self._tokens(x, pos_embedding)
        *blocks, last = self.transformer.blocks
        moments = []
        for number, block in enumerate(blocks, 1):
            tokens = block(tokens)
            if number in [(len(blocks) + 1) * quarter // 4 for quarter in (1, 2, 3)]:
                moments.append(self._moments(tokens))
        grid = x.shape[2] // self.patch, x.shape[3] // self.patch
        answers = {
            "image": lambda: self.norm_after(last(tokens, queries=1)[:, 0]) @ self.projection,  # of the class token
            "places": lambda: self._places(last.alone(tokens[:, 1:]), grid),
            "stages": lambda: torch.cat([*moments, self._moments(last(tokens))], dim=1),
        }
        return [answers[part]() for part in parts]

    def _places(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        features = self.norm_after(tokens) @ self.projection
        return features.transpose(1, 2).unflatten(2, grid)  # (N, hw, D) -> (N, D, h, w)

    def _moments(self, tokens: Tensor) -> Tensor:
        """Return means and deviations of channels over the patches, ``(N, 2 width)``."""
        return means_and_deviations(tokens[:, 1:].transpose(1, 2).to(self.norm_after.weight.dtype))

    def _tokens(self, x: Tensor, pos_embedding: str) -> Tensor:
        x = rounded_pixels(x, self.dtype).to(self.arithmetic_dtype)
        x = F.conv2d(x, self.patch_weight, stride=self.patch)
        x = x.flatten(2).transpose(1, 2)  # (N, width, h, w) -> (N, hw, width)
        x = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), x], dim=1)  # (N, hw + 1, width)
        if pos_embedding == "interpolate":
            x = x + resize_rows(self.positional_embedding, x.shape[1])
        return self.norm_before(x)
