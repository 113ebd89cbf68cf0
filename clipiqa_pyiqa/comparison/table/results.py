"""The result of ``table``: scores, means, ranks and paired differences, as texts, files and a page."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pandas import DataFrame, MultiIndex, Series, concat

from ...errors import counted
from ...metrics.metric import Metric
from ...prompts.pairs import files_text
from ...report.pictures import differing_crops
from ...report.report import Report, Reported, Shown
from ...report.table import Cell, Mark, Table, TableColumn, interval, latex, number, p_value, words
from ...results.columns import described
from ...results.results import Results
from ...stats.intervals import FEW, LEVEL, fewest, holm, mean_difference
from ..data_set_results import MetricResult
from .matching import MethodImages
from .protocols import NO_PROTOCOL, Protocol

_SHOWN = 10  # images whose crops are shown
_LISTED = 20  # most changes that are listed
_COLUMN = ["test_set", "metric"]
_NUMBERS = ["n", "mean", "sd", "difference", "low", "high", "p"]


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
_TEXTS = {"table.md": "markdown", "table.tex": "latex", "table.csv": "csv", "report.html": "html"}
_FRAMES = ("expect.csv", "explain.csv", "changes.csv")
IMAGES, SETS = "images.csv", "sets.csv"
OTHERS = (*_TEXTS, *_FRAMES)
"""Names of the results beside the scores."""


@dataclass(frozen=True)
class MethodTable(Reported):
    """Scores of methods on one or several test sets, as a table.

    Attributes:
        scores: Columns ``test_set``, ``image``, ``method``, ``path``, ``sha256``, ``reference_sha256``, and one per
            metric; NaN where a metric failed.
        sets: Columns ``test_set``, ``method``, and one per metric of whole sets.
        unknown: Names of published numbers that the table lacks.
        explained: Result of :func:`~.published.explain`, or None.
        changed: Result of :func:`~.published.differences`, or None.
    """

    scores: DataFrame
    sets: DataFrame
    columns: dict[str, MetricResult]
    built: Sequence[Metric]
    images: MethodImages
    baseline: str
    protocol: Protocol = NO_PROTOCOL
    inputs: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    expected: DataFrame | None = None
    unknown: str = ""
    explained: DataFrame | None = None
    changed: DataFrame | None = None
    sd: bool = True
    stored: Mapping[str, Results] = field(default_factory=dict, repr=False)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.images.files)

    @property
    def test_sets(self) -> tuple[str, ...]:
        return tuple(self.images.test_sets.unique())

    @property
    def of_images(self) -> list[str]:
        return [label for label in self.columns if label in self.scores]

    @property
    def complete(self) -> bool:
        return not (
            self.stored[IMAGES].known.gone
            or self.scores[self.of_images].isna().any(axis=None)
            or any(metric.error or metric.note for metric in self.columns.values())
        )

    @property
    def agrees(self) -> bool:
        """Whether every published number is in the table, each column has one, and these and earlier scores agree."""
        columns = () if self.expected is None else self.expected.groupby("metric")["agrees"]
        is_as_published = all(column.all() and column.count() for _, column in columns)
        return not self.unknown and is_as_published and (self.changed is None or self.changed.empty)

    def mean(self, test_set: str, label: str, method: str) -> float:
        """Return a method's mean score, or its value for a whole set."""
        return self.cells.at[(test_set, label, method), "mean"]

    @cached_property
    def cells(self) -> DataFrame:
        """The columns of :meth:`frame`, by test set, metric and method."""
        keys = [*_COLUMN, "method"]
        index = MultiIndex.from_product([self.test_sets, self.columns, self.methods], names=keys)
        found = {key: self._summary(*key) for key in itertools.product(self.test_sets, self.columns)}
        frame = concat(found, names=keys).reindex(index, columns=_NUMBERS)
        if (score := self.protocol.score) and score not in self.scores:
            for (test_set, method), means in frame["mean"].unstack("metric").iterrows():
                frame.at[(test_set, score, method), "mean"] = self.protocol.combine(means.to_dict(), self.inputs)
        better = index.get_level_values("metric").map({label: each.direction for label, each in self.columns.items()})
        groups = frame["mean"].where(better == "lower", -frame["mean"]).groupby(_COLUMN)
        ranks = groups.rank("dense").where(groups.transform("nunique") > 1)
        p = frame["p"].dropna()
        frame["p Holm"] = Series(holm(p), p.index)
        return frame.assign(
            better=better,
            n=frame["n"].fillna(0).astype(int),
            rank=ranks.where(ranks <= 2, 0).astype(int),
            significant=frame["p Holm"] < LEVEL,
        )

    def _summary(self, test_set: str, label: str) -> DataFrame:
        """Return a row per method, of the images that have scores for every method; columns of ``_NUMBERS``."""
        scores = self.sets if label in self.sets else self.scores
        rows = scores[scores["test_set"] == test_set]
        if label in self.sets:
            return DataFrame({"mean": rows.set_index("method")[label]})
        if label not in scores:  # a formula of means
            return DataFrame()
        wide = rows.pivot(index="image", columns="method", values=label).dropna(axis=1, how="all").dropna()
        if wide.empty:
            return DataFrame()
        weights = self.images.weights
        means = np.average(wide, axis=0, weights=None if weights is None else weights[wide.index])
        found = DataFrame({"n": len(wide), "mean": means, "sd": wide.std()})
        if weights is None and self.baseline in wide:
            for method in wide.columns.drop(self.baseline):
                found.loc[method, _NUMBERS[3:]] = mean_difference(wide[method], wide[self.baseline]).numbers
        return found

    def frame(self) -> DataFrame:
        """Return a row per test set, metric and method, in full precision.

        Columns: test_set, metric, method, n (images with scores for all methods; 0 for a whole set), mean, sd; the
        paired difference from the baseline: difference, low, high, p, p Holm; better, rank (1, 2, otherwise 0),
        significant.
        """
        return self.cells.reset_index()

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
        tables = _tables(self)
        return Report(
            tables,
            self.frame(),
            "table",
            tables[0].title,
            marks="* best of its column, ° second best; in the differences, * marks an improvement and ▼ a decline",
            metrics=self._described(),
            settings=self.settings,
            pictures=self._crops,
            texts=_TEXTS,
            files=dict(zip(_FRAMES, (self.expected, self.explained, self.changed), strict=True)),
            inputs=self.images.inputs,
            **look,
        )

    def _crops(self, shown: Shown) -> dict[str, Any]:
        from ...report.html import block, embedded  # imports matplotlib

        if len(self.methods) == 1:
            return {}
        scored, images = self.scores.set_index(["test_set", "image", "method"]), []
        for test_set, name in self.spread().index[:_SHOWN]:
            rows = scored.xs((test_set, name), level=[0, 1])
            reference = self.images.references.get(name)
            files = {**({"reference": reference} if reference else {}), **rows["path"]}
            crops, versions = differing_crops(files), []
            for who in files:
                scores = rows.loc[who, self.of_images] if who in rows.index else {}
                texts = {shown(label): number(score, self.digits(label)) for label, score in scores.items()}
                versions.append((shown(who), embedded(crops[who], shown(who), "PNG") if who in crops else None, texts))
            images.append((name, next(iter(files.values())), versions))
        note = (
            "Shown are the images on which the methods' scores differ most. Each crop is the square in which the "
            "pixels differ most, at 100 % (unscaled)."
        )
        return {"Where the methods differ most": block("crops", note, images)}

    def describe(self, format: str = "table") -> str:
        """Return a sentence per metric for a paper's appendix; ``'latex'`` gives a LaTeX list."""
        lines = [f"{label}: {sentence}" for label, sentence in self._described().items()]
        if format == "latex":
            lines = [r"\begin{itemize}", *(rf"\item {latex(line)}" for line in lines), r"\end{itemize}"]
        return "".join(f"{line}\n" for line in lines)

    def _described(self) -> dict[str, str]:
        return {each.label: _describe(each) for each in self.built if not self.columns[each.label].error}


