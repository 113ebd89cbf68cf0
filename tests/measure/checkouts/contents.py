"""Any result file as lines of text: equal lines, equal results. What must differ from run to run is hidden first.

Of score files, rows count: provenance, the columns of ``NOT_COMPARED`` and the words of errors are left out, and so are
format, checksum and provenance of a file of learned prompts.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TEXT = {"", ".csv", ".jsonl", ".json", ".md", ".tex", ".html", ".svg", ".txt", ".log"}
HIDDEN = (
    (r"in \d+\.\d s \(\d+\.\d+ images/s\)", "in … s (… images/s)"),
    (r"waited \d+\.\d+ % of the time", "waited … % of the time"),
    (r'data-value="\d(\.\d+)?e-\d+">0\.0<', 'data-value="…">0.0<'),
)
"""Durations in messages and pages; the worker's slow clock makes them 0.0 where they are rounded."""
TINY = re.compile(r"\b\d\.\d+e-(0[7-9]|1\d)\b")
"""Durations by that clock in full precision, where a script prints them."""
DURATIONS = {"seconds per image", "seconds"}
"""Columns of durations."""
NOT_COMPARED = {"metric", "flag", "kind", "scale", "provenance", "conditions", "versions"}
"""Columns and keys that say how scores were made, and that grew from version to version."""
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


class Hide:
    """What differs between two checkouts by nature becomes the same word.

    Args:
        words: What to replace, and by what: a checkout's resolved path, its version.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._rules = [(re.compile(rf"(?<![\w.]){re.escape(word)}(?![\w.]*\d)"), by) for word, by in words.items()]
        self._rules += [(re.compile(pattern), by) for pattern, by in HIDDEN]

    def __call__(self, text: str) -> str:
        for pattern, by in self._rules:
            text = pattern.sub(by, text)
        return text


def lines_of(path: Path, hide: Hide) -> list[str]:
    """What a file holds."""
    kind = path.suffix.lower()
    if path.name == "stderr":
        return _without_frames([hide(line) for line in path.read_text(errors="backslashreplace").splitlines()])
    if path.name == "stdout":  # which may be CSV
        lines = [TINY.sub("…", hide(line)) for line in path.read_text(errors="backslashreplace").splitlines()]
        return _jsonl(lines) if lines and lines[0].startswith("{") else _csv(lines)
    if kind == ".jsonl":
        return _jsonl([hide(line) for line in path.read_text(errors="backslashreplace").splitlines()])
    if kind == ".csv":
        return _csv([hide(line) for line in path.read_text(errors="backslashreplace").splitlines()])
    if kind == ".json":
        return [hide(line) for line in _json(path.read_text())]
    if kind in TEXT:
        return [hide(line) for line in path.read_text(errors="backslashreplace").splitlines()]
    read = {".parquet": _parquet, ".safetensors": _safetensors, ".pt": _pickled, ".png": _picture}.get(kind)
    if "tfevents" in path.name:
        read = _tensorboard
    return [hide(line) for line in read(path)] if read else [_hash(path.read_bytes())]


def tensor_line(value: Any) -> str:
    """Shape, type and every value."""
    return f"{tuple(value.shape)} {value.dtype} {[float(f'{each:.9g}') for each in value.flatten().double().tolist()]}"


def first_difference(a: list[str], b: list[str], tolerance: float = 0) -> str:
    """Where two lists of lines part, in one line; empty if they do not.

    Args:
        a, b: The lines.
        tolerance: By how much their numbers may differ.
    """
    for number, (one, other) in enumerate(zip(a, b, strict=False), 1):
        if one != other and not (tolerance and _are_close(one, other, tolerance)):
            at = next(
                (n for n, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(map(len, (one, other)))
            )
            cut = slice(max(0, at - 40), at + 60)
            return f"line {number}: {one[cut]!r} ≠ {other[cut]!r}"
    return f"{len(a)} lines ≠ {len(b)} lines: {(a + b)[min(len(a), len(b))][:100]!r}" if len(a) != len(b) else ""


def _are_close(one: str, other: str, tolerance: float) -> bool:
    """Whether two lines have the same words, and numbers that differ by at most the tolerance."""
    if NUMBER.split(one) != NUMBER.split(other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(abs(float(x) - float(y)) <= tolerance for x, y in pairs)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _without_frames(lines: list[str]) -> list[str]:
    """A traceback's last line alone, and warnings without their place in the code."""
    kept, inside = [], False
    for line in lines:
        inside = (inside and line.startswith(" ")) or line.startswith("Traceback (most recent")
        if not inside:
            kept.append(re.sub(r"^\S+\.py:\d+: (?=\w*Warning)", "", line))
    warned = [number for number, line in enumerate(kept) if re.match(r"\w*Warning: ", line)]
    return [line for number, line in enumerate(kept) if not (number - 1 in warned and line.startswith("  "))]


def _csv(lines: list[str]) -> list[str]:
    rows = [row for row in csv.reader(line for line in lines if not line.startswith("#")) if row]
    if not rows or len(rows[0]) < 2:
        return lines
    names = dict(enumerate(rows[0]))
    found = [rows[0], *([_hidden(names.get(n, ""), cell) for n, cell in enumerate(row)] for row in rows[1:])]
    return [",".join(cell for n, cell in enumerate(row) if names.get(n) not in NOT_COMPARED) for row in found]


def _hidden(name: str, cell: Any) -> Any:
    """A cell, without the words of an error or a duration."""
    return "…" if cell and name in {*DURATIONS, "error"} else cell


def _jsonl(lines: list[str]) -> list[str]:
    """Rows of scores without what says which metric made them."""
    found = []
    for line in lines:
        try:
            row = json.loads(line) if line.startswith("{") else {}
        except ValueError:
            row = {}
        if row.keys() >= {"columns", "provenance"}:
            continue
        row = {key: _hidden(key, value) for key, value in row.items() if key not in NOT_COMPARED}
        found.append(json.dumps(row) if row else line)
    return found


def _json(text: str) -> list[str]:
    """A JSON file's values, one a line, without what says how they were made."""
    return list(_values("", json.loads(text)))


def _parquet(path: Path) -> Iterator[str]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        yield from (f"{field.name}: {field.type}" for field in file.schema_arrow if field.name not in NOT_COMPARED)
        for row in file.read().to_pylist():
            yield repr({key: _hidden(key, value) for key, value in row.items() if key not in NOT_COMPARED})


def _safetensors(path: Path) -> Iterator[str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        yield from (f"{name}: {tensor_line(file.get_tensor(name))}" for name in sorted(file.keys()))


def _pickled(path: Path) -> Iterator[str]:
    import torch

    yield from _values("", torch.load(path, weights_only=True))


def _values(name: str, value: Any) -> Iterator[str]:
    if hasattr(value, "dtype"):
        yield f"{name}: {tensor_line(value)}"
    elif isinstance(value, dict):
        for key in sorted(value.keys() - NOT_COMPARED):
            yield from _values(f"{name}.{key}", value[key])
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _values(f"{name}.{number}", item)
    else:
        yield f"{name}: {value!r}"


def _picture(path: Path) -> Iterator[str]:
    from PIL import Image

    with Image.open(path) as image:
        yield f"{image.mode} {image.size} {_hash(image.tobytes())}"
        yield json.dumps({key: str(value) for key, value in image.info.items()}, sort_keys=True)


def _tensorboard(path: Path) -> Iterator[str]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for event in EventFileLoader(str(path)).Load():
        yield from (f"{event.step} {value.tag} {value.tensor.float_val}" for value in event.summary.value)
