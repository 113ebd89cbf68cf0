"""A result file to write: its path, its format, and whether it may be replaced or continued."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...checks import check_one_of
from ...files import check_output
from ..files.locking import locked
from .companion_files import journal_of, provenance_of
from .formats import SUFFIXES, format_of
from .results_error import ResultsError, unfinished


@dataclass
class Output:
    """A result file to write. Raises ``OutputError`` at once if it cannot be written, or exists."""

    path: Path
    format: str = ""
    resume: bool = False
    overwrite: bool = False
    drop_vanished: bool = False

    def __post_init__(self) -> None:
        self.format = self.format or format_of(self.path)
        self.path = check_output(self.path, overwrite=True)
        check_one_of("format", self.format, dict.fromkeys(SUFFIXES.values()))
        for beside in (journal_of(self.path), provenance_of(self.path)):
            check_output(beside, overwrite=True)
        with locked(self.path):  # raises if a run writes it
            self.check_free()

    def check_free(self) -> None:
        """Raise ``ResultsError`` if an earlier file or journal is there that is neither continued nor replaced."""
        if self.resume or self.overwrite:
            return
        file = self.earlier_file()
        if file == journal_of(self.path):
            raise ResultsError(
                f"{unfinished(self.path)}, or `overwrite` to start again.", options=("resume", "overwrite")
            )
        if file is not None:
            raise ResultsError(
                f"{str(file)!r} exists already: pass `resume` to continue its run, or `overwrite`.",
                options=("overwrite", "resume"),
            )

    def earlier_file(self) -> Path | None:
        """Return the file with what is known: the journal, if any, else the result file."""
        files = (journal_of(self.path), self.path)
        return next((path for path in files if path.is_file() and path.stat().st_size), None)
