"""Metrics side by side on data sets: each image is decoded once and scored by all metrics.

Images are worked on in blocks of ``batch_size``, in the order of the data set, which the processes of a team take in
turn. What shares a pass is decided within a block, so that the numbers do not depend on how many processes there are.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import re
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import ImageError
from ..scoring import BATCH_PIXELS, default_workers
from .comparison import Comparison, DataSetResult, MetricResult
from .datasets import DataSet, parse_data_sets
from .metrics import Metric, MetricSpec, build_metric, parse_metrics
from .published import SOURCES
from .requests import CompareError
from .score_store import UNREADABLE, Entry, ScoreStore, writing
from .scorers import Group, group_metrics, own_random_state, reason, score_group
from .team import Team, joined, team_of_environment

if TYPE_CHECKING:
    import pandas

log = logging.getLogger("clipiqa_pyiqa")

Progress = Callable[[str, int, int], object]
"""Called with a data set's name, images done and images in all (of this process)."""


@dataclass(frozen=True)
class _Options:
    device: torch.device
    batch_size: int
    workers: int
    seed: int
    progress: Progress


def compare(
    metrics: Any,
    data_sets: Any,
    *,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    plcc_fit: bool = False,
    published: str = "",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    settings: Mapping[str, str] | None = None,
) -> Comparison:
    """Score every image of every data set with every metric, and correlate the scores with opinion.

    Under ``torchrun`` the processes share the work through ``out`` and all return the same.

    Args:
        metrics: See :func:`~clipiqa_pyiqa.evaluate.metrics.parse_metrics`.
        data_sets: See :func:`~clipiqa_pyiqa.evaluate.datasets.parse_data_sets`.
        out: A folder, in which ``parts/`` takes per-image scores as they come and ``scores/`` one Parquet file per data
            set at the end. None keeps nothing.
        data_root: The folder that pyiqa's data set configurations call ``./datasets``.
        device: Where to score; default cuda if there is one, else cpu.
        batch_size: Images that are worked on at a time; those of equal size share a pass of a CLIP encoder.
        workers: Decoding threads; None is one per core, up to eight.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Of the resamples, and of metrics that draw at random.
        plcc_fit: Also PLCC after the VQEG logistic fit.
        published: ``'paper'`` or ``'pyiqa'``: whose values to show where both publish one.
        resume: Go on with the scores that lie in ``out``; those made by another setup are left alone.
        overwrite: Delete them first.
        progress: See :data:`Progress`.
        settings: More to say about this run, for the results.

    Raises:
        CompareError: Something asked for is unknown, missing or contradictory, or ``out`` cannot be written. What is
            wrong with one metric or one image is in the result instead.
        TableError: A CSV file cannot be used.
    """
    team = team_of_environment()
    specs, sets = parse_metrics(metrics), parse_data_sets(data_sets, data_root)
    options = _Options(
        _device(device, team),
        _at_least(1, "batch_size", batch_size),
        _at_least(1, "workers", workers or default_workers()),
        seed,
        progress or (lambda *_: None),
    )
    _at_least(0, "bootstrap", bootstrap)
    if published not in ("", *SOURCES):
        raise CompareError(f"published values are those of {' or '.join(map(repr, SOURCES))}, but {published!r} came.")
    folder = Path(out).expanduser().resolve() if out is not None else None
    if folder is None and team.size > 1:
        raise CompareError("several processes share their scores through a folder: name one with out (--out DIR).")
    with joined(team):
        stores = _stores(folder, sets, team, resume, overwrite)
        if not team.leads:
            team.wait()  # until the leader has fetched what metrics fetch
        built, failed = _build(specs, options.device)
        if team.leads:
            team.wait()
        results = []
        for data, store in zip(sets, stores, strict=True):
            with own_random_state():
                _score(data, group_metrics(list(built.values())), store, team, options)
            store.flush()
            team.wait()
            store.load()
            team.wait()
            if team.leads:
                store.merge()
            results.append(_result(data, specs, built, failed, store, bootstrap, seed, plcc_fit, published))
            if team.leads and folder is not None:
                _write_scores(folder / "scores" / f"{file_name(data.name)}.parquet", results[-1])
        team.wait()
    told = {**_settings(team, options), "bootstrap": str(bootstrap), "seed": str(seed), **(settings or {})}
    return Comparison(tuple(results), told)


