"""SHA-256 of files, worked out once and then remembered by path, size and time of change.

What was worked out is kept in ``$XDG_CACHE_HOME/clipiqa/hashes.json`` (default ``~/.cache``). A cache that cannot be
read or written costs time, and is no error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from .writing import write_text

logger = logging.getLogger("clipiqa_pyiqa")


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file in hex, as :func:`hashes_of` does.

    Raises:
        WeightsError: If the file cannot be read.
    """
    try:
        return hashes_of([path])[0]
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error


def hashes_of(paths: Sequence[str | Path]) -> list[str]:
    """Return the SHA-256 of files in hex; a file is hashed again if its size or its time has changed.

    Raises:
        OSError: A file cannot be read.
    """
    memory, found = _read_memory(), []
    new: dict[str, str] = {}
    for path in map(str, paths):
        known = memory.get(os.path.realpath(path))
        if not isinstance(known, list) or known[:-1] != _stamp(path):
            known = [new.setdefault(path, hash_file(Path(path)))]
        found.append(str(known[-1]))
    if new:
        remember(new)
    return found


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex, worked out now."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def remember(hashes: Mapping[str, str]) -> None:
    """Keep the hashes of files, as they are now."""
    file = _memory_file()
    try:
        entries = {os.path.realpath(path): [*_stamp(path), digest] for path, digest in hashes.items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps({**_read_memory(), **entries}, indent=1))
    except OSError as error:
        logger.debug("%s cannot be written (%s): files will be hashed again", file, error)


def _stamp(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _memory_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clipiqa" / "hashes.json"


def _read_memory() -> dict[str, Any]:
    try:
        content = json.loads(_memory_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
