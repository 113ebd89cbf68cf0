"""HTML page of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...report.html import render
from ...report.table import Table
from .values import MethodScores


def report_page(found: MethodScores, tables: Sequence[Table], exactly: Iterable[str]) -> str:
    return render(
        __package__,
        "methods.html.j2",
        title=tables[0].title,
        tables=tables,
        exactly=exactly,
        settings=found.settings,
    )
