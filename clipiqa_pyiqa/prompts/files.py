"""Files of learned prompts (pyiqa's, the official repository's and our own), and of heads fitted to rated photos."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..checks import FilePath, checked
from ..clip.model import FrozenCLIP
from ..errors import PromptError
from ..files.writing import write_bytes
from ..logger import log
from ..text import counted
from ..weights.checkpoint import Checkpoint, open_checkpoint
from ..weights.finding import Weights, is_same_release
from .antonym import exact, sigmoid
from .fields import METHODS, read_fields
from .learned import STATE_KEYS, PromptLearner
from .pairs import PromptPair, parse_prompts
from .records import value_text


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


def read_prompt_file(path: FilePath) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return the tensors of ``STATE_KEYS``, or ``ctx`` alone, and the metadata of our, pyiqa's or the official file."""
    checkpoint = open_checkpoint(path)
    if checkpoint.metadata.get("format") == FORMAT or "sha256" in checkpoint.metadata:
        check_checksum(path, checkpoint)
    found = next((name for name in checkpoint if name == "ctx" or name.endswith(f"{_PREFIX}ctx")), None)
    if found is None:
        raise PromptError(f"{path} holds no learned prompts: it has no tensor prompt_learner.ctx.")
    before, numbers = found.removesuffix("ctx"), checkpoint[found].numel()
    if numbers > _MOST_NUMBERS:  # a bad file may declare a huge shape for few numbers
        raise PromptError(f"{path} is damaged: its context has {numbers:,} numbers, more than {_MOST_NUMBERS:,}.")
    layout = checkpoint.metadata.get("format", FORMAT)
    if layout not in (FORMAT, "pt"):  # pt: what other programs write into every file
        raise PromptError(f"{path} must be a file of format {FORMAT!r}; got {layout!r}.")
    state = {name: checkpoint[before + name] for name in STATE_KEYS if before + name in checkpoint}
    _check_context(path, state["ctx"], read_fields(path, checkpoint.metadata))
    return state, checkpoint.metadata


def load_prompt_file(learner: PromptLearner, path: FilePath, pos_embedding: str) -> None:
    """Load a file's words and context into a learner; raise PromptError for another backbone or width."""
    state, metadata = read_prompt_file(path)
    weights = learner.clip.weights
    check_backbone(path, metadata, weights.backbone)
    if metadata.get("format") == FORMAT:  # a file of pyiqa or of the official repository names no weights
        check_weights(path, metadata, weights)
    warn_of_positions(path, metadata, pos_embedding)
    before = learner.pair
    texts = metadata.get("base_positive", before.positive), metadata.get("base_negative", before.negative)
    try:
        if texts != before.texts:
            (learner.pair,) = parse_prompts(texts)
        if len(state) == len(STATE_KEYS):
            learner.load_state_dict(state)
        else:
            learner.load_context(state["ctx"])
    except PromptError as error:
        learner.pair = before
        raise PromptError(f"{path} cannot be loaded: {error}") from error
    learner.source, learner.metadata = (Path(path).name, learner.content_hash()), metadata


def _check_context(path: FilePath, ctx: Tensor, fields: Mapping[str, Any]) -> None:
    """Raise PromptError if a context has another shape than the file says."""
    if ctx.dim() < 2:
        return  # no context at all: refused where it is loaded
    n_ctx, is_shared = ctx.shape[-2], ctx.dim() == 2
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


def check_backbone(name: FilePath, metadata: Mapping[str, str], backbone: str) -> None:
    """Raise PromptError if prompts or a head were made for another backbone."""
    made_for = metadata.get("backbone", backbone)
    if made_for != backbone:
        raise PromptError(
            f"{name} was learned on {made_for}, but the metric's backbone is {backbone}: use backbone={made_for!r}, or "
            f"prompts or a head learned on {backbone}."
        )


def warn_of_positions(name: FilePath, metadata: Mapping[str, str], pos_embedding: str) -> None:
    """Log a warning if prompts or a head were made with another positional embedding."""
    positions = metadata.get("pos_embedding", pos_embedding)
    if positions != pos_embedding:
        log.warning(
            f"{name} was learned with pos_embedding={positions!r}, but the metric has {pos_embedding!r}: its scores "
            "will be wrong."
        )


def check_weights(path: FilePath, metadata: Mapping[str, str], weights: Weights) -> None:
    """Raise PromptError if prompts or a head were learned on other weights of the backbone."""
    if not is_same_release(weights, metadata.get("weights_sha256", "")):
        raise PromptError(
            f"{path} was learned on other weights of {weights.backbone} ({metadata.get('weights')}) than the metric's "
            f"({weights.short}): pass the weights that it was learned on as clip_weights, or learn it again."
        )


@checked
def save_prompt_file(learner: PromptLearner, path: FilePath, metadata: Mapping[str, Any] | None = None) -> None:
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
        texts = {key: value_text(value) for key, value in fields.items()}
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


