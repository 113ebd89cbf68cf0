"""``compare``: metrics side by side on data sets, from what is asked for to the result."""

from __future__ import annotations

import contextlib
import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas
import torch

from ..datasets.data_sets import DataSet, parse_data_sets
from ..datasets.mini_photos import seen_by_mini, seen_warning
from ..datasets.published_correlations import SOURCES
from ..datasets.specification import CompareError
from ..errors import CLIPIQAError, counted, first_of
from ..errors.arguments import SharedOptions, checked
from ..files.journal import JournalFolder
from ..files.locking import locked
from ..files.names import file_name
from ..images.batches import default_workers
from ..metric import find_device
from .distributed import Processes, process_group, processes_of_environment
from .metrics import BuiltMetric, MetricSpec, build_metric, check_weights, parse_metrics
from .pipeline import Options, Progress, score_data_set
from .results import Comparison, DataSetResult, MetricResult, check_results
from .scorers import UNREADABLE, ScoreStore, StoredScore, failure, group_metrics, missing_file, own_random_state

log = logging.getLogger("clipiqa_pyiqa")


@checked
def compare(
    metrics: Any,
    data_sets: Any,
    *,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
    bootstrap: int = 1000,
    seed: int = 0,
    plcc_fit: bool = False,
    fit_parameters: int = 4,
    published: str = "",
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    strict: bool = False,
    without_mini_photos: bool = False,
    progress: Progress | None = None,
    settings: Mapping[str, str] | None = None,
) -> Comparison:
    """Score every image of every data set with every metric, and correlate the scores with opinion.

    Under ``torchrun`` the processes share the work through ``out`` and all return the same. Tables, pictures and the
    report are written by the result's :meth:`~clipiqa_pyiqa.comparison.results.Comparison.save`.

    Args:
        metrics: See :func:`~clipiqa_pyiqa.comparison.metrics.parse_metrics`.
        data_sets: See :func:`~clipiqa_pyiqa.datasets.data_sets.parse_data_sets`.
        out: A folder, in which ``parts/`` takes per-image scores as they come and ``scores/`` one Parquet file per data
            set at the end. None keeps nothing.
        data_root: The folder that pyiqa's data set configurations call ``./datasets``.
        bootstrap: Resamples for the intervals, at most a million; 0 for none.
        seed: Of the resamples, and of metrics that draw at random.
        plcc_fit: Also PLCC and RMSE after a logistic fit.
        fit_parameters: Of the logistic curve: 4, which rises or falls everywhere, or VQEG's 5.
        published: ``'paper'`` or ``'pyiqa'``: whose values to show where both publish one.
        resume: Go on with the scores that lie in ``out``; those made by another setup are left alone.
        overwrite: Delete them first.
        trust_weights: Let pyiqa load whatever files and URLs the metrics' options name, though they could run code.
        strict: Stop where a metric cannot be built, before anything is scored; otherwise the others are scored.
        without_mini_photos: Leave out the photos that ``mini`` was trained on, where it is one of the metrics and
            people's scores are known.
        progress: See :data:`~clipiqa_pyiqa.comparison.pipeline.Progress`.
        settings: More to say about this run, for the results.

    Raises:
        CompareError: Something asked for is unknown, missing or contradictory, or ``out`` cannot be written. What is
            wrong with one metric or one image is in the result instead.
        TableError: A CSV file cannot be used.
    """
    processes = processes_of_environment()
    specs, sets = parse_metrics(metrics), parse_data_sets(data_sets, data_root)
    where, report = pick_device(device, processes), progress or (lambda *_: None)
    options = Options(where, batch_size, workers or default_workers(), seed, report, strict)
    check_weights(specs, trust_weights)
    if published not in ("", *SOURCES):
        raise CompareError(f"published must be {' or '.join(map(repr, SOURCES))}; got {published!r}.")
    if fit_parameters not in (4, 5):
        raise CompareError(f"fit_parameters must be 4 or 5; got {fit_parameters}.")
    folder = Path(out).expanduser().resolve() if out is not None else None
    if folder is None and processes.count > 1:
        raise CompareError("several processes share their scores through a folder: name one with out.")
    own_folder: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if processes.is_main and folder is not None:
        own_folder = locked(check_results(folder, sets, overwrite=overwrite))
    with process_group(processes), own_folder:
        stores = _stores(folder, sets, processes, resume, overwrite)
        if not processes.is_main:
            processes.wait()  # until the main one has fetched what metrics fetch
        built = {spec.label: build_or_reason(spec, options) for spec in specs}
        if processes.is_main:
            processes.wait()
        ready = [metric for metric in built.values() if isinstance(metric, BuiltMetric)]
        has_mini = any(metric.net is not None and metric.net.clip.weights.backbone == "mini" for metric in ready)
        results = []
        for data, store in zip(sets, stores, strict=True):
            if has_mini and data.mos is not None:
                data = _told_of_mini(data, without_mini_photos)
            with own_random_state():
                score_data_set(data, group_metrics(ready), store, processes, options)
            processes.wait()
            store.load()
            analysis = {"bootstrap": bootstrap, "seed": seed, "plcc_fit": plcc_fit, "prefer": published}
            analysis["fit_parameters"] = fit_parameters
            results.append(_data_set_result(data, specs, built, store, **analysis))
            if processes.is_main and folder is not None:
                results[-1].save_scores(folder / "scores")
        processes.wait()
    known = {**settings_of(processes, options), "bootstrap": str(bootstrap), "seed": str(seed), **(settings or {})}
    return Comparison(tuple(results), known)


