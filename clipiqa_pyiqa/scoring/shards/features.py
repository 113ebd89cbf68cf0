"""Scores of stored image features."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch

from ...errors import CLIPIQAError, Kind
from ...sources.embeddings import EmbeddingsShard
from ..engine import rounded
from ..metrics import MetricSet
from ..rows import Row
from ..score import ScoringSetup


def check_features(metrics: MetricSet) -> None:
    """Raise ``CLIPIQAError`` if a metric needs more than one final CLIP feature per image."""
    for metric in metrics.metrics:
        net = metric.net
        on_stages = getattr(getattr(net, "head", None), "on_stages", False)
        if not hasattr(net, "clip") or on_stages or getattr(getattr(net, "view", None), "dims", 2) != 2:
            name = f"metric {metric.spec.label!r}" if metric.spec.label else "this metric"
            raise CLIPIQAError(f"embeddings hold one final CLIP feature per image, but {name} needs more.")
    backbones = {metric.net.clip.weights.backbone: None for metric in metrics.metrics}
    if len(backbones) > 1:
        raise CLIPIQAError(f"embeddings need metrics of one backbone; got metrics of {', '.join(backbones)}.")


def feature_rows(work: ScoringSetup, shard: EmbeddingsShard) -> Iterator[Row]:
    metrics, numbers = work.metrics.metrics, itertools.count()
    clip = metrics[0].net.clip
    for features, kept in shard.blocks(clip.width, clip.weights.backbone):
        units = torch.nn.functional.normalize(torch.from_numpy(features), dim=1)
        is_usable = (units.norm(dim=1) > 0.5).tolist()  # False for NaN
        units = units.where(torch.tensor(is_usable)[:, None], clip.width**-0.5).to(work.device)
        with torch.no_grad():
            scores = rounded(torch.cat([metric.score_features(units) for metric in metrics], dim=1))
        for values, beside, usable in zip(scores, kept, is_usable, strict=True):
            path = f"{shard.name}::{next(numbers)}"
            if usable and all(map(math.isfinite, values)):
                yield Row(path, values, kept=beside)
            else:
                error = f"{path!r} cannot be scored: its features are zero or not finite."
                yield Row(path, kind=Kind.NOT_FINITE, error=error, kept=beside)
