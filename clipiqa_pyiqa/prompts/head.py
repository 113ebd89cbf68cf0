"""Heads fitted to rated photos: they take the place of the antonym softmax."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..checks import FilePath
from ..clip.arithmetic import exact, sigmoid
from ..errors import PromptError
from ..files import write_bytes
from .pairs import PromptPair

HEAD_FORMAT = "clipiqa-pyiqa opinion head 1"
METHODS = {"affine": ("direction", "prior"), "ridge": ("direction", "prior", "mean", "weight")}
"""Method of a head -> its tensors."""


class OpinionHead(nn.Module):
    """Head that predicts people's scores from image features.

    ``'affine'`` is a linear function of the pair's (zero-shot) score; ``'ridge'`` adds one of all features.

    Args:
        tensors: ``direction`` ``(D,)``, whose product with a unit feature is the zero-shot logit; ``prior`` ``(2,)``,
            slope and offset of the first function; for ridge, ``mean`` and ``weight`` ``(K,)`` of the K inputs.
        metadata: Texts. Needed are ``method``, ``fit_on`` (``'features'`` or ``'stages'``), ``rated_photos``,
            ``score_range``, ``lower_better``, ``base_positive`` and ``base_negative``.
    """

    direction: Tensor
    prior: Tensor
    mean: Tensor
    weight: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]):
        super().__init__()
        self.metadata = dict(metadata)
        self.method = metadata["method"]
        self.is_on_stages = metadata["fit_on"] == "stages"
        self.rated_photos = int(metadata["rated_photos"])
        low, high = json.loads(metadata["score_range"])
        self.score_range: tuple[float, float] = (low, high)
        self.lower_better: bool = json.loads(metadata["lower_better"])
        self.pair = PromptPair("zero-shot", metadata["base_positive"], metadata["base_negative"])
        for name in METHODS[self.method]:
            self.register_buffer(name, tensors[name], persistent=False)

    def scores(self, features: Tensor) -> Tensor:
        """Return scores on the head's scale, ``(N, 1)``; features as for :meth:`forward`."""
        low, high = self.score_range
        share = self(features)
        if self.lower_better:
            share = 1 - share
        return low + (high - low) * share

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


def content_checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 in hex of tensors and of metadata, leaving out the field ``sha256``.

    Files of heads and of learned prompts have it in that field.
    """
    fields = {key: value for key, value in metadata.items() if key != "sha256"}
    shapes = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    sha256 = hashlib.sha256(json.dumps([fields, shapes], sort_keys=True).encode())
    for name in sorted(tensors):
        sha256.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()
