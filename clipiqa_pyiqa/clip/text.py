"""The text tower of a CLIP: texts to features."""

import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ..weights.checkpoint import Checkpoint
from .frozen_tensors import FrozenTensors
from .threads import one_thread
from .tokenizer import tokenizer
from .tracing import untraced
from .transformer import LayerNorm, Transformer


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
        return self._checkpoint["token_embedding.weight"]

    def __getitem__(self, tokens: Tensor) -> Tensor:
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


BATCH = 256  # texts encoded at once; thousands of texts at once would need gigabytes


class TextTower:
    """Frozen text tower: token embeddings, up to end-of-text, to features."""

    def __init__(self, tensors: FrozenTensors, vocabulary: Vocabulary, quick_gelu: bool):
        self.vocabulary = vocabulary
        self.positional_embedding = tensors.read_rounded("positional_embedding")
        self.transformer = Transformer(tensors, "transformer", quick_gelu)
        self.norm = LayerNorm(tensors, "ln_final")
        self.projection = tensors.read_rounded("text_projection")

    def embed(self, tokens: Tensor) -> Tensor:
        return self.vocabulary[tokens].to(self.projection)

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
        tokens = tokenize(texts, len(self.positional_embedding))
        ends = tokens.argmax(dim=-1)  # the end-of-text token has the highest id
        features = self.projection.new_empty(len(texts), self.projection.shape[1])
        for end in ends.unique().tolist():  # texts of one length are encoded together, so that no text is padded
            for rows in (ends == end).nonzero()[:, 0].split(BATCH):
                features[rows] = self.encode(self.embed(tokens[rows, : end + 1]), ends[rows])
        return features


def tokenize(texts: Sequence[str], context_length: int = 77) -> Tensor:
    """Return tokens ``(P, context_length)``; longer texts are cut."""
    with torch.device("cpu"):
        return tokenizer()(list(texts), context_length)


TEXTS_PER_THREAD = 8  # for fewer texts, the start of a thread takes longer than it gains


def unit_text_features(tower: TextTower, texts: Sequence[str]) -> Tensor:
    """Return unit features ``(P, D)``, without a gradient.

    On a CPU each text is encoded alone with one thread of torch: sums of a matrix product depend on the number of its
    rows and on threads, so a batch would change the last digit of a feature.
    """

    def encoded(part: Sequence[str]) -> Tensor:
        with untraced(), torch.autocast(tower.projection.device.type, enabled=False):  # also in other threads
            return F.normalize(tower(part), dim=-1)

    if tower.projection.device.type != "cpu" or not texts:
        return encoded(texts)
    alone = [[text] for text in texts]
    count = min(torch.get_num_threads(), len(texts) // TEXTS_PER_THREAD)
    with untraced(), one_thread():  # threads that start in here have one thread of torch each
        if count < 2:
            return torch.cat([encoded(text) for text in alone])
        with ThreadPoolExecutor(count, thread_name_prefix="clipiqa-text") as pool:
            return torch.cat(list(pool.map(encoded, alone)))
