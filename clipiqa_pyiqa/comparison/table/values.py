"""The numbers of a table of methods: scores, means, ranks and paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas

from ...report.table import number
from ...scoring.metrics import BuiltMetric
from ...stats.bootstrap import holm
from ...stats.paired_means import mean_difference
from ..data_set_results import MetricResult
from ..differences import SIGNIFICANT
from .matching import MethodImages
from .protocols import NO_PROTOCOL, Protocol

_ORDER = ["test_set", "method", "metric", "better", "n", "mean", "sd", "rank", "difference", "low", "high", "p"]


@dataclass(frozen=True)
class MethodScores:
    """Scores of methods on one or several test sets.

    Attributes:
        scores: Columns ``test_set``, ``image``, ``method``, ``path``, and one per metric; NaN where a metric failed.
        sets: Columns ``test_set``, ``method``, and one per metric of whole sets.
        columns: Label -> result of the metric, in order.
        built: Label -> metric, or why it cannot be built.
        pictures: Files of the methods, matched by image.
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
    pictures: MethodImages
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
        return tuple(self.pictures.files)

    @property
    def test_sets(self) -> tuple[str, ...]:
        return tuple(self.pictures.test_sets)

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

    def lower_better(self, label: str) -> bool:
        return label in self.columns and self.columns[label].lower_better

    def pictures_scored(self, test_set: str, label: str) -> pandas.DataFrame:
        """Return a metric's scores (a column per method) of the images that have scores for every method."""
        rows = self.scores[self.scores["test_set"] == test_set]
        wide = rows.pivot(index="image", columns="method", values=label)
        wide = wide.reindex(index=list(self.pictures.test_sets[test_set]), columns=list(self.methods))
        return wide.dropna(axis=1, how="all").dropna()

    @cached_property
    def cells(self) -> pandas.DataFrame:
        rows = []
        for test_set in self.test_sets:
            found = {label: self._summaries(test_set, label) for label in self.columns}
            score = self.protocol.score
            if score and score not in self.columns:
                means = {m: {n: cells[m].get("mean", math.nan) for n, cells in found.items()} for m in self.methods}
                found[score] = {m: {"mean": self.protocol.combine(means[m], self.inputs)} for m in self.methods}
            for label, cells in found.items():
                better = "lower" if self.lower_better(label) else "higher"
                names = {"test_set": test_set, "metric": label, "better": better}
                rows += [{**names, "method": method, "n": 0, **cell} for method, cell in cells.items()]
        frame = pandas.DataFrame(rows, columns=_ORDER).astype(dict.fromkeys(_ORDER[5:], float))
        signed = frame["mean"].where(frame["better"] == "lower", -frame["mean"])
        groups = signed.groupby([frame["test_set"], frame["metric"]], sort=False)
        ranks = groups.rank("dense")
        frame["rank"] = ranks.where((ranks <= 2) & (groups.transform("nunique") > 1), 0).astype(int)
        frame["p Holm"] = pandas.Series(holm(frame["p"].dropna()), frame["p"].dropna().index, float)
        frame["significant"] = frame["p Holm"] < SIGNIFICANT
        return frame.set_index(["test_set", "metric", "method"])

    def _summaries(self, test_set: str, label: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {method: {} for method in self.methods}
        if label in self.sets:
            rows = self.sets[self.sets["test_set"] == test_set]
            return found | {m: {"mean": float(v)} for m, v in zip(rows["method"], rows[label], strict=True)}
        wide = self.pictures_scored(test_set, label)
        if wide.empty:
            return found
        weights = [self.pictures.weights.get(name, 1.0) for name in wide.index]
        is_even = len(set(weights)) == 1
        for method, values in wide.items():
            mean = values.mean() if is_even else np.average(values, weights=weights)
            found[str(method)] = {"n": len(wide), "mean": float(mean), "sd": float(values.std(ddof=1))}
            if is_even and method != self.baseline and self.baseline in wide:
                apart = mean_difference(values, wide[self.baseline])
                numbers = {"difference": apart.value, "low": apart.low, "high": apart.high, "p": apart.p}
                found[str(method)] |= numbers
        return found

    def frame(self) -> pandas.DataFrame:
        """Return a row per test set, metric and method, in full precision.

        Columns: test_set, method, metric, better, n (images with scores for all methods; 0 for a whole set), mean,
        sd, rank (1, 2, otherwise 0). Columns for the paired difference from the baseline: difference, low, high, p,
        p Holm, significant.
        """
        return self.cells.reset_index()[[*_ORDER, "p Holm", "significant"]]

    def spread(self) -> pandas.Series:
        """Return how much the methods differ on each image, the largest first; the index is test_set, image.

        For each metric: highest minus lowest score, in standard deviations of the test set; then the mean over metrics.
        """
        scores = self.scores.set_index(["test_set", "image"])[self.of_images]
        pictures = (scores / scores.groupby("test_set").transform("std", ddof=0)).groupby(level=[0, 1], sort=False)
        return (pictures.max() - pictures.min()).mean(axis=1).sort_values(ascending=False, kind="stable")

    @cached_property
    def _largest(self) -> pandas.Series:
        return self.cells["mean"].abs().groupby(level="metric").max()

    def digits(self, label: str) -> int:
        """Return the decimals of means: two if a mean is at least 10, otherwise four."""
        return 2 if self._largest[label] >= 10 else 4


def shown(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else number(value, digits)
