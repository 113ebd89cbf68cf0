"""How the verdict on two runs is shown: JSON, JUnit, Markdown for a job's summary, and a page with images."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..report.labels import Relabelling
from ..report.markdown import markdown_list, markdown_table
from ..report.report import Report
from ..report.reported import PROVENANCE
from ..report.table import Table, word_column
from ..results.columns import Column
from ..results.record_text import described
from .junit import junit

if TYPE_CHECKING:
    from .gate_result import GateResult

SCORES = {"base": "base.parquet", "new": "new.parquet"}
"""Run -> its file of scores, if it is a folder of images."""
WRITTEN = ("gate.json", "gate.xml", "rows.csv", PROVENANCE)
PAGE = "gate.html"
_HEADINGS = {  # attribute of a column, or of a finding -> heading
    "name": "check",
    "verdict": "verdict",
    "interval": "difference [95 %, uncorrected]",
    "means": "means",
    "margin": "margin",
    "largest_loss_text": "largest loss of an image",
}
_MOST_PICTURES = 6
"""Number of images on the page for each finding, and of those that lose most."""
_RANDOM_PICTURES = 3


def gate_report(gate: GateResult, look: Mapping[str, Any]) -> Report:
    """Return the verdicts as a table with sentences, with pictures for a page.

    Args:
        look: ``labels``, ``show``, ``caption`` and ``key``, as for :class:`Report`.
    """
    table = _table(gate)
    report = Report(
        [replace(table, reasons=_text_of_checks(gate), legend=gate.notes)],
        gate.rows,
        "gate",
        table.title,
        metrics={name: described([Column(name, record)]) for name, record in gate.metrics.items()},
        settings=described([], gate.about),
        sources={"base": gate.base, "new": gate.new},
        pictures=partial(_pictures, gate),
        inputs=(gate.base, gate.new),
        **look,
    )
    as_text = partial(re.sub, "^(?=[-=+@])", "'")  # a spreadsheet would run the cell as a formula
    report.files = {
        "gate.json": f"{json.dumps(fields_of(gate), indent=2, ensure_ascii=False)}\n",
        "gate.xml": junit_text(gate),
        "rows.csv": gate.rows.rename(index=as_text, columns=as_text),
        PROVENANCE: report.provenance({}),
    }
    return report


def junit_text(gate: GateResult) -> bytes:
    """Return JUnit XML with a test case per column and per finding."""
    return junit(f"clipiqa gate: {gate.base} → {gate.new}", gate.checks(10))


def fields_of(gate: GateResult) -> dict[str, Any]:
    """Return verdicts, means, differences, margins, metrics, versions and time, as values of JSON."""
    return {
        **gate.about,
        "verdict": gate.verdict,
        "passed": gate.has_passed,
        "reasons": gate.reasons,
        "accepted": gate.accepted,
        "base": gate.base,
        "new": gate.new,
        "notes": gate.notes,
        "metrics": gate.metrics,
        "findings": [finding.record for finding in gate.findings],
        "columns": [{**pair.record, "worst": gate.worst(pair.name).to_dict()} for pair in gate.pairs],
    }


def job_summary(gate: GateResult) -> str:
    """Return Markdown for a job's summary: the verdict, the columns, and what fails."""
    failures = [check for check in gate.checks() if check.is_failure]
    sentences = ["; ".join([check.sentence, *check.lines]) for check in failures]
    sentences += [finding.line for finding in gate.findings if finding.is_accepted]
    blocks = [markdown_table(_table(gate)), markdown_list([*sentences, *gate.notes])]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _table(gate: GateResult) -> Table:
    """Return a row per column and per finding."""
    checked = [*gate.pairs, *gate.findings]
    columns = []
    for attribute, heading in _HEADINGS.items():
        columns.append(word_column(heading, [str(getattr(part, attribute, "") or "–") for part in checked]))
    title = f"{gate.verdict.upper()}: {Path(gate.new).name} compared with {Path(gate.base).name}"
    return Table(title, columns, before=[gate.line], section="Verdict")


def _text_of_checks(gate: GateResult) -> dict[str, str]:
    """Return name of a column or a finding -> its sentences, with rows."""
    texts = dict[str, str]()
    for check in gate.checks():
        text = "; ".join([check.sentence.removeprefix(f"{check.name}: "), *check.lines])
        texts[check.name] = f"{texts[check.name]}; {text}" if check.name in texts else text
    return texts


def _pictures(gate: GateResult, relabelled: Relabelling) -> dict[str, Any]:
    """Return the images of findings, those that lose most, and a few at random, as far as their files exist."""
    from ..report.html import block  # imports matplotlib and jinja2

    remarkable = [row for finding in gate.findings for row in [*finding.rows][:_MOST_PICTURES]]
    worst = [row for pair in gate.pairs for row in gate.worst(pair.name, _MOST_PICTURES).index]
    count = min(_RANDOM_PICTURES, len(gate.paths))
    random = gate.paths.sample(count, random_state=0).index
    in_findings = [row for row in remarkable if any(map(os.path.exists, gate.files_of(row).values()))]
    others = [row for row in (*worst, *random) if os.path.exists(gate.files_of(row)["new"])]
    return {"Images": block("pairs", gate, [*dict.fromkeys([*in_findings, *others])])}
