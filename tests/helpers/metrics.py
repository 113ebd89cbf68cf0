"""Metrics that the tests need in several places."""

from __future__ import annotations

from pathlib import Path

import torch

from clipiqa_pyiqa import CLIPIQA


def learned(weights: Path, context: dict | None = None, seed: int = 0, **options) -> CLIPIQA:
    """A metric with a seeded random context, as if it had been trained."""
    metric = CLIPIQA("clipiqa+", pretrained=False, clip_weights=weights, quick_gelu=True, context=context, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        metric.prompt_learner.ctx.add_(torch.randn(metric.prompt_learner.ctx.shape, generator=generator) * 0.02)
    return metric
