"""Scores of images in memory: one call, or a callable for pipelines."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError
from ..errors.arguments import checked
from ..images.in_memory import memory_images
from ..metric import is_factory
from .score import Questions, ScoringRun, ScoringSetup

if TYPE_CHECKING:
    import pandas

_USUAL = ("image", "bytes", "jpg", "jpeg", "png", "webp", "img")


@checked
def score_images(metric: Any, images: Any, prompts: Questions = None, **options: Any) -> pandas.DataFrame:
    """Return scores of images in memory, a row for each image, in order.

    An image is a path, bytes of a file, a PIL image, an array or tensor, or a dict with one of these as ``bytes``,
    ``path`` or ``array``; see :func:`~clipiqa_pyiqa.images.in_memory.memory_image`.

    Args:
        metric: As for :func:`~clipiqa_pyiqa.score_paths`.
        images: One image, a list of images, a batch ``(N, H, W, 3)`` or ``(N, 3, H, W)``, or a column of a table.
        prompts: As for :func:`~clipiqa_pyiqa.score_paths`.
        options: Options of reading and scoring, as for :func:`~clipiqa_pyiqa.score_paths`.

    Returns:
        A column for each question, ``flag``, and ``error``: the reason for a missing score, else ``''``.

    Example:
        >>> import torch; from clipiqa_pyiqa import CLIPIQA
        >>> found = score_images(CLIPIQA(backbone="mini"), [torch.rand(3, 64, 64), b"no image"])
        >>> found["quality"].isna().tolist(), found["error"][0]
        ([False, True], '')
    """
    return _frame(ScoringSetup(metric, prompts, **options), images)


class Scorer:
    """A callable that scores batches of images, for pipelines: its result has a column for each question.

    A pickled scorer makes or loads its metric once in each process.

    Args:
        metric: A ``CLIPIQA``, or a function that makes one where the scorer is called.
        prompts: As for :func:`~clipiqa_pyiqa.score_paths`.
        column: Column of images; None looks for a usual name, such as ``'image'``.
        **options: Options of reading and scoring, as for :func:`~clipiqa_pyiqa.score_images`.

    Example:
        >>> import torch; from clipiqa_pyiqa import CLIPIQA
        >>> found = Scorer(CLIPIQA(backbone="mini"))({"image": torch.rand(2, 3, 64, 64), "key": ["a", "b"]})
        >>> list(found), found["quality"].shape
        (['image', 'key', 'quality', 'flag', 'error'], (2,))
    """

    @checked
    def __init__(
        self,
        metric: Any,
        prompts: Questions = None,
        *,
        column: str | None = None,
        **options: Any,
    ) -> None:
        self._given = metric, prompts, column, options
        if not is_factory(metric):
            _ = self._setup  # raises for what cannot be used

    @cached_property
    def _setup(self) -> ScoringSetup:
        metric, prompts, _, options = self._given
        return ScoringSetup(metric, prompts, **options)

    def __call__(self, batch: Any) -> dict[str, Any]:
        """Return arrays: a column of scores (NaN where missing) for each question, ``flag`` and ``error``.

        Args:
            batch: A dict of columns, which the result keeps, or images as for :func:`~clipiqa_pyiqa.score_images`.

        Raises:
            CLIPIQAError: There is no column of images.
        """
        import pandas

        if is_table := isinstance(batch, Mapping | pandas.DataFrame):
            names = [self._given[2]] if self._given[2] else _USUAL
            if not (found := [name for name in names if name in batch]):
                known = ", ".join(batch)
                raise CLIPIQAError(f"there is no column of images: the columns are {known}; pass column=NAME.")
        frame = _frame(self._setup, list(batch[found[0]]) if is_table else batch)
        scores = {name: frame[name].to_numpy() for name in frame}
        return {**batch, **scores} if is_table else scores

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, self._given


_scorers: dict[bytes, Scorer] = {}  # of this process, by their arguments' pickle


def _unpickled(metric: Any, prompts: Any, column: str | None, options: Mapping[str, Any]) -> Scorer:
    """Return the process's scorer with these arguments: pipelines unpickle a scorer for each task."""
    scorer = Scorer(metric, prompts, column=column, **options)
    with suppress(pickle.PicklingError, AttributeError, TypeError):  # some functions need cloudpickle or dill
        scorer = _scorers.setdefault(hashlib.sha256(pickle.dumps(scorer._given)).digest(), scorer)
    return scorer


def _frame(setup: ScoringSetup, images: Any) -> pandas.DataFrame:
    return ScoringRun(setup.header, setup.rows(memory_images(images))).frame().reset_index(drop=True)
