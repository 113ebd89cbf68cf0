"""Score many image files: decoded in the background, batched by size, one row each, in the order given.

Threads decode ahead while the metric works (PIL lets go of Python's lock while it decodes, and threads hand over pixels
without copying them, which processes cannot). Images of equal size wait for each other until their batch is full, the
oldest has waited for ``WAIT`` batches of others, or too many pixels wait; a batch scores like its single images.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

import torch

from ..errors import CLIPIQAError, ImageError
from ..images.prefetch import in_background
from ..images.reader import ImageRecord, check_limits, read_image
from ..prompts.pairs import PromptPair
from .rows import Row

BATCH_PIXELS = 8 * 1024 * 1024  # in one batch, unless a single image has more
WAITING_PIXELS = 64 * 1024 * 1024  # decoded and waiting for others of their size: 192 MiB
WAIT = 8  # batches of other sizes that an image waits for its own to fill up


class Metric(Protocol):
    """What of ``CLIPIQA`` scoring needs."""

    def encode_image(self, x: torch.Tensor) -> torch.Tensor: ...
    def score(self, features: torch.Tensor, prompts: Any = None, aggregate: Any = ...) -> torch.Tensor: ...


def default_workers() -> int:
    """Decoding threads that keep the metric busy: one per core, up to eight."""
    return min(8, os.cpu_count() or 1)


def score_paths(
    metric: Metric,
    paths: Iterable[str | os.PathLike[str]],
    *,
    columns: Sequence[Sequence[PromptPair]] | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 8,
    workers: int | None = None,
    apply_exif: bool = True,
    max_side: int | None = None,
    max_pixels: int | None = None,
) -> Iterator[Row]:
    """Score image files, each once, and yield their rows in the order of ``paths``.

    A file that cannot be read or scored yields a row whose ``error`` says why; the others are scored all the same.

    Args:
        metric: A ``CLIPIQA``, or what ``pyiqa.create_metric('clipiqa')`` returns.
        paths: The files.
        columns: What to ask: per score column the prompt pairs whose probabilities are averaged. None asks what the
            metric was made to ask.
        device: Where to score.
        batch_size: Images of equal size that are scored at once, at most.
        workers: Decoding threads; None is one per core, up to eight.
        apply_exif: Turn pictures upright first.
        max_side: Shrink larger images to this longer side, in pixels.
        max_pixels: Shrink larger images to this many pixels.

    Raises:
        ImageError: ``max_side`` or ``max_pixels`` is too small to score anything.
    """
    check_limits(max_side, max_pixels)
    read = partial(_read, apply_exif=apply_exif, max_side=max_side, max_pixels=max_pixels)
    scorer = Scorer(getattr(metric, "net", metric), columns, torch.device(device), batch_size)
    return _rows(read, (os.fspath(path) for path in paths), _Line(scorer), workers or default_workers())


def provenance(
    metric: Any,
    columns: Mapping[str, Sequence[PromptPair]] | None,
    device: torch.device,
    *,
    apply_exif: bool = True,
    max_side: int | None = None,
    max_pixels: int | None = None,
) -> dict[str, str]:
    """Everything a score depends on, for the header of the results."""
    said = getattr(metric, "net", metric).provenance()
    if columns is not None:
        means = [f"{name} is the mean of {len(pairs)} pairs" for name, pairs in columns.items() if len(pairs) > 1]
        asked = "; ".join(f"{pair.positive}|{pair.negative}" for pairs in columns.values() for pair in pairs)
        said = {**said, "prompts": asked, "aggregate": "; ".join(means) or "none"}
    return {
        **said,
        "exif": "applied" if apply_exif else "ignored",
        "max_side": str(max_side or "none"),
        "max_pixels": str(max_pixels or "none"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        **{package: version(package) for package in ("pyiqa", "torch", "open_clip_torch", "pillow")},
    }


@dataclass
class _Place:
    """One file on its way: an image until it is scored, then a row."""

    record: ImageRecord | None = None
    row: Row | None = None


def _read(path: str, apply_exif: bool, max_side: int | None, max_pixels: int | None) -> _Place:
    try:
        return _Place(read_image(path, apply_exif=apply_exif, max_side=max_side, max_pixels=max_pixels))
    except ImageError as error:
        return _Place(row=Row(path, error=str(error)))


def _rows(read: Callable[[str], _Place], paths: Iterable[str], line: _Line, workers: int) -> Iterator[Row]:
    with closing(in_background(read, paths, workers)) as places:
        for place in places:
            line.append(place)
            yield from line.leave()
        yield from line.leave(everything=True)


class _Line:
    """Files in the order given: the front leaves as rows, while images behind it wait for others of their size."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._places: deque[_Place] = deque()
        self._waiting: dict[tuple[int, int], list[_Place]] = {}  # by size
        self._pixels = 0  # in them

    def append(self, place: _Place) -> None:
        self._places.append(place)
        if place.record is not None:
            size = place.record.size
            self._waiting.setdefault(size, []).append(place)
            self._pixels += math.prod(size)
            if len(self._waiting[size]) >= self._scorer.capacity(size):
                self._score(size)

    def leave(self, everything: bool = False) -> Iterator[Row]:
        """The rows that are ready; the front image is scored when it has waited long enough."""
        while self._places:
            first = self._places[0]
            if first.row is not None:
                self._places.popleft()
                yield first.row
            elif everything or len(self._places) > WAIT * self._scorer.batch_size or self._pixels > WAITING_PIXELS:
                assert first.record is not None
                self._score(first.record.size)
            else:
                return

    def _score(self, size: tuple[int, int]) -> None:
        places = self._waiting.pop(size)
        self._pixels -= math.prod(size) * len(places)
        records = [place.record for place in places if place.record is not None]
        for place, row in zip(places, self._scorer.rows(records), strict=True):
            place.record, place.row = None, row


