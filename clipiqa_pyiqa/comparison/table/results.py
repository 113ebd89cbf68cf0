"""The result of ``table``: the numbers, and how they are written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ...datasets.specification import CompareError
from ...errors import OutputError
from ...files.locking import locked
from ...files.writing import check_folder, write_text
from .page import page
from .values import MethodScores
from .written import FORMATS, described, expected_csv, explained_csv

FILES = {"table.md": "markdown", "table.tex": "latex", "table.csv": "csv"}
_OTHERS = ("images.csv", "expect.csv", "explain.csv", "report.html")


class MethodTable(MethodScores):
    """Methods × metrics on one or several test sets; its fields are those of :class:`~.values.MethodScores`."""

    def table(self, format: str = "table") -> str:
        """Return the tables as text: ``'table'`` for a console, ``'csv'``, ``'markdown'`` or ``'latex'``."""
        return FORMATS[format](self)

    def describe(self, format: str = "table") -> str:
        """Return a sentence per metric, for a paper's appendix; as LaTeX for ``'latex'``."""
        return described(self, format)

    def save(self, folder: str | os.PathLike[str], *, report: bool = True, overwrite: bool = False) -> None:
        """Write ``table.md``, ``table.tex``, ``table.csv``, ``images.csv`` (every score) and ``report.html``.

        With published numbers also ``expect.csv``, and ``explain.csv`` with what was tried where they differ.

        Args:
            folder: Made if need be.
            report: Whether to write the page.
            overwrite: Replace files of these names that are there; those of the run that made ``folder`` always are.

        Raises:
            OutputError: A file cannot be written, or is there already.
        """
        folder = check_table_folder(folder, self.pictures.inputs, overwrite=overwrite, resume=True)
        with locked(folder):
            for name, format in FILES.items():
                write_text(folder / name, self.table(format))
            write_text(folder / "images.csv", self.scores.to_csv(index=False))
            if self.expected:
                write_text(folder / "expect.csv", expected_csv(self))
            if self.explained:
                write_text(folder / "explain.csv", explained_csv(self))
            if report:
                write_text(folder / "report.html", page(self))


def check_table_folder(
    out: str | os.PathLike[str], inputs: Iterable[str], *, overwrite: bool = False, resume: bool = False
) -> Path:
    """Return the folder of a table, made if need be, in which nothing would be replaced that no run of ours made.

    Raises:
        CompareError: It holds the scores of an earlier run, and neither ``resume`` nor ``overwrite`` is given.
        OutputError: A file cannot be written, or is there already.
    """
    folder, inputs = Path(out).expanduser(), list(inputs)
    ours = any(folder.glob("parts/*/*.jsonl"))
    if ours and not (resume or overwrite):
        raise CompareError(
            f"{str(folder)!r} holds the scores of an earlier run: resume it (--resume), or overwrite it (--overwrite)."
        )
    parts = os.path.join(os.path.abspath(folder), "parts", "")
    if any(os.path.abspath(path).startswith(parts) for path in inputs):
        raise OutputError(f"{str(folder)!r} holds the images: name another folder for the results.")
    there = [name for name in (*FILES, *_OTHERS) if os.path.lexists(folder / name)]
    return check_folder(folder, there, overwrite=overwrite, ours=lambda _: ours, inputs=inputs)
