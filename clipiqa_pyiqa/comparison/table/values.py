"""The numbers of a table of methods: scores, means, ranks and paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...stats.bootstrap import Difference, holm
from ...stats.paired_means import mean_difference
from ..differences import SIGNIFICANT
from ..results import MetricResult
from .matching import Pictures
from .protocols import Protocol

if TYPE_CHECKING:
    import pandas


Verdict = Literal["fits", "refuted", "not tried"]


@dataclass(frozen=True)
class Column:
    """One metric of the table.

    Attributes:
        metric: What is known of it.
        mode: ``'NR'`` or ``'FR'``.
        of_sets: Whether it is one value for a whole set.
        computed_on: The channel that psnr and ssim are computed on; empty for other metrics.
        view: What it sees of pictures, in words.
    """

    metric: MetricResult
    mode: str = "NR"
    of_sets: bool = False
    computed_on: str = ""
    view: str = "whole images"


@dataclass(frozen=True)
class Value:
    """A method's cell.

    Attributes:
        mean: Over the pictures that all methods have a score of; or the value of a whole set. NaN if there is none.
        deviation: Standard deviation over pictures (n - 1); NaN of one picture, and of a whole set.
        n: Pictures; 0 for a whole set.
        rank: 1 for the best, 2 for the second best, ties sharing theirs; 0 for the others.
        difference: From the baseline, method less baseline, over the same pictures; None of the baseline itself.
        p_holm: Its p-value, corrected by Holm's rule for all differences of the table.
    """

    mean: float
    deviation: float = math.nan
    n: int = 0
    rank: int = 0
    difference: Difference | None = None
    p_holm: float = math.nan

    @property
    def significant(self) -> bool:
        """Whether it differs from the baseline by more than chance."""
        return self.p_holm < SIGNIFICANT

    @property
    def p_at_floor(self) -> bool:
        """Whether its p-value is the lowest that so many pictures can give."""
        return self.difference is not None and self.difference.p <= 2.0 ** (1 - self.n)


@dataclass(frozen=True)
class Expected:
    """A published number.

    Attributes:
        test_set: Its test set; ``''`` where there is but one.
        method: Its method.
        metric: Label of its metric.
        text: The number as printed.
    """

    test_set: str
    method: str
    metric: str
    text: str

    @property
    def unit(self) -> float:
        """One unit of its last printed digit."""
        return float(10.0 ** -len(self.text.partition(".")[2]))

    def units(self, value: float) -> float:
        """Return how far a value is above it, in units of its last digit; NaN where the value is."""
        return (value - float(self.text)) / self.unit

    def agrees(self, value: float) -> bool:
        """Return whether a value is within one unit, so that rounding and cutting off both agree."""
        return abs(self.units(value)) <= 1 + 1e-6


@dataclass(frozen=True)
class Explained:
    """A change that was tried on a cell whose published number differs.

    Attributes:
        test_set, method, metric: The cell.
        change: What was changed.
        value: What came; NaN if it was not tried.
        units: How far that is above the published number, in units of its last digit.
        verdict: What follows.
        reason: Why it was not tried.
    """

    test_set: str
    method: str
    metric: str
    change: str
    value: float
    units: float
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Changed:
    """What differs from a lock.

    Attributes:
        what: A cell, a picture, or something that all depend on.
        was: Its value in the lock.
        now: Its value here.
        why: What may have changed a cell; empty for others.
    """

    what: str
    was: str
    now: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.was} in the lock, {self.now} here" + f" ({self.why})" * bool(self.why)


@dataclass(frozen=True)
class MethodScores:
    """Methods × metrics on one or several test sets.

    Attributes:
        scores: Columns ``test_set``, ``image``, ``method``, ``path``, and one per metric, NaN where it failed.
        sets: Columns ``test_set``, ``method``, and one per metric of whole sets.
        columns: Metrics by label, in order.
        pictures: Which files belonged together.
        baseline: The method that the others are compared with.
        protocol: Whose metrics they are, or None.
        inputs: Numbers that were given for the protocol's formula.
        notes: What to know about the numbers, a sentence each.
        settings: Versions, machine, seeds, command.
        expected: Published numbers of its cells.
        explained: What was tried where these differ.
        changed: What differs from a lock; None where there is none to compare with.
    """

    scores: pandas.DataFrame
    sets: pandas.DataFrame
    columns: Mapping[str, Column]
    pictures: Pictures
    baseline: str
    protocol: Protocol | None = None
    inputs: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    expected: tuple[Expected, ...] = ()
    explained: tuple[Explained, ...] = ()
    changed: tuple[Changed, ...] | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Their names, in order."""
        return self.pictures.methods

    @property
    def test_sets(self) -> tuple[str, ...]:
        """Their names, in order; ``('',)`` if there is but one."""
        return tuple(self.pictures.test_sets)

    @property
    def score(self) -> str:
        """Name of the protocol's score; empty if it has none."""
        return self.protocol.score if self.protocol else ""

    @property
    def labels(self) -> list[str]:
        """The columns' names: metrics, and the protocol's score, if it has one."""
        return list(dict.fromkeys([*self.columns, *[self.score] * bool(self.score)]))

    @property
    def of_images(self) -> list[str]:
        """Labels of the metrics that score single images."""
        return [label for label, column in self.columns.items() if not column.of_sets]

    @property
    def complete(self) -> bool:
        """Whether every metric scored every picture."""
        lost = len(self.scores) and any(self.scores[label].isna().any() for label in self.of_images)
        return not lost and not any(column.metric.error or column.metric.note for column in self.columns.values())

    @property
    def wrong(self) -> list[Expected]:
        """Published numbers that differ from what was computed."""
        return [each for each in self.expected if not each.agrees(self.computed(each))]

    @property
    def agrees(self) -> bool:
        """Whether all published numbers and all of a lock are as computed here."""
        return not self.wrong and not self.changed

    def computed(self, expected: Expected) -> float:
        """Return what was computed where a number was published."""
        return self.values[expected.test_set, expected.metric][expected.method].mean

    def lower_better(self, label: str) -> bool:
        """Return whether a low value is good."""
        return label in self.columns and self.columns[label].metric.lower_better

    def pictures_scored(self, test_set: str, label: str) -> pandas.DataFrame:
        """Return a row per picture that all methods have a score of, a column per method that has any."""
        rows = self.scores[self.scores["test_set"] == test_set]
        wide = rows.pivot(index="image", columns="method", values=label)
        wide = wide.reindex(index=list(self.pictures.test_sets[test_set]), columns=list(self.methods))
        return wide.dropna(axis=1, how="all").dropna()

    @cached_property
    def values(self) -> dict[tuple[str, str], dict[str, Value]]:
        """(Test set, metric) -> method -> its cell."""
        found = {(s, label): self._values(s, label) for s in self.test_sets for label in self.columns}
        if self.protocol and self.score and self.score not in self.columns:
            for s in self.test_sets:
                means = {m: {n: found[s, n][m].mean for n in self.columns} for m in self.methods}
                combined = {m: self.protocol.combine(each, self.inputs) for m, each in means.items()}
                found[s, self.score] = {m: Value(mean) for m, mean in combined.items()}
        ranked = {key: _ranked(cells, self.lower_better(key[1])) for key, cells in found.items()}
        places = [(key, m, v) for key, cells in ranked.items() for m, v in cells.items()]
        known = [(key, m, v, d.p) for key, m, v in places if (d := v.difference) and not math.isnan(d.p)]
        for (key, method, value, _), p in zip(known, holm([p for *_, p in known]), strict=True):
            ranked[key][method] = replace(value, p_holm=float(p))
        return ranked

    def _values(self, test_set: str, label: str) -> dict[str, Value]:
        found = {method: Value(math.nan) for method in self.methods}
        if self.columns[label].of_sets:
            rows = self.sets[self.sets["test_set"] == test_set]
            return found | {m: Value(float(v)) for m, v in zip(rows["method"], rows[label], strict=True)}
        wide = self.pictures_scored(test_set, label)
        if wide.empty:
            return found
        weights = [self.pictures.weights.get(str(name), 1.0) for name in wide.index]
        even = len(set(weights)) == 1
        for method in map(str, wide):
            mean = float(wide[method].mean() if even else np.average(wide[method], weights=weights))
            apart = None
            if even and method != self.baseline and self.baseline in wide:
                apart = mean_difference(wide[method], wide[self.baseline])
            found[method] = Value(mean, float(wide[method].std(ddof=1)), len(wide), difference=apart)
        return found

    def frame(self) -> pandas.DataFrame:
        """Return one row per test set, method and metric, in full precision.

        Columns: test_set, method, metric, better (``'higher'`` or ``'lower'``), n, mean, sd, rank; and of the paired
        difference from the baseline: difference, low, high, p, p Holm, significant.
        """
        import pandas

        rows = []
        for (test_set, label), cells in self.values.items():
            better = "lower" if self.lower_better(label) else "higher"
            for method, value in cells.items():
                apart = value.difference or Difference(math.nan)
                row = {"test_set": test_set, "method": method, "metric": label, "better": better, "n": value.n}
                row |= {"mean": value.mean, "sd": value.deviation, "rank": value.rank}
                row |= {"difference": apart.value, "low": apart.low, "high": apart.high, "p": apart.p}
                rows.append(row | {"p Holm": value.p_holm, "significant": value.significant})
        return pandas.DataFrame(rows)

    def spread(self) -> pandas.Series:
        """Return how much the methods differ on each picture: index (test set, image), the most first.

        The mean over metrics of highest less lowest score, in standard deviations of that metric over its test set.
        """
        import pandas

        parts = []
        for test_set in self.test_sets:
            for label in self.of_images:
                wide = self.pictures_scored(test_set, label)
                deviation = float(np.std(wide.to_numpy())) if wide.size else 0.0
                if wide.shape[1] > 1 and deviation > 0:
                    part = (wide.max(axis=1) - wide.min(axis=1)) / deviation
                    part.index = pandas.MultiIndex.from_product([[test_set], part.index], names=["test_set", "image"])
                    parts.append(part)
        if not parts:
            return pandas.Series(dtype=float)
        return pandas.concat(parts, axis=1).mean(axis=1).sort_values(ascending=False, kind="stable")

    def digits(self, label: str) -> int:
        """Return how many digits its means are shown with: two from 10 on, such as decibels, else four."""
        return 2 if max(map(abs, _known(v.mean for v in self.cells(label))), default=0.0) >= 10 else 4

    def cells(self, label: str) -> list[Value]:
        """Return a metric's cells of all methods and test sets."""
        return [value for s in self.test_sets for value in self.values[s, label].values()]


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _ranked(cells: Mapping[str, Value], lower_better: bool) -> dict[str, Value]:
    means = sorted(set(_known(value.mean for value in cells.values())), reverse=not lower_better)
    places = {mean: place for place, mean in enumerate(means[:2], 1)} if len(means) > 1 else {}
    return {method: replace(value, rank=places.get(value.mean, 0)) for method, value in cells.items()}
