"""How often a mean difference is called worse where there is none, for docs/performance.md: 2,000 samples a cell.

python tests/measure/levels.py
"""

import numpy as np
from timing import head, row

from clipiqa_pyiqa.stats.paired_means import mean_difference

RUNS, CASES = 2000, (6, 200)
DIFFERENCES = {
    "normal": lambda draw, n: draw.normal(size=n),
    "heavy tails, t(3)": lambda draw, n: draw.standard_t(3, size=n),
    "skewed, exponential": lambda draw, n: draw.exponential(size=n) - 1,
    "very skewed, log-normal (σ = 1)": lambda draw, n: draw.lognormal(size=n) - np.exp(0.5),
}
"""Differences whose true mean is 0. The long tail of the skewed ones is above 0: then "worse" is called too often."""


def rates(name, n):
    """Return the shares of samples with the whole interval below 0, and with p < 0.05."""
    draw = np.random.default_rng(n)
    found = [mean_difference(DIFFERENCES[name](draw, n), np.zeros(n)) for _ in range(RUNS)]
    return np.mean([(apart.high < 0, apart.p < 0.05) for apart in found], axis=0)


def main():
    head("differences", *(f"n = {n}" for n in CASES))
    for name in DIFFERENCES:
        row(name, *("{:.3f} / {:.3f}".format(*rates(name, n)) for n in CASES))


if __name__ == "__main__":
    main()
