"""``compare``: metrics side by side on data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import pandas

from ...checks import check_one_of, check_whole
from ...errors import CLIPIQAError
from ...files import FileHashes
from ...options import lists_options
from ...text import counted, few, log
from ..images.image import Image
from ..metrics.description import Takes
from ..metrics.kinds import BrokenMetric, ClipMetric, ImageMetric
from ..metrics.metric_set import MetricSet
from ..metrics.parsing import parse_metrics
from ..metrics.remarks import log_remarks
from ..opinions.data_set import DataSet
from ..opinions.data_sets import parse_data_sets
from ..opinions.learned_photos import seen_by_mini
from ..options import ComparisonOptions, SharedOptions
from ..progress import Progress, silent
from ..results.output import Output
from ..results.store import Results
from ..scoring.options import Options
from ..scoring.result_files import create_result_files
from .comparison import OTHERS, Comparison, scores_name
from .data_set_result import DataSetResult
from .scored_images import ScoredImages, score_all
from .settings import run_settings
from .training_notes import training_notes


@lists_options(ComparisonOptions, of=SharedOptions)
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
    **batches: Unpack[ComparisonOptions],
) -> Comparison:
    """Return scores of metrics on data sets, and their correlations with human opinion.

    Args:
        metrics: See :func:`~clipiqa_pyiqa.workbench.metrics.parsing.parse_metrics`. If all scores are in files, no
            image is read, and those in CSV files need not exist.
        data_sets: See :func:`~clipiqa_pyiqa.workbench.opinions.data_sets.parse_data_sets`.
        out: Folder for scores, or None.
        data_root: Folder that replaces ``./datasets`` in pyiqa's paths.
        bootstrap: Resamples for intervals, 0 (none) to a million.
        plcc_fit: Add PLCC and RMSE after a logistic fit.
        fit_parameters: Parameters of the logistic curve: 4 (monotonic) or 5 (VQEG).
        within: Column of groups, such as scenes, in the tables of opinions; adds the statistics within groups.
        resume: Compute only the scores that ``out`` lacks; metrics that an earlier run finished stay in the tables.
        overwrite, trust_weights, strict: As for :func:`~clipiqa_pyiqa.score_paths`.
        without_mini_photos: Leave out ``mini``'s training photos if a metric uses it.
        batches: As in :class:`~clipiqa_pyiqa.workbench.options.Batches` and
            :class:`~clipiqa_pyiqa.workbench.options.Sizes`.
    """
    check_whole("bootstrap", bootstrap, 0, 1_000_000)
    check_one_of("fit_parameters", fit_parameters, (4, 5))
    asked = parse_metrics([metrics], also=(Takes.NAME,), trust_weights=trust_weights)
    needs_images = any(metric.takes is not Takes.NAME for metric in asked)
    sets = parse_data_sets(data_sets, data_root, within, needs_images)
    _log_notes_on_columns(sets)
    options = Options.of(batches, seed=seed, min_side=1)
    if not needs_images:
        _check_no_limit(options)
    outputs = _outputs(sets, out, resume, overwrite)
    built = [metric.build(options.device, seed, strict) for metric in asked]
    log_remarks(built)
    ready = MetricSet(metric for metric in built if not isinstance(metric, BrokenMetric))
    of_data_sets = list[DataSetResult]()
    stored = dict[str, Results]()
    statistics = {"bootstrap": bootstrap, "seed": seed, "fit": fit_parameters if plcc_fit else 0}
    for data in sets:
        name = scores_name(data.name)
        hashes = FileHashes()  # each photo is hashed once
        images = _images_to_score(data, ready.of_images, without_mini_photos, hashes)
        scored = score_all(
            title=data.name,
            images=images,
            built=built,
            ready=ready,
            output=outputs.get(name),
            options=options,
            progress=progress,
            joined=_opinions_of(images, data),
            reading={"data_set": data.identity, **options.limits},
            with_earlier=resume,
        )
        stored[name] = scored.results
        left_out = _notes_on_what_is_left_out(data, images, scored)
        for note in left_out:
            log.warning(f"{data.name}: {note}")
        notes = [*left_out, *training_notes(data, images, ready.of_images, scored, hashes)]
        if not needs_images:
            notes.append("no image was read, as all scores are in files")
        of_data_sets.append(_data_set_result(data, scored, notes, options, statistics))
    return Comparison(tuple(of_data_sets), {**run_settings(options), "bootstrap": str(bootstrap)}, stored)


def _log_notes_on_columns(sets: Sequence[DataSet]) -> None:
    """Log which columns of opinions are not read, although they have usual names too."""
    for data in sets:
        for sentence in data.notes_on_columns:
            log.info(sentence)


def _check_no_limit(options: Options) -> None:
    """Raise ``CLIPIQAError`` for a limit of sizes, which has no effect where no image is read."""
    if options.limits:
        limit = next(iter(options.limits))
        raise CLIPIQAError(f"all scores are in files, so that no image is shrunk: leave out {limit}.", options=(limit,))


def _outputs(sets: Sequence[DataSet], out: str | Path | None, resume: bool, overwrite: bool) -> dict[str, Output]:
    """Return the files of the data sets' scores, by their names in ``out``; none without ``out``."""
    inputs = [path for data in sets for path in (*data.paths, data.table)]
    names = [scores_name(data.name) for data in sets]
    outputs = create_result_files(out, names, OTHERS, inputs, resume=resume, overwrite=overwrite)
    if outputs and len(outputs) < len(sets):
        raise CLIPIQAError("the names of two data sets differ only in punctuation: give one of them another label.")
    return outputs


