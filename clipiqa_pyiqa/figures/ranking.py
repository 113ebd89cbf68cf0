"""The best and the worst images of a folder, by any question: the paper's Fig. 3, 6, 8 and 9."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ..errors import CLIPIQAError
from ..report.contact_sheet import contact_sheet, headed
from .scores import Scores, exif_applied

if TYPE_CHECKING:
    import pandas


def ranking(scores: Scores, question: str | None = None) -> pandas.DataFrame:
    """All images from the highest to the lowest score.

    Args:
        scores: From :func:`~.scores.score_images`.
        question: By which to order; default the first that was asked.

    Returns:
        Index ``path``; ``rank``, 1 for the highest, equal scores sharing the smaller number; a column per question.

    Raises:
        CLIPIQAError: The question was not asked.
    """
    question = _asked(scores, question)
    frame = scores.frame.sort_values(question, ascending=False, kind="stable")
    frame.insert(0, "rank", frame[question].rank(method="min", ascending=False).astype(int))
    return frame


def best_and_worst(
    scores: Scores, question: str | None = None, count: int = 10
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """The highest and the lowest rows of :func:`ranking`, the extreme ones first, no image in both.

    Fewer than twice ``count`` images are shared out evenly, the odd one to the best.
    """
    order = ranking(scores, question)
    worst = min(count, len(order) // 2)
    best = min(count, len(order) - worst)
    return order.head(best), order.tail(worst).iloc[::-1]


def rank_sheet(
    scores: Scores, question: str | None = None, count: int = 10, *, columns: int = 5, side: int = 256
) -> Image.Image:
    """The best and the worst images with their scores as one picture."""
    question = _asked(scores, question)
    sheets = {}
    for title, chosen in zip(("Highest", "Lowest"), best_and_worst(scores, question, count), strict=True):
        if len(chosen):
            captions = [f"{score:.4f}\n{Path(path).name}" for path, score in chosen[question].items()]
            heading = f"{title} of {len(scores.frame)}: {question}"
            files, upright = [Path(path) for path in chosen.index], exif_applied(scores.provenance)
            sheets[heading] = contact_sheet(files, captions, columns=columns, side=side, apply_exif=upright)
    return headed(sheets)


def _asked(scores: Scores, question: str | None) -> str:
    if question is None:
        return scores.questions[0]
    if question not in scores.questions:
        raise CLIPIQAError(f"{question!r} was not asked: the scores answer {', '.join(scores.questions)}.")
    return question