def _told_of_mini(data: DataSet, leave_out: bool) -> DataSet:
    """Return the data set with a note on the photos that ``mini`` was trained on, or without them."""
    seen = seen_by_mini(data.paths)
    if not any(seen):
        return data
    if not leave_out:
        return replace(data, note=f"{data.note}; {seen_warning(sum(seen), len(seen))}")
    kept = [index for index, was_seen in enumerate(seen) if not was_seen]
    if not kept or data.mos is None:
        raise CompareError(f"mini was trained on all images of data set {data.name!r}: keep them, or use other photos.")
    return replace(
        data,
        paths=tuple(data.paths[index] for index in kept),
        mos=tuple(data.mos[index] for index in kept),
        load=lambda index: data.load(kept[index]),
        note=f"{data.note}; {counted(sum(seen), 'image')} that mini was trained on left out",
        published_as="",
    )


def _data_set_result(
    data: DataSet,
    specs: Sequence[MetricSpec],
    built: Mapping[str, BuiltMetric | str],
    store: ScoreStore,
    **analysis: Any,
) -> DataSetResult:
    """What is in a score store, as the result of a data set."""
    unread = store.entries.get(UNREADABLE, {})
    skipped = {path: unread[path].error for path in data.paths if path in unread and unread[path].error}
    kept = [index for index, path in enumerate(data.paths) if path not in skipped]
    paths = pandas.Index([data.paths[index] for index in kept], name="path")
    columns, results = {}, {}
    for spec in specs:
        metric = built[spec.label]
        entries = store.entries.get(metric.key, {}) if isinstance(metric, BuiltMetric) else {}
        entries = {path: entries[path] for path in paths if path in entries}
        columns[spec.label] = pandas.Series({path: entry.score for path, entry in entries.items()}, paths, float)
        results[spec.label] = metric_result(spec, metric, entries, len(paths))
    return DataSetResult(
        data.name,
        pandas.DataFrame(columns, index=paths, dtype=float),
        None if data.mos is None else pandas.Series([data.mos[index] for index in kept], paths, float, "mos"),
        mos_lower_better=data.lower_better,
        metrics=results,
        skipped=skipped,
        note=data.note,
        published_as=data.published_as,
        **analysis,
    )


