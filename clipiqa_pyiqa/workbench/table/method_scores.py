"""Scores of every method's images, and of whole sets of them."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pandas import DataFrame, concat

from ...files.hashes import FileHashes
from ...text import counted
from ..compare.metric_result import MetricResult
from ..compare.scored_images import score_all
from ..images.image import Image
from ..metrics.description import Takes
from ..metrics.kinds import AnyMetric, BrokenMetric, FileMetric, ImageMetric
from ..metrics.metric_set import MetricSet
from ..metrics.remarks import log_remarks
from ..options import Progress
from ..results.output import Output
from ..results.store import Results
from ..scoring.options import Options
from .images_to_score import ImageWithReference, image_set_of, read_pixels
from .method_images import MethodImages
from .method_table import IMAGES, SETS, MethodTable

TRIALS = "trials.csv"


def score_methods(
    matched: MethodImages,
    baseline: str,
    files: Mapping[str, Output],
    options: Options,
    progress: Progress,
    unequal: str,
    metrics: Sequence[AnyMetric],
    strict: bool = False,
    is_trial: bool = False,
    is_alpha_dropped: bool = False,
) -> MethodTable:
    """Return the scores of every image and set; those of a trial go into a file of their own.

    Args:
        is_alpha_dropped: Ignore transparency.
    """
    how: dict[str, Any] = dict(options.limits)
    if unequal and matched.references:
        how["unequal"] = unequal
    if is_alpha_dropped:
        how["alpha"] = "dropped"
    built = [metric.build(options.device, options.seed, strict) for metric in metrics]
    log_remarks(built)
    built = [metric if isinstance(metric, FileMetric) else metric.with_fields(how) for metric in built]
    # to fit an image to the size of its reference, both are read
    needs_references = bool(unequal) or any(metric.takes is Takes.PAIR for metric in metrics)
    # eight decoded references stay in memory for the other methods' images
    read_reference = functools.lru_cache(8)(read_pixels) if needs_references else None
    rows = _rows_of_images(matched)
    pairs = [
        ImageWithReference(
            name=row.path,
            reference=matched.references.get(row.image, ""),
            unequal=unequal,
            is_alpha_dropped=is_alpha_dropped,
            read_reference=read_reference,
        )
        for row in rows.itertuples()
    ]
    run = _Scoring(built, files, options, progress, bool(matched.references))
    scores_file = TRIALS if is_trial else IMAGES
    run.score(scores_file, rows, pairs)
    sets = rows.groupby(["test_set", "method"], sort=False)[["image", "path"]].agg(list).reset_index()
    rows_of_sets = sets[["test_set", "method"]]
    if any(metric.takes is Takes.FOLDERS for metric in built):
        with tempfile.TemporaryDirectory() as root:
            run.score(SETS, rows_of_sets, [image_set_of(row, matched.references, root) for row in sets.itertuples()])
    return MethodTable(
        scores=run.frames[scores_file],
        sets=run.frames.get(SETS, rows_of_sets),
        metrics={metric.label: run.metrics[metric.label] for metric in built},
        built=built,
        matched=matched,
        baseline=baseline,
        notes=run.notes,
        stored=run.stored,
    )


def _rows_of_images(matched: MethodImages) -> DataFrame:
    """Return a row for each image of each method, with its test set, and the hashes of the image and its reference."""
    rows = matched.files.rename_axis(index="image", columns="method").stack().rename("path").reset_index()
    rows.insert(0, "test_set", rows["image"].map(matched.test_sets))
    rows["sha256"] = [_sha256(path, matched.hashes) for path in rows["path"]]
    if matched.references:
        hashes = {name: _sha256(path, matched.hashes) for name, path in matched.references.items()}
        rows["reference_sha256"] = rows["image"].map(hashes)
    return rows


@dataclass
class _Scoring:
    """Scores of images, then of sets, with what they share.

    Attributes:
        frames: Name of a file -> rows with their scores.
        metrics: Label -> what is known of the metric.
        notes: Sentences about images that are left out or were shrunk.
        stored: Name of a file -> its results.
    """

    built: Sequence[ImageMetric | FileMetric]
    files: Mapping[str, Output]
    options: Options
    progress: Progress
    has_references: bool

    def __post_init__(self) -> None:
        self.frames: dict[str, DataFrame] = {}
        self.metrics: dict[str, MetricResult] = {}
        self.notes: list[str] = []
        self.stored: dict[str, Results] = {}

    def score(self, name: str, rows: DataFrame, images: Sequence[Image]) -> None:
        """Score the images of rows, or their sets, for a file of this name."""
        is_of_sets = name == SETS
        chosen = [metric for metric in self.built if (metric.takes is Takes.FOLDERS) == is_of_sets]
        ready = MetricSet(metric for metric in chosen if not isinstance(metric, BrokenMetric))
        noun = "set" if is_of_sets else "image"
        scored = score_all(
            title=f"{noun}s",
            images=images,
            built=chosen,
            ready=ready,
            output=self.files.get(name),
            options=self.options,
            progress=self.progress,
            joined=rows.drop(columns="path", errors="ignore"),
            noun=noun,
            reading={},
        )
        self.stored[name] = scored.results
        self.metrics |= scored.metrics
        self.notes += [f"Left out of all methods: {reason}" for reason in scored.unread.values()]
        if self.options.limits:
            extent = f"{scored.shrunk:,} of {counted(len(images), 'image')}"
            beside = ", with their references" if self.has_references else ""
            self.notes.append(f"{extent} shrunk {self.options.limits_text}{beside}, before metrics saw them.")
        self.frames[name] = concat([rows, scored.scores.reset_index(drop=True)], axis=1)


def _sha256(path: str, hashes: FileHashes) -> str:
    with contextlib.suppress(OSError):
        return hashes.of([path])[0]
    return ""
