"""Features of rated images, beside people's scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas
import torch
from torch import Tensor

from ...checks import FilePath
from ...files import FileHashes
from ...metric import CLIPIQA
from ...training import Augmentation, Recipe, augmentations_of
from .stored_features import read_or_encode_features


class RatedImages(NamedTuple):
    """Features ``(N, D)``, or ``(N, A, D)`` with ``A`` views of each image, and scores ``(N, 1)`` in [0, 1]."""

    features: Tensor
    targets: Tensor


class RatedImagesReader(NamedTuple):
    """Reads features of rated images from a folder, and encodes those that it lacks."""

    metric: CLIPIQA
    device: torch.device
    folder: FilePath | None
    workers: int | None
    hashes: FileHashes

    def rated_images(self, images: pandas.DataFrame) -> RatedImages:
        """Return the features of whole images, on the metric's device."""
        features = self._encoded(images, None)[:, 0].to(self.device)
        return RatedImages(features, _targets_of(images))

    def rated_views(self, images: pandas.DataFrame, recipe: Recipe) -> RatedImages:
        """Return the features of all views that the recipe draws from, on the CPU."""
        views = [augmentations_of(recipe, row) for row in range(len(images))]
        return RatedImages(self._encoded(images, views), _targets_of(images))

    def _encoded(self, images: pandas.DataFrame, views: Sequence[Sequence[Augmentation]] | None) -> Tensor:
        return read_or_encode_features(
            self.metric,
            self.folder,
            images["path"],
            views,
            device=self.device,
            workers=self.workers,
            hashes=self.hashes,
        )


def _targets_of(images: pandas.DataFrame) -> Tensor:
    return torch.tensor(images["target"].tolist())[:, None]
