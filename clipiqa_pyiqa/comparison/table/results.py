"""The result of ``table``: scores, means, ranks and paired differences, as texts, files and a page."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas

from ...errors import counted
from ...metrics.metric import Metric
from ...report.report import Report
from ...report.table import Cell, Column, Mark, Table, interval, latex, number, p_value, words
from ...results.columns import described
from ...results.results import Results
from ...stats.bootstrap import holm
from ...stats.paired_means import FEW, FEWEST, LEVEL, mean_difference
from ..data_set_results import MetricResult
from ..results import save
from .crops import differing_crops
from .matching import MethodImages
from .protocols import NO_PROTOCOL, Protocol

_SHOWN = 10  # images whose crops are shown
_LISTED = 20  # most changes that are listed
_NUMBERS = ["n", "mean", "sd", "difference", "low", "high", "p"]


_MARKS = "* best of its column, ° second best; in the differences, * marks an improvement and ▼ a decline"
_MEANS = (
    "{} over the images of a test set; an image on which a metric failed is left out of "
    "every method. The best is bold, the second best underlined; ↑ higher and ↓ lower is better."
)
_DIFFERENCES = (
    "Differences are image by image, with a 95 % interval (Student's t, widened for skewed differences) and p "
    "corrected by Holm's rule for all differences; “p ≤” means that p cannot be lower with so few images. Where p < "
    f"{LEVEL}, bold marks an improvement and ▼ a decline. Fewer than {FEWEST} images cannot show a difference; "
    f"with fewer than {FEW}, skewed differences are less certain."
)
_BETWEEN_MACHINES = {"niqe": 0.02}  # largest difference of an image's score; docs/published-numbers.md
_RANKS: tuple[Mark, ...] = ("", "best", "second")
_PROMPTS = {
    0: "a fitted head",
    1: "one prompt pair (most restoration papers use pyiqa's five: clipiqa:prompts=pyiqa)",
    5: "five prompt pairs",
}
_Y = {  # of pyiqa's colour spaces
    "ycbcr": "on Y of YCbCr as MATLAB's rgb2ycbcr has it (16 to 235)",
    "yiq": "on Y of YIQ (0 to 255; super-resolution papers use psnr-y and ssim-y)",
}
_CROPS = (
    "Shown are the images on which the methods' scores differ most. Each crop is the square in which the pixels differ "
    "most, at 100 % (unscaled)."
)
_TEXTS = {"table.md": "markdown", "table.tex": "latex", "table.csv": "csv", "report.html": "html"}
_FRAMES = ("expect.csv", "explain.csv", "changes.csv")
IMAGES, SETS = "images.csv", "sets.csv"
OTHERS = (*_TEXTS, *_FRAMES)
"""Names of the results beside the scores."""


@dataclass(frozen=True)
class MethodTable:
    """Scores of methods on one or several test sets, as a table.

    Attributes:
        scores: Columns ``test_set``, ``image``, ``method``, ``path``, ``sha256``, ``reference_sha256``, and one per
            metric; NaN where a metric failed.
        sets: Columns ``test_set``, ``method``, and one per metric of whole sets.
        explained: Result of :func:`~.published.explain`, or None.
        changed: Result of :func:`~.earlier.differences`, or None.
    """

    scores: pandas.DataFrame
    sets: pandas.DataFrame
    columns: dict[str, MetricResult]
    built: Sequence[Metric]
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
    stored: Mapping[str, Results] = field(default_factory=dict, repr=False)

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
        """Whether all published numbers, at least one per column, and earlier scores agree with the computed ones."""
        columns = () if self.expected is None else self.expected.groupby("metric")["agrees"]
        is_as_published = all(bool(column.all() and column.count()) for _, column in columns)
        return is_as_published and (self.changed is None or self.changed.empty)

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

    def report(self, **look: Any) -> Report:
        """Return the tables with the sentences and crops that belong to them."""
        title = f"{counted(len(self.methods), 'method')} on {counted(len(self.images.files), 'image')}"
        return Report(
            _tables(self, title),
            self.frame(),
            "table",
            title,
            marks=_MARKS,
            metrics=self._described(),
            settings=self.settings,
            pictures=partial(_crops, self),
            texts=_TEXTS,
            **look,
        )

    def table(self, format: str = "table", **look: Any) -> str:
        """Return the tables as text; ``format`` and ``look`` as for ``Comparison.table``."""
        return self.report(**look).text(format)

    def describe(self, format: str = "table") -> str:
        """Return a sentence per metric for a paper's appendix; ``'latex'`` gives a LaTeX list."""
        lines = [f"{label}: {sentence}" for label, sentence in self._described().items()]
        if format == "latex":
            lines = [r"\begin{itemize}", *(rf"\item {latex(line)}" for line in lines), r"\end{itemize}"]
        return "".join(f"{line}\n" for line in lines)

    def _described(self) -> dict[str, str]:
        return {each.label: _describe(each) for each in self.built if not self.columns[each.label].error}

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False, **look: Any) -> Report:
        """Write the tables, every score and the files' hashes, what differs from expectations, and ``report.html``."""
        files = dict(zip(_FRAMES, (self.expected, self.explained, self.changed), strict=True))
        return save(folder, self.report(**look), files, self.stored, self.images.inputs, overwrite)


