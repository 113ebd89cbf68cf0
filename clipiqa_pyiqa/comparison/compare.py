"""``compare``: metrics side by side on data sets."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Unpack

import pandas
import torch

from ..datasets.data_sets import DataSet, parse_data_sets
from ..datasets.score_table import count_learned_from, seen_by_mini, seen_warning
from ..errors import BatchOptions, CLIPIQAError, Progress, checked, counted, log, silent
from ..files.reading import FileHashes
from ..images.batches import WORKERS
from ..images.image import Image
from ..metrics.building import build
from ..metrics.metric import Metric, MetricSet
from ..metrics.parsing import parse_metrics
from ..results.results import Results
from ..scoring.engine import Options, outputs
from ..scoring.score import circumstances
from .data_set_results import DataSetResult, score_all
from .results import OTHERS, Comparison, score_file


@checked
def compare(
    metrics: Any,
    data_sets: Any,
    *,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    plcc_fit: bool = False,
    fit_parameters: Literal[4, 5] = 4,
    within: str = "",
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    strict: bool = False,
    without_mini_photos: bool = False,
    progress: Progress = silent,
    **batches: Unpack[BatchOptions],
) -> Comparison:
    """Return scores of metrics on data sets, and their correlations with human opinion.

    Args:
        metrics: See :func:`~clipiqa_pyiqa.metrics.parsing.parse_metrics`.
        data_sets: See :func:`~clipiqa_pyiqa.datasets.data_sets.parse_data_sets`.
        out: Folder for scores, or None.
        data_root: Folder that pyiqa's data set configurations call ``./datasets``.
        bootstrap: Resamples for intervals, 0 (none) to a million.
        plcc_fit: Add PLCC and RMSE after a logistic fit.
        fit_parameters: Parameters of the logistic curve: 4 (monotonic) or 5 (VQEG).
        within: Column of groups, such as scenes, in the tables of scores; adds the mean SROCC within groups.
        resume: Compute only the scores that ``out`` lacks.
        overwrite, trust_weights, strict: As for :func:`~clipiqa_pyiqa.score_paths`.
        without_mini_photos: Leave out ``mini``'s training photos if a metric uses it.
        batches: As in :class:`~clipiqa_pyiqa.errors.Batches`.
    """
    asked = parse_metrics([metrics], also=("file",), trust_weights=trust_weights)
    sets = parse_data_sets(data_sets, data_root, within)
    options = Options.of(batches, seed=seed, min_side=1)
    inputs = [path for data in sets for path in (*data.paths, data.table)]
    files = outputs(out, [score_file(data.name) for data in sets], OTHERS, inputs, resume=resume, overwrite=overwrite)
    if 0 < len(files) < len(sets):
        raise CLIPIQAError("the names of two data sets differ only in punctuation: give one of them another label.")
    built = [build(metric, options.device, seed, strict) for metric in asked]
    ready = MetricSet(metric for metric in built if not metric.error)
    results, stored = list[DataSetResult](), dict[str, Results]()
    for data in sets:
        data, images = _without_training_photos(data, ready.metrics, without_mini_photos)
        names = [image.name for image in data.images]
        name = score_file(data.name)
        opinion = pandas.Series(data.mos or (), names if data.mos else (), float, "mos")
        scores, of_metrics, skipped, stored[name] = score_all(
            data.name,
            images,
            built,
            ready,
            files.get(name),
            options,
            progress,
            {"mos": opinion[[image.name for image in images]]} if data.mos else {},
            data_set=data.identity,
        )
        scores = scores.drop(index=list(skipped))
        results.append(
            DataSetResult(
                data.name,
                scores,
                opinion[opinion.index.isin(scores.index)],
                of_metrics,
                data.lower_better,
                skipped,
                data.note,
                data.published_as,
                bootstrap,
                seed,
                fit_parameters if plcc_fit else 0,
                dict(zip(names, data.groups, strict=False)),
            )
        )
    return Comparison(tuple(results), {**run_settings(options), "bootstrap": str(bootstrap)}, stored)


def _without_training_photos(
    data: DataSet, metrics: Sequence[Metric], leave_out: bool
) -> tuple[DataSet, Sequence[Image]]:
    """Return the data set, with notes on metrics' training photos if there are opinions, and the images to score."""
    images, notes = data.images, [data.note]
    if data.mos is None:
        return data, images
    nets = {metric.label: metric.net for metric in metrics if metric.net is not None}
    has_mini = any(net.clip.weights.backbone == "mini" for net in nets.values())
    hashes = FileHashes()
    seen = seen_by_mini(data.paths, hashes) if has_mini else []
    if any(seen) and leave_out:
        images = tuple(image for image, was_seen in zip(images, seen, strict=True) if not was_seen)
        if not images:
            raise CLIPIQAError(
                f"mini was trained on all images of data set {data.name!r}: use other photos, or unset "
                "without_mini_photos."
            )
        notes.append(f"left out: {counted(sum(seen), 'image')} that mini was trained on")
        log.warning(notes[-1])
        data = replace(data, published_as="")
    elif any(seen):
        notes.append(seen_warning(sum(seen), len(seen)))
    elif has_mini:
        notes.append("mini was trained on rated photos of BIQ2021, but on none of these images' scores")
    for label, net in nets.items():
        if learned := count_learned_from(net, [image.name for image in images], hashes):
            notes.append(
                f"{label} was trained on {learned:,} of these {counted(len(images), 'image')}: its agreement with them "
                "says little"
            )
    return replace(data, note="; ".join(notes)), images


def run_settings(options: Options) -> dict[str, str]:
    here = circumstances(options.device)
    return {
        **{name: version(name) for name in ("torchvision", "numpy", "scipy")},
        **here["versions"],
        **here["decoders"],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": here["device"],
        "threads": str(torch.get_num_threads()),
        "seed": str(options.seed),
        "batch size": str(options.batch_size),
        "workers": str(options.workers or WORKERS),
    }
