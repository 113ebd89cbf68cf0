"""The map of one photo: its questions and local scores."""

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
    """A question about every place: its column, and the texts at both ends of the scale."""

    name: str
    low: str = "low"
    high: str = "high"

    @classmethod
    def of(cls, name: str, pairs: Sequence[PromptPair]) -> Question:
        """Return a column's question; a single pair gives the texts."""
        return cls(name, pairs[0].negative, pairs[0].positive) if len(pairs) == 1 else cls(name)


@dataclass(frozen=True)
class PhotoMap:
    """The local scores of one photo.

    Attributes:
        path: of the photo.
        questions: in the order of the first axis below.
        score: the whole photo's scores, ``(P,)``.
        scores, places: its maps as shown and before smoothing, ``(P, h, w)``.
        height, width: of the photo as mapped, in pixels.
        offset, step: pixels from the edge to the first place, and from each place to the next.
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
        """``(P, 3)``: lowest place, 10th percentile, share of places below 0.5, as shown."""
        return map_statistics(torch.from_numpy(self.scores)[None])[0].numpy()

    def arrays(self, provenance: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the content of its ``.npz`` file, see ``docs/maps.md``."""
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
