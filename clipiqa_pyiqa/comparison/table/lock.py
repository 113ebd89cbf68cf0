"""What the numbers of a table depend on, written down, and what changed when they are computed again."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
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
    scores = {
        label: {
            f"{method}/{image}": None if math.isnan(value) else value
            for method, image, value in zip(
                found.scores["method"], found.scores["image"], found.scores[label], strict=True
            )
        }
        for label in found.of_images
    }
    means = {
        label: {f"{s} {m}".strip(): None if math.isnan(v.mean) else v.mean for m, v in found.values[s, label].items()}
        for s, label in found.values
    }
    return {
        "schema": SCHEMA,
        "asked": dict(asked),
        "protocol": asdict(found.protocol) | {"sha256": found.protocol.sha256} if found.protocol else None,
        "versions": versions(),
        "metrics": {n: dict(c.metric.provenance) for n, c in found.columns.items() if n in built},
        "weights": {n: weights_sha256(metric) for n, metric in built.items() if isinstance(metric, BuiltMetric)},
        "pictures": {who: _hashes(names) for who, names in {**files, **found.pictures.files}.items()},
        "scores": scores,
        "means": means,
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
    general = [
        Changed(f"{kind} {name}", *pair)
        for kind in ("versions", "metrics", "weights")
        for name, pair in _different(was[kind], now[kind])
    ]
    pictures = {
        who: _different(was["pictures"].get(who, {}), now["pictures"].get(who, {}))
        for who in {**was["pictures"], **now["pictures"]}
    }
    found = [
        *general,
        *(
            Changed(f"picture {name} of {who}", a[:12], b[:12])
            for who, each in pictures.items()
            for name, (a, b) in each
        ),
    ]
    for label in {**was["scores"], **now["scores"]}:
        why = [f"{change.what} changed" for change in general if change.what.startswith("versions ")]
        why = [f"{c.what} changed" for c in general if c.what in (f"metrics {label}", f"weights {label}")] or why
        for cell, (a, b) in _different(was["scores"].get(label, {}), now["scores"].get(label, {})):
            method, _, name = cell.partition("/")
            other = [who for who in (method, "the reference") if name in dict(pictures.get(who, ()))]
            said = (
                [f"the picture of {who} changed" for who in other]
                or why
                or ["another machine, device or number of threads"]
            )
            found.append(Changed(f"{label} of {cell}", a, b, ", ".join(said)))
    for label in {**was["means"], **now["means"]}:
        pairs = _different(was["means"].get(label, {}), now["means"].get(label, {}))
        found += [Changed(f"mean {label} of {cell}", a, b) for cell, (a, b) in pairs]
    return found


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


def _different(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, tuple[str, str]]]:
    keys: Iterable[str] = {**was, **now}
    said = {key: (_spelt(was.get(key)), _spelt(now.get(key))) for key in keys}
    return [(key, pair) for key, pair in said.items() if pair[0] != pair[1]]


def _spelt(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
