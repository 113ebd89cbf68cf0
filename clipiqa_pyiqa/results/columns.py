"""Columns of scores: how their values were made, and which changes matter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import OutputError
from ..prompts.provenance import value_text

NOT_OF_SCORES = ("version", "versions", "device", "weights", "file")
"""Fields of a record that may differ between equal columns: hashes of weights and files are compared instead."""


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


@dataclass(frozen=True)
class Column:
    """A column of scores.

    Attributes:
        record: Everything that the scores depend on, as values of JSON, with ``range`` and ``lower_better``; empty if
            it is unknown. ``state: None`` means that changes of the metric cannot be seen.
    """

    name: str
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """The lowest and the highest possible score; None: open or unknown."""
        low, high = self.record.get("range") or (None, None)
        return low, high

    @property
    def lower_better(self) -> bool | None:
        """Whether low scores are good; None: unknown."""
        return self.record.get("lower_better")

    @property
    def fingerprint(self) -> str:
        """A hash of everything that the scores depend on, but not of the name; empty if it is unknown."""
        if not self.record or self.record.get("state", "") is None:
            return ""
        return hashlib.sha256(json.dumps(of_scores(self.record), sort_keys=True).encode()).hexdigest()[:16]


def of_scores(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields on which scores depend; learned prompts and heads are told by their hash."""
    kept = {key: value for key, value in record.items() if key not in NOT_OF_SCORES}
    return {key: value["sha256"] if isinstance(value, Mapping) else value for key, value in kept.items()}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the fields on which scores depend and that differ between two records, with both values as texts."""
    was, is_now = of_scores(before), of_scores(now)
    differing = [key for key in {**was, **is_now} if was.get(key) != is_now.get(key)]
    return [(key, value_text(was.get(key)), value_text(is_now.get(key))) for key in differing]
