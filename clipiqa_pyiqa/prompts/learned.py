"""Learned prompts (CLIP-IQA+): context vectors around a pair's words (Sec. 3.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip.model import FrozenCLIP
from ..clip.text import TextTower
from ..clip.tokenizer import tokenize
from ..errors import PromptError
from .context_options import check_context
from .context_words import WordEmbeddings, context_of_words, words_around, woven
from .pairs import PromptPair
from .records import question_record

RANDOM_STD = 0.02  # standard deviation of a random context, as in the official recipe and CLIP's token embeddings
USUAL_N_CTX = 16  # vectors of a context, in the official code and in pyiqa
STATE_KEYS = ("ctx", "token_prefix", "token_suffix")


class EncodedTexts(NamedTuple):
    """Embeddings of texts, and the features that the text tower gave for them."""

    embeddings: Tensor
    features: Tensor


class PromptLearner(nn.Module):
    """Texts of a pair with a learnable context: start token, half of the context, words, other half, end token.

    The only parameter is ``ctx``, ``(n_ctx, dim)`` or ``(2, n_ctx, dim)``. ``state_dict`` also holds ``token_prefix``
    ``(2, 1, dim)``, the start token, and ``token_suffix`` ``(2, 76 - n_ctx, dim)``: words, end token and padding.

    Args:
        pair: The words; a full stop is added, as in the official code: "Good photo..".
        n_ctx: Vectors of the context, 16 by default; this and the other defaults are those of pyiqa's CLIP-IQA+.
        shared: One context for both texts.
        init: ``'x'``, the embedding of the letter X (pyiqa's); ``'random'``, from N(0, 0.02) (the official code's); or
            ``'words'``, the token embeddings of the pair's own texts (the paper's): the whole texts are learned, no
            fixed words stand between them, and before any training the scores are those of the pair. Both texts must
            have as many tokens, which is ``n_ctx``.
    """

    token_prefix: Tensor
    token_suffix: Tensor
    initial_ctx: Tensor

    def __init__(
        self,
        clip: FrozenCLIP,
        pair: PromptPair,
        n_ctx: int | None = None,
        shared: bool = False,
        init: Literal["x", "random", "words"] = "x",
    ):
        check_context(n_ctx, shared, init)
        super().__init__()
        self.clip = clip
        self.pair = pair
        self.source: tuple[str, str] | None = None  # the context's file, and its hash when loaded
        self.metadata: Mapping[str, str] = {}  # of the context's file
        self.has_fixed_words = init != "words"
        if init == "words":
            ctx = context_of_words(clip.vocabulary, pair)
        else:
            length = USUAL_N_CTX if n_ctx is None else n_ctx
            width = clip.vocabulary.table.shape[-1]
            shape = (length, width) if shared else (2, length, width)
            if init == "random":
                ctx = torch.randn(shape, device="cpu") * RANDOM_STD
            else:
                ctx = clip.vocabulary[tokenize(["x"])[0, 1]].float().expand(shape).clone()
        self.clip.warn_of_unknown(pair.texts)
        prefix, suffix, self.token_counts = self._words_around(ctx, self.has_fixed_words)
        self.ctx = nn.Parameter(ctx)
        self.register_buffer("token_prefix", prefix)
        self.register_buffer("token_suffix", suffix)
        self.register_buffer("initial_ctx", ctx.clone(), persistent=False)
        self.is_loaded = False
        self._tower: TextTower | None = None
        self._remembered: dict[tuple[torch.dtype, torch.device], EncodedTexts] = {}  # of the last context

    @property
    def n_ctx(self) -> int:
        return self.ctx.shape[-2]

    @property
    def is_learned(self) -> bool:
        """Whether the context was loaded or trained."""
        return self.is_loaded or not torch.equal(self.ctx, self.initial_ctx)

    def embeddings(self) -> Tensor:
        """Return the embeddings of both texts, up to the last end token, ``(2, L, dim)``."""
        return woven(self.ctx, self.token_prefix, self.token_suffix, self.token_counts)

    def forward(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return unit text features ``(1, 2, D)``, positive first; in evaluation mode, the context must be learned."""
        embeddings = self.embeddings().to(dtype)
        if self.training:
            return self._encode(embeddings)
        if not self.is_learned:
            raise PromptError(
                "there are no learned prompts, so there is no score: load some with load_prompts(PATH) or "
                "pretrained_model_path=PATH, or train them."
            )
        features = self._remembered_features(embeddings)
        return _EncodedAgainInBackward.apply(embeddings, features, self._encode)

    def _remembered_features(self, embeddings: Tensor) -> Tensor:
        """Return unit text features without a gradient; they are encoded anew only if the context has changed."""
        with torch.inference_mode(False), torch.no_grad():  # ordinary tensors, since later calls may need gradients
            texts = embeddings.detach().clone()
            key = texts.dtype, texts.device
            known = self._remembered.get(key)
            if known is not None and torch.equal(known.embeddings, texts):
                return known.features
            features = self._encode(texts)
            self._remembered[key] = EncodedTexts(texts, features)
            self._tower = None  # not needed again until the context changes, or gradients are asked for
            return features

    def content_hash(self) -> str:
        """Return the SHA-256 of both texts' embeddings in hex."""
        texts = self.embeddings().detach().cpu().float().contiguous()
        return hashlib.sha256(texts.numpy().tobytes()).hexdigest()

    def record(self) -> dict[str, Any]:
        """Return the record of the scores of these prompts."""
        sha256 = self.content_hash()
        file_name: str | None = None
        is_trained: bool | None
        if self.source is not None:
            file_name, loaded_sha256 = self.source
            is_trained = sha256 != loaded_sha256
        elif self.is_loaded:  # by load_state_dict: nothing tells where the context comes from
            is_trained = None
        else:
            is_trained = self.is_learned
        learned = {"sha256": sha256, "from": file_name, "trained": is_trained, "shape": list(self.ctx.shape)}
        if not self.has_fixed_words:
            learned["fixed_words"] = False
        pair_as_read = PromptPair(self.pair.name, *self._texts_of_record)
        return {**question_record([pair_as_read]), "learned": learned}

    def load_context(self, ctx: Tensor) -> None:
        """Load a context of any ``n_ctx``, around the words."""
        self._check_context(ctx)
        words = self._words_around(ctx, has_fixed_words=True)
        self.load_state_dict({"ctx": ctx, "token_prefix": words.prefix, "token_suffix": words.suffix})

    @property
    def _fixed_words(self) -> list[str]:
        """The pair's texts with the official code's full stop."""
        return [f"{text}." for text in self.pair.texts]

    @property
    def _texts_of_record(self) -> list[str]:
        """The words between the halves of a context; without fixed words, those that the context began with."""
        return self._fixed_words if self.has_fixed_words else list(self.pair.texts)

    def _words_around(self, ctx: Tensor, has_fixed_words: bool) -> WordEmbeddings:
        """Return what stands around a context of the pair; without fixed words, only the marks of start and end."""
        texts = self._fixed_words if has_fixed_words else ["", ""]
        length = self.clip.checkpoint.shapes["positional_embedding"][0]
        return words_around(self.clip.vocabulary, texts, ctx.shape[-2], length)

    def _encode(self, embeddings: Tensor) -> Tensor:
        """Return unit text features ``(1, 2, D)`` of both texts' embeddings ``(2, L, dim)``, differentiable."""
        # a text is the start token, words and context, and the end token, whose position is needed
        end_places = torch.tensor(self.token_counts, device="cpu") + self.n_ctx + 1
        with torch.autocast(embeddings.device.type, enabled=False):
            tower = self.clip.text_tower(embeddings.device, embeddings.dtype)
            # kept for the next call, but not read from there: another thread may set it to None meanwhile
            self._tower = tower
            features = F.normalize(tower.encode(embeddings, end_places), dim=-1)
        return features[None]  # (2, D) -> (1, 2, D)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        new = {name: state_dict[prefix + name] for name in STATE_KEYS if prefix + name in state_dict}
        if len(new) == len(STATE_KEYS):
            self._check_context(new["ctx"])
            self.clip.warn_of_unknown(self.pair.texts)
            self.has_fixed_words, self.token_counts = self._words_in(**new)
            self.source = None
            self.is_loaded = True
            for name, value in new.items():
                old = getattr(self, name)
                if old.shape != value.shape:
                    old.data = torch.empty_like(value, dtype=old.dtype, device=old.device)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _check_context(self, ctx: Tensor) -> None:
        shape = tuple(ctx.shape)
        dim = self.token_prefix.shape[-1]
        is_context = shape[:-2] in ((), (2,)) and len(shape) > 1 and 0 not in shape and shape[-1] == dim
        if not is_context or not ctx.is_floating_point():
            raise PromptError(
                f"the learned context must be (n_ctx, {dim}) or (2, n_ctx, {dim}) in floats for {self._clip_name}; got "
                f"{shape} in {ctx.dtype}: build the metric with the backbone that the prompts were learned on.",
                options=("backbone",),
            )

    def _words_in(self, ctx: Tensor, token_prefix: Tensor, token_suffix: Tensor) -> tuple[bool, tuple[int, int]]:
        """Return whether the pair's words stand between halves of a context, and the number of tokens of each text.

        Raises PromptError for other words.
        """
        for has_fixed_words in (False, True):
            words = self._words_around(ctx, has_fixed_words)
            if words.are_in(token_prefix, token_suffix):
                return has_fixed_words, words.token_counts
        own_words = "|".join(self.pair.texts)
        raise PromptError(
            f"the learned prompts belong to another CLIP than {self._clip_name}, or to other words than "
            f"{own_words!r}: build the metric with the backbone, weights and words that they were learned on."
        )

    @property
    def _clip_name(self) -> str:
        return f"{self.clip.weights.backbone} ({self.clip.weights.short})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tower": None, "_remembered": {}}


class _EncodedAgainInBackward(torch.autograd.Function):
    """Text features of an earlier call; backward encodes the texts again."""

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, features: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(embeddings)
        ctx.encode = encode
        return features.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        (embeddings,) = ctx.saved_tensors
        with torch.enable_grad():
            texts = embeddings.detach().requires_grad_()
            (grad,) = torch.autograd.grad(ctx.encode(texts), texts, grads)
        return grad, None, None
