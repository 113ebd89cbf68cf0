"""The verdict on two runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pandas import DataFrame, Series

from ..report.report import Report
from ..report.reported import Reported
from .findings import Finding
from .gate_report import fields_of, gate_report, job_summary, junit_text
from .junit import Check
from .suggestion import Suggestion, suggest
from .verdicts import ColumnPair


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

    def files_of(self, row: str) -> Mapping[str, str]:
        """Return run -> the file of an image, of the runs that have the image."""
        return self.paths.loc[row].to_dict() if row in self.paths.index else self.unpaired.get(row, {})

    def junit(self) -> bytes:
        """Return JUnit XML with a test case per column and per finding."""
        return junit_text(self)

    def summary(self) -> dict[str, Any]:
        """Return verdicts, means, differences, margins, metrics, versions and time, as values of JSON."""
        return fields_of(self)

    def job_summary(self) -> str:
        """Return Markdown for a job's summary: the verdict, the columns, and what fails."""
        return job_summary(self)

    def report(self, **look: Any) -> Report:
        """Return the verdicts as a table with sentences, as Markdown or as a page with images.

        Its files are ``gate.json``, ``gate.xml`` (JUnit), ``rows.csv`` (every row) and ``provenance.json``.
        """
        return gate_report(self, look)
