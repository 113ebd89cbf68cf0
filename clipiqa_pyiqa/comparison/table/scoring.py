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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from ...datasets.data_sets import DataSet
from ...errors import ImageError
from ...files.names import printable
from ...images.reader import read_image
from ..compare import stored_scores, unreadable
from ..data_set_results import MetricResult
from ..metrics import BuiltMetric, build_or_explain, describe_error
from ..scorers import Options, ScoreStore, StoredScore, kept_random_state, score_data_set, set_seeds
from .matching import Pictures
from .results import MethodTable
from .table_metrics import TableMetric
from .views import fit_sizes, has_alpha, with_view

_REFERENCES_KEPT = 8  # decoded references that are kept for the other methods' images


def score_pictures(
    pictures: Pictures,
    baseline: str,
    store: ScoreStore,
    options: Options,
    unequal: str,
    metrics: Sequence[TableMetric],
    drop_alpha: bool = False,
    strict: bool = False,
) -> MethodTable:
    """Return the scores of every image and set; ``drop_alpha`` ignores transparency."""
    specs, built, seeing = [each.spec for each in metrics], {}, {}
    for each in metrics:
        metric = each.built or build_or_explain(each.spec, options.device, options.seed, strict)
        built[each.spec.label], seeing[each.spec.label] = metric, with_view(metric, each.view, options.device)
    ready = [metric for metric in seeing.values() if isinstance(metric, BuiltMetric)]
    rows = [
        {"test_set": test_set, "image": name, "method": method, "path": path}
        for test_set, names in pictures.test_sets.items()
        for name in names
        for method, path in pictures.files.loc[name].items()
    ]
    reads_references = bool(pictures.references) and (bool(unequal) or any(spec.mode == "FR" for spec in specs))
    data = _data_set(rows, pictures.references, unequal, drop_alpha, reads_references)
    images = pandas.DataFrame(rows, data.paths)
    sets = _sets(images, pictures.references) if any(spec.of_sets for spec in specs) else images.iloc[:0]
    with kept_random_state():
        score_data_set(data, [metric for metric in ready if not metric.spec.of_sets], store, options)
        for metric in ready:
            for key, row in sets.iterrows() if metric.spec.of_sets else ():
                if not store.is_done(metric.key, str(key)):
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
    notes = [f"Left out of all methods: {reason}" for reason in unreadable(store, data.paths).values()]
    return MethodTable(frames[0], frames[1], columns, built, pictures, baseline, notes=notes)


def _data_set(
    rows: Sequence[Mapping[str, str]],
    references: Mapping[str, str],
    unequal: str,
    drop_alpha: bool,
    reads_references: bool,
) -> DataSet:
    reasons: dict[int, str] = {}  # why an image has no reference

    @functools.lru_cache(_REFERENCES_KEPT)
    def reference(name: str) -> Tensor:
        return _read(references[name], drop_alpha)

    def load(index: int) -> Tensor:
        pixels = _read(rows[index]["path"], drop_alpha)
        if not reads_references:
            return pixels
        try:
            pixels, theirs = fit_sizes(pixels, reference(rows[index]["image"]), unequal)
        except ImageError as error:
            reasons[index] = str(error)
            return pixels
        if theirs.shape != pixels.shape:
            sizes = [f"{found.shape[2]}×{found.shape[1]}" for found in (pixels, theirs)]
            reasons[index] = f"it is {sizes[0]} px, but its reference is {sizes[1]} px: both must have the same size"
            return pixels
        return torch.cat([pixels, theirs])  # (6, H, W)

    keys = []
    for row in rows:
        files = [row["path"], *filter(None, [references.get(row["image"])])]
        keys.append(_key(printable(os.path.abspath(row["path"])), files, unequal, drop_alpha))
    return DataSet("methods", tuple(keys), None, load, identity="methods", no_reference=lambda i: reasons.get(i, ""))


def _read(path: str, drop_alpha: bool) -> Tensor:
    pixels = read_image(path, min_side=1).pixels
    if drop_alpha and has_alpha(path):
        with Image.open(path) as image:
            pixels = pil_to_tensor(ImageOps.exif_transpose(image).convert("RGB"))
    return pixels


def _sets(images: pandas.DataFrame, references: Mapping[str, str]) -> pandas.DataFrame:
    sets = images.groupby(["test_set", "method"], sort=False)[["image", "path"]].agg(list).reset_index()
    sets["references"] = [[references[name] for name in names] if references else [] for names in sets["image"]]
    rows = sets.to_dict("records")
    sets.index = [_key(f"{row['test_set']}/{row['method']}", [*row["path"], *row["references"]]) for row in rows]
    return sets


def _key(name: str, files: Iterable[str], *how: Any) -> str:
    # the key changes with the files and the way of reading
    statuses = [(os.path.abspath(file), os.stat(file)) for file in files]
    stamps = [*how, *((path, status.st_size, status.st_mtime_ns) for path, status in statuses)]
    return f"{hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:12]}#{name}"


def _score_set(metric: BuiltMetric, files: Sequence[str], references: Sequence[str], seed: int) -> StoredScore:
    set_seeds(seed)
    start = time.perf_counter()
    try:
        with _folder(files) as ours, _folder(references) as theirs, contextlib.redirect_stdout(sys.stderr):
            folders = [ours] if metric.spec.name == "inception_score" or not references else [ours, theirs]
            output = metric.score(*folders, **({} if metric.spec.made is not None else {"verbose": False}))
    except Exception as error:
        return StoredScore(None, math.nan, describe_error(error))
    value = float(next(iter(output.values())) if isinstance(output, Mapping) else output)  # inception_score's mean
    if not math.isfinite(value):
        return StoredScore(None, math.nan, f"its value is {value}")
    return StoredScore(value, time.perf_counter() - start)


@contextlib.contextmanager
def _folder(files: Iterable[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(files):
            Path(folder, f"{number:06}{Path(path).suffix}").symlink_to(os.path.abspath(path))
        yield folder
