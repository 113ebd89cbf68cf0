"""Metrics that the tests need in several places."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from clipiqa_pyiqa import CLIPIQA


def learned(weights, context=None, seed=0, **options):
    """A metric with a seeded random context, as if it had been trained."""
    metric = CLIPIQA("clipiqa+", pretrained=False, clip_weights=weights, quick_gelu=True, context=context, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        metric.prompt_learner.ctx.add_(torch.randn(metric.prompt_learner.ctx.shape, generator=generator) * 0.02)
    return metric


@dataclass
class Scored(Dataset):
    """The scores of images, worked out by whoever asks."""

    metric: CLIPIQA
    images: list[Tensor]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.metric(self.images[index])


DIM = 192


class Checkpoint:
    shapes: ClassVar = {"text_projection": (4, DIM)}


class FakeMetric:
    """What a store needs of a metric: cheap features that differ with every pixel, and a setup."""

    pos_embedding = "fixed"  # only the picture itself counts as memory

    def __init__(self, **setup):
        said = {"backbone": "RN50", "weights_sha256": "a" * 64, "quick_gelu": "true", "pos_embedding": "none"}
        self.setup = {**said, "precision": "fp32", "prompts": "any", **setup}
        self.clip = type("Clip", (), {"checkpoint": Checkpoint()})()
        self.encoded = 0

    def provenance(self):
        return self.setup

    def encode_image(self, x):
        self.encoded += len(x)
        weights = torch.linspace(0.5, 1.5, x[0].numel()).view(x.shape[1:])
        parts = (x * weights).flatten(1).unflatten(1, (DIM, -1)).sum(-1)
        return F.normalize(parts, dim=-1)