def _tables(found: MethodTable) -> list[Table]:
    def columns_of(cells: DataFrame, cell: Callable[[Series, int], Cell]) -> list[TableColumn]:
        columns = [words("method", cells.index.unique("method"))]
        for (test_set, label), values in cells.groupby(_COLUMN, sort=False):
            digits = found.digits(label)
            numbers = [cell(value, digits) for _, value in values.iterrows()]
            columns.append(TableColumn(label, numbers, values["better"].iloc[0], test_set))
        return columns

    means = (
        f"{'Mean ± standard deviation' if found.sd else 'Mean'} over the images of a test set; an image on which a "
        "metric failed is left out of every method. The best is bold, the second best underlined; ↑ higher and ↓ lower "
        "is better."
    )
    sure = f"† differs from {found.baseline} by more than chance (p < {LEVEL})."
    cells = found.cells if found.sd else found.cells.assign(sd=math.nan)
    counts = cells["n"].groupby(_COLUMN, sort=False).max()
    most = counts.groupby("test_set").max()
    fewer = [
        f"{test_set} {label} (n = {count})".strip()
        for (test_set, label), count in counts.items()
        if 0 < count < most[test_set]
    ]
    legend = [means, sure, *([f"Means over fewer images: {', '.join(fewer)}."] if fewer else []), *found.notes]
    reasons = {
        label: f"not computed here: {why}"
        for label, why in found.protocol.not_computed.items()
        if label not in found.columns
    }
    reasons |= {label: why for label, each in found.columns.items() if (why := each.error or each.note)}
    if (score := found.protocol.score) and cells["mean"].xs(score, level="metric").hasnans:
        reasons[score] = "its formula needs all of its scores and values."
    scored = most.sum() or len(found.images.files)  # 0: all metrics are of sets
    title = f"{counted(len(found.methods), 'method')} on {counted(scored, 'image')}"
    tables = [Table(title, columns_of(cells, _mean), reasons=reasons, legend=legend)]
    compared = cells[cells["difference"].groupby(_COLUMN).transform("count") > 0]
    compared = compared.drop(found.baseline, level="method")
    if len(compared):
        count = compared["p"].count() or 1
        reading = (
            "Differences are image by image, with a 95 % interval (Student's t, widened for skewed and for repeated "
            f"differences) and p corrected by Holm's rule for {counted(count, 'difference')}; “p ≤” stands before the "
            f"lowest p that so few images can give. Where p < {LEVEL}, bold marks an improvement and ▼ a decline. "
            f"Fewer than {fewest(count)} images cannot show any of these differences; with fewer than {FEW}, skewed "
            "differences are less certain."
        )
        title = f"Differences from {found.baseline}, on the same images"
        tables.append(Table(title, columns_of(compared, _difference), legend=[reading]))
    if found.expected is not None:
        tables.append(_published(found))
    if (changed := found.changed) is not None:
        before = [
            f"{counted(len(changed), 'value')} of the earlier table changed; scores agree up to 1e-5 of their size."
        ]
        if len(changed) > _LISTED:
            before.append(f"The first {_LISTED} are listed; with --out, changes.csv lists all.")
        columns = [words(name, changed[name].head(_LISTED)) for name in changed]
        tables.append(Table("Beside an earlier table", columns, before))
    return tables