def _stores(
    folder: Path | None, sets: Sequence[DataSet], team: Team, resume: bool, overwrite: bool
) -> list[ScoreStore]:
    """Where each data set's scores go, checked to be writable, with what an earlier run left there."""
    owner = f"rank{team.rank}"
    if folder is None:
        return [ScoreStore(None, owner) for _ in sets]
    stores = [ScoreStore(folder / "parts" / f"{file_name(data.name)}-{data.identity}", owner) for data in sets]
    if team.leads:
        taken = (folder / "parts").is_dir() and any((folder / "parts").iterdir())
        if taken and not resume and not overwrite:
            raise CompareError(
                f"{str(folder)!r} holds the scores of an earlier run: resume it (--resume), or overwrite it "
                "(--overwrite)."
            )
        for store in stores:
            assert store.folder is not None
            with writing(folder):
                store.folder.mkdir(parents=True, exist_ok=True)
                (folder / "scores").mkdir(exist_ok=True)
                if not os.access(store.folder, os.W_OK):
                    raise PermissionError(13, "permission denied")
                if overwrite and not resume:
                    store.clear()
    team.wait()
    for store in stores:
        store.load()
    team.wait()  # nobody writes before everybody has read, so that all see the same work as done
    return stores


def _build(specs: Sequence[MetricSpec], device: torch.device) -> tuple[dict[str, Metric], dict[str, str]]:
    """Label -> metric, and label -> why it cannot be built."""
    built, failed = {}, {}
    for spec in specs:
        try:
            built[spec.label] = build_metric(spec, device)
        except Exception as error:
            hint = (
                "; if its weights cannot be fetched, name a local file in its options (pretrained_model_path=FILE)"
                if isinstance(error, OSError)
                else ""
            )
            failed[spec.label] = f"it cannot be built: {reason(error)}{hint}."
            log.warning("metric %s: %s", spec.label, failed[spec.label])
    return built, failed


def _score(data: DataSet, groups: Sequence[Group], store: ScoreStore, team: Team, options: _Options) -> None:
    """Score this process's share of a data set."""
    keys = [metric.key for group in groups for metric in group.metrics]

    def to_do(index: int) -> bool:
        path = data.paths[index]
        unread = store.get(UNREADABLE, path)
        return bool(unread and unread.error) or any(not store.scored(key, path) for key in keys)

    step = options.batch_size
    blocks = [range(start, min(start + step, len(data.paths))) for start in range(0, len(data.paths), step)]
    own = blocks[team.rank :: team.size]
    total, done = sum(map(len, own)), 0
    waited, start = 0.0, time.perf_counter()
    work = [[index for index in block if to_do(index)] for block in own] if keys else []
    done = total - sum(map(len, work))
    options.progress(data.name, done, total)
    try:
        for block, images, waiting in _decoded(data, work, options.workers):
            waited += waiting
            readable = {}
            for index, image in zip(block, images, strict=True):
                if isinstance(image, ImageError):
                    log.warning("%s: left out of all metrics: %s", data.name, image)
                    store.add(UNREADABLE, data.paths[index], Entry(None, math.nan, str(image)))
                    continue
                if store.get(UNREADABLE, data.paths[index]):
                    store.add(UNREADABLE, data.paths[index], Entry(None, math.nan))  # it can be read by now
                readable[index] = image
            for indices in _batches(readable):
                _score_batch(data, indices, [readable[index] for index in indices], groups, store, options)
            done += len(block)
            options.progress(data.name, done, total)
    finally:
        store.flush()
    if waited:
        share = waited / (time.perf_counter() - start)
        log.info("%s: the metrics waited %.1f %% of the time for decoding", data.name, 100 * share)


