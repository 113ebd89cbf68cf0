"""What the results of a finished run lack, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .absent_values import AbsentValues
from .unasked_scores import UnaskedScores

if TYPE_CHECKING:
    from .scoring_run import ScoringRun


def sentences_on_gaps(run: ScoringRun, keep: Sequence[str]) -> list[str]:
    """Return sentences on what a finished run's results lack.

    These are values to ``keep`` that no sample of a shard has, and cells of scores that were never asked for.
    """
    names = run.header.score_names
    earlier_names = [name for name in run.results.header.score_names if name not in names]
    unseen_paths = set(run.results.images.unmet)
    if not (earlier_names or keep or unseen_paths):  # no row can lack anything
        return []
    absent_values = AbsentValues(run.header.carried, keep)
    unasked_scores = UnaskedScores(names, earlier_names, unseen_paths)
    for cells in run.results.rows():
        absent_values.add(cells)
        unasked_scores.add(cells)
    return [*absent_values.sentences(), *unasked_scores.sentences()]
