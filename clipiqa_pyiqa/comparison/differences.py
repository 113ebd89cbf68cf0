"""Pairs of metrics whose SROCC differs, and images on which metrics disagree most."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pandas

from ..stats.bootstrap import Difference, holm, paired_differences
from ..stats.correlation import srocc_with, undefined

SIGNIFICANT = 0.05  # a difference with a lower corrected p-value is significant
# resamples per pair, so that the lowest possible corrected p-value is SIGNIFICANT / 2
_ENOUGH_PER_PAIR = 80
# resamples per pair, so that this p-value is 0.005, and the largest number of resamples for this purpose
_GOOD_PER_PAIR, _MOST = 400, 10_000


@dataclass(frozen=True)
class MetricPair:
    """Two metrics on the ``n`` images that both metrics scored.

    Attributes:
        srocc: SROCC of ``first`` minus SROCC of ``second``.
        p_holm: p-value, corrected by Holm's rule for all pairs.
    """

    first: str
    second: str
    n: int
    srocc: Difference
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the two metrics differ by more than chance."""
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
    there = scores.notna()
    by_images: dict[bytes, list[tuple[str, str]]] = {}  # pairs with the same images use the same resamples
    for pair in pairs:
        by_images.setdefault(there[list(pair)].all(axis=1).to_numpy().tobytes(), []).append(pair)
    found: dict[tuple[str, str], tuple[int, Difference]] = {}
    for together in by_images.values():
        images = there[list(together[0])].all(axis=1)
        shared = scores.loc[images, [label for label in scores if any(label in pair for pair in together)]]
        if any(undefined(shared[label], mos[images]) for label in shared):
            continue
        apart = paired_differences(shared.to_numpy().T, srocc_with(mos[images]), bootstrap=resamples, seed=seed)
        place = shared.columns.get_loc
        found |= {(a, b): (len(shared), apart[place(a), place(b)]) for a, b in together}
    defined = [pair for pair in pairs if pair in found]
    p_holm = holm([found[pair][1].p for pair in defined])
    return [MetricPair(*pair, *found[pair], float(p)) for pair, p in zip(defined, p_holm, strict=True)]


@dataclass(frozen=True)
class Disagreement:
    """The places of one image in its data set.

    Attributes:
        places: Label -> share of images that the metric rates lower, in [0, 1]; highest first.
        opinion: Share of images with lower opinion scores, or None.
    """

    path: str
    places: dict[str, float]
    opinion: float | None = None


def disagreements(scores: pandas.DataFrame, mos: pandas.Series | None, count: int = 10) -> list[Disagreement]:
    """Return the images whose places differ most between two metrics; high scores must be good."""
    telling = scores.loc[:, scores.nunique() > 1]
    if telling.shape[1] < 2:
        return []
    places = (telling.rank() - 0.5) / telling.notna().sum()
    spread = places.max(axis=1) - places.min(axis=1)
    spread = spread[spread > 1e-9]  # a smaller spread is a rounding error
    opinion = None if mos is None or mos.nunique() < 2 else (mos.rank() - 0.5) / len(mos)
    found = []
    for path in spread.sort_values(ascending=False, kind="stable").index[:count]:
        of_image = places.loc[path].dropna().sort_values(ascending=False)
        share = None if opinion is None else float(opinion.loc[path])
        found.append(Disagreement(str(path), {str(label): float(of_image[label]) for label in of_image.index}, share))
    return found
