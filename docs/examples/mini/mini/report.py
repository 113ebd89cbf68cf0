"""What the training script prints about photos, groups and windows that a fold had left out."""

from __future__ import annotations

import numpy as np
from scipy.stats import pearsonr, rankdata, spearmanr

from .data import Rated
from .words import AXES

# By which question each kind of local damage should be told.
TOLD_BY = {"blur": "sharpness", "noise": "noisiness", "brightness": "brightness", "darken": "brightness",
           "jpeg": "quality", "camera": "noisiness", "rescale": "sharpness", "motion": "sharpness",
           "contrast": "contrast"}  # fmt: skip


def opinion_report(score: np.ndarray, rated: Rated) -> str:
    """Agreement with people over all photos and within each source."""
    source = rated.sources()
    within = {one: spearmanr(score[source == one], rated.mos[source == one]).statistic for one in np.unique(source)}
    inner = "  ".join(f"{one} {value:.3f}" for one, value in within.items())
    over_all = spearmanr(score, rated.mos).statistic, pearsonr(score, rated.mos).statistic
    return ("out of fold: SROCC {:.4f}  PLCC {:.4f}".format(*over_all) +
            f"  within {inner}  mean {np.mean(list(within.values())):.4f}")  # fmt: skip


def area(lower: np.ndarray, higher: np.ndarray) -> float:
    """Area under the ROC curve: how often `lower` is below `higher`."""
    ranks = rankdata(np.concatenate([higher, lower]))[: len(higher)]
    return float((ranks.mean() - (len(higher) + 1) / 2) / len(lower))


def local_report(logits: np.ndarray, window: dict[str, np.ndarray], kinds: list[str]) -> str:
    """Area under the curve of changed against untouched windows, mean over photos; all strengths drawn."""
    found: dict[str, list[float]] = {}
    for index in np.unique(window["window"]):
        mine = window["window"] == index
        changed = window["changed"][mine]
        kind = kinds[window["kind"][mine][0]]
        axis = AXES.index(TOLD_BY[kind])
        values = logits[mine, 0, axis]
        if changed.any() and not changed.all():
            if (window["target"] - window["original"])[mine][changed, axis].mean() > 0:
                values = -values  # brighter, not darker
            found.setdefault(kind, []).append(area(values[changed], values[~changed]))
    return "local, out of fold, area under the curve: " + "  ".join(f"{k} {np.mean(v):.3f}" for k, v in found.items())
