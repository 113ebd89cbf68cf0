"""The result of ``table``: numbers that can be written as texts, files and a page."""

from __future__ import annotations

import os

from ...files.locking import locked
from ...files.writing import write_text
from ...report.table import csv_table
from ..outputs import check_result_folder
from .page import report_page
from .values import MethodScores
from .written import describe_metrics, expected_frame, table_as_text

_FILES = {"table.md": "markdown", "table.tex": "latex", "table.csv": "csv"}
WRITTEN = (*_FILES, "images.csv", "expect.csv", "explain.csv", "report.html")


class MethodTable(MethodScores):
    """Methods × metrics on one or several test sets; for its fields see :class:`~.values.MethodScores`."""

    def table(self, format: str = "table") -> str:
        """Return the tables as a text: ``'table'`` for a console, ``'csv'``, ``'markdown'`` or ``'latex'``."""
        return table_as_text(self, format)

    def describe(self, format: str = "table") -> str:
        """Return a sentence per metric, for a paper's appendix; as LaTeX for ``'latex'``."""
        return describe_metrics(self, format)

    def save(self, folder: str | os.PathLike[str], *, report: bool = True, overwrite: bool = False) -> None:
        """Write the tables, ``images.csv`` (every score), ``expect.csv``, ``explain.csv`` and the page ``report.html``.

        Args:
            folder: Made if need be.
            report: Whether to write the page.
            overwrite: Replace such files; those of the run that made ``folder`` are always replaced.

        Raises:
            OutputError: A file cannot be written, or is there already.
        """
        folder = check_result_folder(folder, WRITTEN, self.pictures.inputs, overwrite=overwrite, resume=not overwrite)
        with locked(folder):
            for name, format in _FILES.items():
                write_text(folder / name, self.table(format))
            write_text(folder / "images.csv", self.scores.to_csv(index=False))
            if self.expected:
                write_text(folder / "expect.csv", csv_table(expected_frame(self)))
            if self.explained is not None:
                write_text(folder / "explain.csv", csv_table(self.explained))
            if report:
                write_text(folder / "report.html", report_page(self))
