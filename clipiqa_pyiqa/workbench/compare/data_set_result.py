"""Results of metrics on one data set."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pandas import DataFrame, Series

from ..opinions.published import ALL_IMAGES, CORRELATIONS, PublishedRow, find_published
from ..stats.agreement import FITTED, TOP, WITHIN, correlations, paired_differences, within
from ..stats.correlation import STATISTICS, why_undefined
from ..stats.estimate import Estimate
from ..stats.significance import LEVEL, holm
from .metric_result import MetricResult

_RESAMPLES, _PER_PAIR = 4000, 80
"""Least numbers of resamples: in all, and for each pair of metrics.

Up to fifty pairs take the first number, so that one more metric changes no difference. With both, the lowest possible
corrected p-value is 0.005 for ten pairs, and never above LEVEL / 2.
"""


@dataclass(frozen=True)
class DataSetResult:
    """The results of all metrics on one data set.

    Attributes:
        mos: Opinion scores on the data set's scale; empty without opinion scores.
        mos_lower_better: Whether low opinion scores are good (DMOS).
        published_as: Name of the data set in the published correlations, or empty.
        part: Which images of the data set these are.
        source: See :class:`~clipiqa_pyiqa.workbench.opinions.data_sets.DataSet`.
        unfinished: Metrics of an earlier run that are left out, as it did not score all images by them.
        fit: Number of parameters of a logistic fit; 0 without a fit.
        groups: Image -> group; adds the mean SROCC within groups to the statistics.
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
        estimates = {}
        for label, metric in self.metrics.items():
            scores = self.scores[label].dropna()
            names = scores.index
            reason = metric.error
            if reason or self.mos.empty or (reason := why_undefined(scores, self.mos[names])):
                estimates[label] = dict.fromkeys(self.statistics, Estimate(math.nan, reason=reason))
                continue
            oriented = self.oriented_scores.loc[names, label]
            mos = self.oriented_mos[names]
            estimates[label] = correlations(oriented, mos, bootstrap=self.bootstrap, seed=self.seed, fit=self.fit)
            if self.groups:
                groups = [self.groups[name] for name in names]
                estimates[label] |= within(oriented, mos, groups, bootstrap=self.bootstrap, seed=self.seed)
        return estimates

    @cached_property
    def pairs(self) -> DataFrame:
        """A row per statistic and pair of metrics, with the first minus the second on the images that both scored."""
        defined = [label for label, estimates in self.estimates.items() if not math.isnan(estimates["SROCC"].value)]
        scores = self.oriented_scores[defined]
        pairs = list(itertools.combinations(scores, 2))
        resamples = max(self.bootstrap, _RESAMPLES, _PER_PAIR * len(pairs)) if self.bootstrap else 0
        without_gaps = list(scores.dropna(axis=1))
        rows = []
        for statistic in CORRELATIONS:
            differences = self._differences(statistic, without_gaps, resamples)  # of the same images and resamples
            for pair in pairs:
                if not {*pair} <= {*without_gaps}:
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
            row |= self._beside_published(label, row)
            rows.append({**row, "note": self.reason(label)})
        return DataFrame(rows)

    def _beside_published(self, label: str, correlations: Mapping[str, float]) -> dict[str, Any]:
        """Return the published values of a metric, and its own minus these if the images and weights are the same."""
        published = find_published(self.metrics[label].published_as, self.published_as, self._count(label), self.part)
        cells: dict[str, Any] = {}
        difference = self.unlike_published(label, published) if published else ""
        for name in CORRELATIONS:
            value = published.values[name] if published else math.nan
            gap = math.nan if difference else correlations[name] - value
            cells |= {f"published {name}": value, f"{name} minus published": gap}
        source = published.source if published else ""
        return {**cells, "source": f"{source} ({difference})" if difference else source}

    def unlike_published(self, label: str, published: PublishedRow) -> str:
        """Return in what a metric's images and weights differ from those of published values; empty if in nothing."""
        of_images = published.difference_of_images(self._count(label), self.part)
        return "; ".join(filter(None, [published.difference, self.metrics[label].unlike_published, of_images]))

    def _count(self, label: str) -> int:
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
        return [label for label in self.metrics if self.scores[label].notna().any()]

    @property
    def oriented_mos(self) -> Series:
        return -self.mos if self.mos_lower_better else self.mos

    @property
    def oriented_scores(self) -> DataFrame:
        return self.scores[list(self.metrics)] * [-1.0 if m.column.lower_better else 1.0 for m in self.metrics.values()]

    def misjudged(self, label: str) -> Series:
        """Return how much higher a metric ranks each image than people do, as a share of all images, highest first."""
        scores = self.oriented_scores[label].dropna()
        rank_gaps = scores.rank(pct=True) - self.oriented_mos[scores.index].rank(pct=True)
        return rank_gaps.sort_values(ascending=False, kind="stable")

    def reason(self, label: str) -> str:
        """Return what a reader must know of a metric's numbers; empty if there is nothing."""
        metric = self.metrics[label]
        estimates = self.estimates[label].values()
        texts = (metric.error, metric.note, *(text for e in estimates for text in (e.reason, e.caveat)))
        return "; ".join(dict.fromkeys(filter(None, texts)))
