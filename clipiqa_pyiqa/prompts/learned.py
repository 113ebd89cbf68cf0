"""Learned prompts (CLIP-IQA+): context vectors around a pair's words, as in CoOp (Sec. 3.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_one_of, check_truth, check_whole_or_none
from ..clip.model import FrozenCLIP
from ..clip.text import TextTower
from ..clip.tokenizer import tokenize
from ..errors import PromptError
from .antonym import antonym_scores
from .pairs import PromptPair, question_record

CONTEXT_OPTIONS = ("n_ctx", "shared", "init")
LONGEST_CONTEXT = 75  # vectors: CLIP's texts have 77 tokens, of which two begin and end a text
USUAL_N_CTX = 16  # vectors of a context, in the official code and in pyiqa
RANDOM_STD = 0.02  # standard deviation of a random context, as in the official recipe and CLIP's token embeddings
STATE_KEYS = ("ctx", "token_prefix", "token_suffix")


def check_context(n_ctx: int | None = None, shared: bool = False, init: str = "x") -> None:
    """Raise for arguments that :class:`PromptLearner` cannot use."""
    check_whole_or_none("n_ctx", n_ctx, 1, LONGEST_CONTEXT)
    check_truth("shared", shared)
    check_one_of("init", init, ("x", "random", "words"))
    if init == "words" and (shared or n_ctx is not None):
        raise PromptError(
            "init 'words' has a vector for each token of each text: leave out n_ctx and `shared`.",
            options=("n_ctx", "shared"),
        )


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

    score_range = (0.0, 1.0)
    lower_better = False
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
        super().__init__()
        self.clip = clip
        self.pair = pair
        self.source: tuple[str, str] | None = None  # the context's file, and its hash when loaded
        self.metadata: Mapping[str, str] = {}  # of the context's file
        self.is_loaded = False
        self.has_fixed_words = init != "words"
        if init == "words":
            ctx = self._context_of_words()
        else:
            length = USUAL_N_CTX if n_ctx is None else n_ctx
            width = clip.vocabulary.table.shape[-1]
            shape = (length, width) if shared else (2, length, width)
            if init == "random":
                ctx = torch.randn(shape, device="cpu") * RANDOM_STD
            else:
                ctx = clip.vocabulary[tokenize(["x"])[0, 1]].float().expand(shape).clone()
        clip.warn_of_unknown(pair.texts)
        around = self._around(ctx, self.has_fixed_words)
        self.token_counts = around.token_counts
        self.ctx = nn.Parameter(ctx)
        self.register_buffer("token_prefix", around.prefix)
        self.register_buffer("token_suffix", around.suffix)
        self.register_buffer("initial_ctx", ctx.clone(), persistent=False)
        self._tower: TextTower | None = None
        # (dtype, device) -> embeddings of the last context, and their features
        self._remembered: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    @property
    def n_ctx(self) -> int:
        return self.ctx.shape[-2]

    @property
    def is_learned(self) -> bool:
        """Whether the context was loaded or trained."""
        return self.is_loaded or not torch.equal(self.ctx, self.initial_ctx)

    def scores(self, features: Tensor) -> Tensor:
        """Return the scores of images' unit features, ``(…, D)`` to ``(…, 1)``."""
        texts = self(features.dtype).to(features.device)
        return antonym_scores(features, texts, self.clip.logit_scale)

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
        return _EncodedAgainInBackward.apply(embeddings, self._remembered_features(embeddings), self._encode)

    def embeddings(self) -> Tensor:
        """Return the embeddings of both texts, up to the last end token, ``(2, L, dim)``."""
        return woven(self.ctx, self.token_prefix, self.token_suffix, self.token_counts)

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

    def _remembered_features(self, embeddings: Tensor) -> Tensor:
        """Return unit text features without a gradient; they are encoded anew only if the context has changed."""
        with torch.inference_mode(False), torch.no_grad():  # ordinary tensors, since later calls may need gradients
            texts = embeddings.detach().clone()
            key = texts.dtype, texts.device
            if key in self._remembered:
                known_texts, features = self._remembered[key]
                if torch.equal(known_texts, texts):
                    return features
            features = self._encode(texts)
            self._remembered[key] = (texts, features)
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
        if self.has_fixed_words:
            pair = PromptPair(self.pair.name, *self._fixed_words)
        else:  # the texts that the context began with
            pair = self.pair
            learned["fixed_words"] = False
        return {**question_record([pair]), "learned": learned}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a context of any ``n_ctx``: ``ctx`` alone, or all of ``STATE_KEYS``.

        Raises:
            PromptError: The context has another width, or words of another pair are around it; nothing is changed.
        """
        ctx = tensors["ctx"]
        if len(tensors) == 1:
            self._check_context(ctx)
            around = self._around(ctx, has_fixed_words=True)
            tensors = {"ctx": ctx, "token_prefix": around.prefix, "token_suffix": around.suffix}
        self.load_state_dict(tensors)

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
            around = self._around(ctx, has_fixed_words)
            used = slice(max(around.token_counts) + 1)  # words and end token; padding may differ
            if _are_close(token_prefix, around.prefix, used) and _are_close(token_suffix, around.suffix, used):
                return has_fixed_words, around.token_counts
        raise PromptError(
            f"the learned prompts belong to another CLIP than {self._clip_name}, or to other words than "
            f"{'|'.join(self.pair.texts)!r}: build the metric with the backbone, weights and words that they were "
            "learned on."
        )

    @property
    def _clip_name(self) -> str:
        return f"{self.clip.weights.backbone} ({self.clip.weights.short})"

    @property
    def _fixed_words(self) -> list[str]:
        """The pair's texts with the official code's full stop."""
        return [f"{text}." for text in self.pair.texts]

    def _around(self, ctx: Tensor, has_fixed_words: bool) -> _Around:
        """Return what stands around a context of the pair; without fixed words, only the marks of start and end."""
        length = self.clip.checkpoint.shapes["positional_embedding"][0]
        n_ctx = ctx.shape[-2]
        tokens = tokenize(self._fixed_words if has_fixed_words else ["", ""], length)
        positive, negative = _token_counts(tokens)
        needed = max(positive, negative) + n_ctx + 2
        if needed > length:
            raise PromptError(
                f"n_ctx={n_ctx} and the words make {needed} tokens, but CLIP reads {length}: use a smaller n_ctx or "
                "fewer words.",
                options=("n_ctx",),
            )
        vocabulary = self.clip.vocabulary
        prefix = vocabulary[tokens[:, :1]].float()
        suffix = vocabulary[tokens[:, 1 : length - n_ctx]].float()
        return _Around(prefix, suffix, (positive, negative))

    def _context_of_words(self) -> Tensor:
        """Return the token embeddings of the pair's texts as a context, ``(2, n_ctx, dim)``."""
        tokens = tokenize(self.pair.texts)
        positive, negative = _token_counts(tokens)
        if positive != negative:
            raise PromptError(
                f"init 'words' needs two texts with as many tokens, but {self.pair.positive!r} has {positive} and "
                f"{self.pair.negative!r} has {negative}: use other words, or init 'x'."
            )
        return self.clip.vocabulary[tokens[:, 1 : positive + 1]].float()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tower": None, "_remembered": {}}


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


class _Around(NamedTuple):
    """What stands around the context of two texts."""

    prefix: Tensor  # (2, 1, dim), the start token
    suffix: Tensor  # (2, 76 - n_ctx, dim): words, end token and padding
    token_counts: tuple[int, int]  # of the words of each text


def _token_counts(tokens: Tensor) -> tuple[int, int]:
    """Return how many tokens of words two texts have."""
    positive, negative = (tokens.argmax(dim=1) - 1).tolist()  # the end token has the highest id
    return positive, negative


def _are_close(theirs: Tensor, ours: Tensor, used: slice) -> bool:
    """Return whether embeddings are equal up to half precision."""
    if theirs.shape != ours.shape:
        return False
    expected = ours[:, used].cpu()
    distances = (theirs[:, used].detach().cpu().float() - expected).norm(dim=-1)
    return bool((distances <= 1e-2 * expected.norm(dim=-1)).all())


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
