"""The images about which metrics disagree most."""

from __future__ import annotations

from dataclasses import dataclass

from .results import DataSetResult


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
        values = self.places.values()
        return max(values) - min(values)


def disagreements(data: DataSetResult, count: int = 10) -> list[Disagreement]:
    """The images whose places differ most between two metrics, most disagreed first.

    Scores of different metrics have different scales, so that places are compared: an image that one metric puts above
    90 % of the images and another above 10 % of them has a spread of 0.8. Images that tie share their middle place.
    Metrics that failed, or that tell no images apart, have no say.

    Args:
        data: What the metrics gave.
        count: How many images at most.

    Returns:
        At most ``count`` images, none about which all agree; so none at all if fewer than two metrics have a say.
    """
    signs = {label: -1.0 if metric.lower_better else 1.0 for label, metric in data.metrics.items()}
    voting = [label for label in signs if data.scores[label].nunique() > 1]
    if len(voting) < 2:
        return []
    oriented = data.scores[voting] * [signs[label] for label in voting]
    places = (oriented.rank() - 0.5) / oriented.notna().sum()
    spread = places.max(axis=1) - places.min(axis=1)
    spread = spread[spread > 1e-9]  # rounding is no disagreement
    opinion = None
    if data.mos is not None and data.mos.nunique() > 1:
        opinion = ((-data.mos if data.mos_lower_better else data.mos).rank() - 0.5) / len(data.mos)
    found = []
    for path in spread.sort_values(ascending=False, kind="stable").index[:count]:
        own = places.loc[path].dropna().sort_values(ascending=False)
        own_opinion = None if opinion is None else float(opinion.loc[path])
        found.append(Disagreement(str(path), {str(label): float(own[label]) for label in own.index}, own_opinion))
    return found
