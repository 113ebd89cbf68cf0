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
    """Return which series, which switch at random between two modes, have modes after each number of nights."""
    draw = np.random.default_rng(0)
    series = draw.normal(size=(runs, nights[-1])) + apart * draw.integers(0, 2, (runs, nights[-1]))
    return np.array([[bool(find_modes(values[:n], 1e-9)) for n in nights] for values in series])


def main():
    print(f"median run without a drift: {median_run(2000):.0f} nights")
    for shift, within in ((2, 3), (1, 10)):
        for after in (0, 20):
            share = found(shift, within, 4000, after)
            print(f"{shift} deviations, found within {within} nights, after {after}: {share:.3f}")
    nights = range(12, 61)
    for apart in (0, 4, 5):
        named = modes_named(apart, nights, 4000)
        print(f"modes {apart} deviations apart, named after 12 to 60 nights: {named.mean(0).round(3)}")
        print(f"on at least one of 60 nights: {named.any(1).mean():.3f}; nights with a name: {named.sum(1).mean():.2f}")


if __name__ == "__main__":
    main()
