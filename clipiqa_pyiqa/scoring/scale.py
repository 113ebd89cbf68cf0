"""The column ``scale``, ``{"quality":[0,1,"higher","3f2a9c01"]}``: range, the good end, hash of how scores are made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..prompts.provenance import value_text

SCALE = "scale"
_NOT_OF_SCORES = ("version", "versions", "device", "weights", "scores", "keep", "image_column")
"""Fields of provenance that may differ between comparable runs; the hash of the weights is compared instead."""


@dataclass(frozen=True)
class Scale:
    """The meaning of a column's values; None is an open end of their range."""

    low: float | None
    high: float | None
    lower_better: bool
    made: str


def scales_of(provenance: Mapping[str, Any]) -> dict[str, Scale]:
    found = {}
    for name, record in provenance.get("scores", {}).items():
        low, high = record["range"]
        found[name] = Scale(low, high, record["lower_better"], fingerprint(comparable_fields(provenance, [name]))[:8])
    return found


def fingerprint(record: Mapping[str, Any]) -> str:
    fields = {key: value for key, value in record.items() if key not in _NOT_OF_SCORES or key == "scores"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def scale_text(provenance: Mapping[str, Any]) -> str:
    scales = {}
    for name, scale in scales_of(provenance).items():
        ends = [int(end) if end is not None and float(end).is_integer() else end for end in (scale.low, scale.high)]
        scales[name] = [*ends, "lower" if scale.lower_better else "higher", scale.made]
    return json.dumps(scales, ensure_ascii=False, separators=(",", ":")) if scales else ""


def read_scales(cells: Iterable[Any]) -> dict[str, Scale]:
    """Return the scales in the column's cells. Raises ``ValueError`` if they differ."""
    found: dict[str, Scale] = {}
    for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
        try:
            record = json.loads(cell)
            scales = {
                name: Scale(_number(low), _number(high), better == "lower", str(made))
                for name, (low, high, better, made) in record.items()
            }
        except (ValueError, TypeError, AttributeError):
            continue
        for name in scales:
            if found.get(name, scales[name]) != scales[name]:
                raise ValueError(f"rows of {name!r} were scored in different ways")
        found |= scales
    return found


def _number(end: Any) -> float | None:
    return None if end is None else float(end)


def comparable_fields(provenance: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the fields that must be equal for a comparison of scores."""
    fields = {key: value for key, value in provenance.items() if key not in _NOT_OF_SCORES}
    fields["scores"] = {name: _hashed(record) for name, record in provenance["scores"].items() if name in names}
    return fields


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return each field that differs between two provenances, and on which scores depend, with both values as texts."""
    shared = [name for name in one.get("scores", {}) if name in other.get("scores", {})]

    def fields(provenance: Mapping[str, Any]) -> dict[str, Any]:
        left_out = ("version", "versions", "device", "scores")
        found = {key: value for key, value in provenance.items() if key not in left_out}
        for name in shared:
            record = _hashed(provenance["scores"][name])
            found |= {f"{name!r} {key}": value for key, value in record.items()}
        return found

    was, now = fields(one), fields(other)
    changed = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    return [(key, value_text(was.get(key)), value_text(now.get(key))) for key in changed]


def _hashed(record: Mapping[str, Any]) -> dict[str, Any]:
    fields = {key: value for key, value in record.items() if key not in _NOT_OF_SCORES}
    return {key: value["sha256"] if isinstance(value, dict) else value for key, value in fields.items()}
