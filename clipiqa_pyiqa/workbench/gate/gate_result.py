"""The verdict on two runs, its files and its page."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pandas import DataFrame, Series

from ..report.markdown import markdown_list, markdown_table
from ..report.report import PROVENANCE, Relabelling, Report, Reported
from ..report.table import Table, word_column
from ..results.columns import Column
from ..results.record_text import described
from .findings import Finding
from .junit import Check, junit
from .suggestion import Suggestion, suggest
from .verdicts import ColumnPair

SCORES = {"base": "base.parquet", "new": "new.parquet"}
"""Run -> its file of scores, if it is a folder of images."""
WRITTEN = ("gate.json", "gate.xml", "rows.csv", PROVENANCE)
PAGE = "gate.html"
_TABLE = {  # heading -> attribute of a column, or of a finding
    "check": "name",
    "verdict": "verdict",
    "difference [95 %, uncorrected]": "interval",
    "means": "means",
    "margin": "margin",
    "largest loss of an image": "largest_loss_text",
}
_MOST_PICTURES = 6
"""Number of images on the page for each finding, and of those that lose most; half of it is drawn at random."""


@dataclass(frozen=True)
class GateResult(Reported):
    """Two runs, compared column by column.

    Attributes:
        rows: ``NAME base``, ``NAME new``, ``NAME difference`` (new minus base) for each column.
        notes: Sentences about what else to know.
        findings: What fails the gate whatever the scores say, and what an option accepts.
        paths: Both runs' names of the images in both runs, ``base`` and ``new``.
        unpaired: Row -> the run that alone has the image, and its name there.
        can_be_unclear: Whether a column that is unclear passes.
    """

    pairs: tuple[ColumnPair, ...]
    rows: DataFrame
    base: str
    new: str
    notes: Sequence[str]
    findings: Sequence[Finding]
    paths: DataFrame
    metrics: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]
    unpaired: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    can_be_unclear: bool = False

    @property
    def verdict(self) -> Literal["passed", "failed"]:
        """``'failed'``: a column is worse or unclear, or something was found that no option accepts."""
        return "passed" if self.has_passed else "failed"

    @property
    def has_passed(self) -> bool:
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        """Why the gate fails, in phrases; empty if it passes."""
        columns = [pair.reason for pair in self.pairs if self._fails(pair)]
        return columns + [finding.reason for finding in self.findings if not finding.is_accepted]

    @property
    def accepted(self) -> list[str]:
        """What would have failed the gate without the options that accept it, in phrases."""
        columns = [pair.reason for pair in self.pairs if pair.verdict == "unclear" and not self._fails(pair)]
        return columns + [finding.reason for finding in self.findings if finding.is_accepted]

    def _fails(self, pair: ColumnPair) -> bool:
        return pair.verdict == "worse" or (pair.verdict == "unclear" and not self.can_be_unclear)

    @property
    def line(self) -> str:
        """The verdict in one line: ``PASSED``, or ``FAILED:`` with the reasons; then what was accepted."""
        line = f"FAILED: {'; '.join(self.reasons)}" if self.reasons else "PASSED"
        return f"{line} (accepted: {'; '.join(self.accepted)})" if self.accepted else line

    @property
    def columns(self) -> DataFrame:
        """A row per column: verdict, direction, means, difference with interval and p-values, margin."""
        return DataFrame([pair.record for pair in self.pairs], [pair.name for pair in self.pairs])

    @property
    def remarks(self) -> dict[str, str]:
        """Row -> what was found in it."""
        remarks = dict[str, str]()
        for finding in self.findings:
            for row, remark in finding.rows.items():
                remarks[row] = f"{remarks[row]}, {remark}" if row in remarks else remark
        return remarks

    def worst(self, column: str, count: int = 10) -> Series:
        """Return the rows with the largest losses beyond rounding: row name -> new minus base."""
        pair = next(pair for pair in self.pairs if pair.name == column)
        differences = self.rows[f"{column} difference"]
        losses = differences[pair.sign * differences < -pair.rounding]
        return losses.sort_values(key=abs, ascending=False, kind="stable").head(count)

    def checks(self, count: int = 3) -> list[Check]:
        """Return what was checked, each with up to ``count`` lines about rows."""
        checks = []
        for pair in self.pairs:
            losses = self.worst(pair.name, count).map("{:+.4f}".format)
            lines = [f"{row}: {loss}" for row, loss in losses.items()]
            checks.append(Check(pair.name, pair.verdict, pair.line, lines, self._fails(pair)))
        for finding in self.findings:
            lines = finding.lines(count)
            checks.append(Check(finding.name, finding.verdict, finding.line, lines, not finding.is_accepted))
        return checks

    def suggestion(self) -> Suggestion:
        """Return limits to begin with, if both runs were made without a change."""
        return suggest(self.pairs, self.rows)

    def junit(self) -> bytes:
        """Return JUnit XML with a test case per column and per finding."""
        return junit(f"clipiqa gate: {self.base} → {self.new}", self.checks(10))

    def summary(self) -> dict[str, Any]:
        """Return verdicts, means, differences, margins, metrics, versions and time, as values of JSON."""
        columns = [{**pair.record, "worst": self.worst(pair.name).to_dict()} for pair in self.pairs]
        outcome = {"verdict": self.verdict, "passed": self.has_passed}
        names = ("reasons", "accepted", "base", "new", "notes", "metrics")
        fields = {name: getattr(self, name) for name in names}
        findings = [finding.record for finding in self.findings]
        return {**self.about, **outcome, **fields, "findings": findings, "columns": columns}

    def job_summary(self) -> str:
        """Return Markdown for a job's summary: the verdict, the columns, and what fails."""
        failures = [check for check in self.checks() if check.is_failure]
        sentences = ["; ".join([check.sentence, *check.lines]) for check in failures]
        sentences += [finding.line for finding in self.findings if finding.is_accepted]
        blocks = [markdown_table(self._table()), markdown_list([*sentences, *self.notes])]
        return "\n\n".join(filter(None, blocks)) + "\n"

    def report(self) -> Report:
        """Return the verdicts as a table with sentences, as Markdown or as a page with images.

        Its files are ``gate.json``, ``gate.xml`` (JUnit), ``rows.csv`` (every row) and ``provenance.json``.
        """
        table = replace(self._table(), reasons=self._text_of_checks(), legend=self.notes)
        report = Report(
            [table],
            self.rows,
            "gate",
            table.title,
            metrics={name: described([Column(name, record)]) for name, record in self.metrics.items()},
            settings=described([], self.about),
            sources={"base": self.base, "new": self.new},
            pictures=self._pictures,
            inputs=(self.base, self.new),
        )
        as_text = partial(re.sub, "^(?=[-=+@])", "'")  # a spreadsheet would run the cell as a formula
        rows = self.rows.rename(index=as_text, columns=as_text)
        summary = f"{json.dumps(self.summary(), indent=2, ensure_ascii=False)}\n"
        report.files = {
            "gate.json": summary,
            "gate.xml": self.junit(),
            "rows.csv": rows,
            PROVENANCE: report.provenance({}),
        }
        return report

    def _table(self) -> Table:
        checked = [*self.pairs, *self.findings]
        columns = []
        for heading, attribute in _TABLE.items():
            columns.append(word_column(heading, [str(getattr(part, attribute, "") or "–") for part in checked]))
        title = f"{self.verdict.upper()}: {Path(self.new).name} compared with {Path(self.base).name}"
        return Table(title, columns, before=[self.line], section="Verdict")

    def _text_of_checks(self) -> dict[str, str]:
        """Return name of a column or a finding -> what was found, with rows."""
        texts = dict[str, str]()
        for check in self.checks():
            text = "; ".join([check.sentence.removeprefix(f"{check.name}: "), *check.lines])
            texts[check.name] = f"{texts[check.name]}; {text}" if check.name in texts else text
        return texts

    def _pictures(self, relabelled: Relabelling) -> dict[str, Any]:
        from ..report.html import block

        remarkable = [row for finding in self.findings for row in [*finding.rows][:_MOST_PICTURES]]
        worst = [row for pair in self.pairs for row in self.worst(pair.name, _MOST_PICTURES).index]
        some = self.paths.sample(min(_MOST_PICTURES // 2, len(self.paths)), random_state=0).index
        in_findings = [row for row in remarkable if any(map(os.path.exists, self.files_of(row).values()))]
        others = [row for row in (*worst, *some) if os.path.exists(self.files_of(row)["new"])]
        return {"Images": block("pairs", self, [*dict.fromkeys([*in_findings, *others])])}

    def files_of(self, row: str) -> Mapping[str, str]:
        """Return run -> the file of an image, of the runs that have the image."""
        return self.paths.loc[row].to_dict() if row in self.paths.index else self.unpaired.get(row, {})
