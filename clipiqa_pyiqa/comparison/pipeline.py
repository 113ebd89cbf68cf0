"""One data set through all metrics: decoded ahead in the background, scored block by block, kept as it comes.

Images are worked on in blocks of ``batch_size``, in the order of the data set, which several processes take in
turn. What shares a pass is decided within a block, so that the numbers do not depend on how many processes there are.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..datasets.data_sets import DataSet
from ..errors import ImageError
from ..images.batches import in_batches, prefetch
from ..metric import scoring_bytes
from .distributed import Processes
from .metrics import BuiltMetric
from .scorers import UNREADABLE, ScoreStore, StoredScore, score_group

log = logging.getLogger("clipiqa_pyiqa")

Progress = Callable[[str, int, int], object]
"""Called with a data set's name, images done and images in all (of this process)."""


@dataclass(frozen=True)
class Options:
    """How to work; see :func:`~clipiqa_pyiqa.comparison.compare.compare`."""

    device: torch.device
    batch_size: int
    workers: int
    seed: int
    progress: Progress
    strict: bool = False


def score_data_set(
    data: DataSet,
    groups: Sequence[Sequence[BuiltMetric]],
    store: ScoreStore,
    processes: Processes,
    options: Options,
) -> None:
    """Score this process's share of a data set, with whatever metrics lack a score."""
    keys = [metric.key for group in groups for metric in group]

    def lacks(path: str) -> bool:
        unread = store.get(UNREADABLE, path)
        return bool(unread and unread.error) or any(not store.is_done(key, path) for key in keys)

    step = options.batch_size
    starts = range(0, len(data.paths), step)[processes.rank :: processes.count]
    own = [index for start in starts for index in range(start, min(start + step, len(data.paths)))]
    work = [index for index in own if lacks(data.paths[index])] if keys else []
    earlier = len(own) - len(work)
    options.progress(data.name, earlier, len(own))
    start, busy = time.perf_counter(), 0.0

    def score(indices: list[int], images: list[Tensor]) -> list[int]:
        nonlocal busy
        begin = time.perf_counter()
        for index in indices:
            if store.get(UNREADABLE, data.paths[index]):
                store.add(UNREADABLE, data.paths[index], StoredScore(None, math.nan))  # it can be read by now
        _score_batch(data, indices, images, groups, store, options)
        busy += time.perf_counter() - begin
        return indices

    def unreadable(index: int, image: Tensor | None, error: ImageError) -> int:
        log.warning("%s: left out of all metrics: %s", data.name, error)
        store.add(UNREADABLE, data.paths[index], StoredScore(None, math.nan, str(error)))
        return index

    ahead = max(2 * options.workers, step)  # the block after this one, at least
    cost = max((scoring_bytes(metric.net, options.device) for group in groups for metric in group), default=0)
    images = prefetch(data.load, iter(work), options.workers, ahead, scoring=cost)
    try:
        results = in_batches(images, score, unreadable, batch_size=step, apart=lambda index: index // step)
        for done, _ in enumerate(results, earlier + 1):
            options.progress(data.name, done, len(own))
    finally:
        store.close()
    waited = 100 * (1 - busy / (time.perf_counter() - start))
    log.debug("%s: the metrics waited %.1f %% of the time for decoding", data.name, waited)


def _score_batch(
    data: DataSet,
    indices: Sequence[int],
    images: Sequence[Tensor],
    groups: Sequence[Sequence[BuiltMetric]],
    store: ScoreStore,
    options: Options,
) -> None:
    """Score images of one size with whatever metrics lack them."""
    x = torch.stack(list(images)).contiguous().to(options.device)
    x = x.float().div_(255) if x.dtype == torch.uint8 else x
    for group in groups:
        lacking = [
            place
            for place, index in enumerate(indices)
            if any(not store.is_done(metric.key, data.paths[index]) for metric in group)
        ]
        if not lacking:
            continue
        theirs = x if len(lacking) == len(x) else x[lacking]
        reference: Tensor | list[str] = [data.no_reference(indices[place]) for place in lacking]
        if x.shape[1] == 6:
            theirs, reference = theirs[:, :3].contiguous(), theirs[:, 3:].contiguous()
        for metric, number, entry in score_group(group, theirs, options.seed, reference):
            path = data.paths[indices[lacking[number]]]
            if not store.is_done(metric.key, path):
                store.add(metric.key, path, entry)
