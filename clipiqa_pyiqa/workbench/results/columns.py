"""Columns of scores: how they were made, and what differs between two of a name."""

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from ...errors import OutputError
from ...prompts.records import files_text, value_text

NOT_OF_SCORES = ("version", "versions", "device", "weights", "file", "files", "decoders")
"""Fields of a record that may differ between equal columns: hashes of weights and parameters are compared instead."""
SHORT = 6
"""Length of a fingerprint in the rows of a CSV file, beside which the whole one is in the provenance file."""
Record = Mapping[str, Any]
"""What scores depend on, or how images were read, as values of JSON."""
Changes = list[tuple[str, str, str]]
"""Fields that differ between two records, with both values as texts."""


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


@dataclass(frozen=True)
class Column:
    """A column of scores.

    Attributes:
        record: Everything that the scores depend on, as values of JSON, with ``range`` and ``lower_better``; empty if
            it is unknown. ``metric_version: None`` means that changes of the metric cannot be seen; ``hash`` is the
            fingerprint, if nothing else is known.
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

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of everything that the scores depend on, but not of the name; empty if it is unknown."""
        if not self.record or self.record.get("metric_version", "") is None:
            return ""
        if "hash" in self.record:
            return str(self.record["hash"])
        return hashlib.sha256(json.dumps(of_scores(self.record), sort_keys=True).encode()).hexdigest()[:16]


def of_scores(record: Record) -> dict[str, Any]:
    """Return the fields on which scores depend; learned prompts and heads are told by their hash."""
    return {
        key: value.get("sha256", value) if isinstance(value, Mapping) else value
        for key, value in record.items()
        if key not in NOT_OF_SCORES
    }


def changes(before: Record, now: Record) -> Changes:
    """Return the fields on which scores depend and that differ between two records, with both values as texts."""
    earlier_fields = of_scores(before)
    fields = of_scores(now)
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


def lacks_parameters(column: Column, other: Column) -> bool:
    """Return whether ``column`` was not built and lacks only the hash of parameters that ``other`` has."""
    parameters = other.record.get("parameters")
    is_untold = parameters is not None and "parameters" not in column.record
    return is_untold and not changes({**column.record, "parameters": parameters}, other.record)


def changes_text(differing: Changes) -> str:
    return "; ".join(f"{key} was {was} and is now {is_now}" for key, was, is_now in differing)


def is_same_fingerprint(first: str, second: str) -> bool:
    """Return whether two fingerprints are equal, as far as the shorter one goes; an empty one equals only itself."""
    shared = min(len(first), len(second))
    return first[:shared] == second[:shared] and bool(first) == bool(second)


def short_scale_text(columns: Iterable[Column]) -> str:
    """Return the cell of the column ``scale`` of a CSV file, such as ``quality:+:0..1:3f2a9c niqe:-:0..:77aa01``.

    The sign says whether high scores are good; then come the range, which is empty if it is open, and the beginning
    of the fingerprint.
    """
    texts = []
    for column in columns:
        if column.lower_better is not None:
            low, high = ("" if end is None else str(_shortest(end)) for end in column.bounds)
            bounds = f"{low}..{high}" if low or high else ""
            name = re.sub(r"[\s:%]", lambda letter: quote(letter[0], safe=""), column.name)
            texts.append(f"{name}:{'-' if column.lower_better else '+'}:{bounds}:{column.fingerprint[:SHORT]}")
    return " ".join(texts)


def scale_text(columns: Iterable[Column]) -> str:
    """Return what columns mean as JSON, such as ``{"quality":[0,1,"higher","3f2a9c01…"]}``."""
    scales = {}
    for column in columns:
        if column.lower_better is not None:
            low, high = column.bounds
            better = "lower" if column.lower_better else "higher"
            scales[column.name] = [_shortest(low), _shortest(high), better, column.fingerprint]
    return json.dumps(scales, ensure_ascii=False, separators=(",", ":")) if scales else ""


def _shortest(end: float | None) -> float | None:
    """Return the end of a scale, as a whole number if it is one."""
    return int(end) if end is not None and float(end).is_integer() else end


def read_scales(cells: Iterable[Any]) -> dict[str, Column]:
    """Return the columns in cells of :func:`short_scale_text` or :func:`scale_text`.

    Raises ``ValueError`` if they differ.
    """
    columns: dict[str, Column] = {}
    for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
        try:
            columns_of_cell = _columns_in(cell) if cell.startswith("{") else _columns_in_short(cell)
        except (ValueError, TypeError, AttributeError):
            continue
        for name, column in columns_of_cell.items():
            if columns.get(name, column) != column:
                raise ValueError(f"rows of {name!r} were scored in different ways")
        columns |= columns_of_cell
    return columns


def _columns_in_short(scale: str) -> dict[str, Column]:
    columns = {}
    for text in scale.split(" "):
        name, sign, bounds, fingerprint = text.split(":")
        low, _, high = bounds.partition("..")
        if sign not in ("+", "-"):
            raise ValueError(f"{sign!r} is no sign")
        limits = [float(end) if end else None for end in (low, high)]
        record = {"range": limits, "lower_better": sign == "-", "hash": fingerprint}
        columns[unquote(name)] = Column(unquote(name), record)
    return columns


def _columns_in(scale: str) -> dict[str, Column]:
    columns = {}
    for name, (low, high, better, fingerprint) in json.loads(scale).items():
        record = {"range": [low, high], "lower_better": better == "lower", "hash": str(fingerprint)}
        columns[name] = Column(name, record)
    return columns
