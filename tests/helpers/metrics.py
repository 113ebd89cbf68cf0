"""Metrics for tests: one of brightness, one with cheap features; a fitted head.

Each further prompt pair's score is half the one before, so that columns can be told apart.
"""

import math
import os
import time
from itertools import chain
from types import SimpleNamespace

import torch
from tensors import normal
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.prompts.antonym import column_means
from clipiqa_pyiqa.prompts.head import HEAD_FORMAT, OpinionHead
from clipiqa_pyiqa.prompts.pairs import QuestionsByColumn, parse_prompts, question_record
from clipiqa_pyiqa.weights.checkpoint import TowerKind


class Brightness:
    """What scoring needs of a metric, and a record of what it was given.

    Args:
        seconds: How long encoding one image takes.
        stall: After how many images it hangs, so that a signal is sure to find it at work.
    """

    lower_better = False

    def __init__(self, seconds=0.0, stall=math.inf):
        self.seconds, self.stall = seconds, stall
        self.columns = ("quality",)
        self.batches = []

    def encode_image(self, x):
        assert x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
        self.batches.append(tuple(x.shape))
        time.sleep(self.seconds * len(x))
        if sum(shape[0] for shape in self.batches) > self.stall:
            time.sleep(300)
        return x.double().mean(dim=(1, 2, 3))[:, None].float()

    def score(self, features, prompts=None, aggregate="mean"):
        pairs = (
            [*chain.from_iterable(prompts.values())] if isinstance(prompts, QuestionsByColumn) else prompts or [None]
        )
        scores = features * 0.5 ** torch.arange(len(pairs))
        if isinstance(prompts, QuestionsByColumn):
            return column_means(scores, [*map(len, prompts.values())])
        return scores.mean(1, keepdim=True) if aggregate == "mean" else scores

    def provenance(self):
        scores = {
            name: {**question_record(parse_prompts()), "lower_better": self.lower_better} for name in self.columns
        }
        return {"metric": "brightness", "precision": "fp32", "scores": scores}


def main_with_brightness():
    """The command line, which builds a metric of brightness in place of CLIP-IQA."""
    from clipiqa_pyiqa.workbench.commands import main
    from clipiqa_pyiqa.workbench.metrics import building

    seconds = os.environ.get("STANDIN_SECONDS", 0)
    stall = os.environ.get("STANDIN_STALL", "inf")
    standin = Brightness(float(seconds), float(stall))
    building.create_ours = lambda *_, **__: standin
    return main()


def save_head(metric, path):
    """Write a head for a metric's CLIP, as if it had been fitted to 9 photos on a scale from 1 to 5."""
    weights = metric.clip.weights
    fields = {
        "format": HEAD_FORMAT, "backbone": weights.backbone, "weights_sha256": weights.sha256, "method": "affine",
        "fit_on": "features", "rated_photos": "9", "score_range": "[1, 5]", "lower_better": "false",
        "base_positive": "Sharp photo.", "base_negative": "Blurry photo.",
    }  # fmt: skip
    tensors = {"direction": normal(metric.clip.width), "prior": torch.tensor([0.9, 0.05])}
    OpinionHead(tensors, fields).save(path)


DIM = 192


class FakeMetric:
    """What a store needs of a metric: cheap features that differ with every pixel, and what they depend on."""

    head, precision, pos_embedding, has_fixed_input = None, "fp32", "fixed", True
    encoding = CLIPIQA.encoding

    def __init__(self, **changed):
        vars(self).update(changed)
        weights = SimpleNamespace(**{"backbone": "mini", "sha256": "a", "quick_gelu": True, **changed})
        self.clip = SimpleNamespace(weights=weights, tower_kind=TowerKind.MINI)
        self.encoded = 0

    def encode_image(self, x):
        self.encoded += len(x)
        weights = torch.linspace(0.5, 1.5, x[0].numel()).view(x.shape[1:])
        parts = (x * weights).flatten(1).unflatten(1, (DIM, -1)).sum(-1)
        return F.normalize(parts, dim=-1)
