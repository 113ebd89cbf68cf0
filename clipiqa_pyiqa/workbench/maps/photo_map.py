"""The map of one photo: its scores, those of its places, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MapQuestion:
    """What a map asks: the name of its column, and the texts at both ends of its scale."""

    name: str
    low: str = "low"
    high: str = "high"


@dataclass(frozen=True)
class PhotoMap:
    """Local scores of one photo.

    Attributes:
        photo_scores: Scores of the whole photo, ``(P,)``.
        place_scores: Scores of places, ``(P, h, w)``.
        shown_scores: These after smoothing, if it was asked for.
        step: Side of a place, in pixels.
    """

    path: str
    questions: tuple[MapQuestion, ...]
    photo_scores: NDArray[np.float32]
    shown_scores: NDArray[np.float32]
    place_scores: NDArray[np.float32]
    height: int
    width: int
    step: float
    provenance: Mapping[str, Any]

    def rows(self) -> list[tuple[MapQuestion, float, float]]:
        """Return each question with the scores of the photo and of its worst place."""
        worst = self.shown_scores.min(axis=(1, 2))
        return list(zip(self.questions, self.photo_scores.tolist(), worst.tolist(), strict=True))
