"""Scores of all images of a run, together with those of earlier runs."""

from __future__ import annotations

import logging
import math
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..errors import check_resume
from ..files.writing import check_folder
from ..images.image import Image
from ..metrics.metric import MetricSet
from ..results.results import Output, Results
from ..results.scores import Scores
from .engine import Options, plan, score_items

Progress = Callable[[str, int, int], object]
"""Function of a title, the number of finished images, and the number of all images."""
log = logging.getLogger("clipiqa_pyiqa")


def outputs(
    folder: str | os.PathLike[str] | None,
    stored: Sequence[str],
    others: Iterable[str],
    inputs: Iterable[str],
    *,
    resume: bool,
    overwrite: bool,
) -> dict[str, Output]:
    """Return name -> file of scores in a folder of results, which is made; without a folder nothing.

    Args:
        stored: Names of the files of scores.
        others: Names of the other results, which are replaced if the run is continued.
        inputs: Files that are never replaced.
    """
    check_resume(folder, resume)
    if folder is None:
        return {}
    place = made(folder, stored)
    found = {name: Output(place / name, "", resume, overwrite) for name in stored}
    is_continued = resume and any(each.earlier() for each in found.values())
    check_folder(place, [*others, *found], overwrite=overwrite or is_continued, inputs=inputs)
    return found


def made(folder: str | os.PathLike[str], names: Iterable[str]) -> Path:
    place = check_folder(folder)
    for name in names:
        check_folder((place / name).parent)
    return place


def score_missing(
    title: str, images: Sequence[Image], metrics: MetricSet, results: Results, options: Options, progress: Progress
) -> dict[str, float]:
    """Score what results lack; return label -> median seconds per image in this run, NaN if nothing was scored."""
    known, count = results.known, len(images)
    tasks = list(plan(images, metrics, options, known))
    seconds = {metric.label: list[float]() for metric in metrics.metrics}
    done = count - len(tasks)
    if known:
        log.info("%s: %s.", title, known.sentence)
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
