"""What is in a score store, as the result of a data set, and as the Parquet file that people read."""

from __future__ import annotations

import itertools
import math
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .datasets import DataSet
from .metrics import Metric, MetricSpec
from .results import DataSetResult, MetricResult
from .score_store import UNREADABLE, Entry, ScoreStore, writing

if TYPE_CHECKING:
    import pandas


def data_set_result(
    data: DataSet,
    specs: Sequence[MetricSpec],
    built: Mapping[str, Metric],
    failed: Mapping[str, str],
    store: ScoreStore,
    bootstrap: int,
    seed: int,
    plcc_fit: bool,
    published: str,
) -> DataSetResult:
    import pandas

    unread = store.entries.get(UNREADABLE, {})
    skipped = {path: unread[path].error for path in data.paths if path in unread and unread[path].error}
    kept = [index for index, path in enumerate(data.paths) if path not in skipped]
    paths = pandas.Index([data.paths[index] for index in kept], name="path")
    columns, results = {}, {}
    for spec in specs:
        metric = built.get(spec.label)
        entries = store.entries.get(metric.key, {}) if metric is not None else {}
        of_images = {path: entries[path] for path in paths if path in entries}
        columns[spec.label] = [
            entry.score if (entry := of_images.get(path)) is not None and entry.score is not None else math.nan
            for path in paths
        ]
        results[spec.label] = _metric_result(spec, metric, failed.get(spec.label, ""), of_images, len(paths))
    mos = None if data.mos is None else pandas.Series([data.mos[index] for index in kept], paths, float, "mos")
    return DataSetResult(
        data.name,
        pandas.DataFrame(columns, index=paths, dtype=float),
        mos,
        data.lower_better,
        results,
        skipped,
        data.note,
        data.published_as,
        bootstrap,
        seed,
        plcc_fit,
        published,
    )


def _metric_result(
    spec: MetricSpec, metric: Metric | None, error: str, entries: Mapping[str, Entry], images: int
) -> MetricResult:
    failures = {path: entry.error for path, entry in entries.items() if entry.error}
    scored = [entry for entry in entries.values() if not entry.error]
    note = ""
    if failures:
        path, why = next(iter(failures.items()))
        said = f"no score for {len(failures)} of {images} images, such as {Path(path).name}: {why}."
        error, note = (error, said) if scored else (said, "")
    if not error and not images:
        error = "no image could be read."
    times = [entry.seconds for entry in scored]
    return MetricResult(
        spec.label,
        spec.lower_better,
        spec.score_range,
        metric.provenance if metric is not None else spec.shown,
        statistics.median(times) if times else math.nan,
        error,
        metric.published_as if metric is not None else "",
        note,
    )


def write_scores(path: Path, result: DataSetResult) -> None:
    """Path, opinion and scores of each image, and in ``attrs`` what they are."""
    frame: pandas.DataFrame = result.scores.copy()
    if result.mos is not None:
        frame.insert(0, "mos", result.mos)
    frame.attrs = {
        "data_set": result.name,
        "note": result.note,
        "mos_lower_better": result.mos_lower_better,
        "metrics": {
            label: {**metric.provenance, "lower_better": metric.lower_better, "error": metric.error}
            for label, metric in result.metrics.items()
        },
        "skipped": dict(result.skipped),
    }
    with writing(path.parent):
        beside = path.with_suffix(".tmp")
        frame.to_parquet(beside)
        os.replace(beside, path)


def file_name(name: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def free_name(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken already, also where case does not count; it is taken from now on."""
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    free = next(name for name in names if name.lower() not in taken)
    taken.add(free.lower())
    return free