def _score_batch(
    data: DataSet,
    indices: Sequence[int],
    images: Sequence[Tensor],
    groups: Sequence[Group],
    store: ScoreStore,
    options: _Options,
) -> None:
    """Score images of one size with whatever metrics lack them."""
    x = torch.stack(list(images)).contiguous().to(options.device)
    x = x.float().div_(255) if x.dtype == torch.uint8 else x
    for group in groups:
        lacking = [
            place
            for place, index in enumerate(indices)
            if any(not store.scored(metric.key, data.paths[index]) for metric in group.metrics)
        ]
        if not lacking:
            continue
        entries = score_group(group, x if len(lacking) == len(x) else x[lacking], options.seed)
        for metric, scored in zip(group.metrics, entries, strict=True):
            for place, entry in zip(lacking, scored, strict=True):
                path = data.paths[indices[place]]
                if not store.scored(metric.key, path):
                    store.add(metric.key, path, entry)


def _decoded(
    data: DataSet, blocks: Sequence[Sequence[int]], workers: int
) -> Iterator[tuple[Sequence[int], list[Tensor | ImageError], float]]:
    """Blocks of decoded images and the seconds spent waiting for them, decoded ahead in the background."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="clipiqa-decode")
    ahead: deque[tuple[Sequence[int], list[Future[Tensor | ImageError]]]] = deque()
    coming, submitted = iter([block for block in blocks if block]), 0

    def submit_more() -> None:
        nonlocal submitted
        while submitted < 2 * workers or len(ahead) < 2:  # the block after this one, at least
            if (block := next(coming, None)) is None:
                return
            ahead.append((block, [pool.submit(_load, data, index) for index in block]))
            submitted += len(block)

    try:
        submit_more()
        while ahead:
            block, futures = ahead.popleft()
            submitted -= len(block)
            submit_more()
            start = time.perf_counter()
            images = [future.result() for future in futures]
            yield block, images, time.perf_counter() - start
    finally:
        pool.shutdown(cancel_futures=True)


def _load(data: DataSet, index: int) -> Tensor | ImageError:
    try:
        return data.load(index)
    except ImageError as error:
        return error


def _batches(images: Mapping[int, Tensor]) -> list[list[int]]:
    """Images that share a pass: of one size, and not too many pixels at once."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for index, image in images.items():
        sizes.setdefault(tuple(image.shape), []).append(index)
    steps = {size: max(1, BATCH_PIXELS // math.prod(size[1:])) for size in sizes}
    return [
        indices[start : start + steps[size]]
        for size, indices in sizes.items()
        for start in range(0, len(indices), steps[size])
    ]


def _result(
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


def _write_scores(path: Path, result: DataSetResult) -> None:
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


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("clipiqa-pyiqa", "pyiqa", "torch", "torchvision", "open_clip_torch", "pillow", "scipy")
    return {package: version(package) for package in packages}


def _settings(team: Team, options: _Options) -> dict[str, str]:
    device = options.device
    return {
        **_versions(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": str(team.size),
        "threads": str(torch.get_num_threads()),
        "batch size": str(options.batch_size),
        "workers": str(options.workers),
    }


def _device(device: str | torch.device | None, team: Team) -> torch.device:
    """The device; of several GPUs, each process of a team its own."""
    found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if found.type == "cuda" and found.index is None:
        return torch.device("cuda", team.local_rank % max(1, torch.cuda.device_count()))
    return found


def _at_least(lowest: int, name: str, value: int) -> int:
    if value < lowest:
        raise CompareError(f"{name} must be at least {lowest}, but is {value}.")
    return value


def file_name(name: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"
