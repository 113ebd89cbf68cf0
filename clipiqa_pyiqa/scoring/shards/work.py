"""How the images of a shard are scored, the same in every engine: read ahead, decoded by threads, cut into blocks.

Images share batches within a block only, and blocks are cut by what is in the shard and nothing else. So whoever scores
a shard, and with whatever before and behind it, the same images are worked on together.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch

from ...errors import ImageError, Kind
from ...images.batches import prefetch
from ...images.reader import ImageRecord, read_image
from ...images.source import ImageSource
from ...prompts.pairs import Columns
from ...sources.ahead import read_ahead
from ...sources.members import ShardError
from ..rows import Row
from ..score import Scorable, rows_of_images
from .jobs import Job

BLOCK_IMAGES = 128
BLOCK_BYTES = 48 << 20  # of decoded pixels, unless a single image has more


@dataclass(frozen=True)
class Reading:
    """How the images of a shard become pixels: all that a process needs which reads and does not score.

    Attributes:
        workers: As for :func:`~clipiqa_pyiqa.score_paths`.
        limits: How files become pixels, as arguments of ``read_image``.
        scoring: Bytes that scoring will take for each pixel.
    """

    workers: int | None
    limits: Mapping[str, Any] = field(default_factory=dict)
    scoring: int = 0

    def blocks(self, items: Iterable[Item]) -> Generator[tuple[Item, ImageRecord | ImageError], None, None]:
        """Items in their order, each with its picture or why there is none, and the number of its block."""
        return _in_blocks(prefetch(self._read, items, self.workers, scoring=self.scoring))

    def _read(self, item: Item) -> ImageRecord:
        return read_image(item.source, **self.limits)


@dataclass(frozen=True)
class Work:
    """What is done with every shard.

    Attributes:
        net: The metric.
        columns: What to ask; None asks the metric's own.
        device: Where to score; None is wherever it runs: CUDA where there is one, else the CPU.
        batch_size: As for :func:`~clipiqa_pyiqa.score_paths`.
        reading: How its images are read.
    """

    net: Scorable
    columns: Columns | None
    device: torch.device
    batch_size: int
    reading: Reading

    def rows(self, images: Generator[tuple[Item, ImageRecord | ImageError], None, None]) -> Iterator[Row]:
        """Rows of images, in their order; batches stay within a block."""
        return rows_of_images(
            self.net, images, lambda item: item.source.name, self.columns, self.device, self.batch_size,
            apart=lambda item: item.block,
        )  # fmt: skip


@dataclass(eq=False)
class Item:
    """An image on its way, its shard's number, and the block that it is in."""

    source: ImageSource
    shard: int = 0
    block: int = -1

    @property
    def kept(self) -> Mapping[str, Any]:
        """What is kept of it beside its scores."""
        return getattr(self.source, "kept", {})


def _in_blocks(
    images: Generator[tuple[Item, ImageRecord | ImageError], None, None],
) -> Generator[tuple[Item, ImageRecord | ImageError], None, None]:
    """The same images, each with the number of its block."""
    block, count, size, shard = 0, 0, 0, None
    with closing(images):
        for item, image in images:
            more = 0 if isinstance(image, ImageError) else math.prod(image.shape)
            if item.shard != shard or count >= BLOCK_IMAGES or (count and size + more > BLOCK_BYTES):
                block, count, size, shard = block + 1, 0, 0, item.shard
            item.block = block
            count, size = count + 1, size + more
            yield item, image


def score_locally(work: Work, jobs: Iterable[Job], report: Callable[[Job, Row | None], object]) -> None:
    """Score shards one after the other, in this process; decoding goes on across their borders.

    Args:
        work: What is done with each.
        jobs: The shards.
        report: Called with each row, and without one when a shard has its result, or has failed.
    """
    passed: deque[Item | Job] = deque()  # images under way, and behind the last of a shard, the shard
    begun: list[Job] = []

    def items() -> Iterator[Item]:
        for number, job in enumerate(jobs):
            if not job.begin():
                report(job, None)
                continue
            begun.append(job)
            try:
                for source in read_ahead(job.shard):
                    item = Item(source, number)
                    passed.append(item)
                    yield item
            except ShardError as error:
                job.problem = str(error)
            passed.append(job)

    def finish() -> None:
        while passed and isinstance(passed[0], Job):
            job = passed.popleft()
            assert isinstance(job, Job)
            begun.remove(job)
            job.finish()
            report(job, None)

    try:
        for row in work.rows(work.reading.blocks(items())):
            finish()
            item = passed.popleft()
            assert isinstance(item, Item)
            begun[0].add(row, item.kept)
            report(begun[0], row)
            finish()
        finish()
    finally:
        for job in begun:
            job.let_go()


def score_features(work: Work, jobs: Iterable[Job], report: Callable[[Job, Row | None], object]) -> None:
    """Score shards of image features, without decoding anything; the arguments are those of :func:`score_locally`."""
    net: Any = work.net
    width = net.encode_prompts("quality").shape[-1]
    for job in jobs:
        if job.begin():
            try:
                for first, features, kept in job.shard.blocks(width, net.clip.weights.backbone):  # type: ignore[attr-defined]
                    units = torch.nn.functional.normalize(torch.from_numpy(features), dim=1).to(work.device)
                    with torch.no_grad():
                        scores = net.score(units) if work.columns is None else net.score(units, work.columns)
                    for number, (values, beside) in enumerate(
                        zip(scores.float().cpu().numpy(), kept, strict=True), first
                    ):
                        job.add(_feature_row(f"{job.shard.name}::{number}", values), beside)
                        report(job, Row(""))
            except ShardError as error:
                job.problem = str(error)
            except BaseException:
                job.let_go()
                raise
            job.finish()
        report(job, None)


def _feature_row(name: str, values: Any) -> Row:
    scores = tuple(float(str(value)) for value in values)
    if not all(map(math.isfinite, scores)):
        failure = ImageError("cannot be scored: its features are zero or not finite", Kind.NOT_FINITE, name)
        return Row(name, kind=failure.kind, error=str(failure))
    return Row(name, scores)
