"""The report of ``gate``: a table for a job's summary, and a page with nights and images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..report.report import Report
from ..report.table import Table, words
from ..results.columns import Column, described

if TYPE_CHECKING:
    from markupsafe import Markup

    from .gating import Gate

_SHOWN = 6
_TABLE = {"metric": "name", "verdict": "verdict", "difference": "interval", "means": "means", "margin": "margin"}


def gate_report(gate: Gate) -> Report:
    """Return the verdicts as a table and sentences, with pictures for a page."""
    columns = [words(head, [str(getattr(pair, key) or "–") for pair in gate.pairs]) for head, key in _TABLE.items()]
    title = f"{gate.verdict}: {Path(gate.new).name} compared with {Path(gate.base).name}"
    return Report(
        [Table(title, columns, section="Verdict")],
        gate.rows,
        "gate",
        title,
        reading=[*("; ".join([text, *rows]) for _, _, text, rows in gate.findings()), *gate.notes],
        metrics={name: described([Column(name, record)]) for name, record in gate.metrics.items()},
        settings=described([], gate.about),
        pictures=lambda: _pictures(gate),
    )


def _pictures(gate: Gate) -> Mapping[str, Markup]:
    from ..report.html import block

    worst = [row for pair in gate.pairs for row in gate.worst(pair.name, _SHOWN).index]
    some = gate.paths.sample(min(_SHOWN // 2, len(gate.paths)), random_state=0).index
    rows = [row for row in dict.fromkeys([*gate.flagged, *worst, *some]) if os.path.exists(gate.paths.loc[row, "new"])]
    nights = {"Nights": block("nights", gate.nights)} if gate.nights else {}
    return nights | {"Images": block("pairs", gate, rows)}