def metric_result(
    spec: MetricSpec, metric: BuiltMetric | str, entries: Mapping[str, StoredScore], images: int
) -> MetricResult:
    failures = {path: entry.error for path, entry in entries.items() if entry.error}
    times = [entry.seconds for entry in entries.values() if not entry.error]
    error, note = metric if isinstance(metric, str) else "", ""
    what = "set" if spec.of_sets else "image"
    if failures:
        path, why = next(iter(failures.items()))
        note = f"no score for {len(failures)} of {counted(images, what)}, such as {Path(path).name}: {why}."
        if not times:
            error, note = note, ""
    elif not isinstance(metric, str) and len(entries) < images:  # another process's rows, damaged since it wrote them
        note = f"{images - len(entries)} of {counted(images, 'score')} damaged during the run: resume it."
    return MetricResult(
        spec.label,
        lower_better=spec.lower_better,
        score_range=spec.score_range,
        provenance=spec.shown if isinstance(metric, str) else metric.provenance,
        seconds_per_image=statistics.median(times) if times else math.nan,
        error=error or ("" if images else "no image could be read."),
        published_as="" if isinstance(metric, str) else metric.published_as,
        note=note,
    )


def _stores(
    folder: Path | None, sets: Sequence[DataSet], processes: Processes, resume: bool, overwrite: bool
) -> list[ScoreStore]:
    """Where each data set's scores go, checked to be writable, with what an earlier run left there."""
    owner = f"rank{processes.rank}"
    if folder is None:
        return [JournalFolder(None, StoredScore) for _ in sets]
    names = {file_name(data.name): data.name for data in reversed(sets)}
    for data in sets:
        if (other := names[file_name(data.name)]) != data.name:
            raise CompareError(
                f"the data sets {other!r} and {data.name!r} would both be kept as {file_name(data.name)!r}: give one a "
                "label that differs in more than punctuation."
            )
    parts = folder / "parts"
    stores = [JournalFolder(parts / f"{file_name(data.name)}-{data.identity}", StoredScore, owner) for data in sets]
    if processes.is_main:
        if any(parts.glob("*")) and not resume and not overwrite:
            raise CompareError(
                f"{str(folder)!r} holds the scores of an earlier run: go on with it (resume) or drop it (overwrite)."
            )
        for store in stores if overwrite and not resume else ():
            store.clear()
    processes.wait()
    for store in stores:
        store.load()
        if processes.is_main and store.damaged:
            log.warning("damaged, and scored again: %s.", first_of(store.damaged))
    processes.wait()  # nobody writes before everybody has read, so that all see the same work as done
    return stores


def build_or_reason(spec: MetricSpec, options: Options) -> BuiltMetric | str:
    """Return the metric, or why it cannot be built, which is an error with ``strict``."""
    try:
        return build_metric(spec, options.device, options.seed)
    except Exception as error:
        ours, (first, _, more) = isinstance(error, CLIPIQAError), str(error).partition("\n")
        said = f"it cannot be built: {error if ours else f'{failure(error)}{missing_file(error)}.'}"
        if options.strict:
            raise CompareError(f"metric {spec.label}: {said}") from error
        log.error("metric %s: %s", spec.label, said)
        if ours and more:  # weights that are missing, which takes several lines to tell
            return f"it cannot be built: {first.rstrip('.')}; `clipiqa weights` shows where it would come from."
        return said


def settings_of(processes: Processes, options: Options) -> dict[str, str]:
    device = options.device
    packages = ("clipiqa-pyiqa", "pyiqa", "torch", "torchvision", "open_clip_torch", "pillow", "scipy")
    return {
        **{package: version(package) for package in packages},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": str(processes.count),
        "threads": str(torch.get_num_threads()),
        "batch size": str(options.batch_size),
        "workers": str(options.workers),
    }


def pick_device(device: str | torch.device | None, processes: Processes) -> torch.device:
    """The device; of several GPUs, each process its own."""
    found = find_device(device)
    if found.type == "cuda" and found.index is None:
        return torch.device("cuda", processes.local_rank % max(1, torch.cuda.device_count()))
    return found
