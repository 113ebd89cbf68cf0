"""How often ``clipiqa gate`` is wrong, for docs/performance.md: 2,000 runs a cell.

python tests/measure/gate.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from levels import DIFFERENCES, RUNS

from clipiqa_pyiqa.comparison.verdicts import ColumnPair
from clipiqa_pyiqa.scoring.directions import Direction
from clipiqa_pyiqa.stats.bootstrap import holm
from clipiqa_pyiqa.stats.paired_means import LEVEL, mean_difference, noticed

UP = Direction(False, "")
COLUMNS, CASES = (1, 6, 20), (20, 200)
"""Numbers of columns and of rows."""


def judged(apart: np.ndarray, margin: float | None = None) -> list[str]:
    """Return the verdicts of a run with differences ``(columns, rows)``."""
    found = [mean_difference(row, np.zeros(len(row))) for row in apart]
    corrected = holm([each.p for each in found])
    common = {"n": apart.shape[1], "base": 0.0, "new": 0.0, "rounding": 0.0, "noticed": 0.0, "margin": margin}
    return [
        ColumnPair("", UP, difference=each.value, low=each.low, high=each.high, p=each.p, p_holm=p, **common).verdict
        for each, p in zip(found, corrected, strict=True)
    ]


def share(one: Callable[[np.random.Generator], bool], runs: int) -> float:
    draw = np.random.default_rng(0)
    return float(np.mean([one(draw) for _ in range(runs)]))


def false_alarms(name: str, n: int, columns: int, runs: int = RUNS) -> float:
    """Return the share of runs without a change in which a column is worse."""
    return share(lambda draw: "worse" in judged(DIFFERENCES[name](draw, (columns, n))), runs)


def passed(name: str, n: int, runs: int = RUNS, margin: float = 1.0) -> float:
    """Return the share of runs that pass with a true loss of the margin; the skewed ones have the tail of losses."""
    return share(lambda draw: judged(-DIFFERENCES[name](draw, (1, n)) - margin, margin) == ["pass"], runs)


def power(name: str, n: int, columns: int, runs: int = RUNS) -> float:
    """Return the share of runs in which the loss that a first run names is called worse in the next run."""

    def one(draw: np.random.Generator) -> bool:
        loss = noticed(DIFFERENCES[name](draw, n), LEVEL / columns)
        apart = DIFFERENCES[name](draw, (columns, n))
        apart[0] -= loss
        return judged(apart)[0] == "worse"

    return share(one, runs)


def main() -> None:
    heads = [f"{columns} columns, n = {n}" for n in CASES for columns in COLUMNS]
    print("| differences | " + " | ".join([*heads, *(f"passed, n = {n}" for n in CASES)]) + " |")
    for name in DIFFERENCES:
        cells = [false_alarms(name, n, columns) for n in CASES for columns in COLUMNS]
        cells += [passed(name, n) for n in CASES]
        print(f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |", flush=True)
    for n, columns in ((20, 1), (200, 1), (200, 6)):
        print(f"power, normal, n = {n}, {columns} columns: {power('normal', n, columns):.3f}", flush=True)


if __name__ == "__main__":
    main()