def _crops(found: MethodTable, shown: Callable[[str], str]) -> dict[str, Any]:
    from ...report.html import block, embedded  # imports matplotlib

    if len(found.methods) == 1:
        return {}
    images = []
    for test_set, name in found.spread().index[:_SHOWN]:
        rows = found.scores[(found.scores["test_set"] == test_set) & (found.scores["image"] == name)]
        rows = rows.set_index("method")
        files = {"reference": found.images.references.get(name), **rows["path"]}
        files = {who: path for who, path in files.items() if path}
        crops, versions = differing_crops(files), []
        for who in files:
            scores = rows.loc[who, found.of_images] if who in rows.index else {}
            texts = {shown(label): number(score, found.digits(label)) for label, score in scores.items()}
            versions.append((shown(who), embedded(crops[who], shown(who)) if who in crops else None, texts))
        images.append((name, next(iter(files.values())), versions))
    return {"Where the methods differ most": block("crops", _CROPS, images)}


def _tables(found: MethodTable, title: str) -> list[Table]:
    means = _MEANS.format("Mean ± standard deviation" if found.sd else "Mean")
    cells = found.cells if found.sd else found.cells.assign(sd=math.nan)
    sure = f"† differs from {found.baseline} by more than chance (p < {LEVEL})."
    tables = [_table(found, title, cells, _mean, [means, sure, *found.notes], _reasons(found))]
    is_compared = cells["difference"].groupby(level=["test_set", "metric"]).transform("count") > 0
    compared = cells[is_compared].drop(found.baseline, level="method")
    if len(compared):
        tables.append(
            _table(
                found, f"Differences from {found.baseline}, on the same images", compared, _difference, [_DIFFERENCES]
            )
        )
    if found.expected is not None:
        tables.append(_published(found.expected, found.explained))
    if found.changed is not None:
        tables.append(_changed(found.changed))
    return tables


def _table(
    found: MethodTable,
    title: str,
    cells: pandas.DataFrame,
    cell: Callable[[pandas.Series, int], Cell],
    legend: Sequence[str],
    reasons: Mapping[str, str] | None = None,
) -> Table:
    columns = [words("method", cells.index.unique("method"))]
    for (test_set, label), values in cells.groupby(level=["test_set", "metric"], sort=False):
        digits = found.digits(label)
        numbers = [cell(value, digits) for _, value in values.iterrows()]
        columns.append(Column(label, numbers, values["better"].iloc[0], test_set))
    return Table(title, columns, reasons=reasons or {}, legend=legend)


def _mean(value: pandas.Series, digits: int) -> Cell:
    detail = "" if math.isnan(value["sd"]) else f"± {number(value['sd'], digits)}"
    text = number(value["mean"], digits) + "†" * value["significant"]
    return Cell(text, detail, value["mean"], _RANKS[value["rank"]])


def _difference(value: pandas.Series, digits: int) -> Cell:
    apart = value["difference"]
    if math.isnan(apart):
        return Cell("–")
    detail = ""
    if not math.isnan(value["p"]):
        is_lowest = value["p"] <= 2.0 ** (1 - value["n"])  # the lowest p of n images
        detail = f"{interval(value['low'], value['high'], digits)} {p_value(value['p Holm'], is_lowest)}"
    is_better = (apart < 0) == (value["better"] == "lower")
    mark: Mark = ("gain" if is_better else "loss") if value["significant"] else ""
    return Cell(number(apart, digits, "+"), detail, apart, mark)


