"""The photos that ``clipiqa rank`` puts in order: those of a score file, or photos that it scores first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ...errors import CLIPIQAError, OptionError
from ..options import Batches, Reading
from .options.metric_options import MetricOptions
from .options.picking import OrderOptions
from .options.reports import Experiment, lacks_of

if TYPE_CHECKING:
    from ..rank.conditions import Condition
    from ..rank.photos import Photos


class RankedPhotos(NamedTuple):
    """Photos with scores.

    Attributes:
        lacks: Sentences about those without a score.
        is_complete: Whether no score is missing; in a score file, photos that could not be read may lack theirs.
    """

    photos: Photos
    lacks: Sequence[str]
    is_complete: bool


def ranked_photos(
    sources: Sequence[str],
    experiment: Experiment,
    order: OrderOptions,
    conditions: Sequence[Condition],
    count: int,
    has_page: bool,
) -> RankedPhotos:
    """Return the photos in a score file, or those that sources name, which are scored first.

    Args:
        count: Number of best photos on a sheet, and of worst photos.
        has_page: Whether a page of the photos is asked for.
    """
    from ..results.score_files import is_score_file

    score_files = list(filter(is_score_file, sources))
    if not score_files:
        return _scored_photos(sources, experiment, order, conditions, count)
    if len(sources) > 1:
        raise OptionError(f"{score_files[0]!r} is a score file, which is ranked alone: name no other PATH beside it.")
    _check_needs_no_images(experiment, has_page)
    return _photos_in(sources[0], order, conditions)


def _check_needs_no_images(experiment: Experiment, has_page: bool) -> None:
    """Raise ``OptionError`` for options that a score file cannot use; a page decodes photos, but scores none."""
    if experiment.metrics != MetricOptions() or experiment.output.out is not None:
        needing = "--prompts, --metrics, --backbone, other options of a metric, and --out"
        raise OptionError(f"{needing} need images; a score file holds scores: leave them out.")
    if experiment.scoring.reading != Reading():
        raise OptionError("--max-side and other options of reading need images: leave them out.")
    batches = experiment.scoring.batches
    if has_page:
        batches = replace(batches, workers=None, memory=None, huge=False)
    if batches != Batches():
        raise OptionError("--device, --threads and other options of scoring need images to score: leave them out.")


def _photos_in(file: str, order: OrderOptions, conditions: Sequence[Condition]) -> RankedPhotos:
    """Return the photos in a score file; those that nobody can read count as having no score.

    The file is complete without scores of photos that could not be read: the command that wrote it has said so.
    """
    from ..rank.photos import Photos
    from ..results.cuts import unscored_note
    from ..results.failures import UNREAD
    from ..results.score_files import read_scores

    key = next(iter(order.columns), None)
    direction = order.direction
    try:
        scores = read_scores(file, key=key, columns=order.columns[1:] or None)
    except CLIPIQAError as error:
        raise CLIPIQAError(error.text({"key": "--columns"})) from error  # which names the column of paths here
    if "kind" in scores.other:  # another tool may have scored what cannot be read
        is_unread = scores.other["kind"].isin(UNREAD)
        scores.frame[is_unread.to_numpy()] = None
    by = scores.names[0] if order.by is None else order.by
    photos = Photos(scores, by, direction, order.root, conditions)
    is_complete = photos.unreadable.issuperset(photos.unscored)
    return RankedPhotos(photos, unscored_note(photos.unscored), is_complete)


def _scored_photos(
    sources: Sequence[str], experiment: Experiment, order: OrderOptions, conditions: Sequence[Condition], count: int
) -> RankedPhotos:
    """Return photos that are scored here."""
    direction = order.direction
    if order.columns or order.root is not None:
        raise OptionError(f"--columns and --root need a score file; got {sources[0]!r}.")
    output = experiment.output
    of_scores = replace(output, overwrite=output.overwrite and output.out is not None)  # else of the page
    ranking = replace(experiment, output=of_scores).run("rank", sources, count=count)
    photos = replace(ranking.photos(order.by, direction), conditions=conditions)
    return RankedPhotos(photos, lacks_of(ranking), ranking.is_complete)
