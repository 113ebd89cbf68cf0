"""Which metrics differ, and the images about which they do most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas

from ..stats.bootstrap import Difference, holm, paired_differences
from ..stats.correlation import srocc_with, undefined

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


def metric_pairs(scores: pandas.DataFrame, mos: pandas.Series, bootstrap: int, seed: int) -> list[MetricPair]:
    """Compare every two metrics in SROCC, in the order of their columns.

    Args:
        scores: One column per metric, high is good, NaN where there is no score.
        mos: Opinion scores of the same images, high is good.
        bootstrap: Resamples; more are drawn if correcting for so many pairs needs them. 0 for none.
        seed: Of the resamples.
    """
    labels = list(scores)
    wanted = [(a, b) for place, a in enumerate(labels) for b in labels[place + 1 :]]
    needed = max(_ENOUGH_PER_PAIR * len(wanted), min(_GOOD_PER_PAIR * len(wanted), _MOST))
    there = scores.notna()
    on_images: dict[bytes, list[tuple[str, str]]] = {}
    for a, b in wanted:
        on_images.setdefault((there[a] & there[b]).to_numpy().tobytes(), []).append((a, b))
    found: dict[tuple[str, str], tuple[int, Difference]] = {}
    for key, pairs in on_images.items():
        images = np.frombuffer(key, dtype=bool)
        own = scores.loc[images, [label for label in labels if any(label in pair for pair in pairs)]]
        if any(undefined(own[label], mos[images]) for label in own):
            continue
        resamples = max(bootstrap, needed) if bootstrap else 0
        apart = paired_differences(own.to_numpy().T, srocc_with(mos[images]), bootstrap=resamples, seed=seed)
        places = {label: place for place, label in enumerate(own)}
        found |= {(a, b): (int(images.sum()), apart[places[a], places[b]]) for a, b in pairs}
    kept = [pair for pair in wanted if pair in found]
    p_holm = holm([found[pair][1].p for pair in kept])
    return [MetricPair(*pair, *found[pair], float(p)) for pair, p in zip(kept, p_holm, strict=True)]


@dataclass(frozen=True)
class Disagreement:
    """Where each metric places one image among all images of its data set.

    Attributes:
        path: The image.
        places: Metric label -> share of the images, in [0, 1], that the metric holds to be worse; best placed first.
        opinion: That share for the opinion scores; None where there are none.
    """

    path: str
    places: dict[str, float]
    opinion: float | None = None

    @property
    def spread(self) -> float:
        """The highest place less the lowest, in [0, 1]."""
        return max(self.places.values()) - min(self.places.values())


def disagreements(scores: pandas.DataFrame, mos: pandas.Series | None, count: int = 10) -> list[Disagreement]:
    """Return the images whose places differ most between two metrics, most disagreed first.

    Scores of different metrics have different scales, so that places are compared: an image that one metric puts above
    90 % of the images and another above 10 % of them has a spread of 0.8. Images that tie share their middle place.
    Metrics that failed, or that tell no images apart, have no say.

    Args:
        scores: One column per metric, high is good, NaN where there is no score.
        mos: Opinion scores of the same images, high is good, or None.
        count: How many images at most.

    Returns:
        At most ``count`` images, none about which all agree; so none at all if fewer than two metrics have a say.
    """
    voting = scores.loc[:, scores.nunique() > 1]
    if voting.shape[1] < 2:
        return []
    places = (voting.rank() - 0.5) / voting.notna().sum()
    spread = places.max(axis=1) - places.min(axis=1)
    spread = spread[spread > 1e-9]  # rounding is no disagreement
    opinion = None if mos is None or mos.nunique() < 2 else (mos.rank() - 0.5) / len(mos)
    found = []
    for path in spread.sort_values(ascending=False, kind="stable").index[:count]:
        own = places.loc[path].dropna().sort_values(ascending=False)
        share = None if opinion is None else float(opinion.loc[path])
        found.append(Disagreement(str(path), {str(label): float(own[label]) for label in own.index}, share))
    return found
