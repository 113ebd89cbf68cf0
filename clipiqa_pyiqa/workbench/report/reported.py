"""Results with a report: they are shown as text, and saved with their files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...checks import FilePath
from ...files import hash_file, resolved, write_bytes, write_text
from ..files.folders import make_folder
from ..files.locking import locked
from .csv_text import csv_table
from .report import Report

PROVENANCE = "provenance.json"
"""The file beside saved tables that says what they were made from, and how to read them."""


class Reported(ABC):
    """A result that can be shown as a report, and saved with its files of scores (name -> results)."""

    stored: Mapping[str, Any] = {}

    @abstractmethod
    def report(self, **look: Any) -> Report:
        """Return the result as a report.

        Args:
            look: ``labels``, ``show``, ``caption`` and ``key``, as for :class:`Report`.
        """

    @property
    def is_as_expected(self) -> bool:
        """Whether the result agrees with all that was expected of it."""
        return True

    def table(self, format: str = "table", **look: Any) -> str:
        """Return the tables as text.

        Args:
            format: As for :meth:`Report.text`.
            look: As for :meth:`report`.
        """
        return self.report(**look).text(format)

    def save(self, folder: FilePath, *, overwrite: bool = False, **look: Any) -> Report:
        """Write the report's texts, its other files and every score; return the report.

        Args:
            overwrite: Replace existing files; results of this very run are always replaced.
            look: As for :meth:`report`.
        """
        report = self.report(**look)
        report.log_unknown_names()
        place = resolved(folder)
        has_scores_there = any(
            results.output and results.output.path == place / name for name, results in self.stored.items()
        )
        names = [*report.texts, *report.files, *self.stored]
        make_folder(place, [*names, PROVENANCE], overwrite=overwrite or has_scores_there, inputs=report.inputs)
        with locked(place):
            save_files(place, {name: report.text(format) for name, format in report.texts.items()})
            save_files(place, report.files)
            for name, results in self.stored.items():
                results.write(place / name, Path(name).suffix[1:])
            if PROVENANCE not in report.files:
                hashes = {name: hash_file(place / name) for name in names if (place / name).exists()}
                write_text(place / PROVENANCE, report.provenance(hashes))
        return report


def save_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Write files: name -> text, bytes, frame, or figure in the format of the suffix; None deletes the file."""
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink(missing_ok=True)  # the file is from an earlier run
        elif isinstance(content, str):
            write_text(path, content)
        elif isinstance(content, bytes):
            write_bytes(path, content)
        elif hasattr(content, "to_csv"):
            write_text(path, csv_table(content))
        else:
            from .pictures import save_figure  # imports matplotlib

            save_figure(content, path)
