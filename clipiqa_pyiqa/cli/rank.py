"""``clipiqa rank``: the best and the worst images."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError, counted
from .options.experiment import AskingRun
from .options.model import start
from .options.terminal import Bar, aligned, note, tell

if TYPE_CHECKING:
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
        below (X): pick the photos worse than X; 10% picks the worst 10%
        paths: print only paths of picked photos
        null (-0): with --paths: end each path with a NUL byte, for xargs -0
        copy_to (DIR): copy picked photos into a folder
        move_to (DIR): move picked photos into a folder
        link_to (DIR): link to picked photos from a folder
        write_shards (DIR): write new shards that hold only the picked images
        above (X): with --write-shards: pick images with a score of at least X; 10% leaves out the lowest 10%
        drop_worst (P%): with --write-shards: leave out the worst P%
        partial: with --write-shards: accept results of a part of the shards
    """

    worst: int | None = None
    best: int | None = None
    below: str | None = None
    paths: bool = False
    null: bool = False
    copy_to: Path | None = None
    move_to: Path | None = None
    link_to: Path | None = None
    write_shards: Path | None = None
    above: str | None = None
    drop_worst: str | None = None
    partial: bool = False


def run(
    run: AskingRun,
    order: Order,
    picked: Picked,
    sources: Sequence[str] = (),
    *,
    count: int = 10,
    undo: Path | None = None,
    page: Path | None = None,
) -> int:
    """Find the best and the worst images of a folder, by any question (paper's Fig. 3, 6, 8 and 9).

    PATH names folders to score, or a score file (csv, jsonl, parquet) of any tool. For folders, --out DIR receives
    ranking.csv and rank-QUESTION.png. --copy-to, --move-to and --link-to overwrite no file; --undo undoes them.

    examples:
      clipiqa rank spaq/ --out rank/
      clipiqa rank results/ --above 0.6 --write-shards kept/
      clipiqa rank scores.parquet --by sharpness --below 0.3 --paths
      clipiqa rank scores.csv --worst 20 --move-to rejected/
      clipiqa rank --undo rejected/clipiqa-undo-20260131-120000.jsonl

    Args:
        sources (PATH): folders, images, quoted globs; or a score file; for --write-shards: folder of results by shard
        count: number of best images to show, and of worst images
        undo (LIST): undo --copy-to, --move-to or --link-to, which wrote the file LIST
        page (DIR): folder for browse.html, a page of all photos
    """
    from ..ranking import transfers

    if undo is not None:
        back, problems = transfers.undo(undo)
        for line in (f"{counted(back, 'photo')} put back", *problems):
            tell(line)
        return 1 if problems else 0
    if not sources:
        raise OptionError("no PATH given: name a folder of images, or a score file.")
    if picked.write_shards is not None:
        return _write_shards(sources, picked.write_shards, order.by, picked)
    if picked.above is not None or picked.drop_worst is not None:
        raise OptionError("above and drop_worst pick images of shards: add --write-shards DIR.")
    taking = {name: folder for name, folder in vars(picked).items() if name.endswith("_to") and folder is not None}
    is_picking = picked.worst is not None or picked.best is not None or picked.below is not None
    if (picked.paths or taking) and not is_picking:
        raise OptionError("no photo is picked: add --worst N, --best N or --below X.")
    from ..ranking.folder_ranking import rank
    from ..ranking.picking import Photos, pick
    from ..scoring.scale import scales_of
    from ..scoring.score_files import AnyScores, is_score_file, read_any_scores

    ranking = None
    if len(sources) == 1 and is_score_file(sources[0]):
        if run.prompts or run.out is not None:
            raise OptionError("prompts and out need images, but a score file holds scores: leave out prompts and out.")
        key, columns = next(iter(order.columns), None), order.columns[1:]
        scores = read_any_scores(sources[0], key=key, columns=columns or None)
    elif order.columns or order.root is not None:
        raise OptionError(f"columns and root need a score file; got {sources[0]!r}.")
    elif not is_picking and page is None:
        return run.report(rank, sources, run.parsed(), count=count)
    else:
        ranking = run.result(rank, sources, run.parsed(), count=count)
        scales = scales_of(ranking.provenance)
        scores = AnyScores("", ranking.frame, ranking.provenance, ranking.failed, scales=scales, ours=True)
    lower_better = True if order.lower_better else False if order.higher_better else None
    photos = Photos(scores, order.by or scores.columns[0], lower_better, order.root)
    if page is not None:
        from ..ranking.page import write_browser

        start(run)
        with Bar(unit="photo") as bar:
            written = write_browser(photos, page, overwrite=run.overwrite, workers=run.workers, progress=bar.show)
        note(f"the page is {written}")
    if is_picking:
        chosen = pick(photos, worst=picked.worst, best=picked.best, below=_cut(photos, picked.below))
    else:
        chosen = pick(photos, worst=count, best=count)
    paths = [photos.path(str(name)) for name in chosen.index]
    for name, folder in taking.items():
        done, undo_list = transfers.transfer(paths, folder, name.removesuffix("_to"))
        tell(f"{counted(len(done), 'photo')} in {folder}; --undo {str(undo_list)!r} puts them back")
    if picked.paths:
        end = b"\0" if picked.null else b"\n"
        sys.stdout.buffer.write(b"".join(os.fsencode(path) + end for path in paths))
    elif not taking and (is_picking or page is None):
        note(f"{photos.by}: {photos.direction}")
        flags = scores.flags
        rows = [(f"{score:.4f}", str(name), flags.get(str(name), "")) for name, score in chosen.items()]
        print("\n".join(aligned([(photos.by, "path", ""), *rows])))
    return 0 if ranking is None else run.conclude(ranking)


def _cut(photos: Photos, below: str | None) -> float | None:
    from ..scoring.cuts import value_of

    if below is None:
        return None
    is_share = below.strip().endswith("%")
    sign = -1 if is_share and photos.direction.lower_better else 1  # 10% means the worst 10%, even if low is good
    return sign * value_of(below, sign * photos.scores.frame[photos.by], "below")


def _write_shards(sources: Sequence[str], into: Path, by: str | None, picked: Picked) -> int:
    from ..scoring.shards.filtered import filter_shards

    if len(sources) != 1:
        raise OptionError("write_shards needs one PATH: the folder of results by shard that clipiqa score wrote.")
    cuts = {name: getattr(picked, name) for name in ("above", "below", "drop_worst", "worst", "partial")}
    with Bar(unit="shard") as bar:
        found = filter_shards(sources[0], into, column=by, progress=bar.show, **cuts)
    for sentence in found.sentences():
        tell(sentence)
    return 1 if found.problems else 0
