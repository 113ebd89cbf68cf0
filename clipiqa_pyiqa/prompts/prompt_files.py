"""Files of learned prompts: pyiqa's, the official repository's and our own."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ..checks import FilePath
from ..errors import PromptError
from ..files import write_bytes
from ..text import shown
from ..weights.checkpoint import open_checkpoint
from .checksum import check_checksum, content_checksum
from .fields import read_fields
from .heads import is_head, read_head
from .learned import STATE_KEYS, PromptLearner
from .made_for import check_backbone, check_weights, warn_of_positions
from .pairs import PromptPair
from .parsing import parse_prompts
from .questions import only_pairs

FORMAT = "clipiqa-pyiqa learned prompts 2"
_PREFIX = "prompt_learner."
_MOST_NUMBERS = 1 << 20  # of a context; two texts of 77 tokens with 1,280 numbers have 197,120


def read_prompt_file(path: FilePath) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return the tensors of ``STATE_KEYS``, or ``ctx`` alone, and the metadata of our, pyiqa's or the official file."""
    checkpoint = open_checkpoint(path)
    metadata = checkpoint.metadata
    if metadata.get("format") == FORMAT or "sha256" in metadata:
        check_checksum(path, checkpoint)
    ctx_name = next((name for name in checkpoint if name == "ctx" or name.endswith(f"{_PREFIX}ctx")), None)
    if ctx_name is None:
        raise PromptError(f"{path} holds no learned prompts: it has no tensor prompt_learner.ctx.")
    numbers = checkpoint[ctx_name].numel()
    if numbers > _MOST_NUMBERS:  # a bad file may declare a huge shape for few numbers
        raise PromptError(f"{path} is damaged: its context has {numbers:,} numbers, more than {_MOST_NUMBERS:,}.")
    layout = metadata.get("format", FORMAT)
    if layout not in (FORMAT, "pt"):  # pt: what other programs write into every file
        raise PromptError(f"{path} must be a file of format {FORMAT!r}; got {layout!r}.")
    prefix = ctx_name.removesuffix("ctx")
    state = {name: checkpoint[prefix + name] for name in STATE_KEYS if prefix + name in checkpoint}
    _check_context(path, state["ctx"], read_fields(path, metadata))
    return state, metadata


def load_prompt_file(learner: PromptLearner, path: FilePath, pos_embedding: str, pair: PromptPair) -> None:
    """Load a file's words and context into a learner, which stays as it was if this raises.

    Args:
        pair: The words of a file that names none.

    Raises:
        PromptError: the file is for another backbone, other weights, another width or other words.
    """
    state, metadata = read_prompt_file(path)
    weights = learner.clip.weights
    check_backbone(path, metadata, weights.backbone)
    if metadata.get("format") == FORMAT:  # a file of pyiqa or of the official repository names no weights
        check_weights(path, metadata, weights)
    warn_of_positions(path, metadata, pos_embedding)
    positive = metadata.get("base_positive", pair.positive)
    negative = metadata.get("base_negative", pair.negative)
    pair_before = learner.pair
    try:
        if (positive, negative) != pair.texts:
            (pair,) = only_pairs(parse_prompts((positive, negative)), "CLIP-IQA+")
        learner.pair = pair
        if len(state) == len(STATE_KEYS):
            learner.load_state_dict(state)
        else:
            learner.load_context(state["ctx"])
    except PromptError as error:
        learner.pair = pair_before
        raise PromptError(f"{path} cannot be loaded: {error}") from error
    learner.source = (Path(path).name, learner.content_hash())
    learner.metadata = metadata


def _check_context(path: FilePath, ctx: Tensor, fields: Mapping[str, Any]) -> None:
    """Raise PromptError if a context has another shape than the file says."""
    if ctx.dim() < 2:
        return  # no context at all: refused where it is loaded
    n_ctx = ctx.shape[-2]
    is_shared = ctx.dim() == 2
    if fields.get("n_ctx", n_ctx) != n_ctx or fields.get("shared", is_shared) != is_shared:
        raise PromptError(
            f"{path} is damaged: its context has the shape {tuple(ctx.shape)}, but its fields are "
            f"n_ctx={fields.get('n_ctx')} and shared={fields.get('shared')}; copy or make it again."
        )


def check_learned_file(path: FilePath, backbone: str) -> None:
    """Raise PromptError unless a file holds learned prompts or a head for a backbone, whose weights are not needed."""
    if is_head(open_checkpoint(path)):
        metadata: Mapping[str, str] = read_head(path).metadata
    else:
        _, metadata = read_prompt_file(path)
    check_backbone(path, metadata, backbone)


def save_prompt_file(learner: PromptLearner, path: FilePath, metadata: Mapping[str, Any] | None = None) -> None:
    """Write learned prompts to a file, without CLIP's weights.

    Args:
        learner: A learner with a loaded or trained context.
        path: ``.safetensors``; or ``.pth`` for pyiqa's ``load_weights``, without metadata.
        metadata: Further metadata, but for ``format`` and ``weights_sha256``; a value that is not a string is written
            as JSON.
    """
    if not isinstance(learner, PromptLearner):
        raise PromptError(f"learner must be a PromptLearner, such as metric.prompt_learner; got {shown(learner)}.")
    path = Path(path)
    if not learner.is_learned:
        raise PromptError("there are no learned prompts to save: train or load some first.")
    for name in ("format", "weights_sha256"):
        if name in (metadata or {}):
            raise PromptError(f"metadata must not have the field {name!r}, which tells what was saved: leave it out.")
    tensors = {_PREFIX + name: value.detach().cpu().contiguous() for name, value in learner.state_dict().items()}
    if path.suffix == ".safetensors":
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
    elif path.suffix in (".pth", ".pt"):
        write_bytes(path, pickled({"params": tensors}))
    else:
        raise PromptError(f"the file of learned prompts must end in .safetensors or .pth; got {str(path)!r}.")


def pickled(content: Any) -> bytes:
    """Return the bytes that ``torch.save`` writes."""
    file = io.BytesIO()  # in memory, since torch.save raises no OSError on a full disk
    torch.save(content, file)
    return file.getvalue()
