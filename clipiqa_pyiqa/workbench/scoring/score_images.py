"""Scores of images in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from ...options import lists_options
from ..metrics.parsing import AnyPrompts
from ..options import RunOptions, SharedOptions
from .setup import ScoringSetup

if TYPE_CHECKING:
    import pandas


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
    """Return what :func:`score_images` returns."""
    import pandas

    from ..images.in_memory import memory_images

    listed_images = list(memory_images(images))
    names = setup.header.score_names
    cells = [row.as_dict(names) for row in setup.rows(listed_images, count=len(listed_images))]
    return pandas.DataFrame(cells, columns=[*names, "flag", "error"]).astype(dict.fromkeys(names, float))
