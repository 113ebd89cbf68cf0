"""How often ``clipiqa gate`` is wrong, for docs/performance.md: 2,000 runs a cell.

python tests/measure/gate.py
"""

import numpy as np
from timing import head, row

from clipiqa_pyiqa.comparison.verdicts import ColumnPair
from clipiqa_pyiqa.results.scores import Direction
from clipiqa_pyiqa.stats.intervals import LEVEL, holm, mean_difference, noticed

UP = Direction(False, "")
DIFFERENCES = {
    "normal": lambda draw, n: draw.normal(size=n),
    "heavy tails, t(3)": lambda draw, n: draw.standard_t(3, size=n),
    "skewed, exponential": lambda draw, n: draw.exponential(size=n) - 1,
    "very skewed, log-normal (σ = 1)": lambda draw, n: draw.lognormal(size=n) - np.exp(0.5),
}
"""Differences whose true mean is 0. The long tail of the skewed ones is above 0: then "worse" is called too often."""
RUNS, COLUMNS, CASES = 2000, (1, 6, 20), (20, 200)
"""Numbers of columns and of rows."""


def judged(apart, margin=None):
    """Return the verdicts of a run with differences ``(columns, rows)``."""
    found = [mean_difference(row, np.zeros(len(row))) for row in apart]
    corrected = holm([each.p for each in found])
    common = {"n": apart.shape[1], "base": 0.0, "new": 0.0, "rounding": 0.0, "noticed": 0.0, "margin": margin}
    return [
        ColumnPair("", UP, difference=each.value, low=each.low, high=each.high, p=each.p, p_holm=p, **common).verdict
        for each, p in zip(found, corrected, strict=True)
    ]


def share(happens, runs):
    """Return the share of runs in which something happens."""
    draw = np.random.default_rng(0)
    return np.mean([happens(draw) for _ in range(runs)])


def false_alarms(name, n, columns, runs=RUNS):
    """Return the share of runs without a change in which a column is worse."""
    return share(lambda draw: "worse" in judged(DIFFERENCES[name](draw, (columns, n))), runs)


def passed(name, n, runs=RUNS):
    """Return the share of runs that pass with a true loss of the margin; the skewed ones have the tail of losses."""
    return share(lambda draw: judged(-DIFFERENCES[name](draw, (1, n)) - 1, 1.0) == ["pass"], runs)


def power(name, n, columns, runs=RUNS):
    """Return the share of runs in which the loss that a first run names is called worse in the next run."""

    def is_found(draw):
        loss = noticed(DIFFERENCES[name](draw, n), LEVEL / columns)
        apart = DIFFERENCES[name](draw, (columns, n))
        apart[0] -= loss
        return judged(apart)[0] == "worse"

    return share(is_found, runs)


def main():
    alarms = [(n, columns) for n in CASES for columns in COLUMNS]
    head("differences", *(f"{columns} columns, n = {n}" for n, columns in alarms), *(f"passed, n = {n}" for n in CASES))
    for name in DIFFERENCES:
        shares = [*(false_alarms(name, *each) for each in alarms), *(passed(name, n) for n in CASES)]
        row(name, *(f"{share:.3f}" for share in shares))
    for n, columns in ((20, 1), (200, 1), (200, 6)):
        print(f"power, normal, n = {n}, {columns} columns: {power('normal', n, columns):.3f}")


if __name__ == "__main__":
    main()
