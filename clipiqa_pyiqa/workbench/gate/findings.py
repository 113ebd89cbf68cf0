"""A finding of ``gate``: what fails two runs whatever their scores say, unless an option accepts it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """What was found, with the rows that it is about.

    Attributes:
        reason: Phrase for the line of the verdict.
        sentence: The reason with its explanation.
        rows: Row -> remark.
        details: Sentences to show in place of the remarks.
        is_accepted: Whether an option accepts it; then it does not fail the gate.
    """

    name: str
    reason: str
    sentence: str
    rows: Mapping[str, str] = field(default_factory=dict)
    details: Sequence[str] = ()
    is_accepted: bool = False

    @property
    def verdict(self) -> str:
        return "accepted" if self.is_accepted else "failed"

    @property
    def line(self) -> str:
        return f"{self.name}: {self.verdict}: {self.sentence}"

    def lines(self, count: int) -> list[str]:
        """Return the details, or the remarks of the first rows and the number of other rows."""
        if self.details:
            return [*self.details]
        remarks = [f"{row}: {remark}" for row, remark in self.rows.items()]
        hidden = len(remarks) - count
        return [*remarks[:count], f"and {hidden:,} more"] if hidden > 0 else remarks

    @property
    def record(self) -> dict[str, Any]:
        return {"name": self.name, "verdict": self.verdict, "reason": self.reason, "sentence": self.sentence} | {
            "rows": dict(self.rows),
            "details": [*self.details],
        }
