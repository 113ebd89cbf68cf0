"""A callable that scores batches of images, for pipelines of other libraries."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, Unpack

from ...errors import CLIPIQAError
from ...options import is_factory, lists_options
from ..metrics.parsing import AnyPrompts
from ..options import RunOptions, SharedOptions, check_options
from ..sources.parquet import IMAGE_COLUMNS
from .factory_files import hashes_of_files
from .score_images import frame_of_scores
from .setup import ScoringSetup


class Scorer:
    """A callable that scores batches of images, for pipelines: its result has a column for each question.

    A pickled scorer makes or loads its metric once in each process.

    Args:
        metric: A ``CLIPIQA``, or a function that makes one where the scorer is called.
        column: Column of images; None looks for a usual name, such as ``'image'``.
        prefix: Begins the names of the new columns.
        **options: As for :func:`~clipiqa_pyiqa.score_images`.
    """

    @lists_options(RunOptions, of=SharedOptions)
    def __init__(
        self,
        metric: Any,
        prompts: AnyPrompts = None,
        *,
        column: str | None = None,
        prefix: str = "",
        **options: Unpack[RunOptions],
    ) -> None:
        check_options(options, RunOptions.__annotations__)
        self._again = partial(Scorer, metric, prompts, column=column, prefix=prefix, **options)
        self._setup = cache(partial(ScoringSetup, metric, prompts, **options))
        self._columns = [column] if column else IMAGE_COLUMNS
        self._prefix = prefix
        if not is_factory(metric):
            self._setup()  # raises for what cannot be used

    def __call__(self, batch: Any) -> dict[str, Any]:
        """Return arrays: a column of scores (NaN where missing) for each question, ``flag`` and ``error``.

        Args:
            batch: A dict of columns, which the result keeps, or images as for :func:`~clipiqa_pyiqa.score_images`.
        """
        import pandas

        if not isinstance(batch, Mapping | pandas.DataFrame):
            return self._scores_of(batch)
        columns = [name for name in self._columns if name in batch]
        if not columns:
            raise CLIPIQAError(f"there is no column of images: the columns are {', '.join(batch)}; pass column=NAME.")
        scores = self._scores_of(list(batch[columns[0]]))
        taken = [name for name in scores if name in batch]
        if taken:
            raise CLIPIQAError(f"there is a column {taken[0]!r} already: pass prefix=TEXT, which begins the new names.")
        return {**batch, **scores}

    def _scores_of(self, images: Any) -> dict[str, Any]:
        frame = frame_of_scores(self._setup(), images)
        return {f"{self._prefix}{name}": frame[name].to_numpy() for name in frame}

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._again, hashes_of_files(self._again.args[0]))


_MOST_KEPT = 8
_scorers: dict[Any, Scorer] = {}
"""The scorers that this process unpickled last, by their arguments' pickle and, of a function, its code."""


def _unpickled(again: partial[Scorer], files: Sequence[str]) -> Scorer:
    """Return the process's scorer with these arguments: pipelines unpickle a scorer for each task."""
    try:
        digest = hashlib.sha256(pickle.dumps((again, files))).digest()
    except (pickle.PicklingError, AttributeError, TypeError):  # some functions need cloudpickle or dill
        return again()
    key = (digest, getattr(again.args[0], "__code__", None))
    scorer = _scorers.pop(key, None) or again()
    _scorers[key] = scorer  # at the end: the first one is that which was not asked for the longest
    if len(_scorers) > _MOST_KEPT:
        del _scorers[next(iter(_scorers))]
    return scorer
