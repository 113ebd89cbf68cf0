"""Experiment of Fig. 5: whether the better of two versions of an image scores higher."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import pandas
from matplotlib.figure import Figure

from ...checks import FilePath
from ...options import lists_options
from ...prompts.pairs import Prompts
from ...text import counted, few
from ..names.folder_images import images_by_name
from ..names.shared_names import shared_names
from ..options import SharedOptions
from ..report.contact_sheet import contact_sheet
from ..sources.picture_folders import check_pictures_outside
from ..stats.mean_differences import mean_difference
from ..stats.shares import share
from .experiment_result import ExperimentResult, file_names
from .options import ExperimentOptions
from .questions import metrics_with_questions
from .scoring import scored_images

_VERSIONS = ("low", "high")
_TABLE = "pairs.csv"
_SHEETS = "pairs-{}.png"
_MOST_WRONG = 10  # pairs in the wrong order on a sheet
_MOST_EQUAL = 4  # pairs with equal scores on a sheet
_MOST_RIGHT = 4  # pairs in the right order on a sheet


@dataclass(frozen=True)
class PairScores(ExperimentResult):
    """Scores of two versions of each image.

    Attributes:
        frame: Index ``name``; columns ``low`` and ``high`` (files), then per question ``<question> low``, ``<question>
            high`` and ``<question> difference`` (high minus low).
        missing: ``low`` or ``high`` -> names of images that this side lacks.
    """

    missing: Mapping[str, list[str]]
    intervals: ClassVar = ("share right", "mean difference")

    def summary(self) -> pandas.DataFrame:
        """Return one row per question.

        ``right`` counts the pairs whose high-quality image scores better. The share has Wilson's interval; the mean
        difference has the interval and ``p`` of :func:`~clipiqa_pyiqa.workbench.stats.mean_difference`.
        """
        return pandas.DataFrame([self._summary_row(question) for question in self.questions])

    def _summary_row(self, question: str) -> dict[str, object]:
        """Return the row of a question in the summary."""
        low = self.frame[f"{question} low"]
        high = self.frame[f"{question} high"]
        right = int((self._gains(question) > 0).sum())
        difference = mean_difference(high, low)
        return {
            "question": question,
            "pairs": len(low),
            "right": right,
            "equal": int((high == low).sum()),
            **share(right, len(low)).named("share right"),
            "mean low": low.mean(),
            "mean high": high.mean(),
            **difference.named("mean difference"),
            "p": difference.p,
        }

    def contents(self) -> dict[str, Any]:
        sheets = {name: self.sheet(question) for question, name in file_names(self.questions, _SHEETS).items()}
        return {_TABLE: self.frame, **sheets}

    def details(self) -> dict[str, Any]:
        return {"missing": dict(self.missing)}

    def notes(self) -> list[str]:
        return [f"left out: {side} lacks {few(names)}" for side, names in self.missing.items()]

    def _gains(self, question: str) -> pandas.Series:
        """Return how much better the high-quality images score."""
        differences = self.frame[f"{question} difference"]
        return -differences if self.is_low_good(question) else differences

    def sheet(self, question: str) -> Figure:
        """Return pairs in the wrong order, pairs with equal scores, and pairs in the right order, clearest first."""
        gains = self._gains(question).sort_values(kind="stable")
        wrong = gains[gains < 0].index
        equal = gains[gains == 0].index
        right = gains[gains > 0].index[::-1]
        groups = {
            f"{question}: {_pairs_text(wrong, _MOST_WRONG, 'worst')} in the wrong order": wrong[:_MOST_WRONG],
            f"{question}: {_pairs_text(equal, _MOST_EQUAL, 'first')} with equal scores": equal[:_MOST_EQUAL],
            f"{question}: {_pairs_text(right, _MOST_RIGHT, 'clearest')} in the right order": right[:_MOST_RIGHT],
        }
        images = {heading: self._captioned_images(names, question) for heading, names in groups.items()}
        return contact_sheet(images, self.caption, columns=4, apply_exif=self.provenance.get("apply_exif", True))

    def _captioned_images(self, names: pandas.Index, question: str) -> list[tuple[str, str]]:
        """Return both files of each pair, with the name, the version and the score."""
        return [
            (pair[version], f"{name}\n{version}: {pair[f'{question} {version}']:.4f}")
            for name, pair in self.frame.loc[names].iterrows()
            for version in _VERSIONS
        ]


def _pairs_text(pairs: Sized, most: int, which: str) -> str:
    """Return how many pairs there are, and how many of them are shown: ``'the 10 worst of 12 pairs'``."""
    all_pairs = counted(len(pairs), "pair")
    return f"the {most} {which} of {all_pairs}" if len(pairs) > most else all_pairs


@lists_options(ExperimentOptions, of=SharedOptions)
def pairs(
    metric: Any,
    low: FilePath,
    high: FilePath,
    prompts: Prompts = None,
    *,
    template: str | None = None,
    skip_missing: bool = False,
    **options: Unpack[ExperimentOptions],
) -> PairScores:
    """Return scores of two versions of each image (Fig. 5).

    Args:
        metric, prompts, template, options: As for :func:`~clipiqa_pyiqa.workbench.rank.ranking.rank`.
        low: Folder or pattern of the low-quality images; see
            :func:`~clipiqa_pyiqa.workbench.names.folder_images.images_by_name`.
        high: Folder or pattern of the high-quality images.
    """
    check_pictures_outside(options.get("out"), [low, high])
    files_by_version = {"low": images_by_name(os.fspath(low)), "high": images_by_name(os.fspath(high))}
    shared = shared_names(files_by_version, skip_missing)
    metrics = metrics_with_questions(metric, prompts, template)
    scored = scored_images(metrics, shared.files.to_numpy().ravel(), [_TABLE, _SHEETS], options)
    frame = scored.scored_pairs(shared.files, _VERSIONS).rename_axis("name")
    for question in scored.questions:
        for version in _VERSIONS:
            frame[f"{question} {version}"] = frame[version].map(scored.frame[question].get)
        frame[f"{question} difference"] = frame[f"{question} high"] - frame[f"{question} low"]
    result = PairScores(frame, scored.failed, scored.provenance, scored.scores, shared.missing)
    result.save_if_asked(options)
    return result
