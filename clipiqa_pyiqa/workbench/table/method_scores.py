"""Scores of every method's images, and of whole sets of them."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pandas import DataFrame, concat

from ...files import FileHashes
from ...text import counted
from ..compare.metric_result import MetricResult
from ..compare.scored_images import score_all
from ..images.image import Image
from ..metrics.description import Takes
from ..metrics.kinds import AnyMetric, BrokenMetric, FileMetric, ImageMetric
from ..metrics.metric_set import MetricSet
from ..metrics.remarks import log_remarks
from ..progress import Progress
from ..results.output import Output
from ..results.store import Results
from ..scoring.options import Options
from .images_to_score import ImageWithReference, image_set_of, read_pixels
from .method_images import MethodImages
from .method_table import IMAGES, SETS, MethodTable

TRIALS = "trials.csv"


@dataclass(frozen=True)
class _ScoredRows:
    """Rows of images, or of sets of images, with their scores.

    Attributes:
        metrics: Label -> what is known of the metric.
        notes: Sentences about images that are left out or were shrunk.
        results: The memory of the run.
    """

    frame: DataFrame
    metrics: Mapping[str, MetricResult]
    notes: Sequence[str]
    results: Results


@dataclass(frozen=True)
class MethodScorer:
    """Scores methods' images and sets by any metrics; trials of a table differ from it only in their metrics.

    Attributes:
        files: Name -> file of scores; empty if nothing is saved.
        unequal: What is done with an image that has not its reference's size, as in :class:`.Protocol`.
    """

    matched: MethodImages
    baseline: str
    files: Mapping[str, Output]
    options: Options
    progress: Progress
    unequal: str

    def table(self, metrics: Sequence[AnyMetric], *, strict: bool = False) -> MethodTable:
        """Score every image and set, and return the scores."""
        return self._score_into(IMAGES, metrics, strict, is_alpha_dropped=False)

    def trial(self, metrics: Sequence[AnyMetric], *, is_alpha_dropped: bool) -> MethodTable:
        """Score by changed metrics, into a file of their own, and return the scores; transparency may be ignored."""
        return self._score_into(TRIALS, metrics, strict=False, is_alpha_dropped=is_alpha_dropped)

    def _score_into(
        self, file: str, metrics: Sequence[AnyMetric], strict: bool, *, is_alpha_dropped: bool
    ) -> MethodTable:
        """Score every image and set, and return the scores; those of images go into the file of this name."""
        built = self._built(metrics, strict, is_alpha_dropped)
        log_remarks(built)
        metrics_of_images = [metric for metric in built if metric.takes is not Takes.FOLDERS]
        metrics_of_sets = [metric for metric in built if metric.takes is Takes.FOLDERS]
        rows = _rows_of_images(self.matched)
        images = self._images(rows, metrics, is_alpha_dropped)
        parts = {file: self._score_rows(file, rows, images, metrics_of_images)}
        sets = rows.groupby(["test_set", "method"], sort=False)[["image", "path"]].agg(list).reset_index()
        rows_of_sets = sets[["test_set", "method"]]
        if metrics_of_sets:
            with tempfile.TemporaryDirectory() as root:
                image_sets = [image_set_of(row, self.matched.references, root) for row in sets.itertuples()]
                parts[SETS] = self._score_rows(SETS, rows_of_sets, image_sets, metrics_of_sets)
        about_metrics = {label: about for part in parts.values() for label, about in part.metrics.items()}
        return MethodTable(
            scores=parts[file].frame,
            sets=parts[SETS].frame if metrics_of_sets else rows_of_sets,
            metrics={metric.label: about_metrics[metric.label] for metric in built},
            built=built,
            matched=self.matched,
            baseline=self.baseline,
            notes=[note for part in parts.values() for note in part.notes],
            stored={name: part.results for name, part in parts.items()},
        )

    def _built(
        self, metrics: Sequence[AnyMetric], strict: bool, is_alpha_dropped: bool
    ) -> list[ImageMetric | FileMetric]:
        """Return the metrics, built, whose records tell how images are prepared."""
        preparation: dict[str, Any] = dict(self.options.limits)
        if self.unequal and self.matched.references:
            preparation["unequal"] = self.unequal
        if is_alpha_dropped:
            preparation["alpha"] = "dropped"
        built = [metric.build(self.options.device, self.options.seed, strict) for metric in metrics]
        return [metric if isinstance(metric, FileMetric) else metric.with_fields(preparation) for metric in built]

    def _images(
        self, rows: DataFrame, metrics: Sequence[AnyMetric], is_alpha_dropped: bool
    ) -> list[ImageWithReference]:
        """Return the image of each row, with its reference."""
        # to fit an image to the size of its reference, both are read
        needs_references = bool(self.unequal) or any(metric.takes is Takes.PAIR for metric in metrics)
        # eight decoded references stay in memory for the other methods' images
        read_reference = functools.lru_cache(8)(read_pixels) if needs_references else None
        return [
            ImageWithReference(
                name=row.path,
                reference=self.matched.references.get(row.image, ""),
                unequal=self.unequal,
                is_alpha_dropped=is_alpha_dropped,
                read_reference=read_reference,
            )
            for row in rows.itertuples()
        ]

    def _score_rows(
        self, file: str, rows: DataFrame, images: Sequence[Image], built: Sequence[ImageMetric | FileMetric]
    ) -> _ScoredRows:
        """Score the rows' images, or sets, into the file of this name, and return the rows with their scores."""
        noun = "set" if file == SETS else "image"
        scored = score_all(
            title=f"{noun}s",
            images=images,
            built=built,
            ready=MetricSet(metric for metric in built if not isinstance(metric, BrokenMetric)),
            output=self.files.get(file),
            options=self.options,
            progress=self.progress,
            joined=rows.drop(columns="path", errors="ignore"),
            noun=noun,
            reading={},
        )
        notes = [f"Left out of all methods: {reason}" for reason in scored.unread.values()]
        if self.options.limits:
            notes.append(self._note_on_shrunk(scored.shrunk, len(images)))
        frame = concat([rows, scored.scores.reset_index(drop=True)], axis=1)
        return _ScoredRows(frame, scored.metrics, notes, scored.results)

    def _note_on_shrunk(self, shrunk: int, count: int) -> str:
        """Return how many of so many images were shrunk, and how far."""
        references = ", with their references" if self.matched.references else ""
        extent = f"{shrunk:,} of {counted(count, 'image')}"
        return f"{extent} shrunk {self.options.limits_text}{references}, before metrics saw them."


def _rows_of_images(matched: MethodImages) -> DataFrame:
    """Return a row for each image of each method, with its test set, and the hashes of the image and its reference."""
    rows = matched.files.rename_axis(index="image", columns="method").stack().rename("path").reset_index()
    rows.insert(0, "test_set", rows["image"].map(matched.test_sets))
    rows["sha256"] = [_sha256(path, matched.hashes) for path in rows["path"]]
    if matched.references:
        hashes = {name: _sha256(path, matched.hashes) for name, path in matched.references.items()}
        rows["reference_sha256"] = rows["image"].map(hashes)
    return rows


def _sha256(path: str, hashes: FileHashes) -> str:
    with contextlib.suppress(OSError):
        return hashes.of([path])[0]
    return ""
