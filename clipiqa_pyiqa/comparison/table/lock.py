"""Lock files: everything that the numbers of a table depend on."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from ...errors import CLIPIQAError
from ...files.hashes import hash_file
from ...scoring.metrics import BuiltMetric, values_of
from ..compare import versions
from .matching import REFERENCE

if TYPE_CHECKING:
    from .results import MethodTable

SCHEMA = 1
_COMPARED = ("versions", "metrics", "weights", "pictures", "scores", "means")
_MACHINE = {("versions", name) for name in ("platform", "cpu", "cuda")}
_ROUNDING = 1e-5
"""Largest difference of numbers that agree: relative above 1, absolute below. Threads and processors cause less."""


def make_lock(found: MethodTable, arguments: Mapping[str, Any]) -> dict[str, Any]:
    files: dict[Any, Any] = dict(found.images.files)
    if found.images.references:
        files[REFERENCE] = found.images.references
    methods = found.scores.set_index("image").groupby("method", sort=False)
    means = {" ".join(filter(None, key)): mean for key, mean in found.cells["mean"].items()}
    return {
        "schema": SCHEMA,
        "asked": dict(arguments),
        "protocol": asdict(found.protocol) | {"sha256": found.protocol.sha256},
        "versions": versions(),
        "metrics": {label: dict(found.columns[label].provenance) for label in found.built},
        "weights": {n: _weights_sha256(metric) for n, metric in found.built.items() if isinstance(metric, BuiltMetric)},
        "pictures": {who: {name: hash_file(Path(p)) for name, p in paths.items()} for who, paths in files.items()},
        "scores": {n: {who: _numbers(rows[n]) for who, rows in methods} for n in found.of_images},
        "means": _numbers(means),
    }


def read_lock(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        lock = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON"
        raise CLIPIQAError(f"the lock {str(path)!r} cannot be read: {reason}.") from error
    schema = lock.get("schema") if isinstance(lock, dict) else None
    if schema != SCHEMA:
        raise CLIPIQAError(f"the lock {str(path)!r} has the schema {schema!r}; this version reads schema {SCHEMA}.")
    if missing := [part for part in _COMPARED if not isinstance(lock.get(part), dict)]:
        raise CLIPIQAError(f"the lock {str(path)!r} is damaged: {missing[0]!r} is missing.")
    return dict(lock)


def compare_locks(before: Mapping[str, Any], after: Mapping[str, Any]) -> pandas.DataFrame:
    """Return a table of differences: ``what``, ``was``, ``now``, ``why`` a score may differ, and ``judged``.

    Differences of the machine are not judged.
    """
    was, now = (dict(_entries({part: lock.get(part) for part in _COMPARED})) for lock in (before, after))
    changed = dict.fromkeys(key for key in {**was, **now} if not _agree(key[0], was.get(key), now.get(key)))

    def reason(kind: str, label: str, *cell: str) -> str:
        if kind != "scores":
            return ""
        method, image = cell
        pictures = {("pictures", who, image) for who in (method, REFERENCE)}
        for causes in (pictures, {("metrics", label), ("weights", label)}, {("versions",)}):
            if found := [" ".join(key) for key in changed if any(key[: len(cause)] == cause for cause in causes)]:
                return f"{', '.join(found)} changed"
        return "another machine, device or number of threads"

    rows = [
        (" ".join(key), was.get(key, "nothing"), now.get(key, "nothing"), reason(*key), key not in _MACHINE)
        for key in changed
    ]
    return pandas.DataFrame(rows, columns=["what", "was", "now", "why", "judged"])


def _agree(part: str, was: str | None, now: str | None) -> bool:
    if part not in ("scores", "means") or was is None or now is None or "null" in (was, now):
        return was == now
    one, other = float(was), float(now)
    return abs(one - other) <= _ROUNDING * max(1, abs(one))


def _entries(value: Any, *key: str) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _entries(each, *key, name)
    else:
        yield key, value if isinstance(value, str) else json.dumps(value)


def _weights_sha256(metric: BuiltMetric) -> str:
    digest = hashlib.sha256()
    for name, value in values_of(getattr(metric.score, "net", metric.score)):
        if isinstance(value, bytes):
            digest.update(name.encode() + value)
    return digest.hexdigest()


def _numbers(values: Any) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}
