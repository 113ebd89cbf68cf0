"""Files of learned prompts: pyiqa's, the official repository's and our own. None of them is ever executed.

Our own is a ``.safetensors`` file with the prompts only, which says in its metadata what they were learned on.
"""

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
from ..weights.checkpoint import first_bytes, load_pickled, open_checkpoint
from ..weights.published import pyiqa_file
from ..weights.selection import find_file
from ..weights.torchscript import is_torchscript
from .learned import STATE_KEYS, PromptLearner


class PublishedPrompts(NamedTuple):
    """Published prompts: the file, and on what they were learned."""

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
_NAME = "prompt_learner."
_NUMBERS = 1 << 20  # in a context: twice CLIP's 77 tokens of 1,280 are 197,120
_NESTED_UNDER = ("state_dict", "params", "model")

logger = logging.getLogger("clipiqa_pyiqa")


class PromptFile(NamedTuple):
    """What a file of learned prompts holds.

    Attributes:
        ctx: The context, ``(n_ctx, dim)`` or ``(2, n_ctx, dim)``; fp32, unchecked.
        tokens: ``token_prefix`` and ``token_suffix``, if the file has them.
        metadata: What our own files say about themselves; empty for other files.
    """

    ctx: Tensor
    tokens: dict[str, Tensor]
    metadata: Mapping[str, str]


def read_prompt_file(path: str | Path) -> PromptFile:
    """Read learned prompts.

    Args:
        path: Our ``.safetensors``; pyiqa's checkpoints, a bare tensor or a state dict under ``params``; the official
            repository's, whose ``generator.clipmodel_0.prompt_learner.ctx`` stands among other keys.

    Raises:
        WeightsError: The file is missing, empty, damaged, or pickled with code in it, which is not run.
        PromptError: It holds no learned prompts, or several.
    """
    path = Path(path).expanduser()
    head = first_bytes(path)
    metadata: Mapping[str, str] = {}
    if head[8:9] == b"{":
        checkpoint = open_checkpoint(path)
        tensors, metadata = dict(checkpoint), checkpoint.metadata
        if metadata.get("format") == FORMAT:
            check_sum(path, tensors, metadata)
    elif head.startswith((b"PK", b"\x80")) and not (head.startswith(b"PK") and is_torchscript(path)):
        tensors = _tensors(load_pickled(path))
    else:
        raise PromptError(
            f"{path} must be a .safetensors file of ours or a .pth file of pyiqa or the official repository; it starts "
            f"with {head!r}."
        )
    names = [name for name in tensors if name == "ctx" or name.endswith(f"{_NAME}ctx")]
    if not names:
        raise PromptError(f"{path} holds no learned prompts: it has no tensor prompt_learner.ctx.")
    ctx = tensors[names[0]].detach()
    if not all(torch.equal(tensors[name], ctx) for name in names[1:]):
        raise PromptError(f"{path} holds several learned prompts ({', '.join(names)}): save one in a file of its own.")
    if ctx.numel() > _NUMBERS:  # a view of few numbers may declare any shape
        raise PromptError(f"{path} is damaged: its context vectors are {ctx.numel():,} numbers, at most {_NUMBERS:,}.")
    before = names[0].removesuffix("ctx")
    tokens = {name: tensors[before + name] for name in STATE_KEYS[1:] if before + name in tensors}
    return PromptFile(ctx.float() if ctx.is_floating_point() else ctx, tokens, metadata)


def published_prompt_file(model_type: LearnedType, backbone: str) -> Path:
    """Return the file of the published prompts of one of pyiqa's names, found on this machine or downloaded.

    Raises:
        PromptError: They were learned on another backbone.
        WeightsError: The file is not found, or damaged.
    """
    name, theirs, _ = PUBLISHED[model_type]
    if theirs != backbone:
        raise PromptError(
            f"the published prompts of {model_type!r} were learned on {theirs}, but the backbone is {backbone}: use "
            f"backbone={theirs!r}, pretrained_model_path with prompts of your own, or pretrained=False to train some."
        )
    return find_file(pyiqa_file(name)).path