def content_checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 in hex of tensors and of metadata, leaving out the field ``sha256``."""
    fields = {key: value for key, value in metadata.items() if key != "sha256"}
    shapes = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    sha256 = hashlib.sha256(json.dumps([fields, shapes], sort_keys=True).encode())
    for name in sorted(tensors):
        sha256.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def check_checksum(path: FilePath, checkpoint: Checkpoint) -> None:
    if checkpoint.metadata.get("sha256") != content_checksum(dict(checkpoint), checkpoint.metadata):
        raise PromptError(f"{path} is damaged: its checksum does not match its content; copy or make it again.")


HEAD_FORMAT = "clipiqa-pyiqa opinion head 1"
_NEEDED = ("score_range", "lower_better", "fit_on", "method", "rated_photos", "base_positive", "base_negative")


class OpinionHead(nn.Module):
    """Head that predicts people's scores from image features.

    ``'affine'`` is a linear function of the pair's (zero-shot) score; ``'ridge'`` adds one of all features.

    Args:
        tensors: ``direction`` ``(D,)``, whose product with a unit feature is the zero-shot logit; ``prior`` ``(2,)``,
            slope and offset of the first function; for ridge, ``mean`` and ``weight`` ``(K,)`` of the K inputs.
    """

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: FilePath = "the head"):
        super().__init__()
        fields = read_fields(path, metadata, _NEEDED)
        self.metadata = dict(metadata)
        self.method: str = fields["method"]
        self.on_stages: bool = fields["fit_on"] == "stages"
        self.rated_photos: int = fields["rated_photos"]
        self.score_range: tuple[float, float] = fields["score_range"]
        self.lower_better: bool = fields["lower_better"]
        self.pair = PromptPair("zero-shot", fields["base_positive"], fields["base_negative"])
        _check_tensors(path, tensors, self.method, self.on_stages)
        for name in METHODS[self.method]:
            self.register_buffer(name, tensors[name], persistent=False)

    direction: Tensor
    prior: Tensor
    mean: Tensor
    weight: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Return predictions ``(N, 1)``, where 0 is the worst score of the range and 1 the best.

        Args:
            features: ``(N, D)``, or ``(N, D + K)`` for a head that was fitted on stages.
        """
        dim, dtype, features = len(self.direction), features.dtype, exact(features)
        direction, slope, offset = self.direction.to(features), *self.prior.to(features)
        line = slope * sigmoid(features[:, :dim] @ direction) + offset
        if self.method == "affine":
            return line[:, None].to(dtype)
        x = features[:, dim:] if self.on_stages else features
        if x.shape[1] != len(self.mean):
            raise PromptError(f"the head is for {len(self.mean):,} inputs, but the tower gives {x.shape[1]:,}.")
        x = x - self.mean.to(features)
        return (line + x @ self.weight.to(features))[:, None].to(dtype)

    def scores(self, features: Tensor) -> Tensor:
        """Return scores on the head's scale, ``(N, 1)``."""
        share, (low, high) = self(features), self.score_range
        return low + (high - low) * (1 - share if self.lower_better else share)

    def record(self) -> dict[str, Any]:
        return {
            "range": [None, None],
            "score_range": list(self.score_range),
            "lower_better": self.lower_better,
            "head": {
                "sha256": self.content_hash(),
                "method": self.method,
                "fit_on": self.metadata["fit_on"],
                "rated_photos": self.rated_photos,
            },
        }

    def content_hash(self) -> str:
        return content_checksum(self._tensors(), {"method": self.method})

    def save(self, path: FilePath) -> None:
        """Write a ``.safetensors`` file; raise PromptError for another suffix."""
        if Path(path).suffix != ".safetensors":
            raise PromptError(f"the file of a head must end in .safetensors; got {str(path)!r}.")
        tensors = self._tensors()
        write_bytes(path, save(tensors, {**self.metadata, "sha256": content_checksum(tensors, self.metadata)}))

    def _tensors(self) -> dict[str, Tensor]:
        return {name: tensor.cpu().contiguous() for name, tensor in self.named_buffers()}


def is_head(checkpoint: Checkpoint) -> bool:
    """Return whether a file holds a head, of any version."""
    return checkpoint.metadata.get("format", "").startswith(HEAD_FORMAT[:-1])


def read_head(path: FilePath) -> OpinionHead:
    """Return the head in a file; raise PromptError if the file is damaged or of another format."""
    checkpoint = open_checkpoint(path)
    metadata = checkpoint.metadata
    if metadata.get("format") != HEAD_FORMAT:
        raise PromptError(f"{path} must be a file of format {HEAD_FORMAT!r}; got {metadata.get('format')!r}.")
    check_checksum(path, checkpoint)
    return OpinionHead(dict(checkpoint), metadata, path)


def load_head(path: FilePath, clip: FrozenCLIP, pos_embedding: str) -> OpinionHead:
    """Return the head in a file; raise PromptError if it was fitted on other weights."""
    head, weights = read_head(path), clip.weights
    check_backbone(path, head.metadata, weights.backbone)
    check_weights(path, head.metadata, weights)
    warn_of_positions(path, head.metadata, pos_embedding)
    if len(head.direction) != clip.width:
        raise PromptError(
            f"{path} is for features of {len(head.direction)} numbers, but {weights.backbone} gives {clip.width}: fit "
            "it again."
        )
    return head


def _check_tensors(path: FilePath, tensors: Mapping[str, Tensor], method: str, on_stages: bool) -> None:
    """Raise PromptError unless a head has its tensors, each with its shape."""
    for name in METHODS[method]:
        tensor = tensors.get(name)
        if tensor is None or tensor.dim() != 1 or not tensor.is_floating_point():
            raise PromptError(
                f"{path} is not a complete head: its tensor {name} is missing or no vector; fit it again."
            )
    lengths = {"prior": 2}
    if method == "ridge":
        inputs = len(tensors["mean"] if on_stages else tensors["direction"])
        lengths |= {"mean": inputs, "weight": inputs}
    for name, length in lengths.items():
        if len(tensors[name]) != length:
            raise PromptError(
                f"{path} is not a complete head: its tensor {name} must have {counted(length, 'number')}; got "
                f"{len(tensors[name])}: fit it again."
            )
