"""Files that hold the same photo: found by size, then by all of their bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..files.hashes import hash_file


def groups_of_copies(files: Sequence[Path]) -> list[list[int]]:
    """Return groups of rows whose files have the same content, in order; missing files are in no group."""
    groups: list[list[int]] = [list(range(len(files)))]
    keys: tuple[Callable[[Path], object], ...] = (os.path.getsize, hash_file)
    for key in keys:  # the second reads files of equal size only
        found: dict[tuple[int, object], list[int]] = {}
        for number, group in enumerate(groups):
            for row in group:
                try:
                    found.setdefault((number, key(files[row])), []).append(row)
                except (OSError, ValueError):  # ValueError: a NUL in its name
                    continue
        groups = [group for group in found.values() if len(group) > 1]
    return groups
