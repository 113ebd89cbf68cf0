"""Values that need no image and are joined to rows by name: scores in another tool's file, and facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..files.journal import Cells


class JoinedValues:
    """The values that are joined to the rows of a run.

    Attributes:
        scores: Column -> image -> score in another tool's file.
        facts: Column -> image -> what its run says of it, such as people's opinion; it holds in this run alone.
    """

    def __init__(self) -> None:
        self.scores = dict[str, Mapping[str, Any]]()
        self.facts = dict[str, Mapping[str, Any]]()

    def __bool__(self) -> bool:
        return bool(self.scores or self.facts)

    def scores_of(self, image: str) -> Cells:
        """Return column -> the score of an image in another tool's file, or None."""
        return {name: scores.get(image) for name, scores in self.scores.items()}

    def cells_of(self, image: str, earlier_cells: Cells) -> Cells:
        """Return column -> the value of an image; a score that no file has now is that of the earlier row."""
        facts = {name: values.get(image) for name, values in self.facts.items()}
        scores = {name: scores.get(image, earlier_cells.get(name)) for name, scores in self.scores.items()}
        return facts | scores


def digest_of(facts: Mapping[str, Any]) -> str:
    """Return a hash of values of images, which tells whether they have changed since an earlier run."""
    text = json.dumps(sorted((image, str(value)) for image, value in facts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
