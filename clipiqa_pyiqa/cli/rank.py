"""The best and the worst images of a folder, or of a score file, by any question (the paper's Fig. 3, 6, 8 and 9)."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CLIPIQAError, counted
from . import rank_shards
from .options import experiment
from .options.progress import Bar
from .options.wording import tell

if TYPE_CHECKING:
    import pandas

    from ..experiments.experiment import RunOptions
    from ..ranking.folder_ranking import Ranking
    from ..ranking.picking import Photos

EPILOG = """
Folders are scored, every image once, however many questions are asked; a score file (csv, jsonl, parquet) of `clipiqa
score` or any other tool is taken as it is. --out DIR receives ranking.csv (every image) and, for each question,
rank-QUESTION.png: the highest and the lowest with their scores. --page DIR receives browse.html: all photos to sort,
filter and look at. --worst, --best and --below pick photos, which --paths prints, and --copy-to, --move-to and
--link-to take elsewhere: nothing is overwritten, and --undo puts back what the list that they write says.

examples:
  clipiqa rank spaq/ --out rank/
  clipiqa rank ava/images --prompts happy scary complex natural new --out rank/ --resume
  clipiqa rank results/ --above 0.6 --write-shards kept/
  clipiqa rank scores.parquet --by sharpness --below 0.3 --paths
  clipiqa rank scores.csv --worst 20 --move-to rejected/
  clipiqa rank scores.csv --page browse/
  clipiqa rank --undo rejected/clipiqa-undo-20260131-120000.jsonl
"""
_TAKING = {"copy_to": "copy", "move_to": "move", "link_to": "link"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="folders, images or quoted globs; or one score file")
    experiment.configure(parser, EPILOG, prompts="quality")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="of the best and of the worst (10)")
    table = parser.add_argument_group("a score file").add_argument
    table("--columns", nargs="+", metavar="NAME", help="columns of paths, and of scores (default: all numbers)")
    table("--root", type=Path, metavar="DIR", help="folder to which its names are relative (default: as they are)")
    which = parser.add_argument_group("which photos")
    what, way = which.add_argument, which.add_mutually_exclusive_group().add_argument
    what("--by", metavar="NAME", help="question or column that orders them (default: the first)")
    way("--lower-better", action="store_true", help="a low value of it is good (default: as the file or its name says)")
    way("--higher-better", action="store_true", help="a high value of it is good")
    what("--worst", type=int, metavar="N", help="the N worst")
    what("--best", type=int, metavar="N", help="the N best")
    what("--below", type=float, metavar="X", help="those worse than X")
    then = parser.add_argument_group("what to do with them").add_argument
    then("--paths", action="store_true", dest="only_paths", help="print their paths and nothing else")
    then("-0", "--null", action="store_true", help="with --paths: each ends with a NUL byte, as for xargs -0")
    then("--copy-to", type=Path, metavar="DIR", help="copy them into a folder")
    then("--move-to", type=Path, metavar="DIR", help="move them into a folder")
    then("--link-to", type=Path, metavar="DIR", help="link to them from a folder")
    then("--undo", type=Path, metavar="LIST", help="put back what a list says was copied, moved or linked")
    then("--page", type=Path, metavar="DIR", help="folder for a page on which all photos can be browsed")
    rank_shards.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Score the images or read their scores; print, take elsewhere or show what was asked for."""
    if args.write_shards is not None:
        return rank_shards.run(args)
    if args.undo is not None:
        return _undo(args)
    if args.above is not None:
        raise CLIPIQAError("--above is about the shards that --write-shards writes: give both.")
    if not args.paths:
        raise CLIPIQAError("no PATH given: name a folder of images, or a score file.")
    picking = args.worst is not None or args.best is not None or args.below is not None
    taking = [name for name in _TAKING if getattr(args, name) is not None]
    if (args.only_paths or taking) and not picking:
        doing = "--paths" if args.only_paths else f"--{taking[0].replace('_', '-')}"
        raise CLIPIQAError(f"{doing} needs to know which photos: add --worst N, --best N or --below X.")
    if len(taking) > 1:
        raise CLIPIQAError("--copy-to, --move-to and --link-to take the same photos: give one of them.")
    if args.null and not args.only_paths:
        raise CLIPIQAError("--null ends the paths of --paths: give both.")
    photos, ranking = _photos(args)
    if args.page is not None:
        _write_page(args, photos)
    if not picking:
        ranking = ranking or _ranking(args, photos)
        if args.page is None:
            print(_with_rules(experiment.frame_as_text(ranking.summary(), {}), ranking))
        return _told(args, ranking, photos)
    from ..ranking.picking import pick

    picked = pick(photos, worst=args.worst, best=args.best, below=args.below)
    if not args.quiet:
        tell("rank", f"{photos.by}: {photos.direction}")
    if args.only_paths:
        for name in picked.index:
            sys.stdout.flush()
            sys.stdout.buffer.write(os.fsencode(photos.path(str(name))) + (b"\0" if args.null else b"\n"))
        sys.stdout.flush()
    elif not taking:
        _print(picked, photos, args.worst if args.best else None)
    if taking:
        _take(args, taking[0], [photos.path(str(name)) for name in picked.index])
    return 0 if ranking is None else _told(args, ranking, photos)


