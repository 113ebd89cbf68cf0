"""The loop that scores images by all metrics of a run."""

import math
import random
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ...checks import MIN_SIDE
from ...clip.model import one_thread
from ...errors import CLIPIQAError, ImageError, Kind
from ...text import counted
from ..images.batches import BatchLoop, BatchWork, Limits, stacked
from ..images.memory import keep_memory
from ..images.prefetch import WORKERS
from ..images.reading_errors import is_out_of_memory
from ..images.record import ImageRecord
from ..images.scoring_memory import PICTURE_BYTES, scoring_bytes
from ..images.threads import images_at_once
from ..images.uniform import flag
from ..metrics.building import describe_error
from ..metrics.description import PyiqaDescription, Takes
from ..metrics.kinds import BrokenMetric, BuiltMetric, ClipMetric, ObjectMetric, PyiqaMetric
from ..metrics.metric_set import MetricSet
from ..results.failures import worst_kind
from ..results.row import Answer, Row
from .options import Options
from .plan import ImageTask

Rows = Generator[Row, None, None]
ScoringMetric = ClipMetric | PyiqaMetric | ObjectMetric | BrokenMetric


def score_items(tasks: Iterable[ImageTask], metrics: MetricSet, options: Options, count: int | None = None) -> Rows:
    """Yield the row of each task, in order; ``count``: images that the run names, None if unknown."""
    if not metrics.metrics:  # the scores are in files, so that no image is read
        for task in tasks:
            image = task.image
            yield Row(image.name, (), stamp=image.stamp() or "", carried=image.carried)
        return
    has_groups = bool(metrics.groups)
    in_processes = _sent_to_processes(metrics) if options.processes else {}
    here = {place: metric for place, metric in metrics.others.items() if place not in in_processes}
    work = ScoringWork(metrics, options, in_processes.keys(), _processes_of(metrics, in_processes, options))
    limits = Limits(
        batch_size=options.most_in_batch if has_groups else 1,
        at_once=images_at_once(options.device, count) if has_groups else 1,
        bytes_per_pixel=_bytes_per_pixel(metrics, options),
        workers=(options.workers or WORKERS) + options.processes,
    )
    with closing(BatchLoop(work, limits).results(tasks)) as scored_tasks:
        for task in scored_tasks:  # in the main thread, where metrics of pyiqa run
            if here and isinstance(task.record, ImageRecord):
                task.answers |= _foreign_answers(here, options, task.record, task.wanted)
            yield _row(task, metrics)


def _sent_to_processes(metrics: MetricSet) -> dict[int, PyiqaDescription]:
    """Return the place and description of each metric of pyiqa that can score in a process of its own."""
    descriptions = dict[int, PyiqaDescription]()
    for place, metric in metrics.others.items():
        if isinstance(metric, PyiqaMetric) and metric.takes is not Takes.FOLDERS:
            descriptions[place] = replace(metric.description, record=metric.columns[0].record)
    return descriptions


_PROCESSES = WeakKeyDictionary[MetricSet, Any]()
"""Processes of metrics, which a later run of the same metrics uses again; they end with the metrics."""


def _processes_of(metrics: MetricSet, descriptions: Mapping[int, PyiqaDescription], options: Options) -> Any:
    """Return the processes that score these metrics; None if there are none."""
    if not descriptions:
        return None
    if metrics not in _PROCESSES:
        from .processes import Processes

        _PROCESSES[metrics] = Processes(options.processes, partial(_in_process, descriptions, options))
    return _PROCESSES[metrics]


def _bytes_per_pixel(metrics: MetricSet, options: Options) -> int:
    """Return the memory that the most demanding metric takes for a pixel."""
    on_clip = [metric for metric in metrics.metrics if isinstance(metric, ClipMetric)]
    return max([PICTURE_BYTES, *(scoring_bytes(metric.net, options.device) for metric in on_clip)])


