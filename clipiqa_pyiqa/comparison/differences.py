"""Which metrics differ: every two on the images that both have scored, by a paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..stats.bootstrap import Difference, holm, paired_differences
from ..stats.correlation import srocc_with, undefined

if TYPE_CHECKING:
    from .results import DataSetResult

SIGNIFICANT = 0.05  # what a corrected p-value must be below
_ENOUGH_PER_PAIR = 80  # resamples: the lowest p-value, times the number of pairs, is then below half of SIGNIFICANT
_GOOD_PER_PAIR, _MOST = 400, 10_000  # then it is 0.005; as far as that costs little


@dataclass(frozen=True)
class MetricPair:
    """Two metrics on the images that both have scored.

    Attributes:
        first: A label.
        second: Another.
        n: Images.
        srocc: SROCC of the first less that of the second, by a paired bootstrap.
        p_holm: Its p-value, corrected by Holm's rule for all pairs of the data set.
    """

    first: str
    second: str
    n: int
    srocc: Difference
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the two differ by more than chance."""
        return self.p_holm < SIGNIFICANT


def metric_pairs(data: DataSetResult) -> list[MetricPair]:
    """Compare every two metrics that have an SROCC, in their order.

    The resamples are as many as correcting for so many pairs needs, if there are any.
    """
    defined = [label for label, found in data.estimates.items() if not found["SROCC"].reason]
    wanted = [(a, b) for place, a in enumerate(defined) for b in defined[place + 1 :]]
    needed = max(_ENOUGH_PER_PAIR * len(wanted), min(_GOOD_PER_PAIR * len(wanted), _MOST))
    bootstrap = max(data.bootstrap, needed) if data.bootstrap else 0
    there = data.scores[defined].notna()
    on_images: dict[bytes, list[tuple[str, str]]] = {}
    for a, b in wanted:
        on_images.setdefault((there[a] & there[b]).to_numpy().tobytes(), []).append((a, b))
    found: dict[tuple[str, str], tuple[int, Difference]] = {}
    for key, pairs in on_images.items():
        labels = [label for label in defined if any(label in pair for pair in pairs)]
        images = data.scores.index[np.frombuffer(key, dtype=bool)]
        rows = [data.oriented(label)[0].loc[images] for label in labels]
        mos = data.oriented_mos.loc[images]
        if any(undefined(row, mos) for row in rows):
            continue
        differences = paired_differences(rows, srocc_with(mos), bootstrap=bootstrap, seed=data.seed)
        for a, b in pairs:
            found[a, b] = len(images), differences[labels.index(a), labels.index(b)]
    pairs = [pair for pair in wanted if pair in found]
    p_holm = holm([found[pair][1].p for pair in pairs])
    return [MetricPair(*pair, *found[pair], float(p)) for pair, p in zip(pairs, p_holm, strict=True)]
