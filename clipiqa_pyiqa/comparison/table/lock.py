"""Lock files: everything that the numbers of a table depend on."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch

from ...datasets.specification import CompareError
from ...files.hashes import hash_file
from ..compare import versions
from ..metrics import BuiltMetric
from .values import MethodScores

SCHEMA = 1
_PARTS = ("asked", "protocol", "versions", "metrics", "weights", "pictures", "scores", "means")
_REFERENCE = "the reference"


def make_lock(
    found: MethodScores, arguments: Mapping[str, Any], built: Mapping[str, BuiltMetric | str]
) -> dict[str, Any]:
    files = {**({_REFERENCE: found.pictures.references} if found.pictures.references else {}), **found.pictures.files}
    scores = found.scores[found.of_images].set_axis(found.scores["method"] + "/" + found.scores["image"])
    means = {f"{label} of {f'{s} {method}'.strip()}": mean for (s, label, method), mean in found.cells["mean"].items()}
    return {
        "schema": SCHEMA,
        "asked": dict(arguments),
        "protocol": asdict(found.protocol) | {"sha256": found.protocol.sha256} if found.protocol else {},
        "versions": versions(),
        "metrics": {n: dict(column.metric.provenance) for n, column in found.columns.items() if n in built},
        "weights": {n: _weights_sha256(metric) for n, metric in built.items() if isinstance(metric, BuiltMetric)},
        "pictures": {who: {name: hash_file(Path(p)) for name, p in paths.items()} for who, paths in files.items()},
        "scores": {label: _numbers(column) for label, column in scores.items()},
        "means": _numbers(means),
    }


def read_lock(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        lock = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON"
        raise CompareError(f"the lock {str(path)!r} cannot be read: {reason}.") from error
    schema = lock.get("schema") if isinstance(lock, dict) else None
    if schema != SCHEMA:
        raise CompareError(f"the lock {str(path)!r} has the schema {schema!r}; this version reads schema {SCHEMA}.")
    if missing := [part for part in _PARTS if not isinstance(lock.get(part), dict)]:
        raise CompareError(f"the lock {str(path)!r} is damaged: {missing[0]!r} is missing.")
    return dict(lock)


def compare_locks(before: Mapping[str, Any], after: Mapping[str, Any]) -> pandas.DataFrame:
    """Return a table of differences: ``what``, ``was``, ``now``, and ``why`` a score may have changed."""
    was, now = _entries(before), _entries(after)
    differing = {key: None for key in {**was, **now} if was.get(key) != now.get(key)}
    rows = []
    for key in differing:
        what, why, (kind, *names) = " ".join(key), "", key
        if kind == "picture":
            what = f"picture {names[1]} of {names[0]}"
        elif kind == "score":
            label, (method, _, picture) = names[0], names[1].partition("/")
            what = f"{label} of {names[1]}"
            why = _why(differing, label, method, picture)
        rows.append((what, _text(was.get(key)), _text(now.get(key)), why))
    return pandas.DataFrame(rows, columns=["what", "was", "now", "why"])


def _why(differing: Mapping[tuple[str, ...], None], label: str, method: str, picture: str) -> str:
    pictures = [
        f"the picture of {who} changed" for who in (method, _REFERENCE) if ("picture", who, picture) in differing
    ]
    metric = [f"{kind} {label} changed" for kind in ("metrics", "weights") if (kind, label) in differing]
    versions = [f"versions {key[1]} changed" for key in differing if key[0] == "versions"]
    return ", ".join(pictures or metric or versions or ["another machine, device or number of threads"])


def _entries(lock: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any]
    found = {(kind, n): value for kind in ("versions", "metrics", "weights") for n, value in lock[kind].items()}
    found |= {("picture", who, n): sha256[:12] for who, each in lock["pictures"].items() for n, sha256 in each.items()}
    found |= {("score", label, cell): value for label, each in lock["scores"].items() for cell, value in each.items()}
    return found | {("mean", cell): value for cell, value in lock["means"].items()}


def _weights_sha256(metric: BuiltMetric) -> str:
    score = inspect.unwrap(metric.score)
    net = getattr(score, "net", score)
    if not isinstance(net, torch.nn.Module):
        return ""
    known = {**net.state_dict(), **{k: v for k, v in vars(net).items() if isinstance(v, torch.Tensor | np.ndarray)}}
    digest = hashlib.sha256()
    for name, value in known.items():
        digest.update(name.encode() + np.ascontiguousarray(torch.as_tensor(value).detach().cpu().float()).tobytes())
    return digest.hexdigest() if known else ""


def _numbers(values: Any) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _text(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