def _told(args: argparse.Namespace, ranking: Ranking, photos: Photos) -> int:
    """Say what was left out: of a score file, which holds the reasons, only how many images."""
    file = photos.scores.file
    if not file or not ranking.failed:
        return experiment.told(args, ranking)
    tell("rank", f"{counted(len(ranking.failed), 'image')} left out (see `error` in {file})")
    experiment.told(args, replace(ranking, failed={}))
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


def _photos(args: argparse.Namespace) -> tuple[Photos, Ranking | None]:
    """Scores of the images, read, or made; then also as the experiment's result."""
    from ..ranking.picking import Photos, default_column
    from ..scoring.scale import scales_of
    from ..scoring.score_files import AnyScores, is_score_file, read_any_scores
    from ..scoring.shards.summary import merge_shards

    lower_better = True if args.lower_better else False if args.higher_better else None
    by_shard = len(args.paths) == 1 and any(Path(args.paths[0]).glob("*.parquet"))  # results of `clipiqa score`
    if len(args.paths) == 1 and (by_shard or is_score_file(args.paths[0])):
        if args.prompts:
            raise CLIPIQAError("--prompts asks about images, but a score file has its answers: --by names one of them.")
        path_column, *columns = args.columns or [None]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "merged.parquet") if by_shard else args.paths[0]
            if by_shard:
                merge_shards(args.paths[0], file)
            scores = read_any_scores(file, key=path_column, columns=columns or None)
        scores = replace(scores, file=args.paths[0])
        photos = Photos(scores, default_column(scores, args.by), lower_better, args.root)
        return photos, None if args.out is None else _ranking(args, photos)
    for option in ("columns", "root"):
        if getattr(args, option) is not None:
            raise CLIPIQAError(f"--{option} is about a score file, but {args.paths[0]!r} is none: leave it out.")
    from ..ranking.folder_ranking import rank

    ranking = experiment.made(args, rank, args.paths, experiment.prompts(args), count=args.count)
    scales = scales_of(ranking.provenance)
    scores = AnyScores("", ranking.frame, ranking.provenance, ranking.failed, scales=scales, ours=True)
    return Photos(scores, default_column(scores, args.by), lower_better), ranking


def _ranking(args: argparse.Namespace, photos: Photos) -> Ranking:
    """The extremes of a score file, and their pictures if there is an --out."""
    from ..experiments.experiment import prepare, saved
    from ..ranking.folder_ranking import Ranking, ranking_files

    scores = photos.scores
    frame = scores.frame.set_axis([photos.path(str(name)) for name in scores.frame.index]).rename_axis("path")
    found = Ranking(frame.dropna(), scores.errors, scores.provenance, args.count)
    if args.out is not None:
        options: RunOptions = {
            "out": args.out,
            "resume": args.resume,
            "overwrite": args.overwrite,
            "pictures": args.pictures,
        }
        prepare(options, ranking_files(found.questions), [*frame.index, scores.file], len(frame))
        saved(found, options)
    return found


def _write_page(args: argparse.Namespace, photos: Photos) -> None:
    from ..ranking.page import write_browser

    with Bar(hidden=args.quiet, unit="photo") as bar:
        progress = partial(bar.show, "thumbnails")
        page = write_browser(photos, args.page, overwrite=args.overwrite, workers=args.workers, progress=progress)
    if not args.quiet:
        tell("rank", f"the page is {page}")


def _print(picked: pandas.Series, photos: Photos, worst: int | None) -> None:
    from ..files.names import one_line
    from .options.tables import aligned

    rows = [(one_line(photos.by), "path"), *((f"{score:.4f}", one_line(str(name))) for name, score in picked.items())]
    lines = list(aligned(rows, [False, True]))
    if worst is not None and worst < len(picked):  # the best follow
        lines.insert(1 + worst, "-" * max(map(len, lines)))
    print("\n".join(lines))


def _take(args: argparse.Namespace, option: str, paths: list[str]) -> None:
    from ..ranking.transfers import transfer

    if not paths:
        tell("rank", "no photo is picked, so none was taken")
        return
    action = _TAKING[option]
    done, undo_list = transfer(paths, getattr(args, option), action)
    verb = {"copy": "copied", "move": "moved", "link": "linked"}[action]
    said = f"{counted(len(done), 'photo')} {verb}; --undo {str(undo_list)!r} puts them back"
    tell("rank", said)


def _undo(args: argparse.Namespace) -> int:
    from ..ranking.transfers import undo

    back, left = undo(args.undo)
    tell("rank", f"{counted(back, 'photo')} put back")
    for why in left:
        tell("rank", why)
    return 1 if left else 0
