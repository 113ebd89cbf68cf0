"""The metrics of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...logger import log
from ..results.columns import Column
from .file_scores import scores_of
from .kinds import BrokenMetric, BuiltMetric, ClipMetric, FileMetric, ObjectMetric, PyiqaMetric
from .view import UNCHANGED

if TYPE_CHECKING:
    from ..results.store import Results


class MetricSet:
    """The built metrics of a run.

    Attributes:
        metrics: Those that score images or sets; others hold scores of files.
        groups: Places of CLIP metrics that share the encoding of images.
        others: Place -> metric, of other metrics that could be built, scored one image at a time.
        unmatched: Column of a file's scores -> images without a score.
    """

    def __init__(self, metrics: Iterable[BuiltMetric | FileMetric]) -> None:
        every = tuple(metrics)
        self.metrics = tuple(metric for metric in every if isinstance(metric, BuiltMetric))
        self.files = tuple(metric for metric in every if isinstance(metric, FileMetric))
        self.groups = dict[Any, list[int]]()
        self.unmatched = dict[str, list[str]]()
        self.others = dict[int, ClipMetric | PyiqaMetric | ObjectMetric]()
        for place, metric in enumerate(self.metrics):
            if isinstance(metric, ClipMetric) and metric.description.view == UNCHANGED:
                self.groups.setdefault(metric.encoding, []).append(place)
            elif isinstance(metric, ClipMetric | PyiqaMetric | ObjectMetric):
                self.others[place] = metric

    @property
    def broken(self) -> tuple[BrokenMetric, ...]:
        return tuple(metric for metric in self.metrics if isinstance(metric, BrokenMetric))

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for metric in self.metrics for column in metric.columns)

    def on_clip(self, places: Iterable[int]) -> list[ClipMetric]:
        """Return the metrics of a group."""
        metrics = [self.metrics[place] for place in places]
        return [metric for metric in metrics if isinstance(metric, ClipMetric)]

    def join(self, results: Results, images: Sequence[str] = ()) -> None:
        """Join the scores in files to results of these images, or of all rows."""
        for metric in self.files:
            images = images or [cells["path"] for cells in results.rows()]
            scores = scores_of(metric, images)
            if not scores:
                theirs = f"no name in the file of {metric.label}, such as {next(iter(metric.scores), '')!r}"
                log.warning(f"{theirs}, is that of an image.")
            results.join_scores(metric.columns[0], scores)
            lost = [image for image in images if image not in scores]
            if lost:
                self.unmatched.setdefault(metric.label, []).extend(lost)

    def by_column(self, wanted: Sequence[bool]) -> tuple[bool, ...]:
        """Return what is wanted of each metric for each column."""
        of_columns = list[bool]()
        for metric, is_wanted in zip(self.metrics, wanted, strict=True):
            of_columns += [is_wanted] * len(metric.columns)
        return tuple(of_columns)
