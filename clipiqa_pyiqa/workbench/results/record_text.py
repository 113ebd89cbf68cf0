"""What the records of columns say, as texts for people."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ...prompts.provenance import files_text, record_text, value_text
from .columns import Column, Record

_OF_ONE_COLUMN = ("range", "score_range", "lower_better", "questions", "learned", "head", "metric_version", "hash")


def shared_and_own(columns: Sequence[Column]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the fields that all columns share, without those that describe one column; column -> its other fields."""
    records = [column.record for column in columns if column.record]
    shared = {}
    fields_of_columns = {}
    if records:
        for key, value in records[0].items():
            if key not in _OF_ONE_COLUMN and all(record.get(key) == value for record in records):
                shared[key] = value
    for column in columns:
        fields_of_columns[column.name] = {key: value for key, value in column.record.items() if key not in shared}
    return shared, fields_of_columns


def described(columns: Sequence[Column], reading: Record | None = None) -> dict[str, str]:
    """Return what the columns share, what they ask, and how images were read, as texts."""
    shared, fields_of_columns = shared_and_own(columns)
    metrics = [str(column.record["metric"]) for column in columns if column.record.get("metric")]
    texts = {"metric": ", ".join(dict.fromkeys(metrics))}
    for key, value in {**shared, **(reading or {})}.items():
        if isinstance(value, Mapping):
            texts |= {name: str(member) for name, member in value.items()}
        else:
            texts[key] = value_text(value)
    texts["prompts"] = "; ".join(dict.fromkeys(filter(None, map(record_text, fields_of_columns.values()))))
    texts["files"] = ", ".join(dict.fromkeys(filter(None, map(files_text, fields_of_columns.values()))))
    return {name: text for name, text in texts.items() if text}


def metric_line(columns: Sequence[Column]) -> str:
    """Return metric, backbone, weights, prompts (long prompts as a hash) and version on one line.

    Several metrics follow one another, each with what its columns share.
    """
    by_metric = dict[tuple[str, ...], list[Column]]()
    for column in columns:
        key = tuple(str(column.record.get(name, "")) for name in ("metric", "backbone", "weights", "version"))
        by_metric.setdefault(key, []).append(column)
    return "; ".join(filter(None, map(_one_metric_line, by_metric.values())))


def _one_metric_line(columns: Sequence[Column]) -> str:
    texts = described(columns)
    prompts = texts.get("prompts", "")
    if len(prompts) > 60:
        texts["prompts"] = f"prompts {hashlib.sha256(prompts.encode()).hexdigest()[:8]}"
    names = ("metric", "backbone", "weights", "prompts", "version")
    return " ".join(", ".join(texts[name] for name in names if texts.get(name)).split())
