"""Why scores are missing: which kinds of failures last, and which kind a row with several has."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import Kind

_OF_FILES = (Kind.EMPTY, Kind.NOT_A_FILE, Kind.DAMAGED_ARCHIVE, Kind.OUTSIDE, Kind.NOT_AN_IMAGE, Kind.UNCLEAR_SCALE)
UNREAD = (*_OF_FILES, Kind.DAMAGED, Kind.UNREADABLE, Kind.MISSING)
"""Kinds of images that nobody can read."""
LASTING = (*_OF_FILES, Kind.TOO_SMALL)
"""Kinds of failures that last as long as the image stays the same, whatever scores it."""


def is_final(kind: Kind | None, has_same_decoders: bool) -> bool:
    """Return whether a failure is kept while the image stays the same; others are tried again.

    A damaged image is tried again by other decoders, which may read it.
    """
    return kind in LASTING or (kind is Kind.DAMAGED and has_same_decoders)


def kind_of_row(kinds: Sequence[Kind | None]) -> Kind | None:
    """Return the kind of a row with several failures, if possible one that is tried again.

    That another tool's score is missing counts only if nothing else failed.
    """
    failures = [kind for kind in kinds if kind and kind != Kind.NOT_IN_FILE]
    for kind in failures:
        if not is_final(kind, has_same_decoders=True):
            return kind
    if failures:
        return failures[0]
    return Kind.NOT_IN_FILE if Kind.NOT_IN_FILE in kinds else None
