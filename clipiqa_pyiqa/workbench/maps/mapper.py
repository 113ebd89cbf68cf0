"""Mapping of photos: a network and its questions, which map photos in batches."""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import ImageError
from ...metric import CLIPIQA
from ...prompts.pairs import PromptPair, QuestionsByColumn, only_pairs
from ..images.batches import BatchLoop, BatchWork, Limits
from ..images.image import Image
from ..images.record import ImageRecord
from ..images.scoring_memory import scoring_bytes
from ..images.stacking import stacked
from ..images.threads import images_at_once
from ..scoring.setup import ScoringSetup
from .photo_map import MapQuestion, PhotoMap
from .places import enlarged, smoothed


@dataclass(frozen=True)
class Mapper(BatchWork[Image, ImageRecord, PhotoMap | str]):
    """A network and its questions, which map photos in batches.

    Args:
        questions: The pairs of each column; None asks the learned prompts.
        smooth, scale: As for :func:`~clipiqa_pyiqa.workbench.maps.quality_map`.
    """

    net: CLIPIQA
    questions: QuestionsByColumn | None
    smooth: bool
    scale: float
    setup: ScoringSetup

    @functools.cached_property
    def map_questions(self) -> tuple[MapQuestion, ...]:
        """What each map asks."""
        if self.questions is None:
            return tuple(MapQuestion(name) for name in self.net.columns)
        return tuple(_map_question(name, only_pairs(pairs, "a map")) for name, pairs in self.questions.items())

    @functools.cached_property
    def provenance(self) -> dict[str, Any]:
        """How all maps are made."""
        places = f"places of {self.net.clip.cell} px"
        if self.smooth:
            places += ", each the mean of 3×3"
        return {**self.setup.header.provenance, "map": places, "scale": self.scale}

    def outcomes(self, photos: Iterable[Image], count: int) -> Generator[PhotoMap | str, None, None]:
        """Return an iterator over the map of each of ``count`` photos, in order, or the reason why there is none."""
        device = self.setup.device
        bytes_for_photo = scoring_bytes(self.net, device)
        # per pixel of the photo, which is enlarged in height and in width
        bytes_for_places = math.ceil(self.scale**2 * scoring_bytes(self.net, device, "maps"))
        options = self.setup.options
        limits = Limits(
            batch_size=options.most_in_batch,
            at_once=images_at_once(device, count),
            bytes_per_pixel=max(bytes_for_photo, bytes_for_places),
            workers=options.workers,
        )
        return BatchLoop(self, limits).results(photos)

    def load(self, photo: Image) -> ImageRecord:
        return photo.load(self.setup.options)

    def run(self, photos: list[Image], records: list[ImageRecord]) -> list[PhotoMap | str]:
        """Return the maps of photos whose decoded images have the same size."""
        with torch.no_grad():
            x = stacked([record.pixels for record in records], self.setup.device)
            photo_scores, place_scores = self.scores(x)
            shown_scores = smoothed(place_scores) if self.smooth else place_scores
        height, width = x.shape[2:]
        return [
            PhotoMap(
                path=photo.name,
                questions=self.map_questions,
                photo_scores=_array(photo_scores[row]),
                shown_scores=_array(shown_scores[row]),
                place_scores=_array(place_scores[row]),
                height=height,
                width=width,
                step=self.net.clip.cell / self.scale,
                provenance=self.provenance,
            )
            for row, photo in enumerate(photos)
        ]

    def failed(self, photo: Image, record: ImageRecord | None, error: ImageError) -> str:
        """Return why a photo has no map: it cannot be read, or the decoded image cannot be mapped."""
        return str(error) if record is None else f"{photo.name!r} cannot be mapped: {error}"

    def scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of photos ``(N, 3, H, W)``: ``(N, P)``, and of their places: ``(N, P, h, w)``."""
        if self.scale == 1:
            features, local_features = self.net.encode_with_map(x)
        else:
            features = self.net.encode_image(x)  # a photo itself is scored without enlargement
            local_features = self.net.encode_map(enlarged(x, self.scale))
        return self.net.score(features, self.questions), self.net.score(local_features, self.questions)


def _array(scores: Tensor) -> NDArray[np.float32]:
    return scores.float().cpu().numpy()


def _map_question(name: str, pairs: Sequence[PromptPair]) -> MapQuestion:
    if len(pairs) == 1:
        return MapQuestion(name, low=pairs[0].negative, high=pairs[0].positive)
    return MapQuestion(name)
