"""Results of metrics on one data set."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pandas import DataFrame, Series

from ..opinions.published import ALL_IMAGES, CORRELATIONS, PublishedRow, find_published
from ..stats.agreement import FITTED, correlations
from ..stats.correlation import STATISTICS, why_undefined
from ..stats.estimate import Estimate
from ..stats.metric_differences import paired_differences
from ..stats.significance import LEVEL, holm
from ..stats.within_groups import TOP, WITHIN, within
from .metric_result import MetricResult

_RESAMPLES = 4000
"""Least number of resamples: up to fifty pairs of metrics take it, so that one more metric changes no difference."""
_RESAMPLES_PER_PAIR = 80
"""Least number of resamples for each pair: the lowest possible p-value is 0.005 for ten pairs after the correction,
and never above LEVEL / 2.
"""


@dataclass(frozen=True)
class DataSetResult:
    """The results of all metrics on one data set.

    Attributes:
        scores: A row per image that could be read, a column per metric; NaN where a metric failed.
        mos: Opinion scores on the data set's scale; empty without opinion scores.
        metrics: Label -> what is known of the metric.
        mos_lower_better: Whether low opinion scores are good (DMOS).
        skipped: Image -> why it could not be read.
        note: What a reader must know of the images, in phrases.
        published_as: Name of the data set in the published correlations, or empty.
        source: See :class:`~clipiqa_pyiqa.workbench.opinions.data_set.DataSet`.
        unfinished: Metrics of an earlier run that are left out, as it did not score all images by them.
        bootstrap: Number of resamples for intervals; 0 without intervals.
        fit: Number of parameters of a logistic fit; 0 without a fit.
        groups: Image -> group; adds the statistics within groups.
        part: Which images of the data set these are.
    """

    name: str
    scores: DataFrame
    mos: Series
    metrics: Mapping[str, MetricResult]
    mos_lower_better: bool = False
    skipped: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    published_as: str = ""
    source: Mapping[str, str] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    bootstrap: int = 1000
    seed: int = 0
    fit: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)
    part: str = ALL_IMAGES

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Label -> statistic -> estimate (positive for a good metric; NaN without opinion scores)."""
        return {label: self._estimates_of(label) for label in self.metrics}

    def _estimates_of(self, label: str) -> dict[str, Estimate]:
        """Return statistic -> estimate of a metric."""
        error = self.metrics[label].error
        if error or self.mos.empty:
            return self._no_estimates(error)
        scores = self.oriented_scores[label].dropna()
        mos = self.oriented_mos[scores.index]
        reason = why_undefined(self.scores.loc[scores.index, label], self.mos[scores.index])
        if reason:
            return self._no_estimates(reason)
        estimates = correlations(scores, mos, bootstrap=self.bootstrap, seed=self.seed, fit=self.fit)
        if self.groups:
            groups = [self.groups[name] for name in scores.index]
            estimates |= within(scores, mos, groups, bootstrap=self.bootstrap, seed=self.seed)
        return estimates

    def _no_estimates(self, reason: str) -> dict[str, Estimate]:
        return dict.fromkeys(self.statistics, Estimate(math.nan, reason=reason))

    @cached_property
    def pairs(self) -> DataFrame:
        """A row per statistic and pair of metrics, with the first minus the second on the images that both scored."""
        defined = [label for label, estimates in self.estimates.items() if not math.isnan(estimates["SROCC"].value)]
        scores = self.oriented_scores[defined]
        pairs = list(itertools.combinations(scores, 2))
        resamples = max(self.bootstrap, _RESAMPLES, _RESAMPLES_PER_PAIR * len(pairs)) if self.bootstrap else 0
        without_gaps = list(scores.dropna(axis=1))
        rows = []
        for statistic in CORRELATIONS:
            differences = self._differences(statistic, without_gaps, resamples)  # of the same images and resamples
            for pair in pairs:
                if not set(pair) <= set(without_gaps):
                    differences |= self._differences(statistic, pair, resamples)
            rows += [(self.name, statistic, *pair, *differences[pair]) for pair in pairs if pair in differences]
        names = ["data_set", "statistic", "first", "second", "n", "difference", "low", "high", "p"]
        frame = DataFrame(rows, columns=names)
        frame["p Holm"] = frame.groupby("statistic")["p"].transform(holm)
        return frame.assign(significant=frame["p Holm"] < LEVEL, resamples=resamples)

    def _differences(self, statistic: str, labels: Sequence[str], resamples: int) -> dict[Any, Any]:
        """Return pair -> number of images, difference, low, high and p, on the images that all of the metrics scored.

        Nothing if a metric's scores of these images have no correlation.
        """
        if len(labels) < 2:
            return {}
        scores = self.oriented_scores[[*labels]].dropna()
        mos = self.oriented_mos[scores.index]
        if any(why_undefined(scores[label], mos) for label in labels):
            return {}
        paired = paired_differences(scores.to_numpy().T, mos, statistic, bootstrap=resamples, seed=self.seed)
        return {(labels[i], labels[j]): (len(scores), *estimate.numbers) for (i, j), estimate in paired.items()}

    @cached_property
    def frame(self) -> DataFrame:
        """A row per metric; see :meth:`~clipiqa_pyiqa.workbench.compare.comparison.Comparison.frame`."""
        rows = []
        for label, metric in self.metrics.items():
            row: dict[str, Any] = {
                "data_set": self.name,
                "metric": label,
                "n": self.scores[label].count(),
                "direction": metric.direction,
                "range": metric.range,
            }
            for name, estimate in self.estimates[label].items():
                row |= estimate.named(name)
            row["seconds per image"] = metric.seconds_per_image
            row |= self._published_cells(label, row)
            rows.append({**row, "note": self.reason(label)})
        return DataFrame(rows)

    def _published_cells(self, label: str, correlations: Mapping[str, float]) -> dict[str, Any]:
        """Return a metric's published values, the distances of its own values from them, and their source.

        Distances are NaN unless the images and the weights are the same; the source says what differs.
        """
        published = find_published(self.metrics[label].published_as, self.published_as, self._count(label), self.part)
        if published is None:
            published_values = dict.fromkeys(CORRELATIONS, math.nan)
            difference = ""
            source = ""
        else:
            published_values = published.values
            difference = self.unlike_published(label, published)
            source = f"{published.source} ({difference})" if difference else published.source
        cells: dict[str, Any] = {}
        for statistic, value in published_values.items():
            cells[f"published {statistic}"] = value
            cells[f"{statistic} minus published"] = math.nan if difference else correlations[statistic] - value
        return {**cells, "source": source}

    def unlike_published(self, label: str, published: PublishedRow) -> str:
        """Return in what a metric's images and weights differ from those of published values; empty if in nothing."""
        of_images = published.difference_of_images(self._count(label), self.part)
        return "; ".join(filter(None, [published.difference, self.metrics[label].unlike_published, of_images]))

    def _count(self, label: str) -> int:
        """Return the number of images that have a score of a metric."""
        return int(self.scores[label].count())

    @property
    def statistics(self) -> tuple[str, ...]:
        statistics = list(STATISTICS)
        if self.fit:
            statistics += FITTED
        if self.groups:
            statistics += [WITHIN, TOP]
        return tuple(statistics)

    @property
    def scored(self) -> list[str]:
        """Return the labels of metrics that have a score of an image."""
        return [label for label in self.metrics if self.scores[label].notna().any()]

    @property
    def oriented_mos(self) -> Series:
        """Return the opinion scores, negated if low ones are good."""
        return -self.mos if self.mos_lower_better else self.mos

    @property
    def oriented_scores(self) -> DataFrame:
        """Return the scores, negated for metrics whose low scores are good."""
        signs = [-1.0 if metric.column.lower_better else 1.0 for metric in self.metrics.values()]
        return self.scores[list(self.metrics)] * signs

    def misjudged(self, label: str) -> Series:
        """Return how much higher a metric ranks each image than people do, as a share of all images, highest first."""
        scores = self.oriented_scores[label].dropna()
        rank_gaps = scores.rank(pct=True) - self.oriented_mos[scores.index].rank(pct=True)
        return rank_gaps.sort_values(ascending=False, kind="stable")

    def reason(self, label: str) -> str:
        """Return what a reader must know of a metric's numbers; empty if there is nothing."""
        metric = self.metrics[label]
        texts = [metric.error, metric.note]
        for estimate in self.estimates[label].values():
            texts += [estimate.reason, estimate.caveat]
        return "; ".join(dict.fromkeys(filter(None, texts)))
