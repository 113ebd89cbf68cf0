"""The verdict on two runs, its files and its page."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from pandas import DataFrame, Series

from ...files.printable import one_line
from ...text import counted
from ..report.report import Report, Reported, Shown
from ..report.table import Table, words
from ..results.columns import Column
from ..results.record_text import described
from ..stats.intervals import noticed
from .verdicts import FAILED, ColumnPair

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
