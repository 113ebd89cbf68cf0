"""Files of learned prompts: pyiqa's, the official repository's and our own. None of them is ever executed.

Our own is a ``.safetensors`` file with the prompts only, which says in its metadata what they were learned on.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import safe_open
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
FORMAT = "clipiqa-pyiqa learned prompts 2"  # with a checksum; 1 had none
_NAME = "prompt_learner."
_NUMBERS = 1 << 20  # in a context: twice CLIP's 77 tokens of 1,280 are 197,120
_NESTED_UNDER = ("state_dict", "params", "model")

logger = logging.getLogger("clipiqa_pyiqa")


@dataclass(frozen=True)
class PromptFile:
    """What a file of learned prompts holds.

    Attributes:
        path: the file.
        ctx: the context, ``(n_ctx, dim)`` or ``(2, n_ctx, dim)``; fp32, unchecked.
        tokens: ``token_prefix`` and ``token_suffix``, if the file has them.
        metadata: what our own files say about themselves; empty for the others.
    """

    path: Path
    ctx: Tensor
    tokens: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def read_prompt_file(path: str | Path) -> PromptFile:
    """Read learned prompts.

    Args:
        path: our ``.safetensors``; pyiqa's checkpoints, a bare tensor or a state dict under ``params``; the official
            repository's, whose ``generator.clipmodel_0.prompt_learner.ctx`` stands among other keys.

    Raises:
        WeightsError: the file is missing, empty, damaged, or pickled with code in it, which is not run.
        PromptError: it holds no learned prompts, or several.
    """
    path = Path(path).expanduser()
    head = first_bytes(path)
    metadata: dict[str, str] = {}
    if head[8:9] == b"{":
        content: Any = dict(open_checkpoint(path))
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        _check_sum(path, content, metadata)
    elif head.startswith((b"PK", b"\x80")) and not (head.startswith(b"PK") and is_torchscript(path)):
        content = load_pickled(path)
    else:
        raise PromptError(
            f"{path} is no file of learned prompts: expected a .safetensors file of ours or a .pth file of pyiqa or "
            f"the official repository, but it starts with {head!r}."
        )
    tensors = _find(path, content)
    ctx = tensors.pop("ctx").detach()
    if ctx.numel() > _NUMBERS:  # a view of few numbers may declare any shape
        raise PromptError(f"{path} is damaged: its context vectors are {ctx.numel():,} numbers, at most {_NUMBERS:,}.")
    return PromptFile(path, ctx.float() if ctx.is_floating_point() else ctx, tensors, metadata)


def published_prompt_file(model_type: LearnedType, backbone: str) -> Path:
    """The published prompts of one of pyiqa's names, found on this machine or downloaded.

    Raises:
        PromptError: they were learned on another backbone.
        WeightsError: the file is not found, or damaged.
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
        learner: of the CLIP on which they were learned.
        path: as for :func:`read_prompt_file`.
        pos_embedding: that of the metric; a warning is logged if the prompts were learned with another.

    Raises:
        WeightsError, PromptError: as :func:`read_prompt_file`, and for prompts of another backbone or width.
    """
    file = read_prompt_file(path)
    weights = learner.clip.weights
    theirs = file.metadata.get("backbone", weights.backbone)
    if theirs != weights.backbone:
        raise PromptError(
            f"{file.path} holds prompts learned on {theirs}, but the metric's backbone is {weights.backbone}: "
            f"build it with backbone={theirs!r}."
        )
    try:
        if len(file.tokens) == len(STATE_KEYS) - 1:
            learner.load_state_dict({"ctx": file.ctx, **file.tokens})
        else:
            learner.load_context(file.ctx)
    except PromptError as error:
        raise PromptError(f"{file.path} cannot be loaded: {error}") from error
    learner.source = file.path.name, learner.content_hash()
    learned_with = file.metadata.get("pos_embedding", pos_embedding)
    if pos_embedding is not None and learned_with != pos_embedding:
        logger.warning(
            "%s holds prompts learned with pos_embedding=%r, but the metric has %r: its scores will be off.",
            file.path,
            learned_with,
            pos_embedding,
        )


def save_prompt_file(learner: PromptLearner, path: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write the prompts, and nothing else, so that a reader sees the whole file or none.

    Args:
        learner: whose context was loaded or trained.
        path: ``.safetensors``; or ``.pth``, which pyiqa's ``load_weights`` reads, and which holds no metadata.
        metadata: what else to say, such as ``pos_embedding``, recipe, data set and scores; values that are no strings
            are written as JSON.

    Raises:
        PromptError: nothing was learned, or the suffix is another one.
        OSError: the file cannot be written.
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
        raise PromptError(f"learned prompts are written to .safetensors or .pth, but {str(path)!r} was asked for.")


def pickled(content: Any) -> bytes:
    """Return the bytes that ``torch.save`` would write: on a full disk it raises a ``RuntimeError``."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def describe(learner: PromptLearner) -> dict[str, str]:
    """What a learner itself can say about its prompts, as a file's metadata."""
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
    """SHA-256 in hex of all that a file of ours says."""
    said = {key: value for key, value in metadata.items() if key != "sha256"}
    shapes = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    sha256 = hashlib.sha256(json.dumps([said, shapes], sort_keys=True).encode())
    for name in sorted(tensors):
        sha256.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def _check_sum(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Raise if a file of ours is not as it was written; files of the first version cannot tell."""
    sum_needed = metadata.get("format") == FORMAT or "sha256" in metadata
    if sum_needed and metadata.get("sha256") != content_sum(tensors, metadata):
        raise PromptError(f"{path} is damaged: its checksum is not that of what it holds; copy or learn it again.")


def _find(path: Path, content: Any) -> dict[str, Tensor]:
    """The tensors named in ``STATE_KEYS``, ``ctx`` at least, wherever they stand in what the file holds."""
    if isinstance(content, Tensor):
        return {"ctx": content}
    found: dict[str, dict[str, Tensor]] = {}  # by what stands before the name: a file may hold several networks
    for key, value in _tensors(content):
        name = key.rsplit(".", 1)[-1]
        before = key.removesuffix(name)
        if name in STATE_KEYS and (before == "" or before.endswith(_NAME)):
            found.setdefault(before, {})[name] = value
    networks = [tensors for tensors in found.values() if "ctx" in tensors]
    if not networks:
        raise PromptError(f"{path} holds no learned prompts: there is no tensor called prompt_learner.ctx in it.")
    if any(not _same(network["ctx"], networks[0]["ctx"]) for network in networks[1:]):
        names = ", ".join(f"{before}ctx" for before in found)
        raise PromptError(
            f"{path} holds several learned prompts ({names}): save the one you mean in a file of its own."
        )
    return networks[0]


def _tensors(content: Any) -> Iterator[tuple[str, Tensor]]:
    while isinstance(content, Mapping):
        nested = [name for name in _NESTED_UNDER if isinstance(content.get(name), Mapping)]
        if not nested:
            yield from ((str(key), value) for key, value in content.items() if isinstance(value, Tensor))
            return
        content = content[nested[0]]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)
