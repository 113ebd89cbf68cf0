"""Scores of a table's images and sets."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from ...errors import ImageError, Kind, counted
from ...errors.arguments import AnySize, Reading
from ...files.names import printable
from ...files.reading import hash_file
from ...images.image import File
from ...images.image import Image as AnyImage
from ...images.reader import ImageRecord
from ...metrics.building import describe_error
from ...metrics.metric import Metric, MetricSet
from ...results.results import Output, Results
from ...results.rows import Row
from ...scoring.engine import Options, kept_random_state, set_seeds
from ...scoring.score import circumstances
from ..compare import Progress, metric_results, score_missing, unread
from .matching import MethodImages
from .protocols import fit_sizes, has_alpha
from .results import MethodTable

_REFERENCES_KEPT = 8  # decoded references that are kept for the other methods' images


@dataclass(frozen=True)
class Memory:
    """The files that hold a table's scores; in memory without a folder."""

    folder: Path | None
    resume: bool = False
    overwrite: bool = False

    def of_images(self, is_trial: bool) -> Output | None:
        # a trial's columns may have been made in another way
        return self._output("trials.csv", True, True) if is_trial else self._output("images.csv")

    def of_sets(self) -> Output | None:
        return self._output("sets.csv")

    def _output(self, name: str, resume: bool | None = None, overwrite: bool | None = None) -> Output | None:
        if self.folder is None:
            return None
        how = self.resume if resume is None else resume, self.overwrite if overwrite is None else overwrite
        return Output(self.folder / name, "csv", *how)


def score_images(
    matched: MethodImages,
    baseline: str,
    memory: Memory,
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
    built = [metric.built(options.device, options.seed, strict) for metric in metrics]
    for place, metric in enumerate(built):
        if metric.mode != "file":
            seen = tuple(replace(each, record={**each.record, **how}) for each in metric.columns)
            built[place] = replace(metric, columns=seen)
    single, of_sets = ([m for m in built if (m.mode == "set") == is_of_sets] for is_of_sets in (False, True))
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
    of_images = MetricSet(metric for metric in single if not metric.error)
    output = memory.of_images(drop_alpha is not None)
    with Results(output, of_images.columns, circumstances(options.device)) as stored:
        for name in images.columns.drop("path"):
            stored.join(name, dict(zip(map(printable, images["path"]), images[name], strict=True)))
        for metric in of_images.files:
            stored.join(metric.columns[0], {printable(path): score for path, score in metric.score.items()})
        seconds = score_missing("methods", items, of_images, stored, options, progress)
    rows = stored.scores().under(images["path"])
    results = metric_results(single, rows, seconds)
    scores = rows.frame.reindex(columns=[metric.label for metric in single])
    frame = pandas.concat([images, scores.reset_index(drop=True)], axis=1)
    sets = _sets(images, matched.references) if of_sets else images.iloc[:0]
    heads = sets[["test_set", "method"]].reset_index(drop=True)
    files = {"images.csv": stored}
    ready, records = [metric for metric in of_sets if not metric.error], stored.head.record["columns"]
    if len(sets):
        with Results(memory.of_sets(), MetricSet(ready).columns, circumstances(options.device)) as kept:
            every = [_Set(row) for row in sets.to_dict("records")]
            for name in ("test_set", "method"):
                kept.join(name, {one.name: one.row[name] for one in every})
            for one in every:
                _score_set(one, ready, kept, options.seed)
        found = kept.scores().under(one.name for one in every)
        files["sets.csv"] = kept
        records |= kept.head.record["columns"]
        results |= metric_results(of_sets, found, {}, "set")
        values = found.frame.reindex(columns=[metric.label for metric in of_sets]).reset_index(drop=True)
        heads = pandas.concat([heads, values], axis=1)
    columns = {metric.label: results[metric.label] for metric in built}
    notes = [f"Left out of all methods: {reason}" for reason in unread(rows).values()]
    sizes = rows.other[["width", "height"]].set_axis(images["image"]).groupby(level=0).nunique()
    if resized := int((sizes > 1).any(axis=1).sum()):
        notes.append(f"{resized:,} of {counted(len(sizes), 'image')} are not of one size in all methods.")
    return MethodTable(frame, heads, columns, built, matched, baseline, notes=notes, records=records, stored=files)


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


def _sets(images: pandas.DataFrame, references: Mapping[str, str]) -> pandas.DataFrame:
    sets = images.groupby(["test_set", "method"], sort=False)[["image", "path"]].agg(list).reset_index()
    sets["references"] = [[references[name] for name in names] if references else [] for names in sets["image"]]
    return sets


@dataclass(frozen=True)
class _Set:
    """A method's images of a test set, as a row of results."""

    row: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.row['test_set']}/{self.row['method']}"

    def stamp(self) -> str:
        files = [*self.row["path"], *self.row["references"]]
        stamps = json.dumps([(os.path.abspath(file), File(file).stamp()) for file in files])
        return hashlib.sha256(stamps.encode()).hexdigest()[:12]


def _score_set(each: _Set, metrics: Sequence[Metric], results: Results, seed: int) -> None:
    known = results.known.of(each) if results.known else [False] * len(metrics)
    if all(known):
        return
    scores, errors = [], []
    for metric, is_known in zip(metrics, known, strict=True):
        score = None if is_known else _value(metric, each.row["path"], each.row["references"], seed)
        errors += [f"{metric.label}: {score}"] if isinstance(score, str) else []
        scores.append(score if isinstance(score, float) else None)
    asked, error = tuple(not is_known for is_known in known), "; ".join(errors)
    kind = Kind.OTHER if error else None
    count = len(each.row["path"])  # in place of a width: the set could be read
    results.append(Row(each.name, tuple(scores), count, kind=kind, error=error, stamp=each.stamp(), asked=asked))


def _value(metric: Metric, files: Sequence[str], references: Sequence[str], seed: int) -> float | str:
    """Return a metric's value for a set of files, or why there is none."""
    try:
        with kept_random_state(), _folder(files) as ours, _folder(references) as theirs:
            set_seeds(seed)
            folders = [ours] if metric.name == "inception_score" or not references else [ours, theirs]
            with contextlib.redirect_stdout(sys.stderr):
                output = metric.score(*folders, **({} if metric.made is not None else {"verbose": False}))
    except Exception as error:
        return describe_error(error)
    value = float(next(iter(output.values())) if isinstance(output, Mapping) else output)  # inception_score's mean
    return value if math.isfinite(value) else f"its value is {value}"


@contextlib.contextmanager
def _folder(files: Iterable[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(files):
            Path(folder, f"{number:06}{Path(path).suffix}").symlink_to(os.path.abspath(path))
        yield folder
