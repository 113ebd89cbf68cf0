"""The loop that scores images by all metrics of a run."""

import contextlib
import math
import random
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...checks import MIN_SIDE
from ...clip.model import one_thread
from ...errors import CLIPIQAError, ImageError, Kind
from ...text import counted
from ..images.batches import BatchLoop, Limits, Work, stacked
from ..images.memory import keep_memory
from ..images.prefetch import WORKERS
from ..images.reading_errors import is_out_of_memory
from ..images.record import ImageRecord
from ..images.scoring_memory import scoring_bytes
from ..images.threads import images_at_once
from ..images.uniform import flag
from ..metrics.building import build, describe_error
from ..metrics.kinds import Metric, MetricSet
from ..results.row import Answer, Row, worst_kind
from .options import Options
from .plan import Task

Rows = Generator[Row, None, None]


def score_items(tasks: Iterable[Task], metrics: MetricSet, options: Options, count: int | None = None) -> Rows:
    """Yield the row of each task, in order; ``count``: images that the run names, None if unknown."""
    if not metrics.metrics:  # the scores are in files, so that no image is read
        for task in tasks:
            image = task.image
            yield Row(image.name, (), stamp=image.stamp() or "", carried=image.carried)
        return
    has_groups = bool(metrics.groups)
    here = dict(metrics.others)
    named = dict[int, Metric]()
    if options.processes:
        from .processes import Processes

        for place, metric in metrics.others.items():
            if metric.instance is metric.net is None and metric.mode != "set":
                named[place] = replace(here.pop(place), score=None)
        metrics.processes = metrics.processes or Processes(options.processes, partial(_in_process, named, options))
    limits = Limits(
        batch_size=options.most_in_batch if has_groups else 1,
        at_once=images_at_once(options.device, count) if has_groups else 1,
        bytes_per_pixel=max((scoring_bytes(metric.net, options.device) for metric in metrics.metrics), default=0),
        workers=(options.workers or WORKERS) + options.processes,
    )
    loop = BatchLoop(ScoringWork(metrics, options, named.keys()), limits)
    with contextlib.ExitStack() as ends:
        for task in ends.enter_context(closing(loop.results(tasks))):  # in the main thread, where metrics of pyiqa run
            if here and isinstance(task.record, ImageRecord):
                task.answers |= _foreign_answers(here, options, task.record, task.wanted)
            yield _row(task, metrics)


@dataclass(frozen=True)
class ScoringWork(Work[Task, ImageRecord, Task]):
    """Scores images by the metrics that share an encoding, and by those that processes score.

    Attributes:
        in_processes: Places of the metrics that processes score.
    """

    metrics: MetricSet
    options: Options
    in_processes: Collection[int]

    def block_of(self, task: Task) -> int:
        return task.block

    def load(self, task: Task) -> ImageRecord:
        task.stamp = task.image.stamp() or ""
        record = task.image.load(self.options)
        if any(task.wanted[place] for place in self.in_processes):
            answers = self.metrics.processes(record, task.wanted)
            if answers is None:
                raise ImageError("killed its process twice, perhaps as memory ran out", name=task.image.name)
            task.answers = answers
        return record

    def run(self, tasks: list[Task], records: list[ImageRecord]) -> list[Task]:
        scored_tasks = []  # copies, as the run may hold its tasks, but not all pixels
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
                answers_of_metrics = _answers_of_group([self.metrics.metrics[place] for place in places], x)
            for place, answers in zip(places, answers_of_metrics, strict=True):
                for task, answer in zip(scored_tasks, answers, strict=True):
                    task.answers[place] = answer
        return scored_tasks

    def failed(self, task: Task, record: ImageRecord | None, error: ImageError) -> Task:
        failure = Answer(error=error.reason, kind=error.kind)
        answers = dict.fromkeys(range(len(self.metrics.metrics)), failure) | task.answers
        return replace(task, record=error if record is None else record, answers=answers)


def _answers_of_group(group: Sequence[Metric], x: Tensor) -> list[list[Answer]]:
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


def _in_process(metrics: Mapping[int, Metric], options: Options) -> Callable[..., dict[int, Answer]]:
    keep_memory((-4, 0))  # M_MMAP_MAX: NIQE takes and frees blocks of 100 MB, which twice its time would go into
    torch.set_num_threads(1)
    built = {place: build(metric, options.device) for place, metric in metrics.items()}
    return partial(_foreign_answers, built, options)


def _foreign_answers(
    metrics: Mapping[int, Metric], options: Options, record: ImageRecord, wanted: Sequence[bool]
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


def _foreign_answer(metric: Metric, record: ImageRecord, options: Options) -> Answer:
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    if metric.mode == "set":
        return _answers(metric, 1, lambda: metric.score(*record.reference))[0]  # its folders
    images = [record.pixels]
    if metric.mode == "FR":
        if isinstance(record.reference, str):
            return Answer(error=record.reference, kind=Kind.OTHER)
        images.append(record.reference)
    # a fresh copy each, since an object may change its input
    batches = [stacked([pixels], options.device).contiguous() for pixels in images]
    network = getattr(metric.score, "net", metric.score)
    is_pyiqas = metric.instance is metric.net is None and metric.mode == "NR"
    # BRISQUE depends on the order of its sums
    with one_thread(is_pyiqas and not [*getattr(network, "parameters", list)()]):
        return _answers(metric, 1, lambda: metric.score_pixels(*batches))[0]


def _answers(metric: Metric, count: int, score: Callable[[], Any], seconds: float = 0.0) -> list[Answer]:
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
    hint = "" if metric.net is None else "; try precision fp32"
    return [
        Answer(values, seconds)
        if all(map(math.isfinite, values))
        else Answer(None, seconds, f"its score is not finite ({', '.join(map(str, values))}){hint}", Kind.NOT_FINITE)
        for values in rows
    ]


def _failure(error: Exception) -> Answer:
    if is_out_of_memory(error):
        torch.cuda.empty_cache()
        why = "it does not fit in memory: set max_side or max_pixels, or use another device"
        return Answer(error=why, kind=Kind.OUT_OF_MEMORY)
    return Answer(error=describe_error(error), kind=error.kind if isinstance(error, CLIPIQAError) else Kind.OTHER)


def _row(task: Task, metrics: MetricSet) -> Row:
    record: ImageRecord | ImageError = task.record
    scores = list[float | None]()
    failures = dict[str, list[str]]()
    answers = [task.answers.get(place, Answer()) for place in range(len(metrics.metrics))]
    for metric, answer, is_wanted in zip(metrics.metrics, answers, task.wanted, strict=True):
        scores += answer.values or [None] * len(metric.columns)
        if why := (answer.error or (metric.error if is_wanted else "")).rstrip("."):
            failures.setdefault(why, []).append(metric.label)
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
        tuple(scores) if has_scores or not kind else None,
        *(record.width, record.height, *record.size, record.orientation),
        record.converted,
        task.flag,
        kind,
        error,
        **common,
    )


def rounded(scores: Tensor) -> list[tuple[float, ...]]:
    """Return scores ``(N, P)``, ``(N,)`` or a single one, each the shortest decimal of its fp32 number."""
    rows = scores.reshape(len(scores), -1).tolist() if scores.ndim else [[scores.item()]]
    if scores.dtype == torch.float64 or not scores.is_floating_point():
        return [tuple(map(float, row)) for row in rows]
    return [tuple(float(str(np.float32(value))) for value in row) for row in rows]
