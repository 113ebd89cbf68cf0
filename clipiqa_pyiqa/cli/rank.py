"""``clipiqa rank``: the best and the worst images of a folder, or of a score file, by any question."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError, counted
from . import rank_shards
from .options.experiment import AskingRun, frame_as_text
from .options.progress import Bar, note, tell

if TYPE_CHECKING:
    import pandas

    from ..ranking.folder_ranking import Ranking
    from ..ranking.picking import Photos


def run(
    run: AskingRun,
    paths: Sequence[str] = (),
    *,
    count: int = 10,
    columns: list[str] | None = None,
    root: Path | None = None,
    by: str | None = None,
    lower_better: bool = False,
    higher_better: bool = False,
    worst: int | None = None,
    best: int | None = None,
    below: str | None = None,
    only_paths: bool = False,
    null: bool = False,
    copy_to: Path | None = None,
    move_to: Path | None = None,
    link_to: Path | None = None,
    undo: Path | None = None,
    page: Path | None = None,
    write_shards: Path | None = None,
    above: str | None = None,
    drop_worst: str | None = None,
) -> int:
    """The best and the worst images of a folder, by any question (the paper's Fig. 3, 6, 8 and 9).

    Folders are scored, every image once, however many questions are asked; a score file (csv, jsonl, parquet) of
    `clipiqa score` or any other tool is taken as it is. --out DIR receives ranking.csv (every image) and, for each
    question, rank-QUESTION.png: the highest and the lowest with their scores. --page DIR receives browse.html: all
    photos to sort, filter and look at. --worst, --best and --below pick photos, which --paths prints, and --copy-to,
    --move-to and --link-to take elsewhere: nothing is overwritten, and --undo puts back what the list that they write
    says.

    examples:
      clipiqa rank spaq/ --out rank/
      clipiqa rank ava/images --prompts happy scary complex natural new --out rank/ --resume
      clipiqa rank results/ --above 0.6 --write-shards kept/
      clipiqa rank scores.parquet --by sharpness --below 0.3 --paths
      clipiqa rank scores.csv --worst 20 --move-to rejected/
      clipiqa rank scores.csv --page browse/
      clipiqa rank --undo rejected/clipiqa-undo-20260131-120000.jsonl

    Args:
        run: how images are scored
        paths (PATH): folders, images or quoted globs; or one score file; or one folder of results by shard
        count: of the best and of the worst
        columns: of a score file: columns of paths, and of scores; by default all numbers
        root (DIR): of a score file: folder to which its names are relative; by default they are as they are
        by: question or column that orders the photos; by default the first
        lower_better: a low value of it is good; by default as the file or its name says
        higher_better: a high value of it is good
        worst: the N worst
        best: the N best
        below (X): those worse than X, or than 10%
        only_paths (--paths): print their paths and nothing else
        null (-0): with --paths: each ends with a NUL byte, as for xargs -0
        copy_to (DIR): copy them into a folder
        move_to (DIR): move them into a folder
        link_to (DIR): link to them from a folder
        undo (LIST): put back what a list says was copied, moved or linked
        page (DIR): folder for a page on which all photos can be browsed
        write_shards (DIR): copy what is kept of the scored shards into new ones
        above (X): with --write-shards: keep images whose value is at least this, or 10%; at most: --below
        drop_worst (P%): with --write-shards: leave out this share of the images, those that score worst
    """
    if lower_better and higher_better:
        raise OptionError("lower_better and higher_better exclude each other: give one of the two.")
    if write_shards is not None:
        cuts = {"above": above, "below": below, "drop_worst": drop_worst, "worst": worst}
        return rank_shards.write(paths, write_shards, by, cuts, run.quiet)
    if undo is not None:
        return _undo(undo)
    if above is not None or drop_worst is not None:
        raise OptionError("above and drop_worst are about the shards that write_shards writes: give both.")
    if not paths:
        raise OptionError("no PATH given: name a folder of images, or a score file.")
    picking = worst is not None or best is not None or below is not None
    folders = {"copy": copy_to, "move": move_to, "link": link_to}
    taking = {action: folder for action, folder in folders.items() if folder is not None}
    if (only_paths or taking) and not picking:
        doing = "paths" if only_paths else f"{next(iter(taking))}_to"
        raise OptionError(f"{doing} needs to know which photos: add --worst N, --best N or --below X.")
    if len(taking) > 1:
        raise OptionError("copy_to, move_to and link_to take the same photos: give one of them.")
    if null and not only_paths:
        raise OptionError("null ends the paths of --paths: give both.")
    lower = True if lower_better else False if higher_better else None
    photos, ranking = _photos(run, paths, count, columns, root, by, lower)
    if page is not None:
        from ..ranking.page import write_browser

        with Bar(unit="photo") as bar:
            progress = partial(bar.show, "thumbnails")
            written = write_browser(photos, page, overwrite=run.overwrite, workers=run.workers, progress=progress)
        note(f"the page is {written}")
    if not picking:
        ranking = ranking or _ranking(run, photos, count)
        if page is None:
            print(_with_rules(frame_as_text(ranking.summary(), {}), ranking))
        return _told(run, ranking, photos)
    from ..ranking.picking import pick
    from ..scoring.cuts import value_of

    cut = None
    if below is not None:
        scores, is_share = photos.scores.frame[photos.by], below.strip().endswith("%")
        sign = -1 if is_share and photos.direction.lower_better else 1  # 10% are the worst, whichever way scores point
        cut = sign * value_of(below, sign * scores, "below")
    picked = pick(photos, worst=worst, best=best, below=cut)
    note(f"{photos.by}: {photos.direction}")
    found = [photos.path(str(name)) for name in picked.index]
    if only_paths:
        sys.stdout.flush()
        for path in found:
            sys.stdout.buffer.write(os.fsencode(path) + (b"\0" if null else b"\n"))
        sys.stdout.buffer.flush()
    elif not taking:
        _print(picked, photos, worst if best else None)
    for action, folder in taking.items():
        _take(found, folder, action)
    return 0 if ranking is None else _told(run, ranking, photos)


def _told(run: AskingRun, ranking: Ranking, photos: Photos) -> int:
    """Say what was left out: of a score file, which holds the reasons, only how many images."""
    file = photos.scores.file
    if not file or not ranking.failed:
        return run.told(ranking)
    tell(f"{counted(len(ranking.failed), 'image')} left out (see `error` in {file})")
    run.told(replace(ranking, failed={}))
    return 1


def _with_rules(table: str, ranking: Ranking) -> str:
    """Put a rule between the best and the worst of each question."""
    from ..ranking.folder_ranking import best_and_worst

    head, *lines = table.split("\n")
    rule, rows = "-" * max(map(len, (head, *lines))), iter(lines)
    said = [head]
    for question in ranking.questions:
        best, worst = best_and_worst(ranking, question, ranking.count)
        said += itertools.islice(rows, len(best))
        said += [rule] * bool(len(worst))
        said += itertools.islice(rows, len(worst))
    return "\n".join(said)


def _photos(
    run: AskingRun,
    paths: Sequence[str],
    count: int,
    columns: list[str] | None,
    root: Path | None,
    by: str | None,
    lower_better: bool | None,
) -> tuple[Photos, Ranking | None]:
    """Return scores of the images, read or made; if made, also the experiment's result."""
    from ..ranking.picking import Photos
    from ..scoring.scale import scales_of
    from ..scoring.score_files import AnyScores, is_score_file, read_any_scores
    from ..scoring.shards.summary import merge_shards

    by_shard = len(paths) == 1 and any(Path(paths[0]).glob("*.parquet"))  # results of `clipiqa score`
    if len(paths) == 1 and (by_shard or is_score_file(paths[0])):
        if run.prompts:
            raise OptionError("prompts asks about images, but a score file has its answers: --by names one of them.")
        key, others = (columns[0], columns[1:]) if columns else (None, [])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "merged.parquet") if by_shard else Path(paths[0])
            if by_shard:
                merge_shards(paths[0], file)
            scores = read_any_scores(file, key=key, columns=others or None)
        scores = replace(scores, file=paths[0])
        photos = Photos(scores, by or scores.columns[0], lower_better, root)
        return photos, None if run.out is None else _ranking(run, photos, count)
    if columns is not None or root is not None:
        raise OptionError(f"columns and root are about a score file, but {paths[0]!r} is none: leave them out.")
    from ..ranking.folder_ranking import rank

    ranking = run.made(rank, paths, run.asked(), count=count)
    scales = scales_of(ranking.provenance)
    scores = AnyScores("", ranking.frame, ranking.provenance, ranking.failed, scales=scales, ours=True)
    return Photos(scores, by or scores.columns[0], lower_better), ranking


