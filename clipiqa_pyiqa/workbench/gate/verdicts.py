"""Verdicts of ``gate`` on a column and on two runs, as texts, files and a page."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from pandas import DataFrame, Series

from ...errors import CLIPIQAError
from ...files.printable import one_line
from ...text import counted
from ..report.report import Report, Reported, Shown
from ..report.table import Table, words
from ..results.columns import Column
from ..results.directions import Direction
from ..results.record_text import described
from ..results.scores import Scores
from ..stats.intervals import FEW, LEVEL, ROUNDING, fewest, holm, mean_difference, noticed

FAILED = ("worse", "unclear")
_ROUNDING = {"fp32": 1e-5, "bf16": 2e-3, "fp16": 3e-4}
"""Share of a closed range by which other threads or processors may change a mean.

Measured with mini on 48 photos, as the change of a mean from two threads and AVX-512 to one thread and AVX2: 3e-8 in
fp32, 1e-3 in bf16. fp16 was not measured on a GPU; it has three bits more than bf16.
"""
WRITTEN = ("gate.json", "gate.xml", "rows.csv")
PAGE = "gate.html"
_TABLE = {
    "metric": "name",
    "verdict": "verdict",
    "difference [95 %, uncorrected]": "interval",
    "means": "means",
    "margin": "margin",
}
_SHOWN = 6
"""Number of images on the page that lose most; half of it is drawn at random."""
_SAFE = 0.99
"""Share of runs without a change that a suggested margin lets pass."""


@dataclass(frozen=True)
class ColumnPair:
    """One column, compared in both runs.

    Attributes:
        n, base, new: Number of rows with scores in both runs, and each run's mean.
        difference, low, high, p: New minus base, with its 95 % interval and p-value.
        rounding: Difference that other threads or another processor may cause: the median of the rows.
        noticed: Loss that four of five such runs find.
        caveat: Why these differences tell little of other rows, or empty.
    """

    name: str
    direction: Direction
    n: int
    base: float
    new: float
    difference: float
    low: float
    high: float
    p: float
    rounding: float
    noticed: float
    caveat: str = ""
    margin: float | None = None
    p_holm: float | None = None
    equal: bool = False
    largest_loss: float = 0.0
    worst_loss: float | None = None

    @property
    def sign(self) -> int:
        return -1 if self.direction.lower_better else 1

    @property
    def record(self) -> dict[str, Any]:
        return {**asdict(self), "gains": self.gains, "verdict": self.verdict}

    @property
    def gains(self) -> list[float]:
        """The interval's lower end, the difference and the upper end, where a gain is positive."""
        return sorted(self.sign * each for each in (self.low, self.difference, self.high))

    @property
    def verdict(self) -> str:
        """``'worse'``, ``'better'`` or ``'no change'``; with a margin ``'pass'``, ``'worse'`` or ``'unclear'``.

        A column passes if its interval excludes a loss of ``margin``, and is worse if all of it lies beyond. Without a
        margin, a change is more than rounding, its interval excludes 0, and its corrected p-value is below 0.05. If
        every row agrees within rounding, a column passes or has no change, however few rows there are. It is also worse
        if a row loses more than ``worst_loss``.
        """
        return self._judged[0]

    @property
    def _judged(self) -> tuple[str, str]:
        """The verdict, and words that explain it."""
        if self.worst_loss is not None and self.largest_loss > self.worst_loss:
            return "worse", f", an image loses {self.largest_loss:.4f}, more than {self.worst_loss:g}"
        if self.margin is not None:
            return self._judged_by_margin(self.margin)
        return self._judged_by_chance()

    def _judged_by_margin(self, margin: float) -> tuple[str, str]:
        low, _, high = self.gains
        if not self.equal:
            if self.n < FEW:
                return "unclear", f", fewer than {FEW} rows"
            if low <= -margin <= high:
                because = f", as {self.caveat}" if self.caveat else ""
                return "unclear", f", a loss of {margin:g} is not excluded{because}"
            if high < -margin:
                return "worse", ""
        is_loss = -margin < low and high < 0
        return "pass", f", a loss beyond chance, but below {margin:g}" if is_loss else ""

    def _judged_by_chance(self) -> tuple[str, str]:
        low, _, high = self.gains
        verdict = "no change"
        text = f" (a loss of {self.noticed:.2g} would have shown four times in five)"
        if self.caveat:
            text = f", {self.caveat}"
        if 0 < abs(self.difference) <= self.rounding:
            text += f", a difference within rounding ({self.rounding:.0e})"
        elif not low <= 0 <= high:
            if self.equal or self.p_holm is None or self.p_holm >= LEVEL:
                text += f", p = {self.p:.2g} alone, {self.p_holm:.2g} among all columns"
            else:
                verdict = "better" if low > 0 else "worse"
        if self.n < FEW:
            text += f", less certain with fewer than {FEW} rows"
        return verdict, text

    @property
    def line(self) -> str:
        verdict, reason = self._judged
        return f"{self.name}: {verdict}: {self.interval}, {self.means}{reason}, {self.direction}"

    @property
    def interval(self) -> str:
        return f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"

    @property
    def means(self) -> str:
        return f"{self.base:.4f} to {self.new:.4f}, n = {self.n}"


