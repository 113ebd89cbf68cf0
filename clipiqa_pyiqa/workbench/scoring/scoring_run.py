"""A run that scores: an iterator over its rows, each of which is stored before it is yielded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import CLIPIQAError
from ...text import log
from ..metrics.metric_set import MetricSet
from ..progress import Progress, silent
from ..results.header import Header
from ..results.row import Row
from ..results.store import Results
from .engine import Rows
from .tally import Tally

if TYPE_CHECKING:
    import pandas

    from ..results.scores import Scores


class ScoringRun(Iterator[Row]):
    """An iterator that stores each row, then yields it with what is known from an earlier run.

    :meth:`scores` and :meth:`frame` give the whole result at any time and as often as asked, read from the file, or
    from memory if there is none.

    Attributes:
        header: The columns that the run fills, and how images are read.
        tally: How many of its images an earlier run has scored; complete when all have been planned.
        metrics: The built metrics of the run.
        count: Number of images to score; None if unknown.
    """

    def __init__(
        self,
        metrics: MetricSet,
        header: Header,
        rows: Rows,
        results: Results,
        tally: Tally,
        count: int | None = None,
    ) -> None:
        self.metrics = metrics
        self.header = header
        self.count = count
        self.tally = tally
        self.results = results
        self._done = 0  # rows so far
        self._rows = rows

    def __next__(self) -> Row:
        if not self.results.is_open:
            raise StopIteration
        try:
            row = next(self._rows, None)
            if row is not None:
                self.results.append(row)
        except BaseException:
            self.close()
            raise
        if row is None:
            self.results.publish()
            raise StopIteration
        self._done += 1
        return self.results.completed(row)

    def run(self) -> None:
        """Score all images."""
        for _ in self:
            pass

    def close(self) -> None:
        """End the run; the results keep the rows so far."""
        try:
            self._rows.close()
        finally:
            if self.results.is_open:
                self.results.close()

    def __enter__(self) -> ScoringRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self.results.output and self.results.is_open:
            self.close()
            log.warning("a run was dropped before its end: iterate over what score_paths returns, or call its run()")

    def scores(self, progress: Progress = silent) -> Scores:
        """Score the images that are left, and return all scores: this run's columns, then others of an earlier run."""
        total = None if self.count is None else self.tally.unchanged + self.count
        for _ in self:
            progress(self.tally.unchanged + self._done, total)
        scores = self._all_scores()
        columns = {**self.header.by_name, **scores.columns}
        frame = scores.frame[[*columns]].drop(index=self.results.images.unmet, errors="ignore")
        return replace(scores, frame=frame, columns=columns)

    def frame(self) -> pandas.DataFrame:
        """Score the images that are left, and return all rows.

        The index is ``path``; the columns are one for each question (NaN: no score), ``flag`` and ``error``.
        """
        self.run()
        scores = self._all_scores()
        texts = scores.other[["flag", "error"]].fillna("")
        rows = scores.frame[self.header.score_names].assign(**{name: texts[name].to_numpy() for name in texts})
        return rows[~rows.index.isin(self.results.images.unmet)]

    def _all_scores(self) -> Scores:
        """Return the scores of a run that has scored its last image; raise ``CLIPIQAError`` if it ended before."""
        if not self.results.is_finished:
            raise CLIPIQAError(
                "the run ended before its last image: call score_paths again (with `resume`).", options=("resume",)
            )
        return self.results.scores()
