"""Results of several methods side by side: values only, read by the tables and the page."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...datasets.specification import CompareError
from ...errors import OutputError
from ...files.locking import locked
from ...files.writing import check_folder, write_text
from ...stats.bootstrap import Difference, holm
from ...stats.paired_means import mean_difference
from ..differences import SIGNIFICANT
from ..results import MetricResult
from .matching import Pictures
from .presets import Preset

if TYPE_CHECKING:
    import pandas

FILES = ("table.md", "table.tex", "table.csv", "images.csv", "report.html")


@dataclass(frozen=True)
class Column:
    """One metric of the table.

    Attributes:
        metric: What is known of it.
        mode: ``'NR'`` or ``'FR'``.
        of_sets: Whether it is one value for a whole set.
        computed_on: The channel that psnr and ssim are computed on; empty for other metrics.
        crop_border: Pixels left out at each side.
    """

    metric: MetricResult
    mode: str = "NR"
    of_sets: bool = False
    computed_on: str = ""
    crop_border: int = 0


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


@dataclass(frozen=True)
class MethodTable:
    """Methods × metrics on one or several test sets.

    Attributes:
        scores: Columns ``test_set``, ``image``, ``method``, ``path``, and one per metric, NaN where it failed.
        sets: Columns ``test_set``, ``method``, and one per metric of whole sets.
        columns: Metrics by label, in order.
        pictures: Which files belonged together.
        baseline: The method that the others are compared with.
        preset: Where the metrics come from, or None.
        notes: What to know about the numbers, a sentence each.
        settings: Versions, machine, seeds, command.
    """

    scores: pandas.DataFrame
    sets: pandas.DataFrame
    columns: Mapping[str, Column]
    pictures: Pictures
    baseline: str
    preset: Preset | None = None
    notes: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """Their names, in order."""
        return self.pictures.methods

    @property
    def test_sets(self) -> tuple[str, ...]:
        """Their names, in order; ``('',)`` if there is but one."""
        return tuple(self.pictures.test_sets)

    @property
    def labels(self) -> list[str]:
        """The columns' names: metrics, and the preset's score, if it has one."""
        return [*self.columns, *([self.preset.score] if self.preset and self.preset.score else [])]

    @property
    def complete(self) -> bool:
        """Whether every metric scored every picture."""
        lost = len(self.scores) and any(self.scores[label].isna().any() for label in self._singly)
        return not lost and not any(column.metric.error or column.metric.note for column in self.columns.values())

    @property
    def _singly(self) -> list[str]:
        return [label for label, column in self.columns.items() if not column.of_sets]

    def lower_better(self, label: str) -> bool:
        """Whether a low value is good."""
        return label in self.columns and self.columns[label].metric.lower_better

    def pictures_scored(self, test_set: str, label: str) -> pandas.DataFrame:
        """One row per picture that all methods have a score of, one column per method; without those that all lack."""
        rows = self.scores[self.scores["test_set"] == test_set]
        wide = rows.pivot(index="image", columns="method", values=label)
        wide = wide.reindex(index=list(self.pictures.test_sets[test_set]), columns=list(self.methods))
        return wide.dropna(axis=1, how="all").dropna()

    @cached_property
    def values(self) -> dict[tuple[str, str], dict[str, Value]]:
        """(Test set, metric) -> method -> its cell."""
        found = {(s, label): self._values(s, label) for s in self.test_sets for label in self.columns}
        if self.preset and self.preset.score:
            for test_set in self.test_sets:
                found[test_set, self.preset.score] = self._combined(test_set, found)
        return self._corrected({key: _ranked(cells, self.lower_better(key[1])) for key, cells in found.items()})

    def _values(self, test_set: str, label: str) -> dict[str, Value]:
        nothing = {method: Value(math.nan) for method in self.methods}
        if self.columns[label].of_sets:
            rows = self.sets[self.sets["test_set"] == test_set]
            return nothing | {m: Value(float(v)) for m, v in zip(rows["method"], rows[label], strict=True)}
        wide = self.pictures_scored(test_set, label)
        if wide.empty:
            return nothing
        deviations = wide.std(ddof=1)
        differences = self._differences(wide)
        for method in map(str, wide):
            mean, deviation = float(wide[method].mean()), float(deviations[method])
            nothing[method] = Value(mean, deviation, len(wide), difference=differences.get(method))
        return nothing

    def _differences(self, wide: pandas.DataFrame) -> dict[str, Difference]:
        if self.baseline not in wide or len(wide.columns) < 2:
            return {}
        others = [method for method in wide if method != self.baseline]
        return {str(method): mean_difference(wide[method], wide[self.baseline]) for method in others}

    def _combined(self, test_set: str, found: Mapping[tuple[str, str], Mapping[str, Value]]) -> dict[str, Value]:
        assert self.preset is not None
        combined = {}
        for method in self.methods:
            means = {label: found[test_set, label][method].mean for label in self.columns}
            lacking = any(math.isnan(value) for value in means.values())
            combined[method] = Value(math.nan if lacking else self.preset.combine(means))
        return combined

    def _corrected(self, found: dict[tuple[str, str], dict[str, Value]]) -> dict[tuple[str, str], dict[str, Value]]:
        places = [(key, m) for key, cells in found.items() for m, v in cells.items() if v.difference is not None]
        known = [(key, m, d.p) for key, m in places if (d := found[key][m].difference) and not math.isnan(d.p)]
        for (key, method, _), p in zip(known, holm([p for *_, p in known]), strict=True):
            value = found[key][method]
            found[key][method] = replace(value, p_holm=float(p))
        return found

    def frame(self) -> pandas.DataFrame:
        """One row per test set, method and metric, in full precision.

        Columns: test_set, method, metric, better (``'higher'`` or ``'lower'``), n, mean, sd, rank; and of the paired
        difference from the baseline: difference, low, high, p, p Holm, significant.
        """
        import pandas

        rows = []
        for (test_set, label), cells in self.values.items():
            for method, value in cells.items():
                apart = value.difference or Difference(math.nan)
                rows.append({
                    "test_set": test_set, "method": method, "metric": label,
                    "better": "lower" if self.lower_better(label) else "higher",
                    "n": value.n, "mean": value.mean, "sd": value.deviation, "rank": value.rank,
                    "difference": apart.value, "low": apart.low, "high": apart.high, "p": apart.p,
                    "p Holm": value.p_holm, "significant": value.significant,
                })  # fmt: skip
        return pandas.DataFrame(rows)

    def spread(self) -> pandas.Series:
        """How much the methods differ on each picture: index (test set, image), the most first.

        The mean over metrics of highest less lowest score, in standard deviations of that metric over its test set.
        """
        import pandas

        parts = []
        for test_set in self.test_sets:
            for label in self._singly:
                wide = self.pictures_scored(test_set, label)
                deviation = float(np.std(wide.to_numpy())) if wide.size else 0.0
                if wide.shape[1] > 1 and deviation > 0:
                    part = (wide.max(axis=1) - wide.min(axis=1)) / deviation
                    part.index = pandas.MultiIndex.from_product([[test_set], part.index], names=["test_set", "image"])
                    parts.append(part)
        if not parts:
            return pandas.Series(dtype=float)
        return pandas.concat(parts, axis=1).mean(axis=1).sort_values(ascending=False, kind="stable")

    def table(self, format: str = "table") -> str:
        """The tables as text: ``'table'`` for a console, ``'csv'``, ``'markdown'`` or ``'latex'``."""
        from .written import FORMATS

        return FORMATS[format](self)

    def save(self, folder: str | os.PathLike[str], *, report: bool = True, overwrite: bool = False) -> None:
        """Write ``table.md``, ``table.tex``, ``table.csv``, ``images.csv`` (every score) and ``report.html``.

        Args:
            folder: Made if need be.
            report: Whether to write the page.
            overwrite: Replace files of these names that are there; those of the run that made ``folder`` always are.

        Raises:
            OutputError: A file cannot be written, or is there already.
        """
        folder = check_table_folder(folder, self.pictures.inputs, overwrite=overwrite, resume=True)
        with locked(folder):
            for name, format in (("table.md", "markdown"), ("table.tex", "latex"), ("table.csv", "csv")):
                write_text(folder / name, self.table(format))
            write_text(folder / "images.csv", self.scores.to_csv(index=False))
            if report:
                from .page import page

                write_text(folder / "report.html", page(self))


def check_table_folder(
    out: str | os.PathLike[str], inputs: Iterable[str], *, overwrite: bool = False, resume: bool = False
) -> Path:
    """The folder of a table, made if need be, in which nothing would be replaced that no run of ours made.

    Raises:
        CompareError: It holds the scores of an earlier run, and neither ``resume`` nor ``overwrite`` is given.
        OutputError: A file cannot be written, or is there already.
    """
    folder, inputs = Path(out).expanduser(), list(inputs)
    ours = any(folder.glob("parts/*/*.jsonl"))
    if ours and not (resume or overwrite):
        raise CompareError(
            f"{str(folder)!r} holds the scores of an earlier run: resume it (--resume), or overwrite it (--overwrite)."
        )
    parts = os.path.join(os.path.abspath(folder), "")
    if any(os.path.abspath(path).startswith(os.path.join(parts, "parts", "")) for path in inputs):
        raise OutputError(f"{str(folder)!r} holds the images: name another folder for the results.")
    there = [name for name in FILES if os.path.lexists(folder / name)]
    return check_folder(folder, there, overwrite=overwrite, ours=lambda _: ours, inputs=inputs)


def _ranked(cells: Mapping[str, Value], lower_better: bool) -> dict[str, Value]:
    means = sorted({v.mean for v in cells.values() if not math.isnan(v.mean)}, reverse=not lower_better)
    several = sum(not math.isnan(value.mean) for value in cells.values()) > 1 and len(means) > 1
    places = {mean: place for place, mean in enumerate(means[:2], 1)} if several else {}
    return {method: replace(value, rank=places.get(value.mean, 0)) for method, value in cells.items()}
