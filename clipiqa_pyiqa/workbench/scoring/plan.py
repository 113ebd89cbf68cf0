"""Which images a run scores by which metrics, and how many an earlier run has scored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...files.printable import printable
from ..images.batches import WAIT
from ..images.image import Image
from ..images.stamp import UNKNOWN
from ..metrics.kinds import BrokenMetric, ClipMetric
from ..metrics.metric_set import MetricSet
from ..results.earlier import CellPlan, EarlierRun
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
    tally = Tally()
    if earlier:
        return Plan(_tasks_left(images, metrics, options, earlier, tally), tally)
    return Plan(_tasks_of_all(images, metrics, options), tally)


def _block_size(options: Options) -> int:
    return WAIT * options.most_in_batch


def _tasks_of_all(images: Iterable[Image], metrics: MetricSet, options: Options) -> Iterator[ImageTask]:
    """Yield a task for each image as it comes, since a group of images could take much memory."""
    size = _block_size(options)
    wanted = [True] * len(metrics.of_images)
    for number, image in enumerate(images):
        yield ImageTask(image, number // size, wanted)


def _tasks_left(
    images: Iterable[Image], metrics: MetricSet, options: Options, earlier: EarlierRun, tally: Tally
) -> Iterator[ImageTask]:
    """Yield tasks for what an earlier run lacks, and count the images."""
    # for a broken metric no image is decoded again
    is_built = [not isinstance(metric, BrokenMetric) for metric in metrics.of_images]
    can_score = metrics.by_column(is_built)
    for block, group in enumerate(_groups(images, _block_size(options))):
        plans_of_group = []
        for image in group:
            row = earlier.row(printable(image.name))
            stamp = UNKNOWN if row is None else image.stamp()  # not of a new image: a store takes long to answer
            plans = earlier.plans(row, stamp)
            is_complete = all(plan is CellPlan.KEPT for plan in itertools.compress(plans, can_score))
            tally.count(row, stamp, is_complete)
            plans_of_group.append(_by_metric(plans, metrics))
        is_broken_off = _broken_off(plans_of_group, metrics, options)
        for image, plans_of_metrics in zip(group, plans_of_group, strict=True):
            wanted = [
                is_whole_block or any(plan is not CellPlan.KEPT for plan in plans)
                for is_whole_block, plans in zip(is_broken_off, plans_of_metrics, strict=True)
            ]
            has_no_metric = not wanted  # all scores are in files
            if has_no_metric or any(itertools.compress(wanted, is_built)):
                yield ImageTask(image, block, wanted)


def _groups(images: Iterable[Image], size: int) -> Iterator[list[Image]]:
    """Yield the images in groups of this size."""
    coming = iter(images)
    while group := list(itertools.islice(coming, size)):
        yield group


def _broken_off(
    plans_of_group: Sequence[Sequence[Sequence[CellPlan]]], metrics: MetricSet, options: Options
) -> list[bool]:
    """Return by which metrics a block is scored whole, since an earlier run, whose images shared batches, ended in it.

    Args:
        plans_of_group: For each image of the block, the plans of each metric's columns.
    """
    has_batches = options.most_in_batch > 1
    return [
        has_batches
        and isinstance(metric, ClipMetric)
        and any(CellPlan.NOT_REACHED in plans[position] for plans in plans_of_group)
        for position, metric in enumerate(metrics.of_images)
    ]


def _by_metric(plans: Sequence[CellPlan], metrics: MetricSet) -> list[list[CellPlan]]:
    """Return the plans of each metric's columns."""
    coming = iter(plans)
    return [list(itertools.islice(coming, len(metric.columns))) for metric in metrics.of_images]
