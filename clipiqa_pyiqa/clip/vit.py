"""CLIP's vision transformers (ViT-B/32, ViT-B/16, ViT-L/14) for images of any size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention_pool import resize_rows
from .device import FrozenTensors, Part
from .resnet import channel_moments
from .transformer import LayerNorm, Transformer


class VisionTransformer:
    """Frozen image tower: normalised pixels ``(N, 3, H, W)`` to features, for H and W of at least one patch.

    Incomplete patches are dropped. A place is a patch; in the last block a patch attends only to itself (MaskCLIP).
    Source: Radford et al., ICML 2021, Sec. 2.4; Wang et al., AAAI 2023, Table 2.
    """

    def __init__(self, tensors: FrozenTensors, quick_gelu: bool):
        self.device, self.dtype, self.working = tensors.device, tensors.dtype, tensors.working

        def load(name: str) -> Tensor:
            return tensors.rounded(tensors.raw[f"visual.{name}"])

        self.patch_weight = load("conv1.weight")
        self.class_embedding, self.positional_embedding = load("class_embedding"), load("positional_embedding")
        self.norm_before = LayerNorm(tensors, "visual.ln_pre")
        self.norm_after = LayerNorm(tensors, "visual.ln_post")
        self.transformer = Transformer(tensors, "visual.transformer", quick_gelu)
        self.projection = load("proj")
        self.min_side = self.patch_weight.shape[-1]

    def encode(self, x: Tensor, pos_embedding: str, *parts: Part) -> list[Tensor]:
        tokens, last = self._tokens(x, pos_embedding), self.transformer.blocks[-1]
        for block in self.transformer.blocks[:-1]:
            tokens = block(tokens)
        outputs = {"image": lambda: last(tokens, queries=1)[:, 0], "places": lambda: last.alone(tokens[:, 1:])}
        features = [self.norm_after(outputs[part]()) @ self.projection for part in parts]
        grid = x.shape[2] // self.min_side, x.shape[3] // self.min_side
        return [y if y.dim() == 2 else y.transpose(1, 2).unflatten(2, grid) for y in features]  # from (N, hw, D)

    def encode_stages(self, x: Tensor, pos_embedding: str = "none") -> tuple[Tensor, Tensor]:
        """Return features ``(N, D)``, and channel moments after each quarter of the blocks, ``(N, K)``."""
        x, moments = self._tokens(x, pos_embedding), []
        blocks = self.transformer.blocks
        ends = {len(blocks) * quarter // 4 - 1 for quarter in (1, 2, 3, 4)}
        for index, block in enumerate(blocks):
            x = block(x)
            if index in ends:
                moments.append(channel_moments(x[:, 1:].transpose(1, 2).to(self.norm_after.dtype)))
        return self.norm_after(x[:, 0]) @ self.projection, torch.cat(moments, dim=1)

    def _tokens(self, x: Tensor, pos_embedding: str) -> Tensor:
        x = F.conv2d(x.to(self.dtype).to(self.working), self.patch_weight, stride=self.min_side)
        x = x.flatten(2).transpose(1, 2)  # (N, width, h, w) -> (N, hw, width)
        x = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), x], dim=1)  # (N, hw + 1, width)
        if pos_embedding == "interpolate":
            x = x + resize_rows(self.positional_embedding, x.shape[1])
        return self.norm_before(x)
