"""SHA-256 of large files, worked out once and then remembered by path, size and time of change."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

from ..errors import WeightsError
from .writing import replacing

logger = logging.getLogger("clipiqa_pyiqa")


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file in hex.

    What was worked out is kept in ``$XDG_CACHE_HOME/clipiqa/hashes.json`` (default ``~/.cache``); a file that changed
    its size or its time is hashed again. A cache that cannot be read or written costs time, and is no error.

    Raises:
        WeightsError: If the file cannot be read.
    """
    real = Path(path).resolve()
    try:
        stat = real.stat()
        known = _read_memory().get(str(real))
        if isinstance(known, list) and known[:-1] == [stat.st_size, stat.st_mtime_ns]:
            return str(known[-1])
        digest = hash_file(real)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error
    _remember(str(real), [stat.st_size, stat.st_mtime_ns, digest])
    return digest


def hash_file(path: Path) -> str:
    """SHA-256 of a file in hex, worked out now."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def _memory_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clipiqa" / "hashes.json"


def _read_memory() -> dict[str, object]:
    try:
        content = json.loads(_memory_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(path: str, entry: list[object]) -> None:
    file = _memory_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            partial.write_text(json.dumps({**_read_memory(), path: entry}, indent=1), encoding="utf-8")
    except OSError as error:
        logger.debug("%s cannot be written (%s): %s will be hashed again", file, error, path)
