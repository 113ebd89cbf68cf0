"""The text tower of a CLIP: texts to features."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor

from .frozen_tensors import FrozenTensors
from .threads import one_thread
from .tokenizer import tokenize
from .tracing import untraced
from .transformer import LayerNorm, Transformer
from .vocabulary import Vocabulary

BATCH = 256  # texts encoded at once; thousands of texts at once would need gigabytes
TEXTS_PER_THREAD = 8  # for fewer texts, the start of a thread takes longer than it gains


class TextTower:
    """Frozen text tower: token embeddings, up to end-of-text, to features."""

    def __init__(self, tensors: FrozenTensors, vocabulary: Vocabulary, has_quick_gelu: bool):
        self.vocabulary = vocabulary
        self.positional_embedding = tensors.read_rounded("positional_embedding")
        self.transformer = Transformer(tensors, "transformer", has_quick_gelu)
        self.norm = LayerNorm(tensors, "ln_final")
        self.projection = tensors.read_rounded("text_projection")

    def embed(self, tokens: Tensor) -> Tensor:
        """Return token embeddings ``(P, L, width)``."""
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


def unit_text_features(tower: TextTower, texts: Sequence[str]) -> Tensor:
    """Return unit features ``(P, D)``, without a gradient.

    On a CPU each text is encoded alone with one thread of torch: sums of a matrix product depend on the number of its
    rows and on threads, so a batch would change the last digit of a feature.
    """

    def encode(batch: Sequence[str]) -> Tensor:
        with untraced(), torch.autocast(tower.projection.device.type, enabled=False):  # also in other threads
            return F.normalize(tower(batch), dim=-1)

    if tower.projection.device.type != "cpu" or not texts:
        return encode(texts)
    batches_of_one = [[text] for text in texts]
    thread_count = min(torch.get_num_threads(), len(texts) // TEXTS_PER_THREAD)
    with untraced(), one_thread():  # threads that start in here have one thread of torch each
        if thread_count < 2:
            return torch.cat([encode(batch) for batch in batches_of_one])
        with ThreadPoolExecutor(thread_count, thread_name_prefix="clipiqa-text") as pool:
            return torch.cat(list(pool.map(encode, batches_of_one)))