def load_prompt_file(learner: PromptLearner, path: str | Path, pos_embedding: str | None = None) -> None:
    """Load a file of learned prompts into a learner; its words, ``n_ctx`` and shape are those of the file.

    Args:
        learner: Of the CLIP on which they were learned.
        path: As for :func:`read_prompt_file`.
        pos_embedding: That of the metric; a warning is logged if the prompts were learned with another.

    Raises:
        WeightsError, PromptError: As :func:`read_prompt_file`, and for prompts of another backbone or width.
    """
    file = read_prompt_file(path)
    check_made_on(path, file.metadata, learner.clip.weights.backbone, pos_embedding)
    try:
        if len(file.tokens) == len(STATE_KEYS) - 1:
            learner.load_state_dict({"ctx": file.ctx, **file.tokens})
        else:
            learner.load_context(file.ctx)
    except PromptError as error:
        raise PromptError(f"{path} cannot be loaded: {error}") from error
    learner.source = Path(path).name, learner.content_hash()


def check_made_on(path: str | Path, metadata: Mapping[str, str], backbone: str, pos_embedding: str | None) -> None:
    """Raise if a file belongs to another backbone; log a warning if it belongs to another positional embedding."""
    theirs = metadata.get("backbone", backbone)
    if theirs != backbone:
        raise PromptError(
            f"{path} was learned on {theirs}, but the metric's backbone is {backbone}: build it with "
            f"backbone={theirs!r}."
        )
    positions = metadata.get("pos_embedding", pos_embedding)
    if pos_embedding not in (None, positions):
        said = "%s was learned with pos_embedding=%r, but the metric has %r: its scores will be off."
        logger.warning(said, path, positions, pos_embedding)


def save_prompt_file(learner: PromptLearner, path: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write the prompts, and nothing else, so that a reader sees the whole file or none.

    Args:
        learner: Whose context was loaded or trained.
        path: ``.safetensors``; or ``.pth``, which pyiqa's ``load_weights`` reads, and which holds no metadata.
        metadata: What else to say, such as ``pos_embedding``, recipe, data set and scores; values that are no strings
            are written as JSON.

    Raises:
        PromptError: Nothing was learned, or the suffix is another one.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    if not learner.is_learned:
        raise PromptError("there are no learned prompts to save: train or load some first.")
    tensors = {_NAME + name: value.detach().cpu().contiguous() for name, value in learner.state_dict().items()}
    if path.suffix == ".safetensors":
        said = {**describe(learner), **(metadata or {})}
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}
        texts["sha256"] = content_sum(tensors, texts)
        write_bytes(path, save(tensors, texts))
    elif path.suffix in (".pth", ".pt"):
        write_bytes(path, pickled({"params": tensors}))
    else:
        raise PromptError(f"learned prompts are written to .safetensors or .pth; got {str(path)!r}.")


def pickled(content: Any) -> bytes:
    """Return the bytes that ``torch.save`` would write: on a full disk it raises a ``RuntimeError``."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def describe(learner: PromptLearner) -> dict[str, str]:
    """Return what a learner itself can say about its prompts, as a file's metadata."""
    weights = learner.clip.weights
    return {
        "format": FORMAT,
        "backbone": weights.backbone,
        "weights": weights.short,
        "weights_sha256": weights.sha256,
        "quick_gelu": str(weights.quick_gelu).lower(),
        "base_positive": learner.pair.positive,
        "base_negative": learner.pair.negative,
        "n_ctx": str(learner.n_ctx),
        "shared": str(learner.ctx.dim() == 2).lower(),
        "class_position": "middle",
    }


def content_sum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 in hex of all that a file of ours says."""
    said = {key: value for key, value in metadata.items() if key != "sha256"}
    shapes = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    sha256 = hashlib.sha256(json.dumps([said, shapes], sort_keys=True).encode())
    for name in sorted(tensors):
        sha256.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def check_sum(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Raise if a file of ours is not as it was written."""
    if metadata.get("sha256") != content_sum(tensors, metadata):
        raise PromptError(f"{path} is damaged: its checksum does not match its content; copy or make it again.")


def _tensors(content: Any) -> dict[str, Tensor]:
    """Return the tensors of a state dict, which may lie under a name, or a bare tensor as ``ctx``."""
    while isinstance(content, Mapping):
        nested = [content[name] for name in _NESTED_UNDER if isinstance(content.get(name), Mapping)]
        if not nested:
            return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        content = nested[0]
    return {"ctx": content} if isinstance(content, Tensor) else {}
