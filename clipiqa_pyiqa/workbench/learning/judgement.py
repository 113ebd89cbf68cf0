"""Whether what was learned agrees better with people than the metric that it began with, on other images."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas
from numpy.typing import ArrayLike

from ...metric import CLIPIQA
from ...prompts.pairs import parse_prompts
from ...text import counted
from ..opinions.score_table import ScoreTable
from ..stats.arrays import Array
from ..stats.correlation import plcc, srocc, why_undefined
from ..stats.estimate import Estimate
from ..stats.metric_differences import paired_differences
from ..stats.significance import LEVEL, cases_needed

IMAGES = {"test": "test image", "val": "validation image"}
"""Held-out split -> what one of its images is, in words."""


@dataclass(frozen=True)
class Judgement:
    """The agreement with people of what was learned, beside that of the metric that it began with.

    Attributes:
        before, after: SROCC of both.
        plcc_before, plcc_after: PLCC of both.
        gain: ``after`` minus ``before``, with its 95 % interval and p-value; has a ``reason`` if there is none.
        images: Number of images.
        on: What one of them is, in words.
        advice: What to try, or empty.
    """

    before: float
    after: float
    plcc_before: float
    plcc_after: float
    gain: Estimate
    images: int
    on: str
    advice: str = ""

    @property
    def verdict(self) -> Literal["better", "worse", "no better", "unknown"]:
        """Whether the gain is more than chance; ``'unknown'``: there is no correlation to compare."""
        if self.gain.reason:
            return "unknown"
        if not self.gain.p < LEVEL:
            return "no better"
        return "better" if self.gain.value > 0 else "worse"

    def __str__(self) -> str:
        """Return a sentence with the verdict, the numbers and the advice."""
        than = "with people than the metric that it began with"
        advice = f"; {self.advice}" if self.advice else ""
        if self.verdict == "unknown":
            return f"it cannot be told whether it agrees better {than}: {self.gain.reason}{advice}"
        agrees = {"better": "agrees better", "worse": "agrees less well", "no better": "does not clearly agree better"}
        gain = f"{self.gain.value:+.4f} [{self.gain.low:+.4f}, {self.gain.high:+.4f}]"
        numbers = (
            f"SROCC {self.after:.4f}, before {self.before:.4f} ({gain}), PLCC {self.plcc_after:.4f}, before "
            f"{self.plcc_before:.4f}"
        )
        return f"it {agrees[self.verdict]} {than}: {numbers}, on {counted(self.images, self.on)}{advice}"

    def advised(self, tries: str, knows_ratings: bool, confirm: str = "") -> Judgement:
        """Return the same with what to try if nothing was gained, or with what confirms the gain.

        Args:
            knows_ratings: As :func:`knows_ratings` tells of the metric that it began with.
        """
        if self.verdict == "better":
            return replace(self, advice=confirm)
        if self.images < cases_needed(1):
            few = counted(self.images, "image")
            return replace(self, advice=f"judge it on more images, as {few} cannot show a difference")
        known = "mini learned people's ratings already: " if knows_ratings else ""
        return replace(self, advice=f"{known}try {tries}")


def knows_ratings(metric: CLIPIQA) -> bool:
    """Return whether a metric's tower learned people's ratings of what its prompts ask: mini, asked for quality."""
    return metric.clip.weights.backbone == "mini" and tuple(metric.prompts) == parse_prompts("quality")


def judgement_on(before: ArrayLike, after: ArrayLike, images: pandas.DataFrame, on: str, seed: int) -> Judgement:
    """Return a judgement without advice.

    Args:
        before, after: Scores ``(N,)``.
        images: Their ``target`` and ``group``; groups are resampled whole.
        on: What one of them is, in words, such as ``'test image'``.
    """
    scores = np.array([after, before], np.float64)
    targets = images["target"].to_numpy()
    reason = why_undefined(scores[0], targets) or why_undefined(scores[1], targets)
    gain = Estimate(math.nan, reason=reason)
    if not reason:
        groups = images["group"].factorize()[0]
        gain = paired_differences(scores, targets, seed=seed, groups=groups)[0, 1]
    return Judgement(
        before=srocc(scores[1], targets),
        after=srocc(scores[0], targets),
        plcc_before=plcc(scores[1], targets),
        plcc_after=plcc(scores[0], targets),
        gain=gain,
        images=len(images),
        on=on,
    )


def judgement_on_split(
    table: ScoreTable, split: str, before: Array, after: Array, learned_from: Collection[str], seed: int
) -> Judgement:
    """Return a judgement without advice on a held-out split.

    Images that share a photo or a scene with those that were learned from do not count.

    Args:
        before, after: Scores of the split's images.
        learned_from: The splits that were learned from.
    """
    images = table.part(split)
    known_groups = table.frame["group"][table.frame["split"].isin(learned_from)]
    is_new = ~images["group"].isin(known_groups).to_numpy()
    return judgement_on(before[is_new], after[is_new], images[is_new], IMAGES[split], seed)
