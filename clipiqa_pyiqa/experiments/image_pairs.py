"""Experiment of Fig. 5: whether the better of two versions of an image scores higher."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import pandas
from matplotlib.figure import Figure

from ..errors import FilePath, checked, counted
from ..prompts.pairs import Prompts
from ..report.contact_sheet import contact_sheet
from ..sources.naming import in_all_folders, named_images
from ..stats.intervals import mean_difference, share
from .experiment import ExperimentOptions, ExperimentResult, asked, file_names, score_files

_SIDES = ("low", "high")
_SHEETS = "pairs-{}.png"
_SHOWN = 10  # most pairs in the wrong order on a sheet
_CLEAREST = 4  # most pairs in the right order on a sheet


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

        ``right`` counts the pairs whose high-quality image scores better. The share has Wilson's 95 % interval, and the
        mean difference the interval and ``p`` of :func:`~clipiqa_pyiqa.stats.intervals.mean_difference`.
        """
        return pandas.DataFrame(map(self._summary, self.questions))

    def _summary(self, question: str) -> dict[str, object]:
        low, high = (self.frame[f"{question} {side}"] for side in _SIDES)
        right, apart = int((self._gains(question) > 0).sum()), mean_difference(high, low)
        return {
            "question": question,
            "pairs": len(low),
            "right": right,
            "equal": int((high == low).sum()),
            **share(right, len(low)).named("share right"),
            "mean low": low.mean(),
            "mean high": high.mean(),
            **apart.named("mean difference"),
            "p": apart.p,
        }

    def contents(self) -> dict[str, Any]:
        sheets = {name: self.sheet(question) for question, name in file_names(self.questions, _SHEETS).items()}
        return {"pairs.csv": self.frame, **sheets}

    def details(self) -> dict[str, Any]:
        return {"missing": dict(self.missing)}

    def notes(self) -> list[str]:
        alone = sum(map(len, self.missing.values()))
        return [f"{counted(alone, 'image')} left out, without a partner"] if alone else []

    def failures(self, question: str) -> pandas.DataFrame:
        """Return the worst pairs, up to ten, with wrong order or equal scores."""
        gains = self._gains(question).sort_values(kind="stable")
        return self.frame.loc[gains.index[gains <= 0][:_SHOWN]]

    def _gains(self, question: str) -> pandas.Series:
        """Return how much better the high-quality images score."""
        return self.frame[f"{question} difference"] * (-1 if self.is_low_good(question) else 1)

    def sheet(self, question: str) -> Figure:
        """Return the pairs in the wrong order, the worst first, and the pairs with the clearest differences."""
        gains = self._gains(question).sort_values(ascending=False)
        parts = {
            "in the wrong order, the worst first": self.failures(question),
            "with the clearest difference": self.frame.loc[gains.index[gains > 0][:_CLEAREST]],
        }
        groups = {
            f"{question}: {counted(len(shown), 'pair')} {title}": [
                (row[side], f"{name}\n{side}: {row[f'{question} {side}']:.4f}")
                for name, row in shown.iterrows()
                for side in _SIDES
            ]
            for title, shown in parts.items()
        }
        return contact_sheet(groups, self.caption, columns=4, apply_exif=self.provenance.get("apply_exif", True))


@checked
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
        metric, prompts, template, options: As for :func:`~.ranking.rank`.
        low: Folder or pattern of the low-quality images; see :func:`~clipiqa_pyiqa.sources.naming.named_images`.
        high: Folder or pattern of the high-quality images.
    """
    named = {"low": named_images(os.fspath(low)), "high": named_images(os.fspath(high))}
    frame, missing = in_all_folders(named, skip_missing)
    metrics = asked(metric, prompts, template)
    paths = list(dict.fromkeys(frame.to_numpy().ravel()))
    scores = score_files(metrics, paths, ["pairs.csv", _SHEETS], **options)
    frame = scores.of_pairs(frame, _SIDES).rename_axis("name")
    for question in scores.questions:
        for version in _SIDES:
            frame[f"{question} {version}"] = frame[version].map(scores.frame[question].get)
        frame[f"{question} difference"] = frame[f"{question} high"] - frame[f"{question} low"]
    return PairScores(**{**vars(scores), "frame": frame}, missing=missing).saved(options)
