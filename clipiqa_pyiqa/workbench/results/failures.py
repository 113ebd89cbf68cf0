"""Why scores are missing: kinds for code, and sentences for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...errors import Kind
from ..files.journal import Cells

_OF_FILES = (Kind.EMPTY, Kind.NOT_A_FILE, Kind.DAMAGED_ARCHIVE, Kind.OUTSIDE, Kind.NOT_AN_IMAGE, Kind.UNCLEAR_SCALE)
UNREAD = (*_OF_FILES, Kind.DAMAGED, Kind.UNREADABLE, Kind.MISSING)
"""Kinds of images that nobody can read."""
OF_THE_IMAGE = (*_OF_FILES, Kind.TOO_SMALL)
"""Kinds of failures that only the image decides: they are kept as long as the image stays the same."""


def is_final(kind: Kind | None, has_same_decoders: bool) -> bool:
    """Return whether a failure is kept while the image stays the same; others are tried again."""
    return kind in OF_THE_IMAGE or (kind is Kind.DAMAGED and has_same_decoders)


def worst_kind(kinds: Sequence[Kind | None]) -> Kind | None:
    """Return the kind of several failures in a row, if possible one that is tried again.

    That another tool's score is missing counts only if nothing else failed.
    """
    failures = [kind for kind in kinds if kind and kind != Kind.NOT_IN_FILE]
    for kind in failures:
        if not is_final(kind, has_same_decoders=True):
            return kind
    if failures:
        return failures[0]
    return Kind.NOT_IN_FILE if Kind.NOT_IN_FILE in kinds else None


def with_unasked(cells: Cells, columns: Sequence[str]) -> Cells:
    """Return ``kind`` and ``error`` of a row, which also name the columns for which its image was not scored."""
    sentence = (
        f"{cells['path']!r} has no {', '.join(columns)}: no run asked for it, or could build it, "
        "since the image was new or had changed."
    )
    return {
        "kind": worst_kind([cells["kind"], Kind.NOT_ASKED]),
        "error": f"{cells['error'] or ''} {sentence}".strip(),
    }


def with_lacks(path: str, kind: str | None, error: str | None, lacks: Mapping[str, bool]) -> Cells:
    """Return ``kind`` and ``error`` of a row, which also name the scores of other tools that it lacks.

    Args:
        kind, error: The row's, perhaps of an earlier run, whose sentences on the same columns no longer hold.
        lacks: Column of another tool's scores -> whether the row lacks one.
    """
    other_errors = _without_lacks(path, error or "", lacks)
    if kind == Kind.NOT_IN_FILE and not other_errors:
        kind = None
    missing = [name for name, is_lacking in lacks.items() if is_lacking]
    if missing and not kind:
        kind = Kind.NOT_IN_FILE
    sentences = [other_errors, *(_lack(path, name) for name in missing)]
    return {"kind": kind or None, "error": " ".join(filter(None, sentences))}


def _without_lacks(path: str, error: str, columns: Iterable[str]) -> str:
    """Return the errors of a row without those on scores of other tools.

    They are told by their words, since a file stores all errors of a row as one text.
    """
    for name in columns:
        error = error.replace(_lack(path, name), "").strip()
    return error


def _lack(path: str, column: str) -> str:
    return f"{path!r} has no score in the file of {column!r}."