def _opinions_of(images: Sequence[Image], data: DataSet) -> dict[str, list[float]]:
    """Return the column of opinions on some of a data set's images; nothing without opinions."""
    if data.mos is None:
        return {}
    opinions = {image.name: opinion for image, opinion in zip(data.images, data.mos, strict=True)}
    return {"mos": [opinions[image.name] for image in images]}


def _data_set_result(
    data: DataSet, scored: ScoredImages, notes: Sequence[str], options: Options, statistics: Mapping[str, int]
) -> DataSetResult:
    """Return the result on a data set, with notes on its images; unread images are left out."""
    notes = [data.note, *notes]
    if options.limits:
        notes.append(f"{counted(scored.shrunk, 'image')} shrunk {options.limits_text}")
    names = [image.name for image in data.images]
    scores = scored.scores.drop(index=list(scored.unread))
    opinions = pandas.Series(data.mos or (), names if data.mos else (), float, "mos")
    return DataSetResult(
        data.name,
        scores,
        mos=opinions[opinions.index.isin(scores.index)],
        metrics=scored.metrics,
        mos_lower_better=data.lower_better,
        skipped=scored.unread,
        note="; ".join(filter(None, notes)),
        published_as="" if options.limits else data.published_as,
        source=data.source,
        unfinished=scored.unfinished,
        groups=dict(zip(names, data.groups, strict=True)) if data.groups else {},
        part=data.part,
        **statistics,
    )


def _images_to_score(
    data: DataSet, metrics: Sequence[ImageMetric], without_mini_photos: bool, hashes: FileHashes
) -> Sequence[Image]:
    """Return the images of a data set, without ``mini``'s training photos if they are unwanted and it is a metric.

    Without opinions, no photo is left out, as none can flatter ``mini``.
    """
    has_mini = any(isinstance(metric, ClipMetric) and metric.backbone == "mini" for metric in metrics)
    if data.mos is None or not has_mini or not without_mini_photos:
        return data.images
    seen = seen_by_mini([image.name for image in data.images], hashes)
    images = tuple(image for image, was_seen in zip(data.images, seen, strict=True) if not was_seen)
    if not images:
        raise CLIPIQAError(
            f"mini was trained on all images of data set {data.name!r}: use other photos, or unset "
            "without_mini_photos.",
            options=("without_mini_photos",),
        )
    return images


def _notes_on_what_is_left_out(data: DataSet, images: Sequence[Image], scored: ScoredImages) -> list[str]:
    """Return which images and metrics are left out, in phrases."""
    notes = []
    left_out = len(data.images) - len(images)
    if left_out:
        notes.append(f"left out: {counted(left_out, 'image')} that mini was trained on")
    if scored.unfinished:
        notes.append(
            f"left out, as an earlier run did not score all images by them: {few(scored.unfinished)}; name them again "
            "to finish them"
        )
    return notes