def _ranking(run: AskingRun, photos: Photos, count: int) -> Ranking:
    """Return the extremes of a score file, and write their pictures if there is an --out."""
    from ..experiments.experiment import RunOptions, prepare, saved
    from ..ranking.folder_ranking import Ranking, ranking_files

    scores = photos.scores
    flags = {photos.path(name): flag for name, flag in scores.flags.items()}
    frame = scores.frame.set_axis([photos.path(str(name)) for name in scores.frame.index]).rename_axis("path")
    found = Ranking(frame.dropna(), scores.errors, scores.provenance, count, flags=flags)
    if run.out is not None:
        options: RunOptions = {"out": run.out, "resume": run.resume, "overwrite": run.overwrite}
        options["pictures"] = run.pictures
        prepare(options, ranking_files(found.questions), [*frame.index, scores.file], len(frame))
        saved(found, options)
    return found


def _print(picked: pandas.Series, photos: Photos, worst: int | None) -> None:
    from ..files.names import one_line
    from .options.tables import aligned

    rows, flags = [(one_line(photos.by), "path", "")], photos.scores.flags
    for name, score in picked.items():
        rows.append((f"{score:.4f}", one_line(str(name)), flags.get(str(name), "")))
    lines = list(aligned(rows, [False, True, True]))
    if worst is not None and worst < len(picked):  # the best follow
        lines.insert(1 + worst, "-" * max(map(len, lines)))
    print("\n".join(lines))


def _take(paths: list[str], folder: Path, action: str) -> None:
    from ..ranking.transfers import transfer

    if not paths:
        tell("no photo is picked, so none was taken")
        return
    done, undo_list = transfer(paths, folder, action)
    verb = {"copy": "copied", "move": "moved", "link": "linked"}[action]
    tell(f"{counted(len(done), 'photo')} {verb}; --undo {str(undo_list)!r} puts them back")


def _undo(list_of_changes: Path) -> int:
    from ..ranking.transfers import undo

    back, left = undo(list_of_changes)
    tell(f"{counted(back, 'photo')} put back")
    for why in left:
        tell(why)
    return 1 if left else 0
