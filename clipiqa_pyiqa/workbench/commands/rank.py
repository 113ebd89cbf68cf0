"""``clipiqa rank``: the best and the worst images."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ...errors import CLIPIQAError, OptionError
from ...text import counted, few
from ..options import Reading, check_storage
from .options.flags import COLUMNS, OPTIONS, RARE, group_of_command
from .options.groups import MetricOptions, Settings
from .options.messages import note, tell
from .options.progress import progress
from .options.reports import Experiment, tell_lacks
from .options.running import check_inputs, start

if TYPE_CHECKING:
    from ..rank.conditions import Condition
    from ..rank.page import RankingPage
    from ..rank.photos import Photos
    from ..rank.picked import Picked


_USUAL_COUNT = 10


@Parameter(name="*", group=COLUMNS)
@dataclass(frozen=True)
class OrderOptions:
    """Order.

    Args:
        columns: for a score file: column of paths, then columns of scores; default: all numeric columns
        root: for a score file: folder where relative paths start; default: the current folder
        by: question or column that orders the photos; default: the first
        lower_better: low values are good; default: the file or the column's name decides
        higher_better: high values are good
    """

    columns: Annotated[Sequence[str], Parameter(metavar="COLUMN")] = ()
    root: Annotated[Path | None, Parameter(metavar="DIR")] = None
    by: Annotated[str | None, Parameter(metavar="COLUMN", group=OPTIONS)] = None
    lower_better: bool = False
    higher_better: bool = False

    @property
    def direction(self) -> bool | None:
        if self.lower_better and self.higher_better:
            raise OptionError(
                "{lower_better} and {higher_better} exclude each other: give one of the two.",
                options=("higher_better", "lower_better"),
            )
        return self.lower_better if self.lower_better or self.higher_better else None


@Parameter(name="*", group=group_of_command("Picked photos"))
@dataclass(frozen=True)
class PickOptions:
    """Picked photos.

    Args:
        where: pick only photos whose scores meet all of these, such as 'sharpness >= 0.3'
        flagged: pick only photos with a flag, or with one of these, such as 'almost black'
        unflagged: pick only photos without a flag, or without these
        worst: pick the N worst photos, or P percent
        best: pick the N best photos, or P percent
        below: pick photos worse than X, or the worst P percent
        above: pick photos at least as good as X, or all but the worst P percent
        drop_worst: pick all photos but the worst P percent
        paths: print only paths of picked photos
        null: with --paths: end each path with a NUL byte, for xargs -0
        skip_missing: leave out picked photos that do not exist; what was left out does not decide the exit code
        despite_changes: also pick photos that have changed since they were scored
    """

    where: Annotated[Sequence[str], Parameter(metavar="BOUND")] = ()
    flagged: Annotated[Sequence[str] | None, Parameter(metavar="[FLAG]", consume_multiple=True)] = None
    unflagged: Annotated[Sequence[str] | None, Parameter(metavar="[FLAG]", consume_multiple=True)] = None
    worst: Annotated[str | None, Parameter(metavar="N|P%")] = None
    best: Annotated[str | None, Parameter(metavar="N|P%")] = None
    below: Annotated[str | None, Parameter(metavar="X|P%")] = None
    above: Annotated[str | None, Parameter(metavar="X|P%")] = None
    drop_worst: Annotated[str | None, Parameter(metavar="P%")] = None
    paths: bool = False
    null: Annotated[bool, Parameter(alias="-0")] = False
    skip_missing: Annotated[bool, Parameter(group=RARE)] = False
    despite_changes: Annotated[bool, Parameter(group=RARE)] = False

    def cuts(self) -> dict[str, Any]:
        """Return the conditions that are given. Raises ``CLIPIQAError``, before photos are scored."""
        from ..results.cuts import CUTS, check_cuts

        if self.null and not self.paths:
            raise OptionError("-0 needs --paths.")
        cuts = {name: getattr(self, name) for name in CUTS if getattr(self, name) is not None}
        check_cuts(cuts)
        return cuts

    def conditions(self) -> list[Condition]:
        """Return what a photo must meet besides. Raises ``CLIPIQAError``, before photos are scored."""
        from ..rank.conditions import bound_in, flagged

        bounds = list(map(bound_in, self.where))
        return [*bounds, *flagged(self.flagged, is_wanted=True), *flagged(self.unflagged, is_wanted=False)]


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
        raise OptionError("no photo is picked: add worst, best, above or below, such as --worst 20 or --worst 20%.")
    shown_count = _shown_count(count, is_picking)
    photos, are_all_scored = _score_or_read(sources, experiment, order, conditions, shown_count)
    from ..rank.picked import pick, worst_and_best  # loads pandas

    picked = pick(photos, cuts) if is_picking else worst_and_best(photos, shown_count)
    missing = _missing(picked, picks) if is_picking else set()
    if missing:
        tell(f"{counted(len(missing), 'picked photo')} gone: {few(sorted(map(photos.path, missing)))}")
    if picks.skip_missing:
        picked = picked.without(missing)
    exit_code = 0 if picks.skip_missing or (are_all_scored and not missing) else 1
    names = picked.names if is_picking else photos.best_first()
    if not names:
        tell(f"no photo is picked; {photos.by}: {photos.direction}")
        return exit_code
    if (picks.paths or page is not None) and not picks.despite_changes:
        photos.check_unchanged(names)
    _note_order(picked)
    if page is not None:
        shown = _page_of(photos, names, cuts, page)
        _write_page(shown, experiment)
        exit_code = 1 if shown.without_thumbnail else exit_code
    if picks.paths:
        _print_paths(map(photos.path, names), picks.null)
    elif is_picking or page is None:
        print(photos.report(picked.parts).text(), end="")
    return exit_code


def _shown_count(count: int | None, is_picking: bool) -> int:
    """Return how many of the best and of the worst photos to show. Raises ``OptionError`` beside picks."""
    if is_picking and count is not None:
        raise OptionError("--count is for the list without picks: leave it out, or write --best N or --worst N.")
    return _USUAL_COUNT if count is None else count


def _score_or_read(
    sources: Sequence[str], experiment: Experiment, order: OrderOptions, conditions: Sequence[Condition], count: int
) -> tuple[Photos, bool]:
    """Score photos, or read scores; return the photos, and whether all are scored. Name those that have no score.

    A score file is complete without scores of photos that could not be read: the command that wrote it has said so.
    """
    from ..results.cuts import unscored_note
    from ..results.score_files import is_score_file

    direction = order.direction
    metrics = experiment.metrics
    output = experiment.output
    score_files = list(filter(is_score_file, sources))
    if score_files and len(sources) > 1:
        raise OptionError(f"{score_files[0]!r} is a score file, which is ranked alone: name no other PATH beside it.")
    if score_files:
        if metrics != MetricOptions() or output.out is not None:
            needing = "--prompts, --metrics, --backbone, other options of a metric, and --out"
            raise OptionError(f"{needing} need images; a score file holds scores: leave them out.")
        if experiment.scoring.reading != Reading() or experiment.pictures != "png":
            raise OptionError("--max-side, other options of reading, and --pictures need images: leave them out.")
        photos = replace(_photos_in(sources[0], order, direction), conditions=conditions)
        tell(*unscored_note(photos.unscored))
        return photos, photos.unreadable.issuperset(photos.unscored)
    if order.columns or order.root is not None:
        raise OptionError(f"--columns and --root need a score file; got {sources[0]!r}.")
    of_scores = replace(output, overwrite=output.overwrite and output.out is not None)  # else of the page
    scoring = replace(experiment, output=of_scores)
    ranking = scoring.run("rank", sources, count=count)
    tell_lacks(ranking)
    return replace(ranking.photos(order.by, direction), conditions=conditions), ranking.is_complete


def _photos_in(file: str, order: OrderOptions, lower_better: bool | None) -> Photos:
    """Return the photos in a score file; those that nobody can read count as having no score."""
    from ..rank.photos import Photos
    from ..results.failures import UNREAD
    from ..results.score_files import read_scores

    key = next(iter(order.columns), None)
    try:
        scores = read_scores(file, key=key, columns=order.columns[1:] or None)
    except CLIPIQAError as error:
        raise CLIPIQAError(error.text({"key": "--columns"})) from error  # which names the column of paths here
    if "kind" in scores.other:  # another tool may have scored what cannot be read
        is_unread = scores.other["kind"].isin(UNREAD)
        scores.frame[is_unread.to_numpy()] = None
    return Photos(scores, scores.names[0] if order.by is None else order.by, lower_better, order.root)


def _missing(picked: Picked, picks: PickOptions) -> set[str]:
    """Return the picked photos that are gone; none if all are: they lie elsewhere, and scores alone are asked for."""
    missing = picked.missing()
    are_elsewhere = len(missing) == len(picked.names)
    return set() if are_elsewhere and not picks.skip_missing else missing


def _note_order(picked: Picked) -> None:
    note(f"{picked.photos.by}: {picked.photos.direction}")
    if picked.has_overlap:
        note("worst and best overlap: photos of both count as worst")


def _page_of(photos: Photos, names: Sequence[str], cuts: Mapping[str, Any], folder: Path) -> RankingPage:
    from ...files.writing import resolved
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
