"""The result of ``table``, as texts, files and a page."""

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
    """A table of methods and metrics, with the fields of :class:`~.values.MethodScores`."""

    def table(self, format: str = "table") -> str:
        """Return the tables as text: ``'table'`` for a console, ``'csv'``, ``'markdown'`` or ``'latex'``."""
        return table_as_text(self, format)

    def describe(self, format: str = "table") -> str:
        """Return a sentence per metric for a paper's appendix; ``'latex'`` gives a LaTeX list."""
        return describe_metrics(self, format)

    def save(self, folder: str | os.PathLike[str], *, report: bool = True, overwrite: bool = False) -> None:
        """Write the tables, ``images.csv`` (every score), ``expect.csv``, ``explain.csv`` and ``report.html``.

        Args:
            folder: Folder, created if missing.
            report: Whether to write ``report.html``.
            overwrite: Replace existing files; results of an earlier run in ``folder`` are always replaced.

        Raises:
            OutputError: A file cannot be written, or exists.
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