def _published(expected: pandas.DataFrame, explained: pandas.DataFrame | None) -> Table:
    rows = []
    for row in expected.itertuples():
        if row.published == "–":
            digits, mark = 4, "not compared"
        else:
            digits, gap = len(row.published.partition(".")[2]), abs(row.computed - float(row.published))
            mark = "✓" if row.agrees else "≈" if gap <= _BETWEEN_MACHINES.get(row.metric.lower(), 0) else "✗"
        computed = f"{number(row.computed, digits)} {mark}"
        method = f"{row.test_set} {row.method}".strip()
        rows.append((method, row.metric, row.published, computed, number(row.units, 1)))
    agrees = expected["agrees"]
    before = [
        f"{agrees.sum()} of {agrees.count()} published numbers agree within one unit of the last digit (✓). "
        "≈ marks a gap that is known between machines (niqe: 0.02)."
    ]
    if expected["averaged"].any():
        before.append("Published numbers of single images are averaged.")
    before += [] if explained is None else _trials(explained)
    heads = ("method", "metric", "published", "computed", "units")
    columns = list(map(words, heads, zip(*rows, strict=True)))
    return Table("Beside published numbers", columns, before)


def _trials(explained: pandas.DataFrame) -> list[str]:
    """Return a line per metric: changes that explain its numbers, with the options, and how many were tried."""
    lines = []
    for metric, rows in explained.groupby("metric", sort=False):
        tried = rows[rows["verdict"] != "not tried"]
        fit = (tried["verdict"] == "fits").groupby(tried["change"], sort=False).all()
        options = dict(zip(tried["change"], tried["option"], strict=True))
        fits = [f"{change} explains it ({options[change]})" for change in fit.index[fit]]
        line = f"{metric}: of the {counted(len(fit), 'change')} tried, {' or '.join(fits) or 'none explains it'}"
        lines.append(f"{line}; {rows['change'].nunique() - len(fit)} could not be tried.")
    return lines


def _changed(changed: pandas.DataFrame) -> Table:
    before = [f"{counted(len(changed), 'value')} of the earlier table changed; scores agree up to 1e-5 of their size."]
    columns = [words(name, changed[name].head(_LISTED)) for name in changed]
    if len(changed) > _LISTED:
        before.append(f"The first {_LISTED} are listed; with --out, changes.csv lists all.")
    return Table("Beside an earlier table", columns, before)


def _reasons(found: MethodTable) -> dict[str, str]:
    protocol, columns = found.protocol, found.columns
    reasons = {
        label: f"not computed here: {why}" for label, why in protocol.not_computed.items() if label not in columns
    }
    for label, metric in columns.items():
        if why := "; ".join(filter(None, (metric.error, metric.note))):
            reasons[label] = why
    if protocol.score and found.cells["mean"].xs(protocol.score, level="metric").hasnans:
        reasons[protocol.score] = "its formula needs all of its scores and values."
    return reasons


def channel(metric: Metric) -> str:
    """Return the channel of psnr or ssim in words."""
    is_y = metric.options.get("test_y_channel")
    if (metric.name in ("psnry", "ssim") and is_y is not False) or (metric.name == "psnr" and is_y):
        return _Y.get(metric.options.get("color_space", "yiq"), "")
    return "on RGB" if metric.name in ("psnr", "ssimc") else ""


def _describe(metric: Metric) -> str:
    words, record = described(metric.columns), metric.columns[0].record
    if metric.mode == "file":
        return f"{record.get('metric', metric.label)} as {metric.name} has it."
    seen = "" if metric.mode == "set" else record.get("seen", "whole images")
    if metric.net is not None:
        pairs = len(record.get("questions", ()))
        prompts = "learned prompts" if record.get("learned") else _PROMPTS.get(pairs, f"{pairs} prompt pairs")
        prompts = record.get("view", prompts)  # of this package's other CLIP metrics
        parts = [
            f"clipiqa-pyiqa {words['version']} {words['metric']}",
            prompts,
            f"{words['backbone']} {words['weights']}",
        ]
    else:
        options = [f"{key} {value}" for key, value in metric.options.items()]
        maker = [f"pyiqa {words['pyiqa']}"] if "pyiqa" in words else []
        parts = [" ".join([*maker, words["metric"]]), *options]
    parts += [channel(metric), seen, words.get("precision", "fp32")]
    return f"{', '.join(filter(None, parts))}."
