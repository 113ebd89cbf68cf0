"""How soon ``clipiqa gate --history`` finds a drift, and how often it finds one that is not there, for docs/table.md.

python tests/measure/nights.py
"""

import numpy as np

from clipiqa_pyiqa.stats.drift import FIRST, find_drift, find_modes


def first_alarm(draw, most, shift=0.0, after=0):
    """Return the number of nights after the first twenty until a drift is found; losses begin ``after`` more nights."""
    values = draw.normal(size=FIRST + most)
    values[FIRST + after :] -= shift
    found = (n for n in range(1, most + 1) if find_drift(values[: FIRST + n], 1e-9))
    return next(found, most + 1)


def median_run(runs, most=200):
    """Return the median number of nights until a drift is found although there is none."""
    draw = np.random.default_rng(0)
    return np.median([first_alarm(draw, most) for _ in range(runs)])


def found(shift, within, runs, after=0):
    """Return the share of series without an alarm before a shift in which it is found within some nights."""
    draw = np.random.default_rng(0)
    alarms = np.array([first_alarm(draw, after + within, shift, after) for _ in range(runs)])
    return np.mean(alarms[alarms > after] <= after + within)


def modes_named(apart, nights, runs):
    """Return the share of series, which switch at random between two modes, in which the modes are named."""
    draw = np.random.default_rng(0)
    series = draw.normal(size=(runs, nights)) + apart * draw.integers(0, 2, (runs, nights))
    return np.mean([bool(find_modes(values, 1e-9)) for values in series])


def main():
    print(f"median run without a drift: {median_run(2000):.0f} nights")
    for shift, within in ((2, 3), (1, 10)):
        for after in (0, 20):
            share = found(shift, within, 4000, after)
            print(f"{shift} deviations, found within {within} nights, after {after}: {share:.3f}")
    for apart in (0, 4, 5):
        for nights in (12, 20, 40):
            print(
                f"modes {apart} deviations apart, named after {nights} nights: {modes_named(apart, nights, 4000):.3f}"
            )


if __name__ == "__main__":
    main()
