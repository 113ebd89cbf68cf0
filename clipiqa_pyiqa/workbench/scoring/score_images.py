"""Scores of images in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from ...options import lists_options
from ..metrics.parsing import AnyPrompts
from ..options import RunOptions, SharedOptions
from ..results.header import Header
from ..results.row import Row

if TYPE_CHECKING:
    import pandas

from .setup import ScoringSetup


@lists_options(RunOptions, of=SharedOptions)
def score_images(
    metric: Any, images: Any, prompts: AnyPrompts = None, **options: Unpack[RunOptions]
) -> pandas.DataFrame:
    """Return scores of images in memory, a row for each image, in order.

    For what may be an image, see :func:`~clipiqa_pyiqa.workbench.images.in_memory.memory_image`.

    Args:
        metric: As for :func:`~clipiqa_pyiqa.score_paths`.
        images: One image, a list of images, a batch ``(N, H, W, 3)`` or ``(N, 3, H, W)``, or a column of a table.

    Returns:
        A column for each question, ``flag``, and ``error`` (why a score is missing, or ``''``).
    """
    return frame_of_scores(ScoringSetup(metric, prompts, **options), images)


def frame_of_scores(setup: ScoringSetup, images: Any) -> pandas.DataFrame:
    from ..images.in_memory import memory_images

    images = list(memory_images(images))
    return _frame(setup.rows(images, count=len(images)), setup.header).reset_index(drop=True)


def _frame(rows: Iterable[Row], header: Header) -> pandas.DataFrame:
    import pandas

    cells = [row.as_dict(header.score_names) for row in rows]
    frame = pandas.DataFrame(cells, columns=["path", *header.score_names, "flag", "error"]).set_index("path")
    return frame.astype(dict.fromkeys(header.score_names, float))
