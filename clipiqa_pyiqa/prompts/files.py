"""Files of learned prompts: pyiqa's, the official repository's and our own."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from ..errors import PromptError
from ..files.writing import write_bytes
from ..weights.checkpoint import open_checkpoint
from ..weights.published import pyiqa_file
from ..weights.selection import find_file
from .learned import STATE_KEYS, PromptLearner
from .pairs import parse_prompts


class PublishedPrompts(NamedTuple):
    """Published prompts: file, backbone and positional embedding."""

    file: str
    backbone: str
    pos_embedding: Literal["none", "interpolate"]


LearnedType = Literal["clipiqa+", "clipiqa+_rn50_512", "clipiqa+_vitL14_512"]
PUBLISHED: dict[LearnedType, PublishedPrompts] = {  # by pyiqa's names
    "clipiqa+": PublishedPrompts("CLIP-IQA+_learned_prompts-603f3273.pth", "RN50", "none"),
    "clipiqa+_rn50_512": PublishedPrompts("CLIPIQA+_RN50_512-89f5d940.pth", "RN50", "interpolate"),
    "clipiqa+_vitL14_512": PublishedPrompts("CLIPIQA+_ViTL14_512-e66488f2.pth", "ViT-L/14", "interpolate"),
}
FORMAT = "clipiqa-pyiqa learned prompts 2"
_PREFIX = "prompt_learner."
_MOST_NUMBERS = 1 << 20  # of a context; two texts of 77 tokens with 1,280 numbers have 197,120

logger = logging.getLogger("clipiqa_pyiqa")


def read_prompt_file(path: str | Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return the tensors of ``STATE_KEYS``, or ``ctx`` alone, and the metadata of our, pyiqa's or the official file."""
    checkpoint = open_checkpoint(path)
    if checkpoint.metadata.get("format") == FORMAT or "sha256" in checkpoint.metadata:
        check_checksum(path, dict(checkpoint), checkpoint.metadata)
    found = next((name for name in checkpoint if name == "ctx" or name.endswith(f"{_PREFIX}ctx")), None)
    if found is None:
        raise PromptError(f"{path} holds no learned prompts: it has no tensor prompt_learner.ctx.")
    before, numbers = found.removesuffix("ctx"), checkpoint[found].numel()
    if numbers > _MOST_NUMBERS:  # a bad file may declare a huge shape for few numbers
        raise PromptError(f"{path} is damaged: its context has {numbers:,} numbers, more than {_MOST_NUMBERS:,}.")
    state = {name: checkpoint[before + name] for name in STATE_KEYS if before + name in checkpoint}
    return state, checkpoint.metadata


def published_prompt_file(model_type: LearnedType, backbone: str) -> Path:
    """Return the path of published prompts, downloaded if needed; raise PromptError for another backbone."""
    name, made_for, _ = PUBLISHED[model_type]
    if made_for != backbone:
        raise PromptError(
            f"the published prompts of {model_type!r} were learned on {made_for}, but the backbone is {backbone}: use "
            f"backbone={made_for!r}, pretrained_model_path with prompts of your own, or pretrained=False to train some."
        )
    return find_file(pyiqa_file(name)).path


def load_prompt_file(learner: PromptLearner, path: str | Path, pos_embedding: str) -> None:
    """Load a file's words and context into a learner; raise PromptError for another backbone or width."""
    state, metadata = read_prompt_file(path)
    check_origin(path, metadata, learner.clip.weights.backbone, pos_embedding)
    before = learner.pair
    texts = metadata.get("base_positive", before.positive), metadata.get("base_negative", before.negative)
    try:
        if texts != (before.positive, before.negative):
            (learner.pair,) = parse_prompts(texts)
        if len(state) == len(STATE_KEYS):
            learner.load_state_dict(state)
        else:
            learner.load_context(state["ctx"])
    except PromptError as error:
        learner.pair = before
        raise PromptError(f"{path} cannot be loaded: {error}") from error
    learner.source, learner.metadata = (Path(path).name, learner.content_hash()), metadata


def check_origin(path: str | Path, metadata: Mapping[str, str], backbone: str, pos_embedding: str) -> None:
    """Raise PromptError if a file was made for another backbone; warn if the positional embedding differs."""
    made_for = metadata.get("backbone", backbone)
    if made_for != backbone:
        raise PromptError(
            f"{path} was learned on {made_for}, but the metric's backbone is {backbone}: use backbone={made_for!r}."
        )
    positions = metadata.get("pos_embedding", pos_embedding)
    if positions != pos_embedding:
        warning = "%s was learned with pos_embedding=%r, but the metric has %r: its scores will be wrong."
        logger.warning(warning, path, positions, pos_embedding)


def save_prompt_file(learner: PromptLearner, path: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write learned prompts to a file, without CLIP's weights.

    Args:
        learner: A learner with a loaded or trained context.
        path: ``.safetensors``; or ``.pth`` for pyiqa's ``load_weights``, without metadata.
        metadata: Further metadata; a value that is not a string is written as JSON.
    """
    path = Path(path)
    if not learner.is_learned:
        raise PromptError("there are no learned prompts to save: train or load some first.")
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
            "class_position": "middle",
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
    file = io.BytesIO()  # in memory, since torch.save raises no OSError on a full disk
    torch.save(content, file)
    return file.getvalue()


def content_checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 in hex of tensors and of metadata, leaving out the field ``sha256``."""
    fields = {key: value for key, value in metadata.items() if key != "sha256"}
    shapes = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    sha256 = hashlib.sha256(json.dumps([fields, shapes], sort_keys=True).encode())
    for name in sorted(tensors):
        sha256.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def check_checksum(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    if metadata.get("sha256") != content_checksum(tensors, metadata):
        raise PromptError(f"{path} is damaged: its checksum does not match its content; copy or make it again.")
