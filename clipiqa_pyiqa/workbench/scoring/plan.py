"""Which images a run scores by which metrics, and how many an earlier run has scored."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...files.printable import printable
from ...logger import log
from ...text import counted, few
from ..images.batches import WAIT
from ..images.image import Image
from ..metrics.kinds import BrokenMetric, ClipMetric
from ..metrics.metric_set import MetricSet
from ..results.earlier import CellPlan, EarlierRow, EarlierRun, lasting_stamp
from ..results.row import Answer
from ..results.store import Results
from .options import Options


@dataclass(slots=True)
class ImageTask:
    """An image to score by the wanted metrics; only images of one block share a batch."""

    image: Image
    block: int
    wanted: Sequence[bool]
    stamp: str = ""
    record: Any = None  # of the image, or the ImageError of reading
    answers: dict[int, Answer] = field(default_factory=dict)  # by the metric's place
    flag: str = ""


@dataclass
class Tally:
    """Numbers of a run's images by what an earlier run left of them.

    Attributes:
        unchanged: Images with all their scores, or with failures that would come again.
        incomplete: Unchanged images that lack a score.
        failed: Those of ``unchanged`` that lack a score because of a failure.
        failed_by: Column -> how many of ``failed`` lack its score.
    """

    unchanged: int = 0
    changed: int = 0
    new: int = 0
    incomplete: int = 0
    failed: int = 0
    failed_by: Counter[str] = field(default_factory=Counter)

    def count(self, row: EarlierRow | None, stamp: str, is_complete: bool) -> None:
        """Count an image, which has this stamp now."""
        if row is None:
            self.new += 1
        elif not lasting_stamp(stamp, row.stamp):
            self.changed += 1
        elif not is_complete:
            self.incomplete += 1
        else:
            self.unchanged += 1
            if row.has_failed:
                self.failed += 1
                self.failed_by.update(name for name, score in row.scores.items() if score is None)

    def failed_before(self, columns: Sequence[str]) -> str:
        """Return how many images failed before, and by which columns if not by all alike; empty if none did."""
        if not self.failed:
            return ""
        text = f"{self.failed:,} failed before"
        if all(self.failed_by[name] == self.failed for name in columns):
            return text
        return f"{text} ({', '.join(f'{count:,} by {name}' for name, count in self.failed_by.items())})"

    def __str__(self) -> str:
        incomplete = f"{self.incomplete:,} to be completed, " if self.incomplete else ""
        return f"{self.unchanged:,} done before, {incomplete}{self.changed:,} changed since, {self.new:,} new"


@dataclass(frozen=True)
class Plan:
    """The tasks of a run, in order, and a tally of its images, which is complete when all tasks have been taken."""

    tasks: Iterator[ImageTask]
    tally: Tally


def plan(images: Iterable[Image], metrics: MetricSet, options: Options, earlier: EarlierRun | None = None) -> Plan:
    """Return the plan of a run; images whose scores are all known have no task.

    A block that an earlier run left unfinished is scored whole, in the same batches; images that have changed or failed
    are scored alone.
    """
    tally = Tally()
    if earlier:
        return Plan(_tasks_left(images, metrics, options, earlier, tally), tally)
    return Plan(_tasks_of_all(images, metrics, options), tally)


def _block_size(options: Options) -> int:
    return WAIT * options.most_in_batch


def _tasks_of_all(images: Iterable[Image], metrics: MetricSet, options: Options) -> Iterator[ImageTask]:
    """Yield a task for each image as it comes, since a group of images could take much memory."""
    size = _block_size(options)
    wanted = [True] * len(metrics.metrics)
    for number, image in enumerate(images):
        yield ImageTask(image, number // size, wanted)


def _tasks_left(
    images: Iterable[Image], metrics: MetricSet, options: Options, earlier: EarlierRun, tally: Tally
) -> Iterator[ImageTask]:
    """Yield tasks for what an earlier run lacks, and count the images."""
    size = _block_size(options)
    # for a broken metric no image is decoded again
    is_built = [not isinstance(metric, BrokenMetric) for metric in metrics.metrics]
    can_score = metrics.by_column(is_built)
    coming = iter(images)
    for block in itertools.count():
        group = list(itertools.islice(coming, size))
        if not group:
            return
        plans_of_group = []
        for image in group:
            name = printable(image.name)
            row = earlier.row(name)
            stamp = "" if row is None else image.stamp() or ""  # not of a new image: a store takes long to answer
            plans = earlier.plans(row, stamp)
            is_complete = all(plan is CellPlan.KEPT for plan in itertools.compress(plans, can_score))
            tally.count(row, stamp, is_complete)
            plans_of_group.append(_by_metric(plans, metrics))
        is_broken_off = [
            isinstance(metric, ClipMetric)
            and options.most_in_batch > 1
            and any(CellPlan.NOT_REACHED in plans[place] for plans in plans_of_group)
            for place, metric in enumerate(metrics.metrics)
        ]
        for image, plans_of_metrics in zip(group, plans_of_group, strict=True):
            wanted = [
                is_whole_block or any(plan is not CellPlan.KEPT for plan in plans)
                for is_whole_block, plans in zip(is_broken_off, plans_of_metrics, strict=True)
            ]
            has_no_metric = not wanted  # all scores are in files
            if has_no_metric or any(itertools.compress(wanted, is_built)):
                yield ImageTask(image, block, wanted)


def _by_metric(plans: Sequence[CellPlan], metrics: MetricSet) -> list[list[CellPlan]]:
    """Return the plans of each metric's columns."""
    coming = iter(plans)
    return [list(itertools.islice(coming, len(metric.columns))) for metric in metrics.metrics]


def tell(results: Results, tally: Tally, title: str = "") -> None:
    """Log what is kept of an earlier run, if there was one; it is a warning if images are gone."""
    if not results.earlier:
        return
    gone = results.images.gone
    sentences = [f"{title}{tally}"]
    if gone:
        sentences.append(f"{counted(len(gone), 'row')} of images that are gone ({few(gone)})")
    names_of_gone = set(gone)
    others = [name for name in results.images.unmet if name not in names_of_gone]
    if others:
        sentences.append(f"{counted(len(others), 'row')} of images that this run lacks ({few(others)})")
    log.log(logging.WARNING if gone else logging.INFO, ", ".join(sentences))
