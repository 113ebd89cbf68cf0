"""pyiqa's files of splits: pickles with row numbers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from ..errors import CLIPIQAError

SPLITS = ("train", "val", "test")
_FORM = "expected a pickled dict such as {1: {'train': [0, 2], 'val': [1], 'test': []}}"


class SplitFileError(CLIPIQAError):
    """A file of splits that cannot be used."""


class _Unpickler(pickle.Unpickler):  # of dict, list, int and str only: no code can run
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which could run code")


def read_split_file(path: str | Path, index: int, rows: int) -> list[str | None]:
    """Return each row's split in pyiqa's file, or None; no code in the file is run."""
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
    except OSError as error:
        raise SplitFileError(f"the file of splits {str(path)!r} cannot be read: {error.strerror}.") from error
    except Exception as error:  # a damaged pickle can raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SplitFileError(f"{str(path)!r} is no file of splits that can be used ({reason}): {_FORM}.") from error
    splits = content.get(index) if isinstance(content, dict) else None
    if not isinstance(splits, dict):
        raise SplitFileError(f"{path} has no split with the split_index {index}: {_FORM}.")
    found: list[str | None] = [None] * rows
    for split in SPLITS:
        numbers = splits.get(split) or ()
        if not isinstance(numbers, list | tuple) or not all(type(row) is int for row in numbers):
            raise SplitFileError(f"{split!r} of split {index} in {path} must be a list of row numbers: {_FORM}.")
        for row in numbers:
            if not 0 <= row < rows:
                raise SplitFileError(
                    f"{path} names row {row}, but the table has {rows} rows: use the file of splits of this table."
                )
            if found[row] is not None:
                raise SplitFileError(
                    f"{path} has row {row} in {found[row]!r} and in {split!r}: correct the file, since a row belongs "
                    "to one split."
                )
            found[row] = split
    return found
