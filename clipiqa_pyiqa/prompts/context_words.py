"""The words of a pair as token embeddings: around the context of learned prompts, or as the context itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..clip.text import Vocabulary
from ..clip.tokenizer import tokenize
from ..errors import PromptError
from .pairs import PromptPair


class WordEmbeddings(NamedTuple):
    """What stands around the context of two texts: the start token, and words, end token and padding."""

    prefix: Tensor  # (2, 1, dim)
    suffix: Tensor  # (2, 76 - n_ctx, dim)
    token_counts: tuple[int, int]  # of the words of each text

    def are_in(self, token_prefix: Tensor, token_suffix: Tensor) -> bool:
        """Return whether a file's embeddings are these, up to half precision; padding may differ."""
        used = slice(max(self.token_counts) + 1)  # words and end token
        return _are_close(token_prefix, self.prefix, used) and _are_close(token_suffix, self.suffix, used)


def words_around(vocabulary: Vocabulary, texts: Sequence[str], n_ctx: int, length: int) -> WordEmbeddings:
    """Return what stands around a context of ``n_ctx`` vectors in two texts; ``length``: tokens that CLIP reads."""
    tokens = tokenize(texts, length)  # start, words, end, padding
    positive, negative = (tokens.argmax(dim=1) - 1).tolist()  # the end token has the highest id
    needed = max(positive, negative) + n_ctx + 2
    if needed > length:
        raise PromptError(
            f"n_ctx={n_ctx} and the words make {needed} tokens, but CLIP reads {length}: use a "
            "smaller n_ctx or fewer words.",
            options=("n_ctx",),
        )
    prefix = vocabulary[tokens[:, :1]].float()
    suffix = vocabulary[tokens[:, 1 : length - n_ctx]].float()
    return WordEmbeddings(prefix, suffix, (positive, negative))


def context_of_words(vocabulary: Vocabulary, pair: PromptPair) -> Tensor:
    """Return the token embeddings of a pair's texts as a context, ``(2, n_ctx, dim)``."""
    tokens = tokenize(pair.texts)
    positive, negative = (tokens.argmax(dim=1) - 1).tolist()  # the end token has the highest id
    if positive != negative:
        raise PromptError(
            f"init 'words' needs two texts with as many tokens, but {pair.positive!r} has {positive} and "
            f"{pair.negative!r} has {negative}: use other words, or init 'x'."
        )
    return vocabulary[tokens[:, 1 : positive + 1]].float()


def woven(ctx: Tensor, prefix: Tensor, suffix: Tensor, token_counts: Sequence[int]) -> Tensor:
    """Return embeddings of texts ``(P, L, dim)``, up to the last end token.

    Args:
        ctx: A context ``(n_ctx, dim)``, or one for each text ``(P, n_ctx, dim)``.
        prefix: Start tokens ``(P, 1, dim)``.
        suffix: Words, end tokens and padding, ``(P, K, dim)``.
        token_counts: Number of tokens of each text's words.
    """
    half = ctx.shape[-2] // 2
    length = max(token_counts) + 1
    contexts = ctx.expand(len(token_counts), -1, -1)
    texts = [
        torch.cat([start, context[:half], rest[:count], context[half:], rest[count:length]])
        for start, context, rest, count in zip(prefix, contexts, suffix, token_counts, strict=True)
    ]
    return torch.stack(texts)


def _are_close(theirs: Tensor, ours: Tensor, used: slice) -> bool:
    if theirs.shape != ours.shape:
        return False
    expected = ours[:, used].cpu()
    distances = (theirs[:, used].detach().cpu().float() - expected).norm(dim=-1)
    return bool((distances <= 1e-2 * expected.norm(dim=-1)).all())
