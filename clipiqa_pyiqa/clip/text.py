"""The text tower of a CLIP: token embeddings, and texts to features."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ..weights.checkpoint import Checkpoint
from .arithmetic import FrozenTensors
from .gradient import untraced
from .tokenizer import tokenize, tokenizer
from .transformer import LayerNorm, Transformer


class Vocabulary:
    """The tokens that a checkpoint's text tower knows, and their embeddings, read at first use.

    A cut table holds only the tokens in the metadata's ``token_ids``; all other embeddings are zero.
    """

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint = checkpoint
        ids = checkpoint.metadata.get("token_ids")
        self.ids: list[int] | None = None if ids is None else json.loads(ids)

    @cached_property
    def table(self) -> Tensor:
        """The embeddings, a row for each token that has one."""
        return self._checkpoint["token_embedding.weight"]

    def __getitem__(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of tokens, ``(…, width)``."""
        if self._row_of is None:
            return self.table[tokens]
        rows = self._row_of[tokens]
        return self.table[rows.clamp(min=0)] * (rows >= 0).unsqueeze(-1)

    def unknown_words(self, texts: Iterable[str]) -> list[str]:
        """Return the words on which the checkpoint was not trained, or ``[]`` if its metadata list no words."""
        if self.ids is None:
            return []
        known = frozenset(self.ids)
        words = dict.fromkeys(word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text.lower()))
        return [word for word in words if not known >= set(tokenizer().encode(word))]

    @cached_property
    def _row_of(self) -> Tensor | None:
        """The row of each token in a cut table, or -1; None for a whole table."""
        if self.ids is None:
            return None
        rows = torch.full((tokenizer().vocab_size,), -1, device="cpu")
        rows[self.ids] = torch.arange(len(self.ids), device="cpu")
        return rows


class TextTower:
    """Frozen text tower: token embeddings, up to end-of-text, to features (Radford et al., ICML 2021, Sec. 2.4)."""

    def __init__(self, tensors: FrozenTensors, vocabulary: Vocabulary, has_quick_gelu: bool):
        self.vocabulary = vocabulary
        self.positional_embedding = tensors.read_rounded("positional_embedding")
        self.transformer = Transformer(tensors, "transformer", has_quick_gelu)
        self.norm = LayerNorm(tensors, "ln_final")
        self.projection = tensors.read_rounded("text_projection")

    def encode(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """Return features ``(P, D)``, not normalised, differentiable.

        The tower is causal, so nothing behind the last end token is computed.

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
        """Return unit features ``(P, D)`` of texts, without a gradient.

        On a CPU each text is encoded alone: sums of a matrix product depend on the number of its rows, so in a batch
        the other texts would change the last digit of a feature.
        """
        features = [self.projection.new_empty(0, self.projection.shape[1])]
        with untraced(), torch.autocast(self.projection.device.type, enabled=False):
            for tokens in tokenize(texts, len(self.positional_embedding)).split(1 if self.projection.is_cpu else 256):
                ends = tokens.argmax(dim=1)  # the end-of-text token has the highest id
                embeddings = self.vocabulary[tokens[:, : int(ends.max()) + 1]].to(self.projection)
                features.append(F.normalize(self.encode(embeddings, ends), dim=-1))
            return torch.cat(features)
