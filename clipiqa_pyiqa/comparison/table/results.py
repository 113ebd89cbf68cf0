"""The result of ``table``, as texts, files and a page."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas
from PIL import Image

from ...errors import ImageError, counted
from ...files.writing import locked, write_text
from ...prompts.provenance import as_texts
from ...report.contact_sheet import thumbnail
from ...report.html import embedded, render
from ...report.table import Cell, Column, Mark, Table, csv_table, latex, number, p_value, signed, words
from ...stats.paired_means import FEW, FEWEST, LEVEL
from ..outputs import check_result_folder, tables_as_text
from .published import summarize
from .table_metrics import channel
from .values import MethodScores, shown

_SHOWN = 10  # images whose crops are shown


def report_page(found: MethodScores, tables: Sequence[Table], exactly: Iterable[str]) -> str:
    pictures = found.spread().index[:_SHOWN] if len(found.methods) > 1 else ()
    return render(
        __package__,
        "methods.html.j2",
        title=tables[0].title,
        tables=tables,
        pictures=[_picture(found, *key) for key in pictures],
        exactly=exactly,
        settings=found.settings,
    )


def _picture(found: MethodScores, test_set: str, name: str) -> dict[str, Any]:
    rows = found.scores[(found.scores["test_set"] == test_set) & (found.scores["image"] == name)].set_index("method")
    files = {"reference": found.images.references.get(name), **rows["path"]}
    files = {who: path for who, path in files.items() if path}
    crops, versions = differing_crops(files), []
    for who in files:
        scores = rows.loc[who, found.of_images] if who in rows.index else {}
        texts = {label: shown(score, found.digits(label)) for label, score in scores.items()}
        versions.append({"who": who, "crop": embedded(crops[who], who) if who in crops else None, "scores": texts})
    return {"name": name, "whole": next(iter(files.values())), "versions": versions}


def differing_crops(files: Mapping[str, str], side: int = 176) -> dict[str, Image.Image]:
    """Return each version's crop at the square where the readable versions of one size differ most."""
    pictures: dict[str, Image.Image] = {}
    for who, path in files.items():
        with contextlib.suppress(ImageError):
            picture = thumbnail(path, sys.maxsize)
            if not pictures or picture.size == next(iter(pictures.values())).size:
                pictures[who] = picture
    box = _most_different(list(pictures.values()), side) if pictures else None
    return {who: picture.crop(box) for who, picture in pictures.items()}


