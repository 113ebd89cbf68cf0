"""How many images a run scored, and how many failed."""

from dataclasses import dataclass

from ...errors import Kind
from ..results.row import Row


def is_scored(row: Row) -> bool:
    """Return whether an image is scored, or lacks scores for a reason that the log gives once for all images."""
    return row.kind in (None, Kind.NOT_ASKED, Kind.NOT_IN_FILE)


@dataclass
class RowCounts:
    """Counts of the rows of a run.

    Attributes:
        by_column: Column of scores -> number of its scores.
    """

    by_column: dict[str, int]
    scored: int = 0
    failed: int = 0

    @property
    def row_count(self) -> int:
        return self.scored + self.failed

    def add(self, row: Row) -> None:
        if is_scored(row):
            self.scored += 1
        else:
            self.failed += 1
        for name, score in zip(self.by_column, row.scores or (), strict=False):
            if score is not None:
                self.by_column[name] += 1

    def sentence(self, failed_before: str) -> str:
        """Return the counts in words, with those of each column if they differ."""
        by_column = ""
        if len(set(self.by_column.values())) > 1:
            by_column = f"scores: {', '.join(f'{name} {count:,}' for name, count in self.by_column.items())}"
        return "; ".join(filter(None, [f"{self.scored} scored, {self.failed} failed", by_column, failed_before]))
