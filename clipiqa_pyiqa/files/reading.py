"""How files that people name are opened, and their SHA-256 hashes."""

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ..errors import FilePath, WeightsError
from .writing import write_text


def open_file(path: FilePath, mode: str = "rb", **options: Any) -> IO[Any]:
    """Open a file to read it. Raises ``OSError`` at once for a pipe or a device, which could block for ever."""
    kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # open() refuses a folder
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, but a file was expected", os.fspath(path))
    return open(path, mode, **options)


def read_bytes(path: FilePath) -> bytes:
    with open_file(path) as file:
        return bytes(file.read())


def sha256_of(path: FilePath) -> str:
    """Return the SHA-256 of a file in hex. Raises ``WeightsError`` if the file cannot be read."""
    try:
        return hashes_of([path])[0]
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error


def hashes_of(paths: Sequence[FilePath]) -> list[str]:
    """Return the SHA-256 of files in hex.

    ``$XDG_CACHE_HOME/clipiqa/hashes.json`` stores those of existing files, so that only a new or changed file is read.
    """
    known, new = _read_cache(), dict[str, list[Any]]()
    found = []
    for path in map(str, paths):
        name, stamp = os.path.realpath(path), _stamp(path)  # before it is read: a change meanwhile changes the stamp
        entry = known.get(name)
        if not isinstance(entry, list) or entry[:-1] != stamp:
            entry = new[name] = [*stamp, hash_file(Path(path))]
        found.append(str(entry[-1]))
    if new:
        with contextlib.suppress(OSError):
            user_cache("").mkdir(parents=True, exist_ok=True)
            kept = {path: entry for path, entry in _read_cache().items() if os.path.exists(path)}
            write_text(user_cache("hashes.json"), json.dumps({**kept, **new}, indent=1))
    return found


def hash_file(path: FilePath) -> str:
    sha256 = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def _stamp(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def user_cache(name: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clipiqa" / name


def _read_cache() -> dict[str, Any]:
    try:
        content = json.loads(user_cache("hashes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
