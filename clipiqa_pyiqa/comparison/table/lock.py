"""What the numbers of a table depend on, written down, and what changed when they are computed again."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...datasets.specification import CompareError
from ...files.hashes import hash_file
from ..metrics import BuiltMetric
from .values import Changed, MethodScores

SCHEMA = 1
_PACKAGES = ("clipiqa-pyiqa", "pyiqa", "torch", "torchvision", "pillow", "numpy")
_LARGEST = 1 << 28  # bytes of a file


def make_lock(found: MethodScores, asked: Mapping[str, Any], built: Mapping[str, BuiltMetric | str]) -> dict[str, Any]:
    """Return all that the numbers of a table depend on, as JSON values.

    Args:
        found: The table.
        asked: The arguments of ``table`` that change numbers.
        built: The metrics by label.
    """
    files = {"the reference": found.pictures.references} if found.pictures.references else {}
    scores = found.scores[found.of_images].set_axis(found.scores["method"] + "/" + found.scores["image"])
    means = {
        f"{label} of {f'{test_set} {method}'.strip()}": value.mean
        for (test_set, label), cells in found.values.items()
        for method, value in cells.items()
    }
    return {
        "schema": SCHEMA,
        "asked": dict(asked),
        "protocol": asdict(found.protocol) | {"sha256": found.protocol.sha256} if found.protocol else None,
        "versions": versions(),
        "metrics": {n: dict(c.metric.provenance) for n, c in found.columns.items() if n in built},
        "weights": {n: weights_sha256(metric) for n, metric in built.items() if isinstance(metric, BuiltMetric)},
        "pictures": {who: _hashes(names) for who, names in {**files, **found.pictures.files}.items()},
        "scores": {label: _numbers(column) for label, column in scores.items()},
        "means": _numbers(means),
    }


def read_lock(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a lock.

    Raises:
        CompareError: The file cannot be read, or is of another schema.
    """
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            lock = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or "it is no JSON"
        raise CompareError(f"the lock {str(path)!r} cannot be read: {why}.") from error
    schema = lock.get("schema") if isinstance(lock, dict) else None
    if schema != SCHEMA:
        raise CompareError(f"the lock {str(path)!r} has the schema {schema!r}; this version reads schema {SCHEMA}.")
    parts = ("asked", "versions", "metrics", "weights", "pictures", "scores", "means")
    if wrong := [part for part in parts if not isinstance(lock.get(part), dict)]:
        raise CompareError(f"the lock {str(path)!r} is damaged: {wrong[0]!r} is missing.")
    return lock


def compare_locks(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Changed]:
    """Return what differs between two locks: first what all depends on, then pictures, then cells."""
    general = {kind: _different(was[kind], now[kind]) for kind in ("versions", "metrics", "weights")}
    pictures = {
        who: _different(was["pictures"].get(who, {}), now["pictures"].get(who, {}))
        for who in {**was["pictures"], **now["pictures"]}
    }
    found = [Changed(f"{kind} {name}", *pair) for kind, each in general.items() for name, pair in each.items()]
    found += [
        Changed(f"picture {name} of {who}", before[:12], after[:12])
        for who, each in pictures.items()
        for name, (before, after) in each.items()
    ]
    for label in {**was["scores"], **now["scores"]}:
        own = [f"{kind} {label} changed" for kind in ("metrics", "weights") if label in general[kind]]
        why = own or [f"versions {name} changed" for name in general["versions"]]
        for cell, pair in _different(was["scores"].get(label, {}), now["scores"].get(label, {})).items():
            method, _, name = cell.partition("/")
            seen = [
                f"the picture of {who} changed" for who in (method, "the reference") if name in pictures.get(who, ())
            ]
            said = seen or why or ["another machine, device or number of threads"]
            found.append(Changed(f"{label} of {cell}", *pair, ", ".join(said)))
    return found + [Changed(f"mean {cell}", *pair) for cell, pair in _different(was["means"], now["means"]).items()]


def versions() -> dict[str, str]:
    """Return the versions and the machine that scores may depend on."""
    return {name: version(name) for name in _PACKAGES} | {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def weights_sha256(metric: BuiltMetric) -> str:
    """Return a hash of all tensors and arrays of a metric's network; empty if it has none."""
    score = inspect.unwrap(metric.score)
    net = getattr(score, "net", score)
    if not isinstance(net, torch.nn.Module):
        return ""
    known = {**net.state_dict(), **{k: v for k, v in vars(net).items() if isinstance(v, torch.Tensor | np.ndarray)}}
    digest = hashlib.sha256()
    for name, value in known.items():
        digest.update(name.encode() + np.ascontiguousarray(torch.as_tensor(value).detach().cpu().float()).tobytes())
    return digest.hexdigest() if known else ""


def _hashes(files: Mapping[str, str]) -> dict[str, str]:
    return {name: hash_file(Path(path)) for name, path in files.items()}


def _numbers(values: Any) -> dict[str, float | None]:
    """Numbers by name, None for NaN, which JSON lacks."""
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _different(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    said = {key: (_spelt(was.get(key)), _spelt(now.get(key))) for key in {**was, **now}}
    return {key: pair for key, pair in said.items() if pair[0] != pair[1]}


def _spelt(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
