"""The loop that scores images by all metrics of a run; and runs whose results are files of a folder."""

import contextlib
import itertools
import math
import random
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ...checks import MIN_SIDE, FilePath
from ...clip.model import one_thread
from ...errors import CLIPIQAError, ImageError, Kind
from ...logger import log
from ...metric import find_device
from ...text import counted
from ..files.folders import check_folder
from ..images.batches import WAIT, BatchLoop, Limits, Work, stacked
from ..images.flags import flag
from ..images.image import Image
from ..images.memory import keep_memory
from ..images.prefetch import WORKERS
from ..images.reading_errors import is_out_of_memory
from ..images.record import ImageRecord
from ..images.scoring_memory import scoring_bytes
from ..images.threads import images_at_once
from ..metrics.building import build, describe_error
from ..metrics.kinds import Metric, MetricSet
from ..options import BatchOptions, Progress, SharedOptions, check_storage
from ..results.columns import Answer, Known, Row, worst_kind
from ..results.store import Output, Results

Rows = Generator[Row, None, None]


@dataclass(frozen=True)
class Options(SharedOptions):
    """How a run reads and scores.

    Attributes:
        device: The ``torch.device``.
        seed: Number that is set before each metric of pyiqa and each image.
        min_side: Smallest height and width of images.
    """

    device: Any = None
    seed: int = 0
    min_side: int = MIN_SIDE

    @classmethod
    def of(cls, batches: BatchOptions, **more: Any) -> Self:
        """Return the options of a caller, whose device may be a name or missing."""
        given: dict[str, Any] = {**batches, "device": find_device(batches.get("device"))}
        return cls(**given, **more)

    @property
    def most_in_batch(self) -> int:
        """Largest number of images in a batch; 1 on a CPU."""
        return 1 if self.device.type == "cpu" else self.batch_size


@dataclass(slots=True)
class Task:
    """An image to score by the wanted metrics; only images of one block share a batch."""

    image: Image
    block: int
    wanted: Sequence[bool]
    stamp: str = ""
    record: Any = None  # of the image, or the ImageError of reading
    answers: dict[int, Answer] = field(default_factory=dict)  # by the metric's place
    flag: str = ""


def plan(images: Iterable[Image], metrics: MetricSet, options: Options, known: Known | None = None) -> Iterator[Task]:
    """Yield the tasks of a run, in order; images whose scores are all known have none.

    A block that an earlier run left unfinished is scored whole, in the same batches; images that have changed or failed
    are scored alone.
    """
    coming, size = iter(images), WAIT * options.most_in_batch
    if not known:  # a group of images could take much memory
        every = [True] * len(metrics.metrics)
        yield from (Task(image, number // size, every) for number, image in enumerate(coming))
        return
    is_built = [not metric.error for metric in metrics.metrics]  # others do not decode an image again
    able = metrics.by_column(is_built)
    for block, group in enumerate(iter(lambda: list(itertools.islice(coming, size)), [])):
        found = [metrics.by_metric(known.of(each, able)) for each in group]
        is_broken = [
            metric.net is not None and options.most_in_batch > 1 and any(each[place] is None for each in found)
            for place, metric in enumerate(metrics.metrics)
        ]
        for image, each in zip(group, found, strict=True):
            wanted = [again or not is_known for again, is_known in zip(is_broken, each, strict=True)]
            if any(itertools.compress(wanted, is_built)) or not wanted:
                yield Task(image, block, wanted)


def score_items(tasks: Iterable[Task], metrics: MetricSet, options: Options, count: int | None = None) -> Rows:
    """Yield the row of each task, in order; ``count``: images that the run names, None if unknown."""
    if not metrics.metrics:  # the scores are in files, so that no image is read
        yield from (Row(each.image.name, (), stamp=each.image.stamp() or "", kept=each.image.kept) for each in tasks)
        return
    has_groups = bool(metrics.groups)
    here, named = dict(metrics.others), dict[int, Metric]()
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
    pythons, numpys = random.getstate(), np.random.get_state()
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
    scores, failures = list[float | None](), dict[str, list[str]]()
    answers = [task.answers.get(place, Answer()) for place in range(len(metrics.metrics))]
    for metric, answer, is_wanted in zip(metrics.metrics, answers, task.wanted, strict=True):
        scores += answer.values or [None] * len(metric.columns)
        if why := (answer.error or (metric.error if is_wanted else "")).rstrip("."):
            failures.setdefault(why, []).append(metric.label)
    asked, name = metrics.by_column(task.wanted), task.image.name
    seconds = tuple(answer.seconds for answer in answers)
    common: dict[str, Any] = {"stamp": task.stamp, "asked": asked, "seconds": seconds, "kept": task.image.kept}
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


def outputs(
    folder: FilePath | None,
    stored: Sequence[str],
    others: Iterable[str],
    inputs: Iterable[str],
    *,
    resume: bool,
    overwrite: bool,
) -> dict[str, Output]:
    """Return name -> file of scores in a folder of results, which is made; without a folder nothing.

    Args:
        stored: Names of the files of scores.
        others: Names of the other results, which are replaced if the run is continued.
        inputs: Files that are never replaced.
    """
    check_storage(folder, resume, overwrite)
    if folder is None:
        return {}
    place = check_folder(folder, stored, overwrite=True)
    found = {name: Output(place / name, "", resume, overwrite, drop_vanished=True) for name in stored}
    is_continued = resume and any(each.earlier() for each in found.values())
    check_folder(place, [*others, *found], overwrite=overwrite or is_continued, inputs=inputs)
    return found


def score_missing(
    title: str, images: Sequence[Image], metrics: MetricSet, results: Results, options: Options, progress: Progress
) -> dict[str, float]:
    """Score what results lack; return label -> median seconds per image in this run, NaN if nothing was scored."""
    import pandas

    known, count = results.known, len(images)
    tasks = list(plan(images, metrics, options, known))
    seconds, done = list[tuple[float, ...]](), count - len(tasks)
    known.tell(f"{title}: ")
    progress(title, done, count)
    for number, row in enumerate(score_items(tasks, metrics, options, count), done + 1):
        row = results.append(row)
        if row.width is None and row.error:
            log.warning(f"{title}: left out of all metrics: {row.error}")
        seconds.append(row.seconds)
        progress(title, number, count)
    labels = [metric.label for metric in metrics.metrics]
    return pandas.DataFrame(seconds, columns=labels, dtype=float).median().to_dict()
