"""Provenance: what made a score, as fields of JSON and as texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .. import __version__
from .pairs import PromptPair

if TYPE_CHECKING:
    import torch

    from ..weights.selection import Weights

_SHORT = 60  # most characters of prompts that `metric_line` writes in full


def tower_record(weights: Weights, precision: str, dtype: torch.dtype) -> dict[str, Any]:
    from ..clip.device import is_slow_on_cpu  # imported here: `clipiqa score --help` does not need torch

    return {
        "version": __version__,
        "backbone": weights.backbone,
        "weights": weights.short,
        "weights_sha256": weights.sha256,
        "quick_gelu": weights.quick_gelu,
        "precision": precision,
        **({"cpu_arithmetic": "fp32"} if is_slow_on_cpu(dtype) else {}),
    }


def question_record(pairs: Iterable[PromptPair]) -> dict[str, Any]:
    """Return the record of a column of prompt pairs."""
    questions = [[pair.positive, pair.negative] for pair in pairs]
    return {"range": [0.0, 1.0], "lower_better": False, "questions": questions}


def column_records(columns: Mapping[str, Iterable[PromptPair]]) -> dict[str, dict[str, Any]]:
    """Return each column's record for ``scores`` of provenance."""
    return {name: question_record(pairs) for name, pairs in columns.items()}


def record_text(record: Mapping[str, Any]) -> str:
    """Return a score column's record as text."""
    if "metric" in record:  # one of several metrics of a run
        rest = record_text({key: value for key, value in record.items() if key != "metric"})
        return ", ".join(filter(None, [*map(record.get, ("metric", "backbone", "weights", "file")), rest]))
    if head := record.get("head"):
        low, high = record["range"]
        text = f"{head['method']} head {head['sha256'][:8]} on {head['fit_on']}, fitted to {head['rated_photos']} "
        return f"{text}rated photos; scores from {low:g} to {high:g}{', low is good' if record['lower_better'] else ''}"
    pairs = ["|".join(pair) for pair in record.get("questions", ())]
    question = pairs[0] if len(pairs) == 1 else f"mean of {', '.join(pairs)}" if pairs else ""
    if not (learned := record.get("learned")):
        return question
    origin = f"from {learned['from'] or 'scratch'}{', trained here' if learned['trained'] else ''}"
    return f"learned {learned['sha256'][:8]} ({origin}; ctx {'×'.join(map(str, learned['shape']))} around {question})"


def as_texts(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return provenance as texts; field ``scores`` becomes ``prompts``."""
    texts: dict[str, str] = {}
    for key, value in provenance.items():
        if key == "scores":
            if any("metric" in record for record in value.values()):
                texts["metric"] = ", ".join(value)
            if prompts := "; ".join(dict.fromkeys(filter(None, map(record_text, value.values())))):
                texts["prompts"] = prompts
        elif isinstance(value, Mapping):
            texts |= {name: str(each) for name, each in value.items()}
        else:
            texts[key] = value_text(value)
    return texts


def value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value, ensure_ascii=False)


def metric_line(provenance: Mapping[str, Any]) -> str:
    """Return metric, backbone, weights, prompts (long prompts as a hash) and version on one line."""
    texts = as_texts(provenance)
    if len(prompts := texts.get("prompts", "")) > _SHORT:
        texts["prompts"] = f"prompts {hashlib.sha256(prompts.encode()).hexdigest()[:8]}"
    names = ("metric", "backbone", "weights", "prompts", "version")
    return " ".join(", ".join(texts[name] for name in names if texts.get(name)).split())
