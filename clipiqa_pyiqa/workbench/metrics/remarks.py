"""What a user should know of metrics before they score."""

from collections.abc import Iterable

from ...text import counted, few, log
from .description import ObjectDescription
from .kinds import BrokenMetric, FileMetric, ImageMetric


def log_remarks(metrics: Iterable[ImageMetric | FileMetric]) -> None:
    """Log which metrics cannot be built, which do not tell their direction, and which scores in files are too old."""
    for metric in metrics:
        if isinstance(metric, FileMetric):
            _warn_of_changed_images(metric)
            continue
        _warn_of_missing_direction(metric)
        if isinstance(metric, BrokenMetric) and metric.details:
            log.error(f"metric {metric.label} cannot be built: {metric.details}")


def _warn_of_changed_images(metric: FileMetric) -> None:
    changed = metric.changed_images
    if changed:
        log.warning(
            f"left out: {metric.path!r} has scores of {counted(len(changed), 'image')} that changed since: "
            f"{few(changed)}"
        )


def _warn_of_missing_direction(metric: ImageMetric) -> None:
    description = metric.description
    if not description.label or not isinstance(description, ObjectDescription):
        return
    if getattr(description.instance, "lower_better", None) is None:
        log.warning(
            f"high scores of {description.label!r} are taken as good: set its attribute lower_better to True or False."
        )
