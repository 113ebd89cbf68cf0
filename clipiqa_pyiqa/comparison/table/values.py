"""The numbers of a table of methods: scores, means, ranks and paired differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas

from ...report.table import number
from ...scoring.metrics import BuiltMetric
from ...stats.bootstrap import holm
from ...stats.paired_means import LEVEL, mean_difference
from ..data_set_results import MetricResult
from .matching import MethodImages
from .protocols import NO_PROTOCOL, Protocol

_NUMBERS = ["n", "mean", "sd", "difference", "low", "high", "p"]


@dataclass(frozen=True)
class MethodScores:
    """Scores of methods on one or several test sets.

    Attributes:
        scores: Columns ``test_set``, ``image``, ``method``, ``path``, and one per metric; NaN where a metric failed.
        sets: Columns ``test_set``, ``method``, and one per metric of whole sets.
        columns: Label -> result of the metric, in order.
        built: Label -> metric, or why it cannot be built.
        images: Files of the methods, matched by image.
        inputs: Numbers given for the protocol's formula.
        notes: Sentences on the numbers.
        expected: Published and computed numbers, or None.
        explained: Result of :func:`~.published.explain`, or None.
        changed: Result of :func:`~.lock.compare_locks`; None without a lock.
        sd: Whether tables show standard deviations.
    """

    scores: pandas.DataFrame
    sets: pandas.DataFrame
    columns: dict[str, MetricResult]
    built: Mapping[str, BuiltMetric | str]
    images: MethodImages
    baseline: str
    protocol: Protocol = NO_PROTOCOL
    inputs: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    expected: pandas.DataFrame | None = None
    explained: pandas.DataFrame | None = None
    changed: pandas.DataFrame | None = None
    sd: bool = True

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.images.files)

    @property
    def test_sets(self) -> tuple[str, ...]:
        return tuple(self.images.test_sets.unique())

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys([*self.columns, *filter(None, [self.protocol.score])]))

    @property
    def of_images(self) -> list[str]:
        return [label for label in self.columns if label in self.scores]

    @property
    def complete(self) -> bool:
        lost = self.scores[self.of_images].isna().any(axis=None)
        return not lost and not any(metric.error or metric.note for metric in self.columns.values())

    @property
    def agrees(self) -> bool:
        """Whether all published numbers and the lock agree with the computed numbers."""
        is_as_published = self.expected is None or bool(self.expected["agrees"].all())
        return is_as_published and (self.changed is None or not self.changed["judged"].any())

    def mean(self, test_set: str, label: str, method: str) -> float:
        """Return a method's mean score, or its value for a whole set."""
        return float(self.cells.at[(test_set, label, method), "mean"])

    @cached_property
    def cells(self) -> pandas.DataFrame:
        """The columns of :meth:`frame`, by test set, metric and method."""
        keys = ["test_set", "metric", "method"]
        index = pandas.MultiIndex.from_product([self.test_sets, self.labels, self.methods], names=keys)
        found = {key: self._summary(*key) for key in itertools.product(self.test_sets, self.columns)}
        frame = pandas.concat(found, names=keys).reindex(index, columns=_NUMBERS)
        if (score := self.protocol.score) and score not in self.columns:
            for (test_set, method), means in frame["mean"].unstack("metric").iterrows():
                frame.at[(test_set, score, method), "mean"] = self.protocol.combine(means.to_dict(), self.inputs)
        better = index.get_level_values("metric").map({label: each.direction for label, each in self.columns.items()})
        groups = frame["mean"].where(better == "lower", -frame["mean"]).groupby(level=keys[:2])
        ranks = groups.rank("dense").where(groups.transform("nunique") > 1)
        p = frame["p"].dropna()
        frame["p Holm"] = pandas.Series(holm(p), p.index)
        return frame.assign(
            better=better.fillna("higher"),
            n=frame["n"].fillna(0).astype(int),
            rank=ranks.where(ranks <= 2, 0).astype(int),
            significant=frame["p Holm"] < LEVEL,
        )

    def _summary(self, test_set: str, label: str) -> pandas.DataFrame:
        """Return a row per method, of the images that have scores for every method; columns of ``_NUMBERS``."""
        scores = self.sets if label in self.sets else self.scores
        rows = scores[scores["test_set"] == test_set]
        if label in self.sets:
            return rows.set_index("method")[[label]].set_axis(["mean"], axis="columns")
        wide = rows.pivot(index="image", columns="method", values=label).dropna(axis=1, how="all").dropna()
        if wide.empty:
            return pandas.DataFrame()
        weights = self.images.weights
        means = np.average(wide, axis=0, weights=None if weights is None else weights[wide.index])
        found = pandas.DataFrame({"n": len(wide), "mean": means, "sd": wide.std()})
        if weights is None and self.baseline in wide:
            for method in wide.columns.drop(self.baseline):
                apart = mean_difference(wide[method], wide[self.baseline])
                found.loc[method, ["difference", "low", "high", "p"]] = apart.value, apart.low, apart.high, apart.p
        return found

    def frame(self) -> pandas.DataFrame:
        """Return a row per test set, metric and method, in full precision.

        Columns: test_set, method, metric, better, n (images with scores for all methods; 0 for a whole set), mean,
        sd, rank (1, 2, otherwise 0). Columns for the paired difference from the baseline: difference, low, high, p,
        p Holm, significant.
        """
        names = ["test_set", "method", "metric", "better", "n", "mean", "sd", "rank", *_NUMBERS[3:], "p Holm"]
        return self.cells.reset_index()[[*names, "significant"]]

    def spread(self) -> pandas.Series:
        """Return how much the methods differ on each image, the largest first; the index is test_set, image.

        For each metric: highest minus lowest score, in standard deviations of the test set; then the mean over metrics.
        """
        scores = self.scores.set_index(["test_set", "image"])[self.of_images]
        images = (scores / scores.groupby("test_set").transform("std", ddof=0)).groupby(level=[0, 1], sort=False)
        return (images.max() - images.min()).mean(axis=1).sort_values(ascending=False, kind="stable")

    def digits(self, label: str) -> int:
        """Return the decimals of means: two if a mean is at least 10, otherwise four."""
        return 2 if self.cells["mean"].xs(label, level="metric").abs().max() >= 10 else 4


def shown(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else number(value, digits)
