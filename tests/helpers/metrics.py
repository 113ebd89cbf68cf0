"""Metrics that the tests need in several places."""

from types import SimpleNamespace

import torch
from draws import normal
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA


def learned(weights, **options):
    """A metric with a seeded random context, as if it had been trained."""
    metric = CLIPIQA("clipiqa+", pretrained=False, clip_weights=weights, quick_gelu=True, **options)
    ctx = metric.prompt_learner.ctx
    with torch.no_grad():
        ctx.add_(normal(ctx.shape) * 0.02)
    return metric


DIM = 192


class FakeMetric:
    """What a store needs of a metric: cheap features that differ with every pixel, and what they depend on."""

    head, precision, pos_embedding = None, "fp32", "fixed"
    encoding = CLIPIQA.encoding

    def __init__(self, **changed):
        vars(self).update(changed)
        weights = SimpleNamespace(**{"backbone": "mini", "sha256": "a", "quick_gelu": True, **changed})
        self.clip = SimpleNamespace(weights=weights, has_positions=False)
        self.encoded = 0

    def encode_image(self, x):
        self.encoded += len(x)
        weights = torch.linspace(0.5, 1.5, x[0].numel()).view(x.shape[1:])
        parts = (x * weights).flatten(1).unflatten(1, (DIM, -1)).sum(-1)
        return F.normalize(parts, dim=-1)
