"""``rank``: images scored, and put in the order of each question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import pandas
from matplotlib.figure import Figure

from ...checks import check_whole
from ...machine import find_device
from ...options import lists_options
from ...text import few, first_of, log, printable
from ..experiments.experiment_result import ExperimentResult
from ..experiments.options import ExperimentOptions, Paths
from ..experiments.questions import built_with_known_questions, column_names, is_asked_prompts, metrics_with_questions
from ..experiments.scoring import check_results_can_be_written, scored_images
from ..options import SharedOptions
from ..results.scales import scale_text
from ..sources.finding import find_inputs
from .photos import Photos
from .sheets import SHEETS, score_sheet, sheet_names

_WRITTEN = ("ranking.csv", SHEETS)


@dataclass(frozen=True)
class Ranking(ExperimentResult):
    """Images in the order of each question.

    Attributes:
        count: Most images to show as the best of a question, and as the worst.
        unknown: Questions that are left out, as the CLIP never saw their words.
    """

    count: int = 10
    unknown: Sequence[str] = ()

    @property
    def is_complete(self) -> bool:
        return super().is_complete and not self.unknown

    def photos(self, by: str | None = None, lower_better: bool | None = None) -> Photos:
        """Return the images in the order of a question, by default the first."""
        return Photos(self.scores, self.questions[0] if by is None else by, lower_better)

    def best(self, count: int | str = 10, by: str | None = None) -> list[str]:
        """Return the paths of the best images: a number of them, or a share such as ``'10%'``."""
        _, best = self.photos(by).picked(best=count)
        return list(best.index)

    def worst(self, count: int | str = 10, by: str | None = None) -> list[str]:
        """Return the paths of the worst images, the worst first; arguments as for :meth:`best`."""
        worst, _ = self.photos(by).picked(worst=count)
        return list(worst.index)

    def ranked(self, question: str) -> pandas.DataFrame:
        """Return the scores of all images, from the best to the worst score of a question, with a column ``rank``."""
        has_low_first = self.is_low_good(question)
        frame = self.frame.sort_index().sort_values(question, ascending=has_low_first, kind="stable")
        frame.insert(0, "rank", frame[question].rank(method="min", ascending=has_low_first).astype(int))
        return frame

    def best_and_worst(self, question: str) -> tuple[pandas.DataFrame, pandas.DataFrame]:
        """Return the best and the worst rows of :meth:`ranked`, ``count`` of each at most and none in both."""
        order = self.ranked(question)
        worst, best = self.photos(question).worst_and_best(self.count)
        return order.loc[best.index], order.loc[worst.index[::-1]]

    def sheet(self, question: str) -> Figure:
        """Return the best and the worst images with their scores; the most extreme image is the first of each."""
        best, worst = self.best_and_worst(question)
        best_heading, worst_heading = ("Lowest", "Highest") if self.is_low_good(question) else ("Highest", "Lowest")
        ending = f"of {len(self.frame)}: {question}"
        parts = {f"{best_heading} {ending}": best[question], f"{worst_heading} {ending}": worst[question][::-1]}
        apply_exif = self.provenance.get("apply_exif", True)
        return score_sheet(parts, list(self.frame.index), self.caption, apply_exif=apply_exif)

    def summary(self) -> pandas.DataFrame:
        """Return the best and the worst images, with columns question, rank, score and path."""
        tables = [
            images.assign(question=question, score=images[question], path=list(map(printable, images.index)))
            for question in self.questions
            for images in self.best_and_worst(question)
        ]
        return pandas.concat(tables, ignore_index=True)[["question", "rank", "score", "path"]]

    def contents(self) -> dict[str, Any]:
        sheets = {name: self.sheet(question) for question, name in sheet_names(self.questions).items()}
        table = self.ranked(self.questions[0])
        table["scale"] = scale_text(self.scores.columns.values())
        return {"ranking.csv": table, **sheets}

    def details(self) -> dict[str, Any]:
        return {"images": len(self.frame), "flags": self.scores.flags, "unknown": list(self.unknown)}

    def notes(self) -> list[str]:
        notes = []
        flags = self.scores.flags
        if flags:
            notes.append(f"flagged as probably not photos: {first_of(map(printable, flags))}")
        if self.unknown:
            backbone = self.provenance["backbone"]
            notes.append(f"left out: {few(self.unknown)}, as {backbone} never saw their words")
        return notes


@lists_options(ExperimentOptions, of=SharedOptions)
def rank(
    metric: Any,
    paths: Paths,
    prompts: Any = None,
    *,
    template: str | None = None,
    count: int = 10,
    **options: Unpack[ExperimentOptions],
) -> Ranking:
    """Return the scores of images, ranked by each question.

    Args:
        metric: As for :func:`~clipiqa_pyiqa.score_paths`, or a function that makes a ``CLIPIQA``.
        prompts: As for :func:`~clipiqa_pyiqa.score_paths`; those whose words the CLIP never saw are left out.
        count: Number of best images to show, and of worst images.
        options: Options of :func:`~clipiqa_pyiqa.score_paths`; ``out`` is a folder for scores and results,
            ``pictures`` the format of figures; ``progress`` is called with the numbers of finished and of all images.
    """
    check_whole("count", count, 1, 500)
    files = find_inputs(paths, options.get("out"))
    metrics = metrics_with_questions(metric, prompts, template)
    unknown = list[str]()
    if is_asked_prompts(metrics[0]):
        check_results_can_be_written(_WRITTEN, column_names(metrics), files, options)  # before weights are read
        first, unknown = built_with_known_questions(metrics[0], find_device(options.get("device")))
        metrics = [first, *metrics[1:]]
    scored = scored_images(metrics, files, _WRITTEN, options)
    ranking = Ranking(scored.frame, scored.failed, scored.provenance, scored.scores, count, unknown)
    ranking.save_if_asked(options)
    if options.get("out") is not None:
        sheets = sheet_names(ranking.questions).values()
        log.info(f"the best and the worst photos of each question: {', '.join(sheets)}")
    return ranking
