"""Experiment of Fig. 5: whether the better of two versions of an image scores higher."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import matplotlib
import pandas
from matplotlib.figure import Figure
from PIL import Image

from ..errors import CLIPIQAError, counted
from ..errors.arguments import checked
from ..prompts.pairs import Prompts, parse_columns
from ..report.contact_sheet import contact_sheet, fitted, headed
from ..report.plotting import BLUE, INK, ORANGE, STYLE, WORDS
from ..sources.naming import in_all_folders, named_images
from ..stats.bootstrap import Estimate, share
from .experiment import (
    ExperimentResult,
    because,
    exif_applied,
    file_names,
    saved,
    score_files,
)

_SIDES = ("low", "high")


@dataclass(frozen=True)
class PairScores(ExperimentResult):
    """Scores of two versions of each image.

    Attributes:
        frame: Index ``name``; columns ``low`` and ``high`` (files), then per question ``<question> low``, ``<question>
            high`` and ``<question> difference`` (high minus low).
        missing: ``low`` or ``high`` -> names of images that this side lacks.
    """

    missing: Mapping[str, list[str]]
    count: int = 10
    intervals: ClassVar = ("share right", "mean difference")

    def summary(self) -> pandas.DataFrame:
        """Return one row per question.

        ``right`` counts the pairs whose high-quality image scores higher. The share has Wilson's 95 % interval, and the
        mean difference has Student's. ``p`` is the p-value of Wilcoxon's two-sided signed-rank test.
        """
        return pandas.DataFrame(map(self._summary, self.questions))

    def _summary(self, question: str) -> dict[str, object]:
        from scipy.stats import t, wilcoxon

        low, high, differences = (self.frame[f"{question} {column}"] for column in (*_SIDES, "difference"))
        pairs, right, mean = len(differences), int((differences > 0).sum()), float(differences.mean())
        reach = float(t.ppf(0.975, pairs - 1) * differences.sem())
        return {
            "question": question,
            "pairs": pairs,
            "right": right,
            "equal": int((differences == 0).sum()),
            **share(right, pairs).named("share right"),
            "mean low": low.mean(),
            "mean high": high.mean(),
            **Estimate(mean, mean - reach, mean + reach).named("mean difference"),
            "p": float(wilcoxon(differences).pvalue) if differences.any() else math.nan,
        }

    def contents(self) -> dict[str, Any]:
        sheets = {name: self.failure_sheet(question) for question, name in _sheets(self.questions).items()}
        return {"pairs.csv": self.frame, "pairs.png": self.figure(), **sheets}

    def details(self) -> dict[str, Any]:
        return {"missing": dict(self.missing)}

    def notes(self) -> list[str]:
        alone = sum(map(len, self.missing.values()))
        return [f"{counted(alone, 'image')} left out, without a partner"] if alone else []

    def failures(self, question: str) -> pandas.DataFrame:
        """Return the ``count`` worst pairs with wrong order or equal scores."""
        order = self.frame.sort_values(f"{question} difference", kind="stable")
        return order[order[f"{question} difference"] <= 0].head(self.count)

    def failure_sheet(self, question: str) -> Image.Image | None:
        worst = self.failures(question)
        if worst.empty:
            return None
        images = worst[list(_SIDES)].to_numpy().ravel()
        captions = [
            f"{name}\n{version}: {row[f'{question} {version}']:.4f}"
            for name, row in worst.iterrows()
            for version in _SIDES
        ]
        sheet = contact_sheet(images, captions, columns=4, apply_exif=exif_applied(self.provenance))
        return headed({f"{question}: {counted(len(worst), 'pair')} in the wrong order, the worst first": sheet})

    @matplotlib.rc_context(STYLE)
    def figure(self) -> Figure:
        """Return a figure with one panel per question: each pair's high-quality score against its low-quality score."""
        figure = Figure(figsize=(3.4 * len(self.questions), 3.9), layout="constrained")
        panels = figure.subplots(1, len(self.questions), squeeze=False)[0]
        for axes, row in zip(panels, self.summary().to_dict("records"), strict=True):
            low, high = (self.frame[f"{row['question']} {version}"] for version in _SIDES)
            for chosen, colour, marker in ((high > low, BLUE, "o"), (high <= low, ORANGE, "X")):
                axes.scatter(low[chosen], high[chosen], 24, colour, marker=marker, alpha=0.65, linewidths=0)
            axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, zorder=0)
            axes.set(xlabel="score of the low-quality image", ylabel="score of the high-quality image")
            order = f"{row['right']} of {row['pairs']} in the right order ({100 * row['share right']:.0f} %)"
            axes.set_title(f"{fitted(row['question'], 185, 10)}\n{order}", **WORDS)
        return figure


@checked
def pairs(
    metric: Any,
    low: str | os.PathLike[str],
    high: str | os.PathLike[str],
    prompts: Prompts = "quality",
    *,
    template: str | None = None,
    skip_missing: bool = False,
    count: int = 10,
    **options: Any,
) -> PairScores:
    """Return scores of two versions of each image (Fig. 5).

    Args:
        metric, prompts, template, options: As for :func:`~.ranking.rank`.
        low: Folder or pattern of the low-quality images; see :func:`~clipiqa_pyiqa.sources.naming.named_images`.
        high: Folder or pattern of the high-quality images.
        skip_missing: Leave out images without a partner.
        count: Number of failures to show.

    Raises:
        CLIPIQAError: An argument, a prompt or an image cannot be used.
    """
    named = {"low": named_images(os.fspath(low)), "high": named_images(os.fspath(high))}
    frame, missing = in_all_folders(named, skip_missing)
    columns = parse_columns(prompts, template)
    paths = list(dict.fromkeys(frame.to_numpy().ravel()))
    names = ["pairs.csv", "pairs.png", *_sheets(columns).values()]
    scores = score_files(metric, paths, columns, names, options)
    frame = frame[~frame.isin(list(scores.failed)).any(axis=1)].rename_axis("name")
    if frame.empty:
        raise CLIPIQAError("no pair has scores for both images: there is nothing to compare" + because(scores.failed))
    for question in scores.questions:
        for version in _SIDES:
            frame[f"{question} {version}"] = frame[version].map(scores.frame[question].get)
        frame[f"{question} difference"] = frame[f"{question} high"] - frame[f"{question} low"]
    found = PairScores(frame, scores.questions, scores.failed, scores.provenance, missing, count)
    return saved(found, options)


def _sheets(questions: Iterable[str]) -> dict[str, str]:
    return file_names(questions, "failures-{}.png")