@dataclass(frozen=True)
class ScoringWork(BatchWork[ImageTask, ImageRecord, ImageTask]):
    """Scores images by the metrics that share an encoding, and by those that processes score.

    Attributes:
        in_processes: Places of the metrics that processes score.
        processes: Takes an image's record and what is wanted, and returns the answers by place.
    """

    metrics: MetricSet
    options: Options
    in_processes: Collection[int]
    processes: Any

    def block_of(self, task: ImageTask) -> int:
        return task.block

    def load(self, task: ImageTask) -> ImageRecord:
        task.stamp = task.image.stamp() or ""
        record = task.image.load(self.options)
        if any(task.wanted[place] for place in self.in_processes):
            answers = self.processes(record, task.wanted)
            if answers is None:
                raise ImageError("killed its process twice, perhaps as memory ran out", name=task.image.name)
            task.answers = answers
        return record

    def run(self, tasks: list[ImageTask], records: list[ImageRecord]) -> list[ImageTask]:
        scored_tasks = []  # copies: tasks outlive the batch and must not keep its pixels
        for task, record in zip(tasks, records, strict=True):
            flag_text = flag(record.pixels) if min(record.size) >= MIN_SIDE else ""
            scored_tasks.append(replace(task, record=record, flag=flag_text, answers=task.answers.copy()))
        groups = [
            places
            for places in self.metrics.groups.values()
            if any(task.wanted[place] for task in tasks for place in places)
        ]
        if groups:
            x = stacked([record.pixels for record in records], self.options.device)
        for places in groups:
            with torch.no_grad():  # not inference_mode: metrics keep text features for a later backward pass
                answers_of_metrics = _answers_of_group(self.metrics.on_clip(places), x)
            for place, answers in zip(places, answers_of_metrics, strict=True):
                for task, answer in zip(scored_tasks, answers, strict=True):
                    task.answers[place] = answer
        return scored_tasks

    def failed(self, task: ImageTask, record: ImageRecord | None, error: ImageError) -> ImageTask:
        failure = Answer(error=error.reason, kind=error.kind)
        answers = dict.fromkeys(range(len(self.metrics.metrics)), failure) | task.answers
        return replace(task, record=error if record is None else record, answers=answers)


def _answers_of_group(group: Sequence[ClipMetric], x: Tensor) -> list[list[Answer]]:
    start = time.perf_counter()
    try:
        features = group[0].net.encode_image(x)
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
    except Exception as error:
        if len(x) == 1:
            return [[_failure(error)] for _ in group]
        if is_out_of_memory(error):
            raise
        raise ImageError(describe_error(error)) from error  # each image of the batch is tried alone
    seconds = (time.perf_counter() - start) / len(x)
    return [_answers(metric, len(x), partial(metric.score_features, features), seconds) for metric in group]


def _in_process(descriptions: Mapping[int, PyiqaDescription], options: Options) -> Callable[..., dict[int, Answer]]:
    """Return the function that scores an image in a process of its own."""
    # M_MMAP_MAX: without this, allocating NIQE's blocks of 100 MB takes twice as long as NIQE itself
    keep_memory((-4, 0))
    torch.set_num_threads(1)
    built = {place: description.build(options.device, options.seed) for place, description in descriptions.items()}
    return partial(_foreign_answers, built, options)


def _foreign_answers(
    metrics: Mapping[int, ScoringMetric], options: Options, record: ImageRecord, wanted: Sequence[bool]
) -> dict[int, Answer]:
    pythons = random.getstate()
    numpys = np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            chosen = {place: metric for place, metric in metrics.items() if wanted[place]}
            return {place: _foreign_answer(metric, record, options) for place, metric in chosen.items()}
    finally:  # what the caller draws does not depend on scoring
        random.setstate(pythons)
        np.random.set_state(numpys)


def _foreign_answer(metric: ScoringMetric, record: ImageRecord, options: Options) -> Answer:
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    if isinstance(metric, BrokenMetric):  # in a process of its own
        return Answer(error=metric.reason, kind=Kind.OTHER)
    if not isinstance(metric, ClipMetric) and metric.takes is Takes.FOLDERS:
        return _answers(metric, 1, partial(metric.score_folders, record.reference))[0]
    images = [record.pixels]
    if metric.takes is Takes.PAIR:
        if isinstance(record.reference, str):
            return Answer(error=record.reference, kind=Kind.OTHER)
        images.append(record.reference)
    # a fresh copy each, since an object may change its input
    batches = [stacked([pixels], options.device).contiguous() for pixels in images]
    # BRISQUE depends on the order of its sums
    is_sensitive = isinstance(metric, PyiqaMetric) and metric.takes is Takes.IMAGE and not metric.has_parameters
    with one_thread(is_sensitive):
        return _answers(metric, 1, partial(metric.score, *batches))[0]


