"""``compare``: metrics side by side on data sets."""

from __future__ import annotations

import contextlib
import logging
import math
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pandas
import torch

from ..datasets.data_sets import DataSet, parse_data_sets
from ..datasets.published_correlations import ENSEMBLE, variant
from ..datasets.score_table import count_learned_from, seen_by_mini, seen_warning
from ..errors import CLIPIQAError, counted
from ..errors.arguments import AnySize, SharedOptions, checked
from ..files.names import printable
from ..files.writing import check_folder, locked
from ..images.batches import default_workers
from ..images.image import Image
from ..metric import CLIPIQA, find_device
from ..metrics.files import scores_of
from ..metrics.metric import Metric, MetricSet
from ..metrics.parsing import parse_metrics
from ..prompts.pairs import PRESETS
from ..results.results import Output, Results
from ..results.scores import Scores
from ..scoring.engine import Options, plan, score_items
from ..scoring.score import circumstances
from .data_set_results import DataSetResult, MetricResult
from .results import Comparison, check_results, score_file

_PACKAGES = ("clipiqa-pyiqa", "pyiqa", "torch", "torchvision", "open_clip_torch", "pillow", "numpy", "scipy")
Progress = Callable[[str, int, int], object]
"""Function of a data set's name, the number of finished images, and the number of all images."""
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
        metrics: See :func:`~clipiqa_pyiqa.metrics.parsing.parse_metrics`.
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
        overwrite: Start again; with ``resume``, score again only by metrics that have changed.
        trust_weights: Let pyiqa load files and URLs that could run code.
        strict: Raise before scoring if a metric cannot be built.
        without_mini_photos: Leave out ``mini``'s training photos if a metric uses it.
        progress: See :data:`Progress`.
        device, batch_size, workers: as in :class:`~clipiqa_pyiqa.errors.arguments.SharedOptions`.

    Returns:
        The comparison, with the failures of single metrics and images.

    Raises:
        CLIPIQAError: An argument is unknown, missing or contradictory, a CSV file cannot be used, or ``out`` cannot be
            written.
    """
    asked = parse_metrics([metrics], also=("file",), trust_weights=trust_weights)
    sets = parse_data_sets(data_sets, data_root, within)
    where = find_device(device)
    options = Options(where, batch_size, workers or default_workers(), seed, reading=AnySize())
    folder = None
    if out is not None:
        inputs = [path for data in sets for path in (*data.paths, data.table)]
        folder = check_results(out, [data.name for data in sets], inputs, overwrite=overwrite, resume=resume)
        check_folder(folder / "scores")
    with contextlib.nullcontext() if folder is None else locked(folder):
        built = [metric.built(where, seed, strict) for metric in asked]
        ready = MetricSet(metric for metric in built if not metric.error)
        results = []
        for data in sets:
            images = list(data.images)
            if data.mos is not None:
                data, images = _without_training_photos(data, images, ready.metrics, without_mini_photos)
            output = None
            if folder is not None:
                output = Output(score_file(folder, data.name), "parquet", resume, overwrite)
            how = {"data_set": data.identity, **circumstances(where)}
            with Results(output, ready.columns, how) as stored:
                if data.mos is not None:
                    stored.join("mos", dict(zip(map(printable, data.paths), data.mos, strict=True)))
                for metric in ready.files:
                    stored.join(metric.columns[0], scores_of(metric, list(map(printable, data.paths))))
                seconds = score_missing(data.name, images, ready, stored, options, progress)
            found = stored.scores().under(dict.fromkeys(image.name for image in images))
            skipped = unread(found)
            known = metric_results(built, found, seconds)
            scores = found.frame.reindex(columns=[metric.label for metric in built]).drop(index=list(skipped))
            opinion = None if data.mos is None else pandas.Series(data.mos, data.paths, float, "mos").loc[scores.index]
            result = DataSetResult(
                data.name,
                scores,
                opinion,
                mos_lower_better=data.lower_better,
                metrics=known,
                skipped=skipped,
                stored=stored,
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
    return Comparison(tuple(results), {**run_settings(options), "bootstrap": str(bootstrap)})


def _without_training_photos(
    data: DataSet, images: list[Image], metrics: Sequence[Metric], leave_out: bool
) -> tuple[DataSet, list[Image]]:
    """Return the data set, with notes on metrics' training photos, and the images to score."""
    notes = [data.note]
    nets = {metric.label: metric.net for metric in metrics if metric.net is not None}
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


def score_missing(
    title: str, images: Sequence[Image], metrics: MetricSet, results: Results, options: Options, progress: Progress
) -> dict[str, float]:
    """Score what results lack; return label -> median seconds per image in this run, NaN if nothing was scored."""
    known, count = results.known, len(images)
    tasks = list(plan(images, metrics, options, known))
    seconds = {metric.label: list[float]() for metric in metrics.metrics}
    done = count - len(tasks)
    if known:
        again = len(tasks) - known.new
        log.info(
            "%s: %s kept, %s scored again or by more metrics, %s new.", title, counted(done, "image"), again, known.new
        )
    progress(title, done, count)
    for number, row in enumerate(score_items(tasks, metrics, options, count), done + 1):
        row = results.append(row)
        if row.width is None and row.error:
            log.warning("%s: left out of all metrics: %s", title, row.error)
        for times, time in zip(seconds.values(), row.seconds, strict=True):
            if not math.isnan(time):
                times.append(time)
        progress(title, number, count)
    return {label: statistics.median(times) if times else math.nan for label, times in seconds.items()}


def unread(found: Scores) -> dict[str, str]:
    """Return image -> why it could not be read."""
    lost = found.other.index[found.other["width"].isna()]
    return {path: found.errors[path] for path in lost if path in found.errors}


def metric_results(
    metrics: Sequence[Metric], found: Scores, seconds: Mapping[str, float], noun: str = "image"
) -> dict[str, MetricResult]:
    results, lost = {}, unread(found)
    for metric in metrics:
        error, note, scores = metric.error, "", pandas.Series(dtype=float)
        if not error:
            scores = found.frame[metric.label].drop(index=list(lost))
        failed = scores.index[scores.isna()]
        if len(failed):
            why = found.errors.get(failed[0]) or f"{Path(metric.name).name} lacks {printable(failed[0])!r}."
            note = f"no score for {len(failed)} of {counted(len(scores), noun)}: {why}"
        if scores.empty and not error:
            error = "no image could be read."
        results[metric.label] = MetricResult(
            metric.columns[0],
            seconds_per_image=seconds.get(metric.label, math.nan),
            error=error or (note if len(failed) == len(scores) else ""),
            published_as=published_name(metric),
            note="" if len(failed) == len(scores) else note,
        )
    return results


def published_name(metric: Metric) -> str:
    """Return the metric's name in the published correlations, all of which are of OpenAI's weights; or ``''``."""
    net = metric.net
    if not isinstance(net, CLIPIQA):
        return "" if metric.options else metric.name
    weights = net.clip.weights
    if weights.tag != "openai":
        return ""
    if net.prompt_learner is not None:
        return metric.name if set(metric.options) <= {"precision", "clip_weights"} and metric.made is None else ""
    if net.prompts == PRESETS["pyiqa"] and weights.backbone == "RN50" and net.pos_embedding == "none":
        return ENSEMBLE
    if len(net.prompts) == 1:
        return variant(weights.backbone, net.pos_embedding, net.prompts[0].positive, net.prompts[0].negative)
    return ""


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
