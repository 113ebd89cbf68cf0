"""``compare``: metrics side by side on data sets."""

from __future__ import annotations

import contextlib
import logging
import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pandas
import torch

from ..datasets.data_sets import DataSet, parse_data_sets
from ..datasets.score_table import count_learned_from, seen_by_mini, seen_warning
from ..errors import CLIPIQAError, counted
from ..errors.arguments import AnySize, SharedOptions, checked
from ..files.names import file_name, printable
from ..files.writing import locked
from ..images.batches import default_workers
from ..images.image import Image
from ..metric import find_device
from ..scoring.engine import Options
from ..scoring.metric_specs import MetricSpec, check_weights, parse_metrics
from ..scoring.metrics import BuiltMetric, MetricSet, build_or_explain
from ..scoring.stored import Progress, ScoreStore, score_missing
from .data_set_results import DataSetResult, MetricResult
from .results import Comparison, check_results

_PACKAGES = ("clipiqa-pyiqa", "pyiqa", "torch", "torchvision", "open_clip_torch", "pillow", "numpy", "scipy")
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
    fit_parameters: Literal[4, 5] = 4,
    published: Literal["", "paper", "pyiqa"] = "",
    within: str = "",
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    strict: bool = False,
    without_mini_photos: bool = False,
    progress: Progress = lambda data_set, done, total: None,
) -> Comparison:
    """Return scores of metrics on data sets, and their correlations with human opinion.

    Args:
        metrics: See :func:`~clipiqa_pyiqa.scoring.metric_specs.parse_metrics`.
        data_sets: See :func:`~clipiqa_pyiqa.datasets.data_sets.parse_data_sets`.
        out: Folder for scores; None stores nothing.
        data_root: Folder that pyiqa's data set configurations call ``./datasets``.
        bootstrap: Number of resamples for intervals, 0 (no intervals) to a million.
        seed: Seed of resamples and of random metrics.
        plcc_fit: Add PLCC and RMSE after a logistic fit.
        fit_parameters: Number of parameters of the logistic curve: 4 (monotonic) or 5 (VQEG).
        published: Preferred source of published values: ``'paper'`` or ``'pyiqa'``.
        within: Column of the tables of scores; adds the mean SROCC within the groups that it names, such as scenes.
        resume: Compute only the scores that ``out`` lacks.
        overwrite: Delete the scores in ``out`` first.
        trust_weights: Let pyiqa load files and URLs that could run code.
        strict: Raise before scoring if a metric cannot be built.
        without_mini_photos: Leave out ``mini``'s training photos if a metric uses it.
        progress: See :data:`~clipiqa_pyiqa.scoring.stored.Progress`.
        device, batch_size, workers: as in :class:`~clipiqa_pyiqa.errors.arguments.SharedOptions`.

    Returns:
        The comparison, with the failures of single metrics and images.

    Raises:
        CLIPIQAError: An argument is unknown, missing or contradictory, a CSV file cannot be used, or ``out`` cannot be
            written.
    """
    specs, sets = parse_metrics(metrics), parse_data_sets(data_sets, data_root, within)
    check_weights(specs, trust_weights)
    where = find_device(device)
    options = Options(where, batch_size, workers or default_workers(), seed, reading=AnySize())
    folder = None
    if out is not None:
        inputs = [path for data in sets for path in (*data.paths, data.table)]
        folder = check_results(out, [data.name for data in sets], inputs, overwrite=overwrite, resume=resume)
    with contextlib.nullcontext() if folder is None else locked(folder):
        built = {spec.label: build_or_explain(spec, where, seed, strict) for spec in specs}
        ready = [metric for metric in built.values() if isinstance(metric, BuiltMetric)]
        results = []
        for data in sets:
            parts = folder and folder / "parts" / f"{file_name(data.name)}-{data.identity}"
            store = ScoreStore(parts, overwrite)
            images = list(data.images)
            if data.mos is not None:
                data, images = _without_training_photos(data, images, ready, without_mini_photos)
            keys, skipped = score_missing(data.name, images, MetricSet(ready), store, options, progress)
            scored = [image.name for image in images if image.name not in skipped]
            paths = pandas.Index(map(printable, scored), name="path")
            opinion = None if data.mos is None else pandas.Series(data.mos, data.paths, float, "mos").loc[paths]
            scores, known = stored_scores(specs, built, store, [keys[name] for name in scored])
            result = DataSetResult(
                data.name,
                scores.set_axis(paths),
                opinion,
                mos_lower_better=data.lower_better,
                metrics=known,
                skipped={printable(name): why for name, why in skipped.items()},
                note=data.note,
                published_as=data.published_as,
                bootstrap=bootstrap,
                seed=seed,
                plcc_fit=plcc_fit,
                fit_parameters=fit_parameters,
                prefer=published,
                groups=dict(zip(data.paths, data.groups, strict=False)),
            )
            results.append(result)
            if folder is not None:
                result.save_scores(folder / "scores")
    return Comparison(tuple(results), {**run_settings(options), "bootstrap": str(bootstrap)})


