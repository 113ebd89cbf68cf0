"""Scores of every method's images, and of whole sets of them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pandas import DataFrame, concat
from torch import Tensor

from ...errors import ImageError
from ...files.hashes import FileHashes
from ...text import counted
from ..compare.scored_images import MetricResult, limits_text, score_all
from ..images.image import File, Image
from ..images.record import ImageRecord
from ..images.sizes import shrunk
from ..images.stamp import UNKNOWN, Stamp
from ..metrics.description import Takes
from ..metrics.kinds import AnyMetric, BrokenMetric, FileMetric, ImageMetric
from ..metrics.metric_set import MetricSet
from ..options import AnySize, Progress, Reading
from ..results.output import Output
from ..results.store import Results
from ..scoring.options import Options
from .method_images import MethodImages
from .method_table import IMAGES, SETS, MethodTable
from .prepared_images import fit_sizes, without_alpha

TRIALS = "trials.csv"


def score_versions(
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
    built = [metric if isinstance(metric, FileMetric) else metric.with_fields(how) for metric in built]
    has_references = bool(unequal) or any(metric.takes is Takes.PAIR for metric in metrics)
    # eight decoded references stay in memory for the other methods' images
    read_reference = functools.lru_cache(8)(_read) if has_references else None
    rows = _rows_of_images(matched)
    pairs = [
        _Pair(
            name=row.path,
            reference=matched.references.get(row.image, ""),
            unequal=unequal,
            is_alpha_dropped=is_alpha_dropped,
            read_reference=read_reference,
        )
        for row in rows.itertuples()
    ]
    run = _Scoring(built, files, options, progress, bool(matched.references))
    scores = run.score(TRIALS if is_trial else IMAGES, rows, pairs)
    sets = rows.groupby(["test_set", "method"], sort=False)[["image", "path"]].agg(list).reset_index()
    of_sets = sets[["test_set", "method"]]
    if any(metric.takes is Takes.FOLDERS for metric in built):
        with tempfile.TemporaryDirectory() as root:
            of_sets = run.score(SETS, of_sets, [_set_of(row, matched.references, root) for row in sets.itertuples()])
    return MethodTable(
        scores=scores,
        sets=of_sets,
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
        self.metrics: dict[str, MetricResult] = {}
        self.notes: list[str] = []
        self.stored: dict[str, Results] = {}

    def score(self, name: str, rows: DataFrame, images: Sequence[Image]) -> DataFrame:
        """Return rows with the scores of their images, or of their sets, and remember what is known of the metrics."""
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
        self.metrics.update(scored.metrics)
        self.notes.extend(f"Left out of all methods: {reason}" for reason in scored.unread.values())
        if self.options.limits:
            extent = f"{scored.shrunk:,} of {counted(len(images), 'image')}"
            beside = ", with their references" if self.has_references else ""
            self.notes.append(f"{extent} shrunk {limits_text(self.options)}{beside}, before metrics saw them.")
        return concat([rows, scored.scores.reset_index(drop=True)], axis=1)


def _set_of(row: Any, references: Mapping[str, str], root: str) -> _Set:
    """Return a method's images of a test set, and their references, as a set whose links lie below a folder."""
    linked = [row.path]
    if references:
        linked.append([references[image] for image in row.image])
    return _Set(f"{row.test_set}/{row.method}", linked, root)


@dataclass(frozen=True)
class _Pair(Image):
    """An image of a method, with its reference if there is one; the stamp holds both files."""

    name: str
    reference: str
    unequal: str
    is_alpha_dropped: bool
    read_reference: Callable[[str, bool], Tensor] | None

    def stamp(self) -> Stamp:
        stamps = [File(file).stamp() for file in (self.name, self.reference) if file]
        return Stamp(",".join(stamps)) if all(stamp.is_known for stamp in stamps) else UNKNOWN

    def load(self, reading: Reading) -> ImageRecord:
        pixels = _read(self.name, self.is_alpha_dropped)
        reference: Any = None
        if self.reference and self.read_reference:
            try:
                reference = self.read_reference(self.reference, self.is_alpha_dropped)
                pixels, reference = fit_sizes(pixels, reference, self.unequal)
            except ImageError as error:
                reference = str(error)
        if isinstance(reference, Tensor):  # of the image's size, so that both shrink alike
            reference = shrunk(reference, reading)
        record = replace(ImageRecord.of(pixels), pixels=shrunk(pixels, reading))
        return record if reference is None else replace(record, reference=reference)


def _read(path: str, is_alpha_dropped: bool) -> Tensor:
    pixels = without_alpha(path) if is_alpha_dropped else None
    return File(path).load(AnySize()).pixels if pixels is None else pixels


def _sha256(path: str, hashes: FileHashes) -> str:
    with contextlib.suppress(OSError):
        return hashes.of([path])[0]
    return ""


@dataclass(frozen=True)
class _Set(Image):
    """A method's images of a test set, and perhaps their references.

    It is an image, so that a set is scored and remembered as images are. Metrics of sets read the folders of links that
    take the place of a reference; the pixels are never looked at.
    """

    name: str
    linked: Sequence[Sequence[str]]
    root: str

    def stamp(self) -> Stamp:
        stamps = ([(os.path.abspath(file), File(file).stamp()) for file in files] for files in self.linked)
        return Stamp(",".join(hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:12] for stamp in stamps))

    def load(self, reading: Reading) -> ImageRecord:
        folders = []
        for files in self.linked:
            folders.append(tempfile.mkdtemp(dir=self.root))
            for number, path in enumerate(files):
                Path(folders[-1], f"{number:06}{Path(path).suffix}").symlink_to(os.path.abspath(path))
        return ImageRecord.of(torch.zeros(3, 1, 1, dtype=torch.uint8), reference=folders)
