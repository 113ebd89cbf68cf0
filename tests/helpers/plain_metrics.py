"""Metrics for tests that know of the package nothing but its public names: of brightness, and with learned prompts."""

import torch
from tensors import normal

from clipiqa_pyiqa import CLIPIQA


class Bright:
    """A metric of any tool: the mean of an image's pixels. ``{"bright": Bright()}`` names its column."""

    lower_better, score_range = False, (0, 1)

    def __init__(self, version="1"):
        self.version = version

    def __call__(self, x):
        return x.mean((1, 2, 3))


def learned(weights, **options):
    """A metric with a seeded random context, as if it had been trained."""
    metric = CLIPIQA("clipiqa+", pretrained=False, clip_weights=weights, quick_gelu=True, **options)
    ctx = metric.prompt_learner.ctx
    with torch.no_grad():
        ctx.add_(normal(ctx.shape) * 0.02)
    return metric