def _most_different(versions: Sequence[Image.Image], side: int) -> tuple[int, int, int, int]:
    """Return the box of the square with the largest variance between versions."""
    width, height = versions[0].size
    wide, high = min(side, width), min(side, height)
    pixels = [np.asarray(version) for version in versions]
    mean = sum(each.astype(np.float64) for each in pixels) / len(pixels)
    variance = sum(((each - mean) ** 2).mean(axis=2) for each in pixels)
    summed = np.pad(np.asarray(variance).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = summed[high:, wide:] - summed[:-high, wide:] - summed[high:, :-wide] + summed[:-high, :-wide]
    top, left = map(int, np.unravel_index(np.argmax(boxes), boxes.shape))
    return left, top, left + wide, top + high


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
_FILES = {"table.md": "markdown", "table.tex": "latex", "table.csv": "csv"}
WRITTEN = (*_FILES, "images.csv", "expect.csv", "explain.csv", "report.html")


class MethodTable(MethodScores):
    """A table of methods and metrics, with the fields of :class:`~.values.MethodScores`."""

    def table(self, format: str = "table") -> str:
        """Return the tables as text: ``'table'`` for a console, ``'csv'``, ``'markdown'`` or ``'latex'``."""
        tables = _tables(self)
        return tables_as_text(
            format,
            tables,
            self.frame,
            reading=[line for table in tables for line in table.reading],
            marks=_MARKS,
            metrics=self.describe().splitlines(),
            settings=self.settings,
        )

    def describe(self, format: str = "table") -> str:
        """Return a sentence per metric for a paper's appendix; ``'latex'`` gives a LaTeX list."""
        lines = [_describe(self, label) for label in self.built if not self.columns[label].error]
        if format == "latex":
            lines = [r"\begin{itemize}", *(rf"\item {latex(line)}" for line in lines), r"\end{itemize}"]
        return "".join(f"{line}\n" for line in lines)

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the tables, ``images.csv`` (every score), ``expect.csv``, ``explain.csv`` and ``report.html``.

        Args:
            folder, overwrite: As for :meth:`~clipiqa_pyiqa.comparison.results.Comparison.save`.

        Raises:
            OutputError: A file cannot be written, or exists.
        """
        folder = check_result_folder(folder, WRITTEN, self.images.inputs, overwrite=overwrite, resume=not overwrite)
        with locked(folder):
            for name, format in _FILES.items():
                write_text(folder / name, self.table(format))
            write_text(folder / "images.csv", self.scores.to_csv(index=False))
            for name, frame in {"expect.csv": self.expected, "explain.csv": self.explained}.items():
                if frame is not None:
                    write_text(folder / name, csv_table(frame))
            write_text(folder / "report.html", report_page(self, _tables(self), self.describe().splitlines()))


def _tables(found: MethodScores) -> list[Table]:
    means = _MEANS.format("Mean ± standard deviation" if found.sd else "Mean")
    cells = found.cells if found.sd else found.cells.assign(sd=math.nan)
    title = f"{counted(len(found.methods), 'method')} on {counted(len(found.images.files), 'image')}"
    tables = [_table(found, title, cells, _mean, [means, *found.notes], _reasons(found))]
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
    return tables


def _table(
    found: MethodScores,
    title: str,
    cells: pandas.DataFrame,
    cell: Callable[[pandas.Series, int], Cell],
    reading: Sequence[str],
    reasons: Mapping[str, str] | None = None,
) -> Table:
    columns = [words("method", cells.index.unique("method"))]
    for (test_set, label), values in cells.groupby(level=["test_set", "metric"], sort=False):
        digits = found.digits(label)
        numbers = [cell(value, digits) for _, value in values.iterrows()]
        columns.append(Column(label, numbers, values["better"].iloc[0], test_set))
    return Table(title, columns, reasons=reasons or {}, reading=reading)


def _mean(value: pandas.Series, digits: int) -> Cell:
    detail = "" if math.isnan(value["sd"]) else f"± {number(value['sd'], digits)}"
    return Cell(shown(value["mean"], digits), detail, value["mean"], _RANKS[value["rank"]])


def _difference(value: pandas.Series, digits: int) -> Cell:
    apart = value["difference"]
    if math.isnan(apart):
        return Cell("–")
    detail = ""
    if not math.isnan(value["p"]):
        is_lowest = value["p"] <= 2.0 ** (1 - value["n"])  # the lowest p of n images
        interval = f"[{number(value['low'], digits)}, {number(value['high'], digits)}]"
        detail = f"{interval} {p_value(value['p Holm'], is_lowest)}"
    is_better = (apart < 0) == (value["better"] == "lower")
    mark: Mark = ("gain" if is_better else "loss") if value["significant"] else ""
    return Cell(signed(apart, digits), detail, apart, mark)


def _published(expected: pandas.DataFrame, explained: pandas.DataFrame | None) -> Table:
    rows = []
    for row in expected.itertuples():
        gap = abs(row.computed - float(row.published))
        mark = "✓" if row.agrees else "≈" if gap <= _BETWEEN_MACHINES.get(row.metric.lower(), 0) else "✗"
        computed = f"{shown(row.computed, len(row.published.partition('.')[2]))} {mark}"
        method = f"{row.test_set} {row.method}".strip()
        rows.append((method, row.metric, row.published, computed, shown(row.units, 1)))
    before = [
        f"{expected['agrees'].sum()} of {len(expected)} published numbers agree within one unit of the last digit (✓). "
        "≈ marks a gap that is known between machines (niqe: 0.02)."
    ]
    if expected["averaged"].any():
        before.append("Published numbers of single images are averaged.")
    heads = ("method", "metric", "published", "computed", "units")
    columns = list(map(words, heads, zip(*rows, strict=True)))
    return Table(
        "Beside published numbers", columns, before, left_out=[] if explained is None else summarize(explained)
    )


def _reasons(found: MethodScores) -> dict[str, str]:
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


def _describe(found: MethodScores, label: str) -> str:
    provenance = found.columns[label].provenance
    words = as_texts(provenance)
    seen = "" if label in found.sets else words.pop("seen", "whole images")
    if "scores" in provenance:
        (record, *_) = provenance["scores"].values()
        pairs = len(record.get("questions", ()))
        prompts = "learned prompts" if record.get("learned") else _PROMPTS.get(pairs, f"{pairs} prompt pairs")
        prompts = provenance.get("view", prompts)  # of this package's other CLIP metrics
        weights = f"{words['backbone']} {words['weights']}"
        parts = [f"clipiqa-pyiqa {words['version']} {words['metric']}", prompts, weights]
    else:
        options = [f"{key} {value}" for key, value in words.items() if key not in ("metric", "pyiqa", "precision")]
        name = words.get("metric", label)
        parts = [f"pyiqa {words['pyiqa']} {name}" if "pyiqa" in words else name, *options]
    parts += [channel(words), seen, words.get("precision", "fp32")]
    return f"{label}: {', '.join(filter(None, parts))}."
