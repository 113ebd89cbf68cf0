"""What ``fit`` returns: a head, its agreements with people, and files of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...checks import FilePath
from ...files import write_text
from ...prompts.head import OpinionHead
from ..opinions.score_table import ScoreTable
from .cross_validation import FitAgreement
from .judgement import Judgement


@dataclass(frozen=True)
class FitResult:
    """A fitted head, and how well it agrees with people's scores.

    Attributes:
        judgement: Whether the head gained anything: on the test or validation images, or else on the rated photos, each
            predicted by a head that was fitted to others. An affine head that keeps the metric's order gains nothing.
        cross_validation: Method -> agreement of its predictions of the rated photos, each by a head fitted to others.
        held_out: ``'val'`` and ``'test'`` -> the head's agreement with people, where there are such images.
        before: Split -> the agreement of the metric that the head began with.
        splits: The agreement in each random split.
        drawn: The rows that each random split tests.
    """

    head: OpinionHead
    table: ScoreTable
    cross_validation: dict[str, FitAgreement]
    held_out: dict[str, FitAgreement]
    before: dict[str, FitAgreement]
    judgement: Judgement
    splits: tuple[FitAgreement, ...] = ()
    drawn: tuple[list[int], ...] = ()

    def save(self, path: FilePath) -> None:
        self.head.save(path)

    def save_splits(self, path: FilePath) -> None:
        """Write a CSV file of paths, scores, groups (the row's number if there are none) and ``split_1``, …."""
        frame = self.table.part("train")
        low, high = self.table.score_range
        share = 1 - frame["target"] if self.table.lower_better else frame["target"]
        photos = frame.assign(score=low + (high - low) * share)[["path", "score", "group"]]
        for number, rows in enumerate(self.drawn, start=1):
            photos[f"split_{number}"] = np.where(photos.index.isin(rows), "test", "train")
        write_text(path, photos.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
