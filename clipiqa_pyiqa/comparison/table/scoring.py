"""Scores of a table's pictures and sets."""

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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ...datasets.data_sets import DataSet
from ...errors import ImageError
from ...files.names import printable
from ...images.reader import read_image
from ..compare import stored_scores, unreadable
from ..data_set_results import MetricResult
from ..metrics import BuiltMetric, build_or_explain, describe_error
from ..scorers import Options, ScoreStore, StoredScore, kept_random_state, score_data_set, set_seeds
from .matching import Pictures
from .table_metrics import TableMetric
from .values import Column
from .views import fit_sizes, with_view

_REFERENCES_KEPT = 8  # decoded references that are kept for the other methods' pictures


class Scored(NamedTuple):
    """Scores and metrics; see :class:`~.values.MethodScores`."""

    scores: pandas.DataFrame
    sets: pandas.DataFrame
    columns: dict[str, Column]
    built: dict[str, BuiltMetric | str]
    unread: list[str]


def score_pictures(
    metrics: Sequence[TableMetric],
    pictures: Pictures,
    store: ScoreStore,
    options: Options,
    unequal: str = "",
    drop_alpha: bool = False,
) -> Scored:
    """Return the scores of every picture; ``drop_alpha`` ignores transparency."""
    data = _data_set(pictures, any(each.spec.mode == "FR" for each in metrics), unequal, drop_alpha)
    built = {
        each.spec.label: with_view(build_or_explain(each.spec, options.device, options.seed, options.strict), each.view)
        for each in metrics
    }
    sets = _sets(pictures) if any(each.spec.of_sets for each in metrics) else pandas.DataFrame(columns=["test_set"])
    ready = [metric for metric in built.values() if isinstance(metric, BuiltMetric)]
    with kept_random_state():
        score_data_set(data, [metric for metric in ready if not metric.spec.of_sets], store, options)
        for metric in ready:
            for key, row in sets.iterrows() if metric.spec.of_sets else ():
                if not store.is_done(metric.key, str(key)):
                    store.add(metric.key, str(key), _score_set(metric, row["files"], row["references"], options.seed))
        store.close()
    rows = [
        {"test_set": test_set, "image": name, "method": method, "path": pictures.files[method][name]}
        for test_set, names in pictures.test_sets.items()
        for name in names
        for method in pictures.methods
    ]
    images = pandas.DataFrame(rows, data.paths)
    results: dict[str, MetricResult] = {}
    frames = []
    for of_sets, head in ((False, images), (True, sets.filter(["test_set", "method"]))):
        specs = [each.spec for each in metrics if each.spec.of_sets == of_sets]
        scores, found = stored_scores(specs, built, store, list(head.index))
        frames.append(pandas.concat([head, scores], axis=1).reset_index(drop=True))
        results |= found
    columns = {}
    for each in metrics:
        spec, view = each.spec, "" if each.spec.of_sets else each.view.words
        columns[spec.label] = Column(results[spec.label], spec.of_sets, each.computed_on, view)
    return Scored(frames[0], frames[1], columns, built, list(unreadable(store, data.paths).values()))


def has_alpha(path: str) -> bool:
    try:
        with Image.open(path) as image:
            return image.has_transparency_data
    except OSError:
        return False


def _data_set(pictures: Pictures, with_references: bool, unequal: str, drop_alpha: bool) -> DataSet:
    items = [(pictures.files[method][name], name) for name in pictures.names for method in pictures.methods]
    reasons: dict[int, str] = {}  # why a picture has no reference

    @functools.lru_cache(_REFERENCES_KEPT)
    def reference(name: str) -> Tensor:
        return _read(pictures.references[name], drop_alpha)

    def load(index: int) -> Tensor:
        path, name = items[index]
        pixels = _read(path, drop_alpha)
        if not with_references:
            return pixels
        try:
            pixels, theirs = fit_sizes(pixels, reference(name), unequal)
        except ImageError as error:
            reasons[index] = str(error)
            return pixels
        if theirs.shape != pixels.shape:
            sizes = [f"{found.shape[2]}×{found.shape[1]}" for found in (pixels, theirs)]
            reasons[index] = f"it is {sizes[0]} px, but its reference is {sizes[1]} px: both must have the same size"
            return pixels
        return torch.cat([pixels, theirs])  # (6, H, W)

    how = [each for each in (unequal * with_references, drop_alpha) if each]
    keys = [_key(path, pictures.references.get(name, "") if with_references else "", how) for path, name in items]
    return DataSet("methods", tuple(keys), None, load, identity="methods", no_reference=lambda i: reasons.get(i, ""))


def _read(path: str, drop_alpha: bool) -> Tensor:
    pixels = read_image(path, min_side=1).pixels
    if drop_alpha and has_alpha(path):
        with Image.open(path) as image:
            colours = np.array(ImageOps.exif_transpose(image).convert("RGB"))  # (H, W, 3)
        pixels = torch.from_numpy(colours).permute(2, 0, 1)
    return pixels


def _key(path: str, reference: str = "", how: Sequence[Any] = ()) -> str:
    # the key changes with the file, the reference and the way of reading
    stamps = list(how)
    for file in filter(None, (path, reference)):
        status = os.stat(file)
        stamps.append((os.path.abspath(file), status.st_size, status.st_mtime_ns))
    return f"{_hash(stamps)}#{printable(os.path.abspath(path))}"


def _hash(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def _sets(pictures: Pictures) -> pandas.DataFrame:
    rows = {}
    for test_set, names in pictures.test_sets.items():
        references = [pictures.references[name] for name in names] if pictures.references else []
        for method in pictures.methods:
            files = [pictures.files[method][name] for name in names]
            key = f"{_hash([_key(path) for path in [*files, *references]])}#{test_set}/{method}"
            rows[key] = {"test_set": test_set, "method": method, "files": files, "references": references}
    return pandas.DataFrame.from_dict(rows, orient="index")


def _score_set(metric: BuiltMetric, files: Sequence[str], references: Sequence[str], seed: int = 0) -> StoredScore:
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
def _folder(files: Sequence[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(files):
            Path(folder, f"{number:06}{Path(path).suffix}").symlink_to(os.path.abspath(path))
        yield folder
