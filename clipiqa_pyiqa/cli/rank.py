"""``clipiqa rank``: the best and the worst images."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError, counted
from .options.experiment import AskingRun, frame_as_text
from .options.progress import Bar, note, tell

if TYPE_CHECKING:
    import pandas

    from ..ranking.folder_ranking import Ranking
    from ..ranking.picking import Photos


@dataclass(frozen=True)
class Order:
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


@dataclass(frozen=True)
class Picked:
    """Picked photos.

    Args:
        worst: pick the N worst photos
        best: pick the N best photos
        below (X): pick photos worse than X; 10% means the worst 10%
        only_paths (--paths): print only paths of picked photos
        null (-0): with --paths: end each path with a NUL byte, for xargs -0
        copy_to (DIR): copy picked photos into a folder
        move_to (DIR): move picked photos into a folder
        link_to (DIR): link to picked photos from a folder
        write_shards (DIR): copy shards, with only picked images
        above (X): with --write-shards: pick images of at least X; 10% leaves out the lowest 10%
        drop_worst (P%): with --write-shards: leave out the worst P%
    """

    worst: int | None = None
    best: int | None = None
    below: str | None = None
    only_paths: bool = False
    null: bool = False
    copy_to: Path | None = None
    move_to: Path | None = None
    link_to: Path | None = None
    write_shards: Path | None = None
    above: str | None = None
    drop_worst: str | None = None


def run(
    run: AskingRun,
    order: Order,
    picked: Picked,
    paths: Sequence[str] = (),
    *,
    count: int = 10,
    undo: Path | None = None,
    page: Path | None = None,
) -> int:
    """Find the best and the worst images of a folder, by any question (paper's Fig. 3, 6, 8 and 9).

    PATH names folders to score, or a score file (csv, jsonl, parquet) of any tool. --out DIR receives ranking.csv and
    rank-QUESTION.png. --worst, --best and --below pick photos. --paths prints the paths; --copy-to, --move-to and
    --link-to copy, move or link the photos. No file is overwritten, and --undo puts photos back.

    examples:
      clipiqa rank spaq/ --out rank/
      clipiqa rank results/ --above 0.6 --write-shards kept/
      clipiqa rank scores.parquet --by sharpness --below 0.3 --paths
      clipiqa rank scores.csv --worst 20 --move-to rejected/
      clipiqa rank --undo rejected/clipiqa-undo-20260131-120000.jsonl

    Args:
        paths (PATH): folders, images or quoted globs; a score file; or a folder of results by shard
        count: best images and worst images to show
        undo (LIST): put photos back by the file that --copy-to, --move-to or --link-to wrote
        page (DIR): folder for browse.html, a page of all photos
    """
    if picked.write_shards is not None:
        return _write_shards(paths, picked.write_shards, order.by, picked, run.quiet)
    if undo is not None:
        return _undo(undo)
    if picked.above is not None or picked.drop_worst is not None:
        raise OptionError("above and drop_worst pick images of shards: add --write-shards DIR.")
    if not paths:
        raise OptionError("no PATH given: name a folder of images, or a score file.")
    folders = {"copy": picked.copy_to, "move": picked.move_to, "link": picked.link_to}
    taking = {action: folder for action, folder in folders.items() if folder is not None}
    is_picking = picked.worst is not None or picked.best is not None or picked.below is not None
    if (picked.only_paths or taking) and not is_picking:
        raise OptionError("no photo is picked: add --worst N, --best N or --below X.")
    photos, ranking = _photos(run, paths, count, order)
    if page is not None:
        from ..ranking.page import write_browser

        with Bar(unit="photo") as bar:
            progress = partial(bar.show, "thumbnails")
            written = write_browser(photos, page, overwrite=run.overwrite, workers=run.workers, progress=progress)
        note(f"the page is {written}")
    if not is_picking:
        ranking = ranking or _extremes(run, photos, count)
        if page is None:
            print(_with_rules(frame_as_text(ranking.summary(), {}), ranking))
        return _conclude(run, ranking, photos)
    from ..ranking.picking import pick
    from ..scoring.cuts import value_of

    cut = None
    if picked.below is not None:
        scores, is_share = photos.scores.frame[photos.by], picked.below.strip().endswith("%")
        sign = -1 if is_share and photos.direction.lower_better else 1  # 10% means the worst 10%, also if low is good
        cut = sign * value_of(picked.below, sign * scores, "below")
    chosen = pick(photos, worst=picked.worst, best=picked.best, below=cut)
    note(f"{photos.by}: {photos.direction}")
    found = [photos.path(str(name)) for name in chosen.index]
    if picked.only_paths:
        sys.stdout.flush()
        for path in found:
            sys.stdout.buffer.write(os.fsencode(path) + (b"\0" if picked.null else b"\n"))
        sys.stdout.buffer.flush()
    elif not taking:
        _print(chosen, photos, picked.worst if picked.best else None)
    for action, folder in taking.items():
        _take(found, folder, action)
    return 0 if ranking is None else _conclude(run, ranking, photos)


def _photos(run: AskingRun, paths: Sequence[str], count: int, order: Order) -> tuple[Photos, Ranking | None]:
    from ..ranking.picking import Photos
    from ..scoring.scale import scales_of
    from ..scoring.score_files import AnyScores, is_score_file, read_any_scores
    from ..scoring.shards.summary import merge_shards

    lower_better = True if order.lower_better else False if order.higher_better else None
    by_shard = len(paths) == 1 and any(Path(paths[0]).glob("*.parquet"))  # results by shard of `clipiqa score`
    if len(paths) == 1 and (by_shard or is_score_file(paths[0])):
        if run.prompts:
            raise OptionError("prompts needs images, but a score file holds scores: choose a column with --by.")
        key, columns = (order.columns[0], order.columns[1:]) if order.columns else (None, [])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "merged.parquet") if by_shard else Path(paths[0])
            if by_shard:
                merge_shards(paths[0], file)
            scores = read_any_scores(file, key=key, columns=columns or None)
        scores = replace(scores, file=paths[0])
        photos = Photos(scores, order.by or scores.columns[0], lower_better, order.root)
        return photos, None if run.out is None else _extremes(run, photos, count)
    if order.columns or order.root is not None:
        raise OptionError(f"columns and root need a score file; got {paths[0]!r}.")
    from ..ranking.folder_ranking import rank

    ranking = run.result(rank, paths, run.parsed(), count=count)
    scales = scales_of(ranking.provenance)
    scores = AnyScores("", ranking.frame, ranking.provenance, ranking.failed, scales=scales, ours=True)
    return Photos(scores, order.by or scores.columns[0], lower_better), ranking


def _extremes(run: AskingRun, photos: Photos, count: int) -> Ranking:
    from ..experiments.experiment import RunOptions, prepare, saved
    from ..ranking.folder_ranking import Ranking, ranking_files

    scores = photos.scores
    flags = {photos.path(name): flag for name, flag in scores.flags.items()}
    frame = scores.frame.set_axis([photos.path(str(name)) for name in scores.frame.index]).rename_axis("path")
    ranking = Ranking(frame.dropna(), scores.errors, scores.provenance, count, flags=flags)
    if run.out is None:
        return ranking
    options: RunOptions = {"out": run.out, "resume": run.resume, "overwrite": run.overwrite, "pictures": run.pictures}
    prepare(options, ranking_files(ranking.questions), [*frame.index, scores.file], len(frame))
    return saved(ranking, options)


def _conclude(run: AskingRun, ranking: Ranking, photos: Photos) -> int:
    if ranking.failed and photos.scores.file:
        tell(f"{counted(len(ranking.failed), 'image')} left out (see the column `error` in {photos.scores.file})")
    else:
        for reason in ranking.failed.values():
            tell(f"left out: {reason}")
    run.conclude(ranking)
    return 1 if ranking.failed else 0


def _with_rules(table: str, ranking: Ranking) -> str:
    from ..ranking.folder_ranking import best_and_worst

    best, worst = map(len, best_and_worst(ranking, ranking.questions[0], ranking.count))
    head, *lines = table.split("\n")
    ruled = [head]
    for number, line in enumerate(lines):
        if number % (best + worst) == best:
            ruled.append("-" * max(map(len, (head, *lines))))
        ruled.append(line)
    return "\n".join(ruled)


def _print(chosen: pandas.Series, photos: Photos, worst: int | None) -> None:
    from .options.tables import aligned

    rows, flags = [(photos.by, "path", "")], photos.scores.flags
    rows += [(f"{score:.4f}", str(name), flags.get(str(name), "")) for name, score in chosen.items()]
    lines = list(aligned(rows, [False, True, True]))
    if worst is not None and worst < len(chosen):  # the best photos follow the worst
        lines.insert(1 + worst, "-" * max(map(len, lines)))
    print("\n".join(lines))


def _take(paths: list[str], folder: Path, action: str) -> None:
    from ..ranking.transfers import transfer

    if not paths:
        tell("no photo is picked")
        return
    done, undo_list = transfer(paths, folder, action)
    verb = {"copy": "copied", "move": "moved", "link": "linked"}[action]
    tell(f"{counted(len(done), 'photo')} {verb}; --undo {str(undo_list)!r} puts them back")


def _undo(list_of_changes: Path) -> int:
    from ..ranking.transfers import undo

    back, problems = undo(list_of_changes)
    tell(f"{counted(back, 'photo')} put back")
    for problem in problems:
        tell(problem)
    return 1 if problems else 0


def _write_shards(paths: Sequence[str], into: Path, by: str | None, picked: Picked, quiet: bool) -> int:
    from ..scoring.shards.filtered import filter_shards

    if len(paths) != 1:
        raise OptionError("write_shards needs one PATH: the folder of results by shard that clipiqa score wrote.")
    cuts = {name: getattr(picked, name) for name in ("above", "below", "drop_worst", "worst")}
    with Bar(unit="shard") as bar:
        found = filter_shards(paths[0], into, column=by, progress=partial(bar.show, ""), **cuts)
    for sentence in found.problems.values() if quiet else found.sentences():
        tell(sentence)
    return 1 if found.problems else 0