def _without_training_photos(
    data: DataSet, images: list[Image], metrics: Sequence[BuiltMetric], leave_out: bool
) -> tuple[DataSet, list[Image]]:
    """Return the data set, with notes on metrics' training photos, and the images to score."""
    notes = [data.note]
    nets = {metric.spec.label: metric.net for metric in metrics if metric.net is not None}
    has_mini = any(net.clip.weights.backbone == "mini" for net in nets.values())
    seen = seen_by_mini(data.paths) if has_mini else []
    if any(seen) and leave_out:
        images = [image for image, was_seen in zip(images, seen, strict=True) if not was_seen]
        if not images:
            raise CLIPIQAError(
                f"mini was trained on all images of data set {data.name!r}: use other photos, or unset "
                "without_mini_photos."
            )
        notes.append(f"left out: {counted(sum(seen), 'image')} that mini was trained on")
        data = replace(data, published_as="")
    elif any(seen):
        notes.append(seen_warning(sum(seen), len(seen)))
    for label, net in nets.items():
        if learned := count_learned_from(net, [image.name for image in images]):
            warning = f"{label} was trained on {learned:,} of these {counted(len(images), 'image')}"
            notes.append(f"{warning}: its agreement with them says little")
    return replace(data, note="; ".join(notes)), images


def stored_scores(
    specs: Sequence[MetricSpec], built: Mapping[str, BuiltMetric | str], store: ScoreStore, keys: Sequence[str]
) -> tuple[pandas.DataFrame, dict[str, MetricResult]]:
    """Return stored scores (a row per key, a column per metric) and a result per metric."""
    scores, results = {}, {}
    for spec in specs:
        metric = built[spec.label]
        error, about = (metric, None) if isinstance(metric, str) else ("", metric)
        known = {} if about is None else store.entries.get(about.key, {})
        entries = {key: known[key] for key in keys if key in known}
        scores[spec.label] = [entries[key].score if key in entries else None for key in keys]
        times = [entry.seconds for entry in entries.values() if not entry.error]
        failures = [(key, entry.error) for key, entry in entries.items() if entry.error]
        note = ""
        if failures:
            key, reason = failures[0]
            total = counted(len(keys), "set" if spec.of_sets else "image")
            note = f"no score for {len(failures)} of {total}, such as {Path(key).name}: {reason}."
        if not (keys or error):
            error = "no image could be read."
        results[spec.label] = MetricResult(
            lower_better=spec.lower_better,
            score_range=spec.score_range,
            provenance=spec.provenance if about is None else about.provenance,
            seconds_per_image=statistics.median(times) if times else math.nan,
            error=error or ("" if times else note),
            published_as="" if about is None else about.published_as,
            note=note if times else "",
        )
    return pandas.DataFrame(scores, keys, dtype=float), results


def run_settings(options: Options) -> dict[str, str]:
    return {
        **versions(),
        "device": str(options.device),
        "threads": str(torch.get_num_threads()),
        "seed": str(options.seed),
        "batch size": str(options.batch_size),
        "workers": str(options.workers),
    }


def versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES} | {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
