"""Heads fitted to rated photos: image features to scores as certain people give them, in place of a prompt's score.

A head keeps the zero-shot question that it began from, as the direction in feature space along which its logit grows,
so that it needs no text tower. It computes a share of the range of scores, high where the photo is good; on a scale of
its own it gives the scores that its people gave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from ..clip.model import FrozenCLIP
from ..errors import PromptError
from ..files.writing import write_bytes
from ..weights.checkpoint import first_bytes, open_checkpoint
from .antonym import sigmoid
from .files import check_made_on, check_sum, content_sum
from .pairs import PromptPair

FORMAT = "clipiqa-pyiqa opinion head 1"
METHODS = ("affine", "ridge", "cache")
_COMMON = ("direction", "prior")
_TENSORS = {
    "affine": _COMMON,
    "ridge": (*_COMMON, "mean", "weight"),
    "cache": (*_COMMON, "mean", "scale", "points", "shares"),
}


class OpinionHead(nn.Module):
    """Scores of images from their features, fitted to what people said of other images.

    ``'affine'`` is a line through the zero-shot score; ``'ridge'`` adds a linear function of all features; ``'cache'``
    is the mean of the line and of the scores of the rated photos, weighted by their similarity (Tip-Adapter's idea,
    Zhang et al., ECCV 2022).

    Args:
        tensors: ``direction`` ``(D,)``, whose product with a unit feature is the zero-shot logit; ``prior`` ``(2,)``,
            slope and offset of the line; ridge: ``mean`` and ``weight`` ``(K,)``; cache: ``mean``, ``scale`` ``(K,)``,
            unit ``points`` ``(n, K)`` and their ``shares`` ``(n,)`` of the range. K is D, or on ``'stages'`` the number
            of statistics.
        metadata: What the file says, see docs/prompts.md.
    """

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]):
        super().__init__()
        self.metadata = dict(metadata)
        self.method = metadata["method"]
        self.on_stages = metadata["fit_on"] == "stages"
        own = metadata["scale"] == "own"
        low, high = json.loads(metadata["score_range"]) if own else (0.0, 1.0)
        self.score_range: tuple[float, float] = (low, high)
        self.lower_better: bool = own and json.loads(metadata["lower_better"])
        self.pair = PromptPair("zero-shot", metadata["base_positive"], metadata["base_negative"])
        self._options: dict[str, float] = json.loads(metadata["options"])
        self._interval = json.loads(metadata["conformal"])
        self.half_width: float | None = self._interval and self._interval["half_width"]
        for name in _TENSORS[self.method]:
            self.register_buffer(name, tensors[name], persistent=False)

    direction: Tensor
    prior: Tensor
    mean: Tensor
    scale: Tensor
    weight: Tensor
    points: Tensor
    shares: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Return shares of the range, ``(N, 1)``, high is good; a photo unlike all rated ones may leave [0, 1].

        Args:
            features: ``(N, D)``, unit length; with the statistics of the stages behind them, ``(N, D + K)``, for a head
                that was fitted on these.
        """
        dim = len(self.direction)
        direction, slope, offset = self.direction.to(features), *self.prior.to(features)
        line = slope * sigmoid(features[:, :dim] @ direction) + offset
        if self.method == "affine":
            return line[:, None]
        x = (features[:, dim:] if self.on_stages else features) - self.mean.to(features)
        if self.method == "ridge":
            return (line + x @ self.weight.to(features))[:, None]
        cosines = F.normalize(x / self.scale.to(features), dim=1) @ self.points.to(features).T
        weights = (self._options["sharpness"] * (cosines - 1)).exp()  # (N, n)
        trust = self._options["trust"]
        return ((trust * line + weights @ self.shares.to(features)) / (trust + weights.sum(1)))[:, None]

    def scores(self, features: Tensor, interval: bool = False) -> Tensor:
        """Return scores on the head's scale, ``(N, 1)``; with lower and upper bounds, ``(N, 3)``, if it has any."""
        share = self(features)
        low, high = self.score_range
        if interval and self.half_width is not None:
            bounds = [  # within the range, which the score itself may leave
                (share - self.half_width).maximum(share.clamp(max=0)),
                (share + self.half_width).minimum(share.clamp(min=1)),
            ]
            share = torch.cat([share, *(reversed(bounds) if self.lower_better else bounds)], dim=1)
        return low + (high - low) * (1 - share if self.lower_better else share)

    def columns(self, name: str, interval: bool) -> tuple[str, ...]:
        """Return the names of the columns of :meth:`scores`."""
        return (name, f"{name}_lower", f"{name}_upper") if interval and self.half_width is not None else (name,)

    def records(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return what the columns of :meth:`scores` hold, as provenance has it: name -> record."""
        head = {
            "sha256": self.content_hash(),
            "method": self.method,
            "fit_on": self.metadata["fit_on"],
            "rated_photos": int(self.metadata["rated_photos"]),
            "interval": self._interval,
        }
        record = {"range": list(self.score_range), "lower_better": self.lower_better, "head": head}
        ends: tuple[dict[str, str], ...] = ({}, {"statistic": "lower"}, {"statistic": "upper"})
        return {name: {**record, **end} for name, end in zip(names, ends, strict=False)}

    def content_hash(self) -> str:
        """Return the SHA-256 of everything that scores depend on but their range."""
        return content_sum(self._tensors(), {name: self.metadata[name] for name in ("method", "options", "conformal")})

    def save(self, path: str | Path) -> None:
        """Write the head, so that a reader sees the whole file or none.

        Raises:
            PromptError: The suffix is not ``.safetensors``.
            OutputError: The file cannot be written.
        """
        if Path(path).suffix != ".safetensors":
            raise PromptError(f"a head is written to a .safetensors file; got {str(path)!r}.")
        tensors = self._tensors()
        write_bytes(path, save(tensors, {**self.metadata, "sha256": content_sum(tensors, self.metadata)}))

    def _tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).detach().cpu().contiguous() for name in _TENSORS[self.method]}


def is_head(metadata: Mapping[str, str]) -> bool:
    """Return whether a file with this metadata holds a head, of whatever version."""
    return metadata.get("format", "").startswith(FORMAT[:-1])


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return what a .safetensors file says about itself; nothing for other files.

    Raises:
        WeightsError: The file is missing, empty or damaged.
    """
    path = Path(path).expanduser()
    return dict(open_checkpoint(path).metadata) if first_bytes(path)[8:9] == b"{" else {}


def read_head(path: str | Path) -> OpinionHead:
    """Read a head.

    Args:
        path: A file of :meth:`OpinionHead.save`.

    Raises:
        WeightsError: The file is missing, empty or damaged.
        PromptError: It holds no head of this version, or is damaged.
    """
    checkpoint = open_checkpoint(Path(path).expanduser())
    tensors, metadata = dict(checkpoint), dict(checkpoint.metadata)
    if metadata.get("format") != FORMAT:
        raise PromptError(f"{path} must hold a {FORMAT!r}; got {metadata.get('format', 'no format')!r}.")
    check_sum(path, tensors, metadata)
    del metadata["sha256"]
    try:
        return OpinionHead(tensors, metadata)
    except (KeyError, ValueError, TypeError) as error:
        raise PromptError(f"{path} is not a complete head ({error!r}): fit it again.") from error


def load_head(path: str | Path, clip: FrozenCLIP, pos_embedding: str | None = None) -> OpinionHead:
    """Read a head, for a metric on a CLIP.

    Args:
        path: As for :func:`read_head`.
        clip: The metric's.
        pos_embedding: The metric's; a warning is logged if the head was fitted with another.

    Raises:
        WeightsError, PromptError: As :func:`read_head`, and for a head of another backbone or of other weights.
    """
    head, weights = read_head(path), clip.weights
    check_made_on(path, head.metadata, weights.backbone, pos_embedding)
    if head.metadata.get("weights_sha256") != weights.sha256:
        raise PromptError(
            f"{path} was fitted on other weights of {weights.backbone} than the metric's ({weights.short}): pass "
            f"clip_weights with those ({head.metadata.get('weights')}), or fit it again."
        )
    return head
