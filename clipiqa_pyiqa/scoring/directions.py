"""Whether low or high scores are good."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..datasets.specification import pyiqa_configs
from ..errors import CLIPIQAError
from .score_files import AnyScores

_COMMON = dict.fromkeys(("mse", "rmse", "mae", "l1", "l2", "error", "loss", "distance", "dmos", "kid", "fvd"), True)
_COMMON |= {"mos": False, "vmaf": False}
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
    for run in runs:
        if column not in run.scales:
            continue
        name, lower_better = os.path.basename(run.file) or "the metric", run.scales[column].lower_better
        if given in (None, lower_better):
            return Direction(lower_better, "file", f"as {name} says")
        return Direction(not lower_better, "option", f"as the option says, unlike {name}")
    if given is not None:
        return Direction(given, "option", "as the option says")
    known = {**_COMMON, **{name: bool(config.get("lower_better")) for name, config in pyiqa_configs().items()}}
    name = column.lower().strip()
    by_name = known.get(name, known.get(re.split(r"[\s_(-]", name)[0]))
    by_name = {"↓": True, "↑": False}.get(name[-1:], by_name)
    for run in runs:
        if run.ours and (by_name is None or not run.scales):
            raise CLIPIQAError(
                f"{run.file!r} is a file of clipiqa score, but its column 'scale' does not say whether a low or a high "
                f"{column!r} is good: pass lower_better or higher_better."
            )
    if by_name is None:
        return Direction(False, "assumed", "assumed, as its name is unknown; if wrong, pass lower_better")
    return Direction(by_name, "name", "by its name")
