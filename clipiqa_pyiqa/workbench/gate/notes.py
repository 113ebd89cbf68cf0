"""Notes on the scores of two runs: what a reader should know, though it fails no gate."""

from collections.abc import Sequence

from pandas import DataFrame

from ...text import counted
from ..results.scores import Scores
from .absent import is_equal_infinite


def notes_on_scores(names: Sequence[str], rows: DataFrame, runs: Sequence[Scores]) -> list[str]:
    """Return sentences about the compared columns."""
    notes = []
    if names and _are_of_one_run(names, rows, runs):
        notes.append(
            f"the scores of {counted(len(rows), 'row')} are equal in both runs, to the last bit: {runs[0].file!r} and "
            f"{runs[1].file!r} may hold the same run"
        )
    for name in names:
        count = int(is_equal_infinite(name, rows).sum())
        if count:
            notes.append(f"{name!r} is infinite in both runs for {counted(count, 'row')}: not in its mean")
    return notes


def _are_of_one_run(names: Sequence[str], rows: DataFrame, runs: Sequence[Scores]) -> bool:
    """Return whether every score is the same in both runs, though a file does not say how its scores were made."""
    if all(run.is_ours for run in runs):
        return False  # unchanged images have the same scores
    base = rows[[f"{name} base" for name in names]]
    new = rows[[f"{name} new" for name in names]].set_axis(base.columns, axis=1)
    return base.equals(new)
