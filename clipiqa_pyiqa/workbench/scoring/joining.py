"""Joining of scores in files to the rows of a run."""

from collections.abc import Iterable, Sequence

from ...text import log
from ..metrics.file_scores import scores_of
from ..metrics.kinds import FileMetric
from ..results.store import Results


def join_scores_in_files(results: Results, metrics: Iterable[FileMetric], images: Sequence[str] = ()) -> None:
    """Join the scores of metrics to results of these images, or of all rows; log a file that names none of them."""
    for metric in metrics:
        images = images or [cells["path"] for cells in results.rows()]
        scores = scores_of(metric, images)
        if not scores:
            example = next(iter(metric.scores), "")
            log.warning(f"no name in the file of {metric.label}, such as {example!r}, is that of an image.")
        unmatched = [image for image in images if image not in scores]
        results.join_scores(metric.columns[0], scores, unmatched)