def _mean(value: Series, digits: int) -> Cell:
    detail = "" if math.isnan(value["sd"]) else f"± {number(value['sd'], digits)}"
    text = number(value["mean"], digits) + "†" * value["significant"]
    return Cell(text, detail, value["mean"], _RANKS[value["rank"]])


def _difference(value: Series, digits: int) -> Cell:
    apart, detail = value["difference"], ""
    if not math.isnan(value["p"]):
        is_lowest = value["p"] <= 2.0 ** (1 - value["n"])  # the lowest p of n images
        detail = f"{interval(value['low'], value['high'], digits)} {p_value(value['p Holm'], is_lowest)}"
    is_better = (apart < 0) == (value["better"] == "lower")
    mark: Mark = ("gain" if is_better else "loss") if value["significant"] else ""
    return Cell(number(apart, digits, "+"), detail, apart, mark)


def _published(found: MethodTable) -> Table:
    expected: Any = found.expected
    rows = []
    for row in expected.itertuples():
        if row.published == "–":
            digits, mark = 4, "not compared"
        else:
            digits, gap = len(row.published.partition(".")[2]), abs(row.computed - float(row.published))
            mark = "✓" if row.agrees else "≈" if gap <= _BETWEEN_MACHINES.get(row.metric.lower(), 0) else "✗"
        method, computed = f"{row.test_set} {row.method}".strip(), f"{number(row.computed, digits)} {mark}"
        rows.append((method, row.metric, row.published, computed, number(row.units, 1)))
    agrees = expected["agrees"]
    before = [
        f"{agrees.eq(True).sum()} of {agrees.count()} published numbers agree within one unit of the last digit (✓). "
        "≈ marks a gap that is known between machines (niqe: 0.02)."
    ]
    if expected["averaged"].any():
        before.append("Published numbers of single images are averaged.")
    if found.unknown:
        before.append(f"Published, but not in this table: {found.unknown}")
    if found.explained is not None:
        before += _trials(found.explained)
    heads = ("method", "metric", "published", "computed", "units")
    return Table("Beside published numbers", list(map(words, heads, zip(*rows, strict=True))), before)


def _trials(explained: DataFrame) -> Iterator[str]:
    """Yield a line per metric: changes that explain its numbers, their options, and how many were tried."""
    if explained.empty:
        yield "No number differs that a change to its metric could explain, so no change was tried."
    for metric, rows in explained.groupby("metric", sort=False):
        tried = rows[rows["verdict"] != "not tried"].groupby("change", sort=False)
        fits = [
            f"{change} explains it ({each['option'].iloc[0]})"
            for change, each in tried
            if each["verdict"].eq("fits").all()
        ]
        yield (
            f"{metric}: of the {counted(len(tried), 'change')} tried, {' or '.join(fits) or 'none explains it'}; "
            f"{rows['change'].nunique() - len(tried)} could not be tried."
        )


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
        options = [f"{key} {value}" for key, value in metric.options.items() if value == record["options"][key]]
        maker = f"pyiqa {words['pyiqa']} " if "pyiqa" in words else ""
        parts = [maker + words["metric"], *options]
    held = record.get("learned") or record.get("head") or {}
    digest = held.get("sha256") or record.get("file_sha256") or record.get("state")
    parts.append(f"{words.get('file', 'content')} {digest[:8]}" if digest else files_text(record))
    channel = "on RGB" if metric.name in ("psnr", "ssimc") else ""
    is_y = metric.options.get("test_y_channel", metric.name in ("psnry", "ssim"))
    if is_y and metric.name in ("psnr", "psnry", "ssim"):
        channel = _Y.get(metric.options.get("color_space", "yiq"), "")
    parts += [channel, seen, words.get("precision", "fp32")]
    return f"{', '.join(filter(None, parts))}."
