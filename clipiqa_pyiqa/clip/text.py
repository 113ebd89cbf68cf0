"""CLIP's text tower, computed only as far as the last end-of-text token.

The tower is causal: what stands after a position cannot change it, and only the end-of-text position is read. So a
prompt of five tokens costs five positions, not the context's 77. Exact, up to the rounding of other matrix shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .tokenizer import tokenizer
from .transformer import LayerNorm, Transformer
from .vocabulary import Vocabulary

BATCH = 256  # texts encoded at once: thousands of them would need gigabytes


class TextTower:
    """Frozen text tower: token embeddings to features.

    Args:
        tensors: CLIP state dict with OpenAI's names; only the text tower's tensors are read.
        vocabulary: the token table, of which only the rows asked for are used.
        device: where to compute.
        dtype: compute dtype.
        quick_gelu: whether the weights were trained with QuickGELU.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        vocabulary: Vocabulary,
        device: torch.device,
        dtype: torch.dtype,
        quick_gelu: bool,
    ):
        self.device, self.dtype, self.vocabulary = device, dtype, vocabulary
        self.positional_embedding = tensors["positional_embedding"].to(device, dtype)
        self.transformer = Transformer(tensors, "transformer", quick_gelu, device, dtype)
        self.norm = LayerNorm(tensors, "ln_final", device, dtype)
        self.projection = tensors["text_projection"].to(device, dtype)

    @property
    def context_length(self) -> int:
        return self.positional_embedding.shape[0]

    def embed(self, tokens: Tensor) -> Tensor:
        """Token ids ``(P, L)`` to embeddings ``(P, L, width)``."""
        return self.vocabulary[tokens].to(self.device, self.dtype)

    def encode(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """Encode prompts given as token embeddings.

        Args:
            embeddings: ``(P, L, width)``, from the start-of-text token; L need not be the context length.
            ends: ``(P,)``, the position of each prompt's end-of-text token.

        Returns:
            Features ``(P, D)``, not normalised; differentiable with respect to the embeddings.
        """
        length = int(ends.max()) + 1
        x = embeddings[:, :length] + self.positional_embedding[:length]
        x = self.transformer(x, is_causal=True)
        x = self.norm(x[torch.arange(len(x), device=x.device), ends.to(x.device)])
        return x @ self.projection

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Encode prompts: list of P strings to features ``(P, D)``, not normalised."""
        tokens = tokenize(texts, self.context_length)
        ends = tokens.argmax(dim=-1)  # the end-of-text token has the highest id
        counts = ends.unique(return_counts=True)[1].tolist()
        order = ends.argsort(stable=True)
        groups = [rows for group in order.split(counts) for rows in group.split(BATCH)]  # of one length: no padding
        features = [self.encode(self.embed(tokens[rows, : int(ends[rows[0]]) + 1]), ends[rows]) for rows in groups]
        return torch.cat(features)[order.argsort()]


def tokenize(texts: Sequence[str], context_length: int = 77) -> Tensor:
    """CLIP's tokens, padded with zeros: ``(P, context_length)``. Longer texts are cut; check them beforehand."""
    with torch.device("cpu"):
        return tokenizer()(list(texts), context_length)


def decode_tokens(tokens: Sequence[int]) -> str:
    """The text of token ids, lower case, spaced as one writes."""
    return re.sub(r" (?=[.,;:!?])", "", tokenizer().decode(list(tokens)).strip())
