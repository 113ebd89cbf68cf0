"""Heads fitted to rated photos, which score instead of prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from ..clip.model import FrozenCLIP
from ..errors import PromptError
from ..files.writing import write_bytes
from ..weights.checkpoint import open_checkpoint
from .antonym import exact, sigmoid
from .files import check_checksum, check_origin, content_checksum
from .pairs import PromptPair

FORMAT = "clipiqa-pyiqa opinion head 1"
_TENSORS = {"affine": ("direction", "prior"), "ridge": ("direction", "prior", "mean", "weight")}


class OpinionHead(nn.Module):
    """Head that predicts people's scores from image features.

    ``'affine'`` is a linear function of the pair's (zero-shot) score; ``'ridge'`` adds one of all features.

    Args:
        tensors: ``direction`` ``(D,)``, whose product with a unit feature is the zero-shot logit; ``prior`` ``(2,)``,
            slope and offset of the first function; for ridge, ``mean`` and ``weight`` ``(K,)`` of the K inputs.
    """

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]):
        super().__init__()
        self.metadata = dict(metadata)
        self.method = metadata["method"]
        self.on_stages = metadata["fit_on"] == "stages"
        has_own_scale = metadata["scale"] == "own"
        low, high = json.loads(metadata["score_range"]) if has_own_scale else (0.0, 1.0)
        self.score_range: tuple[float, float] = (low, high)
        self.lower_better: bool = has_own_scale and json.loads(metadata["lower_better"])
        self.pair = PromptPair("zero-shot", metadata["base_positive"], metadata["base_negative"])
        for name in _TENSORS[self.method]:
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
        x = (features[:, dim:] if self.on_stages else features) - self.mean.to(features)
        return (line + x @ self.weight.to(features))[:, None].to(dtype)

    def scores(self, features: Tensor) -> Tensor:
        """Return scores on the head's scale, ``(N, 1)``."""
        share, (low, high) = self(features), self.score_range
        return low + (high - low) * (1 - share if self.lower_better else share)

    def record(self) -> dict[str, Any]:
        head = {
            "sha256": self.content_hash(),
            "method": self.method,
            "fit_on": self.metadata["fit_on"],
            "rated_photos": int(self.metadata["rated_photos"]),
        }
        return {"range": list(self.score_range), "lower_better": self.lower_better, "head": head}

    def content_hash(self) -> str:
        return content_checksum(self._tensors(), {"method": self.method})

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` file; raise PromptError for another suffix."""
        if Path(path).suffix != ".safetensors":
            raise PromptError(f"the file of a head must end in .safetensors; got {str(path)!r}.")
        tensors = self._tensors()
        write_bytes(path, save(tensors, {**self.metadata, "sha256": content_checksum(tensors, self.metadata)}))

    def _tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).detach().cpu().contiguous() for name in _TENSORS[self.method]}


def is_head(metadata: Mapping[str, str]) -> bool:
    return metadata.get("format", "").startswith(FORMAT[:-1])


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return a ``.safetensors`` file's metadata, or an empty dict for other files."""
    return dict(open_checkpoint(path).metadata)


def read_head(path: str | Path) -> OpinionHead:
    """Return the head in a file; raise PromptError if the file holds no head."""
    checkpoint = open_checkpoint(path)
    tensors, metadata = dict(checkpoint), dict(checkpoint.metadata)
    if metadata.get("format") != FORMAT:
        raise PromptError(f"{path} must be a file of format {FORMAT!r}; got {metadata.get('format')!r}.")
    check_checksum(path, tensors, metadata)
    try:
        return OpinionHead(tensors, metadata)
    except (KeyError, ValueError, TypeError) as error:
        raise PromptError(f"{path} is not a complete head ({error!r}): fit it again.") from error


def load_head(path: str | Path, clip: FrozenCLIP, pos_embedding: str) -> OpinionHead:
    """Return the head in a file; raise PromptError if it was fitted on other weights."""
    head, weights = read_head(path), clip.weights
    check_origin(path, head.metadata, weights.backbone, pos_embedding)
    if head.metadata.get("weights_sha256") != weights.sha256:
        raise PromptError(
            f"{path} was fitted on other weights of {weights.backbone} ({head.metadata.get('weights')}) than the "
            f"metric's ({weights.short}): pass the head's weights as clip_weights, or fit the head again."
        )
    return head
