"""``clipiqa rank``: the best and the worst images."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OptionError, counted, few, first_of
from .options.groups import Experiment, start
from .options.terminal import check_alone, note, progress, tell

_DONE = {"copy": "copied", "move": "moved", "link": "linked"}


@dataclass(frozen=True)
class OrderOptions:
    """Order.

    Args:
        columns: for a score file: column of paths, then columns of scores; default: all numeric columns
        root (DIR): for a score file: folder where relative paths start; default: the current folder
        by: question or column that orders the photos; default: the first
        lower_better: low values are good; default: the file or the column's name decides
        higher_better: high values are good
    """

    columns: Sequence[str] = ()
    root: Path | None = None
    by: str | None = None
    lower_better: bool = False
    higher_better: bool = False

    @property
    def direction(self) -> bool | None:
        if self.lower_better and self.higher_better:
            raise OptionError("lower_better and higher_better exclude each other: give one of the two.")
        return self.lower_better if self.lower_better or self.higher_better else None


@dataclass(frozen=True)
class PickOptions:
    """Picked photos.

    Args:
        worst (N|P%): pick the N worst photos, or P percent
        best (N|P%): pick the N best photos, or P percent
        below (X|P%): pick photos worse than X, or the worst P percent
        above (X|P%): pick photos at least as good as X, or all but the worst P percent
        drop_worst (P%): pick all photos but the worst P percent
        paths: print only paths of picked photos
        null (-0): with --paths: end each path with a NUL byte, for xargs -0
        copy_to (DIR): copy picked photos
        move_to (DIR): move picked photos
        link_to (DIR): link to picked photos
        skip_missing: leave out picked photos that do not exist
        only_photos: leave their RAW and XMP files where they are
        partial: accept results of a part of the shards
        despite_changes: also take or show photos that have changed since they were scored
    """

    worst: str | None = None
    best: str | None = None
    below: str | None = None
    above: str | None = None
    drop_worst: str | None = None
    paths: bool = False
    null: bool = False
    copy_to: Path | None = None
    move_to: Path | None = None
    link_to: Path | None = None
    skip_missing: bool = False
    only_photos: bool = False
    partial: bool = False
    despite_changes: bool = False

    def cuts(self) -> dict[str, Any]:
        from ..results.scores import CUTS, choose

        cuts = {name: cut for name in CUTS if (cut := getattr(self, name)) is not None}
        choose([], [], False, cuts)  # raises, before photos are scored
        return cuts

    def folders(self) -> dict[Any, Path]:
        return {action: folder for action in _DONE if (folder := getattr(self, f"{action}_to"))}


def run(
    run: Experiment,
    order: OrderOptions,
    picked: PickOptions,
    sources: Sequence[str] = (),
    *,
    count: int = 10,
    undo: Path | None = None,
    page: Path | None = None,
) -> int:
    """Find the best and the worst photos, and sort them out.

    PATH names folders of photos, which are scored first;
    or scores: a file (csv, jsonl, parquet) of any tool, or
    a folder of results by shard.

    No file is overwritten. RAW and XMP files go along with
    their photos. --undo puts moved files back, and deletes
    copies and links.

    examples:
      clipiqa rank photos/ --worst 20% --move-to rejected/
      clipiqa rank photos/ --page page/
      clipiqa rank results/ --above 0.6 --paths

    Args:
        sources (PATH): folders, images, quoted globs; or a score file, or a folder of results by shard
        count: best images to show, and worst
        undo (LIST|DIR): undo the command that wrote the file LIST, or the newest list in DIR
        page (DIR): folder for ranking.html, a page with thumbnails, a slider for a threshold, and paths to copy
    """
    check_alone("undo")
    if undo is not None:
        from ..ranking.transfers import undo as put_back

        back, problems = put_back(undo)
        tell(f"{counted(back, 'file')} undone", *filter(None, [first_of(problems)]))
        return 1 if problems else 0
    if not sources:
        raise OptionError("no PATH given: name a folder of images, or a score file.")
    cuts, folders, direction = picked.cuts(), picked.folders(), order.direction
    if len(folders) > 1:
        raise OptionError("--copy-to, --move-to and --link-to exclude each other: give one of them.")
    if (picked.paths or folders) and not cuts:
        raise OptionError("no photo is picked: add worst, best, above or below, such as --worst 20 or --worst 20%.")
    from ..files.names import UNDO
    from ..ranking.photos import Photos
    from ..results.columns import UNREAD
    from ..results.scores import is_score_file, read_scores, unscored_note
    from ..sources.stores import undo_steps

    code = 0
    if len(sources) == 1 and is_score_file(sources[0]):
        if run.prompts or run.metrics or run.out is not None:
            raise OptionError("--prompts, --metrics and --out need images; a score file holds scores: leave them out.")
        key, columns = next(iter(order.columns), None), order.columns[1:]
        scores = read_scores(sources[0], key=key, columns=columns or None, partial=picked.partial)
        if "kind" in scores.other:  # another tool may have scored what cannot be read
            scores.frame[scores.other["kind"].isin(UNREAD).to_numpy()] = None
        photos = Photos(scores, order.by or scores.names[0], direction, order.root)
        tell(*(lost := unscored_note(scores.frame.index[scores.frame[photos.by].isna()])))
        code = bool(lost)
    elif order.columns or order.root is not None:
        raise OptionError(f"--columns and --root need a score file; got {sources[0]!r}.")
    else:
        ranking = run.result("rank", sources, count=count)
        code, photos = run.conclude(ranking), ranking.photos(order.by, direction)
        if into := picked.move_to:  # what an earlier run moved there is no failure
            moved = {step["photo"] for step in undo_steps(into.glob(f"{UNDO}*.jsonl"))}
            code = any(os.path.exists(each) or os.path.abspath(each) not in moved for each in ranking.failed)
    scores, (worst, best) = photos.scores, photos.picked(**cuts)
    picked_names = [*worst.index, *best.index] if cuts else list(scores.frame.index)
    if not picked_names:
        tell(f"no photo is picked; {photos.by}: {photos.direction}")
        return code
    if (folders or picked.paths or page) and not picked.despite_changes:
        photos.check_unchanged(picked_names)
    if page is not None:
        from ..files.writing import resolved
        from ..ranking.page import RankingPage

        start(run)
        picked_ones = set(picked_names)
        names = [name for name in photos.best_first() if name in picked_ones]
        shown = RankingPage(photos, names, resolved(page), opens_with_best={"best", "above"} >= cuts.keys() > set())
        with progress("photo") as show:
            shown.write(overwrite=run.overwrite, workers=run.workers, progress=show)
        note(f"the page is {shown.file}")
        if shown.unreadable:
            tell(f"{counted(len(shown.unreadable), 'photo')} on the page cannot be read: {few(shown.unreadable)}")
            code = 1
    half = int(scores.frame[photos.by].count()) // 2  # no photo is among both
    is_listed = bool(cuts) or not page
    note(f"{photos.by}: {photos.direction}")
    if len(best) < len(photos.picked(**{**cuts, "worst": None})[1]):
        note("worst and best overlap: photos of both count as worst")
    if cuts:
        worst_paths, best_paths = (list(map(photos.path, part.index)) for part in (worst, best))
        parts = {"worst": worst_paths, "best": best_paths}
        code = _take(parts if parts.keys() <= cuts.keys() else {"": [*worst_paths, *best_paths]}, picked) or code
    else:
        cuts = {"worst": min(count, half) or None, "best": count}
    if is_listed and not (picked.paths or folders):
        print(photos.report(**cuts).text(), end="")
    return code


def _take(parts: Mapping[str, Sequence[str]], picked: PickOptions) -> int:
    """Copy, move or link photos, and print their paths; ``parts`` are the sub-folders. Return 1 if photos are gone."""
    from ..ranking.transfers import transfer
    from ..sources.finding import file_of

    paths = [path for part in parts.values() for path in part]
    missing = dict.fromkeys(path for path in paths if not file_of(path))
    are_gone = 0 < len(missing) < len(paths) + picked.skip_missing  # or all are elsewhere
    if are_gone:
        tell(f"{counted(len(missing), 'picked photo')} gone: {few(missing)}")
    if picked.skip_missing:
        parts = {into: [path for path in part if path not in missing] for into, part in parts.items()}
        paths = [path for path in paths if path not in missing]
    for action, folder in picked.folders().items():
        done, undo_list, there = transfer(parts, folder, action, only_photos=picked.only_photos)
        more = len(done) + there - len(paths)
        along = f", with {counted(more, 'RAW or XMP file')}" if more else ""
        along += f", {there:,} already there" if there else ""
        undoing = f"; --undo {str(undo_list)!r} undoes this" if done else ""
        tell(f"{counted(len(done) - more, 'photo')} {_DONE[action]} to {folder}{along}{undoing}")
    if picked.paths:
        end = b"\0" if picked.null else b"\n"
        sys.stdout.buffer.write(b"".join(os.fsencode(path) + end for path in paths))
    return are_gone and not picked.skip_missing
