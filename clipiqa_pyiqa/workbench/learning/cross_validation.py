"""Cross-validation of heads: each rated photo is predicted by a head that was fitted to other groups."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pandas
from numpy.typing import NDArray

from ...errors import CLIPIQAError
from ...training.heads import FITS, Array, FittedHead, RatedPhotos, predict
from ..opinions.splits import rows_of_drawn_groups
from ..stats.correlation import plcc, srocc

NEEDED = {"affine": 3, "ridge": 6, "auto": 10}  # method -> smallest number of rated photos
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
    """The chosen method's fit to all photos, and each method's cross-validation.

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
    numbers = np.unique(groups)
    predicted = pandas.DataFrame(index=range(len(groups)), columns=names, dtype=float)
    order = np.random.default_rng(seed).permutation(numbers)
    folds = min(FOLDS, len(numbers))
    for fold, name in itertools.product(np.array_split(order, folds), names):
        is_out = np.isin(groups, fold)
        predicted.loc[is_out, name] = predict(FITS[name](photos.at(~is_out)), photos.at(is_out))
    agreements = {name: fit_agreement(predicted[name].to_numpy(), photos.shares) for name in names}
    squares = (predicted.sub(photos.shares, axis=0) ** 2).groupby(groups).mean()
    gain = squares[names[0]] - squares[names[-1]]
    # ridge must be better by more than a standard error of the groups' mean squared errors
    best = names[-1] if gain.mean() > gain.sem() else names[0]
    return ValidatedFit(best, FITS[best](photos), agreements, predicted[best].to_numpy(), folds)


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
