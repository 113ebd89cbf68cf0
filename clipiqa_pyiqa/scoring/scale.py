"""Which way scores point and how they were made: fields of provenance, short enough for a column of every result file.

The column ``scale`` holds the same JSON in every row, ``{"quality":[0,1,"3f2a9c01"]}``: of each score column the worst
and the best value, and a hash of everything that its scores depend on. So a file that was copied or converted, without
the provenance beside it, still says whether a low or a high score is good, and which other scores are like its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..files.journal import changes
from ..prompts.provenance import in_a_word, record_in_words

SCALE = "scale"
_NOT_OF_SCORES = ("version", "versions", "device", "weights", "scores")
"""Fields of provenance that may differ between comparable runs; of ``weights``, a name, the hash is compared."""


@dataclass(frozen=True)
class Scale:
    """What the values of a score column mean.

    Attributes:
        worst: The value of the worst photo; higher than ``best`` where low is good.
        best: The value of the best photo.
        made: Hash of everything that the scores depend on.
    """

    worst: float
    best: float
    made: str

    @property
    def lower_better(self) -> bool:
        """Whether a low score is good."""
        return self.best < self.worst


def scales_of(provenance: Mapping[str, Any]) -> dict[str, Scale]:
    """Return the scale of each score column that provenance names."""
    found = {}
    for name, record in provenance.get("scores", {}).items():
        worst, best = reversed(record["range"]) if record["lower_better"] else record["range"]
        said = json.dumps(alike(provenance, [name]), sort_keys=True)
        found[name] = Scale(worst, best, hashlib.sha256(said.encode()).hexdigest()[:8])
    return found


def scale_text(provenance: Mapping[str, Any]) -> str:
    """Return the cell of the column ``scale``; empty if provenance names no score column."""
    said = {
        name: [_short(found.worst), _short(found.best), found.made] for name, found in scales_of(provenance).items()
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")) if said else ""


def read_scales(cells: Iterable[Any]) -> dict[str, Scale]:
    """Return the scales that cells of the column ``scale`` tell, without cells of another kind.

    Raises:
        ValueError: Two cells differ about a score column: the rows come from several runs.
    """
    found: dict[str, Scale] = {}
    for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
        try:
            said = json.loads(cell)
            told = {name: Scale(float(worst), float(best), str(made)) for name, (worst, best, made) in said.items()}
        except (ValueError, TypeError, AttributeError):
            continue
        if doubled := next((name for name in told if found.get(name, told[name]) != told[name]), None):
            raise ValueError(f"rows of {doubled!r} were scored in different ways")
        found |= told
    return found


def alike(provenance: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the fields that must be equal where scores are compared; of heads and learned prompts their hash."""
    said = {key: value for key, value in provenance.items() if key not in _NOT_OF_SCORES}
    said["scores"] = {name: _hashed(record) for name, record in provenance["scores"].items() if name in names}
    return said


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], but: Collection[str] = ()
) -> list[tuple[str, str, str]]:
    """Return each field of which two provenances differ, with both values, as texts; of columns, those of both."""
    found = changes(*({key: said[key] for key in said if key not in ("scores", *but)} for said in (one, other)))
    records, theirs = one.get("scores", {}), other.get("scores", {})
    for name in [name for name in records if name in theirs]:
        changed = changes(_hashed(records[name]), _hashed(theirs[name]))
        found += [(f"{field} of {name!r}", was, now) for field, was, now in changed]
    return [(key, _told(key, was), _told(key, now)) for key, was, now in found]


def _hashed(record: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in record.items() if key not in _NOT_OF_SCORES}
    return {key: value["sha256"] if isinstance(value, dict) else value for key, value in told.items()}


def _told(key: str, value: Any) -> str:
    text = record_in_words({"questions": value}) if key.startswith("questions of ") else in_a_word(value)
    return text[:12] if len(text) == 64 else text  # of a hash, as much as people compare


def _short(value: float) -> float:
    return int(value) if float(value).is_integer() else value
