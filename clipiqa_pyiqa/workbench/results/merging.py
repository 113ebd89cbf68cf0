"""A row of a run, merged with what an earlier run left of the same image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..files.journal import Cells
from .earlier import EarlierRow, Failure
from .failures import kind_of_row
from .row import Row


@dataclass(frozen=True)
class MergedRow:
    """What is known of an image after two runs.

    Attributes:
        scores: Column -> score, or None where it failed; without columns that no run asked for.
        facts: The values of ``FIELDS``; kind and error concern all columns.
        failure: Kind and error that concern the columns of this run.
    """

    scores: Mapping[str, float | None]
    facts: Cells
    failure: Cells


def unmerged(row: Row, names: Sequence[str]) -> MergedRow:
    """Return a row, whose columns have these names, as it is: its image is new or has changed."""
    return MergedRow(row.asked_scores(names), row.facts(), {"kind": row.kind, "error": row.error})


def merged(
    row: Row,
    names: Sequence[str],
    earlier_row: EarlierRow,
    kept_scores: Mapping[str, float | None],
    stamp: str,
) -> MergedRow:
    """Return a row, whose columns have these names, with scores kept from the earlier row of the same image.

    Args:
        kept_scores: Columns that were not scored now -> score of the earlier row, or None where it failed.
        stamp: The state of the image, as both rows know it.
    """
    new = unmerged(row, names)
    scores = {**new.scores, **kept_scores}
    facts = {**new.facts, "stamp": stamp}
    failed = {name for name, score in kept_scores.items() if score is None}
    if not failed:
        return MergedRow(scores, facts, new.failure)
    failure_of_both = _failure_of_both(row, earlier_row.failure)
    concerns_this_run = not failed.isdisjoint(names)
    return MergedRow(scores, {**facts, **failure_of_both}, failure_of_both if concerns_this_run else new.failure)


def _failure_of_both(row: Row, earlier: Failure | None) -> Cells:
    """Return ``kind`` and ``error`` of a row that has also failed before."""
    if earlier is None:
        return {"kind": kind_of_row([row.kind]), "error": row.error}
    errors = dict.fromkeys(filter(None, [row.error, earlier.error]))
    return {"kind": kind_of_row([row.kind, earlier.kind]), "error": " ".join(errors)}
