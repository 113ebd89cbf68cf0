"""Files of learned prompts and heads: pyiqa's, the official repository's and our own, each read once."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from safetensors.torch import save
from torch import Tensor

from ..checks import FilePath, check_keys, check_mapping
from ..errors import PromptError
from ..files import write_bytes
from ..text import log, shown
from ..weights.checkpoint import Checkpoint, open_checkpoint
from ..weights.finding import Weights, is_same_release
from .head import HEAD_FORMAT, OpinionHead, content_checksum
from .learned import CONTEXT_OPTIONS, STATE_KEYS, PromptLearner, check_context
from .pairs import PromptPair, Question, free_pair, only_pairs

FORMAT = "clipiqa-pyiqa learned prompts 2"
FOREIGN = "pt"  # what other programs write as the format of every file
_PREFIX = "prompt_learner."

Learned: TypeAlias = PromptLearner | OpinionHead
"""What a file holds: both have ``pair``, ``metadata``, ``score_range``, ``lower_better``, ``scores`` and ``record``."""


class PublishedPrompts(NamedTuple):
    """Published prompts: file, backbone and positional embedding."""

    file: str
    backbone: str
    pos_embedding: Literal["none", "interpolate"]


LearnedType = Literal["clipiqa+", "clipiqa+_rn50_512", "clipiqa+_vitL14_512"]
ModelType = Literal["clipiqa"] | LearnedType
PUBLISHED: dict[LearnedType, PublishedPrompts] = {  # by pyiqa's names
    "clipiqa+": PublishedPrompts("CLIP-IQA+_learned_prompts-603f3273.pth", "RN50", "none"),
    "clipiqa+_rn50_512": PublishedPrompts("CLIPIQA+_RN50_512-89f5d940.pth", "RN50", "interpolate"),
    "clipiqa+_vitL14_512": PublishedPrompts("CLIPIQA+_ViTL14_512-e66488f2.pth", "ViT-L/14", "interpolate"),
}


@dataclass(frozen=True)
class LearnedFile:
    """A file of learned prompts or of a head, as it was read.

    Attributes:
        metadata: What the file tells of itself, as texts; nothing in a file of pyiqa or of the official repository.
        tensors: Of learned prompts: ``ctx``, and perhaps the other two of ``STATE_KEYS``.
        head: The head, if it holds one.
    """

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    head: OpinionHead | None = None

    def check_options(self, has_prompts: bool, context: Mapping[str, Any] | None) -> None:
        """Raise PromptError for a user's words or context that the file does not have: they would be ignored."""
        if has_prompts and "base_positive" in self.metadata:
            raise PromptError(f"{self.path} has words of its own: leave out `prompts`.", options=("prompts",))
        if self.head is not None or not context:
            return
        ctx = self.tensors["ctx"]
        n_ctx = ctx.shape[-2]
        is_shared = ctx.dim() == 2
        if context.get("n_ctx") not in (None, n_ctx) or context.get("shared", is_shared) != is_shared:
            raise PromptError(
                f"`context` asks for {dict(context)}, but the prompts in {self.path} have n_ctx={n_ctx} and "
                f"shared={is_shared}: leave it out, or pass pretrained=False and no file to train new ones.",
                options=("context", "pretrained"),
            )

    def check_clip(self, weights: Weights, pos_embedding: str) -> None:
        """Raise PromptError if this was learned on other weights; log if it was on another positional embedding."""
        check_backbone(self.path, self.metadata, weights.backbone)
        # a file of pyiqa or of the official repository names no weights
        is_ours = self.metadata.get("format", FOREIGN) != FOREIGN
        if is_ours and not is_same_release(weights, self.metadata.get("weights_sha256", "")):
            raise PromptError(
                f"{self.path} was learned on other weights of {weights.backbone} ({self.metadata.get('weights')}) than "
                f"the metric's ({weights.short}): pass the weights that it was learned on as clip_weights, or learn it "
                "again.",
                options=("clip_weights",),
            )
        warn_of_positions(self.path, self.metadata, pos_embedding)

    def load_into(self, learner: PromptLearner, pair: PromptPair) -> None:
        """Load words and context into a learner, which stays as it was if this raises.

        Args:
            pair: The words of a file that names none.

        Raises:
            PromptError: The context is for another width, or for other words.
        """
        positive = self.metadata.get("base_positive", pair.positive)
        negative = self.metadata.get("base_negative", pair.negative)
        pair_before = learner.pair
        try:
            learner.pair = pair if (positive, negative) == pair.texts else free_pair(positive, negative)
            learner.load(self.tensors)
        except PromptError as error:
            learner.pair = pair_before
            raise PromptError(f"{self.path} cannot be loaded: {error}") from error
        learner.source = (self.path.name, learner.content_hash())
        learner.metadata = self.metadata


def read_learned(path: FilePath) -> LearnedFile:
    """Return the learned prompts or the head in a file; no code in it is run.

    Raises:
        PromptError: The file is damaged, or holds neither.
    """
    checkpoint = _checked(path)
    metadata = checkpoint.metadata
    if metadata.get("format") != HEAD_FORMAT:
        return LearnedFile(checkpoint.path, metadata, _prompts_in(checkpoint))
    tensors = dict(checkpoint)
    try:
        return LearnedFile(checkpoint.path, metadata, {}, OpinionHead(tensors, metadata))
    except (KeyError, ValueError, TypeError) as error:
        raise PromptError(f"{path} is not a complete head ({error!r}): fit it again.") from error


