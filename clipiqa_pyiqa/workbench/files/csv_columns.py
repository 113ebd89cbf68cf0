"""Columns of CSV files, found by a name, a number or a usual name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import CLIPIQAError
from ...text import few

PATH_COLUMNS = "path image image_path image_name img_name filename file name images image_id dist_img key url"


def find_column(
    path: Path | str,
    header: Sequence[str],
    chosen: str | int | None,
    usual: str,
    *,
    option: str = "columns",
    is_needed: bool = True,
) -> str:
    """Return the chosen column (a name or number), or the first with a usual name, in any case and punctuation.

    ``usual`` holds such names, separated by spaces. If there is none and it is not needed, return an empty text.
    """
    remedy = f"its columns are {', '.join(map(repr, header))}; say which with `{option}`."
    if chosen is not None:
        name = _name_of(chosen, header)
        if name in header:
            return name
        raise CLIPIQAError(f"{path} has no column called {name!r}: {remedy}", options=(option,))
    candidates = _with_usual_names(header, usual)
    if candidates:
        return candidates[0]
    if not is_needed:
        return ""
    example = usual.split()[0]
    raise CLIPIQAError(f"{path} has no column such as {example!r}: {remedy}", options=(option,))


def notes_on_other_columns(path: Path, header: Sequence[str], chosen: str | int | None, usual: str) -> list[str]:
    """Return which columns :func:`find_column` passed over, although they have usual names too, in a sentence."""
    candidates = _with_usual_names(header, usual)
    if chosen is not None or len(candidates) < 2:
        return []
    return [f"{path}: the column {candidates[0]!r} is read, not {few(candidates[1:])}; name another to read it"]


def _name_of(chosen: str | int, header: Sequence[str]) -> str:
    if isinstance(chosen, int):
        return header[chosen] if 0 <= chosen < len(header) else str(chosen)
    return chosen


def _with_usual_names(header: Sequence[str], usual: str) -> list[str]:
    """Return the columns that have usual names, in the order of these names."""
    by_name = {column_key(column): column for column in reversed(header)}  # the first of several wins
    usual_names = [column_key(name) for name in usual.split()]
    return [by_name[name] for name in usual_names if name in by_name]


def column_key(name: str) -> str:
    """Return a column's name without case and punctuation."""
    return "".join(c for c in name.lower() if c.isalnum())
