"""Scoring of what results lack, image by image, while progress is shown."""

from collections.abc import Sequence

from ...logger import log
from ..images.image import Image
from ..metrics.metric_set import MetricSet
from ..options import Progress
from ..results.store import Results
from .engine import scored_rows
from .options import Options
from .plan import plan
from .tally import log_tally


def score_missing(
    title: str, images: Sequence[Image], metrics: MetricSet, results: Results, options: Options, progress: Progress
) -> dict[str, float]:
    """Score what results lack; return label -> median seconds per image in this run, NaN if nothing was scored."""
    import pandas

    count = len(images)
    planned = plan(results.images.claiming(images), metrics, options, results.earlier)
    tasks = list(planned.tasks)
    log_tally(results, planned.tally, f"{title}: ")
    seconds = list[tuple[float, ...]]()
    done = count - len(tasks)
    progress(title, done, count)
    for number, row in enumerate(scored_rows(tasks, metrics, options, count), done + 1):
        results.append(row)
        row = results.completed(row)
        if row.width is None and row.error:
            log.warning(f"{title}: left out of all metrics: {row.error}")
        seconds.append(row.seconds)
        progress(title, number, count)
    labels = [metric.label for metric in metrics.of_images]
    return pandas.DataFrame(seconds, columns=labels, dtype=float).median().to_dict()
