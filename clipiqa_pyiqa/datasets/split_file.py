"""pyiqa's files of splits: pickles that say which rows of a table are to train, to validate and to test on."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import CLIPIQAError

SPLITS = ("train", "val", "test")
MOST_BYTES = 64 << 20


class SplitFileError(CLIPIQAError):
    """A file of splits that cannot be used."""


class _Unpickler(pickle.Unpickler):
    """Knows what pickles have opcodes for (dict, list, int, str) and no class or function: nothing can run."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which could run code")


def read_split_file(path: str | Path, index: int, rows: int) -> list[str | None]:
    """Which split each row of a table is in, by a file in pyiqa's format, ``{1: {'train': [0, 2], 'val': [1]}, …}``.

    Args:
        path: The file; no pickled object is built but dict, list, int and str.
        index: Which of the splits in it.
        rows: How many the table has.

    Returns:
        One of ``'train'``, ``'val'`` and ``'test'`` for each row, None for those in none.

    Raises:
        SplitFileError: It cannot be read or holds something else, has no such split, or names a row twice or one that
            the table has not.
    """
    splits = _entry(_read(Path(path).expanduser()), path, index)
    found: list[str | None] = [None] * rows
    for split in SPLITS:
        for row in _rows(splits.get(split), f"{split!r} of split {index} in {path}"):
            if not 0 <= row < rows:
                raise SplitFileError(f"{path} names row {row}, but the table has {rows}: it belongs to another table.")
            if found[row] is not None:
                raise SplitFileError(f"{path} has row {row} in {found[row]!r} and in {split!r}: a row is in one split.")
            found[row] = split
    return found


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            if path.stat().st_size > MOST_BYTES:
                raise SplitFileError(f"{str(path)!r} is no file of splits: it has more than {MOST_BYTES >> 20} MiB.")
            return _Unpickler(file).load()
    except OSError as error:
        raise SplitFileError(f"the file of splits {str(path)!r} cannot be read: {error.strerror}.") from error
    except SplitFileError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SplitFileError(
            f"{str(path)!r} is no file of splits that can be used ({reason}): expected pyiqa's form, a pickled dict "
            "such as {1: {'train': [0, 2], 'val': [1], 'test': []}}."
        ) from error


def _entry(content: Any, path: str | Path, index: int) -> dict[Any, Any]:
    known = sorted(map(str, content)) if isinstance(content, dict) else []
    splits = content.get(index) if known else None
    if not isinstance(splits, dict):
        there = f"has the splits {', '.join(known[:8])}" if known else "is no dict of splits"
        raise SplitFileError(f"{path} {there}, but split_index is {index}: name one of these.")
    return splits


def _rows(value: Any, what: str) -> Sequence[int]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(type(row) is int for row in value):
        raise SplitFileError(f"{what} must be a list of row numbers, but is {value!r:.80}.")
    return value