def judge(
    rows: DataFrame,
    directions: Mapping[str, Direction],
    limits: Mapping[str, Mapping[str, float]],
    runs: Sequence[Scores],
) -> tuple[ColumnPair, ...]:
    """Return a verdict per column.

    Args:
        limits: The allowed losses: ``'margin'`` and ``'worst_loss'``, each column -> limit.
    """
    margins = limits["margin"]
    corrected = [name for name in directions if name not in margins]
    count = max(1, len(corrected))
    pairs = {}
    for name, direction in directions.items():
        columns = [run.columns.get(name, Column(name)) for run in runs]
        finite = rows[rows[f"{name} difference"].notna()]
        base, new = finite[[f"{name} base", f"{name} new"]].to_numpy(float).T
        needed = 2 if name in margins else fewest(count)
        if len(base) < needed:
            raise CLIPIQAError(
                f"{name!r} has finite scores of {counted(len(base), 'row')} in both runs, but {needed} or more are "
                f"needed for {counted(count, 'column')}: with fewer rows, all differences may have the same "
                "sign by chance."
            )
        apart = mean_difference(new, base)
        if math.isnan(apart.p):
            raise CLIPIQAError(f"{name!r} has no interval: its scores are too large.")
        of_rows = np.maximum(abs(base), abs(new)) * ROUNDING  # the difference of each row that rounding may cause
        for column in reversed(columns):
            low, high = column.ends
            if low is not None and high is not None:
                of_rows[:] = (high - low) * _ROUNDING.get(column.record.get("precision", "")[:4], _ROUNDING["fp32"])
        rounding = np.median(of_rows)
        is_equal = bool((abs(new - base) <= of_rows).all())
        pairs[name] = ColumnPair(
            name,
            direction,
            len(base),
            base.mean(),
            new.mean(),
            *apart.numbers,
            rounding=rounding,
            equal=is_equal,
            noticed=max(rounding, noticed(new - base, LEVEL / count)),
            caveat="" if is_equal else apart.caveat,
            margin=margins.get(name),
            largest_loss=max((base - new) * (-1 if direction.lower_better else 1)),
            worst_loss=limits["worst_loss"].get(name),
        )
    for name, p in zip(corrected, holm([pairs[name].p for name in corrected]), strict=True):
        pairs[name] = replace(pairs[name], p_holm=p)
    return tuple(pairs.values())


def junit(title: str, cases: Sequence[tuple[str, str, str, Sequence[str]]]) -> bytes:
    """Return JUnit XML with a test case for each name, verdict (also ``'error'``), sentence, and lines about rows."""
    tags = {**dict.fromkeys(FAILED, "failure"), "error": "error"}
    found = [tags.get(verdict) for _, verdict, *_ in cases]
    counts = {f"{tag}s": str(found.count(tag)) for tag in ("failure", "error")}
    suite = ElementTree.Element("testsuite", {"tests": str(len(cases)), **counts}, name=title)
    for tag, (name, verdict, message, lines) in zip(found, cases, strict=True):
        case = ElementTree.SubElement(suite, "testcase", classname="clipiqa.gate", name=one_line(name))
        if tag:
            problem = ElementTree.SubElement(case, tag, type=verdict, message=one_line(message))
            problem.text = "\n".join(map(one_line, lines))
    return ElementTree.tostring(suite, "UTF-8")


