"""Several metrics as one metric with a column each; the metrics share the encoding of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..clip.model import FrozenCLIP
from ..errors import CLIPIQAError, nearest
from ..metric import CLIPIQA
from ..prompts.files import PUBLISHED
from . import MEMBERS, create_member


class Together:
    """Several metrics as one metric, with a column each.

    Args:
        nets: column -> a :class:`~clipiqa_pyiqa.CLIPIQA` or a metric of the family, each with one score per image.
    """

    template = None

    def __init__(self, nets: Mapping[str, Any]):
        self.nets = dict(nets)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.nets)

    @property
    def clip(self) -> FrozenCLIP:
        return next(iter(self.nets.values())).clip

    def encode_image(self, x: Tensor) -> dict[Any, Tensor]:
        """Return the features for each value of ``encoding``."""
        for net in self.nets.values():
            net.check(x)
        return {encoding: net.encode_unchecked(x) for encoding, net in self._by_encoding().items()}

    def score(self, features: Mapping[Any, Tensor] | Tensor, prompts: Any = None) -> Tensor:
        """Return scores ``(N, C)`` of features from :meth:`encode_image`, or of features ``(N, D)`` for all metrics."""
        if prompts is not None:
            raise CLIPIQAError("prompts must be None: each of several metrics has its own prompts.")
        by_encoding = dict.fromkeys(self._by_encoding(), features) if isinstance(features, Tensor) else features
        return torch.cat([net.score(by_encoding[net.encoding]) for net in self.nets.values()], dim=1)

    def provenance(self) -> dict[str, Any]:
        shared: dict[str, Any] = {}
        scores = {}
        for column, net in self.nets.items():
            fields = net.provenance()
            (record,) = fields.pop("scores").values()
            shared |= {key: fields.pop(key) for key in ("version", "cpu_arithmetic") if key in fields}
            scores[column] = {**fields, **record}
        return {**shared, "scores": scores}

    def _by_encoding(self) -> dict[Any, Any]:
        return {net.encoding: net for net in self.nets.values()}


def create_metrics(metrics: Iterable[tuple[str, str, Mapping[str, Any]]], device: torch.device) -> Together:
    """Return the metrics of one run.

    Args:
        metrics: for each metric its column, pyiqa's name and its options.

    Raises:
        CLIPIQAError: a metric is unknown, needs captions or cannot be built, or two columns have the same name.
    """
    nets: dict[str, Any] = {}
    for column, name, options in metrics:
        if column in nets:
            raise CLIPIQAError(f"two metrics are called {column!r}: rename one of them, as in 'mine={name}'.")
        try:
            nets[column] = _create(name, dict(options)).to(device).eval()
        except TypeError as error:  # an unknown option
            raise CLIPIQAError(f"metric {column!r}: {error}.") from error
        if len(nets[column].columns) != 1:
            raise CLIPIQAError(f"metric {column!r} must give one score for each image: leave out aggregate.")
    return Together(nets)


def _create(name: Any, options: dict[str, Any]) -> Any:
    if name in ("clipiqa", *PUBLISHED):
        if name in PUBLISHED and "pretrained_model_path" not in options:
            published = PUBLISHED[name]
            options = {"backbone": published.backbone, "pos_embedding": published.pos_embedding, **options}
        return CLIPIQA(name, **options)
    known = ["clipiqa", *PUBLISHED, *(each for each, kind in MEMBERS.items() if not kind.takes_captions)]
    if name not in known:
        raise CLIPIQAError(f"metric {name!r} is unknown, does not use CLIP, or needs captions: {nearest(name, known)}")
    return create_member(name, **options)
