"""One data set through all metrics: decoded ahead in the background, scored block by block, kept as it comes.

Images are worked on in blocks of ``batch_size``, in the order of the data set, which several processes take in
turn. What shares a pass is decided within a block, so that the numbers do not depend on how many processes there are.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..clip.device import scoring_bytes
from ..datasets.data_sets import DataSet
from ..errors import ImageError
from ..images.batches import in_batches, prefetch
from .distributed import Processes
from .scorers import UNREADABLE, Group, ScoreStore, StoredScore, score_group

log = logging.getLogger("clipiqa_pyiqa")
_WORTH_SAYING = 30.0  # seconds, from which it matters that metrics waited for images

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


def score_data_set(
    data: DataSet, groups: Sequence[Group], store: ScoreStore, processes: Processes, options: Options
) -> None:
    """Score this process's share of a data set, with whatever metrics lack a score."""
    keys = [metric.key for group in groups for metric in group.metrics]

    def to_do(index: int) -> bool:
        path = data.paths[index]
        unread = store.get(UNREADABLE, path)
        return bool(unread and unread.error) or any(not store.is_done(key, path) for key in keys)

    step = options.batch_size
    blocks = [range(start, min(start + step, len(data.paths))) for start in range(0, len(data.paths), step)]
    own = blocks[processes.rank :: processes.count]
    work = [[index for index in block if to_do(index)] for block in own] if keys else []
    total = sum(map(len, own))
    earlier = total - sum(map(len, work))
    options.progress(data.name, earlier, total)

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
    cost = max((scoring_bytes(metric.net, options.device) for group in groups for metric in group.metrics), default=0)
    images = prefetch(data.load, itertools.chain.from_iterable(work), options.workers, ahead, scoring=cost)
    try:
        results = in_batches(images, score, unreadable, batch_size=step, apart=lambda index: index // step)
        for done, _ in enumerate(results, earlier + 1):
            options.progress(data.name, done, total)
    finally:
        store.close()
    seconds = time.perf_counter() - start
    share = 1 - busy / seconds
    if busy:
        level = logging.INFO if seconds > _WORTH_SAYING and share > 0.2 else logging.DEBUG
        log.log(level, "%s: the metrics waited %.1f %% of the time for decoding", data.name, 100 * share)


def _score_batch(
    data: DataSet,
    indices: Sequence[int],
    images: Sequence[Tensor],
    groups: Sequence[Group],
    store: ScoreStore,
    options: Options,
) -> None:
    """Score images of one size with whatever metrics lack them."""
    x = torch.stack(list(images)).contiguous().to(options.device)
    x = x.float().div_(255) if x.dtype == torch.uint8 else x
    reference = x[:, 3:].contiguous() if x.shape[1] == 6 else None
    x = x if reference is None else x[:, :3].contiguous()
    for group in groups:
        lacking = [
            place
            for place, index in enumerate(indices)
            if any(not store.is_done(metric.key, data.paths[index]) for metric in group.metrics)
        ]
        if not lacking:
            continue
        whole = len(lacking) == len(x)
        theirs: Tensor | list[str] = [data.no_reference(indices[place]) for place in lacking]
        if reference is not None:
            theirs = reference if whole else reference[lacking]
        for metric, number, entry in score_group(group, x if whole else x[lacking], options.seed, theirs):
            path = data.paths[indices[lacking[number]]]
            if not store.is_done(metric.key, path):
                store.add(metric.key, path, entry)
