"""Scores of a table's images and sets."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from ...errors import AnySize, ImageError, Reading
from ...files.names import printable
from ...files.reading import hash_file
from ...images.image import File
from ...images.image import Image as AnyImage
from ...images.reader import ImageRecord
from ...metrics.building import build
from ...metrics.metric import Metric, MetricSet
from ...results.results import Output, Results
from ...scoring.engine import Options, Progress, score_missing
from ...scoring.score import circumstances
from ..data_set_results import MetricResult, metric_results
from .matching import MethodImages
from .protocols import fit_sizes, has_alpha
from .results import IMAGES, SETS, MethodTable

TRIALS = "trials.csv"
_REFERENCES_KEPT = 8  # decoded references that are kept for the other methods' images


def score_versions(
    matched: MethodImages,
    baseline: str,
    files: Mapping[str, Output],
    options: Options,
    progress: Progress,
    unequal: str,
    metrics: Sequence[Metric],
    drop_alpha: bool | None = None,
    strict: bool = False,
) -> MethodTable:
    """Return the scores of every image and set; ``drop_alpha`` says for a trial whether transparency is ignored."""
    reads_references = bool(matched.references) and (bool(unequal) or any(metric.mode == "FR" for metric in metrics))
    references = matched.references if reads_references else {}
    how = {"unequal": unequal} if unequal and references else {}
    how |= {"alpha": "dropped"} if drop_alpha else {}
    built = [build(metric, options.device, options.seed, strict) for metric in metrics]
    for place, metric in enumerate(built):
        if metric.mode != "file":
            seen = tuple(replace(each, record={**each.record, **how}) for each in metric.columns)
            built[place] = replace(metric, columns=seen)
    read_reference = functools.lru_cache(_REFERENCES_KEPT)(_read)
    images = matched.files.rename_axis(index="image", columns="method").stack().rename("path").reset_index()
    images.insert(0, "test_set", images["image"].map(matched.test_sets))
    images["sha256"] = list(map(_sha256, images["path"]))
    if matched.references:
        images["reference_sha256"] = [_sha256(matched.references[name]) for name in images["image"]]
    items = [
        _Pair(row.path, references.get(row.image, ""), unequal, bool(drop_alpha), read_reference)
        for row in images.itertuples()
    ]
    stored, columns, notes = dict[str, Results](), dict[str, MetricResult](), list[str]()

    def scored(name: str, rows: pandas.DataFrame, asked: Sequence[AnyImage], of_sets: bool = False) -> pandas.DataFrame:
        chosen = [metric for metric in built if (metric.mode == "set") == of_sets]
        ready = MetricSet(_of_folders(metric) if of_sets else metric for metric in chosen if not metric.error)
        names, noun = [each.name for each in asked], "set" if of_sets else "image"
        with Results(files.get(name), ready.columns, circumstances(options.device)) as results:
            for column in rows.columns.drop("path", errors="ignore"):
                results.join(column, dict(zip(map(printable, names), rows[column], strict=True)))
            for metric in ready.files:
                results.join(metric.columns[0], {printable(path): score for path, score in metric.score.items()})
            seconds = score_missing(f"{noun}s", asked, ready, results, options, progress)
        found, stored[name] = results.scores().under(names), results
        columns.update(metric_results(chosen, found, seconds, noun))
        notes.extend(f"Left out of all methods: {reason}" for reason in found.unread.values())
        scores = found.frame.reindex(columns=[metric.label for metric in chosen]).reset_index(drop=True)
        return pandas.concat([rows, scores], axis=1)

    scores = scored(IMAGES if drop_alpha is None else TRIALS, images, items)
    sets = images.groupby(["test_set", "method"], sort=False)[["image", "path"]].agg(list).reset_index()
    heads = sets[["test_set", "method"]]
    if any(metric.mode == "set" for metric in built):
        with tempfile.TemporaryDirectory() as root:
            folders = [
                _Set(f"{row.test_set}/{row.method}", row.path, [*map(matched.references.get, row.image)], root)
                for row in sets.itertuples()
            ]
            heads = scored(SETS, heads, folders, of_sets=True)
    in_order = {metric.label: columns[metric.label] for metric in built}
    return MethodTable(scores, heads, in_order, built, matched, baseline, notes=notes, stored=stored)


@dataclass(frozen=True)
class _Pair(AnyImage):
    """An image of a method, with its reference if a metric needs one; the stamp holds both files."""

    path: str
    reference: str
    unequal: str
    drop_alpha: bool
    read_reference: Callable[[str, bool], Tensor]

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.path

    def stamp(self) -> str | None:
        files = [self.reference, self.path] if self.reference else [self.path]
        stamps = [File(file).stamp() for file in files]
        return None if None in stamps else ",".join(map(str, stamps))

    def load(self, reading: Reading) -> ImageRecord:
        pixels = _read(self.path, self.drop_alpha)
        if not self.reference:
            return ImageRecord.of(self.path, pixels)
        try:
            reference = self.read_reference(self.reference, self.drop_alpha)
            pixels, reference = fit_sizes(pixels, reference, self.unequal)
        except ImageError as error:
            return ImageRecord.of(self.path, pixels, reference=str(error))
        return ImageRecord.of(self.path, pixels, reference=reference)


def _read(path: str, drop_alpha: bool) -> Tensor:
    pixels = File(path).load(AnySize()).pixels
    if drop_alpha and has_alpha(path):
        with Image.open(path) as image:
            pixels = pil_to_tensor(ImageOps.exif_transpose(image).convert("RGB"))
    return pixels


def _sha256(path: str) -> str:
    with contextlib.suppress(OSError):
        return hash_file(Path(path))
    return ""


@dataclass(frozen=True)
class _Set(AnyImage):
    """A method's images of a test set; in place of pixels, metrics of sets take folders that link to files."""

    name: str
    paths: Sequence[str]
    references: Sequence[str | None]
    root: str

    def stamp(self) -> str:
        stamps = [(os.path.abspath(file), File(file).stamp()) for file in (*self.paths, *self.references) if file]
        return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:12]

    def load(self, reading: Reading) -> ImageRecord:
        folders = []
        for files in (self.paths, self.references):
            if any(files):
                folders.append(tempfile.mkdtemp(dir=self.root))
            for number, path in enumerate(filter(None, files)):
                Path(folders[-1], f"{number:06}{Path(path).suffix}").symlink_to(os.path.abspath(path))
        return ImageRecord.of(self.name, torch.zeros(3, 1, 1, dtype=torch.uint8), reference=folders)


def _of_folders(metric: Metric) -> Metric:
    """Return a metric of sets that takes the folder of images and perhaps that of references."""

    def score(*folders: str) -> np.float64:
        given = folders[:1] if metric.name == "inception_score" else folders
        with contextlib.redirect_stdout(sys.stderr):
            output = metric.score(*given, **({} if metric.instance is not None else {"verbose": False}))
        # of inception_score, the mean
        return np.float64(next(iter(output.values())) if isinstance(output, Mapping) else output)

    return replace(metric, score=score)
