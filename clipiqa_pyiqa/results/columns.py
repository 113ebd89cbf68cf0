"""Columns of scores: how their values were made, and which changes matter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..errors import OutputError
from ..prompts.pairs import record_text, value_text

NOT_OF_SCORES = ("version", "versions", "device", "weights", "file", "decoders")
"""Fields of a record that may differ between equal columns: hashes of weights and files are compared instead."""
_OF_ONE = ("range", "lower_better", "questions", "learned", "head", "state", "hash", "options")
_SHORT = 60  # most characters of prompts that `metric_line` writes in full


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


@dataclass(frozen=True)
class Column:
    """A column of scores.

    Attributes:
        record: Everything that the scores depend on, as values of JSON, with ``range`` and ``lower_better``; empty if
            it is unknown. ``state: None`` means that changes of the metric cannot be seen; ``hash`` is the fingerprint
            if nothing else is known.
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

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that the scores depend on, but not of the name; empty if it is unknown."""
        if not self.record or self.record.get("state", "") is None:
            return ""
        if "hash" in self.record:
            return str(self.record["hash"])
        return hashlib.sha256(json.dumps(of_scores(self.record), sort_keys=True).encode()).hexdigest()[:16]


def of_scores(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields on which scores depend; learned prompts and heads are told by their hash."""
    kept = {key: value for key, value in record.items() if key not in NOT_OF_SCORES}
    return {key: value.get("sha256", value) if isinstance(value, Mapping) else value for key, value in kept.items()}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the fields on which scores depend and that differ between two records, with both values as texts."""
    was, is_now = of_scores(before), of_scores(now)
    differing = [key for key in {**was, **is_now} if was.get(key) != is_now.get(key)]
    return [(key, value_text(was.get(key)), value_text(is_now.get(key))) for key in differing]


def column_changes(before: Column, now: Column) -> list[tuple[str, str, str]]:
    """Return :func:`changes` of a column; each field is named with the column."""
    return [(f"{now.name!r} {key}", was, is_now) for key, was, is_now in changes(before.record, now.record)]


def changes_text(found: Iterable[tuple[str, str, str]]) -> str:
    return "; ".join(f"{key} was {was} and is now {is_now}" for key, was, is_now in found)


def scale_text(columns: Iterable[Column]) -> str:
    """Return the cell of the column ``scale``, such as ``{"quality":[0,1,"higher","3f2a9c01…"]}``."""
    scales = {}
    for column in columns:
        if column.lower_better is not None:
            ends = [int(end) if end is not None and float(end).is_integer() else end for end in column.ends]
            scales[column.name] = [*ends, "lower" if column.lower_better else "higher", column.fingerprint]
    return json.dumps(scales, ensure_ascii=False, separators=(",", ":")) if scales else ""


def read_scales(cells: Iterable[Any]) -> dict[str, Column]:
    """Return the columns in the cells of :func:`scale_text`. Raises ``ValueError`` if they differ."""
    found: dict[str, Column] = {}
    for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
        try:
            columns = {
                name: Column(name, {"range": [low, high], "lower_better": better == "lower", "hash": str(made)})
                for name, (low, high, better, made) in json.loads(cell).items()
            }
        except (ValueError, TypeError, AttributeError):
            continue
        for name in columns:
            if found.get(name, columns[name]) != columns[name]:
                raise ValueError(f"rows of {name!r} were scored in different ways")
        found |= columns
    return found


def shared_fields(columns: Sequence[Column]) -> dict[str, Any]:
    """Return the fields that all columns have in common, without those that describe one column."""
    records = [column.record for column in columns if column.record]
    return {
        key: value
        for key, value in (records[0] if records else {}).items()
        if key not in _OF_ONE and all(record.get(key) == value for record in records)
    }


def described(columns: Sequence[Column], reading: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return what the columns share, what they ask, and how images were read, as texts."""
    records = [column.record for column in columns if column.record]
    shared = shared_fields(columns)
    names = list(dict.fromkeys(str(record["metric"]) for record in records if record.get("metric")))
    texts = {"metric": ", ".join(names)} if names else {}
    for key, value in {**shared, **(reading or {})}.items():
        is_group = isinstance(value, Mapping)
        texts |= {name: str(each) for name, each in value.items()} if is_group else {key: value_text(value)}
    own = [{key: value for key, value in record.items() if key not in shared} for record in records]
    if prompts := "; ".join(dict.fromkeys(filter(None, map(record_text, own)))):
        texts["prompts"] = prompts
    return texts


def metric_line(columns: Sequence[Column]) -> str:
    """Return metric, backbone, weights, prompts (long prompts as a hash) and version on one line."""
    texts = described(columns)
    if len(prompts := texts.get("prompts", "")) > _SHORT:
        texts["prompts"] = f"prompts {hashlib.sha256(prompts.encode()).hexdigest()[:8]}"
    names = ("metric", "backbone", "weights", "prompts", "version")
    return " ".join(", ".join(texts[name] for name in names if texts.get(name)).split())
