"""``clipiqa rank``: the best and the worst images."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ...errors import OptionError
from ...text import counted, few
from ..results.storage_options import check_storage
from .options.groups import Settings
from .options.messages import note, tell
from .options.picking import OrderOptions, PickOptions
from .options.progress import progress
from .options.reports import Experiment
from .options.running import check_inputs, start
from .ranked_photos import ranked_photos

if TYPE_CHECKING:
    from ..rank.page import RankingPage
    from ..rank.photos import Photos
    from ..rank.picked import Picked


_USUAL_COUNT = 10


def run(
    *sources: Annotated[str, Parameter(metavar="PATH")],
    count: int | None = None,
    page: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    picks: PickOptions = PickOptions(),
    order: OrderOptions = OrderOptions(),
    experiment: Experiment = Experiment(),
    settings: Settings = Settings(),
) -> int:
    """Find the best and the worst photos.

    PATH names folders of photos, which are scored first;
    or scores: a file (csv, jsonl, parquet) of any tool, or
    a folder that clipiqa score --engine ray wrote.

    examples:
      clipiqa rank photos/ --best 10
      clipiqa rank photos/ --page page/
      clipiqa rank scores.csv --where 'quality >= 0.6' 'sharpness >= 0.3' --unflagged --paths
      clipiqa rank photos/ --worst 20% --paths -0 | xargs -0r mv --backup=numbered -t rejected/

    Args:
        sources: folders, images, quoted globs; or a score file, or a folder of results on Ray
        count: best images to show, and as many worst; default: 10
        page: folder for ranking.html, a page with thumbnails, a slider for a threshold, and paths to copy
    """
    conditions = picks.conditions()  # a PATH may stand among names of flags
    if not sources:
        raise OptionError("no PATH given: name a folder of images, or a score file.")
    cuts = picks.cuts()
    check_inputs(sources)
    output = experiment.output
    check_storage(output.out, output.resume, output.overwrite and page is None)
    is_picking = bool(cuts or conditions)
    if picks.paths and not is_picking:
        raise OptionError(
            "--paths needs picked photos: add --worst, --best, --above, --below, --drop-worst, --where, --flagged or "
            "--unflagged."
        )
    shown_count = _shown_count(count, is_picking)
    ranked = ranked_photos(sources, experiment, order, conditions, shown_count, has_page=page is not None)
    tell(*ranked.lacks)
    photos = ranked.photos
    from ..rank.picked import pick, worst_and_best  # loads pandas

    picked = pick(photos, cuts) if is_picking else worst_and_best(photos, shown_count)
    missing = _missing(picked, picks, order) if is_picking else set()
    if missing:
        tell(f"{counted(len(missing), 'picked photo')} gone: {few(sorted(map(photos.path, missing)))}")
    if picks.skip_missing:
        picked = picked.without(missing)
    is_complete = picks.skip_missing or (ranked.is_complete and not missing)
    names = photos.best_first() if page is not None and not is_picking else picked.names
    if not names:
        tell(f"no photo is picked; {photos.by}: {photos.direction}")
        return 0 if is_complete else 1
    if not picks.despite_changes:
        photos.check_unchanged(names)
    _note_order(picked)
    if page is not None:
        shown = _page_of(photos, names, cuts, page)
        _write_page(shown, experiment)
        is_complete = is_complete and not shown.without_thumbnail
    if picks.paths:
        _print_paths(map(photos.path, names), picks.null)
    elif is_picking or page is None:
        print(picked.report().text(), end="")
    return 0 if is_complete else 1


def _shown_count(count: int | None, is_picking: bool) -> int:
    """Return how many of the best and of the worst photos to show. Raises ``OptionError`` beside picks."""
    if is_picking and count is not None:
        raise OptionError("--count is for the list without picks: leave it out, or write --best N or --worst N.")
    return _USUAL_COUNT if count is None else count


def _missing(picked: Picked, picks: PickOptions, order: OrderOptions) -> set[str]:
    """Return the picked photos that are gone; none if only a table is asked for, and all lie elsewhere."""
    missing = picked.missing()
    are_needed = picks.paths or picks.skip_missing or order.root is not None
    if are_needed or len(missing) < len(picked.names):
        return missing
    names = picked.photos.best_first()
    lie_elsewhere = len(picked.photos.missing(names)) == len(names)
    return set() if lie_elsewhere else missing


def _note_order(picked: Picked) -> None:
    note(f"{picked.photos.by}: {picked.photos.direction}")
    if picked.has_overlap:
        note("worst and best overlap: photos of both count as worst")


def _page_of(photos: Photos, names: Sequence[str], cuts: Mapping[str, Any], folder: Path) -> RankingPage:
    from ...files import resolved
    from ..rank.page import RankingPage

    shown = set(names)
    best_first = [name for name in photos.best_first() if name in shown]
    are_good = len(cuts) > 0 and cuts.keys() <= {"best", "above"}
    return RankingPage(photos, best_first, resolved(folder), is_best_first=are_good)


def _write_page(page: RankingPage, experiment: Experiment) -> None:
    batches = experiment.scoring.batches
    start(batches)
    with progress("photo") as show:
        page.write(overwrite=experiment.output.overwrite, workers=batches.workers, progress=show)
    note(f"the page is {page.file}")
    unreadable = page.without_thumbnail
    if unreadable:
        tell(f"{counted(len(unreadable), 'photo')} on the page cannot be read: {few(unreadable)}")


def _print_paths(paths: Iterable[str], null: bool) -> None:
    """Print paths as they are on the disk, also those that are not UTF-8."""
    end = b"\0" if null else b"\n"
    sys.stdout.buffer.write(b"".join(os.fsencode(path) + end for path in paths))
