"""Published correlations, each with its source: what a comparison shows beside its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published result.

    Attributes:
        srocc: As published, in [-1, 1].
        plcc: Likewise.
        source: Where, such as ``'paper, Table 1'``.
    """

    srocc: float
    plcc: float
    source: str


def find_published(metric: str, data_set: str) -> Published | None:
    """The published result of a metric on a data set, by the names used here; None if there is none."""
    return None
