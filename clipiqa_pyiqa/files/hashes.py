"""SHA-256 hashes of files, computed anew or remembered."""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ..checks import FilePath
from ..errors import WeightsError
from .reading import open_file
from .user_cache import user_cache


def hash_file(path: FilePath) -> str:
    """Return the SHA-256 of a file in hex, computed anew."""
    sha256 = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def remembered_sha256(path: FilePath) -> str:
    """Return the SHA-256 of a file of weights or parameters in hex; the user's cache keeps it for the next call.

    Raises ``WeightsError`` if the file cannot be read.
    """
    try:
        return _hashes_of_weights(user_cache("hashes.jsonl")).of([path])[0]
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error


class FileHashes:
    """The SHA-256 of files in hex, each computed once as long as the file's size, times and inode stay the same.

    Args:
        path: A file that keeps them for the next process; it is read once, and each new hash is a line at its end.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known = _read_hashes(path) if path is not None else {}

    def of(self, paths: Iterable[FilePath]) -> list[str]:
        """Return the hashes of files. Raises ``OSError`` if one cannot be read."""
        hashes = list[str]()
        new_lines = list[str]()
        for path in map(str, paths):
            name = os.path.realpath(path)
            stamp = _stamp(path)  # before the file is read: a change meanwhile changes the stamp
            known_stamp, sha256 = self._known.get(name, (None, ""))
            if known_stamp != stamp:
                sha256 = hash_file(path)
                self._known[name] = (stamp, sha256)
                new_lines.append(json.dumps([name, stamp, sha256]))
            hashes.append(sha256)
        if new_lines and self._path is not None:
            with contextlib.suppress(OSError):  # the hashes are only computed again
                _append(self._path, new_lines)
        return hashes


_hashes_of_weights = functools.cache(FileHashes)


def _append(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(["", *lines, ""]))  # a kill may have left the last line without an end


def _read_hashes(path: Path) -> dict[str, tuple[list[int], str]]:
    """Return the hashes in a file, by name and with stamps; damaged lines are left out."""
    hashes = dict[str, tuple[list[int], str]]()
    with contextlib.suppress(OSError), open_file(path, "r", encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                name, stamp, sha256 = json.loads(line)
                if isinstance(name, str) and isinstance(sha256, str):
                    hashes[name] = (stamp, sha256)
    return hashes


def _stamp(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
