"""CLIP's text tower, computed up to the end-of-text token.

The tower is causal and only that position is read, so leaving out later ones is exact: 5 positions for "Good photo.".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from .device import FrozenTensors
from .tokenizer import tokenizer
from .transformer import LayerNorm, Transformer
from .vocabulary import Vocabulary

BATCH = 256  # texts encoded at once: thousands of them would need gigabytes


class TextTower:
    """Frozen text tower: token embeddings to features."""

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
        """Return the features ``(P, D)`` of prompts given as token embeddings; not normalised, differentiable.

        Args:
            embeddings: ``(P, L, width)``, from the start-of-text token; L may be less than the context length.
            ends: ``(P,)``, the position of each prompt's end-of-text token.
        """
        length = int(ends.max()) + 1
        x = embeddings[:, :length] + self.positional_embedding[:length]
        x = self.transformer(x, is_causal=True)
        x = self.norm(x[torch.arange(len(x), device=x.device), ends.to(x.device)])
        return x @ self.projection

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return the features ``(P, D)`` of P texts, not normalised."""
        tokens = tokenize(texts, self.context_length)
        ends = tokens.argmax(dim=-1)  # the end-of-text token has the highest id
        counts = ends.unique(return_counts=True)[1].tolist()
        order = ends.argsort(stable=True)
        groups = [
            rows for group in order.split(counts) for rows in group.split(BATCH)
        ]  # each of one length, without padding
        features = [self.encode(self.embed(tokens[rows, : int(ends[rows[0]]) + 1]), ends[rows]) for rows in groups]
        return torch.cat(features)[order.argsort()]


def tokenize(texts: Sequence[str], context_length: int = 77) -> Tensor:
    """Return CLIP's tokens ``(P, context_length)``; longer texts are cut."""
    with torch.device("cpu"):
        return tokenizer()(list(texts), context_length)


def decode_tokens(tokens: Sequence[int]) -> str:
    return re.sub(r" (?=[.,;:!?])", "", tokenizer().decode(list(tokens)).strip())
