"""An image on its way through a run: to be scored, loaded, scored; and the row that comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import ImageError, Kind
from ..images.image import Image
from ..images.record import ImageRecord
from ..images.stamp import Stamp
from ..metrics.kinds import BrokenMetric
from ..metrics.metric_set import MetricSet
from ..results.failures import kind_of_row
from ..results.row import Row
from .answers import Answer


@dataclass(frozen=True, slots=True)
class ImageTask:
    """An image to score; only images of one block share a batch.

    Attributes:
        wanted: Whether each metric is to score it, by the metric's position (see ``MetricSet``).
    """

    image: Image
    block: int
    wanted: Sequence[bool]


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """The pixels of a task.

    Attributes:
        stamp: The stamp that the image had before it was read.
        answers: Those of metrics in processes of their own, by the metric's position.
    """

    stamp: Stamp
    record: ImageRecord
    answers: Mapping[int, Answer]

    @property
    def shape(self) -> torch.Size:
        return self.record.shape


class LoadingError(ImageError):
    """Why an image could not be loaded; ``stamp`` is the one that it had before."""

    def __init__(self, error: ImageError, stamp: Stamp) -> None:
        super().__init__(error.reason, error.kind, error.name)
        self.stamp = stamp


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """What a run knows of an image.

    Attributes:
        record: How the image was read, or why it could not be read.
        answers: Answers of metrics, by the metric's position.
        flag: As of :func:`~clipiqa_pyiqa.workbench.images.uniform.flag`.
    """

    task: ImageTask
    stamp: Stamp
    record: ImageRecord | ImageError
    answers: dict[int, Answer]
    flag: str = ""

    def row(self, metrics: MetricSet) -> Row:
        """Return the image's row."""
        record = self.record
        image = self.task.image
        answers = [self.answers.get(position, Answer()) for position in range(len(metrics.of_images))]
        common: dict[str, Any] = {
            "stamp": self.stamp,
            "asked": metrics.by_column(self.task.wanted),
            "seconds": tuple(answer.seconds for answer in answers),
            "carried": image.carried,
        }
        if isinstance(record, ImageError):
            return Row(image.name, kind=record.kind, error=str(record), **common)
        scores = _scores_in(answers, metrics)
        has_scores = any(score is not None for score in scores)
        failures = self._failures(metrics, answers)
        # only broken metrics have a failure but no answer, and so no kind
        kind = kind_of_row([answer.kind for answer in answers]) or (Kind.NOT_ASKED if failures else None)
        return Row(
            image.name,
            scores=scores if has_scores or not kind else None,
            width=record.width,
            height=record.height,
            scored_width=record.size[0],
            scored_height=record.size[1],
            exif_orientation=record.orientation,
            converted=record.converted,
            flag=self.flag,
            kind=kind,
            error=_sentence(image.name, failures, has_scores) if failures else "",
            **common,
        )

    def _failures(self, metrics: MetricSet, answers: Sequence[Answer]) -> dict[str, list[str]]:
        """Return why scores are missing -> the labels of these metrics."""
        failures = dict[str, list[str]]()
        for metric, answer, is_wanted in zip(metrics.of_images, answers, self.task.wanted, strict=True):
            why = answer.error
            if not why and is_wanted and isinstance(metric, BrokenMetric):
                why = metric.reason
            if why:
                failures.setdefault(why.rstrip("."), []).append(metric.label)
        return failures


def _scores_in(answers: Iterable[Answer], metrics: MetricSet) -> tuple[float | None, ...]:
    """Return a score for each column of the metrics; None where a metric gave none."""
    scores = list[float | None]()
    for metric, answer in zip(metrics.of_images, answers, strict=True):
        scores.extend(answer.values or [None] * len(metric.columns))
    return tuple(scores)


def _sentence(name: str, failures: Mapping[str, Sequence[str]], has_scores: bool) -> str:
    reasons = [f"{', '.join(labels)}: {why}".removeprefix(": ") for why, labels in failures.items()]
    extent = " by every metric" if has_scores else ""
    return f"{name!r} cannot be scored{extent}: {'; '.join(reasons)}."
