"""How a shard is scored, the same in every engine: read ahead, decoded by threads, in batches of its own images."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import ImageError, Kind
from ...images.batches import prefetch
from ...images.reader import read_image
from ...images.source import ImageSource
from ...metric import scoring_bytes
from ...prompts.pairs import Columns
from ...sources.ahead import read_ahead
from ...sources.embeddings import EmbeddingsShard
from ...sources.members import Shard, ShardError
from ..rows import Row
from ..score import Scorable, rows_of_images
from .files import ShardRows
from .jobs import Job

Rows = Iterator[tuple[Row, Mapping[str, Any]]]


@dataclass(frozen=True)
class Work:
    """What is done with every shard.

    Attributes:
        net: The metric.
        questions: What to ask; None asks the metric's own.
        device: Where to score.
        batch_size, workers: As for :func:`~clipiqa_pyiqa.score_paths`.
        limits: How files become pixels, as arguments of ``read_image``.
    """

    net: Scorable
    questions: Columns | None
    device: torch.device
    batch_size: int
    workers: int | None
    limits: Mapping[str, Any]

    @property
    def columns(self) -> Sequence[str]:
        """Names of the scores."""
        return self.net.columns if self.questions is None else tuple(self.questions)

    def rows(self, sources: Iterable[ImageSource]) -> Rows:
        """Yield the row of each image, in order, with what is kept of it."""
        passed: deque[ImageSource] = deque()

        def noted() -> Iterator[ImageSource]:
            for source in sources:
                passed.append(source)
                yield source

        cost = scoring_bytes(self.net, self.device)
        images = prefetch(lambda source: read_image(source, **self.limits), noted(), self.workers, scoring=cost)
        scored = rows_of_images(
            self.net, images, lambda source: source.name, self.questions, self.device, self.batch_size
        )
        for row in scored:
            yield row, getattr(passed.popleft(), "kept", {})

    def feature_rows(self, shard: EmbeddingsShard) -> Rows:
        """Likewise of a shard of image features; nothing is decoded."""
        net: Any = self.net
        asked = () if self.questions is None else (self.questions,)
        for first, features, kept in shard.blocks(net.clip.width, net.clip.weights.backbone):
            units = torch.nn.functional.normalize(torch.from_numpy(features), dim=1).to(self.device)
            with torch.no_grad():
                scores = net.score(units, *asked).float().cpu().numpy()
            for number, (values, beside) in enumerate(zip(scores, kept, strict=True), first):
                yield _feature_row(f"{shard.name}::{number}", values), beside

    def score(self, shard: Shard, told: Callable[[float], object] = lambda fraction: None) -> ShardRows:
        """Return the rows of a shard.

        Args:
            shard: The shard.
            told: Called after each row with how much of the shard is read, from 0 to 1.

        Raises:
            ShardError: It cannot be read.
        """
        found = ShardRows(self.columns)
        rows = self.feature_rows(shard) if isinstance(shard, EmbeddingsShard) else self.rows(read_ahead(shard))
        for row, kept in rows:
            found.add(row, kept)
            told(getattr(shard, "fraction", 0.0))
        found.skipped.update(getattr(shard, "skipped", {}))
        return found


def score_locally(work: Work, jobs: Sequence[Job], report: Callable[[int, float], object]) -> None:
    """Score shards one after the other, in this process.

    Args:
        work: What is done with each.
        jobs: The shards.
        report: Called with how many more images, and how many more shards (also parts of one), are done.
    """
    for job in jobs:
        fraction = 0.0

        def told(now: float) -> None:
            nonlocal fraction
            report(1, now - fraction)
            fraction = now

        if (lock := job.begin()) is not None:
            with lock:
                try:
                    job.save(work.score(job.shard, told))
                except ShardError as error:
                    job.problem = str(error)
        report(0, 1 - fraction)


def _feature_row(name: str, values: Any) -> Row:
    scores = tuple(float(str(value)) for value in values)
    if not all(map(math.isfinite, scores)):
        failure = ImageError("cannot be scored: its features are zero or not finite", Kind.NOT_FINITE, name)
        return Row(name, kind=failure.kind, error=str(failure))
    return Row(name, scores)
