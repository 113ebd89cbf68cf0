"""Pairs of metrics whose SROCC differs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pandas

from ..stats.bootstrap import Difference, holm, paired_differences
from ..stats.correlation import srocc_with, undefined

SIGNIFICANT = 0.05  # a difference with a lower corrected p-value is significant
# resamples per pair, so that the lowest possible corrected p-value is SIGNIFICANT / 2
_ENOUGH_PER_PAIR = 80
# resamples per pair, so that the lowest possible corrected p-value is 0.005; at most _MOST resamples serve this aim
_GOOD_PER_PAIR, _MOST = 400, 10_000


@dataclass(frozen=True)
class MetricPair:
    """Two metrics on the ``n`` images that both metrics scored.

    Attributes:
        srocc: SROCC of ``first`` minus SROCC of ``second``.
        p_holm: p-value, corrected by Holm's rule for all pairs.
        resamples: Number of resamples for the difference.
    """

    first: str
    second: str
    n: int
    srocc: Difference
    p_holm: float
    resamples: int

    @property
    def significant(self) -> bool:
        return self.p_holm < SIGNIFICANT


def metric_pairs(scores: pandas.DataFrame, mos: pandas.Series, bootstrap: int, seed: int) -> list[MetricPair]:
    """Return a comparison of SROCC for every pair of metrics.

    Args:
        scores, mos: Scores and opinion scores; high is good.
        bootstrap: Least number of resamples (many pairs get more); 0 gives no intervals.
    """
    pairs = list(itertools.combinations(scores, 2))
    needed = max(_ENOUGH_PER_PAIR * len(pairs), min(_GOOD_PER_PAIR * len(pairs), _MOST))
    resamples = max(bootstrap, needed) if bootstrap else 0
    complete = list(scores.dropna(axis=1))  # these metrics use the same resamples
    groups = [complete, *(list(pair) for pair in pairs if not {*pair} <= {*complete})]
    found: dict[tuple[str, str], tuple[int, Difference]] = {}
    for group in groups:
        shared = scores[group].dropna()
        opinion = mos.loc[shared.index]
        if len(group) < 2 or any(undefined(shared[label], opinion) for label in group):
            continue
        apart = paired_differences(shared.to_numpy().T, srocc_with(opinion), bootstrap=resamples, seed=seed)
        found |= {(group[i], group[j]): (len(shared), difference) for (i, j), difference in apart.items()}
    defined = [pair for pair in pairs if pair in found]
    p_holm = holm([found[pair][1].p for pair in defined])
    return [MetricPair(*pair, *found[pair], float(p), resamples) for pair, p in zip(defined, p_holm, strict=True)]
