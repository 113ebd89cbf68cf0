"""The result of ``table``: scores, with their means, ranks and paired differences."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pandas import DataFrame, MultiIndex, Series, concat

from ..compare.metric_result import MetricResult
from ..metrics.kinds import FileMetric, ImageMetric
from ..options import Sizes
from ..report.labels import Relabelling, relabelling
from ..report.report import About, Report
from ..report.reported import PROVENANCE, Reported
from ..results.store import Results
from ..stats.mean_differences import mean_difference
from ..stats.significance import LEVEL, holm
from .method_images import MethodImages
from .metric_sentences import appendix, metric_sentence
from .protocols import NO_PROTOCOL, Protocol
from .tables import build_tables

_COLUMN_KEYS = ["test_set", "metric"]  # of a column of the printed table
_MEANS = ["n", "mean", "sd"]
_DIFFERENCES = ["difference", "low", "high", "p"]
_OF_FRAME = [*_COLUMN_KEYS, "direction", "method", *_MEANS, "rank", *_DIFFERENCES, "p Holm", "significant"]

_TEXTS = {"table.md": "markdown", "table.tex": "latex", "table.csv": "csv", "report.html": "html"}
_FRAME_FILES = ("expect.csv", "explain.csv", "changes.csv")
IMAGES, SETS = "images.csv", "sets.csv"
OTHERS = (*_TEXTS, *_FRAME_FILES, PROVENANCE)
"""Names of the results beside the scores."""


@dataclass(frozen=True)
class MethodTable(Reported):
    """Scores of methods on one or several test sets, as a table.

    Attributes:
        scores: Columns ``test_set``, ``image``, ``method``, ``path``, ``sha256``, ``reference_sha256``, and one per
            metric; NaN where a metric failed.
        sets: Columns ``test_set``, ``method``, and one per metric of whole sets.
        metrics: Label -> what is known of the metric.
        matched: The files of all methods.
        formula_values: Numbers that the user gave for the protocol's formula.
        unknown: Names of published numbers that the table lacks.
        sources: What the table was made from, as in :class:`~clipiqa_pyiqa.workbench.report.report.Report`.
        explained: Result of :func:`~clipiqa_pyiqa.workbench.table.explain.explain`, or None.
        changed: Result of :func:`~clipiqa_pyiqa.workbench.table.differences.differences`, or None.
    """

    scores: DataFrame
    sets: DataFrame
    metrics: Mapping[str, MetricResult]
    built: Sequence[ImageMetric | FileMetric]
    matched: MethodImages
    baseline: str
    protocol: Protocol = NO_PROTOCOL
    formula_values: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, About] = field(default_factory=dict)
    sizes: Sizes = field(default=Sizes())
    expected: DataFrame | None = None
    unknown: str = ""
    explained: DataFrame | None = None
    changed: DataFrame | None = None
    sd: bool = True
    stored: Mapping[str, Results] = field(default_factory=dict, repr=False)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.matched.files)

    @property
    def test_sets(self) -> tuple[str, ...]:
        return tuple(self.matched.test_sets.unique())

    @property
    def of_images(self) -> list[str]:
        return [label for label in self.metrics if label in self.scores]

    @property
    def is_complete(self) -> bool:
        """Whether every metric has scores of all images, also of those that an earlier run named and that are gone."""
        has_lost_images = bool(self.stored[IMAGES].images.gone)
        lacks_scores = self.scores[self.of_images].isna().any(axis=None)
        has_remarks = any(metric.error or metric.note for metric in self.metrics.values())
        return not (has_lost_images or lacks_scores or has_remarks)

    @property
    def is_as_expected(self) -> bool:
        """Whether every published number is in the table, each column has one, and these and earlier scores agree."""
        is_as_before = self.changed is None or self.changed.empty
        return self._is_as_published and is_as_before

    @property
    def _is_as_published(self) -> bool:
        """Whether every published number is in the table and agrees; each metric beside them must have one."""
        if self.unknown:
            return False
        if self.expected is None:
            return True
        agreements = self.expected.groupby("metric")["agrees"]
        return all(agrees.count() > 0 and agrees.all() for _, agrees in agreements)

    def mean(self, test_set: str, label: str, method: str) -> float:
        """Return a method's mean score, or its value for a whole set."""
        return self.cells.at[(test_set, label, method), "mean"]

    @cached_property
    def cells(self) -> DataFrame:
        """The columns of :meth:`frame`, by test set, metric and method."""
        keys = [*_COLUMN_KEYS, "method"]
        index = MultiIndex.from_product([self.test_sets, self.metrics, self.methods], names=keys)
        summaries = {key: self._summary(*key) for key in itertools.product(self.test_sets, self.metrics)}
        cells = concat(summaries, names=keys).reindex(index, columns=[*_MEANS, *_DIFFERENCES])
        cells = self._with_formula_of_means(cells)
        directions = {label: metric.direction for label, metric in self.metrics.items()}
        cells["direction"] = index.get_level_values("metric").map(directions)
        cells["n"] = cells["n"].fillna(0).astype(int)
        cells["rank"] = self._badness(cells).groupby(_COLUMN_KEYS).rank("min").astype("Int64")
        p = cells["p"].dropna()
        cells["p Holm"] = Series(holm(p), p.index)
        cells["significant"] = cells["p Holm"] < LEVEL
        return cells

    def _with_formula_of_means(self, cells: DataFrame) -> DataFrame:
        """Return the cells with the value of the protocol's formula, if it is one of means."""
        score = self.protocol.score
        if not score or score in self.scores:
            return cells
        cells = cells.copy()
        for (test_set, method), means in cells["mean"].unstack("metric").iterrows():
            cells.at[(test_set, score, method), "mean"] = self.protocol.combine(means.to_dict(), self.formula_values)
        return cells

    @cached_property
    def marks(self) -> Series:
        """The mark of each of :attr:`cells`: the best mean of a column, and the second best, if its means differ."""
        badness = self._badness(self.cells).groupby(_COLUMN_KEYS)
        places = badness.rank("dense").where(badness.transform("nunique") > 1)
        return places.map({1: "best", 2: "second"}).fillna("")

    @staticmethod
    def _badness(cells: DataFrame) -> Series:
        """Return means that are low where the method is good."""
        return cells["mean"].where(cells["direction"] == "lower", -cells["mean"])

    def _summary(self, test_set: str, label: str) -> DataFrame:
        """Return a row per method, of the images that have scores for every method; columns of :attr:`cells`."""
        scores = self.sets if label in self.sets else self.scores
        rows = scores[scores["test_set"] == test_set]
        if label in self.sets:  # each method has one value
            return DataFrame({"mean": rows.set_index("method")[label]})
        if label not in scores:  # a formula of means
            return DataFrame()
        wide = rows.pivot(index="image", columns="method", values=label).dropna(axis=1, how="all").dropna()
        if wide.empty:
            return DataFrame()
        weights = self.matched.weights
        means = np.average(wide, axis=0, weights=None if weights is None else weights[wide.index])
        summary = DataFrame({"n": len(wide), "mean": means, "sd": wide.std()})
        if weights is None and self.baseline in wide:
            for method in wide.columns.drop(self.baseline):
                summary.loc[method, _DIFFERENCES] = mean_difference(wide[method], wide[self.baseline]).numbers
        return summary

    def frame(self) -> DataFrame:
        """Return a row per test set, metric and method, in full precision.

        Columns: test_set, metric, direction, method, n (images with scores for all methods; 0 for a whole set), mean,
        sd, rank (1 for the best mean; equal means share a rank); the paired difference from the baseline: difference,
        low, high, p (the interval and the p-value of this difference alone), p Holm, significant.
        """
        return self.cells.reset_index()[_OF_FRAME]

    def spread(self) -> Series:
        """Return how much the methods differ on each image, the largest first; the index is test_set, image.

        For each metric: highest minus lowest score, in standard deviations of the test set; then the mean over metrics.
        """
        scores = self.scores.set_index(["test_set", "image"])[self.of_images]
        images = (scores / scores.groupby("test_set").transform("std", ddof=0)).groupby(level=[0, 1], sort=False)
        return (images.max() - images.min()).mean(axis=1).sort_values(ascending=False, kind="stable")

    def digits(self, label: str) -> int:
        """Return the decimals of means: two if a mean is at least 10, otherwise four."""
        return 2 if self.cells["mean"].xs(label, level="metric").abs().max() >= 10 else 4

    def report(self, **look: Any) -> Report:
        """Return the tables with the sentences and crops that belong to them."""
        tables = build_tables(self, relabelling(look.get("labels", {})))
        return Report(
            tables,
            self.frame(),
            "table",
            tables[0].title,
            metrics=self._described(),
            settings=self.settings,
            sources=self.sources,
            pictures=self._crops,
            texts=_TEXTS,
            files={"expect.csv": self.expected, "explain.csv": self.explained, "changes.csv": self.changed},
            inputs=self.matched.inputs,
            **look,
        )

    def _crops(self, relabelled: Relabelling) -> dict[str, Any]:
        from .method_crops import crops_by_heading  # imports matplotlib

        return crops_by_heading(self, relabelled)

    def describe(self, format: str = "table") -> str:
        """Return a sentence per metric for a paper's appendix.

        Args:
            format: ``'table'`` for lines, ``'markdown'`` or ``'latex'`` for a list, ``'csv'`` for a row per metric.
        """
        return appendix(self._described(), format)

    def _described(self) -> dict[str, str]:
        """Return label -> how the metric was computed, of those that could be built."""
        return {metric.label: metric_sentence(metric) for metric in self.built if not self.metrics[metric.label].error}
