"""Scores of images by the metrics of a run, with what is known of each metric."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pandas import DataFrame

from ...errors import Kind
from ...text import counted, few, printable
from ..images.image import Image
from ..metrics.kinds import BrokenMetric, FileMetric, ImageMetric
from ..metrics.metric_set import MetricSet
from ..progress import Progress
from ..results.columns import Record
from ..results.output import Output
from ..results.scores import Scores
from ..results.store import Results, open_results
from ..scoring.circumstances import circumstances
from ..scoring.joining import join_scores_in_files
from ..scoring.missing_scores import MetricTimes, score_missing
from ..scoring.options import Options
from .metric_result import MetricResult
from .published_metric import published_in_record, published_metric


@dataclass(frozen=True)
class ScoredImages:
    """Scores of images by the metrics of a run.

    Attributes:
        scores: A row per image, a column per metric; NaN where a metric failed.
        metrics: Label -> what is known of the metric.
        unread: Image -> why it could not be read.
        shrunk: Number of images that were scored at a smaller size than their own.
        unfinished: Metrics of an earlier run that are left out, as it did not score all images by them.
        results: The memory of the run.
    """

    scores: DataFrame
    metrics: dict[str, MetricResult]
    unread: dict[str, str]
    shrunk: int
    unfinished: tuple[str, ...]
    results: Results


def score_all(
    title: str,
    images: Sequence[Image],
    built: Sequence[ImageMetric | FileMetric],
    ready: MetricSet,
    output: Output | None,
    options: Options,
    progress: Progress,
    joined: Mapping[str, Iterable[Any]],
    noun: str = "image",
    *,
    reading: Record,
    with_earlier: bool = False,
) -> ScoredImages:
    """Return scores of images by those metrics that are ``ready``, which are some of those that were ``built``.

    Args:
        title: Name of the images, for progress and messages.
        output: File of the scores; None without a file.
        joined: Column -> values, to be stored beside the scores.
        noun: What an image is called in notes.
        reading: How images are read.
        with_earlier: Also return the columns that an earlier run finished, and this run does not name.
    """
    names = [image.name for image in images]
    shown = list(map(printable, names))
    with open_results(output, ready.columns, {**reading, **circumstances(options.device)}) as results:
        for column, values in joined.items():
            results.join_facts(column, dict(zip(shown, values, strict=True)))
        join_scores_in_files(results, ready.files, shown)
        times = MetricTimes()
        score_missing(title, images, ready, results, options, progress, times)
    stored = results.scores().under(names)
    labels = [metric.label for metric in built]
    metrics = {}
    seconds = times.medians(ready)
    for metric in built:
        time = seconds.get(metric.label, math.nan)
        metrics[metric.label] = _result_of(metric, stored, time, noun)
    earlier_columns = [name for name in stored.columns if name not in labels] if with_earlier else []
    unfinished = tuple(name for name in earlier_columns if not _is_finished(name, stored))
    for name in earlier_columns:
        if name not in unfinished:
            metrics[name] = _earlier_result(name, stored, noun)
    scores = stored.frame.reindex(columns=[*metrics])
    return ScoredImages(scores, metrics, stored.unread, _count_shrunk(stored), unfinished, results)


def _result_of(metric: ImageMetric | FileMetric, stored: Scores, seconds: float, noun: str) -> MetricResult:
    """Return what is known of a metric that this run built, or could not build."""
    error = metric.reason if isinstance(metric, BrokenMetric) else ""
    note = ""
    if not error:
        note = _note_on_gaps(metric.label, stored, noun, isinstance(metric, FileMetric))
        if _has_no_score(metric.label, stored):
            error = note or "no image could be read."
            note = ""
    published = published_metric(metric)
    return MetricResult(
        column=metric.columns[0],
        seconds_per_image=seconds,
        error=error,
        published_as=published.name,
        unlike_published=published.difference,
        note=note,
    )


def _earlier_result(name: str, stored: Scores, noun: str) -> MetricResult:
    """Return what is known of a metric that an earlier run finished."""
    column = stored.columns[name]
    note = _note_on_gaps(name, stored, noun, is_of_file=False)
    published = published_in_record(column.record)
    return MetricResult(column, published_as=published.name, unlike_published=published.difference, note=note)


def _has_no_score(label: str, stored: Scores) -> bool:
    """Return whether a metric has a score of none of the images, though there are images."""
    return len(stored.frame) > 0 and (label not in stored.frame or bool(stored.frame[label].isna().all()))


def _gaps(label: str, stored: Scores) -> list[str]:
    """Return the images that could be read, but have no score of a metric."""
    readable = stored.frame.drop(index=[*stored.unread])
    if label not in readable:
        return [*readable.index]
    return [*readable.index[readable[label].isna()]]


def _note_on_gaps(label: str, stored: Scores, noun: str, is_of_file: bool) -> str:
    """Return how many images have no score of a metric, and why the first has none; empty if all have one."""
    gaps = _gaps(label, stored)
    if not gaps:
        return ""
    readable = len(stored.frame) - len(stored.unread)
    note = f"no score for {len(gaps)} of {counted(readable, noun)}"
    if is_of_file:
        return f"{note}: the file has no number for {few(map(printable, gaps))}."
    why = stored.errors.get(gaps[0])
    return f"{note}: {why}" if why else f"{note}."


def _is_finished(name: str, stored: Scores) -> bool:
    """Return whether an earlier run scored, or tried to score, all images by a metric."""
    gaps = _gaps(name, stored)
    return not stored.other.loc[gaps, "kind"].eq(Kind.NOT_ASKED).any()


def _count_shrunk(stored: Scores) -> int:
    """Return the number of images that were scored at a smaller size than their own."""
    sizes = stored.other[["width", "height", "scored_width", "scored_height"]].dropna()
    pixels = sizes["width"] * sizes["height"]
    return int((sizes["scored_width"] * sizes["scored_height"] < pixels).sum())
