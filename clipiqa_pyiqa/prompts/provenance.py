"""What made a score, as texts: provenance in words."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .pairs import PREFIX


def record_text(record: Mapping[str, Any]) -> str:
    """Return a score column's record as text."""
    if "metric" in record:  # one of several metrics of a run
        fields = [record.get(name) for name in ("metric", "backbone", "weights", "file")]
        return ", ".join(filter(None, [*fields, _asked_text(record)]))
    return _asked_text(record)


def _asked_text(record: Mapping[str, Any]) -> str:
    """Return the head, the learned prompts or the questions of a record, as text."""
    if record.get("head"):
        return _head_text(record)
    question = _question_text(record.get("questions", ()))
    if record.get("learned"):
        return _learned_text(record["learned"], question)
    return question


def _head_text(record: Mapping[str, Any]) -> str:
    head = record["head"]
    low, high = record["score_range"]
    direction = ", low is good" if record["lower_better"] else ""
    origin = f"{head['method']} head {head['sha256'][:8]} on {head['fit_on']}"
    return f"{origin}, fitted to {head['rated_photos']} rated photos; scale from {low:g} to {high:g}{direction}"


def _question_text(questions: Sequence[Sequence[str]]) -> str:
    if len(questions) == 1 and len(questions[0]) == 1:
        return PREFIX + questions[0][0]
    pairs = ["|".join(pair) for pair in questions]
    if len(pairs) > 1:
        return f"mean of {', '.join(pairs)}"
    return pairs[0] if pairs else ""


def _learned_text(learned: Mapping[str, Any], question: str) -> str:
    shape = "×".join(map(str, learned["shape"]))
    place = "around" if learned.get("fixed_words", True) else "that began as"
    return f"learned {learned['sha256'][:8]} ({_origin_text(learned)}; ctx {shape} {place} {question})"


def _origin_text(learned: Mapping[str, Any]) -> str:
    if learned["trained"] is None:
        return "origin unknown"
    trained = ", trained here" if learned["trained"] else ""
    return f"from {learned['from'] or 'scratch'}{trained}"


def files_text(record: Mapping[str, Any]) -> str:
    """Return the names of the files of a metric of pyiqa, each with the first digits of its hash."""
    return ", ".join(f"{name} {sha256[:8]}" for name, sha256 in record.get("files", {}).items())


def as_texts(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return provenance as texts; field ``scores`` becomes ``prompts``."""
    texts = {key: value_text(value) for key, value in provenance.items() if key != "scores"}
    columns = provenance.get("scores", {}).values()
    prompts = "; ".join(filter(None, map(record_text, columns)))
    if prompts:
        texts["prompts"] = prompts
    return texts


def value_text(value: Any) -> str:
    """Return a field of provenance as text."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False)
