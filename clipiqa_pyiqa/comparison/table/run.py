"""``table``: several methods, test sets and metrics, from what is asked for to the result."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import torch
from torch import Tensor

from ...arguments import checked
from ...datasets.data_sets import DataSet
from ...datasets.specification import CompareError
from ...errors import ImageError
from ...files.journal import JournalFolder
from ...files.locking import locked
from ...files.names import printable
from ...images.batches import default_workers
from ...images.reader import read_image
from ..compare import build_or_reason, metric_result, pick_device, settings_of
from ..distributed import Processes
from ..metrics import BuiltMetric, MetricSpec, check_weights
from ..pipeline import Options, Progress, score_data_set
from ..scorers import UNREADABLE, ScoreStore, StoredScore, group_metrics, own_random_state
from .matching import Pictures, Place, match_pictures, parse_methods
from .presets import Preset, computed_on, find_preset, needs_reference, parse_table_metrics
from .results import Column, MethodTable, check_table_folder
from .whole_sets import score_set

_REFERENCES_KEPT = 8  # decoded references that wait for the other methods' images


@checked
def table(
    methods: Mapping[str, Place] | Iterable[str],
    metrics: Any = None,
    *,
    reference: Place | None = None,
    baseline: str | None = None,
    preset: str | None = None,
    crop_border: int = 0,
    skip_missing: bool = False,
    by_folder: bool = True,
    out: str | Path | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    progress: Progress | None = None,
    settings: Mapping[str, str] | None = None,
) -> MethodTable:
    """Score the same pictures as several methods made them, and set the methods side by side.

    Args:
        methods: Name -> folder or pattern, or ``'NAME=FOLDER'`` texts. Files belong together by their path within the
            folder, without suffix; where names differ, patterns (``'out/*_ours.png'``) pair by what ``*`` matches.
        metrics: Any of pyiqa's, no-reference, full-reference and of whole sets, as for
            :func:`~clipiqa_pyiqa.comparison.compare.compare`; also ``psnr-y``, ``psnr-rgb``, ``ssim-y``, ``ssim-rgb``.
        reference: Folder or pattern of the references, for metrics that need one.
        baseline: The method that the others are compared with; default the first.
        preset: ``'ntire'`` or ``'paper'``: metrics that somebody else computes, pinned; ``metrics`` come on top, and
            one of the same label takes the preset's place.
        crop_border: Pixels cut off each side before full-reference metrics, as super-resolution papers do.
        skip_missing: Leave pictures that not all methods and the references have out of all, in place of an error.
        by_folder: Take the first sub-folder for the test set, if every picture lies in one.
        out: A folder that keeps scores as they come, in ``parts/``. None keeps nothing.
        device, batch_size, workers, seed, trust_weights, progress, settings: As for
            :func:`~clipiqa_pyiqa.comparison.compare.compare`.
        resume: Go on with the scores in ``out``; of files that have changed since, new ones are made.
        overwrite: Delete them first.

    Returns:
        The table; its ``save(folder)`` writes it as Markdown, LaTeX, CSV and HTML.

    Raises:
        CompareError: Something asked for is unknown, missing or contradictory. What is wrong with one metric or one
            image is in the result instead.
    """
    folders, chosen = parse_methods(methods), find_preset(preset)
    specs = parse_table_metrics(metrics, chosen)
    _check_asked(folders, specs, reference, baseline)
    options = Options(
        pick_device(device, Processes()),
        batch_size,
        workers or default_workers(),
        seed,
        progress or (lambda *_: None),
    )
    if resume and overwrite:
        raise CompareError("resume keeps the scores in out and overwrite drops them: give one of the two.")
    check_weights(specs, trust_weights)
    pictures = match_pictures(folders, reference, skip_missing=skip_missing, by_folder=by_folder)
    fidelity = any(spec.mode == "FR" for spec in specs)
    data = _data_set(pictures, fidelity)

    def work(store: ScoreStore) -> MethodTable:
        built = {spec.label: _cropped(build_or_reason(spec, options), crop_border) for spec in specs}
        singly = [m for m in built.values() if isinstance(m, BuiltMetric) and not m.spec.of_sets]
        with own_random_state():
            score_data_set(data, group_metrics(singly), store, Processes(), options)
            for metric in built.values():
                if isinstance(metric, BuiltMetric) and metric.spec.of_sets:
                    _score_sets(metric, pictures, store, seed)
        known = {**settings_of(Processes(), options), "seed": str(seed), **(settings or {})}
        columns = _columns(specs, built, store, data, pictures, crop_border)
        notes = _notes(chosen, specs, columns, crop_border, pictures, store, data)
        return MethodTable(
            _scores(columns, built, store, data, pictures), _set_scores(columns, built, store, pictures), columns,
            pictures, baseline or pictures.methods[0], chosen, notes, known,
        )  # fmt: skip

    if out is None:
        if resume or overwrite:
            raise CompareError("resume and overwrite need --out DIR (out=DIR), the folder with the scores.")
        return work(JournalFolder(None, StoredScore))
    folder = check_table_folder(out, pictures.inputs, overwrite=overwrite, resume=resume)
    with locked(folder):
        store = JournalFolder(folder / "parts" / data.identity, StoredScore)
        if overwrite:
            store.clear()
        store.load()
        return work(store)


def _check_asked(
    methods: Mapping[str, str], specs: Sequence[MetricSpec], reference: Place | None, baseline: str | None
) -> None:
    needing = [spec.label for spec in specs if needs_reference(spec)]
    if needing and reference is None:
        raise CompareError(
            f"{', '.join(needing)} need{'s' * (len(needing) == 1)} reference images: name their folder with "
            "--reference (reference=), or leave the metric out."
        )
    if baseline is not None and baseline not in methods:
        raise CompareError(f"the baseline {baseline!r} is none of the methods: choose one of {', '.join(methods)}.")


def _data_set(pictures: Pictures, fidelity: bool) -> DataSet:
    """Every file of every method, picture by picture, with its reference behind it where one is needed."""
    items = [(pictures.files[method][name], name) for name in pictures.names for method in pictures.methods]
    why: dict[int, str] = {}

    @functools.lru_cache(_REFERENCES_KEPT)
    def reference(name: str) -> Tensor:
        return read_image(pictures.references[name], min_side=1).pixels

    def load(index: int) -> Tensor:
        path, name = items[index]
        pixels = read_image(path, min_side=1).pixels
        if not fidelity:
            return pixels
        try:
            theirs = reference(name)
        except ImageError as error:
            why[index] = str(error)
            return pixels
        if theirs.shape != pixels.shape:
            sizes = [f"{found.shape[2]}×{found.shape[1]}" for found in (pixels, theirs)]
            why[index] = f"it is {sizes[0]} px, but its reference {sizes[1]} px: they must be of one size"
            return pixels
        return torch.cat([pixels, theirs])  # (6, H, W)

    keys = tuple(_key(path, pictures.references.get(name) if fidelity else None) for path, name in items)
    return DataSet(
        "methods", keys, None, load, identity="methods",
        no_reference=lambda index: why.get(index, "there are no reference images"),
    )  # fmt: skip


def _key(path: str, reference: str | None) -> str:
    """A file by which its scores are known: of another file of that name, or another reference, there are none yet."""
    stamps = []
    for file in filter(None, (path, reference)):
        try:
            status = os.stat(file)
            stamps.append((os.path.abspath(file), status.st_size, status.st_mtime_ns))
        except OSError:
            stamps.append((file, 0, 0))
    return f"{printable(os.path.abspath(path))}#{hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:12]}"


def _cropped(metric: BuiltMetric | str, border: int) -> BuiltMetric | str:
    """A full-reference metric that looks at what lies inside the border only."""
    if isinstance(metric, str) or metric.spec.mode != "FR" or not border:
        return metric
    score = metric.score

    def inside(*images: Tensor) -> Any:
        for x in images:
            if min(x.shape[-2:]) <= 2 * border:
                raise ImageError(f"nothing is left of {x.shape[-1]}×{x.shape[-2]} px without a border of {border} px")
        return score(*(x[..., border:-border, border:-border].contiguous() for x in images))

    return replace(metric, score=inside, provenance={**metric.provenance, "crop_border": str(border)})


def _score_sets(metric: BuiltMetric, pictures: Pictures, store: ScoreStore, seed: int) -> None:
    for key, files, references in _sets(pictures):
        if not store.is_done(metric.key, key):
            store.add(metric.key, key, score_set(metric, files, references, seed))
    store.close()


def _sets(pictures: Pictures) -> Iterable[tuple[str, list[str], list[str]]]:
    """Key of each test set of each method, its files, and the references."""
    for test_set, names in pictures.test_sets.items():
        references = [pictures.references[name] for name in names] if pictures.references else []
        for method in pictures.methods:
            files = [pictures.files[method][name] for name in names]
            stamps = [_key(path, None) for path in [*files, *references]]
            yield (
                f"{test_set}/{method}#{hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:12]}",
                files,
                references,
            )


def _columns(
    specs: Sequence[MetricSpec],
    built: Mapping[str, BuiltMetric | str],
    store: ScoreStore,
    data: DataSet,
    pictures: Pictures,
    border: int,
) -> dict[str, Column]:
    columns = {}
    unread = store.entries.get(UNREADABLE, {})
    readable = [key for key in data.paths if key not in unread or not unread[key].error]
    for spec in specs:
        metric = built[spec.label]
        keys = [key for key, *_ in _sets(pictures)] if spec.of_sets else readable
        entries = store.entries.get(metric.key, {}) if isinstance(metric, BuiltMetric) else {}
        found = {key.rpartition("#")[0]: entries[key] for key in keys if key in entries}
        result = metric_result(spec, metric, found, len(keys))
        columns[spec.label] = Column(
            result, spec.mode, spec.of_sets, computed_on(spec), border if spec.mode == "FR" else 0
        )
    return columns


def _scores(
    columns: Mapping[str, Column],
    built: Mapping[str, BuiltMetric | str],
    store: ScoreStore,
    data: DataSet,
    pictures: Pictures,
) -> pandas.DataFrame:
    where = {name: test_set for test_set, names in pictures.test_sets.items() for name in names}
    rows = []
    keys = iter(data.paths)
    for name in pictures.names:
        for method in pictures.methods:
            key = next(keys)
            row: dict[str, Any] = {
                "test_set": where[name],
                "image": name,
                "method": method,
                "path": pictures.files[method][name],
            }
            for label, column in columns.items():
                if not column.of_sets:
                    row[label] = _score(built[label], store, key)
            rows.append(row)
    labels = [label for label, column in columns.items() if not column.of_sets]
    frame = pandas.DataFrame(rows, columns=["test_set", "image", "method", "path", *labels])
    return frame.astype(dict.fromkeys(labels, float))


def _set_scores(
    columns: Mapping[str, Column], built: Mapping[str, BuiltMetric | str], store: ScoreStore, pictures: Pictures
) -> pandas.DataFrame:
    labels = [label for label, column in columns.items() if column.of_sets]
    rows = []
    keys = iter([key for key, *_ in _sets(pictures)] if labels else [])
    for test_set in pictures.test_sets:
        for method in pictures.methods if labels else ():
            key = next(keys)
            rows.append({"test_set": test_set, "method": method} | {n: _score(built[n], store, key) for n in labels})
    frame = pandas.DataFrame(rows, columns=["test_set", "method", *labels])
    return frame.astype(dict.fromkeys(labels, float))


def _score(metric: BuiltMetric | str, store: ScoreStore, key: str) -> float:
    entry: StoredScore | None = None if isinstance(metric, str) else store.get(metric.key, key)
    return math.nan if entry is None or entry.score is None else entry.score


def _notes(
    preset: Preset | None,
    specs: Sequence[MetricSpec],
    columns: Mapping[str, Column],
    border: int,
    pictures: Pictures,
    store: ScoreStore,
    data: DataSet,
) -> tuple[str, ...]:
    """What to say under the table, but for how to read it."""
    notes = []
    if preset:
        notes.append(f"Preset: {preset.source}.")
        if preset.score:
            notes.append(f"{preset.score} = {preset.formula}.")
    for where in dict.fromkeys(column.computed_on for column in columns.values() if column.computed_on):
        labels = [label for label, column in columns.items() if column.computed_on == where]
        notes.append(f"{' and '.join(labels)} {'is' if len(labels) == 1 else 'are'} computed {where}.")
    if any(spec.mode == "FR" for spec in specs):
        notes.append(
            f"Full-reference metrics leave out a border of {border} px." if border
            else "Full-reference metrics see whole images, without a border left out."
        )  # fmt: skip
    if any(spec.of_sets for spec in specs):
        notes.append(
            "Metrics of whole sets are one value for each set, so without a deviation; they depend on how many images "
            "there are."
        )
    notes += [f"{line}." for line in pictures.left_out]
    unread = store.entries.get(UNREADABLE, {})
    problems = [unread[key].error for key in data.paths if key in unread and unread[key].error]
    notes += [f"Left out of all methods: {problem}" for problem in problems]
    return tuple(notes)
