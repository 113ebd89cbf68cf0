"""Experiment of Fig. 7, its first half: pairs of photos, and a page on which people choose between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import pandas

from ...checks import FilePath, check_whole
from ...errors import CLIPIQAError, ImageError
from ...files import resolved, write_text
from ...machine import find_device
from ...options import lists_options
from ...prompts.pairs import PromptPair, Prompts, QuestionsByColumn, only_pairs, parse_questions
from ...text import counted, few
from ..metrics.kinds import AnyMetric
from ..options import SharedOptions
from ..sources.finding import find_inputs
from .experiment_result import ExperimentResult
from .options import ExperimentOptions, Paths
from .questions import built_with_known_questions, column_names, is_asked_prompts, metrics_with_questions
from .scoring import check_results_can_be_written, scored_images
from .study_page import study_page

ATTRIBUTES = ("complex", "natural", "happy", "scary", "new")
"""The five attributes of Fig. 6 and 7."""
PAGE = "pairs.html"
_TABLE = "pairs.csv"
_COLUMNS = ["attribute", "high", "low", "score_high", "score_low"]


@dataclass(frozen=True)
class UserStudy(ExperimentResult):
    """Pairs of photos to choose between.

    Attributes:
        pairs: One row per pair. Columns: ``attribute``; ``high`` and ``low``, the photos; ``score_high`` and
            ``score_low``.
        texts: Attribute -> the texts that people read.
        wanted: Number of pairs of each attribute that were asked for.
        unknown: Attributes that are left out, as the CLIP never saw their words.
    """

    pairs: pandas.DataFrame
    texts: Mapping[str, PromptPair]
    wanted: int
    unknown: Sequence[str]

    @property
    def is_complete(self) -> bool:
        return super().is_complete and not self.unknown and not self.counts_below_wanted

    @property
    def counts_below_wanted(self) -> dict[str, int]:
        """Attribute -> its number of pairs, where there are fewer than wanted."""
        numbers = {name: int((self.pairs["attribute"] == name).sum()) for name in self.texts}
        return {name: number for name, number in numbers.items() if number < self.wanted}

    def summary(self) -> pandas.DataFrame:
        """Return one row per attribute: the number of pairs, mean scores, and the smallest difference."""
        differences = self.pairs["score_high"] - self.pairs["score_low"]
        by_attribute = self.pairs.assign(difference=differences).groupby("attribute", sort=False)
        table = by_attribute.agg(
            pairs=("high", "size"),
            mean_high=("score_high", "mean"),
            mean_low=("score_low", "mean"),
            smallest_difference=("difference", "min"),
        )
        return table.rename(columns=lambda name: name.replace("_", " ")).reset_index()

    def contents(self) -> dict[str, Any]:
        return {_TABLE: self.pairs}

    def save(self, folder: FilePath, *, pictures: str = "png") -> None:
        """Write the tables, ``summary.json``, and the page, on which the photos are named as seen from the folder."""
        super().save(folder, pictures=pictures)
        place = resolved(folder)
        apply_exif = self.provenance.get("apply_exif", True)
        write_text(place / PAGE, study_page(self.pairs, self.texts, place, apply_exif))

    def details(self) -> dict[str, Any]:
        return {"unknown": list(self.unknown)}

    def notes(self) -> list[str]:
        notes = []
        if self.unknown:
            notes.append(self.note_on_unknown(few(self.unknown)))
        for name, number in self.counts_below_wanted.items():
            notes.append(f"{name!r} has {counted(number, 'pair')}, as no more photos with different scores are left")
        return notes


@lists_options(ExperimentOptions, of=SharedOptions)
def make_pairs(
    metric: Any,
    paths: Paths,
    prompts: Prompts = None,
    *,
    count: int = 15,
    template: str | None = None,
    **options: Unpack[ExperimentOptions],
) -> UserStudy:
    """Return pairs of photos, one with a high score and one with a low score, for people to choose between (Fig. 7).

    For each attribute, the photo with the highest score forms a pair with that of the lowest score, the second highest
    with the second lowest, and so on: nothing is drawn at random. ``save`` writes ``pairs.html``, on which each person
    sees the pairs and their sides in a random order, and saves votes that :func:`~.user_agreement.agreement` reads.

    Args:
        metric, template, options: As for :func:`~clipiqa_pyiqa.workbench.rank.ranking.rank`.
        prompts: Attributes, each a pair of texts; default those of Fig. 7. Attributes whose words the CLIP never saw
            are left out.
        count: Number of pairs for each attribute.
    """
    check_whole("count", count, 1, 500)
    files = find_inputs(paths)
    if len(files) < 2 * count:
        raise ImageError(
            f"{counted(count, 'pair')} need {2 * count} photos; got {len(files)}: pass more photos, or a smaller "
            "count.",
            options=("count",),
        )
    metrics = metrics_with_questions(metric, prompts, template, list(ATTRIBUTES))
    _check_questions(metrics)
    check_results_can_be_written((_TABLE, PAGE), column_names(metrics), files, options)  # before weights are read
    clipiqa, unknown = built_with_known_questions(metrics[0], find_device(options.get("device")))
    texts = _texts(clipiqa.questions or QuestionsByColumn())
    scored = scored_images([clipiqa], files, (_TABLE, PAGE), options)
    frames = [_pairs_of(name, scored.frame[name], count) for name in texts]
    pairs = pandas.concat(frames, ignore_index=True)
    if pairs.empty:
        raise ImageError("all photos have the same score: there is no high against low.")
    study = UserStudy(scored.frame, scored.failed, scored.provenance, scored.scores, pairs, texts, count, unknown)
    study.save_if_asked(options)
    return study


def _check_questions(metrics: Sequence[AnyMetric]) -> None:
    (first, *others) = metrics
    if others or not is_asked_prompts(first):
        raise CLIPIQAError(
            "people choose by the texts of prompts, so the pairs need one CLIP-IQA that is asked prompts: pass prompts "
            "such as 'happy', and no other metrics."
        )
    _texts(parse_questions(getattr(first, "questions", None)))  # raises for presets of several pairs


def _texts(questions: QuestionsByColumn) -> dict[str, PromptPair]:
    """Return attribute -> its pair of texts. Raises ``CLIPIQAError`` for presets of several pairs."""
    texts = dict[str, PromptPair]()
    for name, pairs in questions.items():
        if len(pairs) != 1:
            raise CLIPIQAError(f"{name!r} asks several pairs of texts, but people choose by one: name a single pair.")
        (texts[name],) = only_pairs(pairs, "a user study")
    return texts


def _pairs_of(attribute: str, scores: pandas.Series, count: int) -> pandas.DataFrame:
    """Return the highest score with the lowest, the second highest with the second lowest, and so on."""
    from_high = scores.sort_index().sort_values(ascending=False, kind="stable")
    from_low = from_high[::-1]
    number = min(count, len(scores) // 2)
    rows = [
        (attribute, high, low, from_high[high], from_low[low])
        for high, low in zip(from_high.index[:number], from_low.index[:number], strict=True)
        if from_high[high] > from_low[low]
    ]
    frame = pandas.DataFrame(rows, columns=_COLUMNS, dtype=object)  # pandas' texts refuse names that are not UTF-8
    return frame.astype({"score_high": float, "score_low": float})
