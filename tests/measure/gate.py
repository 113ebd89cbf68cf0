"""How often ``clipiqa gate`` is wrong, for docs/performance.md: 2,000 runs a cell.

python tests/measure/gate.py
"""

import numpy as np
from pandas import DataFrame
from timing import head, row

from clipiqa_pyiqa.workbench.gate.suggestion import suggest
from clipiqa_pyiqa.workbench.gate.verdicts import ColumnPair
from clipiqa_pyiqa.workbench.results.directions import Direction
from clipiqa_pyiqa.workbench.stats.mean_differences import detectable_difference, mean_difference
from clipiqa_pyiqa.workbench.stats.significance import LEVEL, holm

UP = Direction(False, "")
DIFFERENCES = {
    "normal": lambda draw, n: draw.normal(size=n),
    "heavy tails, t(3)": lambda draw, n: draw.standard_t(3, size=n),
    "skewed, exponential": lambda draw, n: draw.exponential(size=n) - 1,
    "very skewed, log-normal (σ = 1)": lambda draw, n: draw.lognormal(size=n) - np.exp(0.5),
}
"""Differences whose true mean is 0. The long tail of the skewed ones is above 0: then "worse" is called too often."""
TIED = {"one value": [1.0], "two values": [1.0, 2.0], "three values": [1.0, 2.0, 3.0]}
UNTIED = {"a thousand values": np.linspace(1, 2, 1000)}
"""Differences of nine in ten rows; the tenth has the one value that makes the true mean 0."""
RUNS = 2000
COLUMNS = (1, 6, 20)
CASES = (20, 200)
"""Numbers of columns and of rows."""
WORST_CASES = (20, 60, 200, 1000)


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


def with_a_tenth(draw, values, n):
    """Return ``n`` differences: in nine of ten rows one of the values, otherwise what makes the true mean 0."""
    cancelling = -9 * np.mean(values)
    return np.where(draw.random(n) < 0.1, cancelling, draw.choice(values, n))


def tied_alarms(name, n, runs=RUNS):
    """Return the share of samples whose mean differs from its true value, 0, by more than chance (p < 0.05)."""
    values = {**TIED, **UNTIED}[name]
    return share(lambda draw: mean_difference(with_a_tenth(draw, values, n), np.zeros(n)).p < LEVEL, runs)


LOSSES = {
    "scores in full precision": lambda draw, n: draw.normal(-0.01, 0.015, n),
    "scores with two decimals": lambda draw, n: draw.normal(-0.01, 0.015, n).round(2),
    "ratings from 1 to 5, a third lose one": lambda draw, n: draw.integers(-1, 2, n) - (draw.random(n) < 1 / 3),
    "ratings from 1 to 5, nine in ten lose one": lambda draw, n: np.where(draw.random(n) < 0.9, -1.0, 0.0),
}
"""Differences with a true loss, as real scores have them."""


def losses_found(name, n, runs=RUNS):
    """Return the share of runs with a true loss that are called worse."""
    return share(lambda draw: judged(LOSSES[name](draw, n)[None]) == ["worse"], runs)


def passed(name, n, runs=RUNS):
    """Return the share of runs that pass with a true loss of the margin; the skewed ones have the tail of losses."""
    return share(lambda draw: judged(-DIFFERENCES[name](draw, (1, n)) - 1, 1.0) == ["pass"], runs)


def power(name, n, columns, runs=RUNS):
    """Return the share of runs in which the loss that a first run names is called worse in the next run."""

    def is_found(draw):
        loss = detectable_difference(DIFFERENCES[name](draw, n), LEVEL / columns)
        apart = DIFFERENCES[name](draw, (columns, n))
        apart[0] -= loss
        return judged(apart)[0] == "worse"

    return share(is_found, runs)


def within_worst_loss(name, n, runs=RUNS):
    """Return the share of runs without a change in which no image loses more than a first run suggests."""

    def passes(draw):
        rows = DataFrame({"q difference": DIFFERENCES[name](draw, n)})
        options = suggest([unchanged_pair("q", rows["q difference"])], rows).options
        return -DIFFERENCES[name](draw, n).min() <= float(options.split("q=")[-1])

    return share(passes, runs)


def unchanged_pair(name, differences):
    numbers = {"p": 1.0, "rounding": 0.0, "noticed": 0.0, "decidable": 1.0}
    return ColumnPair(name, UP, len(differences), 0.0, 0.0, 0.0, -1.0, 1.0, **numbers)


def main():
    head("no worst loss", *(f"n = {n}" for n in WORST_CASES))
    for name in DIFFERENCES:
        row(name, *(f"{within_worst_loss(name, n):.3f}" for n in WORST_CASES))
    alarms = [(n, columns) for n in CASES for columns in COLUMNS]
    head("differences", *(f"{columns} columns, n = {n}" for n, columns in alarms), *(f"passed, n = {n}" for n in CASES))
    for name in DIFFERENCES:
        shares = [*(false_alarms(name, *each) for each in alarms), *(passed(name, n) for n in CASES)]
        row(name, *(f"{share:.3f}" for share in shares))
    counts = (6, 8, 12, 20, 28, 29, 36, 100, 400)
    head("a tenth cancels", *(f"n = {n}" for n in counts))
    for name in {**TIED, **UNTIED}:
        row(name, *(f"{tied_alarms(name, n):.3f}" for n in counts))
    head("losses found", *(f"n = {n}" for n in counts))
    for name in LOSSES:
        row(name, *(f"{losses_found(name, n):.3f}" for n in counts))
    for n, columns in ((20, 1), (200, 1), (200, 6)):
        print(f"power, normal, n = {n}, {columns} columns: {power('normal', n, columns):.3f}")


if __name__ == "__main__":
    main()
