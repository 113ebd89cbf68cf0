"""A `mini` file read back and run plainly: what the package computes, written down a second time to check against."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from .collect import local_statistics, statistics
from .tower import Tower


def compute(image: Image.Image, local: bool = False) -> Tensor:
    """The statistics of a PIL image, (1, S), or of its cells, (1, H // 32, W // 32, S)."""
    return torch.from_numpy((local_statistics(image)[None] if local else statistics([image])).astype(np.float32))


class Mini:
    """One file, fp32. Any image of at least 32 px a side.

    Args:
        path: the `.safetensors` file.
        statistics: where the statistics of a PIL image come from in evaluations.
    """

    def __init__(self, path: Path, statistics: Callable[..., Tensor] = compute) -> None:
        self.statistics = statistics
        with safe_open(path, "pt") as file:
            self.metadata = file.metadata()
            self.tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
        visual = {key[7:]: value for key, value in self.tensors.items() if key.startswith("visual.")}
        self.visual = visual
        self.tower = Tower(
            {key: value for key, value in visual.items() if key.split(".")[0] in ("stem", "blocks", "head")}
        )
        self.ids = torch.tensor(json.loads(self.metadata["token_ids"]))
        width = self.tensors["ln_final.weight"].shape[0]
        layers = len({key.split(".")[2] for key in self.tensors if key.startswith("transformer.resblocks.")})
        self.transformer = Transformer(width, layers, width // 64, act_layer=QuickGELU)
        self.norm = LayerNorm(width)
        for module, name in ((self.transformer, "transformer."), (self.norm, "ln_final.")):
            module.load_state_dict(
                {key[len(name) :]: value for key, value in self.tensors.items() if key.startswith(name)}
            )
            module.requires_grad_(False)
        self.scale = self.tensors["logit_scale"].exp()

    def embed(self, statistics: Tensor) -> Tensor:
        """Means and deviations (..., S) to unit embeddings (..., D)."""
        half = statistics.shape[-1] // 2
        x = torch.cat([statistics[..., :half], statistics[..., half:].log()], -1)
        x = (x - self.visual["statistics.mean"]) / self.visual["statistics.scale"]
        answers = F.linear(x, self.visual["answers.weight"], self.visual["answers.bias"])
        hidden = F.linear(answers, self.visual["hidden.weight"], self.visual["hidden.bias"]).relu()
        return F.normalize(F.linear(hidden, self.visual["proj.weight"], self.visual["proj.bias"]), dim=-1)

    def encode_image(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, D), unit length."""
        return self.embed(self.tower.statistics(x))

    def encode_cells(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, H // 32, W // 32, D), unit length."""
        return self.embed(self.tower.local_statistics(x).permute(0, 2, 3, 1))

    def encode_text(self, texts: list[str]) -> Tensor:
        """Prompts -> (P, D), unit length; a word it does not know reads as nothing."""
        tokens = open_clip.tokenize(texts)
        ends = tokens.argmax(-1)
        tokens = tokens[:, : int(ends.max()) + 1]
        rows = torch.searchsorted(self.ids, tokens.clamp(max=int(self.ids[-1])))
        known = (self.ids[rows] == tokens)[..., None]
        x = (
            self.tensors["token_embedding.weight"][rows] * known
            + self.tensors["positional_embedding"][: tokens.shape[1]]
        )
        mask = torch.full((tokens.shape[1],) * 2, float("-inf")).triu_(1)
        x = self.norm(self.transformer(x, attn_mask=mask))[torch.arange(len(x)), ends]
        return F.normalize(x @ self.tensors["text_projection"], dim=-1)

    def questions(self, pairs: list[tuple[str, str]]) -> Tensor:
        """(D, pairs): what an embedding is multiplied with to give each pair's logit."""
        text = self.encode_text([text for pair in pairs for text in pair]).view(len(pairs), 2, -1)
        return self.scale * (text[:, 0] - text[:, 1]).T
