"""Which tokens a checkpoint has embeddings of, and which words of a text it therefore knows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property

import torch
from torch import Tensor

from ..weights.checkpoint import Checkpoint
from .tokenizer import tokenizer

_WORD_END = "</w>"  # how a token of CLIP's vocabulary shows that a word ends with it


class Vocabulary:
    """The token table of a checkpoint, and the tokens that it was trained on where its metadata say so.

    A table may hold the rows of those tokens alone, in the order of the metadata's ``token_ids``; any other token then
    reads as zeros.

    Args:
        checkpoint: with ``token_embedding.weight`` ``(R, width)``; rows are read when they are asked for.
    """

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint = checkpoint
        ids = checkpoint.metadata.get("token_ids")
        self.ids: list[int] | None = None if ids is None else json.loads(ids)

    @cached_property
    def table(self) -> Tensor:
        """The embeddings as stored, ``(R, width)``."""
        return self._checkpoint["token_embedding.weight"]

    def __getitem__(self, tokens: Tensor) -> Tensor:
        """Token ids of any shape to embeddings ``(…, width)``, in the table's dtype."""
        if self._row_of is None:
            return self.table[tokens]
        rows = self._row_of[tokens]
        return self.table[rows.clamp(min=0)] * (rows >= 0).unsqueeze(-1)

    def nearest(self, row: Tensor) -> int:
        """The token whose embedding is nearest to a row ``(width,)``."""
        place = int((self.table.float() - row).norm(dim=1).argmin())
        return place if self._row_of is None else int((self._row_of == place).nonzero())

    def unknown_words(self, texts: Iterable[str]) -> list[str]:
        """The words that the checkpoint was never trained on, each once, in order; none if it does not say."""
        if self.ids is None:
            return []
        known = frozenset(self.ids)
        return list(dict.fromkeys(word for text in texts for word, tokens in _words(text) if not known >= tokens))

    @cached_property
    def _row_of(self) -> Tensor | None:
        """Row of each token in a cut table, -1 for none; None for a whole table."""
        if self.ids is None or len(self.ids) != len(self.table):
            return None
        rows = torch.full((tokenizer().vocab_size,), -1, device="cpu")
        rows[self.ids] = torch.arange(len(self.ids), device="cpu")
        return rows


def _words(text: str) -> list[tuple[str, set[int]]]:
    """The words of a text as CLIP reads them, each with its tokens."""
    words: list[tuple[str, set[int]]] = []
    tokens: list[int] = []
    for token in tokenizer().encode(text):
        tokens.append(token)
        if tokenizer().decoder[token].endswith(_WORD_END):
            words.append((tokenizer().decode(tokens).strip(), set(tokens)))
            tokens = []
    return words
