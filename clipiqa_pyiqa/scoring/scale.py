"""The column ``scale``, ``{"quality":[0,1,"3f2a9c01"]}``: worst value, best value, hash of how scores are made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..files.journal import changes
from ..prompts.provenance import in_a_word

SCALE = "scale"
_NOT_OF_SCORES = ("version", "versions", "device", "weights", "scores", "keep", "image_column")
"""Fields of provenance that may differ between comparable runs; the hash of the weights is compared instead."""


@dataclass(frozen=True)
class Scale:
    """The meaning of a column's values; ``worst`` is greater than ``best`` if low values are good."""

    worst: float
    best: float
    made: str

    @property
    def lower_better(self) -> bool:
        return self.best < self.worst


def scales_of(provenance: Mapping[str, Any]) -> dict[str, Scale]:
    found = {}
    for name, record in provenance.get("scores", {}).items():
        worst, best = reversed(record["range"]) if record["lower_better"] else record["range"]
        text = json.dumps(alike(provenance, [name]), sort_keys=True)
        found[name] = Scale(worst, best, hashlib.sha256(text.encode()).hexdigest()[:8])
    return found


def scale_text(provenance: Mapping[str, Any]) -> str:
    scales = {
        name: [int(end) if float(end).is_integer() else end for end in (scale.worst, scale.best)] + [scale.made]
        for name, scale in scales_of(provenance).items()
    }
    return json.dumps(scales, ensure_ascii=False, separators=(",", ":")) if scales else ""


def read_scales(cells: Iterable[Any]) -> dict[str, Scale]:
    """Return the scales in the column's cells. Raises ``ValueError`` if they differ."""
    found: dict[str, Scale] = {}
    for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
        try:
            record = json.loads(cell)
            scales = {name: Scale(float(worst), float(best), str(made)) for name, (worst, best, made) in record.items()}
        except (ValueError, TypeError, AttributeError):
            continue
        for name in scales:
            if found.get(name, scales[name]) != scales[name]:
                raise ValueError(f"rows of {name!r} were scored in different ways")
        found |= scales
    return found


def alike(provenance: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the fields that must be equal for a comparison of scores."""
    fields = {key: value for key, value in provenance.items() if key not in _NOT_OF_SCORES}
    fields["scores"] = {name: _hashed(record) for name, record in provenance["scores"].items() if name in names}
    return fields


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], but: Collection[str] = ()
) -> list[tuple[str, str, str]]:
    """Return each field, except ``but``, that differs between two provenances, with both values as texts."""
    shared = [name for name in one.get("scores", {}) if name in other.get("scores", {})]
    fields = (
        {key: value for key, value in each.items() if key not in ("scores", *but)}
        | {repr(name): _hashed(each["scores"][name]) for name in shared}
        for each in (one, other)
    )
    return [(key, in_a_word(was), in_a_word(now)) for key, was, now in changes(*fields)]


def _hashed(record: Mapping[str, Any]) -> dict[str, Any]:
    fields = {key: value for key, value in record.items() if key not in _NOT_OF_SCORES}
    return {key: value["sha256"] if isinstance(value, dict) else value for key, value in fields.items()}
