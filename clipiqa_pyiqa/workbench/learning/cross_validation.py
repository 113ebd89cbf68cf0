"""Cross-validation of heads: each rated photo is predicted by a head that was fitted to other groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas
from numpy.typing import NDArray

from ...errors import CLIPIQAError
from ...training import FITS, Array, FittedHead, RatedPhotos, predict
from ..opinions.splits import rows_of_drawn_groups
from ..stats.correlation import plcc, srocc

NEEDED = {"affine": 3, "ridge": 6, "auto": 10}
"""Method -> smallest number of rated photos."""
FOLDS = 5


class FitAgreement(NamedTuple):
    """Agreement of predicted with given scores; ``rmse`` is a share of the score range."""

    srocc: float
    plcc: float
    rmse: float


def fit_agreement(predicted: Array, shares: Array) -> FitAgreement:
    """Return the agreement of predictions ``(n,)`` with people's scores ``(n,)``, both in [0, 1]."""
    rmse = float(np.sqrt(np.mean((predicted - shares) ** 2)))
    return FitAgreement(srocc(predicted, shares), plcc(predicted, shares), rmse)


class ValidatedFit(NamedTuple):
    """A method's fit to all photos, and the cross-validation of this method and of those beside which it was chosen.

    Attributes:
        predicted: The chosen method's predictions of each photo, by a head that was fitted to other groups.
        folds: The number of such heads.
    """

    method: str
    head: FittedHead
    agreements: dict[str, FitAgreement]
    predicted: Array
    folds: int

    @property
    def keeps_order(self) -> bool:
        """Whether the head keeps the order of the metric's scores; affine with a negative factor turns it round."""
        return self.method == "affine" and bool(self.head["prior"][0] > 0)


def validated_fit(method: str, photos: RatedPhotos, groups: NDArray[np.int64], seed: int) -> ValidatedFit:
    """Fit the method, or of all methods the one whose predictions of other groups are clearly better."""
    names = list(FITS) if method == "auto" else [method]
    folds = _folds(groups, seed)
    predicted = {name: _predicted_by_others(name, photos, folds) for name in names}
    agreements = {name: fit_agreement(predictions, photos.shares) for name, predictions in predicted.items()}
    best = names[0]
    if method == "auto" and _is_clearly_better(predicted["ridge"], predicted["affine"], photos.shares, groups):
        best = "ridge"
    return ValidatedFit(best, FITS[best](photos), agreements, predicted[best], len(folds))


def _folds(groups: NDArray[np.int64], seed: int) -> list[NDArray[np.bool_]]:
    """Return for each fold which photos it has; a group is in one fold."""
    numbers = np.unique(groups)
    order = np.random.default_rng(seed).permutation(numbers)
    return [np.isin(groups, numbers_of_fold) for numbers_of_fold in np.array_split(order, min(FOLDS, len(numbers)))]


def _predicted_by_others(name: str, photos: RatedPhotos, folds: Sequence[NDArray[np.bool_]]) -> Array:
    """Return predictions of all photos, those of a fold by a head that was fitted to the other folds."""
    predictions = np.empty(len(photos.shares))
    for is_out in folds:
        head = FITS[name](photos.at(~is_out))
        predictions[is_out] = predict(head, photos.at(is_out))
    return predictions


def _is_clearly_better(predicted: Array, others: Array, shares: Array, groups: NDArray[np.int64]) -> bool:
    """Return whether the squared errors are smaller by more than a standard error of their means over groups."""
    gains = (others - shares) ** 2 - (predicted - shares) ** 2
    gains_of_groups = pandas.Series(gains).groupby(groups).mean()
    return bool(gains_of_groups.mean() > gains_of_groups.sem())


class RandomSplit(NamedTuple):
    """The agreement of predictions with opinions in the rows that a random split tests."""

    agreement: FitAgreement
    tested_rows: list[int]


def random_split(
    method: str, train: pandas.DataFrame, photos: RatedPhotos, groups: NDArray[np.int64], draw: int, seed: int
) -> RandomSplit:
    """Fit a head to 80 % of the groups, and let it predict the rest.

    Args:
        draw: Seed of the groups that are drawn.
        seed: Seed of the fit's own cross-validation.
    """
    rows = rows_of_drawn_groups(train["group"], 0.2, draw)
    is_out = train.index.isin(rows)
    fitted_count = len(train) - len(rows)
    if len(rows) < 2 or fitted_count < NEEDED[method] or np.ptp(groups[~is_out]) == 0:
        raise CLIPIQAError(
            f"{len(train)} photos in {max(groups) + 1} groups are too few for random splits: two groups or more must "
            "be left to fit to, and a group of up to 40 % of the photos is held out."
        )
    head = validated_fit(method, photos.at(~is_out), groups[~is_out], seed).head
    tested = photos.at(is_out)
    return RandomSplit(fit_agreement(predict(head, tested), tested.shares), rows)
