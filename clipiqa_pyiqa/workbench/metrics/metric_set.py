"""The metrics of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import CLIPIQAError
from ..results.columns import Column
from .kinds import BrokenMetric, ClipMetric, FileMetric, ImageMetric, ObjectMetric, PyiqaMetric
from .view import UNCHANGED


class MetricSet:
    """The metrics of a run.

    A metric's position is its index in ``of_images``: groups, what is wanted of an image, and answers are by position.

    Attributes:
        of_images: Those that score images or sets of images, in order; the broken ones are among them.
        files: Those whose scores are in files.
        groups: Encoding of images -> positions of the metrics on CLIP that share it; they score batches.
        one_by_one: Position -> metric, of those that score one image at a time.
    """

    def __init__(self, metrics: Iterable[ImageMetric | FileMetric]) -> None:
        every = tuple(metrics)
        self.of_images = tuple(metric for metric in every if isinstance(metric, ImageMetric))
        self.files = tuple(metric for metric in every if isinstance(metric, FileMetric))
        self.groups = dict[Any, list[int]]()
        self.one_by_one = dict[int, ClipMetric | PyiqaMetric | ObjectMetric]()
        for position, metric in enumerate(self.of_images):
            if isinstance(metric, ClipMetric) and metric.description.view == UNCHANGED:
                self.groups.setdefault(metric.encoding, []).append(position)
            elif isinstance(metric, ClipMetric | PyiqaMetric | ObjectMetric):
                self.one_by_one[position] = metric

    @property
    def broken(self) -> tuple[BrokenMetric, ...]:
        return tuple(metric for metric in self.of_images if isinstance(metric, BrokenMetric))

    def check_any_usable(self) -> None:
        """Raise ``CLIPIQAError`` if all metrics are broken."""
        if self.broken and len(self.broken) == len(self.of_images) + len(self.files):
            first = self.broken[0]
            raise CLIPIQAError(f"metric {first.label!r} cannot be used: {first.reason}")

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for metric in self.of_images for column in metric.columns)

    def on_clip(self, positions: Iterable[int]) -> list[ClipMetric]:
        """Return the metrics of one of ``groups``."""
        metrics = [self.of_images[position] for position in positions]
        return [metric for metric in metrics if isinstance(metric, ClipMetric)]  # all of them, as mypy is told

    def by_column(self, wanted: Sequence[bool]) -> tuple[bool, ...]:
        """Return whether each column is wanted, from whether each metric is, by position."""
        of_columns = list[bool]()
        for metric, is_wanted in zip(self.of_images, wanted, strict=True):
            of_columns += [is_wanted] * len(metric.columns)
        return tuple(of_columns)