def read_prompt_file(path: FilePath) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return the tensors of ``STATE_KEYS``, or ``ctx`` alone, and the metadata of our, pyiqa's or the official file."""
    checkpoint = _checked(path)
    return _prompts_in(checkpoint), checkpoint.metadata


def _checked(path: FilePath) -> Checkpoint:
    """Open a file; raise PromptError for an unknown format, or a checksum that does not match the content."""
    checkpoint = open_checkpoint(path)
    metadata = checkpoint.metadata
    layout = metadata.get("format", FOREIGN)
    if layout not in (FORMAT, HEAD_FORMAT, FOREIGN):
        raise PromptError(f"{path} must be a file of format {FORMAT!r} or {HEAD_FORMAT!r}; got {layout!r}.")
    has_checksum = layout != FOREIGN or "sha256" in metadata
    if has_checksum and metadata.get("sha256") != content_checksum(dict(checkpoint), metadata):
        raise PromptError(f"{path} is damaged: its checksum does not match its content; copy or make it again.")
    return checkpoint


def _prompts_in(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return all tensors of ``STATE_KEYS``, or ``ctx`` alone."""
    ctx_name = next((name for name in checkpoint if name == "ctx" or name.endswith(f"{_PREFIX}ctx")), None)
    if ctx_name is None:
        raise PromptError(f"{checkpoint.path} holds no learned prompts: it has no tensor prompt_learner.ctx.")
    prefix = ctx_name.removesuffix("ctx")
    names = STATE_KEYS if all(prefix + name in checkpoint for name in STATE_KEYS) else ("ctx",)
    return {name: checkpoint[prefix + name] for name in names}


def check_learned_options(
    model_type: ModelType, prompts: Sequence[Question], path: FilePath | None, context: Mapping[str, Any] | None
) -> None:
    """Raise for options of learned prompts that the type of metric cannot use."""
    if model_type == "clipiqa":
        if path is not None or context is not None:
            raise PromptError("'clipiqa' has no learned prompts: use model_type 'clipiqa+' to load or train some.")
        return
    if len(prompts) > 1:
        raise PromptError(f"learned prompts need a single pair as prompts; got {len(prompts)} pairs.")
    only_pairs(prompts, "CLIP-IQA+")
    if context is not None:
        check_mapping("context", context)
        check_keys(context, CONTEXT_OPTIONS, "`context`")
        check_context(**context)


def check_backbone(name: FilePath, metadata: Mapping[str, str], backbone: str) -> None:
    """Raise PromptError if prompts or a head were made for another backbone."""
    made_for = metadata.get("backbone", backbone)
    if made_for != backbone:
        raise PromptError(
            f"{name} was learned on {made_for}, but the metric's backbone is {backbone}: use "
            f"backbone={made_for!r}, or prompts or a head learned on {backbone}.",
            options=("backbone",),
        )


def warn_of_positions(name: FilePath, metadata: Mapping[str, str], pos_embedding: str) -> None:
    """Log a warning if prompts or a head were made with another positional embedding."""
    positions = metadata.get("pos_embedding", pos_embedding)
    if positions != pos_embedding:
        log.warning(
            f"{name} was learned with the positional embedding {positions!r}, but the metric has {pos_embedding!r}: "
            "its scores will be wrong."
        )


def save_prompt_file(learner: PromptLearner, path: FilePath, metadata: Mapping[str, Any] | None = None) -> None:
    """Write learned prompts to a file, without CLIP's weights.

    Args:
        learner: A learner with a loaded or trained context.
        path: ``.safetensors``; or ``.pth`` for pyiqa's ``load_weights``, without metadata.
        metadata: Further metadata, but for ``format`` and ``weights_sha256``; a value that is not a string is written
            as JSON.

    Raises:
        PromptError: There are no learned prompts, the file has another suffix, or the metadata tell another format.
    """
    if not isinstance(learner, PromptLearner) or not learner.is_learned:
        raise PromptError(
            "learner must be a PromptLearner with loaded or trained prompts, such as metric.prompt_learner; got "
            f"{shown(learner)}."
        )
    for name in {"format", "weights_sha256"} & set(metadata or {}):
        raise PromptError(f"metadata must not have the field {name!r}, which tells what was saved: leave it out.")
    tensors = {_PREFIX + name: value.detach().cpu().contiguous() for name, value in learner.state_dict().items()}
    suffix = Path(path).suffix
    if suffix == ".safetensors":
        weights = learner.clip.weights
        fields = {
            "format": FORMAT,
            "backbone": weights.backbone,
            "weights": weights.short,
            "weights_sha256": weights.sha256,
            "quick_gelu": weights.quick_gelu,
            "base_positive": learner.pair.positive,
            "base_negative": learner.pair.negative,
            "n_ctx": learner.n_ctx,
            "shared": learner.ctx.dim() == 2,
            "class_position": "middle" if learner.has_fixed_words else "none",
            **(metadata or {}),
        }
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
        texts["sha256"] = content_checksum(tensors, texts)
        write_bytes(path, save(tensors, texts))
    elif suffix in (".pth", ".pt"):
        write_bytes(path, pickled({"params": tensors}))
    else:
        raise PromptError(f"the file of learned prompts must end in .safetensors or .pth; got {str(path)!r}.")


def pickled(content: Any) -> bytes:
    """Return the bytes that ``torch.save`` writes."""
    file = io.BytesIO()  # in memory, since torch.save raises no OSError on a full disk
    torch.save(content, file)
    return file.getvalue()