class Scorer:
    """Records of equal size to rows; remembers what did not fit in memory. Its arguments are ``score_paths``'."""

    def __init__(
        self, metric: Metric, columns: Sequence[Sequence[PromptPair]] | None, device: torch.device, batch_size: int
    ) -> None:
        self.batch_size = batch_size
        self._metric = metric
        self._columns = columns
        self._device = device
        self._batch_pixels = BATCH_PIXELS

    def capacity(self, size: tuple[int, int]) -> int:
        """How many images of this width and height to score at once."""
        return max(1, min(self.batch_size, self._batch_pixels // math.prod(size)))

    def rows(self, records: Sequence[ImageRecord]) -> list[Row]:
        """One row for each, in their order; what cannot be scored gets a row that says why."""
        try:
            scores = self._scores(records)
        except CLIPIQAError as error:
            problem = str(error)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            self._batch_pixels = min(self._batch_pixels, math.prod(records[0].size) * len(records) // 2)
            problem = "it does not fit in memory: shrink it with max_side or max_pixels, or score on another device."
        else:
            return [self._row(record, values) for record, values in zip(records, scores, strict=True)]
        # Out of the except block, whose error keeps the failed call's tensors alive.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if len(records) > 1:
            return [row for record in records for row in self.rows([record])]
        return [_row(records[0], error=f"{records[0].path!r} cannot be scored: {problem}")]

    def _scores(self, records: Sequence[ImageRecord]) -> list[tuple[float, ...]]:
        """One score per column, for each record."""
        # (3, H, W) views of (H, W, 3) memory -> (N, 3, H, W) in channels_last, which the encoders work in
        pixels = torch.stack([record.pixels.permute(1, 2, 0) for record in records]).permute(0, 3, 1, 2)
        with torch.no_grad():  # not inference_mode: the metric keeps text features that a later backward may need
            x = pixels.to(self._device).float().div_(255)
            features = self._metric.encode_image(x)
            if self._columns is None:
                scores = self._metric.score(features)
            else:
                asked = self._metric.score(features, list(itertools.chain(*self._columns)), None)  # (N, all pairs)
                columns = asked.split([len(pairs) for pairs in self._columns], dim=1)
                scores = torch.cat([column.mean(1, keepdim=True) for column in columns], dim=1)
        # The shortest digits that mean the same fp32 number, not those of its float64 neighbour.
        return [tuple(float(str(value)) for value in row) for row in scores.float().cpu().numpy()]

    def _row(self, record: ImageRecord, scores: tuple[float, ...]) -> Row:
        if all(map(math.isfinite, scores)):
            return _row(record, scores)
        found = ", ".join(map(str, scores))
        return _row(
            record, error=f"{record.path!r} cannot be scored: its score is not finite ({found}); try precision fp32."
        )


def _row(record: ImageRecord, scores: tuple[float, ...] | None = None, error: str = "") -> Row:
    size = (record.width, record.height, *record.size)
    return Row(record.path, scores, *size, record.orientation, record.converted, error)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether torch or Python ran out of memory; torch's CPU allocator says so only in words."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")
    )
