"""Heads fitted to rated photos, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from ..checks import FilePath
from ..clip.arithmetic import exact, sigmoid
from ..clip.model import FrozenCLIP
from ..errors import PromptError
from ..files import write_bytes
from ..text import counted
from ..weights.checkpoint import Checkpoint, open_checkpoint
from .checksum import check_checksum, content_checksum
from .fields import METHODS, read_fields
from .made_for import check_backbone, check_weights, warn_of_positions
from .pairs import PromptPair

_ANY_HEAD = "clipiqa-pyiqa opinion head"  # how the formats of all versions begin
HEAD_FORMAT = f"{_ANY_HEAD} 1"
_NEEDED = ("score_range", "lower_better", "fit_on", "method", "rated_photos", "base_positive", "base_negative")


class OpinionHead(nn.Module):
    """Head that predicts people's scores from image features.

    ``'affine'`` is a linear function of the pair's (zero-shot) score; ``'ridge'`` adds one of all features.

    Args:
        tensors: ``direction`` ``(D,)``, whose product with a unit feature is the zero-shot logit; ``prior`` ``(2,)``,
            slope and offset of the first function; for ridge, ``mean`` and ``weight`` ``(K,)`` of the K inputs.
    """

    direction: Tensor
    prior: Tensor
    mean: Tensor
    weight: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: FilePath = "the head"):
        super().__init__()
        fields = read_fields(path, metadata, _NEEDED)
        self.metadata = dict(metadata)
        self.method: str = fields["method"]
        self.is_on_stages: bool = fields["fit_on"] == "stages"
        self.rated_photos: int = fields["rated_photos"]
        self.score_range: tuple[float, float] = fields["score_range"]
        self.lower_better: bool = fields["lower_better"]
        self.pair = PromptPair("zero-shot", fields["base_positive"], fields["base_negative"])
        _check_tensors(path, tensors, self.method, self.is_on_stages)
        for name in METHODS[self.method]:
            self.register_buffer(name, tensors[name], persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return predictions ``(N, 1)``, where 0 is the worst score of the range and 1 the best.

        Args:
            features: ``(N, D)``, or ``(N, D + K)`` for a head that was fitted on stages.
        """
        dtype = features.dtype
        features = exact(features)
        dim = len(self.direction)
        slope, offset = self.prior.to(features)
        line = slope * sigmoid(features[:, :dim] @ self.direction.to(features)) + offset
        if self.method == "affine":
            return line[:, None].to(dtype)
        inputs = features[:, dim:] if self.is_on_stages else features
        if inputs.shape[1] != len(self.mean):
            raise PromptError(f"the head is for {len(self.mean):,} inputs, but the tower gives {inputs.shape[1]:,}.")
        centred = inputs - self.mean.to(features)
        return (line + centred @ self.weight.to(features))[:, None].to(dtype)

    def scores(self, features: Tensor) -> Tensor:
        """Return scores on the head's scale, ``(N, 1)``."""
        low, high = self.score_range
        share = self(features)
        if self.lower_better:
            share = 1 - share
        return low + (high - low) * share

    def record(self) -> dict[str, Any]:
        """Return the record of the head's scores."""
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
    return checkpoint.metadata.get("format", "").startswith(f"{_ANY_HEAD} ")


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
    head = read_head(path)
    weights = clip.weights
    check_backbone(path, head.metadata, weights.backbone)
    check_weights(path, head.metadata, weights)
    warn_of_positions(path, head.metadata, pos_embedding)
    if len(head.direction) != clip.width:
        raise PromptError(
            f"{path} is for features of {len(head.direction)} numbers, but {weights.backbone} gives {clip.width}: fit "
            "it again."
        )
    return head


def _check_tensors(path: FilePath, tensors: Mapping[str, Tensor], method: str, is_on_stages: bool) -> None:
    """Raise PromptError unless a head has its tensors, each with its shape."""
    for name in METHODS[method]:
        tensor = tensors.get(name)
        if tensor is None or tensor.dim() != 1 or not tensor.is_floating_point():
            raise PromptError(
                f"{path} is not a complete head: its tensor {name} is missing or no vector; fit it again."
            )
    lengths = {"prior": 2}
    if method == "ridge":
        inputs = len(tensors["mean"] if is_on_stages else tensors["direction"])
        lengths |= {"mean": inputs, "weight": inputs}
    for name, length in lengths.items():
        if len(tensors[name]) != length:
            raise PromptError(
                f"{path} is not a complete head: its tensor {name} must have {counted(length, 'number')}; got "
                f"{len(tensors[name])}: fit it again."
            )
