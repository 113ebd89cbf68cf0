"""The map of one photo: what was asked, and the local scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..files.names import printable
from ..prompts.pairs import PromptPair
from .places import map_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Question:
    """What is asked of every place.

    Attributes:
        name: of its column.
        low, high: what places resemble at the two ends of the scale, such as ``'Blurry photo.'``.
    """

    name: str
    low: str = "low"
    high: str = "high"

    @classmethod
    def of(cls, name: str, pairs: Sequence[PromptPair]) -> Question:
        """Return a column's question; the words of a single pair stand at its ends."""
        return cls(name, pairs[0].negative, pairs[0].positive) if len(pairs) == 1 else cls(name)


@dataclass(frozen=True)
class PhotoMap:
    """The local scores of one photo.

    Attributes:
        path: of the photo.
        questions: what was asked, in the order of the first axis below.
        score: the whole photo's scores, ``(P,)``.
        scores: its maps as they are shown, ``(P, h, w)``.
        places: its maps before smoothing, likewise.
        height, width: of the photo as it was mapped, in pixels.
        offset, step: from its upper left corner to that of the first place, and from each place to the next, in pixels.
    """

    path: str
    questions: tuple[Question, ...]
    score: NDArray[np.float32]
    scores: NDArray[np.float32]
    places: NDArray[np.float32]
    height: int
    width: int
    offset: float
    step: float

    @property
    def statistics(self) -> NDArray[np.float32]:
        """``(P, 3)``: lowest place, 10th percentile, share of places below 0.5, of the map as it is shown."""
        return map_statistics(torch.from_numpy(self.scores)[None])[0].numpy()

    def arrays(self, provenance: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return what its ``.npz`` file holds, by key: see ``docs/maps.md``."""
        rows, columns = (self.offset + self.step * (np.arange(count) + 0.5) for count in self.scores.shape[1:])
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
            "provenance": np.array(json.dumps(dict(provenance), ensure_ascii=False)),
        }
