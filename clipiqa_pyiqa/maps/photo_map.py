"""The map of one photo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..files.names import printable
from .places import map_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Question:
    """A column of scores, and the texts at both ends of its scale."""

    name: str
    low: str = "low"
    high: str = "high"


@dataclass(frozen=True)
class PhotoMap:
    """Local scores of one photo.

    Attributes:
        path: Path of the photo.
        questions: The questions, in the order of axis P.
        score: Scores of the whole photo, ``(P,)``.
        scores, places: Scores of places, ``(P, h, w)``, after smoothing (``scores``) and before (``places``).
        height, width: Size in pixels, as mapped.
        step: Side of a place, in pixels.
        provenance: The metric and the options.
    """

    path: str
    questions: tuple[Question, ...]
    score: NDArray[np.float32]
    scores: NDArray[np.float32]
    places: NDArray[np.float32]
    height: int
    width: int
    step: float
    provenance: Mapping[str, Any]

    @property
    def statistics(self) -> NDArray[np.float32]:
        """The lowest smoothed score, the 10th percentile and the share of scores below 0.5: ``(P, 3)``."""
        return map_statistics(torch.from_numpy(self.scores)[None])[0].numpy()

    def arrays(self) -> dict[str, Any]:
        rows, columns = (self.step * (np.arange(count) + 0.5) for count in self.scores.shape[1:])
        return {
            "questions": np.array([question.name for question in self.questions]),
            "score": self.score,
            "scores": self.scores,
            "places": self.places,
            "rows": rows,
            "columns": columns,
            "step": np.array(self.step),
            "size": np.array([self.height, self.width]),
            "path": np.array(printable(self.path)),
            "provenance": np.array(json.dumps(dict(self.provenance), ensure_ascii=False)),
        }
