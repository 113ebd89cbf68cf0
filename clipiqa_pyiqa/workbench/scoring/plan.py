"""Which images a run scores by which metrics, and how many an earlier run has scored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...text import printable
from ..images.batches import WAIT
from ..images.image import Image
from ..images.stamp import UNKNOWN, Stamp
from ..metrics.kinds import BrokenMetric, ClipMetric
from ..metrics.metric_set import MetricSet
from ..results.earlier import CellPlan, EarlierRow, EarlierRun
from .options import Options
from .scored_image import ImageTask
from .tally import Tally


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
    if not earlier:
        return Plan(_tasks_of_all(images, metrics, options), Tally())
    continuation = _Continuation(metrics, options, earlier)
    return Plan(continuation.tasks(images), continuation.tally)


def _block_size(options: Options) -> int:
    return WAIT * options.most_in_batch


def _tasks_of_all(images: Iterable[Image], metrics: MetricSet, options: Options) -> Iterator[ImageTask]:
    """Yield a task for each image as it comes, since a block of images could take much memory."""
    size = _block_size(options)
    wanted = [True] * len(metrics.of_images)
    for number, image in enumerate(images):
        yield ImageTask(image, number // size, wanted)


@dataclass(frozen=True, slots=True)
class _PlannedImage:
    """An image, and what the run does with its cells.

    Attributes:
        row: What the earlier run left of it; None: nothing.
        stamp: Its stamp now; not asked of a new image, since a store takes long to answer.
        cells: The plans of its cells: by the metric's position, those of the metric's columns.
    """

    image: Image
    row: EarlierRow | None
    stamp: Stamp
    cells: Sequence[Sequence[CellPlan]]


class _Continuation:
    """A run that scores what an earlier run lacks; ``tally`` counts the images whose tasks have been taken."""

    def __init__(self, metrics: MetricSet, options: Options, earlier: EarlierRun) -> None:
        self.tally = Tally()
        self._metrics, self._options, self._earlier = metrics, options, earlier
        # for a broken metric no image is decoded again
        self._is_built = [not isinstance(metric, BrokenMetric) for metric in metrics.of_images]

    def tasks(self, images: Iterable[Image]) -> Iterator[ImageTask]:
        """Plan block after block: count its images, and yield its tasks."""
        for number, images_of_block in enumerate(_blocks(images, _block_size(self._options))):
            block = [self._planned(image) for image in images_of_block]
            for planned in block:
                self.tally.count(planned.row, planned.stamp, self._is_complete(planned))
            yield from self._tasks_of(block, number)

    def _planned(self, image: Image) -> _PlannedImage:
        row = self._earlier.row(printable(image.name))
        stamp = UNKNOWN if row is None else image.stamp()
        cells = iter(self._earlier.plans(row, stamp))
        by_metric = [list(itertools.islice(cells, len(metric.columns))) for metric in self._metrics.of_images]
        return _PlannedImage(image, row, stamp, by_metric)

    def _is_complete(self, planned: _PlannedImage) -> bool:
        """Return whether the image has all the scores that the built metrics give."""
        return all(_are_kept(cells) for cells in itertools.compress(planned.cells, self._is_built))

    def _tasks_of(self, block: Sequence[_PlannedImage], number: int) -> Iterator[ImageTask]:
        """Yield the tasks of a block: its images for which a built metric is wanted."""
        of_whole_block = self._scoring_whole_block(block)
        for planned in block:
            wanted = [
                is_whole_block or not _are_kept(cells)
                for is_whole_block, cells in zip(of_whole_block, planned.cells, strict=True)
            ]
            has_no_metric = not wanted  # all scores are in files
            if has_no_metric or any(itertools.compress(wanted, self._is_built)):
                yield ImageTask(planned.image, number, wanted)

    def _scoring_whole_block(self, block: Sequence[_PlannedImage]) -> list[bool]:
        """Return, by position, which metrics score the whole block, as the earlier run ended in it.

        The images of a batch are scored together, so they must meet the same images again.
        """
        has_batches = self._options.most_in_batch > 1
        return [
            has_batches
            and isinstance(metric, ClipMetric)
            and any(CellPlan.NOT_REACHED in planned.cells[position] for planned in block)
            for position, metric in enumerate(self._metrics.of_images)
        ]


def _are_kept(cells: Sequence[CellPlan]) -> bool:
    return all(cell is CellPlan.KEPT for cell in cells)


def _blocks(images: Iterable[Image], size: int) -> Iterator[list[Image]]:
    """Yield the images in blocks of this size."""
    coming = iter(images)
    while block := list(itertools.islice(coming, size)):
        yield block
