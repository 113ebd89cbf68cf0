"""The error of a row as one text: its sentences on missing scores, and the only functions that read such a text.

A file of results stores all errors of a row as one text. What code needs to know of it is read here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...errors import Kind
from ..files.journal import Cells
from .failures import kind_of_row


def with_unasked(cells: Cells, names: Sequence[str]) -> Cells:
    """Return ``kind`` and ``error`` of a row, which also tell for which columns its image was not scored."""
    sentence = (
        f"{cells['path']!r} has no {', '.join(names)}: this run did not compute it, and no "
        "earlier score fits this image."
    )
    return {
        "kind": kind_of_row([cells["kind"], Kind.NOT_ASKED]),
        "error": f"{cells['error'] or ''} {sentence}".strip(),
    }


def with_lacks(path: str, kind: str | None, error: str | None, lacks: Mapping[str, bool]) -> Cells:
    """Return ``kind`` and ``error`` of a row, which also name the scores of other tools that it lacks.

    Args:
        kind, error: The row's, perhaps of an earlier run, whose sentences on the same columns no longer hold.
        lacks: Column of another tool's scores -> whether the row lacks one.
    """
    other_errors = error_without_lacks(path, error or "", lacks)
    if kind == Kind.NOT_IN_FILE and not other_errors:
        kind = None
    missing = [name for name, is_lacking in lacks.items() if is_lacking]
    if missing and not kind:
        kind = Kind.NOT_IN_FILE
    sentences = [other_errors, *(_lack(path, name) for name in missing)]
    return {"kind": kind or None, "error": " ".join(filter(None, sentences))}


def error_without_lacks(path: str, error: str, names: Iterable[str]) -> str:
    """Return the error of a row without its sentences on other tools' scores of these names."""
    for name in names:
        error = error.replace(_lack(path, name), "").strip()
    return error


def error_without_name(path: str, error: str) -> str:
    """Return the error of a row without the image's name at its beginning, so that equal reasons are equal texts."""
    return error.removeprefix(repr(path))


def _lack(path: str, column: str) -> str:
    return f"{path!r} has no score in the file of {column!r}."
