"""Scoring of what results lack, image by image, while progress is shown; and how long each metric took."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...text import log
from ..images.image import Image
from ..metrics.metric_set import MetricSet
from ..progress import Progress
from ..results.row import Row
from ..results.store import Results
from .engine import scored_rows
from .options import Options
from .plan import plan
from .tally import log_tally


@dataclass
class MetricTimes:
    """How long metrics took for each image that a run scored."""

    _seconds: list[tuple[float, ...]] = field(default_factory=list)  # of each image: by the metric's position

    def add(self, row: Row) -> None:
        self._seconds.append(row.seconds)

    def medians(self, metrics: MetricSet) -> dict[str, float]:
        """Return label -> median seconds per image; NaN if nothing was scored."""
        import pandas

        labels = [metric.label for metric in metrics.of_images]
        return pandas.DataFrame(self._seconds, columns=labels, dtype=float).median().to_dict()


def score_missing(
    title: str,
    images: Sequence[Image],
    metrics: MetricSet,
    results: Results,
    options: Options,
    progress: Progress,
    times: MetricTimes,
) -> None:
    """Score what results lack, and add the seconds of each image that is scored to ``times``."""
    count = len(images)
    planned = plan(results.images.claiming(images), metrics, options, results.earlier)
    tasks = list(planned.tasks)
    log_tally(results, planned.tally, f"{title}: ")
    done = count - len(tasks)
    progress(title, done, count)
    for number, row in enumerate(scored_rows(tasks, metrics, options, count), done + 1):
        results.append(row)
        row = results.completed(row)
        if row.width is None and row.error:
            log.warning(f"{title}: left out of all metrics: {row.error}")
        times.add(row)
        progress(title, number, count)
