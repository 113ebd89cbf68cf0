"""Pairs of metrics whose SROCC differs."""

from __future__ import annotations

import itertools

import pandas

from ..stats.bootstrap import holm, paired_differences
from ..stats.correlation import srocc_with, undefined
from ..stats.paired_means import LEVEL

# resamples per pair, so that the lowest possible corrected p-value is LEVEL / 2
_ENOUGH_PER_PAIR = 80
# resamples per pair, so that the lowest possible corrected p-value is 0.005; at most _MOST resamples serve this aim
_GOOD_PER_PAIR, _MOST = 400, 10_000


def metric_pairs(scores: pandas.DataFrame, mos: pandas.Series, bootstrap: int, seed: int) -> pandas.DataFrame:
    """Return a row per pair of metrics, with the first SROCC minus the second on the images that both scored.

    Args:
        scores, mos: Scores and opinion scores; high is good.
        bootstrap: Least number of resamples (many pairs get more); 0 gives no intervals.
    """
    pairs = list(itertools.combinations(scores, 2))
    needed = max(_ENOUGH_PER_PAIR * len(pairs), min(_GOOD_PER_PAIR * len(pairs), _MOST))
    resamples = max(bootstrap, needed) if bootstrap else 0
    complete = list(scores.dropna(axis=1))  # these metrics use the same resamples
    groups = [complete, *(list(pair) for pair in pairs if not {*pair} <= {*complete})]
    found = {}
    for group in groups:
        shared = scores[group].dropna()
        opinion = mos.reindex(shared.index)
        if len(group) < 2 or any(undefined(shared[label], opinion) for label in group):
            continue
        apart = paired_differences(shared.to_numpy().T, srocc_with(opinion), bootstrap=resamples, seed=seed)
        for (i, j), each in apart.items():
            found[group[i], group[j]] = (len(shared), each.value, each.low, each.high, each.p)
    heads = ["first", "second", "n", "SROCC difference", "low", "high", "p"]
    frame = pandas.DataFrame([(*pair, *found[pair]) for pair in pairs if pair in found], columns=heads)
    frame["p Holm"] = holm(frame["p"])
    return frame.assign(significant=frame["p Holm"] < LEVEL, resamples=resamples)
