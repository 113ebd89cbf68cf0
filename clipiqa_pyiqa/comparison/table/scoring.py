"""Pictures through the metrics of a table: what is read together, kept as it comes, and made into frames."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ...datasets.data_sets import DataSet
from ...errors import ImageError
from ...files.names import printable
from ...images.reader import read_image
from ..compare import build_or_reason, metric_result
from ..distributed import Processes
from ..metrics import BuiltMetric
from ..pipeline import Options, score_data_set
from ..scorers import UNREADABLE, ScoreStore, group_metrics, own_random_state
from .asked import Asked
from .matching import Pictures
from .values import Column
from .views import fitted, viewed
from .whole_sets import score_set

_REFERENCES_KEPT = 8  # decoded references that wait for the other methods' images


def score_pictures(
    data: DataSet, asked: Sequence[Asked], pictures: Pictures, store: ScoreStore, options: Options
) -> tuple[pandas.DataFrame, pandas.DataFrame, dict[str, Column], dict[str, BuiltMetric | str]]:
    """Score every picture with every metric that lacks its score in the store.

    Args:
        data: The pictures, as :func:`data_set` has them.
        asked: The metrics.
        pictures: Which files belong together.
        store: Of scores.
        options: How to work.

    Returns:
        Scores of pictures, scores of sets, columns, and the metrics or why they cannot be built, as
        :class:`~.values.MethodScores` has them.
    """
    built = {each.spec.label: viewed(build_or_reason(each.spec, options), each.view) for each in asked}
    sets = _sets(pictures) if any(each.spec.of_sets for each in asked) else []
    singly = [m for m in built.values() if isinstance(m, BuiltMetric) and not m.spec.of_sets]
    with own_random_state():
        score_data_set(data, group_metrics(singly), store, Processes(), options)
        for metric in built.values():
            if isinstance(metric, BuiltMetric) and metric.spec.of_sets:
                for key, _, _, files, references in sets:
                    if not store.is_done(metric.key, key):
                        store.add(metric.key, key, score_set(metric, files, references, options.seed))
                store.close()
    unread = store.entries.get(UNREADABLE, {})
    readable = [key for key in data.paths if key not in unread or not unread[key].error]
    columns: dict[str, Column] = {}
    scores: dict[str, list[float]] = {}
    of_sets: dict[str, list[float]] = {}
    for each in asked:
        spec, metric = each.spec, built[each.spec.label]
        entries = store.entries.get(metric.key, {}) if isinstance(metric, BuiltMetric) else {}
        keys = [key for key, *_ in sets] if spec.of_sets else readable
        found = {key.rpartition("#")[0]: entries[key] for key in keys if key in entries}
        result = metric_result(spec, metric, found, len(keys))
        columns[spec.label] = Column(result, spec.mode, spec.of_sets, each.computed_on, each.view.words)
        known = {key: entry.score for key, entry in entries.items() if entry.score is not None}
        rows = [known.get(key, math.nan) for key in (keys if spec.of_sets else data.paths)]
        (of_sets if spec.of_sets else scores)[spec.label] = rows
    where = {name: test_set for test_set, names in pictures.test_sets.items() for name in names}
    items = [(name, method) for name in pictures.names for method in pictures.methods]
    head = {"test_set": [where[name] for name, _ in items], "image": [name for name, _ in items]}
    head |= {"method": [m for _, m in items], "path": [pictures.files[m][name] for name, m in items]}
    in_sets = {"test_set": [s for _, s, *_ in sets], "method": [method for _, _, method, *_ in sets]}
    return pandas.DataFrame(head | scores), pandas.DataFrame(in_sets | of_sets), columns, built


def unread_pictures(data: DataSet, store: ScoreStore) -> list[str]:
    """Return why pictures could not be read, a sentence each."""
    unread = store.entries.get(UNREADABLE, {})
    return [unread[key].error for key in data.paths if key in unread and unread[key].error]


def has_alpha(path: str) -> bool:
    """Return whether a picture has transparency; False if it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.has_transparency_data
    except OSError:
        return False


def data_set(pictures: Pictures, fidelity: bool, unequal: str = "", drop_alpha: bool = False) -> DataSet:
    """Return every file of every method, picture by picture, with its reference behind it where one is needed.

    Args:
        pictures: Which files belong together.
        fidelity: Whether references are needed.
        unequal: What becomes of pictures that are not of their references' size, as a protocol has it.
        drop_alpha: Take the colours of transparent pictures as they are stored, in place of laying them over white.
    """
    items = [(pictures.files[method][name], name) for name in pictures.names for method in pictures.methods]
    why: dict[int, str] = {}

    @functools.lru_cache(_REFERENCES_KEPT)
    def reference(name: str) -> Tensor:
        return _pixels(pictures.references[name], drop_alpha)

    def load(index: int) -> Tensor:
        path, name = items[index]
        pixels = _pixels(path, drop_alpha)
        if not fidelity:
            return pixels
        try:
            pixels, theirs = fitted(pixels, reference(name), unequal)
        except ImageError as error:
            why[index] = str(error)
            return pixels
        if theirs.shape != pixels.shape:
            sizes = [f"{found.shape[2]}×{found.shape[1]}" for found in (pixels, theirs)]
            why[index] = f"it is {sizes[0]} px, but its reference {sizes[1]} px: they must be of one size"
            return pixels
        return torch.cat([pixels, theirs])  # (6, H, W)

    def no_reference(index: int) -> str:
        return why.get(index, "there are no reference images")

    how = (unequal * fidelity, drop_alpha)
    keys = tuple(_key(path, pictures.references.get(name) if fidelity else None, *how) for path, name in items)
    return DataSet("methods", keys, None, load, identity="methods", no_reference=no_reference)


def _pixels(path: str, drop_alpha: bool) -> Tensor:
    pixels = read_image(path, min_side=1).pixels
    if drop_alpha and has_alpha(path):
        with Image.open(path) as image:
            colours = np.array(ImageOps.exif_transpose(image).convert("RGB"))  # (H, W, 3)
        pixels = torch.from_numpy(colours).permute(2, 0, 1)
    return pixels


def _key(path: str, reference: str | None, *how: Any) -> str:
    """A file by which its scores are known: of another file of that name, or another reference, there are none yet."""
    stamps: list[Any] = [each for each in how if each]
    for file in filter(None, (path, reference)):
        try:
            status = os.stat(file)
            stamps.append((os.path.abspath(file), status.st_size, status.st_mtime_ns))
        except OSError:
            stamps.append((file, 0, 0))
    return f"{printable(os.path.abspath(path))}#{_hash(stamps)}"


def _hash(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def _sets(pictures: Pictures) -> list[tuple[str, str, str, list[str], list[str]]]:
    """Key, test set, method, files and references of each test set of each method."""
    found = []
    for test_set, names in pictures.test_sets.items():
        references = [pictures.references[name] for name in names] if pictures.references else []
        for method in pictures.methods:
            files = [pictures.files[method][name] for name in names]
            stamps = [_key(path, None) for path in [*files, *references]]
            found.append((f"{test_set}/{method}#{_hash(stamps)}", test_set, method, files, references))
    return found
