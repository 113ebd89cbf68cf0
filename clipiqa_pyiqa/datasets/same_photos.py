"""Which files hold the same photo: by size, then a few bytes, then all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files.hashes import hash_file

_PART = 1 << 12  # bytes that tell most pictures of equal size apart


def groups_of_copies(files: Sequence[Path]) -> list[list[int]]:
    """Groups of rows whose files have the same content, each in order; rows of files that are missing are in none."""
    groups: list[list[int]] = [list(range(len(files)))]
    for key in (_size, _middle, _content):  # each reads more, of those files alone that are equal so far
        found: dict[tuple[int, object], list[int]] = {}
        for number, group in enumerate(groups):
            for row in group:
                if (value := key(files[row])) is not None:
                    found.setdefault((number, value), []).append(row)
        groups = [group for group in found.values() if len(group) > 1]
    return groups


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return None


def _middle(file: Path) -> bytes | None:
    try:
        with file.open("rb") as opened:
            opened.seek(file.stat().st_size // 2)
            return opened.read(_PART)
    except OSError:
        return None


def _content(file: Path) -> str | None:
    try:
        return hash_file(file)
    except OSError:
        return None
