"""Whether low or high scores are good."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .score_files import AnyScores, ScoresError

_ARROWS = {"↓": True, "⬇": True, "▼": True, "↑": False, "⬆": False, "▲": False}  # arrow -> whether a low score is good
_COMMON = {
    **dict.fromkeys(("mse", "rmse", "mae", "nmse", "nrmse", "mape", "l1", "l2", "error", "loss", "distance"), True),
    **dict.fromkeys(("dmos", "kid", "fvd", "deltae", "ciede2000", "ergas", "flip"), True),
    **dict.fromkeys(("mos", "vmaf"), False),
}
"""Name of a well-known score that pyiqa does not have -> whether a low score is good."""


@dataclass(frozen=True)
class Direction:
    """Whether low scores are good; ``known_by`` names the reason for code, ``because`` for people."""

    lower_better: bool
    known_by: Literal["file", "option", "name", "assumed"]
    because: str

    def __str__(self) -> str:
        return f"{'lower' if self.lower_better else 'higher'} is better ({self.because})"


def find_direction(runs: Sequence[AnyScores], column: str, given: bool | None = None) -> Direction:
    """Return a column's direction; ``given`` is the option ``lower_better``, or None if it is not set."""
    telling = [run for run in runs if column in run.scales]
    if len({run.scales[column].lower_better for run in telling}) > 1:
        low, high = sorted(telling, key=lambda run: not run.scales[column].lower_better)
        raise ScoresError(f"a low {column!r} is good in {low.file!r} and bad in {high.file!r}: score both in one way.")
    if telling:
        name, lower_better = os.path.basename(telling[0].file), telling[0].scales[column].lower_better
        if given in (None, lower_better):
            return Direction(lower_better, "file", f"as {name or 'the metric'} says")
        if not all(_is_question(run, column) for run in telling):
            way, other = ("low", "higher_better") if lower_better else ("high", "lower_better")
            raise ScoresError(f"{name!r} says that a {way} {column!r} is good: leave out {other}.")
        return Direction(not lower_better, "option", f"as the option says, unlike {name or 'the metric'}")
    if given is not None:
        return Direction(given, "option", "as the option says")
    known = _direction_of_name(column)
    for run in runs:
        if run.ours and not (known and run.scales):
            raise ScoresError(
                f"{run.file!r} is a file of clipiqa score, but its column 'scale' does not say whether a low or a high "
                f"{column!r} is good: pass lower_better or higher_better."
            )
    return known or Direction(False, "assumed", "assumed, as its name is unknown; if wrong, pass lower_better")


def _is_question(run: AnyScores, column: str) -> bool:
    """Return whether a column asks a question, so that the user may choose its direction."""
    record = run.provenance.get("scores", {}).get(column, {})
    return "questions" in record and "learned" not in record


def _direction_of_name(column: str) -> Direction | None:
    for arrow, lower_better in _ARROWS.items():
        if arrow in column:
            return Direction(lower_better, "name", f"by its arrow, {arrow}")
    metrics, words = _known_metrics(), _words(column)
    for length in range(len(words), 0, -1):
        for first in range(len(words) - length + 1):
            if (name := "".join(words[first : first + length])) in metrics:
                return Direction(metrics[name], "name", f"by its name, {name}")
    return None


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9+]+", name.lower())


@cache
def _known_metrics() -> dict[str, bool]:
    found = dict(_COMMON)
    package = importlib.util.find_spec("pyiqa")
    for folder in (package.submodule_search_locations or ()) if package else ():  # importing pyiqa takes seconds
        configs = runpy.run_path(os.path.join(folder, "default_model_configs.py"))["DEFAULT_CONFIGS"]
        found |= {"".join(_words(name)): bool(config.get("lower_better")) for name, config in configs.items()}
    return found
