"""One data set through all metrics: decoded ahead in the background, scored block by block, kept as it comes.

Images are worked on in blocks of ``batch_size``, in the order of the data set, which the processes of a team take in
turn. What shares a pass is decided within a block, so that the numbers do not depend on how many processes there are.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..errors import ImageError
from ..images.prefetch import in_background
from ..scoring.score import BATCH_PIXELS
from .datasets import DataSet
from .distributed import Team
from .score_store import UNREADABLE, Entry, ScoreStore
from .scorers import Group, score_group

log = logging.getLogger("clipiqa_pyiqa")

Progress = Callable[[str, int, int], object]
"""Called with a data set's name, images done and images in all (of this process)."""


@dataclass(frozen=True)
class Options:
    """How to work; see :func:`~clipiqa_pyiqa.comparison.run.compare`."""

    device: torch.device
    batch_size: int
    workers: int
    seed: int
    progress: Progress


def score_data_set(data: DataSet, groups: Sequence[Group], store: ScoreStore, team: Team, options: Options) -> None:
    """Score this process's share of a data set, with whatever metrics lack a score."""
    keys = [metric.key for group in groups for metric in group.metrics]

    def to_do(index: int) -> bool:
        path = data.paths[index]
        unread = store.get(UNREADABLE, path)
        return bool(unread and unread.error) or any(not store.scored(key, path) for key in keys)

    step = options.batch_size
    blocks = [range(start, min(start + step, len(data.paths))) for start in range(0, len(data.paths), step)]
    own = blocks[team.rank :: team.size]
    total, done = sum(map(len, own)), 0
    waited, start = 0.0, time.perf_counter()
    work = [[index for index in block if to_do(index)] for block in own] if keys else []
    done = total - sum(map(len, work))
    options.progress(data.name, done, total)
    try:
        for block, images, waiting in _decoded(data, work, options.workers):
            waited += waiting
            readable = {}
            for index, image in zip(block, images, strict=True):
                if isinstance(image, ImageError):
                    log.warning("%s: left out of all metrics: %s", data.name, image)
                    store.add(UNREADABLE, data.paths[index], Entry(None, math.nan, str(image)))
                    continue
                if store.get(UNREADABLE, data.paths[index]):
                    store.add(UNREADABLE, data.paths[index], Entry(None, math.nan))  # it can be read by now
                readable[index] = image
            for indices in _batches(readable):
                _score_batch(data, indices, [readable[index] for index in indices], groups, store, options)
            done += len(block)
            options.progress(data.name, done, total)
    finally:
        store.flush()
    if waited:
        share = waited / (time.perf_counter() - start)
        log.info("%s: the metrics waited %.1f %% of the time for decoding", data.name, 100 * share)


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
    for group in groups:
        lacking = [
            place
            for place, index in enumerate(indices)
            if any(not store.scored(metric.key, data.paths[index]) for metric in group.metrics)
        ]
        if not lacking:
            continue
        for metric, number, entry in score_group(group, x if len(lacking) == len(x) else x[lacking], options.seed):
            path = data.paths[indices[lacking[number]]]
            if not store.scored(metric.key, path):
                store.add(metric.key, path, entry)


def _decoded(
    data: DataSet, blocks: Sequence[Sequence[int]], workers: int
) -> Iterator[tuple[Sequence[int], list[Tensor | ImageError], float]]:
    """Blocks of decoded images and the seconds spent waiting for them, decoded ahead in the background."""
    ahead = max(2 * workers, *map(len, blocks)) if blocks else 0  # the block after this one, at least
    indices = itertools.chain.from_iterable(blocks)
    with contextlib.closing(in_background(partial(_load, data), indices, workers, ahead)) as images:
        for block in filter(None, blocks):
            start = time.perf_counter()
            decoded = list(itertools.islice(images, len(block)))
            yield block, decoded, time.perf_counter() - start


def _load(data: DataSet, index: int) -> Tensor | ImageError:
    try:
        return data.load(index)
    except ImageError as error:
        return error


def _batches(images: Mapping[int, Tensor]) -> list[list[int]]:
    """Images that share a pass: of one size, and not too many pixels at once."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for index, image in images.items():
        sizes.setdefault(tuple(image.shape), []).append(index)
    steps = {size: max(1, BATCH_PIXELS // math.prod(size[1:])) for size in sizes}
    return [
        indices[start : start + steps[size]]
        for size, indices in sizes.items()
        for start in range(0, len(indices), steps[size])
    ]
