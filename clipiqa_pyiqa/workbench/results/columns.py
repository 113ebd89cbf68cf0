"""Columns of scores: how they were made, and what differs between two of a name."""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...prompts.provenance import files_text, value_text

NOT_OF_SCORES = ("version", "versions", "device", "weights", "file", "files", "decoders")
"""Fields of a record that may differ between equal columns: hashes of weights and parameters are compared instead."""
Record = Mapping[str, Any]
"""What scores depend on, or how images were read, as values of JSON."""
Changes = list[tuple[str, str, str]]
"""Fields that differ between two records, with both values as texts."""


@dataclass(frozen=True)
class Column:
    """A column of scores.

    Attributes:
        record: Everything that the scores depend on, as values of JSON, with ``range`` and ``lower_better``; empty if
            it is unknown. ``metric_version: None`` means that changes of the metric cannot be seen; ``hash`` is the
            fingerprint, if nothing else is known; ``error`` tells why the metric could not be built.
    """

    name: str
    record: Record = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The lowest and the highest possible score; None: open or unknown."""
        low, high = self.record.get("range") or (None, None)
        return low, high

    @property
    def lower_better(self) -> bool | None:
        """Whether low scores are good; None: unknown."""
        return self.record.get("lower_better")

    @property
    def is_broken(self) -> bool:
        """Whether the metric could not be built, so that it has scored nothing."""
        return "error" in self.record

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of everything that the scores depend on, but not of the name; empty if it is unknown."""
        if not self.record or self.record.get("metric_version", "") is None:
            return ""
        if "hash" in self.record:
            return str(self.record["hash"])
        return hashlib.sha256(json.dumps(fields_of_scores(self.record), sort_keys=True).encode()).hexdigest()[:16]


def fields_of_scores(record: Record) -> dict[str, Any]:
    """Return the fields on which scores depend; learned prompts and heads are told by their hash."""
    return {
        key: value.get("sha256", value) if isinstance(value, Mapping) else value
        for key, value in record.items()
        if key not in NOT_OF_SCORES
    }


def changes(before: Record, now: Record) -> Changes:
    """Return the fields on which scores depend and that differ between two records, with both values as texts."""
    earlier_fields = fields_of_scores(before)
    fields = fields_of_scores(now)
    differing = []
    for key in {**earlier_fields, **fields}:
        earlier_value = earlier_fields.get(key)
        value = fields.get(key)
        if value != earlier_value:
            differing.append((key, value_text(earlier_value), value_text(value)))
    if fields.get("parameters") != earlier_fields.get("parameters"):
        earlier_files = files_text(before) or "unknown"
        files = files_text(now) or "unknown"
        if files != earlier_files:
            differing.append(("files", earlier_files, files))
    return differing


def column_changes(before: Column, now: Column) -> Changes:
    """Return :func:`changes` of a column; each field is named with the column."""
    return [(f"{now.name!r} {key}", was, is_now) for key, was, is_now in changes(before.record, now.record)]


def differs_only_by_building(column: Column, other: Column) -> bool:
    """Return whether ``column`` differs from ``other`` only by lacking what building a metric adds to its record."""
    known_fields = {key: value for key, value in column.record.items() if key != "error"}
    parameters = other.record.get("parameters")
    if parameters is not None and "parameters" not in known_fields:
        known_fields["parameters"] = parameters
    elif not column.is_broken:
        return False
    return not changes(known_fields, other.record)


def changes_text(differing: Changes) -> str:
    return "; ".join(f"{key} was {was} and is now {is_now}" for key, was, is_now in differing)


def is_same_fingerprint(first: str, second: str) -> bool:
    """Return whether two fingerprints are equal, as far as the shorter one goes; an empty one equals only itself."""
    shared = min(len(first), len(second))
    return first[:shared] == second[:shared] and bool(first) == bool(second)
