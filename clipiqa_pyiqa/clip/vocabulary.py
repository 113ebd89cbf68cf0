"""The tokens that a checkpoint's text tower knows, and their embeddings."""

import json
import re
from collections.abc import Iterable
from functools import cached_property

import torch
from torch import Tensor

from ..weights.checkpoint import Checkpoint
from .tokenizer import tokenizer


class Vocabulary:
    """The token embeddings of a checkpoint, read at first use.

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
