"""Scores of a data set's images; metrics may share one encoding."""

from __future__ import annotations

import contextlib
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..datasets.data_sets import DataSet
from ..datasets.specification import CompareError
from ..errors import ImageError, counted
from ..files.journal import JournalFolder
from ..images.batches import in_batches, prefetch
from ..metric import scoring_bytes
from .metrics import BuiltMetric, describe_error

UNREADABLE = ""  # key of images that cannot be read; other entries have a metric's key
Progress = Callable[[str, int, int], object]
"""Function of a data set's name, the number of finished images, and the number of all images."""
log = logging.getLogger("clipiqa_pyiqa")


@dataclass(frozen=True)
class StoredScore:
    """One score, or None with an error."""

    score: float | None
    seconds: float
    error: str = ""


ScoreStore: TypeAlias = JournalFolder[StoredScore]
"""The scores of one data set, found by the metric's key and the image's path."""


@dataclass(frozen=True)
class Options:
    device: torch.device
    batch_size: int
    workers: int
    seed: int
    progress: Progress


def score_data_set(data: DataSet, metrics: Sequence[BuiltMetric], store: ScoreStore, options: Options) -> None:
    """Write the scores that are missing in the store."""
    groups, step, count = group_metrics(metrics), options.batch_size, len(data.paths)

    def is_done(path: str) -> bool:
        unread = store.get(UNREADABLE, path)
        return not (unread and unread.error) and all(store.is_done(metric.key, path) for metric in metrics)

    work = [index for index, path in enumerate(data.paths) if metrics and not is_done(path)]
    options.progress(data.name, count - len(work), count)

    def score(indices: list[int], images: list[Tensor]) -> list[int]:
        for path in (data.paths[index] for index in indices):
            if store.get(UNREADABLE, path):
                store.add(UNREADABLE, path, StoredScore(None, math.nan))
        _score_batch(data, indices, torch.stack(images), groups, store, options)
        return indices

    def skip(index: int, image: Tensor | None, error: ImageError) -> int:
        log.warning("%s: left out of all metrics: %s", data.name, error)
        store.add(UNREADABLE, data.paths[index], StoredScore(None, math.nan, str(error)))
        return index

    cost = max((scoring_bytes(metric.net, options.device) for metric in metrics), default=0)
    images = prefetch(data.load, iter(work), options.workers, max(2 * options.workers, step), scoring=cost)
    try:
        # images of different blocks of the data set never share a batch, so a resumed run has the same batches
        results = in_batches(images, score, skip, batch_size=step, apart=lambda index: index // step)
        for done, _ in enumerate(results, count - len(work) + 1):
            options.progress(data.name, done, count)
    finally:
        store.close()


def score_group(
    group: Sequence[BuiltMetric], x: Tensor, seed: int = 0, reference: Tensor | Sequence[str] = ()
) -> Iterator[tuple[BuiltMetric, int, StoredScore]]:
    """Yield each metric, the image's number in the batch, and the score or error.

    Args:
        group: Metrics with the same encoding, or a single metric.
        x: Images ``(N, 3, H, W)`` in [0, 1].
        reference: References of the same shape as ``x``, or a reason for each missing reference.
    """
    net = group[0].net
    if net is None:
        for number in range(len(x)):
            yield group[0], number, _score_alone(group[0], x, number, seed, reference)
        return
    error_text = ""
    try:
        start = time.perf_counter()
        with torch.no_grad():
            features = net.encode_image(x)
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        encoding = (time.perf_counter() - start) / len(x)
    except Exception as error:  # keep only its text: the error refers to the tensors of the failed pass
        error_text = describe_error(error)
    if error_text and len(x) > 1:  # one bad image may fail the batch, or the batch may be too large
        for number in range(len(x)):
            for metric, _, entry in score_group(group, x[number : number + 1], seed):
                yield metric, number, entry
        return
    for metric in group:
        entries = [StoredScore(None, math.nan, error_text)]
        if not error_text and metric.net is not None:
            entries = _entries(len(x), partial(metric.net.score, features), encoding)
        for number, entry in enumerate(entries):
            yield metric, number, entry


@contextlib.contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the state of the random generators afterwards."""
    pythons, numpys = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)


def set_seeds(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def group_metrics(metrics: Sequence[BuiltMetric]) -> list[list[BuiltMetric]]:
    """Return groups of metrics with the same encoding."""
    groups: dict[Any, list[BuiltMetric]] = {}
    for metric in metrics:
        groups.setdefault(id(metric) if metric.net is None else metric.net.encoding, []).append(metric)
    return list(groups.values())


def _score_batch(
    data: DataSet,
    indices: Sequence[int],
    x: Tensor,
    groups: Sequence[Sequence[BuiltMetric]],
    store: ScoreStore,
    options: Options,
) -> None:
    # x: images (N, 3 or 6, H, W); channels 4 to 6 are the reference
    x = x.to(options.device)
    x = x.float().div_(255) if x.dtype == torch.uint8 else x
    reference: Tensor | list[str] = [data.no_reference(index) for index in indices]
    if x.shape[1] == 6:
        x, reference = x[:, :3].contiguous(), x[:, 3:].contiguous()
    paths = [data.paths[index] for index in indices]
    for group in groups:
        if all(store.is_done(metric.key, path) for metric in group for path in paths):
            continue
        for metric, number, entry in score_group(group, x, options.seed, reference):
            if not store.is_done(metric.key, paths[number]):
                store.add(metric.key, paths[number], entry)


def _score_alone(
    metric: BuiltMetric, x: Tensor, number: int, seed: int, reference: Tensor | Sequence[str]
) -> StoredScore:
    images = [x[number : number + 1]]
    if metric.spec.mode == "FR":
        if not isinstance(reference, Tensor):
            return StoredScore(None, math.nan, reference[number])
        images.append(reference[number : number + 1])
    if metric.spec.made is not None:  # the object may change its input, which the next metrics need
        images = [each.clone() for each in images]
    set_seeds(seed)
    return _entries(1, partial(metric.score, *images))[0]


def _entries(count: int, score: Callable[[], Any], seconds_before: float = 0.0) -> list[StoredScore]:
    start = time.perf_counter()
    try:
        with torch.no_grad():
            output = score()
            output = output[0] if isinstance(output, tuple | list) else output
            values = torch.as_tensor(output).detach().double().flatten().tolist()  # waits for the device
        if len(values) != count:
            raise CompareError(
                f"{counted(len(values), 'score')} came for {counted(count, 'image')}, but a comparison needs one score "
                "per image (with several prompt pairs, set aggregate=mean)"
            )
    except Exception as error:
        return [StoredScore(None, math.nan, describe_error(error))] * count
    seconds = seconds_before + (time.perf_counter() - start) / count
    return [
        StoredScore(value, seconds) if math.isfinite(value) else StoredScore(None, seconds, f"its score is {value}")
        for value in values
    ]