def _answers(metric: BuiltMetric, count: int, score: Callable[[], Any], seconds: float = 0.0) -> list[Answer]:
    start = time.perf_counter()
    try:
        output = score()
        output = output[0] if isinstance(output, tuple | list) else output
        rows = rounded(torch.as_tensor(output))  # waits for the device
        if (got := sum(map(len, rows))) != count * len(metric.columns):
            raise CLIPIQAError(
                f"{counted(got, 'score')} came for {counted(count, 'image')}, but each image needs "
                f"{counted(len(metric.columns), 'score')} (with several prompt pairs, set aggregate=mean)"
            )
    except Exception as error:
        return [_failure(error)] * count
    seconds += (time.perf_counter() - start) / count
    hint = "; try precision fp32" if isinstance(metric, ClipMetric) else ""
    return [
        Answer(values, seconds)
        if all(map(math.isfinite, values))
        else Answer(None, seconds, f"its score is not finite ({', '.join(map(str, values))}){hint}", Kind.NOT_FINITE)
        for values in rows
    ]


def _failure(error: Exception) -> Answer:
    if is_out_of_memory(error):
        torch.cuda.empty_cache()
        why = "it does not fit in memory: have large images shrunk, or use another device"
        return Answer(error=why, kind=Kind.OUT_OF_MEMORY)
    return Answer(error=describe_error(error), kind=error.kind if isinstance(error, CLIPIQAError) else Kind.OTHER)


def _row(task: ImageTask, metrics: MetricSet) -> Row:
    record: ImageRecord | ImageError = task.record
    scores = list[float | None]()
    failures = dict[str, list[str]]()
    answers = [task.answers.get(place, Answer()) for place in range(len(metrics.metrics))]
    for metric, answer, is_wanted in zip(metrics.metrics, answers, task.wanted, strict=True):
        scores.extend(answer.values or [None] * len(metric.columns))
        why = answer.error
        if not why and is_wanted and isinstance(metric, BrokenMetric):
            why = metric.reason
        if why:
            failures.setdefault(why.rstrip("."), []).append(metric.label)
    asked = metrics.by_column(task.wanted)
    name = task.image.name
    seconds = tuple(answer.seconds for answer in answers)
    common: dict[str, Any] = {"stamp": task.stamp, "asked": asked, "seconds": seconds, "carried": task.image.carried}
    if isinstance(record, ImageError):
        return Row(name, kind=record.kind, error=str(record), **common)
    kind = worst_kind([answer.kind for answer in answers]) or (Kind.NOT_ASKED if failures else None)
    has_scores = any(score is not None for score in scores)
    error = ""
    if failures:
        reasons = [f"{', '.join(labels)}: {why}".removeprefix(": ") for why, labels in failures.items()]
        extent = " by every metric" if has_scores else ""
        error = f"{name!r} cannot be scored{extent}: {'; '.join(reasons)}."
    return Row(
        name,
        scores=tuple(scores) if has_scores or not kind else None,
        width=record.width,
        height=record.height,
        scored_width=record.size[0],
        scored_height=record.size[1],
        exif_orientation=record.orientation,
        converted=record.converted,
        flag=task.flag,
        kind=kind,
        error=error,
        **common,
    )


def rounded(scores: Tensor) -> list[tuple[float, ...]]:
    """Return scores ``(N, P)``, ``(N,)`` or a single one, each the shortest decimal of its fp32 number."""
    rows = scores.reshape(len(scores), -1).tolist() if scores.ndim else [[scores.item()]]
    if scores.dtype == torch.float64 or not scores.is_floating_point():
        return [tuple(map(float, row)) for row in rows]
    return [tuple(float(str(np.float32(value))) for value in row) for row in rows]
