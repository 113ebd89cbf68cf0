"""The result of ``gate``: verdicts as sentences, JUnit XML, a summary for a job, and a page with nights and images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pandas

from ..errors import counted
from ..files.names import one_line
from ..files.writing import check_folder
from ..report.report import Report, save_files
from ..report.table import Table, words
from ..results.columns import Column, described
from ..stats.paired_means import noticed
from .nights import Nights
from .verdicts import FAILED, ColumnPair

WRITTEN = ("gate.json", "gate.xml", "rows.csv")
PAGE = "gate.html"
FilePath = str | os.PathLike[str]
_TABLE = {"metric": "name", "verdict": "verdict", "difference": "interval", "means": "means", "margin": "margin"}
_SHOWN = 6
"""Number of images on the page that lose most; half of it is drawn at random."""
_SAFE = 0.99
"""Share of runs without a change that a suggested margin lets pass."""


@dataclass(frozen=True)
class Gate:
    """Two runs, compared column by column.

    Attributes:
        rows: ``NAME base``, ``NAME new``, ``NAME difference`` (new minus base) for each column.
        notes: What the verdict leaves out, and what else to know, in sentences.
        missing: What has no score, although it was asked for: the reason for not passing, in sentences.
        flagged: Row -> flag of an image that only the new run flags.
    """

    pairs: tuple[ColumnPair, ...]
    rows: pandas.DataFrame
    base: str
    new: str
    notes: Sequence[str]
    missing: Sequence[str]
    flagged: Mapping[str, str]
    paths: pandas.DataFrame
    nights: Sequence[Nights]
    metrics: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]

    @property
    def verdict(self) -> Literal["pass", "worse", "unclear"]:
        """``'worse'`` if a column is worse or drifts, or an image is newly flagged; missing scores: ``'unclear'``."""
        found = {verdict for _, verdict, *_ in self.findings()}
        return "worse" if "worse" in found else "unclear" if "unclear" in found else "pass"

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    @property
    def columns(self) -> pandas.DataFrame:
        """A row per column: verdict, direction, means, difference with interval and p-values, margin."""
        return pandas.DataFrame([pair.record for pair in self.pairs], [pair.name for pair in self.pairs])

    def worst(self, column: str, count: int = 10) -> pandas.Series:
        """Return the rows with the largest losses beyond rounding: row name -> new minus base."""
        pair = next(pair for pair in self.pairs if pair.name == column)
        apart = self.rows[f"{column} difference"]
        losses = apart[pair.sign * apart < -pair.rounding]
        return losses.sort_values(key=abs, ascending=False, kind="stable").head(count)

    def findings(self, count: int = 3) -> list[tuple[str, str, str, list[str]]]:
        """Return what decides, each with a name, a verdict, a sentence, and lines about rows."""
        found = []
        for pair in self.pairs:
            losses = self.worst(pair.name, count).map("{:+.4f}".format)
            found.append((pair.name, pair.verdict, pair.line, [f"{row}: {loss}" for row, loss in losses.items()]))
        found += [("drift", "worse", nights.warning, []) for nights in self.nights if nights.drift]
        if self.flagged:
            flags = [f"{row}: {flag}" for row, flag in self.flagged.items()]
            found.append(("flag", "worse", f"{counted(len(flags), 'image')} newly flagged", flags))
        if self.missing:
            found.append(("missing", "unclear", "scores are missing", [*self.missing]))
        return found

    def margins(self) -> list[str]:
        """Return a sentence about each column with a margin, if both runs were made without a change."""
        found = []
        for pair in self.pairs:
            each = self.rows[f"{pair.name} difference"].dropna()
            if pair.equal or pair.verdict in ("worse", "better"):
                differ = "are equal" if pair.equal else "differ by more than chance"
                found.append(f"{pair.name}: the runs {differ}, so no margin follows from them")
                continue
            found.append(
                f"--margin {pair.name}={noticed(each, power=_SAFE):.2g}: of runs without a change, 99 of 100 pass; a "
                f"loss of {noticed(each, 2 - 2 * _SAFE):.2g} fails four times in five (n = {len(each):,}; with four "
                "times as many images, half of both)"
            )
        return found

    def junit(self) -> bytes:
        """Return JUnit XML with a test case per column, and one for newly flagged images if there are any."""
        cases = self.findings(10)
        counts = {"tests": str(len(cases)), "failures": str(sum(verdict in FAILED for _, verdict, *_ in cases))}
        suite = ElementTree.Element("testsuite", counts, name=f"clipiqa gate: {self.base} → {self.new}")
        for name, verdict, message, lines in cases:
            case = ElementTree.SubElement(suite, "testcase", classname="clipiqa.gate", name=one_line(name))
            if verdict in FAILED:
                failure = ElementTree.SubElement(case, "failure", type=verdict, message=one_line(message))
                failure.text = "\n".join(map(one_line, lines))
        return ElementTree.tostring(suite, "UTF-8")

    def summary(self) -> dict[str, Any]:
        """Return verdicts, means, differences, margins, metrics, versions and time, as values of JSON."""
        columns = [{**pair.record, "worst": self.worst(pair.name).to_dict()} for pair in self.pairs]
        names = ("verdict", "passed", "base", "new", "notes", "missing", "flagged", "metrics")
        drifts = [nights.warning for nights in self.nights if nights.drift]
        return {**self.about, **{name: getattr(self, name) for name in names}, "drifts": drifts, "columns": columns}

    def report(self) -> Report:
        """Return the verdicts as a table with sentences, as Markdown or as a page with the nights and images."""
        columns = [words(head, [str(getattr(pair, key) or "–") for pair in self.pairs]) for head, key in _TABLE.items()]
        title = f"{self.verdict}: {Path(self.new).name} compared with {Path(self.base).name}"
        return Report(
            [Table(title, columns, section="Verdict")],
            self.rows,
            "gate",
            title,
            legend=[*("; ".join([text, *rows]) for _, _, text, rows in self.findings()), *self.notes],
            metrics={name: described([Column(name, record)]) for name, record in self.metrics.items()},
            settings=described([], self.about),
            pictures=self._pictures,
        )

    def _pictures(self, shown: Callable[[str], str]) -> dict[str, Any]:
        from ..report.html import block

        worst = [row for pair in self.pairs for row in self.worst(pair.name, _SHOWN).index]
        some = self.paths.sample(min(_SHOWN // 2, len(self.paths)), random_state=0).index
        chosen = dict.fromkeys([*self.flagged, *worst, *some])
        rows = [row for row in chosen if os.path.exists(self.paths.loc[row, "new"])]
        nights = {"Nights": block("nights", self.nights)} if self.nights else {}
        return nights | {"Images": block("pairs", self, rows)}

    def save(self, folder: FilePath, *, overwrite: bool = False) -> None:
        """Write ``gate.json``, ``gate.xml`` (JUnit) and ``rows.csv`` (every row)."""
        folder = check_folder(folder, WRITTEN, overwrite=overwrite, inputs=(self.base, self.new))
        rows = self.rows.rename(index=_as_text, columns=_as_text)
        files = (f"{json.dumps(self.summary(), indent=2, ensure_ascii=False)}\n", self.junit(), rows)
        save_files(folder, dict(zip(WRITTEN, files, strict=True)))


def _as_text(cell: str) -> str:
    # a spreadsheet would run the cell as a formula
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell
