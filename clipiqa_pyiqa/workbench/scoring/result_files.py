"""Runs whose results are files of a folder: these files, and scoring what they lack."""

from collections.abc import Iterable, Sequence

from ...checks import FilePath
from ...logger import log
from ..files.folders import make_folder
from ..images.image import Image
from ..metrics.metric_set import MetricSet
from ..options import Progress, check_storage
from ..results.output import Output
from ..results.store import Results
from .engine import score_items
from .options import Options
from .plan import plan
from .tally import log_tally


def prepare_result_files(
    folder: FilePath | None,
    stored: Sequence[str],
    others: Iterable[str],
    inputs: Iterable[str],
    *,
    resume: bool,
    overwrite: bool,
) -> dict[str, Output]:
    """Make a folder of results, and check its files; give its files of scores by name, none without a folder.

    Args:
        stored: Names of the files of scores.
        others: Names of the other results, which are replaced if the run is continued.
        inputs: Files that are never replaced.
    """
    check_storage(folder, resume, overwrite)
    if folder is None:
        return {}
    place = make_folder(folder, stored, overwrite=True)
    files = {name: Output(place / name, "", resume, overwrite, drop_vanished=True) for name in stored}
    is_continued = resume and any(file.earlier() for file in files.values())
    make_folder(place, [*others, *files], overwrite=overwrite or is_continued, inputs=inputs)
    return files


def score_missing(
    title: str, images: Sequence[Image], metrics: MetricSet, results: Results, options: Options, progress: Progress
) -> dict[str, float]:
    """Score what results lack; return label -> median seconds per image in this run, NaN if nothing was scored."""
    import pandas

    count = len(images)
    planned = plan(results.images.remembered(images), metrics, options, results.earlier)
    tasks = list(planned.tasks)
    log_tally(results, planned.tally, f"{title}: ")
    seconds = list[tuple[float, ...]]()
    done = count - len(tasks)
    progress(title, done, count)
    for number, row in enumerate(score_items(tasks, metrics, options, count), done + 1):
        results.append(row)
        row = results.completed(row)
        if row.width is None and row.error:
            log.warning(f"{title}: left out of all metrics: {row.error}")
        seconds.append(row.seconds)
        progress(title, number, count)
    labels = [metric.label for metric in metrics.of_images]
    return pandas.DataFrame(seconds, columns=labels, dtype=float).median().to_dict()
