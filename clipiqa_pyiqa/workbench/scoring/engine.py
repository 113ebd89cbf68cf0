"""The loop that scores images by all metrics of a run."""

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from ...checks import MIN_SIDE
from ...errors import ImageError
from ..images.batches import BatchLoop, BatchWork, Limits
from ..images.prefetch import WORKERS
from ..images.record import ImageRecord
from ..images.scoring_memory import PICTURE_BYTES, scoring_bytes
from ..images.stacking import stacked
from ..images.stamp import UNKNOWN
from ..images.threads import images_at_once
from ..images.uniform import flag
from ..metrics.kinds import ClipMetric
from ..metrics.metric_set import MetricSet
from ..results.row import Row
from .answers import Answer, answers_of_group, answers_one_by_one
from .metric_processes import metrics_for_processes, processes_of
from .options import Options
from .scored_image import ImageTask, LoadedImage, LoadingError, ScoredImage

Rows = Generator[Row, None, None]


def scored_rows(tasks: Iterable[ImageTask], metrics: MetricSet, options: Options, count: int | None = None) -> Rows:
    """Yield the row of each task, in order; ``count``: images that the run names, None if unknown."""
    if not metrics.of_images:  # the scores are in files, so that no image is read
        for task in tasks:
            image = task.image
            yield Row(image.name, (), stamp=image.stamp(), carried=image.carried)
        return
    in_processes = metrics_for_processes(metrics) if options.processes else {}
    in_main_thread = {
        position: metric for position, metric in metrics.one_by_one.items() if position not in in_processes
    }
    work = ScoringWork(metrics, options, in_processes.keys(), processes_of(metrics, in_processes, options))
    with closing(BatchLoop(work, _limits(metrics, options, count)).results(tasks)) as scored_images:
        for scored in scored_images:
            if in_main_thread and isinstance(scored.record, ImageRecord):
                scored.answers.update(answers_one_by_one(in_main_thread, options, scored.record, scored.task.wanted))
            yield scored.row(metrics)


def _limits(metrics: MetricSet, options: Options, count: int | None) -> Limits:
    """Return how much is done at once; only metrics that share an encoding score batches, or on several threads."""
    has_groups = bool(metrics.groups)
    return Limits(
        batch_size=options.most_in_batch if has_groups else 1,
        at_once=images_at_once(options.device, count) if has_groups else 1,
        bytes_per_pixel=_bytes_per_pixel(metrics, options),
        workers=(options.workers or WORKERS) + options.processes,
    )


def _bytes_per_pixel(metrics: MetricSet, options: Options) -> int:
    """Return the memory that the most demanding metric takes for a pixel."""
    on_clip = [metric for metric in metrics.of_images if isinstance(metric, ClipMetric)]
    return max([PICTURE_BYTES, *(scoring_bytes(metric.net, options.device) for metric in on_clip)])


def _is_any_wanted(positions: Iterable[int], tasks: Sequence[ImageTask]) -> bool:
    return any(task.wanted[position] for position in positions for task in tasks)


def _flag_of(record: ImageRecord) -> str:
    return flag(record.pixels) if min(record.size) >= MIN_SIDE else ""


@dataclass(frozen=True)
class ScoringWork(BatchWork[ImageTask, LoadedImage, ScoredImage]):
    """Scores images by the metrics that share an encoding, and by those that processes score.

    Attributes:
        in_processes: Positions of the metrics that processes score.
        processes: Takes an image's record and what is wanted, and returns the answers by position.
    """

    metrics: MetricSet
    options: Options
    in_processes: Collection[int]
    processes: Any

    def block_of(self, task: ImageTask) -> int:
        return task.block

    def load(self, task: ImageTask) -> LoadedImage:
        stamp = task.image.stamp()
        try:
            record = task.image.load(self.options)
            answers = self._answers_of_processes(task, record)
        except ImageError as error:
            raise LoadingError(error, stamp) from error
        finally:
            task.image.release()  # a task outlives its batch, and must not keep the bytes of its file
        return LoadedImage(stamp, record, answers)

    def _answers_of_processes(self, task: ImageTask, record: ImageRecord) -> dict[int, Answer]:
        """Return the answers of metrics that processes score, by position."""
        if not _is_any_wanted(self.in_processes, [task]):
            return {}
        answers: dict[int, Answer] | None = self.processes(record, task.wanted)
        if answers is None:
            raise ImageError("killed its process twice, perhaps as memory ran out", name=task.image.name)
        return answers

    def run(self, tasks: list[ImageTask], images: list[LoadedImage]) -> list[ScoredImage]:
        answers_by_position = self._answers_of_groups(tasks, images)
        scored_images = list[ScoredImage]()
        for number, (task, image) in enumerate(zip(tasks, images, strict=True)):
            answers = dict(image.answers)
            for position, answers_of_metric in answers_by_position.items():
                answers[position] = answers_of_metric[number]
            scored_images.append(ScoredImage(task, image.stamp, image.record, answers, _flag_of(image.record)))
        return scored_images

    def _answers_of_groups(self, tasks: Sequence[ImageTask], images: Sequence[LoadedImage]) -> dict[int, list[Answer]]:
        """Return position -> an answer for each image, of the metrics on CLIP that are wanted of any."""
        groups = [positions for positions in self.metrics.groups.values() if _is_any_wanted(positions, tasks)]
        if not groups:
            return {}
        x = stacked([image.record.pixels for image in images], self.options.device)
        answers = dict[int, list[Answer]]()
        for positions in groups:
            with torch.no_grad():  # not inference_mode: metrics keep text features for a later backward pass
                answers_of_metrics = answers_of_group(self.metrics.on_clip(positions), x)
            answers |= zip(positions, answers_of_metrics, strict=True)
        return answers

    def failed(self, task: ImageTask, image: LoadedImage | None, error: ImageError) -> ScoredImage:
        failure = Answer(error=error.reason, kind=error.kind)
        answers = dict.fromkeys(range(len(self.metrics.of_images)), failure)
        if image is None:
            stamp = error.stamp if isinstance(error, LoadingError) else UNKNOWN
            return ScoredImage(task, stamp, error, answers)
        return ScoredImage(task, image.stamp, image.record, answers | dict(image.answers))
