"""A cheap stand-in for CLIPIQA, whose score is the image's mean brightness.

Each further prompt pair's score is half the one before, so that columns can be told apart.
"""

import math
import os
import time
from itertools import chain

import torch

from clipiqa_pyiqa.prompts.antonym import column_means
from clipiqa_pyiqa.prompts.pairs import Columns, parse_prompts
from clipiqa_pyiqa.prompts.records import question_record


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
        pairs = [*chain.from_iterable(prompts.values())] if isinstance(prompts, Columns) else prompts or [None]
        scores = features * 0.5 ** torch.arange(len(pairs))
        if isinstance(prompts, Columns):
            return column_means(scores, [*map(len, prompts.values())])
        return scores.mean(1, keepdim=True) if aggregate == "mean" else scores

    def provenance(self):
        scores = {
            name: {**question_record(parse_prompts()), "lower_better": self.lower_better} for name in self.columns
        }
        return {"metric": "brightness", "precision": "fp32", "scores": scores}


def main():
    from clipiqa_pyiqa.workbench.commands import main
    from clipiqa_pyiqa.workbench.metrics import building

    seconds = os.environ.get("STANDIN_SECONDS", 0)
    stall = os.environ.get("STANDIN_STALL", "inf")
    standin = Brightness(float(seconds), float(stall))
    building.create_ours = lambda *_, **__: standin
    return main()