@dataclass(frozen=True)
class Gate(Reported):
    """Two runs, compared column by column.

    Attributes:
        rows: ``NAME base``, ``NAME new``, ``NAME difference`` (new minus base) for each column.
        notes: Sentences about what the verdict leaves out, and what else to know.
        missing: Sentences about missing scores, the reason for not passing.
        flagged: Row -> flag of an image that only the new run flags.
    """

    pairs: tuple[ColumnPair, ...]
    rows: DataFrame
    base: str
    new: str
    notes: Sequence[str]
    missing: Sequence[str]
    flagged: Mapping[str, str]
    paths: DataFrame
    metrics: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]

    @property
    def verdict(self) -> Literal["pass", "worse", "unclear"]:
        """``'worse'``: a column is worse, or an image is newly flagged; ``'unclear'``: scores are missing."""
        verdicts = {verdict for _, verdict, *_ in self.checks()}
        if "worse" in verdicts:
            return "worse"
        return "unclear" if "unclear" in verdicts else "pass"

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    @property
    def columns(self) -> DataFrame:
        """A row per column: verdict, direction, means, difference with interval and p-values, margin."""
        return DataFrame([pair.record for pair in self.pairs], [pair.name for pair in self.pairs])

    def worst(self, column: str, count: int = 10) -> Series:
        """Return the rows with the largest losses beyond rounding: row name -> new minus base."""
        pair = next(pair for pair in self.pairs if pair.name == column)
        apart = self.rows[f"{column} difference"]
        losses = apart[pair.sign * apart < -pair.rounding]
        return losses.sort_values(key=abs, ascending=False, kind="stable").head(count)

    def checks(self, count: int = 3) -> list[tuple[str, str, str, list[str]]]:
        """Return what decides, each with a name, a verdict, a sentence, and lines about rows."""
        found = []
        for pair in self.pairs:
            losses = self.worst(pair.name, count).map("{:+.4f}".format)
            found.append((pair.name, pair.verdict, pair.line, [f"{row}: {loss}" for row, loss in losses.items()]))
        if self.flagged:
            flags = [f"{row}: {flag}" for row, flag in self.flagged.items()]
            found.append(("flag", "worse", f"{counted(len(flags), 'image')} newly flagged", flags))
        if self.missing:
            found.append(("missing", "unclear", "scores are missing", [*self.missing]))
        return found

    def margins(self) -> Iterator[str]:
        """Yield a sentence about each column with a margin, if both runs were made without a change."""
        for pair in self.pairs:
            each = self.rows[f"{pair.name} difference"].dropna()
            if pair.equal or pair.verdict in ("worse", "better"):
                differ = "are equal" if pair.equal else "differ by more than chance"
                yield f"{pair.name}: the runs {differ}, so no margin follows from them"
                continue
            if pair.caveat:
                yield f"{pair.name}: {pair.caveat}, and no margin follows"
                continue
            yield (
                f"--margin {pair.name}={noticed(each, power=_SAFE):.2g}: of runs without a change, 99 of 100 pass; a "
                f"loss of {noticed(each, 2 - 2 * _SAFE):.2g} fails four times in five (n = {len(each):,}; with four "
                "times as many images, half of both)"
            )

    def junit(self) -> bytes:
        """Return JUnit XML with a test case per column, and one for newly flagged images if there are any."""
        return junit(f"clipiqa gate: {self.base} → {self.new}", self.checks(10))

    def summary(self) -> dict[str, Any]:
        """Return verdicts, means, differences, margins, metrics, versions and time, as values of JSON."""
        columns = [{**pair.record, "worst": self.worst(pair.name).to_dict()} for pair in self.pairs]
        names = ("verdict", "passed", "base", "new", "notes", "missing", "flagged", "metrics")
        return {**self.about, **{name: getattr(self, name) for name in names}, "columns": columns}

    def report(self) -> Report:
        """Return the verdicts as a table with sentences, as Markdown or as a page with images.

        Its files are ``gate.json``, ``gate.xml`` (JUnit) and ``rows.csv`` (every row).
        """
        as_text = partial(re.sub, "^(?=[-=+@])", "'")  # a spreadsheet would run the cell as a formula
        rows = self.rows.rename(index=as_text, columns=as_text)
        files = (f"{json.dumps(self.summary(), indent=2, ensure_ascii=False)}\n", self.junit(), rows)
        columns = [words(head, [str(getattr(pair, key) or "–") for pair in self.pairs]) for head, key in _TABLE.items()]
        # the table shows only the verdicts of columns
        verdicts = dict.fromkeys([self.verdict, *(name for name, *_ in self.checks()[len(self.pairs) :])])
        title = f"{', '.join(verdicts)}: {Path(self.new).name} compared with {Path(self.base).name}"
        return Report(
            [Table(title, columns, section="Verdict")],
            self.rows,
            "gate",
            title,
            legend=[*("; ".join([text, *rows]) for _, _, text, rows in self.checks()), *self.notes],
            metrics={name: described([Column(name, record)]) for name, record in self.metrics.items()},
            settings=described([], self.about),
            pictures=self._pictures,
            files=dict(zip(WRITTEN, files, strict=True)),
            inputs=(self.base, self.new),
        )

    def _pictures(self, shown: Shown) -> dict[str, Any]:
        from ..report.html import block

        worst = [row for pair in self.pairs for row in self.worst(pair.name, _SHOWN).index]
        some = self.paths.sample(min(_SHOWN // 2, len(self.paths)), random_state=0).index
        chosen = dict.fromkeys([*self.flagged, *worst, *some])
        rows = [row for row in chosen if os.path.exists(self.paths.loc[row, "new"])]
        return {"Images": block("pairs", self, rows)}
