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
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from ...errors import ImageError
from ...errors.arguments import AnySize, Reading
from ...files.names import printable
from ...images.image import File
from ...images.image import Image as AnyImage
from ...images.reader import ImageRecord
from ...scoring.engine import Options, kept_random_state, set_seeds
from ...scoring.metrics import BuiltMetric, MetricSet, build_or_explain, describe_error
from ...scoring.rows import Answer
from ...scoring.stored import Progress, ScoreStore, key_of, score_missing
from ..compare import stored_scores
from ..data_set_results import MetricResult
from .matching import MethodImages
from .protocols import fit_sizes, has_alpha, with_preprocessing
from .results import MethodTable
from .table_metrics import TableMetric

_REFERENCES_KEPT = 8  # decoded references that are kept for the other methods' images


def score_images(
    matched: MethodImages,
    baseline: str,
    store: ScoreStore,
    options: Options,
    progress: Progress,
    unequal: str,
    metrics: Sequence[TableMetric],
    drop_alpha: bool = False,
    strict: bool = False,
) -> MethodTable:
    """Return the scores of every image and set; ``drop_alpha`` ignores transparency."""
    specs, built, seeing = [each.spec for each in metrics], {}, {}
    for each in metrics:
        metric = each.built or build_or_explain(each.spec, options.device, options.seed, strict)
        built[each.spec.label] = metric
        seeing[each.spec.label] = with_preprocessing(metric, each.preprocess, options.device)
    ready = [metric for metric in seeing.values() if isinstance(metric, BuiltMetric)]
    reads_references = bool(matched.references) and (bool(unequal) or any(spec.mode == "FR" for spec in specs))
    references = matched.references if reads_references else {}
    read_reference = functools.lru_cache(_REFERENCES_KEPT)(_read)
    images = matched.files.rename_axis(index="image", columns="method").stack().rename("path").reset_index()
    images.insert(0, "test_set", images["image"].map(matched.test_sets))
    items = [
        _Pair(row.path, references.get(row.image, ""), unequal, drop_alpha, read_reference)
        for row in images.itertuples()
    ]
    of_images = MetricSet([metric for metric in ready if not metric.spec.of_sets])
    keys, unread = score_missing("methods", items, of_images, store, options, progress)
    images.index = pandas.Index([keys[item.name] for item in items])
    sets = _sets(images, matched.references) if any(spec.of_sets for spec in specs) else images.iloc[:0]
    with kept_random_state():
        for metric in ready:
            for key, row in sets.iterrows() if metric.spec.of_sets else ():
                known = store.get(metric.key, str(key))
                if known is None or known.error:
                    store.add(metric.key, str(key), _score_set(metric, row["path"], row["references"], options.seed))
        store.close()
    results: dict[str, MetricResult] = {}
    frames: list[pandas.DataFrame] = []
    for of_sets, head in ((False, images), (True, sets[["test_set", "method"]])):
        those = [spec for spec in specs if spec.of_sets == of_sets]
        scores, found = stored_scores(those, seeing, store, list(head.index))
        frames.append(pandas.concat([head, scores], axis=1).reset_index(drop=True))
        results |= found
    columns = {spec.label: results[spec.label] for spec in specs}
    notes = [f"Left out of all methods: {reason}" for reason in unread.values()]
    return MethodTable(frames[0], frames[1], columns, built, matched, baseline, notes=notes)


@dataclass(frozen=True)
class _Pair(AnyImage):
    """An image of a method, with its reference if a metric needs one; the name tells how both are read, too."""

    path: str
    reference: str
    unequal: str
    drop_alpha: bool
    read_reference: Callable[[str, bool], Tensor]

    @property
    def files(self) -> list[str]:
        return [self.reference, self.path] if self.reference else [self.path]

    @property
    def name(self) -> str:  # type: ignore[override]
        how = f"{self.unequal or 'refused'}, {'opaque' if self.drop_alpha else 'with alpha'}:"
        return printable(" ".join([how, *map(os.path.abspath, self.files)]))

    def stamp(self) -> str | None:
        stamps = [File(file).stamp() for file in self.files]
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


def _sets(images: pandas.DataFrame, references: Mapping[str, str]) -> pandas.DataFrame:
    sets = images.groupby(["test_set", "method"], sort=False)[["image", "path"]].agg(list).reset_index()
    sets["references"] = [[references[name] for name in names] if references else [] for names in sets["image"]]
    keys = []
    for row in sets.to_dict("records"):
        files = [*row["path"], *row["references"]]
        stamps = json.dumps([(os.path.abspath(file), File(file).stamp()) for file in files])
        keys.append(key_of(f"{row['test_set']}/{row['method']}", hashlib.sha256(stamps.encode()).hexdigest()[:12]))
    return sets.set_axis(keys)


def _score_set(metric: BuiltMetric, files: Sequence[str], references: Sequence[str], seed: int) -> Answer:
    set_seeds(seed)
    start = time.perf_counter()
    try:
        with _folder(files) as ours, _folder(references) as theirs, contextlib.redirect_stdout(sys.stderr):
            folders = [ours] if metric.spec.name == "inception_score" or not references else [ours, theirs]
            output = metric.score(*folders, **({} if metric.spec.made is not None else {"verbose": False}))
    except Exception as error:
        return Answer(error=describe_error(error))
    value = float(next(iter(output.values())) if isinstance(output, Mapping) else output)  # inception_score's mean
    if not math.isfinite(value):
        return Answer(error=f"its value is {value}")
    return Answer((value,), time.perf_counter() - start)


@contextlib.contextmanager
def _folder(files: Iterable[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(files):
            Path(folder, f"{number:06}{Path(path).suffix}").symlink_to(os.path.abspath(path))
        yield folder
