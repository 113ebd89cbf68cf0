"""Whether low or high values of a column are good, by its file, its name or the caller."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import CLIPIQAError
from .known_directions import direction_by_name, known_word
from .scores import Scores


@dataclass(frozen=True)
class Direction:
    """Whether low scores are good, and the reason."""

    lower_better: bool
    because: str

    def __str__(self) -> str:
        return f"{'lower' if self.lower_better else 'higher'} is better ({self.because})"


def find_direction(runs: Sequence[Scores], column: str, option: bool | None = None) -> Direction:
    """Return a column's direction; ``option`` is the option ``lower_better``, or None if it is not set."""
    if option is None:
        _check_scales(runs, column)
    by_file = _direction_by_file(runs, column, option)
    if by_file is not None:
        return by_file
    if option is not None:
        return Direction(option, "as the option says")
    by_name = direction_by_name(column)
    if by_name is None:
        _check_is_of_others(runs, column)
    if by_name is not None:
        return Direction(by_name, "by its name")
    word = known_word(column)
    if word:
        raise CLIPIQAError(
            f"nothing says whether a low or a high {column!r} is good, as {word!r} is not its whole name: pass "
            "lower_better or higher_better, or name other columns (`by`).",
            options=("higher_better", "lower_better", "by"),
        )
    return Direction(False, "assumed, as its name is unknown; if wrong, say that lower is better")


def _direction_by_file(runs: Sequence[Scores], column: str, option: bool | None) -> Direction | None:
    """Return the direction that the first file tells, or the option's, if it is another; None: no file tells."""
    for run in runs:
        lower_better = run.columns[column].lower_better if column in run.columns else None
        if lower_better is None:
            continue
        name = os.path.basename(run.file) or "the metric"
        if option is None or option == lower_better:
            return Direction(lower_better, f"as {name} says")
        return Direction(option, f"as the option says, unlike {name}")
    return None


def _check_scales(runs: Sequence[Scores], column: str) -> None:
    """Raise ``CLIPIQAError`` if a file of ours has lost the scales of its columns.

    Users name our columns as they like: without the file's scales, even a known name may stand for another metric.
    """
    for run in runs:
        if run.is_ours and not run.columns:
            raise _unknown_direction(run, column)


def _check_is_of_others(runs: Sequence[Scores], column: str) -> None:
    """Raise ``CLIPIQAError`` if a file of ours, which tells its columns' directions, does not tell this one's."""
    for run in runs:
        if run.is_ours:
            raise _unknown_direction(run, column)


def _unknown_direction(run: Scores, column: str) -> CLIPIQAError:
    return CLIPIQAError(
        f"{run.file!r} does not say whether a low or a high {column!r} is good: pass lower_better or higher_better.",
        options=("lower_better", "higher_better"),
    )
