"""Times of competing calls, taken in turns so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Call = Callable[[], object]
Times = Mapping[str, list[float]]
"""Seconds of every round, by the name of the call."""


@dataclass(frozen=True)
class Effort:
    """How often to repeat: until ``seconds`` have passed, but at least ``fewest`` and at most ``most`` rounds."""

    seconds: float
    fewest: int
    most: int


THOROUGH = Effort(seconds=20, fewest=3, most=15)
QUICK = Effort(seconds=4, fewest=1, most=5)


def take_turns(
    calls: Mapping[str, Call], effort: Effort, warm_up: bool = True, clock: Callable[[], float] = time.perf_counter
) -> Times:
    """Time the calls A, B, C, A, B, C, ….

    Args:
        calls: what to time, by name; each returns only when its work is done.
        effort: how many rounds.
        warm_up: whether each is first called once untimed; not worth it where one call takes many seconds.
        clock: seconds that pass.
    """
    if warm_up:
        for call in calls.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    begin = clock()
    for done in range(effort.most):
        if done >= effort.fewest and clock() - begin >= effort.seconds:
            break
        for name, call in calls.items():
            start = clock()
            call()
            times[name].append(clock() - start)
    return times


def ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median over the rounds of one call's seconds divided by the other's in the same round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))
