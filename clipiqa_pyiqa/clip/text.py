"""CLIP's text tower."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .device import FrozenTensors
from .tokenizer import tokenizer
from .transformer import LayerNorm, Transformer
from .vocabulary import Vocabulary

BATCH = 256  # texts encoded at once; thousands of texts at once would need gigabytes


class TextTower:
    """Frozen text tower: token embeddings, up to end-of-text, to features."""

    def __init__(self, tensors: FrozenTensors, vocabulary: Vocabulary, quick_gelu: bool):
        self.device, self.dtype, self.vocabulary = tensors.device, tensors.dtype, vocabulary
        self.positional_embedding = tensors.rounded(tensors.raw["positional_embedding"])
        self.transformer = Transformer(tensors, "transformer", quick_gelu)
        self.norm = LayerNorm(tensors, "ln_final")
        self.projection = tensors.rounded(tensors.raw["text_projection"])

    @property
    def context_length(self) -> int:
        return self.positional_embedding.shape[0]

    def embed(self, tokens: Tensor) -> Tensor:
        return self.vocabulary[tokens].to(self.device, self.dtype)

    def encode(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """Return features ``(P, D)``, not normalised, differentiable.

        Args:
            embeddings: token embeddings, from start-of-text on, ``(P, L, width)``.
            ends: positions of the end-of-text tokens, ``(P,)``.
        """
        length = int(ends.max()) + 1
        x = embeddings[:, :length] + self.positional_embedding[:length]
        x = self.transformer(x, is_causal=True)
        x = self.norm(x[torch.arange(len(x), device=x.device), ends.to(x.device)])
        return x @ self.projection

    def __call__(self, texts: Sequence[str]) -> Tensor:
        tokens = tokenize(texts, self.context_length)
        ends = tokens.argmax(dim=-1)  # the end-of-text token has the highest id
        counts = ends.unique(return_counts=True)[1].tolist()
        order = ends.argsort(stable=True)
        groups = [
            rows for group in order.split(counts) for rows in group.split(BATCH)
        ]  # texts of one length, so that no text is padded
        features = [self.encode(self.embed(tokens[rows, : int(ends[rows[0]]) + 1]), ends[rows]) for rows in groups]
        return torch.cat(features)[order.argsort()]


def tokenize(texts: Sequence[str], context_length: int = 77) -> Tensor:
    """Return tokens ``(P, context_length)``; longer texts are cut."""
    with torch.device("cpu"):
        return tokenizer()(list(texts), context_length)
