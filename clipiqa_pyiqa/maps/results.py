"""The maps of photos as a result, and their files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..files.names import file_name, free_name, printable
from ..files.writing import check_folder

Format = Literal["png", "svg", "pdf"]
PAGE = "maps.html"


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
        score: Scores of the whole photo, ``(P,)``.
        scores, places: Scores of places, ``(P, h, w)``, after smoothing (``scores``) and before (``places``).
        step: Side of a place, in pixels.
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

    def arrays(self) -> dict[str, Any]:
        return {
            "questions": np.array([question.name for question in self.questions]),
            "score": self.score,
            "scores": self.scores,
            "places": self.places,
            "step": np.array(self.step),
            "size": np.array([self.height, self.width]),
            "path": np.array(printable(self.path)),
            "provenance": np.array(json.dumps(dict(self.provenance), ensure_ascii=False)),
        }


@dataclass
class PhotoMaps:
    """Maps of photos.

    Attributes:
        failed: Photo without a map -> reason.
    """

    provenance: Mapping[str, Any]
    maps: list[PhotoMap] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def map_files(
    folder: str | os.PathLike[str], paths: Iterable[str], format: Format, html: bool, overwrite: bool
) -> dict[str, Path]:
    """Return photo -> path of its files, without suffix. Raise if a file cannot be written."""
    taken = {"maps": 1}
    names = {path: free_name(file_name(printable(Path(path).stem)), taken) for path in paths}
    files = [f"{name}.{suffix}" for name in names.values() for suffix in (format, "npz")]
    target = check_folder(folder, [*files, *([PAGE] if html else [])], overwrite=overwrite, inputs=names)
    return {path: target / name for path, name in names.items()}
