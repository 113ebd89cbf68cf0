"""Splits of images into training, validation and test: what a column of them means, and random ones."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitColumn:
    """What the texts in a column of splits mean.

    Attributes:
        meanings: Text -> split.
        is_exact: Whether rows with any other text belong to no split; else they are refused, but for case and spaces.
        validation_images: Number of validation images, or None for those that the column names. If it names fewer, the
            last training images are added; if it names more, only the last ones stay, and the others are for training.
    """

    meanings: Mapping[str, str] = field(default_factory=lambda: {split: split for split in SPLITS})
    is_exact: bool = False
    validation_images: int | None = None

    def split_of(self, text: str) -> str:
        """Return the split that a text means, or an empty text."""
        return self.meanings.get(text if self.is_exact else text.strip().lower(), "")

    def with_validation_images(self, splits: Sequence[str]) -> list[str]:
        """Return the splits of all rows, so that as many as wanted are for validation."""
        changed = list(splits)
        if self.validation_images is None:
            return changed
        validation = [row for row, split in enumerate(splits) if split == "val"]
        training = [row for row, split in enumerate(splits) if split == "train"]
        missing = self.validation_images - len(validation)
        if missing > 0:
            for row in training[-missing:]:
                changed[row] = "val"
        else:
            for row in validation[: len(validation) - self.validation_images]:
                changed[row] = "train"
        return changed


def rows_of_drawn_groups(groups: pandas.Series, fraction: float, seed: int) -> list[int]:
    """Return the index of random rows: whole groups, about ``fraction`` of all rows.

    A group that is drawn does not exceed the wanted number of rows by more than half of its own.
    """
    members = list(groups.groupby(groups, sort=False).groups.values())
    random.Random(seed).shuffle(members)
    drawn = list[int]()
    for rows in members:
        if len(drawn) + len(rows) / 2 <= len(groups) * fraction:
            drawn.extend(rows)
    return drawn


def drawn_places(total: int, count: int, seed: int) -> list[int]:
    """Return the places of a random sample of so many things, in order."""
    return sorted(random.Random(seed).sample(range(total), count))
